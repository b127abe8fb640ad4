//! What a shell must be able to do. Every call returns at once: the work is done elsewhere, and what comes of it comes back as an input.

use varangian_consensus::{Alarm, Delivery, Evidence, Execution, Identity, Message, Millis, Record, Slot, Timer, Vote};
use varangian_crypto::{Digest, ReplicaId};

/// Names one group commit. Tokens of one runner rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The shell of one replica.
pub trait Io {
    /// Begins to make all of `records` durable in one synced group commit; when they are,
    /// [`Runner::persisted`](crate::Runner::persisted). If that fails the replica must stop: never report the token, never retry.
    fn persist(&mut self, records: Vec<Record>, token: Token);

    /// Signs a vote, [delivers](Io::deliver) it to the own core and broadcasts it.
    fn vote(&mut self, vote: Vote);

    /// Hands the own core something as from itself: [`Input::Message`](varangian_consensus::Input::Message).
    fn deliver(&mut self, delivery: Delivery);

    /// To every peer. May be lost: what matters is asked for again.
    fn broadcast(&mut self, message: Message);

    /// To one peer. May be lost.
    fn send(&mut self, to: ReplicaId, message: Message);

    /// Reads a body from the store and sends it; to this replica itself: delivers it.
    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest);

    /// Reads the decided slots `first..=last` from the store and sends them in order, or says from where on it has them.
    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot);

    /// Executes a decided slot after all earlier ones and writes what came of it; then
    /// [`Input::Executed`](varangian_consensus::Input::Executed).
    fn execute(&mut self, execution: Execution);

    /// Sends the reply of a command that was executed before to its client again.
    fn reply(&mut self, identity: Identity);

    /// (Re)starts the timer of this kind; when it runs out, [`Input::Timeout`](varangian_consensus::Input::Timeout).
    fn set_timer(&mut self, timer: Timer, after: Millis);

    /// Tells that somebody is proved faulty. The proof is durable.
    fn accuse(&mut self, evidence: Evidence);

    /// Tells an operator.
    fn alarm(&mut self, alarm: Alarm);
}
