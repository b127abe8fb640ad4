//! A replica that falls silent for ever (faults, row 30: crash).
//!
//! From the first place at which it strikes nobody hears anything of it: `crash@slot=10..` works until slot 10. Its core goes on inside.
//!
//! Defence: the others are a quorum, and pass it over when it leads. Silence is no evidence.

use super::hand::Hand;
use super::muffler::{Muffle, Muffler};
use super::saying::Saying;
use varangian_crypto::ReplicaId;

/// See the module.
#[derive(Debug, Default)]
pub struct Crasher {
    dead: bool,
}

impl Crasher {
    /// Alive until it strikes.
    #[must_use]
    pub fn new() -> Muffler<Self> {
        Muffler(Self::default())
    }
}

impl Muffle for Crasher {
    fn hears(&mut self, hand: &Hand, _: ReplicaId, saying: &Saying) -> bool {
        self.dead |= saying.is_struck(hand);
        !self.dead
    }
}
