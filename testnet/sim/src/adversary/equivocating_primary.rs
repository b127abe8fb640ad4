//! A primary that tells two stories (faults, row 1).
//!
//! For each of its own proposals it makes a second batch of the same commands: in the opposite order, or, where that is the same, with the last
//! command twice. Both are valid, so nothing but the digest tells them apart. Half of the backups get one story, half the other, each with its body and
//! the COMMIT that follows from it, and retransmissions keep to the story that their hearer knows. Which side is the larger alternates from slot to
//! slot, so that at n = 4 now the first story commits and now the second, of which the own core knows nothing.
//!
//! A batch that is full to its limits and cannot be reordered is proposed honestly: no second body of it would be valid. A NEW-VIEW's pre-prepares
//! are told honestly too: backups compute them again.
//!
//! Should a backup ever show it its own second story (one that lost its memory of the first in a crash may), the core inside takes that for a vote
//! that its disk does not know and stops, as it must: from then on the adversary is mute.
//!
//! Defence: two quorums share an honest backup, which accepts only the first pre-prepare of a view and slot; so at most one story commits. Backups
//! that see each other's PREPAREs show each other what they were told, and the two signed pre-prepares prove the primary's fault and end its view.

use super::behaviour::Behaviour;
use super::hand::Hand;
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{Batch, Message, PrePrepare, Record, Slot, View, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct EquivocatingPrimary {
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
    batch: Arc<Batch>,
}

impl Behaviour for EquivocatingPrimary {
    fn persisting(&mut self, hand: &Hand, records: &[Record]) {
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
                match self.proposed.remove(&place).map(|body| retold(hand, &body)) {
                    Some(Some(second)) => self.split(hand, *proposal, Some(second), io),
                    Some(None) => io.vote(vote),
                    // Its body is not new: it is said again after a restart.
                    None if hand.strikes(proposal.view, Some(proposal.slot)) => self.split(hand, *proposal, None, io),
                    None => io.vote(vote),
                }
            }
            Vote::Commit(commit) if self.second.contains_key(&(commit.view, commit.slot)) => {
                let side = first_side(hand, commit.slot);
                hand.tell(io, vote, side);
            }
            _ => io.vote(vote),
        }
    }

    fn broadcast(&mut self, hand: &Hand, message: Message, io: &mut dyn Io) {
        let told = self.told.take();
        match &message {
            Message::Batch { slot, batch } if told == Some((*slot, *batch.digest())) => {
                for hearer in first_side(hand, *slot) {
                    io.send(hearer, message.clone());
                }
            }
            _ => io.broadcast(message),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let place = match &message {
            Message::PrePrepare(signed) if hand.is_own(signed) => Some((signed.statement.view, signed.statement.slot)),
            Message::Commit(signed) if hand.is_own(signed) => Some((signed.statement.view, signed.statement.slot)),
            _ => None,
        };
        match place.filter(|(_, slot)| is_second(hand, *slot, to)).and_then(|place| self.second.get(&place)) {
            Some(Some(story)) => story.tell(hand, to, io),
            Some(None) => {}
            None => io.send(to, message),
        }
    }
}

impl EquivocatingPrimary {
    /// The core's own proposal to the first side, the retold one, if it is known, to the second.
    fn split(&mut self, hand: &Hand, first: PrePrepare, second: Option<Batch>, io: &mut dyn Io) {
        let story = second.map(|batch| {
            let pre_prepare = PrePrepare { digest: *batch.digest(), ..first };
            Story { pre_prepare, batch: Arc::new(batch) }
        });
        hand.tell(io, Vote::PrePrepare(first), first_side(hand, first.slot));
        for hearer in hand.peers().filter(|peer| is_second(hand, first.slot, *peer)) {
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

impl Story {
    /// Pre-prepare, body, and the COMMIT: whoever prepares this story finds the primary's vote there already.
    fn tell(&self, hand: &Hand, hearer: ReplicaId, io: &mut dyn Io) {
        hand.lie(io, hearer, Vote::PrePrepare(self.pre_prepare));
        io.send(hearer, Message::Batch { slot: self.pre_prepare.slot, batch: self.batch.clone() });
        hand.lie(io, hearer, Vote::Commit(self.pre_prepare.commit()));
    }
}

/// Whether this peer hears the second story of `slot`.
fn is_second(hand: &Hand, slot: Slot, peer: ReplicaId) -> bool {
    let backups = hand.peers().len();
    let first = if slot.0 % 2 == 1 { backups.div_ceil(2) } else { backups / 2 };
    peer != hand.id() && hand.place_of(peer) >= first
}

fn first_side(hand: &Hand, slot: Slot) -> impl Iterator<Item = ReplicaId> {
    hand.peers().filter(move |peer| !is_second(hand, slot, *peer))
}

/// The same commands as another valid batch, if there is one.
fn retold(hand: &Hand, batch: &Batch) -> Option<Batch> {
    let mut commands = batch.commands().to_vec();
    commands.reverse();
    if let Some(reversed) = Batch::new(commands.clone()).filter(|reversed| reversed.digest() != batch.digest()) {
        return Some(reversed);
    }
    let last = commands.last()?.clone();
    commands.push(last);
    let doubled = Batch::new(commands)?;
    hand.fits(doubled.encoded().len() as u64, doubled.operation_count()).then_some(doubled)
}
