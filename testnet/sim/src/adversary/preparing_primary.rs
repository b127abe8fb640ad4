//! A primary that also votes as a backup (faults, rows 9 and 11).
//!
//! Beside each of its pre-prepares, those of its NEW-VIEWs too, it signs the PREPARE that would accept it, and tells everybody: whoever counts both has
//! counted one replica twice.
//!
//! Defence: a primary's pre-prepare is its vote, and a PREPARE of its own proves nothing. No honest replica needs it for anything, so nobody is accused.

use super::behaviour::Behaviour;
use super::hand::Hand;
use varangian_consensus::{PrePrepare, Vote};
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct PreparingPrimary;

impl Behaviour for PreparingPrimary {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let own: Vec<PrePrepare> = match &vote {
            Vote::PrePrepare(own) => vec![*own],
            Vote::NewView(draft) => draft.order.clone(),
            Vote::Prepare(_) | Vote::Commit(_) | Vote::Checkpoint(_) | Vote::ViewChange(_) => Vec::new(),
        };
        io.vote(vote);
        for own in own.iter().filter(|own| hand.strikes(own.view, Some(own.slot))) {
            hand.lie(io, hand.peers(), Vote::Prepare(own.prepare()));
        }
    }
}
