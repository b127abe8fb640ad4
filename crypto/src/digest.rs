//! Digests: BLAKE3 for bodies (commands, batches), SHA-256 for everything else. The choice is frozen.
//!
//! Both take parts and are injective over (domain, list of parts): the domain and each part go in behind their length, so moving a byte
//! from one part to the next gives another input.

use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::Digest as _;

use crate::KeyError;
use crate::hexadecimal::{hexadecimal, parse};

/// 32 bytes of SHA-256 or BLAKE3.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// All zeroes. No function here has a known preimage of it, so it names what has no bytes.
    pub const ZERO: Self = Self([0; 32]);

    /// A digest of known bytes, for instance from a store's key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text).map(Self)
    }
}

hexadecimal!(Digest);

/// SHA-256 over `domain` and `parts`, each behind its length as a little-endian `u64`.
#[must_use]
pub fn sha256(domain: &'static str, parts: &[&[u8]]) -> Digest {
    let mut hasher = sha2::Sha256::new();
    for part in core::iter::once(&domain.as_bytes()).chain(parts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// BLAKE3 in derive-key mode over `parts`, each behind its length as a little-endian `u64`.
#[must_use]
pub fn blake3(context: &'static str, parts: &[&[u8]]) -> Digest {
    let mut hasher = BodyHasher::new(context);
    for part in parts {
        hasher.part(part);
    }
    hasher.digest()
}

/// [`fn@blake3`] part by part, for bodies that lie in several places; nothing is copied.
#[derive(Clone, Debug)]
pub struct BodyHasher(::blake3::Hasher);

impl BodyHasher {
    /// `context` separates one use from all others; it is frozen with the format.
    #[must_use]
    pub fn new(context: &'static str) -> Self {
        Self(::blake3::Hasher::new_derive_key(context))
    }

    /// Takes the next part.
    pub fn part(&mut self, part: &[u8]) -> &mut Self {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// The digest of the parts so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    /// The endless output; [`Self::digest`] is its beginning.
    pub(crate) fn reader(&self) -> ::blake3::OutputReader {
        self.0.finalize_xof()
    }

    /// As many bytes of output as `output` holds; [`Self::digest`] is their beginning.
    pub(crate) fn expand(&self, output: &mut [u8]) {
        self.reader().fill(output);
    }
}

#[cfg(test)]
mod tests;
