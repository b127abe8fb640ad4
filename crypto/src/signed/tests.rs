#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::sync::Arc;

use crate::testing::{Proposal, Vote, committee, key, vote};
use crate::*;

#[test]
fn what_a_signer_signs_verifies() {
    let (committee, signers) = committee("chain", 4);
    for signer in &signers[..3] {
        let signed = signer.sign(vote());
        assert_eq!(signed.signer, signer.id());
        assert_eq!(signed.clone().into_inner().verify(&committee), Ok(signed));
    }
}

#[test]
fn another_content_signer_or_signature_is_refused() {
    let (committee, signers) = committee("chain", 4);
    let good = signers[0].sign(vote()).into_inner();
    let content = Signed { statement: Vote { slot: 18, ..vote() }, ..good.clone() };
    assert_eq!(content.check(&committee), Err(VerifyError::BadSignature));
    let signer = Signed { signer: ReplicaId(1), ..good.clone() };
    assert_eq!(signer.check(&committee), Err(VerifyError::BadSignature));
    let stranger = Signed { signer: ReplicaId(4), ..good.clone() };
    assert_eq!(stranger.check(&committee), Err(VerifyError::UnknownSigner));
    for at in 0..64 {
        let mut bytes = *good.signature.as_bytes();
        bytes[at] ^= 1;
        let signed = Signed { signature: Signature::from_bytes(bytes), ..good.clone() };
        assert_eq!(signed.check(&committee), Err(VerifyError::BadSignature), "byte {at}");
    }
}

/// The two statements have equal bytes; only the domain tells them apart.
#[test]
fn a_signature_means_nothing_in_another_domain() {
    let (committee, signers) = committee("chain", 4);
    assert_eq!(encode(&vote()), encode(&Proposal(vote())));
    let Signed { signer, signature, .. } = signers[3].sign(Proposal(vote())).into_inner();
    let moved = Signed { statement: vote(), signer, signature };
    assert_eq!(moved.check(&committee), Err(VerifyError::BadSignature));
}

#[test]
fn a_signature_means_nothing_on_another_chain_or_epoch() {
    let (committee, signers) = committee("chain", 4);
    let (other, _) = crate::testing::committee("another chain", 4);
    let signed = signers[0].sign(vote()).into_inner();
    assert_eq!(signed.check(&committee), Ok(()));
    assert_eq!(signed.check(&other), Err(VerifyError::BadSignature));
    let later = committee.clone().with_epoch(1);
    assert_eq!(signed.check(&later), Err(VerifyError::BadSignature));
}

#[test]
fn a_statements_own_rules_are_checked_after_its_signature() {
    let (committee, signers) = committee("chain", 4);
    let by_backup = signers[0].sign(Proposal(vote())).into_inner();
    assert_eq!(by_backup.check(&committee), Err(VerifyError::NotPrimary));
    let by_primary = signers[3].sign(Proposal(vote())).into_inner();
    assert_eq!(by_primary.check(&committee), Ok(()));
    let forged = Signed { signer: ReplicaId(1), ..by_backup };
    assert_eq!(forged.check(&committee), Err(VerifyError::BadSignature));
}

#[test]
fn a_key_signs_only_for_its_own_place() {
    let (committee, _) = committee("chain", 4);
    assert!(Signer::new(ReplicaId(1), key(2), &committee).is_ok());
    assert_eq!(Signer::new(ReplicaId(1), key(1), &committee), Err(VerifyError::UnknownSigner));
    assert_eq!(Signer::new(ReplicaId(4), key(5), &committee), Err(VerifyError::UnknownSigner));
}

/// Evidence rests on the signature alone, because what is signed against the rules accuses its signer.
#[test]
fn a_signature_is_checked_apart_from_the_rules() {
    let (committee, signers) = committee("chain", 4);
    let by_backup = signers[0].sign(Proposal(vote())).into_inner();
    assert_eq!(by_backup.check_signature(&committee), Ok(()));
    let forged = Signed { signer: ReplicaId(1), ..by_backup };
    assert_eq!(forged.check_signature(&committee), Err(VerifyError::BadSignature));
}

#[test]
fn a_shared_value_is_checked_like_an_owned_one() {
    let (committee, signers) = committee("chain", 4);
    let good = signers[0].sign(Proposal(vote())).into_inner();
    assert_eq!(Arc::new(good).check(&committee), Err(VerifyError::NotPrimary));
    let good = signers[3].sign(Proposal(vote())).into_inner();
    assert!(Arc::new(good).verify(&committee).is_ok());
}
