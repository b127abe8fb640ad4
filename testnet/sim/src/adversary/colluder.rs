//! One of several that share a plan (faults, row 17).
//!
//! As primary it tells the halves of the backups two stories; as backup it votes for both, telling each half what it wants to hear, COMMIT included.
//! Who hears which story is computed from the view ([`is_far`]), and the second story from the first ([`Spare`]), so colluders need no word
//! between them: any set of replicas under this attack plays together, in memory and as processes alike.
//!
//! Defence: with `f` of them neither story gets a quorum without an honest majority's half, and the honest prove the primary's fault to each other. With
//! `f + 1` the honest can be split: safety is lost, and the votes that did it are evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::retelling_primary::{Audience, RetellingPrimary, is_far, unasking};
use super::telling::{Spare, Telling};
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{Batch, Commit, Message, PrePrepare, Prepare, Record, Slot, View, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::Io;

/// See the module.
#[derive(Debug)]
pub struct Colluder {
    primary: RetellingPrimary,
    spare: Spare,
    /// Bodies by digest, at most two windows of them.
    bodies: BTreeMap<(Slot, Digest), Arc<Batch>>,
    /// The story that it was told, and the other one; at most two windows of them.
    stories: BTreeMap<(View, Slot), (Digest, Digest)>,
}

impl Default for Colluder {
    fn default() -> Self {
        Self {
            primary: RetellingPrimary::new(Telling::Reordered, Audience::Far),
            spare: Spare::default(),
            bodies: BTreeMap::new(),
            stories: BTreeMap::new(),
        }
    }
}

impl Colluder {
    /// What `to` wants to hear of a slot whose primary is another colluder.
    fn wanted(&self, hand: &Hand, view: View, slot: Slot, to: ReplicaId) -> Option<Digest> {
        let (own, other) = self.stories.get(&(view, slot)).copied()?;
        let primary = hand.quorums().primary(view.0);
        let side = |peer| is_far(hand.quorums(), primary, peer);
        Some(if side(to) == side(hand.id()) { own } else { other })
    }

    /// PREPARE and COMMIT for what each peer was told.
    fn vote_for_both(&self, hand: &Hand, prepare: Prepare, io: &mut dyn Io) {
        let Prepare { view, slot, .. } = prepare;
        for peer in hand.peers() {
            if let Some(digest) = self.wanted(hand, view, slot, peer) {
                hand.lie(io, [peer], Vote::Prepare(Prepare { view, slot, digest }));
                hand.lie(io, [peer], Vote::Commit(Commit { view, slot, digest }));
            }
        }
    }
}

impl Behaviour for Colluder {
    fn persisting(&mut self, hand: &Hand, records: &[Record]) {
        self.spare.see(records);
        let bound = usize::try_from(hand.window().saturating_mul(2)).unwrap_or(usize::MAX);
        for record in records {
            match record {
                Record::Batch { slot, batch } => {
                    self.bodies.insert((*slot, *batch.digest()), batch.clone());
                }
                Record::Accepted(signed) => {
                    let PrePrepare { view, slot, digest } = signed.statement;
                    let told = self.bodies.get(&(slot, digest)).filter(|_| hand.strikes(view, Some(slot)));
                    if let Some(other) = told.and_then(|batch| self.spare.reordered(batch)) {
                        self.stories.insert((view, slot), (digest, *other.digest()));
                    }
                }
                _ => {}
            }
            if self.bodies.len() > bound {
                self.bodies.pop_first();
            }
            if self.stories.len() > bound {
                self.stories.pop_first();
            }
        }
        self.primary.persisting(hand, records);
    }

    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        match &vote {
            Vote::Prepare(prepare) if self.stories.contains_key(&(prepare.view, prepare.slot)) => {
                hand.tell(io, vote.clone(), []);
                self.vote_for_both(hand, *prepare, io);
            }
            // It has been said with the PREPARE.
            Vote::Commit(commit) if self.stories.contains_key(&(commit.view, commit.slot)) => hand.tell(io, vote, []),
            _ => self.primary.vote(hand, vote, io),
        }
    }

    fn broadcast(&mut self, hand: &Hand, message: Message, io: &mut dyn Io) {
        self.primary.broadcast(hand, unasking(message, !self.stories.is_empty()), io);
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let retold = match &message {
            // Each was told its own by the primary: handed on, the other one would convict it.
            Message::PrePrepare(told)
                if !hand.is_own(told) && self.stories.contains_key(&(told.statement.view, told.statement.slot)) =>
            {
                return;
            }
            Message::Prepare(own) if hand.is_own(own) => {
                let Prepare { view, slot, .. } = own.statement;
                self.wanted(hand, view, slot, to).map(|digest| Vote::Prepare(Prepare { view, slot, digest }))
            }
            Message::Commit(own) if hand.is_own(own) => {
                let Commit { view, slot, .. } = own.statement;
                self.wanted(hand, view, slot, to).map(|digest| Vote::Commit(Commit { view, slot, digest }))
            }
            _ => None,
        };
        match retold {
            Some(vote) => hand.lie(io, [to], vote),
            None => self.primary.send(hand, to, unasking(message, !self.stories.is_empty()), io),
        }
    }
}
