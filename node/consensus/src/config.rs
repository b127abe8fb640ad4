//! What a replica needs to know of the genesis: arithmetic and limits, no keys.

use crate::types::{Millis, Slot, View};
use alloc::collections::BTreeSet;
use varangian_crypto::{ClientKey, Clients, Committee, Digest, Genesis, Quorums, ReplicaId};

/// Who may be a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    /// Only these.
    List(BTreeSet<ClientKey>),
    /// Anyone, until so many have had a command executed.
    Open(usize),
}

impl Admission {
    /// Clients that can ever be admitted.
    #[must_use]
    pub fn maximum(&self) -> usize {
        match self {
            Self::List(keys) => keys.len(),
            Self::Open(maximum) => *maximum,
        }
    }
}

/// A whole batch, in what commands take of one.
pub const WHOLE_BATCH: u64 = 1 << 20;

/// Limits and arithmetic of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// This replica.
    pub id: ReplicaId,
    /// n, f, q and who leads.
    pub quorums: Quorums,
    /// Slots between checkpoints (the paper's `K`).
    pub interval: u64,
    /// Slots above the stable checkpoint that may be voted on (the paper's `L`).
    pub window: u64,
    /// Slots that a primary has unfinished at most.
    pub pipeline: u64,
    /// Bytes of a batch at most.
    pub batch_bytes: usize,
    /// Operations of a batch at most.
    pub batch_operations: u64,
    /// Sequences per client that are told apart (protocol's `W`).
    pub client_window: u64,
    /// Commands that a backup has armed at most, and places that a primary keeps per backup (protocol's `A`).
    pub armed: usize,
    /// Commands of one client in the pool at most.
    pub pool_commands: usize,
    /// Bytes of clients in the pool, beyond which each may only have one command in it. Backups have their places apart.
    pub pool_bytes: usize,
    /// Time-out of the first view.
    pub base_timeout: Millis,
    /// Longest time-out.
    pub max_timeout: Millis,
    /// Who may be a client.
    pub admission: Admission,
    /// The history before slot 1: the chain id, so that no two chains share a history.
    pub genesis_history: Digest,
}

impl Config {
    /// Of replica `id` under `genesis`.
    #[must_use]
    pub fn new(genesis: &Genesis, committee: &Committee, id: ReplicaId) -> Self {
        let parameters = committee.parameters();
        Self {
            id,
            quorums: committee.quorums(),
            interval: parameters.checkpoint_interval,
            window: parameters.window,
            pipeline: parameters.pipeline_depth,
            batch_bytes: parameters.max_batch_bytes as usize,
            batch_operations: u64::from(parameters.max_batch_operations),
            client_window: u64::from(parameters.client_window),
            armed: parameters.armed_commands as usize,
            pool_commands: parameters.client_pool_commands as usize,
            pool_bytes: usize::try_from(parameters.pool_bytes).unwrap_or(usize::MAX),
            base_timeout: parameters.base_timeout_ms,
            max_timeout: parameters.max_timeout_ms,
            admission: match genesis.clients() {
                Clients::AllowList(keys) => Admission::List(keys.iter().copied().collect()),
                Clients::Open { maximum } => Admission::Open(*maximum as usize),
            },
            genesis_history: committee.context().chain_id,
        }
    }

    /// The primary of `view` (§4: `v mod n`).
    #[must_use]
    pub fn primary(&self, view: View) -> ReplicaId {
        self.quorums.primary(view.0)
    }

    /// Distinct signers that decide.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.quorums.quorum()
    }

    /// Distinct replicas of which one is honest.
    #[must_use]
    pub fn weak(&self) -> usize {
        self.quorums.weak()
    }

    /// Whether a checkpoint is due after `slot`.
    #[must_use]
    pub const fn is_checkpoint(&self, slot: Slot) -> bool {
        slot.0 > 0 && slot.0.is_multiple_of(self.interval)
    }

    /// What a command takes of a batch, of its bytes or of its operations, whichever is more; [`WHOLE_BATCH`] is all of it.
    #[must_use]
    pub fn share_of_batch(&self, bytes: usize, operations: u64) -> u64 {
        let (bytes, batch_bytes) = (bytes as u64, (self.batch_bytes as u64).max(1));
        let of = |part: u64, whole: u64| part.saturating_mul(WHOLE_BATCH) / whole;
        of(bytes, batch_bytes).max(of(operations, self.batch_operations.max(1))).max(1)
    }

    /// Slots that may rightly be ordered before a command that was handed on: those under way, and what fair turns put before it. Of the batches that wait, its own
    /// source may have one before it (it stays in the order in which it was handed on), may have been served one ahead of the others, and a command more; these then have as much each, and batches that no next
    /// command fits into may be half full.
    #[must_use]
    pub const fn fair_slots(&self) -> u64 {
        self.pipeline.saturating_add(6 * self.quorums.n() as u64)
    }

    /// How often a replica with something outstanding says where it stands.
    #[must_use]
    pub const fn status_interval(&self) -> Millis {
        let interval = self.base_timeout / 5;
        if interval == 0 { 1 } else { interval }
    }
}
