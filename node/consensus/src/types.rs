//! The numbers of the protocol: views, slots, sequences, milliseconds.

use borsh::{BorshDeserialize, BorshSerialize};
use core::fmt;

/// A reign of one primary (the paper's view number `v`). Replica `v mod n` is its primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct View(pub u64);

/// A place in the agreed order (the paper's sequence number `n`). The first is 1; slot 0 is genesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Slot(pub u64);

/// A client's number for one of its commands (the paper's timestamp `t`). The first usable one is 1.
pub type Sequence = u64;

/// Milliseconds of a monotonic clock whose origin means nothing.
pub type Millis = u64;

impl View {
    /// The view after this one. The last view is its own successor: it cannot be reached by honest replicas.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Slot {
    /// Slot 0, stable by genesis.
    pub const GENESIS: Self = Self(0);

    /// The slot after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The slot `count` places further.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many slots lie in `(earlier, self]`; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
