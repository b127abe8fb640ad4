//! What comes of a command. A client accepts a reply that `f + 1` replicas send equal, byte for byte.

use crate::limits::{Limit, Limits, SMALL_RESULT_BYTES};
use borsh::{BorshDeserialize, BorshSerialize};
use varangian_consensus::{Command, Identity, Sequence, Slot};
use varangian_crypto::{Bounded, BoundedBytes, ClientKey, Digest};

/// Largest result of any genesis, in bytes: the upper end of `max_result_bytes`.
pub const MAX_RESULT_BYTES: usize = 1 << 24;
/// More operations than a command can have: the largest frame of any genesis over an operation's length prefix.
pub const MAX_OPERATIONS: usize = (1 << 30) / 4;

/// The answer to a command, made by executing it (protocol: "Commands and exactly-once"). Nothing in it is local to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Reply {
    /// Whose command.
    pub client: ClientKey,
    /// Its number.
    pub sequence: Sequence,
    /// Its content. A retry gets the original reply, so this tells a client that signed two commands with one number which of them ran.
    pub command: Digest,
    /// Where it had its turn.
    pub slot: Slot,
    /// What came of it.
    pub outcome: Outcome,
}

/// What exactly-once made of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// It ran, once. One result per operation, in order.
    Executed(Bounded<OperationResult, MAX_OPERATIONS>),
    /// Its number lies below the client's window: whether it ever ran is no longer known. Not remembered.
    TooOld,
    /// The genesis does not admit the client. Not remembered.
    Refused,
}

/// What came of one operation. All but `Done` left no write behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum OperationResult {
    /// The application's answer.
    Done(BoundedBytes<MAX_RESULT_BYTES>),
    /// The application panicked.
    ApplicationFault,
    /// The result does not fit what the genesis lets a command answer (`max_result_bytes`). Ask for less, or in another command.
    TooLarge {
        /// Bytes of the result.
        size: u64,
    },
    /// The operation met a limit.
    LimitExceeded(Limit),
}

impl Reply {
    pub(crate) fn new(command: &Command, slot: Slot, outcome: Outcome) -> Self {
        let Identity { client, sequence } = command.identity();
        Self { client, sequence, command: *command.digest(), slot, outcome }
    }

    /// Which command it answers.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        Identity { client: self.client, sequence: self.sequence }
    }

    /// Largest encoded reply to a command of so many operations: a head of 85 bytes, the results that count against
    /// `max_result_bytes`, and for each operation its tag, length and a small result.
    #[must_use]
    pub const fn max_bytes(limits: &Limits, operations: usize) -> usize {
        const HEAD: usize = 32 + 8 + 32 + 8 + 1 + 4;
        const RESULT: usize = 1 + 4 + SMALL_RESULT_BYTES;
        HEAD.saturating_add(limits.result_bytes).saturating_add(operations.saturating_mul(RESULT))
    }
}
