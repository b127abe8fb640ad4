//! Signatures, and bodies full of them, that were found good before: a message costs what is new in it.
//!
//! A proof is named by a digest of everything that the check depends on (of a signature: signer, signed bytes and signature), so knowing
//! it means that exactly this was checked. Only good ones are remembered: a bad one is checked again each time, and nobody can make the
//! memory say yes to it.

use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::Digest;

/// A bounded memory of good signatures. It may forget any of them at any time.
pub trait SignatureCache: Send + Sync {
    /// Whether the signature of this name was found good before.
    fn knows(&self, proof: &Digest) -> bool;

    /// The signature of this name is good.
    fn learn(&self, proof: Digest);
}

/// A committee's cache, if it has one. It changes what a check costs and never what it says, so it counts for nothing when
/// committees are compared.
#[derive(Clone, Default)]
pub(crate) struct CacheSlot(pub(crate) Option<Arc<dyn SignatureCache>>);

impl fmt::Debug for CacheSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "cached" } else { "uncached" })
    }
}

impl PartialEq for CacheSlot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CacheSlot {}

impl Hash for CacheSlot {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
