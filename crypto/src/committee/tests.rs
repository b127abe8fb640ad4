#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::sync::Arc;
use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::testing::{committee, vote};
use crate::*;

/// Remembers everything, and counts what it was asked.
#[derive(Default)]
struct Memory {
    known: Mutex<BTreeSet<Digest>>,
    hits: Mutex<usize>,
}

impl SignatureCache for Memory {
    fn knows(&self, proof: &Digest) -> bool {
        let known = self.known.lock().unwrap().contains(proof);
        *self.hits.lock().unwrap() += usize::from(known);
        known
    }

    fn learn(&self, proof: Digest) {
        assert!(self.known.lock().unwrap().insert(proof), "checked again although it was known");
    }
}

#[test]
fn a_known_signature_is_not_checked_again() {
    let (plain, signers) = committee("chain", 4);
    let memory = Arc::new(Memory::default());
    let cached = plain.clone().with_cache(memory.clone());
    assert_eq!(cached, plain);
    let signed = signers[0].sign(vote()).into_inner();
    for hits in 0..3 {
        assert_eq!(signed.check(&cached), Ok(()));
        assert_eq!((memory.known.lock().unwrap().len(), *memory.hits.lock().unwrap()), (1, hits));
    }
}

/// Whatever is not exactly what was checked is checked: another signer, statement, signature, chain.
#[test]
fn a_cache_never_makes_a_bad_signature_good() {
    let (plain, signers) = committee("chain", 4);
    let memory = Arc::new(Memory::default());
    let cached = plain.with_cache(memory.clone());
    let signed = signers[0].sign(vote()).into_inner();
    assert_eq!(signed.check(&cached), Ok(()));
    let mut bytes = *signed.signature.as_bytes();
    bytes[0] ^= 1;
    let mut other = signed.clone();
    other.statement.slot += 1;
    let (foreign, _) = committee("other", 4);
    let bad = [
        Signed { signer: ReplicaId(2), ..signed.clone() },
        Signed { signature: Signature::from_bytes(bytes), ..signed.clone() },
        other,
    ];
    for _ in 0..2 {
        for signed in &bad {
            assert_eq!(signed.check(&cached), Err(VerifyError::BadSignature));
        }
        assert_eq!(signed.check(&foreign.clone().with_cache(memory.clone())), Err(VerifyError::BadSignature));
    }
    assert_eq!(memory.known.lock().unwrap().len(), 1);
}
