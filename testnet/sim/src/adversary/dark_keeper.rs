//! A replica that keeps `f` others in the dark, and may then go mute (faults, rows 7 and 17).
//!
//! The `f` peers with the highest numbers hear nothing of it at all. So several of these need not talk to each other to leave out the same ones: with
//! `f` of them the rest are just a quorum. The second kind goes mute for ever once that has gone on for a window of slots: now those left in the dark are
//! needed, and must get what they missed from the honest.
//!
//! Defence: certificates and bodies are fetched from anyone who has them. Silence is no evidence.

use super::hand::Hand;
use super::muffler::{Muffle, Muffler};
use super::saying::Saying;
use varangian_consensus::Slot;
use varangian_crypto::ReplicaId;

/// See the module.
#[derive(Debug)]
pub struct DarkKeeper {
    then_mute: bool,
    /// The first slot of which somebody was told nothing.
    since: Option<Slot>,
    mute: bool,
}

impl DarkKeeper {
    /// Goes mute in the end or not.
    #[must_use]
    pub const fn new(then_mute: bool) -> Muffler<Self> {
        Muffler(Self { then_mute, since: None, mute: false })
    }
}

impl Muffle for DarkKeeper {
    fn hears(&mut self, hand: &Hand, to: ReplicaId, saying: &Saying) -> bool {
        if let Some(slot) = saying.slot.filter(|_| self.then_mute && saying.is_struck(hand)) {
            let since = *self.since.get_or_insert(slot);
            self.mute |= slot.since(since) >= hand.window();
        }
        let in_the_dark = victims(hand).any(|victim| victim == to) && saying.is_struck(hand);
        !self.mute && !in_the_dark
    }
}

/// The `f` peers with the highest numbers.
pub fn victims(hand: &Hand) -> impl Iterator<Item = ReplicaId> + use<> {
    let (own, f) = (hand.id(), hand.quorums().f());
    hand.quorums().replicas().rev().filter(move |peer| *peer != own).take(f).collect::<Vec<_>>().into_iter()
}
