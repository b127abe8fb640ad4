//! A replica that keeps its votes to itself (faults, row 9).
//!
//! Its PREPAREs and COMMITs reach nobody, or only the `f + 1` peers behind it in the ring: enough for some to get a quorum that the others never see.
//! Its own core counts them, so it goes on as if all were well; asked by a status, it keeps them back too. It proposes, checkpoints and changes views
//! honestly.
//!
//! Defence: the honest are a quorum without it; certificates are transferable, and the status exchange brings them to those who were left out.
//! Silence is no evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use varangian_consensus::{Message, Slot, View, Vote};
use varangian_crypto::ReplicaId;
use varangian_runner::Io;

/// Who hears the votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hearers {
    /// Nobody.
    Nobody,
    /// `f + 1` peers: one of them is honest.
    Weak,
}

/// See the module.
#[derive(Debug)]
pub struct VoteWithholder {
    hearers: Hearers,
}

impl VoteWithholder {
    /// Lets only `hearers` hear its votes.
    #[must_use]
    pub const fn new(hearers: Hearers) -> Self {
        Self { hearers }
    }

    fn hears(&self, hand: &Hand, peer: ReplicaId) -> bool {
        match self.hearers {
            Hearers::Nobody => false,
            Hearers::Weak => hand.place_of(peer) < hand.quorums().weak(),
        }
    }
}

impl Behaviour for VoteWithholder {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let place = match &vote {
            Vote::Prepare(prepare) => Some((prepare.view, prepare.slot)),
            Vote::Commit(commit) => Some((commit.view, commit.slot)),
            Vote::PrePrepare(_) | Vote::Checkpoint(_) | Vote::ViewChange(_) | Vote::NewView(_) => None,
        };
        if strikes(hand, place) {
            hand.tell(io, vote, hand.peers().filter(|peer| self.hears(hand, *peer)));
        } else {
            io.vote(vote);
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let place = match &message {
            Message::Prepare(signed) if hand.is_own(signed) => Some((signed.statement.view, signed.statement.slot)),
            Message::Commit(signed) if hand.is_own(signed) => Some((signed.statement.view, signed.statement.slot)),
            _ => None,
        };
        if !strikes(hand, place) || self.hears(hand, to) {
            io.send(to, message);
        }
    }
}

fn strikes(hand: &Hand, place: Option<(View, Slot)>) -> bool {
    place.is_some_and(|(view, slot)| hand.strikes(view, Some(slot)))
}
