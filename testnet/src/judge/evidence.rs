//! Whether the right ones are proved faulty, and nobody else.

use super::Case;
use super::finding::Finding;
use super::stores::Honest;
use super::verdict::Evidence;
use std::collections::{BTreeMap, BTreeSet};
use varangian_crypto::{Committee, ReplicaId, Verify};

/// Collects the honest replicas' proofs, each checked with the genesis alone. The same deed proved to several replicas counts once.
pub(super) fn judge(case: &Case, committee: &Committee, honest: &[Honest]) -> Evidence {
    let mut verdict = Evidence::default();
    let mut deeds: BTreeMap<_, ReplicaId> = BTreeMap::new();
    for replica in honest {
        for proof in &replica.evidence {
            let (holder, accused) = (replica.id, proof.accused());
            match proof.check(committee) {
                Err(error) => {
                    verdict.findings.push(Finding::FalseProof { holder, accused, reason: error.to_string() });
                }
                Ok(()) => {
                    deeds.entry((accused, proof.kind(), proof.place())).or_insert(holder);
                }
            }
        }
    }
    let innocent: BTreeSet<_> = case.homes.iter().filter(|(_, _, honest)| *honest).map(|(id, _, _)| *id).collect();
    for ((accused, kind, _), holder) in deeds {
        *verdict.proofs.entry(accused).or_default().entry(kind).or_default() += 1;
        if innocent.contains(&accused) {
            verdict.findings.push(Finding::HonestAccused { holder, accused, kind });
        } else if !case.expect_accused.contains(&accused) && !case.may_accuse.contains(&accused) {
            verdict.findings.push(Finding::UnexpectedlyAccused { accused, kind });
        }
    }
    for expected in &case.expect_accused {
        if !verdict.proofs.contains_key(expected) {
            verdict.findings.push(Finding::NotAccused(*expected));
        }
    }
    verdict
}
