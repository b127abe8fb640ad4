//! A replica that does not hear clients (faults, row 30: receive omission).
//!
//! What clients send it is lost. It answers commands that reach it by way of other replicas, as primary it orders them, and its own core never knows better.
//!
//! Defence: a client that waits asks everybody; backups hand commands on and watch whether they are ordered. Not to have heard is no evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use varangian_consensus::View;

/// See the module.
#[derive(Debug)]
pub struct Deaf;

impl Behaviour for Deaf {
    fn hears_clients(&mut self, hand: &Hand, view: View) -> bool {
        !hand.strikes(view, None)
    }
}
