//! The numbers that all replicas of a chain share. They are part of the chain id, so they cannot differ between replicas.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{GenesisError, Quorums};

/// Bytes that a frame needs besides the batch it carries.
pub const FRAME_OVERHEAD_BYTES: u64 = 4096;

/// A signature beside its signer in a certificate.
const VOTE_BYTES: u64 = 66;
/// A prepared certificate without its votes: view, slot, digest, the PRE-PREPARE's signature.
const PREPARED_BYTES: u64 = 112;
/// One PRE-PREPARE of the set O.
const PRE_PREPARE_BYTES: u64 = 120;
/// Headers, stable certificate and rounding.
const NEW_VIEW_SLACK_BYTES: u64 = 4096;

/// Consensus parameters. What a genesis does not name has its default.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Slots from one checkpoint to the next (§4.3). Default 128.
    pub checkpoint_interval: u64,
    /// Slots above the stable checkpoint in which votes are accepted; whole intervals, at least two. Default 256.
    pub window: u64,
    /// Slots that a primary may have unfinished. Default 16.
    pub pipeline_depth: u64,
    /// Largest encoded batch, in bytes. Default 1 MiB.
    pub max_batch_bytes: u32,
    /// Most operations in one batch, over all its commands. Default 4096.
    pub max_batch_operations: u32,
    /// Largest encoded command with its signature, in bytes. Default 512 KiB.
    pub max_command_bytes: u32,
    /// Sequences per client, above its floor, that may be outstanding or remembered. Default 256.
    pub client_window: u32,
    /// Largest remembered reply of one command, in bytes. Default 4096.
    pub max_result_bytes: u32,
    /// Clients that may ever be admitted. Default 10,000.
    pub max_clients: u32,
    /// Commands that one backup arms with a timer, and places that the primary keeps per backup (`A` in the protocol); all of them fit one batch. Default 64.
    pub armed_commands: u32,
    /// Commands of one client in a replica's pool. Default 64.
    pub client_pool_commands: u32,
    /// Bytes of all clients' commands in a replica's pool, and 512 for each; the places of backups come on top. Default 64 MiB.
    pub pool_bytes: u64,
    /// The time-out's floor, in milliseconds. Default 500.
    pub base_timeout_ms: u64,
    /// The time-out's cap, in milliseconds. Default 16,000.
    pub max_timeout_ms: u64,
    /// Largest message between replicas, in bytes. Default 16 MiB.
    pub max_frame_bytes: u32,
    /// Largest disk space that remembered replies may come to, in bytes; a genesis that can need more is refused. Default 16 GiB.
    pub max_reply_store_bytes: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            checkpoint_interval: 128,
            window: 256,
            pipeline_depth: 16,
            max_batch_bytes: 1 << 20,
            max_batch_operations: 4096,
            max_command_bytes: 512 << 10,
            client_window: 256,
            max_result_bytes: 4096,
            max_clients: 10_000,
            armed_commands: 64,
            client_pool_commands: 64,
            pool_bytes: 64 << 20,
            base_timeout_ms: 500,
            max_timeout_ms: 16_000,
            max_frame_bytes: 16 << 20,
            max_reply_store_bytes: 16 << 30,
        }
    }
}

impl Parameters {
    /// Bytes of the largest legal NEW-VIEW (§4.4): `q` VIEW-CHANGEs, each with a prepared certificate of `q` votes for every slot of the window, one PRE-PREPARE per slot,
    /// and slack: `q * window * (66 q + 112) + 120 * window + 4096`. Saturates.
    #[must_use]
    pub fn new_view_bytes(&self, quorums: Quorums) -> u64 {
        let q = quorums.quorum() as u64;
        let certificate = q * VOTE_BYTES + PREPARED_BYTES;
        q.saturating_mul(self.window)
            .saturating_mul(certificate)
            .saturating_add(self.window.saturating_mul(PRE_PREPARE_BYTES))
            .saturating_add(NEW_VIEW_SLACK_BYTES)
    }

    /// Bytes that the remembered replies of `clients` clients can come to: `client_window * max_result_bytes * clients`. Saturates.
    #[must_use]
    pub const fn reply_memory_bytes(&self, clients: u64) -> u64 {
        (self.client_window as u64).saturating_mul(self.max_result_bytes as u64).saturating_mul(clients)
    }

    /// Whether the numbers fit each other, a committee of this size and this many clients.
    ///
    /// # Errors
    /// The first that does not fit, with what to change.
    pub(crate) fn validate(&self, quorums: Quorums, clients: u64) -> Result<(), GenesisError> {
        self.check_ranges()?;
        self.check_sizes()?;
        // Two intervals, so that slots go on being filled while a checkpoint becomes stable. Whole ones, so that the window's last slot is
        // a checkpoint's: nothing is executed above it, so a replica that crashed there can still sign it.
        if self.window < self.checkpoint_interval.saturating_mul(2)
            || !self.window.is_multiple_of(self.checkpoint_interval)
        {
            return Err(GenesisError::WindowAndInterval { window: self.window, interval: self.checkpoint_interval });
        }
        if self.base_timeout_ms > self.max_timeout_ms {
            return Err(GenesisError::Timeouts { base: self.base_timeout_ms, maximum: self.max_timeout_ms });
        }
        let needed = self.new_view_bytes(quorums);
        if needed > u64::from(self.max_frame_bytes) {
            return Err(GenesisError::NewViewExceedsFrame {
                replicas: quorums.n(),
                window: self.window,
                needed,
                frame: self.max_frame_bytes.into(),
            });
        }
        if clients > u64::from(self.max_clients) {
            return Err(GenesisError::TooManyClients { found: clients, maximum: self.max_clients.into() });
        }
        let needed = self.reply_memory_bytes(clients);
        if needed > self.max_reply_store_bytes {
            return Err(GenesisError::RepliesExceedStore {
                clients,
                window: self.client_window.into(),
                result: self.max_result_bytes.into(),
                needed,
                store: self.max_reply_store_bytes,
            });
        }
        Ok(())
    }

    /// Each number alone.
    fn check_ranges(&self) -> Result<(), GenesisError> {
        let frame = 1 << 30;
        let any = u64::from(u32::MAX);
        let day_ms = 24 * 60 * 60 * 1000;
        let ranges = [
            ("checkpoint_interval", self.checkpoint_interval, 1, 1 << 20),
            ("window", self.window, 2, 1 << 21),
            ("pipeline_depth", self.pipeline_depth, 1, self.window),
            ("max_frame_bytes", self.max_frame_bytes.into(), 1 << 14, frame),
            ("max_batch_bytes", self.max_batch_bytes.into(), 1024, frame),
            ("max_batch_operations", self.max_batch_operations.into(), 1, any),
            ("max_command_bytes", self.max_command_bytes.into(), 512, frame),
            ("client_window", self.client_window.into(), 1, 4096),
            ("max_result_bytes", self.max_result_bytes.into(), 32, 1 << 24),
            ("max_clients", self.max_clients.into(), 1, any),
            ("armed_commands", self.armed_commands.into(), 1, 1 << 16),
            ("client_pool_commands", self.client_pool_commands.into(), 1, self.client_window.into()),
            ("base_timeout_ms", self.base_timeout_ms, 10, day_ms),
            ("max_timeout_ms", self.max_timeout_ms, 10, day_ms),
        ];
        for (name, value, minimum, maximum) in ranges {
            if value < minimum || value > maximum {
                return Err(GenesisError::Range { name, value, minimum, maximum });
            }
        }
        Ok(())
    }

    /// What must hold what.
    fn check_sizes(&self) -> Result<(), GenesisError> {
        let (command, batch) = (u64::from(self.max_command_bytes), u64::from(self.max_batch_bytes));
        let frame = u64::from(self.max_frame_bytes);
        if command > batch {
            return Err(GenesisError::CommandExceedsBatch { command, batch });
        }
        if batch + FRAME_OVERHEAD_BYTES > frame {
            return Err(GenesisError::BatchExceedsFrame { batch, overhead: FRAME_OVERHEAD_BYTES, frame });
        }
        if self.pool_bytes < batch {
            return Err(GenesisError::PoolBelowBatch { pool: self.pool_bytes, batch });
        }
        Ok(())
    }
}
