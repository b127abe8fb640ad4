//! What a replica says, as triggers and filters look at it: its name, and the place it belongs to.

use super::hand::Hand;
use varangian_consensus::{Message, Slot, View, Vote};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Saying {
    /// The message's name, as [`Message::name`] has it.
    pub name: &'static str,
    /// The view that it belongs to; hearsay belongs to the one that the core is in, a checkpoint to none, which is view 0.
    pub view: View,
    /// The slot, if it belongs to one.
    pub slot: Option<Slot>,
}

impl Saying {
    /// A message.
    #[must_use]
    pub fn of(hand: &Hand, message: &Message) -> Self {
        let (view, slot) = match message {
            Message::PrePrepare(signed) => (signed.statement.view, Some(signed.statement.slot)),
            Message::Prepare(signed) => (signed.statement.view, Some(signed.statement.slot)),
            Message::Commit(signed) => (signed.statement.view, Some(signed.statement.slot)),
            Message::Checkpoint(signed) => (View(0), Some(signed.statement.slot)),
            Message::ViewChange(signed) => (signed.statement.view, None),
            Message::NewView(signed) => (signed.statement.view, None),
            Message::Committed(certificate) | Message::Decided { certificate, .. } => {
                (certificate.statement.view, Some(certificate.statement.slot))
            }
            Message::Stable(certificate) => (View(0), Some(certificate.statement.slot)),
            Message::FetchBatch { slot, .. } | Message::Batch { slot, .. } => (hand.view(), Some(*slot)),
            Message::FetchDecided { from, .. } => (hand.view(), Some(*from)),
            Message::Status(_) | Message::Pruned { .. } | Message::Command(_) => (hand.view(), None),
        };
        Self { name: message.name(), view, slot }
    }

    /// A body out of the store.
    #[must_use]
    pub const fn body(hand: &Hand, slot: Slot) -> Self {
        Self { name: "batch", view: hand.view(), slot: Some(slot) }
    }

    /// Decided slots out of the store.
    #[must_use]
    pub const fn decided(hand: &Hand, first: Slot) -> Self {
        Self { name: "decided", view: hand.view(), slot: Some(first) }
    }

    /// Whether the attack is on there.
    #[must_use]
    pub fn is_struck(&self, hand: &Hand) -> bool {
        hand.strikes(self.view, self.slot)
    }
}

/// The place of a vote.
#[must_use]
pub const fn place(vote: &Vote) -> (View, Option<Slot>) {
    match vote {
        Vote::PrePrepare(vote) => (vote.view, Some(vote.slot)),
        Vote::Prepare(vote) => (vote.view, Some(vote.slot)),
        Vote::Commit(vote) => (vote.view, Some(vote.slot)),
        Vote::Checkpoint(vote) => (View(0), Some(vote.slot)),
        Vote::ViewChange(vote) => (vote.view, None),
        Vote::NewView(draft) => (draft.view, None),
    }
}

/// The name of the message that a vote becomes.
#[must_use]
pub const fn name(vote: &Vote) -> &'static str {
    match vote {
        Vote::PrePrepare(_) => "pre-prepare",
        Vote::Prepare(_) => "prepare",
        Vote::Commit(_) => "commit",
        Vote::Checkpoint(_) => "checkpoint",
        Vote::ViewChange(_) => "view-change",
        Vote::NewView(_) => "new-view",
    }
}

/// Whether the attack is on at this vote.
#[must_use]
pub fn is_struck(hand: &Hand, vote: &Vote) -> bool {
    let (view, slot) = place(vote);
    hand.strikes(view, slot)
}
