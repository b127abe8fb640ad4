#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::vec::Vec;

use crate::testing::{Proposal, Vote, committee, vote};
use crate::*;

/// A vote of view 6, whose primary (of seven) is replica 6: replicas 0 to 5 may state it.
fn statement() -> Vote {
    Vote { view: 6, ..vote() }
}

fn votes<'a>(signers: &'a [Signer], ids: &'a [usize]) -> impl Iterator<Item = (ReplicaId, Signature)> + 'a {
    ids.iter().map(|&id| {
        let signed = signers[id].sign(statement());
        (signed.signer, signed.signature)
    })
}

fn with(signatures: Vec<(ReplicaId, Signature)>) -> QuorumCertificate<Vote> {
    QuorumCertificate { statement: statement(), signatures: signatures.try_into().unwrap() }
}

#[test]
fn a_quorum_in_any_order_becomes_a_good_certificate() {
    let (committee, signers) = committee("chain", 7);
    let made =
        QuorumCertificate::from_votes(statement(), votes(&signers, &[4, 0, 5, 2, 3]), committee.quorums()).unwrap();
    assert_eq!(made.check(&committee), Ok(()));
    assert!(made.signers().eq([0, 2, 3, 4, 5].map(ReplicaId)));
}

#[test]
fn the_smallest_ids_are_taken_and_the_first_vote_of_each() {
    let (committee, signers) = committee("chain", 7);
    let first: Vec<_> = votes(&signers, &[5, 4, 3, 2, 1, 0]).collect();
    let garbage = (ReplicaId(2), Signature::from_bytes([9; 64]));
    let made =
        QuorumCertificate::from_votes(statement(), first.into_iter().chain([garbage]), committee.quorums()).unwrap();
    assert!(made.signers().eq([0, 1, 2, 3, 4].map(ReplicaId)));
    assert_eq!(made.check(&committee), Ok(()));
}

#[test]
fn fewer_than_a_quorum_of_distinct_signers_make_none() {
    let (committee, signers) = committee("chain", 7);
    let few = QuorumCertificate::from_votes(statement(), votes(&signers, &[0, 1, 2, 3, 3, 3]), committee.quorums());
    assert_eq!(few, None);
}

#[test]
fn verified_votes_for_other_statements_do_not_count() {
    let (committee, signers) = committee("chain", 7);
    let equal = (0..5).map(|id| signers[id].sign(statement()));
    let other = signers[5].sign(Vote { slot: 1, ..statement() });
    let mut all: Vec<_> = equal.chain([other]).collect();
    let made = QuorumCertificate::from_verified(&statement(), &all, committee.quorums()).unwrap();
    assert_eq!(made.check(&committee), Ok(()));
    assert!(made.signers().eq([0, 1, 2, 3, 4].map(ReplicaId)));
    all.remove(0);
    assert_eq!(QuorumCertificate::from_verified(&statement(), &all, committee.quorums()), None);
}

#[test]
fn the_number_of_signers_is_exact() {
    let (committee, signers) = committee("chain", 7);
    for (count, expected) in [
        (0, Err(VerifyError::NotAQuorum)),
        (4, Err(VerifyError::NotAQuorum)),
        (5, Ok(())),
        (6, Err(VerifyError::NotAQuorum)),
    ] {
        let made = with(votes(&signers, &[0, 1, 2, 3, 4, 5][..count]).collect());
        assert_eq!(made.check(&committee), expected, "{count} signers");
    }
}

#[test]
fn unsorted_and_repeated_signers_are_refused() {
    let (committee, signers) = committee("chain", 7);
    for ids in [[0, 1, 2, 4, 3], [0, 0, 1, 2, 3], [0, 1, 2, 3, 3], [4, 3, 2, 1, 0]] {
        let made = with(votes(&signers, &ids).collect());
        assert_eq!(made.check(&committee), Err(VerifyError::Unordered), "{ids:?}");
    }
}

#[test]
fn a_signer_out_of_range_is_refused() {
    let (committee, signers) = committee("chain", 7);
    let mut signatures: Vec<_> = votes(&signers, &[0, 1, 2, 3, 4]).collect();
    for stranger in [7, u16::MAX] {
        signatures[4].0 = ReplicaId(stranger);
        assert_eq!(with(signatures.clone()).check(&committee), Err(VerifyError::UnknownSigner));
    }
}

#[test]
fn one_bad_signature_anywhere_is_refused() {
    let (committee, signers) = committee("chain", 7);
    for at in 0..5 {
        let mut signatures: Vec<_> = votes(&signers, &[0, 1, 2, 3, 4]).collect();
        signatures[at].1 = signers[5].sign(statement()).signature;
        assert_eq!(with(signatures).check(&committee), Err(VerifyError::BadSignature), "place {at}");
    }
}

#[test]
fn signatures_of_another_domain_chain_epoch_or_content_are_refused() {
    let (committee, signers) = committee("chain", 7);
    let (_, foreign) = crate::testing::committee("another chain", 7);
    let good = with(votes(&signers, &[0, 1, 2, 3, 4]).collect());
    assert_eq!(good.check(&committee), Ok(()));
    let domain =
        (0..5).map(|id| signers[id].sign(Proposal(statement()))).map(|signed| (signed.signer, signed.signature));
    assert_eq!(with(domain.collect()).check(&committee), Err(VerifyError::BadSignature));
    let chain = with(votes(&foreign, &[0, 1, 2, 3, 4]).collect());
    assert_eq!(chain.check(&committee), Err(VerifyError::BadSignature));
    let later = committee.clone().with_epoch(1);
    assert_eq!(good.check(&later), Err(VerifyError::BadSignature));
    let content = QuorumCertificate { statement: Vote { slot: 1, ..statement() }, ..good };
    assert_eq!(content.check(&committee), Err(VerifyError::BadSignature));
}

#[test]
fn each_signer_must_be_allowed_to_state_it() {
    let (committee, signers) = committee("chain", 7);
    let made = with(votes(&signers, &[0, 1, 2, 3, 6]).collect());
    let refused = VerifyError::Invalid("the primary sends no PREPARE");
    assert_eq!(made.check(&committee), Err(refused));
}

#[test]
fn a_certificate_of_another_size_is_checked_against_that_size() {
    let (committee, signers) = committee("chain", 7);
    let signatures: Vec<_> = votes(&signers, &[0, 1, 2, 3]).collect();
    assert_eq!(check_signatures(&statement(), &signatures, 4, &committee), Ok(()));
    assert_eq!(check_signatures(&statement(), &signatures, 3, &committee), Err(VerifyError::NotAQuorum));
}
