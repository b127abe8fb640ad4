//! What a behaviour may rewrite: that which leaves the replica under its own name, and how long its timers run. Everything else stays with the honest shell.
//!
//! The seam is the runner's [`Io`], and what passes between it and clients ([`Behaviour::answer`], [`Behaviour::boasts`],
//! [`Behaviour::hears_clients`]); nothing else. So a behaviour runs alike in memory, in a simulator and in a process. What it knows of others
//! it learns as its core does: from records ([`Behaviour::persisting`]), decided slots ([`Behaviour::executing`]) and what the core says.
//!
//! It has no clock. [`Behaviour::tick`] comes whenever the core sets its timer for the status exchange, which is once per status interval as long as
//! anything is outstanding; to be late, keep a message for so many ticks. When all is idle there are none: what is kept then stays until there is work.

use super::hand::Hand;
use super::told::Told;
use core::fmt;
use varangian_consensus::{Execution, Message, Millis, Record, Slot, Timer, View, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::Io;

/// One kind of misbehaviour. What it does not rewrite is honest.
///
/// Where the [`Hand`] does not strike, a behaviour hands on what it got, unchanged and in order. Whatever it keeps in memory is bounded, and what it
/// signs for one place is the same after a restart, unless that is its fault: then it is a function of the place and of what the core says there.
pub trait Behaviour: fmt::Debug + Send {
    /// These records are about to be made durable; what they promise follows. They cannot be changed: an adversary's disk is an honest one.
    fn persisting(&mut self, _hand: &Hand, _records: &[Record]) {}

    /// This slot is decided; the core inside executes it.
    fn executing(&mut self, _hand: &Hand, _execution: &Execution) {}

    /// Some time has passed: see the module.
    fn tick(&mut self, _hand: &Hand, _io: &mut dyn Io) {}

    /// The core sets a timer, to run out after so long.
    fn set_timer(&mut self, _hand: &Hand, timer: Timer, after: Millis, io: &mut dyn Io) {
        io.set_timer(timer, after);
    }

    /// The core casts a vote. The core must get it as from [`Io::vote`], or it would stall inside.
    fn vote(&mut self, _hand: &Hand, vote: Vote, io: &mut dyn Io) {
        io.vote(vote);
    }

    /// The core tells every peer something.
    fn broadcast(&mut self, _hand: &Hand, message: Message, io: &mut dyn Io) {
        io.broadcast(message);
    }

    /// The core tells one peer something, most often what that peer missed.
    fn send(&mut self, _hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        io.send(to, message);
    }

    /// A peer gets a body from the store. (Its own core's reads do not come here.)
    fn send_batch(&mut self, _hand: &Hand, to: ReplicaId, slot: Slot, digest: Digest, io: &mut dyn Io) {
        io.send_batch(to, slot, digest);
    }

    /// A peer gets decided slots from the store.
    fn send_decided(&mut self, _hand: &Hand, to: ReplicaId, first: Slot, last: Slot, io: &mut dyn Io) {
        io.send_decided(to, first, last);
    }

    /// A client is about to be told what its command came to in this slot.
    fn answer(&mut self, _hand: &Hand, _view: View, _slot: Slot) -> Told {
        Told::Truth
    }

    /// A client sends a command: whether it reaches the core.
    fn hears_clients(&mut self, _hand: &Hand, _view: View) -> bool {
        true
    }

    /// A client asks where the replica stands: whether it is told something else.
    fn boasts(&mut self, _hand: &Hand, _view: View) -> bool {
        false
    }
}
