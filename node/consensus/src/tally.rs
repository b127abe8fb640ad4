//! Votes of one kind for one slot, by who cast them and never by how many messages came.
//!
//! In a replica's own tallies the first vote of a sender for a view counts. Of each sender at most two are held: one of the view
//! that was entered last, and one of the highest later view, for votes that overtake their NEW-VIEW. So memory is bounded by the
//! number of replicas, and a faulty sender can only displace its own votes.

use crate::evidence::{Conflict, Exclusive};
use crate::types::{Slot, View};
use alloc::collections::BTreeMap;
use varangian_crypto::{ReplicaId, Signature, Signed};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tally<S> {
    votes: BTreeMap<ReplicaId, Held<S>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held<S> {
    current: Option<Signed<S>>,
    later: Option<Signed<S>>,
}

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cast<S> {
    /// It counts.
    Counted,
    /// It was held already, or a later one of its sender is.
    Known,
    /// It contradicts the sender's first one, which goes on counting.
    Conflict(Conflict<S>),
}

/// A vote for a digest in a view and slot.
pub trait SlotVote: Exclusive<Place = (View, Slot)> + Clone + PartialEq {
    /// Whether it is for `digest`.
    fn is_for(&self, view: View, digest: &varangian_crypto::Digest) -> bool;
}

macro_rules! slot_vote {
    ($($statement:ty),*) => {$(
        impl SlotVote for $statement {
            fn is_for(&self, view: View, digest: &varangian_crypto::Digest) -> bool {
                self.view == view && self.digest == *digest
            }
        }
    )*};
}
slot_vote!(crate::vote::PrePrepare, crate::vote::Prepare, crate::vote::Commit);

impl<S> Default for Tally<S> {
    fn default() -> Self {
        Self { votes: BTreeMap::new() }
    }
}

impl<S: SlotVote> Tally<S> {
    /// Takes a vote of `entered` or a later view.
    pub fn cast(&mut self, vote: Signed<S>, entered: View) -> Cast<S> {
        let (view, _) = vote.statement.place();
        let held = self.votes.entry(vote.signer).or_insert(Held { current: None, later: None });
        let place = if view == entered { &mut held.current } else { &mut held.later };
        match place {
            Some(first) if first.statement.place() == vote.statement.place() => {
                if first.statement == vote.statement {
                    Cast::Known
                } else {
                    Cast::Conflict(Conflict { first: first.clone(), second: vote })
                }
            }
            Some(first) if first.statement.place() > vote.statement.place() => Cast::Known,
            _ => {
                *place = Some(vote);
                Cast::Counted
            }
        }
    }

    /// Puts a vote in the place of whatever its sender said in that view before; what it contradicts comes back.
    pub fn seat(&mut self, vote: Signed<S>) -> Option<Conflict<S>> {
        let held = self.votes.entry(vote.signer).or_insert(Held { current: None, later: None });
        let first = held.current.replace(vote.clone())?;
        if first.statement.place() == vote.statement.place() && first.statement != vote.statement {
            Some(Conflict { first, second: vote })
        } else {
            None
        }
    }

    /// Forgets what `sender` said in the view that was entered last.
    pub fn forget(&mut self, sender: ReplicaId) {
        if let Some(held) = self.votes.get_mut(&sender) {
            held.current = None;
        }
    }

    /// A later view is entered: its votes become the current ones, older ones are forgotten.
    pub fn enter(&mut self, view: View) {
        self.votes.retain(|_, held| {
            held.current = None;
            let held_view = held.later.as_ref().map(|later| later.statement.place().0);
            if held_view == Some(view) {
                held.current = held.later.take();
            } else if held_view < Some(view) {
                held.later = None;
            }
            held.current.is_some() || held.later.is_some()
        });
    }

    /// The vote of `sender` in the view that was entered last.
    #[must_use]
    pub fn of(&self, sender: ReplicaId) -> Option<&Signed<S>> {
        self.votes.get(&sender).and_then(|held| held.current.as_ref())
    }

    /// Signers for `digest` in the view that was entered last, ascending.
    pub fn signatures<'a>(
        &'a self,
        view: View,
        digest: &'a varangian_crypto::Digest,
    ) -> impl Iterator<Item = (ReplicaId, Signature)> + 'a {
        self.votes
            .values()
            .filter_map(|held| held.current.as_ref())
            .filter(move |vote| vote.statement.is_for(view, digest))
            .map(|vote| (vote.signer, vote.signature))
    }

    /// The senders' votes in the view that was entered last.
    pub fn iter(&self) -> impl Iterator<Item = &Signed<S>> {
        self.votes.values().filter_map(|held| held.current.as_ref())
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.votes.is_empty()
    }
}
