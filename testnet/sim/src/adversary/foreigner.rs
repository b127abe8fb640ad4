//! A replica that says here what it signed elsewhere (faults, row 10: replays over networks).
//!
//! Beside each of its votes it sends everybody another one of the same kind and place, that its key signed for another chain: what a recording of a second network
//! with the same key is like. Were it taken for a vote here, both together would prove a fault that nobody committed.
//!
//! Defence: the chain id is under every signature, so elsewhere it is none. What proves nothing is dropped, and nobody is accused.

use super::behaviour::Behaviour;
use super::hand::{Hand, another};
use super::lying_view_changer::nothing;
use super::saying::is_struck;
use varangian_consensus::{Checkpoint, Commit, Message, NewView, PrePrepare, Prepare, Vote};
use varangian_crypto::Bounded;
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct Foreigner;

impl Behaviour for Foreigner {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let foreign = is_struck(hand, &vote).then(|| foreign(hand, &vote));
        io.vote(vote);
        if let Some(message) = foreign {
            io.broadcast(message);
        }
    }
}

/// What it said in the place of `vote` on the other chain.
fn foreign(hand: &Hand, vote: &Vote) -> Message {
    match vote {
        Vote::PrePrepare(vote) => {
            Message::PrePrepare(hand.signed_abroad(PrePrepare { digest: another(&vote.digest), ..*vote }))
        }
        Vote::Prepare(vote) => Message::Prepare(hand.signed_abroad(Prepare { digest: another(&vote.digest), ..*vote })),
        Vote::Commit(vote) => Message::Commit(hand.signed_abroad(Commit { digest: another(&vote.digest), ..*vote })),
        Vote::Checkpoint(vote) => {
            Message::Checkpoint(hand.signed_abroad(Checkpoint { state: another(&vote.state), ..*vote }))
        }
        Vote::ViewChange(vote) => Message::ViewChange(Box::new(hand.signed_abroad(nothing(vote.view)))),
        Vote::NewView(draft) => {
            let new_view = NewView { view: draft.view, view_changes: Bounded::new(), pre_prepares: Bounded::new() };
            Message::NewView(Box::new(hand.signed_abroad(new_view)))
        }
    }
}
