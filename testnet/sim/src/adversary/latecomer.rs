//! A replica that says things late (faults, rows 3, 9 and 30: timing).
//!
//! - A *slow primary* keeps each of its proposals for two ticks, that is, for up to two status intervals. A command that just missed one proposal waits
//!   for two of them: four fifths of the time-out, so this primary stays in power.
//! - One that is *slow by little* keeps each for one tick: commands are ordered before their clients ask everybody.
//! - A primary that is *slow at times* keeps every eighth of its proposals for one tick: others wait for it, for slots are executed in order.
//! - *Late votes*: PREPAREs and COMMITs come three ticks late, when all is over.
//! - *Late in everything*: votes, bodies, answers and questions alike.
//!
//! Its own core counts its own votes in time. A tick is a status interval while anything is outstanding ([`Behaviour::tick`]).
//!
//! Defence: quorums do not wait for the slowest. A slow primary is measured against what is normal, and deposed. Lateness is never evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::saying::{Saying, is_struck};
use std::collections::VecDeque;
use varangian_consensus::{Message, Slot, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::Io;

/// Messages that are kept at most; above it the oldest goes out at once.
const KEPT: usize = 4096;

/// What comes late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Late {
    /// Its own proposals.
    Proposals,
    /// The same, by less.
    ProposalsALittle,
    /// Every eighth of them.
    SomeProposals,
    /// Its PREPAREs and COMMITs.
    Votes,
    /// Everything.
    All,
}

/// What is kept.
#[derive(Debug)]
enum Kept {
    Message(Message),
    Batch(Slot, Digest),
    Decided(Slot, Slot),
}

/// See the module.
#[derive(Debug)]
pub struct Latecomer {
    late: Late,
    ticks: u64,
    kept: VecDeque<(u64, ReplicaId, Kept)>,
}

impl Latecomer {
    /// Late with this.
    #[must_use]
    pub const fn new(late: Late) -> Self {
        Self { late, ticks: 0, kept: VecDeque::new() }
    }

    fn keeps(&self, hand: &Hand, saying: &Saying) -> bool {
        let kind = match self.late {
            Late::Proposals | Late::ProposalsALittle => {
                matches!(saying.name, "pre-prepare" | "batch") && hand.leads(saying.view)
            }
            Late::SomeProposals => {
                matches!(saying.name, "pre-prepare" | "batch")
                    && hand.leads(saying.view)
                    && saying.slot.is_some_and(|slot| slot.0 % 8 == 5)
            }
            Late::Votes => matches!(saying.name, "prepare" | "commit"),
            Late::All => true,
        };
        kind && saying.is_struck(hand)
    }

    fn keep(&mut self, to: ReplicaId, kept: Kept, io: &mut dyn Io) {
        let delay = match self.late {
            Late::ProposalsALittle | Late::SomeProposals => 1,
            Late::Proposals => 2,
            Late::Votes | Late::All => 3,
        };
        self.kept.push_back((self.ticks.wrapping_add(delay), to, kept));
        if self.kept.len() > KEPT {
            self.release(io);
        }
    }

    /// Sends the oldest.
    fn release(&mut self, io: &mut dyn Io) {
        match self.kept.pop_front() {
            Some((_, to, Kept::Message(message))) => io.send(to, message),
            Some((_, to, Kept::Batch(slot, digest))) => io.send_batch(to, slot, digest),
            Some((_, to, Kept::Decided(first, last))) => io.send_decided(to, first, last),
            None => {}
        }
    }
}

impl Behaviour for Latecomer {
    fn tick(&mut self, _: &Hand, io: &mut dyn Io) {
        self.ticks = self.ticks.wrapping_add(1);
        while self.kept.front().is_some_and(|(due, ..)| *due <= self.ticks) {
            self.release(io);
        }
    }

    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let message = if is_struck(hand, &vote) { hand.sign(vote.clone()).ok() } else { None };
        match message.filter(|(_, message)| self.keeps(hand, &Saying::of(hand, message))) {
            Some((delivery, message)) => {
                io.deliver(delivery);
                for peer in hand.peers() {
                    self.keep(peer, Kept::Message(message.clone()), io);
                }
            }
            None => io.vote(vote),
        }
    }

    fn broadcast(&mut self, hand: &Hand, message: Message, io: &mut dyn Io) {
        if !self.keeps(hand, &Saying::of(hand, &message)) {
            return io.broadcast(message);
        }
        for peer in hand.peers() {
            self.keep(peer, Kept::Message(message.clone()), io);
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        if self.keeps(hand, &Saying::of(hand, &message)) {
            self.keep(to, Kept::Message(message), io);
        } else {
            io.send(to, message);
        }
    }

    fn send_batch(&mut self, hand: &Hand, to: ReplicaId, slot: Slot, digest: Digest, io: &mut dyn Io) {
        if self.late == Late::All && self.keeps(hand, &Saying::body(hand, slot)) {
            self.keep(to, Kept::Batch(slot, digest), io);
        } else {
            io.send_batch(to, slot, digest);
        }
    }

    fn send_decided(&mut self, hand: &Hand, to: ReplicaId, first: Slot, last: Slot, io: &mut dyn Io) {
        if self.late == Late::All && self.keeps(hand, &Saying::decided(hand, first)) {
            self.keep(to, Kept::Decided(first, last), io);
        } else {
            io.send_decided(to, first, last);
        }
    }
}
