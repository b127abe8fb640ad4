//! The common part of all that only keeps things back: an honest replica some of whose messages do not reach some of its peers.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::saying::{Saying, name, place};
use core::fmt;
use varangian_consensus::{Message, Slot, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::Io;

/// Who hears what.
pub trait Muffle: fmt::Debug + Send {
    /// Whether `to` hears this. Asked once per message and hearer, in the order in which the core speaks.
    fn hears(&mut self, hand: &Hand, to: ReplicaId, saying: &Saying) -> bool;
}

/// See the module. Whatever it keeps back, its own core counts its own votes.
#[derive(Debug)]
pub struct Muffler<M>(pub M);

impl<M: Muffle> Muffler<M> {
    /// The peers that hear this; `None` if all do.
    fn hearers(&mut self, hand: &Hand, saying: &Saying) -> Option<Vec<ReplicaId>> {
        let hearers: Vec<_> = hand.peers().filter(|peer| self.0.hears(hand, *peer, saying)).collect();
        (hearers.len() < hand.peers().len()).then_some(hearers)
    }
}

impl<M: Muffle> Behaviour for Muffler<M> {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let (view, slot) = place(&vote);
        match self.hearers(hand, &Saying { name: name(&vote), view, slot }) {
            Some(hearers) => hand.tell(io, vote, hearers),
            None => io.vote(vote),
        }
    }

    fn broadcast(&mut self, hand: &Hand, message: Message, io: &mut dyn Io) {
        match self.hearers(hand, &Saying::of(hand, &message)) {
            Some(hearers) => {
                for hearer in hearers {
                    io.send(hearer, message.clone());
                }
            }
            None => io.broadcast(message),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        if self.0.hears(hand, to, &Saying::of(hand, &message)) {
            io.send(to, message);
        }
    }

    fn send_batch(&mut self, hand: &Hand, to: ReplicaId, slot: Slot, digest: Digest, io: &mut dyn Io) {
        if self.0.hears(hand, to, &Saying::body(hand, slot)) {
            io.send_batch(to, slot, digest);
        }
    }

    fn send_decided(&mut self, hand: &Hand, to: ReplicaId, first: Slot, last: Slot, io: &mut dyn Io) {
        if self.0.hears(hand, to, &Saying::decided(hand, first)) {
            io.send_decided(to, first, last);
        }
    }
}
