//! The arithmetic of quorums, and the only place that has it.
//!
//! `n` replicas, of which `f = (n - 1) / 3` may be Byzantine. A quorum is `(n + f) / 2 + 1`: two quorums share at least `f + 1` replicas, hence an
//! honest one, and the `n - f` honest ones are a quorum by themselves. For `n = 3f + 1` it is the paper's `2f + 1` (§4).

use crate::seeded::{Bug, seeded};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The largest committee that a genesis may name.
pub const MAX_REPLICAS: usize = 128;

/// The smallest committee that survives one Byzantine member.
pub const MIN_REPLICAS: usize = 4;

/// A replica's place in the genesis: `0..n`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct ReplicaId(pub u16);

impl ReplicaId {
    /// The id as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl core::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Sizes that follow from the number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quorums {
    n: u16,
}

impl Quorums {
    /// For `n` replicas; `None` below 4, where no fault can be survived.
    #[must_use]
    pub const fn new(n: u16) -> Option<Self> {
        if (n as usize) < MIN_REPLICAS {
            return None;
        }
        Some(Self { n })
    }

    /// Replicas.
    #[must_use]
    pub const fn n(self) -> usize {
        self.n as usize
    }

    /// Replicas that may be Byzantine.
    #[must_use]
    pub const fn f(self) -> usize {
        (self.n() - 1) / 3
    }

    /// Signers of a certificate.
    #[must_use]
    pub fn quorum(self) -> usize {
        if seeded(Bug::WeakQuorum) {
            return self.weak();
        }
        (self.n() + self.f()) / 2 + 1
    }

    /// So many replicas that one of them is honest.
    #[must_use]
    pub const fn weak(self) -> usize {
        self.f() + 1
    }

    /// The primary of `view`: replica `view mod n` (§4.1).
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below n, a u16")]
    pub const fn primary(self, view: u64) -> ReplicaId {
        ReplicaId((view % self.n as u64) as u16)
    }

    /// Whether `id` is a member.
    #[must_use]
    pub const fn contains(self, id: ReplicaId) -> bool {
        id.0 < self.n
    }

    /// All members in order.
    pub fn replicas(self) -> impl DoubleEndedIterator<Item = ReplicaId> + ExactSizeIterator + Clone {
        (0..self.n).map(ReplicaId)
    }
}

#[cfg(test)]
mod tests;
