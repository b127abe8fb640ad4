//! What a behaviour may rewrite: that which leaves the replica under its own name. Everything else stays with the honest shell.

use super::hand::Hand;
use core::fmt;
use varangian_consensus::{Message, Record, Vote};
use varangian_crypto::ReplicaId;
use varangian_runner::Io;

/// One kind of misbehaviour. What it does not rewrite is honest.
///
/// Where the [`Hand`] does not strike, a behaviour hands on what it got, unchanged and in order.
pub trait Behaviour: fmt::Debug + Send {
    /// These records are about to be made durable; what they promise follows. They cannot be changed: an adversary's disk is an honest one.
    fn persisting(&mut self, _hand: &Hand, _records: &[Record]) {}

    /// The core casts a vote. The core must get it as from [`Io::vote`], or it would stall inside.
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io);

    /// The core tells every peer something.
    fn broadcast(&mut self, _hand: &Hand, message: Message, io: &mut dyn Io) {
        io.broadcast(message);
    }

    /// The core tells one peer something, most often what that peer missed.
    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io);
}
