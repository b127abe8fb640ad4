//! A replica that answers clients badly (faults, row 30: wrong, late and omitted replies).
//!
//! It tells every client of another result than the one that was agreed, and does so as soon as it knows of the command, before anything is decided; or it
//! keeps each reply until no client waits for it alone any more; or it answers nobody. Among replicas it is honest.
//!
//! Defence: a client believes `f + 1` equal replies, whatever comes first, and asks everybody when the first it asked is late. A reply is no evidence: it is
//! not signed.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::told::Told;
use varangian_consensus::{Slot, View};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replies {
    /// With another result.
    Wrong,
    /// A whole time-out later: a client asks everybody after half of one at the latest.
    Late,
    /// Not at all.
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub struct BadReplier(pub Replies);

impl Behaviour for BadReplier {
    fn answer(&mut self, hand: &Hand, view: View, slot: Slot) -> Told {
        if !hand.strikes(view, Some(slot)) {
            return Told::Truth;
        }
        match self.0 {
            Replies::Wrong => Told::Lie,
            Replies::Late => Told::Late(hand.committee().parameters().base_timeout_ms),
            Replies::Nothing => Told::Nothing,
        }
    }
}
