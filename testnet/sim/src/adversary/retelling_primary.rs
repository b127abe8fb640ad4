//! A primary that tells another story than its core (faults, rows 1, 4, 5 and 17).
//!
//! For each of its core's proposals it makes another one ([`Telling`]) and tells it to some of the backups or to all ([`Audience`]), each story with
//! its body and the COMMIT that follows from it. Retransmissions keep to the story that their hearer knows. Where the halves are told different stories,
//! which side is the larger alternates from slot to slot, so that at n = 4 now the first story commits and now the second, of which the own core
//! knows nothing: it catches up.
//!
//! A batch that cannot be told otherwise is proposed honestly. So are a NEW-VIEW's pre-prepares: backups compute them again.
//!
//! Should a backup ever show it its own second story (one that lost its memory of the first in a crash may), the core inside takes that for a vote
//! that its disk does not know and stops, as it must: from then on the adversary is mute.
//!
//! Defence: two quorums share an honest backup, which accepts only the first pre-prepare of a view and slot; so at most one story commits. Backups
//! that see each other's PREPAREs show each other what they were told, and the two signed pre-prepares prove the primary's fault and end its view.
//! A story told alike to all is judged by itself: an invalid body is proof, a valid one is ordered and executed once, and the command that was left
//! out has its own timer.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::telling::{Teller, Telling, Told};
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{Batch, Delivery, Message, PrePrepare, Record, Slot, View, Vote};
use varangian_crypto::{Digest, Quorums, ReplicaId, Verify};
use varangian_runner::Io;

/// Who hears the other story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Half of the backups.
    Half,
    /// The half that is further in the ring, the smaller one: the same for every slot.
    Far,
    /// The last backup in the ring.
    One,
    /// All of them; the own core alone keeps the first.
    All,
}

/// See the module.
#[derive(Debug)]
pub struct RetellingPrimary {
    audience: Audience,
    teller: Teller,
    /// Bodies of proposals that are on their way to disk; the core casts their pre-prepares next. At most a pipeline of them.
    proposed: BTreeMap<(View, Slot), Arc<Batch>>,
    /// Second stories, at most two windows of them. `None`: one was told before a restart and is forgotten; its hearers hear nothing more.
    second: BTreeMap<(View, Slot), Option<Story>>,
    /// The proposal that was just told; the core tells its body next.
    told: Option<(Slot, Digest)>,
}

/// What the second side is told.
#[derive(Debug)]
struct Story {
    pre_prepare: PrePrepare,
    batch: Option<Arc<Batch>>,
}

impl RetellingPrimary {
    /// Tells this to these.
    #[must_use]
    pub fn new(telling: Telling, audience: Audience) -> Self {
        Self { audience, teller: Teller::new(telling), proposed: BTreeMap::new(), second: BTreeMap::new(), told: None }
    }

    fn is_second(&self, hand: &Hand, slot: Slot, peer: ReplicaId) -> bool {
        match self.audience {
            Audience::Half => is_second(hand.quorums(), hand.id(), slot, peer),
            Audience::Far => is_far(hand.quorums(), hand.id(), peer),
            Audience::One => hand.peers().next_back() == Some(peer),
            Audience::All => peer != hand.id(),
        }
    }

    fn first_side(&self, hand: &Hand, slot: Slot) -> Vec<ReplicaId> {
        hand.peers().filter(|peer| !self.is_second(hand, slot, *peer)).collect()
    }

    /// The core's own proposal to the first side, the retold one, if it is known, to the second.
    fn split(&mut self, hand: &Hand, first: PrePrepare, second: Option<Told>, io: &mut dyn Io) {
        let story = second.map(|Told { slot, digest, batch }| {
            let pre_prepare = PrePrepare { slot, digest, ..first };
            Story { pre_prepare, batch }
        });
        if self.audience == Audience::All
            && let Some(Story { pre_prepare, batch: Some(batch) }) = &story
            && pre_prepare.slot == first.slot
            && let Ok(batch) = batch.clone().verify(hand.committee())
        {
            // Ahead of its own pre-prepare the core takes it, and has it at hand when the others decide.
            io.deliver(Delivery::Batch { slot: pre_prepare.slot, batch });
        }
        hand.tell(io, Vote::PrePrepare(first), self.first_side(hand, first.slot));
        for hearer in hand.peers().filter(|peer| self.is_second(hand, first.slot, *peer)) {
            if let Some(story) = &story {
                story.tell(hand, hearer, io);
            }
        }
        self.told = Some((first.slot, first.digest));
        self.second.insert((first.view, first.slot), story);
        if self.second.len() as u64 > hand.window().saturating_mul(2) {
            self.second.pop_first();
        }
    }
}

impl Behaviour for RetellingPrimary {
    fn persisting(&mut self, hand: &Hand, records: &[Record]) {
        self.teller.see(records);
        for pair in records.windows(2) {
            if let [Record::Batch { slot, batch }, Record::Proposed(proposal)] = pair
                && proposal.slot == *slot
                && proposal.digest == *batch.digest()
                && hand.strikes(proposal.view, Some(*slot))
            {
                self.proposed.insert((proposal.view, *slot), batch.clone());
            }
        }
    }

    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        self.told = None;
        match &vote {
            Vote::PrePrepare(proposal) => {
                let place = (proposal.view, proposal.slot);
                match self.proposed.remove(&place).map(|body| self.teller.retell(hand, proposal.slot, &body)) {
                    Some(Some(second)) => self.split(hand, *proposal, Some(second), io),
                    Some(None) => io.vote(vote),
                    // Its body is not new: it is said again after a restart.
                    None if hand.strikes(proposal.view, Some(proposal.slot)) => self.split(hand, *proposal, None, io),
                    None => io.vote(vote),
                }
            }
            Vote::Commit(commit) if self.second.contains_key(&(commit.view, commit.slot)) => {
                let side = self.first_side(hand, commit.slot);
                hand.tell(io, vote, side);
            }
            _ => io.vote(vote),
        }
    }

    fn broadcast(&mut self, hand: &Hand, message: Message, io: &mut dyn Io) {
        let told = self.told.take();
        match &message {
            Message::Batch { slot, batch } if told == Some((*slot, *batch.digest())) => {
                for hearer in self.first_side(hand, *slot) {
                    io.send(hearer, message.clone());
                }
            }
            _ => io.broadcast(unasking(message, !self.second.is_empty())),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let place = match &message {
            Message::PrePrepare(signed) if hand.is_own(signed) => Some((signed.statement.view, signed.statement.slot)),
            Message::Commit(signed) if hand.is_own(signed) => Some((signed.statement.view, signed.statement.slot)),
            _ => None,
        };
        match place.filter(|(_, slot)| self.is_second(hand, *slot, to)).and_then(|place| self.second.get(&place)) {
            Some(Some(story)) => story.tell(hand, to, io),
            Some(None) => {}
            None => io.send(to, unasking(message, !self.second.is_empty())),
        }
    }
}

/// Whoever tells `two_stories` asks for nothing of these slots: peers would show its core the other one, and a core that is shown a vote under its own key
/// that it never cast takes its disk for another's and stops.
pub fn unasking(message: Message, two_stories: bool) -> Message {
    match message {
        Message::Status(status) if two_stories => Message::Status(status.lacking_nothing()),
        message => message,
    }
}

impl Story {
    /// Pre-prepare, body, and the COMMIT: whoever prepares this story finds the primary's vote there already.
    fn tell(&self, hand: &Hand, hearer: ReplicaId, io: &mut dyn Io) {
        hand.lie(io, [hearer], Vote::PrePrepare(self.pre_prepare));
        if let Some(batch) = &self.batch {
            io.send(hearer, Message::Batch { slot: self.pre_prepare.slot, batch: batch.clone() });
        }
        hand.lie(io, [hearer], Vote::Commit(self.pre_prepare.commit()));
    }
}

/// Whether this peer hears the second story of `slot` from `primary`, where the halves are told different ones: a plan that accomplices know too.
#[must_use]
pub fn is_second(quorums: Quorums, primary: ReplicaId, slot: Slot, peer: ReplicaId) -> bool {
    let backups = quorums.n() - 1;
    let first = if slot.0 % 2 == 1 { backups.div_ceil(2) } else { backups / 2 };
    is_behind(quorums, primary, peer, first)
}

/// The same for the smaller half, whichever slot it is.
pub fn is_far(quorums: Quorums, primary: ReplicaId, peer: ReplicaId) -> bool {
    is_behind(quorums, primary, peer, (quorums.n() - 1).div_ceil(2))
}

/// Whether this peer comes behind the first so many backups in the ring.
fn is_behind(quorums: Quorums, primary: ReplicaId, peer: ReplicaId, first: usize) -> bool {
    let n = quorums.n();
    let place = (peer.index() + n - primary.index() - 1) % n;
    peer != primary && place >= first
}
