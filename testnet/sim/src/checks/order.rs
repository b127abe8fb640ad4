//! §4.4 again, by another algorithm: what a NEW-VIEW must carry over.

use super::invariant::{Held, Invariant, ensure};
use varangian_consensus::{NULL_BATCH, PrePrepare, Slot, View, ViewChange};
use varangian_crypto::{Digest, ReplicaId};

/// A digest for each slot, in order.
pub type Order = Vec<(Slot, Digest)>;

/// `O` for these view changes, or every place at which two certificates contradict each other. Slot by slot, and for each slot view by
/// view from the highest down, looking through everything every time.
///
/// # Errors
/// The places that were prepared twice.
pub fn oracle<'a>(changes: impl Iterator<Item = &'a ViewChange> + Clone) -> Result<Order, Vec<(Slot, View)>> {
    let certificates =
        || changes.clone().flat_map(|change| change.prepared.iter().map(|certificate| certificate.pre_prepare));
    let mut forks = Vec::new();
    for one in certificates() {
        for other in certificates() {
            if (one.view, one.slot) == (other.view, other.slot) && one.digest != other.digest {
                forks.push((one.slot, one.view));
            }
        }
    }
    if !forks.is_empty() {
        return Err(forks);
    }
    let stable = |change: &ViewChange| change.stable.as_ref().map_or(0, |stable| stable.statement.slot.0);
    let min = changes.clone().map(stable).max().unwrap_or(0);
    let max = certificates().map(|pre_prepare| pre_prepare.slot.0).max().unwrap_or(0);
    let mut views: Vec<u64> = certificates().map(|pre_prepare| pre_prepare.view.0).collect();
    views.sort_unstable_by(|one, other| other.cmp(one));
    views.dedup();
    let mut order = Vec::new();
    for slot in min + 1..=max {
        let in_view =
            |view: &u64| certificates().find(|pre_prepare| pre_prepare.slot.0 == slot && pre_prepare.view.0 == *view);
        let chosen = views.iter().find_map(in_view).map_or(NULL_BATCH, |found| found.digest);
        order.push((Slot(slot), chosen));
    }
    Ok(order)
}

/// A NEW-VIEW of `view` that an honest replica sends or accepts carries over what the oracle says.
///
/// # Errors
/// [`Invariant::OrderIsTheOracles`].
pub fn check<'a>(
    replica: ReplicaId,
    view: View,
    changes: impl Iterator<Item = &'a ViewChange> + Clone,
    order: impl Iterator<Item = PrePrepare>,
) -> Held {
    let order: Vec<_> = order.map(|vote| (vote.view, vote.slot, vote.digest)).collect();
    let expected = oracle(changes).map(|slots| {
        let slots = slots.into_iter().map(|(slot, digest)| (view, slot, digest));
        slots.collect::<Vec<_>>()
    });
    ensure(expected.as_ref() == Ok(&order), Invariant::OrderIsTheOracles, || {
        format!("{replica} begins view {view} with {order:?}, the oracle says {expected:?}")
    })
}
