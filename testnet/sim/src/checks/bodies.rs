//! A certificate names a body; it is still there when somebody needs it.

use super::invariant::{Held, Invariant, ensure};
use crate::cluster::disk::Disk;
use varangian_consensus::{NULL_BATCH, PrePrepare, Record};
use varangian_crypto::{Quorums, ReplicaId};

/// Whatever these records certify is on the disks of `f + 1` honest replicas, or below a stable checkpoint there.
/// `disks` are the honest ones that are intact. Of a quorum's, `byzantine` and `lost` ones (both among the `f`) may be missing.
///
/// # Errors
/// [`Invariant::BodiesRetrievable`].
pub fn check<'a>(
    records: &[Record],
    disks: impl Iterator<Item = (ReplicaId, &'a Disk)> + Clone,
    quorums: Quorums,
    byzantine: usize,
    lost: usize,
) -> Held {
    let certified = records.iter().filter_map(|record| match record {
        Record::Prepared(certificate) => Some(certificate.pre_prepare),
        _ => None,
    });
    let needed = quorums.weak().min(quorums.quorum().saturating_sub(byzantine + lost));
    certified.filter(|vote| vote.digest != NULL_BATCH).try_for_each(|vote: PrePrepare| {
        let keeps = |disk: &Disk| disk.stable_slot() >= vote.slot || disk.batch(vote.slot, &vote.digest).is_some();
        let keepers: Vec<_> = disks.clone().filter(|(_, disk)| keeps(disk)).map(|(id, _)| id).collect();
        ensure(keepers.len() >= needed, Invariant::BodiesRetrievable, || {
            format!("the body of {vote:?} is prepared, and of the honest only {keepers:?} have it")
        })
    })
}
