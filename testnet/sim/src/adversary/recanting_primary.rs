//! A primary that does not stand by what it said (faults, rows 1, 9 and 22).
//!
//! Its proposals are honest. But whoever connects anew and has missed one, or seems to have, hears another: the same commands in another order, with their
//! body. It may have been restarted and have forgotten. After a restart of its own the primary has forgotten the bodies, and says the truth again.
//! It keeps its COMMITs to itself, so that a slot waits for every honest replica.
//!
//! Defence: what a backup accepted is on its disk before it says so, and binds it however often it restarts; both pre-prepares together are evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::telling::Spare;
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{Batch, Message, PrePrepare, Record, Slot, View, Vote};
use varangian_crypto::ReplicaId;
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct RecantingPrimary {
    spare: Spare,
    /// The other story of its proposals, two windows of them at most.
    others: BTreeMap<(View, Slot), Arc<Batch>>,
    /// What was proposed last when this peer connected; its own core greets it with a status then.
    before: BTreeMap<ReplicaId, (View, Slot)>,
}

impl Behaviour for RecantingPrimary {
    fn persisting(&mut self, hand: &Hand, records: &[Record]) {
        self.spare.see(records);
        for pair in records.windows(2) {
            if let [Record::Batch { slot, batch }, Record::Proposed(proposal)] = pair
                && proposal.slot == *slot
                && hand.strikes(proposal.view, Some(*slot))
                && let Some(other) = self.spare.reordered(batch)
                && hand.fits(other.encoded().len() as u64, other.operation_count())
            {
                self.others.insert((proposal.view, *slot), Arc::new(other));
            }
        }
        while self.others.len() as u64 > hand.window().saturating_mul(2) {
            self.others.pop_first();
        }
    }

    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        match &vote {
            Vote::Commit(own) if self.others.contains_key(&(own.view, own.slot)) => hand.tell(io, vote, []),
            _ => io.vote(vote),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let said = match &message {
            Message::PrePrepare(own) if hand.is_own(own) => Some(own.statement),
            Message::Commit(own) if hand.is_own(own) => {
                if self.others.contains_key(&(own.statement.view, own.statement.slot)) {
                    return;
                }
                None
            }
            Message::Status(_) => {
                self.before.extend(self.others.keys().next_back().map(|last| (to, *last)));
                None
            }
            _ => None,
        };
        let said = said.filter(|said| self.before.get(&to).is_some_and(|last| (said.view, said.slot) <= *last));
        match said.and_then(|said| Some((said, self.others.get(&(said.view, said.slot))?))) {
            Some((said, other)) => {
                hand.lie(io, [to], Vote::PrePrepare(PrePrepare { digest: *other.digest(), ..said }));
                io.send(to, Message::Batch { slot: said.slot, batch: other.clone() });
            }
            None => io.send(to, message),
        }
    }
}
