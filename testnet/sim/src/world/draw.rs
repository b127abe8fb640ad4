//! Randomness that a seed decides: numbers in a row for plans, and numbers by name for what happens on the way.

const MILLION: u64 = 1_000_000;

/// Numbers in a row.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The row of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// An order of the numbers below `count`.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            order.swap(place, self.below(place as u64 + 1) as usize);
        }
        order
    }
}

/// The number of a name: the same whatever was drawn before.
#[must_use]
pub fn named(parts: &[u64]) -> u64 {
    parts.iter().fold(0x005e_edcafe, |state, part| scramble(state ^ part.wrapping_mul(0xff51_afd7_ed55_8ccd)))
}

/// Whether `number` falls into so many millionths of all numbers.
#[must_use]
pub const fn falls(number: u64, millionths: u64) -> bool {
    number % MILLION < millionths
}

/// A step of splitmix64.
#[must_use]
pub const fn scramble(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A running hash over everything that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventHash(pub u64);

impl EventHash {
    /// One more thing happened.
    pub const fn add(&mut self, number: u64) {
        self.0 = scramble(self.0.rotate_left(5) ^ number);
    }
}

/// A number for bytes, as good as its 64 bits.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        scramble(state.rotate_left(7) ^ u64::from_le_bytes(word))
    })
}
