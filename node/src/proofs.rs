//! A bounded memory of good signatures, shared by the verifying threads: one of replicas' and one of clients', so that a flood of commands makes no
//! NEW-VIEW dearer.
//!
//! Two generations: when the younger is full, the older is forgotten and they change places. So what was used lately is there, and
//! memory is bounded by twice a generation.

use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, PoisonError};
use varangian_crypto::{Digest, SignatureCache};

/// Signatures of one generation: several windows' worth of votes of a large committee, or some seconds of commands; about 2 MiB.
const GENERATION: usize = 32 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Proofs {
    generations: Mutex<[HashSet<Digest>; 2]>,
}

impl SignatureCache for Proofs {
    fn knows(&self, proof: &Digest) -> bool {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.iter().any(|generation| generation.contains(proof))
    }

    fn learn(&self, proof: Digest) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [younger, older] = &mut *generations;
        if younger.len() >= GENERATION {
            mem::swap(younger, older);
            younger.clear();
        }
        younger.insert(proof);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use varangian_crypto::sha256;

    fn proof(number: usize) -> Digest {
        sha256("test", &[&(number as u64).to_le_bytes()])
    }

    #[test]
    fn what_was_learned_lately_is_known_and_memory_is_bounded() {
        let proofs = Proofs::default();
        assert!(!proofs.knows(&proof(0)));
        for number in 0..3 * GENERATION {
            proofs.learn(proof(number));
            assert!(proofs.knows(&proof(number)));
            assert!(proofs.knows(&proof(number.saturating_sub(GENERATION - 1))));
        }
        assert!(!proofs.knows(&proof(0)));
        let held: usize = proofs.generations.lock().unwrap().iter().map(HashSet::len).sum();
        assert!(held <= 2 * GENERATION);
    }
}
