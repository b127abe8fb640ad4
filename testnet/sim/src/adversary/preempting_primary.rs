//! A new primary that is ahead of its own NEW-VIEW (faults, rows 1 and 13).
//!
//! Its NEW-VIEW is the true one, but a tick before it every peer hears a pre-prepare of the same view for each of its slots, with another batch: another one
//! that it knows for that slot, else the null batch, which needs no body; in the place of a null batch, the last one that it wrote. The bodies follow the
//! NEW-VIEW. Its own core is in time.
//!
//! Defence: what a NEW-VIEW settles is settled, whatever came before it; both together are evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{Batch, Message, NULL_BATCH, PrePrepare, Record, Slot, Vote};
use varangian_crypto::ReplicaId;
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct PreemptingPrimary {
    /// The last two batches that it wrote for a slot, two windows of them at most.
    bodies: BTreeMap<Slot, Vec<Arc<Batch>>>,
    /// What waits for the next tick: the NEW-VIEW, and the bodies after it.
    next: Vec<(ReplicaId, Message)>,
}

impl PreemptingPrimary {
    /// The null batch, or one that it knows.
    fn other(&self, due: &PrePrepare) -> (PrePrepare, Option<Arc<Batch>>) {
        let other = |batch: &&Arc<Batch>| *batch.digest() != due.digest;
        let known = self.bodies.get(&due.slot).and_then(|held| held.iter().find(other));
        let last = self.bodies.values().next_back().and_then(|held| held.last());
        let batch = known.or_else(|| last.filter(|_| due.digest == NULL_BATCH)).cloned();
        let digest = batch.as_ref().map_or(NULL_BATCH, |batch| *batch.digest());
        (PrePrepare { digest, ..*due }, batch)
    }

    /// What is said before a NEW-VIEW with this order, and the bodies that are said after it.
    fn preempt(&self, hand: &Hand, hearer: ReplicaId, order: &[PrePrepare], io: &mut dyn Io) -> Vec<Message> {
        let mut bodies = Vec::new();
        for due in order {
            let (other, batch) = self.other(due);
            if other != *due {
                hand.lie(io, [hearer], Vote::PrePrepare(other));
                bodies.extend(batch.map(|batch| Message::Batch { slot: due.slot, batch }));
            }
        }
        bodies
    }
}

impl Behaviour for PreemptingPrimary {
    fn persisting(&mut self, hand: &Hand, records: &[Record]) {
        for record in records {
            if let Record::Batch { slot, batch } = record {
                let held = self.bodies.entry(*slot).or_default();
                held.push(batch.clone());
                if held.len() > 2 {
                    held.remove(0);
                }
            }
        }
        while self.bodies.len() as u64 > hand.window().saturating_mul(2) {
            self.bodies.pop_first();
        }
    }

    fn tick(&mut self, _: &Hand, io: &mut dyn Io) {
        for (peer, message) in std::mem::take(&mut self.next) {
            io.send(peer, message);
        }
    }

    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let order = match &vote {
            Vote::NewView(draft) if hand.strikes(draft.view, None) => draft.order.clone(),
            _ => return io.vote(vote),
        };
        match hand.sign(vote.clone()) {
            Ok((delivery, message)) => {
                io.deliver(delivery);
                self.next.clear();
                for peer in hand.peers() {
                    let bodies = self.preempt(hand, peer, &order, io);
                    self.next.extend([message.clone()].into_iter().chain(bodies).map(|message| (peer, message)));
                }
            }
            // It cannot be signed: the shell underneath finds the same.
            Err(_) => io.vote(vote),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let bodies = match &message {
            Message::NewView(own) if hand.is_own(own) && hand.strikes(own.statement.view, None) => {
                let order: Vec<_> = own.statement.pre_prepares.iter().map(|signed| signed.statement).collect();
                self.preempt(hand, to, &order, io)
            }
            _ => Vec::new(),
        };
        io.send(to, message);
        for body in bodies {
            io.send(to, body);
        }
    }
}
