//! Mutations without a fuzzer: deterministic, blind, and enough to notice a decoder that trusts its bytes.

/// Steele, Lea and Flood's splitmix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.draw() % bound).unwrap_or(0)
    }
}

/// Numbers at which lengths and counts go wrong.
const EDGES: [u32; 8] = [0, 1, 127, 255, 65_535, 1 << 20, u32::MAX >> 1, u32::MAX];

/// Some bytes of `seed` changed, cut, repeated, or mixed with `other`.
#[must_use]
pub fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = random.draw().to_le_bytes()[0],
            3 => bytes.truncate(at),
            4 => bytes.insert(at.min(bytes.len()), random.draw().to_le_bytes()[0]),
            5 => {
                let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
                for (place, byte) in bytes.iter_mut().skip(at).zip(edge) {
                    *place = byte;
                }
            }
            6 => {
                let from = random.below(other.len());
                let piece = &other[from..other.len().min(from + random.below(200))];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                let piece = bytes[at..bytes.len().min(at + random.below(100))].to_vec();
                bytes.extend(piece);
            }
        }
    }
    bytes
}
