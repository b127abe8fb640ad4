//! §4.4: what a NEW-VIEW must carry over. A pure function of its view changes, computed by the primary and again by every backup.

use crate::batch::NULL_BATCH;
use crate::types::{Slot, View};
use crate::vote::{PrePrepare, StableCheckpoint, ViewChange};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use thiserror::Error;
use varangian_crypto::Digest;
use varangian_crypto::seeded::{Bug, seeded};

/// The paper's `O`, with the checkpoint it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewViewOrder {
    /// `min-s`: the highest stable checkpoint that a view change proves; `None` is genesis.
    pub stable: Option<StableCheckpoint>,
    /// For every slot in `(min-s, max-s]`, in order: the digest to pre-prepare, [`NULL_BATCH`] where nothing was prepared.
    pub slots: Vec<(Slot, Digest)>,
}

/// Why no order follows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Two valid certificates for one view and slot: two quorums without an honest replica in common.
    #[error("slot {slot} was prepared twice in view {view}: more than f replicas are faulty")]
    Fork {
        /// Where.
        slot: Slot,
        /// In which view.
        view: View,
    },
}

impl NewViewOrder {
    /// `min-s`.
    #[must_use]
    pub fn min(&self) -> Slot {
        self.stable.as_ref().map_or(Slot::GENESIS, |certificate| certificate.statement.slot)
    }

    /// The first slot that the new primary is free to fill: after both `min-s` and `max-s`.
    #[must_use]
    pub fn next_free(&self) -> Slot {
        self.slots.last().map_or(self.min(), |(slot, _)| *slot).next()
    }
}

/// Computes `O` from view changes that were verified. Per slot the certificate of the highest view wins, also where that is
/// a null batch against a batch of a lower view. `max-s` is at most `min-s + window`, because no view change reaches further
/// than a window above its own checkpoint.
///
/// # Errors
/// [`OrderError::Fork`] if the certificates contradict each other.
pub fn new_view_order<'a>(
    view_changes: impl Iterator<Item = &'a ViewChange>,
    window: u64,
) -> Result<NewViewOrder, OrderError> {
    let mut stable: Option<&StableCheckpoint> = None;
    let mut prepared: BTreeMap<(Slot, View), Digest> = BTreeMap::new();
    for view_change in view_changes {
        if let Some(certificate) = &view_change.stable
            && stable.is_none_or(|best| best.statement.slot < certificate.statement.slot)
        {
            stable = Some(certificate);
        }
        for certificate in view_change.prepared.iter() {
            let PrePrepare { view, slot, digest } = certificate.pre_prepare;
            if *prepared.entry((slot, view)).or_insert(digest) != digest {
                return Err(OrderError::Fork { slot, view });
            }
        }
    }
    // Ascending by (slot, view): the last digest written for a slot is that of its highest view.
    let ascending = prepared.iter().map(|((slot, _), digest)| (*slot, *digest));
    let mut highest: BTreeMap<Slot, Digest> = ascending.clone().collect();
    if seeded(Bug::HighestViewIgnored) {
        highest = ascending.clone().rev().collect();
    }
    if seeded(Bug::NullLoses) {
        highest.extend(ascending.filter(|(_, digest)| *digest != NULL_BATCH));
    }
    let min = stable.map_or(Slot::GENESIS, |certificate| certificate.statement.slot);
    let max = highest.keys().next_back().copied().unwrap_or(min).min(min.plus(window));
    let slots = (min.0.saturating_add(1)..=max.0)
        .map(|slot| (Slot(slot), highest.get(&Slot(slot)).copied().unwrap_or(NULL_BATCH)))
        .collect();
    Ok(NewViewOrder { stable: stable.cloned(), slots })
}
