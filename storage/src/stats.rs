//! Counters, for metrics.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rocksdb::statistics::Ticker;

use crate::store::Store;

/// Counted by the store itself, since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) turns: AtomicU64,
    pub(crate) executions: AtomicU64,
    pub(crate) log_micros: AtomicU64,
    pub(crate) mark_micros: AtomicU64,
}

/// What a store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Turns made, by commits and by pruning. Each syncs the mark once.
    pub turns: u64,
    /// Slots executed.
    pub executions: u64,
    /// Syncs of the log: one for each turn, and one for each log file that the database closes.
    pub log_syncs: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Bytes written to tables from memory.
    pub flushed_bytes: u64,
    /// Bytes written to tables from other tables.
    pub compacted_bytes: u64,
    /// How long the last turn's write and sync of the log took, in microseconds.
    pub last_log_sync_micros: u64,
    /// How long the last turn's write and sync of the mark took, in microseconds.
    pub last_mark_sync_micros: u64,
}

impl Store {
    /// What the store has done since it was opened.
    pub fn stats(&self) -> Stats {
        let ticker = |ticker| self.tuning.database.get_ticker_count(ticker);
        Stats {
            turns: self.counters.turns.load(Relaxed),
            executions: self.counters.executions.load(Relaxed),
            log_syncs: ticker(Ticker::WalFileSynced),
            log_bytes: ticker(Ticker::WalFileBytes),
            flushed_bytes: ticker(Ticker::FlushWriteBytes),
            compacted_bytes: ticker(Ticker::CompactWriteBytes),
            last_log_sync_micros: self.counters.log_micros.load(Relaxed),
            last_mark_sync_micros: self.counters.mark_micros.load(Relaxed),
        }
    }
}
