//! RocksDB's options, each with its reason.
//!
//! **Bodies of batches are ordinary values, not blobs.** Their keys begin with the slot, so they arrive in order:
//! a flushed table overlaps no other, and compaction moves it down a level by changing the manifest instead of
//! rewriting it. Measured with 600 bodies of 1 MiB: in order, compaction rewrote 0.6 % of what was flushed;
//! reversed in groups of eight, so that every table overlaps the next, it rewrote each body once. They leave from the
//! low end, whole tables at a time. Blob files rewrite nothing in either case, but a blob file is freed only with the
//! table that refers to it, and those tables, forty bytes for a body, merge into ones that span more slots than a
//! budget keeps. So disorder, which is rare, would be cheaper, and pruning would free nothing.
//!
//! **Flushes are atomic over all families**, so the tables hold the state after some write of the log, never
//! a mixture. Otherwise the loss of an old log file could take bodies and leave the turns that cite them, and the
//! chain of turns would not show it.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel, Options as Rocks,
    statistics::StatsLevel,
};

use crate::keys::Family;
use crate::layout::Layout;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// A table with so many deletions among so many entries is compacted.
const DELETIONS: usize = 2048;
const DELETIONS_AMONG: usize = 4096;

/// How much memory, log and background work a store may use. The defaults suit ten replicas on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of unflushed writes, all families together, at which they are flushed. While a flush runs the next
    /// ones gather, so up to three times as much memory is used. RocksDB takes 64 KiB as the least.
    pub memtable_bytes: usize,
    /// Bytes of decompressed blocks kept for reading.
    pub cache_bytes: usize,
    /// Bytes of log at which it is flushed; bounds how long opening takes.
    pub log_bytes: u64,
    /// Threads for flushing and compaction.
    pub background_jobs: i32,
    /// Size of one table, in bytes. Pruning frees whole tables.
    pub table_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_bytes: 16 * MIB,
            cache_bytes: 8 * MIB,
            log_bytes: 64 * MIB as u64,
            background_jobs: 2,
            table_bytes: 16 * MIB as u64,
        }
    }
}

/// The database's options, its families, and their cache.
pub(crate) struct Tuning {
    pub(crate) database: Rocks,
    pub(crate) cache: Cache,
    options: Options,
}

impl Tuning {
    pub(crate) fn new(layout: &Layout, options: Options) -> Self {
        Self { database: database(layout, options), cache: Cache::new_lru_cache(options.cache_bytes), options }
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.options.cache_bytes
    }

    pub(crate) fn families(&self) -> Vec<ColumnFamilyDescriptor> {
        let descriptor = |family: Family| ColumnFamilyDescriptor::new(family.name(), self.family(family));
        Family::ALL.into_iter().map(descriptor).collect()
    }

    fn family(&self, family: Family) -> Rocks {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_bloom_filter(10.0, false);
        // Filters and indexes count against the cache, so that its size bounds them too.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);

        let mut rocks = Rocks::default();
        rocks.set_block_based_table_factory(&table);
        rocks.set_write_buffer_size(self.options.memtable_bytes);
        rocks.set_max_write_buffer_number(3);
        rocks.set_arena_block_size(64 * KIB);
        rocks.set_target_file_size_base(self.options.table_bytes);
        rocks.set_max_bytes_for_level_base(4 * self.options.table_bytes);
        if family == Family::State {
            // Scans pass what is deleted until compaction has removed it: a table with many deletions in a row is compacted soon.
            rocks.add_compact_on_deletion_collector_factory(DELETIONS_AMONG, DELETIONS, 0.5);
        }
        rocks.set_compression_type(match family {
            Family::Batches | Family::State | Family::Clients => DBCompressionType::Lz4,
            // Signatures and digests do not compress.
            Family::Own | Family::Consensus | Family::Meta | Family::Committed => DBCompressionType::None,
        });
        rocks
    }
}

fn database(layout: &Layout, options: Options) -> Rocks {
    let mut rocks = Rocks::default();
    // Recovery: a torn end is dropped, everything else that is damaged is refused. `recovery` has already
    // cut a torn end by then, and has refused one that is below the mark. A recycled log file would end in the
    // records of its earlier life, which no reader can tell from damage.
    rocks.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    rocks.set_recycle_log_file_num(0);
    rocks.set_paranoid_checks(true);
    rocks.set_atomic_flush(true);
    rocks.set_wal_dir(layout.log());
    // A table goes to disk while it is written, not all at once at its end in the way of the log.
    rocks.set_bytes_per_sync(MIB as u64);
    // Memory, all families together, and the log.
    rocks.set_db_write_buffer_size(options.memtable_bytes);
    rocks.set_max_total_wal_size(options.log_bytes);
    rocks.set_max_background_jobs(options.background_jobs);
    rocks.set_max_open_files(512);
    // The manifest and the information log stay small; statistics stay out of it.
    rocks.set_max_manifest_file_size(4 * MIB);
    rocks.set_max_log_file_size(MIB);
    rocks.set_keep_log_file_num(2);
    rocks.set_log_level(LogLevel::Warn);
    rocks.set_stats_dump_period_sec(0);
    rocks.set_stats_persist_period_sec(0);
    rocks.enable_statistics();
    rocks.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    rocks
}
