//! A replica whose disk forgets what it signed (faults, row 22).
//!
//! When it votes in a slot, it votes once more in the slot before, and otherwise: as a restart would that has lost its memory of it. As primary it gives
//! that slot to another batch. Its own core remembers everything.
//!
//! Defence: nothing an honest replica sends is not on its disk. Of one that forgets the first vote counts and the second proves its fault, however much
//! later it comes, until the slot is stable.

use super::behaviour::Behaviour;
use super::hand::{Hand, another};
use super::saying::{is_struck, place};
use std::collections::BTreeMap;
use varangian_consensus::{Commit, PrePrepare, Prepare, Vote};
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct Amnesiac {
    /// Its last vote of each kind.
    last: BTreeMap<&'static str, Vote>,
}

impl Behaviour for Amnesiac {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        io.vote(vote.clone());
        let kind = match vote {
            Vote::PrePrepare(_) => "pre-prepare",
            Vote::Prepare(_) => "prepare",
            Vote::Commit(_) => "commit",
            Vote::Checkpoint(_) | Vote::ViewChange(_) | Vote::NewView(_) => return,
        };
        if !is_struck(hand, &vote) {
            return;
        }
        let Some(before) = self.last.insert(kind, vote.clone()) else { return };
        if let ((view, Some(slot)), (now, Some(then))) = (place(&before), place(&vote))
            && (view, slot) < (now, then)
            && let Some(second) = voted_anew(&before)
        {
            hand.lie(io, hand.peers(), second);
        }
    }
}

fn voted_anew(vote: &Vote) -> Option<Vote> {
    match vote {
        Vote::PrePrepare(vote) => Some(Vote::PrePrepare(PrePrepare { digest: another(&vote.digest), ..*vote })),
        Vote::Prepare(vote) => Some(Vote::Prepare(Prepare { digest: another(&vote.digest), ..*vote })),
        Vote::Commit(vote) => Some(Vote::Commit(Commit { digest: another(&vote.digest), ..*vote })),
        Vote::Checkpoint(_) | Vote::ViewChange(_) | Vote::NewView(_) => None,
    }
}
