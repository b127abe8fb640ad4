//! A replica that lies about its state (faults, rows 14 and 30: corrupt local state).
//!
//! Its CHECKPOINTs name a state that nobody has: to all, to one half of its peers only, or beside the true one to all. Retransmissions keep to what
//! their hearer was told.
//!
//! Defence: only `q` equal ones are stable, and the honest are a quorum by themselves. A wrong digest alone proves nothing; two do, to whoever sees
//! both.

use super::behaviour::Behaviour;
use super::hand::{Hand, another};
use super::saying::is_struck;
use varangian_consensus::{Checkpoint, Message, Vote};
use varangian_crypto::ReplicaId;
use varangian_runner::Io;

/// Who hears what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lie {
    /// All hear the lie alone.
    Wrong,
    /// The first half hears the truth, the second the lie.
    Split,
    /// All hear both, one half in one order and the other in the other.
    Twice,
}

/// See the module.
#[derive(Debug)]
pub struct LyingCheckpointer(Lie);

impl LyingCheckpointer {
    /// Lies like this.
    #[must_use]
    pub const fn new(lie: Lie) -> Self {
        Self(lie)
    }

    fn told(&self, hand: &Hand, to: ReplicaId, truth: Checkpoint) -> Vec<Checkpoint> {
        let lie = Checkpoint { state: another(&truth.state), ..truth };
        let second = hand.place_of(to) >= hand.peers().len() / 2;
        match (self.0, second) {
            (Lie::Split, false) => vec![truth],
            (Lie::Wrong, _) | (Lie::Split, true) => vec![lie],
            (Lie::Twice, false) => vec![truth, lie],
            (Lie::Twice, true) => vec![lie, truth],
        }
    }

    fn tell(&self, hand: &Hand, to: ReplicaId, truth: Checkpoint, io: &mut dyn Io) {
        for checkpoint in self.told(hand, to, truth) {
            hand.lie(io, [to], Vote::Checkpoint(checkpoint));
        }
    }
}

impl Behaviour for LyingCheckpointer {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        match vote {
            Vote::Checkpoint(truth) if is_struck(hand, &vote) => {
                hand.tell(io, vote, []);
                for peer in hand.peers() {
                    self.tell(hand, peer, truth, io);
                }
            }
            _ => io.vote(vote),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        match &message {
            Message::Checkpoint(own) if hand.is_own(own) && is_struck(hand, &Vote::Checkpoint(own.statement)) => {
                self.tell(hand, to, own.statement, io);
            }
            _ => io.send(to, message),
        }
    }
}
