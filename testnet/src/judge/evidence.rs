//! Whether the right ones are proved faulty, and nobody else.

use super::JudgeError;
use super::finding::Finding;
use super::stores::Honest;
use super::verdict::{Evidence, ForkProof};
use std::collections::{BTreeMap, BTreeSet};
use varangian::evidence::EvidenceFile;
use varangian::fork::{self, Fork};
use varangian_consensus as consensus;
use varangian_consensus::{Slot, View};
use varangian_crypto::{Committee, Digest, ReplicaId, Verify};

/// Who did it, what, and where: several proofs of it count once.
type Deed = (ReplicaId, &'static str, (View, Slot));

fn deed(proof: &consensus::Evidence) -> Deed {
    (proof.accused(), proof.kind(), proof.place())
}

/// Who must be proved faulty, who may be, and who must not.
pub(super) struct Expected {
    pub(super) innocent: BTreeSet<ReplicaId>,
    pub(super) accused: BTreeSet<ReplicaId>,
    pub(super) may_be_accused: BTreeSet<ReplicaId>,
}

/// Collects the honest replicas' proofs, each checked with the genesis alone, and if they have forked, what their disks prove together: the judgement, and all
/// that is proved, each deed once.
pub(super) fn judge(
    chain_id: Digest,
    expected: &Expected,
    committee: &Committee,
    honest: &[Honest],
) -> Result<(Evidence, EvidenceFile), JudgeError> {
    let mut verdict = Evidence::default();
    let mut deeds: BTreeMap<Deed, ReplicaId> = BTreeMap::new();
    let mut proved: BTreeMap<Deed, consensus::Evidence> = BTreeMap::new();
    for replica in honest {
        for proof in &replica.evidence {
            let (holder, accused) = (replica.id, proof.accused());
            match proof.check(committee) {
                Err(error) => {
                    verdict.findings.push(Finding::FalseProof { holder, accused, reason: error.to_string() });
                }
                Ok(()) => {
                    deeds.entry(deed(proof)).or_insert(holder);
                    proved.entry(deed(proof)).or_insert_with(|| proof.clone());
                }
            }
        }
    }
    let Expected { innocent, accused: must, may_be_accused: may } = expected;
    for ((accused, kind, _), holder) in deeds {
        *verdict.proofs.entry(accused).or_default().entry(kind).or_default() += 1;
        if innocent.contains(&accused) {
            verdict.findings.push(Finding::HonestAccused { holder, accused, kind });
        } else if !must.contains(&accused) && !may.contains(&accused) {
            verdict.findings.push(Finding::UnexpectedlyAccused { accused, kind });
        }
    }
    let disks: Vec<_> = honest.iter().map(|replica| (replica.id, &replica.store)).collect();
    if let Some(Fork { slot, proofs, .. }) = fork::examine(&disks, committee)? {
        let mut culprits: BTreeMap<ReplicaId, BTreeMap<&'static str, u64>> = BTreeMap::new();
        let together: BTreeMap<Deed, consensus::Evidence> =
            proofs.into_iter().map(|proof| (deed(&proof), proof)).collect();
        for &(accused, kind, _) in together.keys() {
            *culprits.entry(accused).or_default().entry(kind).or_default() += 1;
            if innocent.contains(&accused) {
                verdict.findings.push(Finding::ForkAccusesHonest { slot, accused, kind });
            }
        }
        let (known, needed) = (culprits.len(), committee.quorums().weak());
        if known < needed {
            verdict.findings.push(Finding::ForkUnproved { slot, proved: known, needed });
        }
        for (deed, proof) in together {
            proved.entry(deed).or_insert(proof);
        }
        verdict.fork = Some(ForkProof { slot: slot.0, culprits });
    }
    let culprits = verdict.culprits();
    for expected in must.difference(&culprits) {
        verdict.findings.push(Finding::NotAccused(*expected));
    }
    Ok((verdict, EvidenceFile::new(chain_id, proved.into_values())))
}
