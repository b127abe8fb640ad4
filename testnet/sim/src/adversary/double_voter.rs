//! A replica that votes twice (faults, row 10).
//!
//! Beside each PREPARE and COMMIT it signs another one for the same view and slot and a digest that no batch has. Every peer gets both: one half
//! the true vote first, the other half the lie, so that with some the true vote comes too late to count. Retransmissions tell the truth.
//!
//! Defence: the first vote of a sender counts and the second proves its fault; neither can take the place of the other, and no quorum counts one
//! replica twice. The fault is the signer's alone: it ends nobody's view.

use super::behaviour::Behaviour;
use super::hand::{Hand, another};
use varangian_consensus::{Commit, Prepare, Vote};
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct DoubleVoter;

impl Behaviour for DoubleVoter {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        match second_vote(hand, &vote) {
            Some(second) => {
                let misled = hand.peers().len() / 2;
                hand.lie(io, hand.peers().take(misled), second.clone());
                io.vote(vote);
                hand.lie(io, hand.peers().skip(misled), second.clone());
            }
            None => io.vote(vote),
        }
    }
}

/// What it says beside `vote`, where it strikes.
fn second_vote(hand: &Hand, vote: &Vote) -> Option<Vote> {
    match vote {
        Vote::Prepare(prepare) if hand.strikes(prepare.view, Some(prepare.slot)) => {
            Some(Vote::Prepare(Prepare { digest: another(&prepare.digest), ..*prepare }))
        }
        Vote::Commit(commit) if hand.strikes(commit.view, Some(commit.slot)) => {
            Some(Vote::Commit(Commit { digest: another(&commit.digest), ..*commit }))
        }
        _ => None,
    }
}
