//! What a load's clients ask for, and when, by a seed.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use varangian_application::kv::{Action, Operation};
use varangian_crypto::CodecError;

use super::Load;

/// Later than any load ends, and still a moment of the clock: a century.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Shares of puts, reads and adds, and how many keys they touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Of a hundred operations, so many add to a shared counter.
    pub add_percent: u8,
    /// Of a hundred of the others, so many read, by a command as every other: half of them a counter, half a key that some client puts. What is
    /// left puts.
    pub read_percent: u8,
    /// Counters, shared by all clients: `counter/0` and so on.
    pub counters: u64,
    /// Keys that each client puts, its own: `put/CLIENT/0` and so on, in random order.
    pub keys: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { add_percent: 20, read_percent: 25, counters: 8, keys: 1024 }
    }
}

/// Why no operation can be made.
#[derive(Debug, Error)]
pub enum OperationError {
    /// The shares are none.
    #[error("a mix has at most 100 percent of adds and of reads, at least one counter and one key")]
    Mix,
    /// Key or value are too long.
    #[error("the store takes no such value: {0}; choose a smaller one")]
    Size(#[from] CodecError),
}

impl Mix {
    /// Puts alone.
    #[must_use]
    pub fn puts() -> Self {
        Self { add_percent: 0, read_percent: 0, ..Self::default() }
    }

    /// Whether there is something to ask for.
    ///
    /// # Errors
    /// [`OperationError::Mix`].
    pub const fn check(&self) -> Result<(), OperationError> {
        let Self { add_percent, read_percent, counters, keys } = *self;
        if add_percent > 100 || read_percent > 100 || counters == 0 || keys == 0 {
            return Err(OperationError::Mix);
        }
        Ok(())
    }
}

/// The operations of one client, in order.
#[derive(Clone, Debug)]
pub struct Generator {
    mix: Mix,
    bundle: usize,
    value_bytes: usize,
    client: usize,
    clients: usize,
    random: SplitMix,
}

impl Generator {
    /// Of the client with this place among the load's clients.
    #[must_use]
    pub fn new(load: &Load, client: usize) -> Self {
        let random = SplitMix::of(load.seed, client, 0);
        Self {
            mix: load.mix,
            bundle: load.bundle,
            value_bytes: load.value_bytes,
            client,
            clients: load.clients,
            random,
        }
    }

    /// The operations of the next command.
    ///
    /// # Errors
    /// [`OperationError::Size`].
    pub fn operations(&mut self) -> Result<Vec<Bytes>, OperationError> {
        (0..self.bundle).map(|_| self.operation()).collect()
    }

    fn operation(&mut self) -> Result<Bytes, OperationError> {
        let action = if self.random.below(100) < self.mix.add_percent.into() {
            let delta = i64::try_from(self.random.below(9)).unwrap_or(0) + 1;
            Action::add(self.counter().as_bytes(), delta)?
        } else if self.random.below(100) >= self.mix.read_percent.into() {
            Action::put(self.key(self.client).as_bytes(), self.random.bytes(self.value_bytes))?
        } else if self.random.below(2) == 0 {
            Action::get(self.counter().as_bytes())?
        } else {
            let client = usize::try_from(self.random.below(self.clients as u64)).unwrap_or(self.client);
            Action::get(self.key(client).as_bytes())?
        };
        Ok(Operation::from(action).encode())
    }

    fn counter(&mut self) -> String {
        format!("counter/{}", self.random.below(self.mix.counters))
    }

    fn key(&mut self, client: usize) -> String {
        format!("put/{client}/{}", self.random.below(self.mix.keys))
    }
}

/// When the commands of one client are due, in an open loop: a Poisson process, so that those of all clients together are one as well.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Mean seconds between two commands of this client.
    mean: f64,
    due: f64,
    random: SplitMix,
}

impl Schedule {
    /// Of the client with this place among the load's clients; `None` in a closed loop.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of clients and operations are far below 2^52")]
    pub fn new(load: &Load, client: usize) -> Option<Self> {
        let mean = (load.clients * load.bundle) as f64 / load.rate?;
        Some(Self { mean, due: 0.0, random: SplitMix::of(load.seed, client, 1) })
    }

    /// When the next command is due, counted from the load's start.
    pub fn next_due(&mut self) -> Duration {
        self.due += -self.mean * self.random.unit().ln();
        Duration::try_from_secs_f64(self.due).unwrap_or(NEVER).min(NEVER)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): numbers that look random, the same for the same seed. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    /// A stream of its own for each client and purpose.
    pub(crate) fn of(seed: u64, client: usize, purpose: u64) -> Self {
        let mut base = Self(seed);
        let mut stream = Self(base.next() ^ ((client as u64) << 8 | purpose));
        Self(stream.next())
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is at least one and so much smaller than 2^64 that the remainder's bias does not matter.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Above zero, at most one.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests;
