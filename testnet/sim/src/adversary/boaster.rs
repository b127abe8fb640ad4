//! A replica that boasts (faults, row 30: impersonation).
//!
//! Asked by a client where it stands it says that it is far ahead in a view that nobody will see, that all others are proved faulty, and every other time
//! that it is somebody else. Its replies are honest, and so is what it tells replicas.
//!
//! Defence: a replica is known by its connection's key, and one replica's word on where it stands is one replica's word. It is not signed and no evidence.

use super::behaviour::Behaviour;
use super::hand::Hand;
use varangian_consensus::View;

/// See the module.
#[derive(Debug)]
pub struct Boaster;

impl Behaviour for Boaster {
    fn boasts(&mut self, hand: &Hand, view: View) -> bool {
        hand.strikes(view, None)
    }
}
