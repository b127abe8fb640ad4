//! A replica that names batches and keeps their bodies (faults, row 6).
//!
//! It proposes and votes by digest; nobody hears a body of it, neither with its proposals nor when asked, nor with decided slots. Or only the `f` peers
//! behind it in the ring do, so that the others must get it from those.
//!
//! Defence: no vote before the body is durable, so without it no proposal gets anywhere, and the command's timer deposes this primary; with `f` bodies
//! out, whoever has voted for one is asked for it. Silence is no evidence.

use super::hand::Hand;
use super::muffler::{Muffle, Muffler};
use super::saying::Saying;
use varangian_crypto::ReplicaId;

/// Who gets bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Receivers {
    /// Nobody.
    Nobody,
    /// The `f` peers behind it.
    Few,
}

/// See the module.
#[derive(Debug)]
pub struct BodyWithholder(Receivers);

impl BodyWithholder {
    /// Gives bodies to these alone.
    #[must_use]
    pub const fn new(receivers: Receivers) -> Muffler<Self> {
        Muffler(Self(receivers))
    }
}

impl Muffle for BodyWithholder {
    fn hears(&mut self, hand: &Hand, to: ReplicaId, saying: &Saying) -> bool {
        let receives = match self.0 {
            Receivers::Nobody => false,
            Receivers::Few => hand.place_of(to) < hand.quorums().f(),
        };
        receives || !matches!(saying.name, "batch" | "decided") || !saying.is_struck(hand)
    }
}
