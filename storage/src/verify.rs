//! Reads everything and reports.

use rocksdb::IteratorMode;

use crate::error::StoreError;
use crate::keys::Family;
use crate::store::{Store, locked};

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Each column family.
    pub tables: Vec<TableReport>,
    /// The last turn on disk.
    pub turn: u64,
    /// The last executed slot.
    pub last_executed: u64,
    /// The oldest slot that can be served to others.
    pub oldest_committed: u64,
}

/// What a column family holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// Its name. `default` holds the store's own records.
    pub name: &'static str,
    /// Its entries.
    pub entries: u64,
    /// Their keys and values, in bytes, uncompressed.
    pub bytes: u64,
}

impl Store {
    /// Reads every block of every table from disk and checks its checksum, and checks that each slot that can be served
    /// is there with its body. Takes as long as reading the store does; turns wait.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the first damaged file.
    pub fn verify(&self) -> Result<Report, StoreError> {
        let turns = locked(&self.turns)?;
        // A block in the cache has been checked when it was read, but may have rotted on disk since.
        let mut cache = self.tuning.cache.clone();
        cache.set_capacity(0);
        let tables = Family::ALL.into_iter().map(|family| self.read_through(family)).collect::<Result<_, _>>();
        let served = self.check_served();
        cache.set_capacity(self.tuning.cache_bytes());
        served?;
        Ok(Report {
            tables: tables?,
            turn: turns.mark.newest().turn,
            last_executed: self.last_executed(),
            oldest_committed: self.oldest_committed(),
        })
    }

    /// Merges all tables, as compaction does in time.
    #[cfg(test)]
    pub(crate) fn compact(&self) -> Result<(), StoreError> {
        for family in Family::ALL {
            self.db.compact_range_cf(self.family(family)?, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    fn read_through(&self, family: Family) -> Result<TableReport, StoreError> {
        let mut report = TableReport { name: family.name(), entries: 0, bytes: 0 };
        for item in self.iterate(family, IteratorMode::Start) {
            let (key, value) = item?;
            report.entries += 1;
            report.bytes += (key.len() + value.len()) as u64;
        }
        Ok(report)
    }

    fn check_served(&self) -> Result<(), StoreError> {
        for slot in self.oldest_committed()..=self.last_executed() {
            self.committed(slot, 0)?;
        }
        Ok(())
    }
}
