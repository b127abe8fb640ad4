//! An incremental digest of a set of (namespace, key, value) entries: LtHash.
//!
//! 1024 lanes of 16 bits; each entry's lanes come from BLAKE3's extendable output over an injective encoding and are added lane by lane, modulo 2^16.
//! Adding and removing cost the entry's size alone, and the order does not matter. Each key may be in the set once: to change a value, remove
//! the old entry exactly and add the new one (a repeated entry would be a multiset, where 2^16 copies cancel out). Security rests on short
//! integer vectors being hard to find at this width; narrower vectors, XOR and plain sums are broken.
//!
//! Written here because it is forty lines, and the kept crate for it (`solana-lattice-hash`) brings a family of others that this `no_std` crate
//! has no use for.

use alloc::boxed::Box;

use crate::{BodyHasher, Digest, sha256};

/// Lanes of the accumulator.
const LANES: usize = 1024;

/// The BLAKE3 context of one entry. Frozen.
const ENTRY: &str = "varangian 1 state entry";

/// The accumulator of a set of entries.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StateDigest {
    lanes: Box<[u16; LANES]>,
}

impl StateDigest {
    /// Bytes of [`Self::to_bytes`].
    pub const BYTES: usize = 2 * LANES;

    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self { lanes: Box::new([0; LANES]) }
    }

    /// Adds an entry that is not in the set.
    pub fn add(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) {
        self.apply(namespace, key, value, u16::wrapping_add);
    }

    /// Removes an entry that is in the set.
    pub fn remove(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) {
        self.apply(namespace, key, value, u16::wrapping_sub);
    }

    /// What replicas sign at a checkpoint.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256("varangian/1/state", &[&self.to_bytes()])
    }

    /// The lanes, little-endian, to be stored.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (lane, place) in self.lanes.iter().zip(bytes.chunks_exact_mut(2)) {
            place.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// The accumulator of stored lanes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut set = Self::new();
        for (lane, place) in set.lanes.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = u16::from_le_bytes([place[0], place[1]]);
        }
        set
    }

    fn apply(&mut self, namespace: &[u8], key: &[u8], value: &[u8], combine: fn(u16, u16) -> u16) {
        let mut bytes = [0; Self::BYTES];
        BodyHasher::new(ENTRY).part(namespace).part(key).part(value).expand(&mut bytes);
        let entry = Self::from_bytes(&bytes);
        for (lane, other) in self.lanes.iter_mut().zip(entry.lanes.iter()) {
            *lane = combine(*lane, *other);
        }
    }
}

impl Default for StateDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "StateDigest({})", self.digest())
    }
}

#[cfg(test)]
mod tests;
