//! What clients see: exactly one answer per command, the log's, in the order of real time.

use super::invariant::{Held, Invariant, ensure};
use super::log::Log;
use crate::cluster::disk::Answer;
use std::collections::BTreeMap;
use varangian_consensus::{Identity, Slot};
use varangian_crypto::ReplicaId;

/// See the module. Times are of one clock, whatever its unit.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    said: BTreeMap<(ReplicaId, Identity), Answer>,
    invoked: BTreeMap<Identity, u64>,
    accepted: BTreeMap<Identity, Answer>,
    /// By time of return: the highest slot that had been returned by then.
    returned: BTreeMap<u64, Slot>,
}

impl Replies {
    /// Honest `replica` replies: as it did before.
    ///
    /// # Errors
    /// [`Invariant::ExactlyOnce`].
    pub fn replied(&mut self, replica: ReplicaId, identity: Identity, answer: &Answer) -> Held {
        if answer.result.is_none() {
            return Ok(());
        }
        let first = self.said.entry((replica, identity)).or_insert_with(|| answer.clone());
        ensure(first == answer, Invariant::ExactlyOnce, || {
            format!("{replica} replies {answer:?} to {identity:?} and said {first:?} before")
        })
    }

    /// A client begins to want this command run. The first time counts.
    pub fn invoked(&mut self, identity: Identity, now: u64) {
        self.invoked.entry(identity).or_insert(now);
    }

    /// A client accepts an answer that `f + 1` replicas gave.
    ///
    /// # Errors
    /// [`Invariant::Linearizable`].
    pub fn accepted(&mut self, identity: Identity, answer: &Answer, now: u64, log: &Log) -> Held {
        ensure(log.answer(&identity) == Some(answer), Invariant::Linearizable, || {
            format!("the client of {identity:?} accepts {answer:?}, a replay says {:?}", log.answer(&identity))
        })?;
        let invoked = self.invoked.get(&identity).copied().unwrap_or(0);
        let before = self.returned.range(..invoked).next_back();
        if let Some((time, slot)) = before {
            ensure(*slot < answer.slot, Invariant::Linearizable, || {
                format!(
                    "{identity:?} was invoked at {invoked} and ran in slot {}, but slot {slot} was returned at {time}",
                    answer.slot
                )
            })?;
        }
        let highest = self.returned.last_key_value().map_or(answer.slot, |(_, slot)| answer.slot.max(*slot));
        self.returned.insert(now, highest);
        self.accepted.insert(identity, answer.clone());
        Ok(())
    }

    /// Commands that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.accepted.len()
    }

    /// A replica that holds the log up to the highest acknowledged slot still says what was acknowledged.
    ///
    /// # Errors
    /// [`Invariant::NothingAcknowledgedIsLost`].
    pub fn must_survive(&self, replica: ReplicaId, answer_of: impl Fn(&Identity) -> Option<Answer>) -> Held {
        self.accepted.iter().try_for_each(|(identity, answer)| {
            let found = answer_of(identity);
            ensure(found.as_ref() == Some(answer), Invariant::NothingAcknowledgedIsLost, || {
                format!("{identity:?} was acknowledged as {answer:?}, and {replica} says {found:?}")
            })
        })
    }
}
