//! A primary that begins its view with a lie (faults, row 13).
//!
//! Its NEW-VIEW carries another order than its view changes imply, or chooses them so that they imply less: it hides in its own VIEW-CHANGE what it has
//! prepared, which is legal, for nobody can know; or it says both to everybody. Its own core enters the view by the true one.
//!
//! Defence: every backup computes `O` again from `V`; a wrong one proves its signer's fault and fails the view at once, and so do two for one view. What
//! committed is in every quorum's certificates, so a chosen `V` loses only what had not.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::lying_view_changer::nothing;
use varangian_consensus::{Message, NULL_BATCH, NewView, NewViewDraft, PrePrepare, Slot, Vote, order::new_view_order};
use varangian_crypto::{ReplicaId, Signed};
use varangian_runner::Io;

/// What is wrong with the NEW-VIEW.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// Its last slot is missing; where there is none, one is there.
    Dropped,
    /// Its last slot is null; where it is anyway or there is none, one more null slot is there.
    Nulled,
    /// Nothing; but its own view change in it hides what it has, and so does the one that it sent before.
    Chosen,
    /// Nothing; but all hear the true one beside a chosen one (beside one with a slot more, where that is the same).
    Twice,
}

/// See the module.
#[derive(Debug)]
pub struct LyingNewPrimary(Wrong);

impl LyingNewPrimary {
    /// Lies like this.
    #[must_use]
    pub const fn new(wrong: Wrong) -> Self {
        Self(wrong)
    }

    /// What it says for this true one, in the order in which `to` hears it.
    fn told(&self, hand: &Hand, to: ReplicaId, truth: &NewViewDraft) -> Vec<NewViewDraft> {
        let more = || {
            let last = truth.order.last().map_or(lowest(truth), |last| last.slot);
            let extra = PrePrepare { view: truth.view, slot: last.next(), digest: NULL_BATCH };
            NewViewDraft { order: truth.order.iter().copied().chain([extra]).collect(), ..truth.clone() }
        };
        match (self.0, truth.order.split_last()) {
            (Wrong::Dropped, Some((_, front))) => vec![NewViewDraft { order: front.to_vec(), ..truth.clone() }],
            (Wrong::Nulled, Some((last, front))) if last.digest != NULL_BATCH => {
                let nulled = PrePrepare { digest: NULL_BATCH, ..*last };
                vec![NewViewDraft { order: front.iter().copied().chain([nulled]).collect(), ..truth.clone() }]
            }
            (Wrong::Dropped | Wrong::Nulled, _) => vec![more()],
            (Wrong::Chosen, _) => vec![chosen(hand, truth)],
            (Wrong::Twice, _) => {
                let other = chosen(hand, truth);
                let other = if other == *truth { more() } else { other };
                if hand.place_of(to).is_multiple_of(2) {
                    vec![truth.clone(), other]
                } else {
                    vec![other, truth.clone()]
                }
            }
        }
    }

    fn tell(&self, hand: &Hand, to: ReplicaId, truth: &NewViewDraft, io: &mut dyn Io) {
        for draft in self.told(hand, to, truth) {
            hand.lie(io, [to], Vote::NewView(Box::new(draft)));
        }
    }

    /// A view change of its own for a view that it will lead, if that must agree with what it will quote.
    const fn hides(&self) -> bool {
        matches!(self.0, Wrong::Chosen)
    }
}

impl Behaviour for LyingNewPrimary {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        match &vote {
            Vote::NewView(truth) if hand.strikes(truth.view, None) => {
                hand.tell(io, vote.clone(), []);
                for peer in hand.peers() {
                    self.tell(hand, peer, truth, io);
                }
            }
            Vote::ViewChange(own) if self.hides() && hand.leads(own.view) && hand.strikes(own.view, None) => {
                let hidden = Vote::ViewChange(Box::new(nothing(own.view)));
                hand.tell(io, vote, []);
                hand.lie(io, hand.peers(), hidden.clone());
            }
            _ => io.vote(vote),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        match &message {
            Message::NewView(own) if hand.is_own(own) && hand.strikes(own.statement.view, None) => {
                self.tell(hand, to, &draft(&own.statement), io);
            }
            Message::ViewChange(own)
                if self.hides()
                    && hand.is_own(own)
                    && hand.leads(own.statement.view)
                    && hand.strikes(own.statement.view, None) =>
            {
                hand.lie(io, [to], Vote::ViewChange(Box::new(nothing(own.statement.view))));
            }
            _ => io.send(to, message),
        }
    }
}

/// What its signer drafted.
pub(super) fn draft(signed: &NewView) -> NewViewDraft {
    NewViewDraft {
        view: signed.view,
        view_changes: signed.view_changes.to_vec(),
        order: signed.pre_prepares.iter().map(|signed| signed.statement).collect(),
    }
}

/// The same view changes, its own among them emptied, and the order that follows from these.
fn chosen(hand: &Hand, truth: &NewViewDraft) -> NewViewDraft {
    let emptied = |signed: &Signed<_>| {
        if hand.is_own(signed) { hand.signed(nothing(truth.view)) } else { signed.clone() }
    };
    let view_changes: Vec<_> = truth.view_changes.iter().map(emptied).collect();
    match new_view_order(view_changes.iter().map(|signed| &signed.statement), hand.window()) {
        Ok(implied) => {
            let pre_prepare =
                |(slot, digest): &(Slot, _)| PrePrepare { view: truth.view, slot: *slot, digest: *digest };
            NewViewDraft { view: truth.view, view_changes, order: implied.slots.iter().map(pre_prepare).collect() }
        }
        // More than f are faulty, and a true one could not be either.
        Err(_) => truth.clone(),
    }
}

/// The stable checkpoint that the view changes prove.
fn lowest(draft: &NewViewDraft) -> Slot {
    draft.view_changes.iter().map(|signed| signed.statement.stable_slot()).max().unwrap_or_default()
}
