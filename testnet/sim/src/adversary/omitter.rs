//! A replica that loses every other message of its own (faults, row 30: send omission).
//!
//! A coin decides for each message and hearer. The coins are numbered, so a run repeats; a restart begins anew. (Receive omission cannot be played
//! here: an adversary's shell is asked to send, never whether to hear. A network that loses one way plays it.)
//!
//! Defence: state is sent again until it is known. Silence is no evidence.

use super::hand::Hand;
use super::muffler::{Muffle, Muffler};
use super::saying::Saying;
use super::trigger::scramble;
use varangian_crypto::ReplicaId;

/// See the module.
#[derive(Debug, Default)]
pub struct Omitter {
    coins: u64,
}

impl Omitter {
    /// From the first coin on.
    #[must_use]
    pub fn new() -> Muffler<Self> {
        Muffler(Self::default())
    }
}

impl Muffle for Omitter {
    fn hears(&mut self, hand: &Hand, _: ReplicaId, saying: &Saying) -> bool {
        if !saying.is_struck(hand) {
            return true;
        }
        self.coins = self.coins.wrapping_add(1);
        scramble(self.coins).is_multiple_of(2)
    }
}
