//! What comes of a command that was answered.

use thiserror::Error;
use varangian_application::OperationResult;
use varangian_consensus::{Sequence, Slot};
use varangian_crypto::{Digest, ReplicaId};

/// A command ran, once, and at least one honest replica says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The client's number for it.
    pub sequence: Sequence,
    /// Its content.
    pub command: Digest,
    /// Its place in the agreed order.
    pub slot: Slot,
    /// One per operation, in order.
    pub results: Vec<OperationResult>,
    /// Whose equal answers sufficed: at least `f + 1`, ascending.
    pub replicas: Vec<ReplicaId>,
    /// Who had answered otherwise by then: faulty, or proved so by nothing but this.
    pub dissenters: Vec<ReplicaId>,
}

/// Why a command was not executed under its number, by the word of `f + 1` replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Rejection {
    /// The number lies below the client's window. Whether the command ran before is *not known any more*.
    #[error(
        "its number lies below the client's window, so whether it ever ran is not known any more; read the state to find out"
    )]
    TooOld,
    /// The genesis does not admit the client, or admits no more.
    #[error("the genesis does not admit this client; use a key that it lists")]
    Refused,
    /// Signature, size or form. It never runs.
    #[error("the command is not valid on this chain; compare the genesis files and the limits in them")]
    Invalid,
}

impl Rejection {
    /// Whether the command may nevertheless have run.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::TooOld)
    }
}
