//! What can go wrong, and what to do next.

use thiserror::Error;
use varangian_consensus::{CommandError, Sequence, Slot};
use varangian_crypto::{CodecError, ReplicaId};
use varangian_net::NetError;

use crate::journal::JournalError;
use crate::network::NetworkError;
use crate::outcome::Rejection;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum ClientError {
    /// `f + 1` replicas say that it does not run.
    #[error("command {sequence} is rejected: {reason}")]
    Rejected {
        /// The command's number.
        sequence: Sequence,
        /// Why.
        reason: Rejection,
    },
    /// It was sent, and too few equal answers came in time.
    #[error(
        "the outcome of command {sequence} is unknown: sent to {}, {answers} answered, too few alike in time; \
         it may or may not be executed; send the same bytes again: `varangian kv retry`",
        list(.sent)
    )]
    Unknown {
        /// The command's number.
        sequence: Sequence,
        /// Who may have it.
        sent: Vec<ReplicaId>,
        /// Replicas that have answered.
        answers: usize,
    },
    /// A command of unknown outcome could not be asked about again.
    #[error(
        "the outcome of command {sequence} is still unknown, as no replica was reached: {why}; see that the network is up, then \
         `varangian kv retry`"
    )]
    StillUnknown {
        /// The command's number.
        sequence: Sequence,
        /// What stood in the way.
        why: String,
    },
    /// It was never sent to anybody: nothing has happened and nothing will.
    #[error("no replica took the command and nothing was sent: {why}; see that the network is up, then run it again")]
    Unavailable {
        /// What stood in the way.
        why: String,
    },
    /// The key has used this number for another command, which has run.
    #[error(
        "number {sequence} was used by another command of this key, executed in slot {slot}, so this one never runs; an older copy of \
         the journal is in use, or the key is in use elsewhere: move the journal away, a new one begins above all earlier numbers"
    )]
    SequenceUsed {
        /// The number.
        sequence: Sequence,
        /// Where the other command ran.
        slot: Slot,
    },
    /// A command of this key and number is on its way already.
    #[error("a command with number {sequence} of this key is on its way already; wait for its outcome")]
    Outstanding {
        /// The number.
        sequence: Sequence,
    },
    /// A replica serves no more clients on one connection.
    #[error("{maximum} clients use these connections already; open another set for more")]
    TooManySessions {
        /// How many may.
        maximum: usize,
    },
    /// The command is larger than the chain allows.
    #[error("the command has {found} {unit}, the genesis allows {maximum}; split it")]
    TooLarge {
        /// What it has.
        found: u64,
        /// What it may have.
        maximum: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Not a command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// `f + 1` replicas send the same answer, and this version cannot read it.
    #[error(
        "the replicas' answer to command {sequence} is not readable: {source}; use the replicas' version of this program"
    )]
    Incompatible {
        /// The command's number.
        sequence: Sequence,
        /// Why.
        source: CodecError,
    },
    /// Not a replica of this network.
    #[error("{0} is not a replica of this network; the genesis lists them")]
    NoSuchReplica(ReplicaId),
    /// The genesis or the addresses.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] NetError),
}

impl ClientError {
    /// Whether the command may nevertheless run, or have run.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::StillUnknown { .. } | Self::Incompatible { .. } => true,
            Self::Rejected { reason, .. } => reason.is_unknown(),
            _ => false,
        }
    }
}

fn list(replicas: &[ReplicaId]) -> String {
    replicas.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
