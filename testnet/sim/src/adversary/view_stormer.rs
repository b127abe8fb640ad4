//! A replica that asks for ever higher views (faults, row 12).
//!
//! With each of its votes and each tick it signs VIEW-CHANGEs for views far above all, each higher than the ones before, at most [`BURST`] a time. The
//! views lie where no honest replica will ever be, so that it never contradicts itself.
//!
//! Defence: a replica joins a view when `f + 1` ask for it or exceed it, so `f` alone move nobody; one VIEW-CHANGE per sender is held, and so many for
//! far views are checked. Asking is no evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::lying_view_changer::nothing;
use super::saying::is_struck;
use varangian_consensus::{View, Vote};
use varangian_runner::Io;

/// VIEW-CHANGEs per occasion.
pub const BURST: u64 = 4;
/// Above all views that honest replicas ever come to.
const FAR: u64 = 1 << 32;

/// See the module.
#[derive(Debug, Default)]
pub struct ViewStormer {
    asked: u64,
}

impl ViewStormer {
    fn storm(&mut self, hand: &Hand, io: &mut dyn Io) {
        for _ in 0..BURST {
            self.asked = self.asked.wrapping_add(1);
            let view = View(hand.view().0.saturating_add(FAR).saturating_add(self.asked));
            hand.lie(io, hand.peers(), Vote::ViewChange(Box::new(nothing(view))));
        }
    }
}

impl Behaviour for ViewStormer {
    fn tick(&mut self, hand: &Hand, io: &mut dyn Io) {
        if hand.strikes(hand.view(), None) {
            self.storm(hand, io);
        }
    }

    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let struck = is_struck(hand, &vote);
        io.vote(vote);
        if struck {
            self.storm(hand, io);
        }
    }
}
