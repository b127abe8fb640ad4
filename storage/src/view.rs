//! Consistent reads of what execution wrote.

use rocksdb::{PrefixRange, Snapshot};

use crate::error::StoreError;
use crate::keys::{self, Family, Table};
use crate::store::{Store, uncached};

/// The tables after one slot. Later executions do not change it. A view that is kept keeps old values on
/// disk, so keep few and not for long.
pub struct View<'a> {
    store: &'a Store,
    snapshot: Snapshot<'a>,
    slot: u64,
}

/// How much one scan may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Most entries.
    pub entries: usize,
    /// Most bytes, keys and values together. The first entry is returned even if it is larger.
    pub bytes: usize,
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

impl Store {
    /// A view of the tables as they are now.
    pub fn view(&self) -> Result<View<'_>, StoreError> {
        let snapshot = self.db.snapshot();
        let executed = snapshot.get_cf(self.family(Family::Own)?, keys::EXECUTED);
        let slot = match executed.map_err(|error| self.failed("reading", error))? {
            Some(value) => keys::number(&value).ok_or_else(|| self.malformed("the last executed slot"))?,
            None => 0,
        };
        Ok(View { store: self, snapshot, slot })
    }
}

impl View<'_> {
    /// The slot after whose execution this is.
    pub fn slot(&self) -> u64 {
        self.slot
    }

    /// The value of a key.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.snapshot.get_cf(self.store.family(table.family())?, key);
        value.map_err(|error| self.store.failed("reading", error))
    }

    /// Keys that begin with `prefix`, in order, from the first one greater than `after` (or from the start). The next page
    /// begins after the last key of this one; an empty page is the end.
    pub fn scan_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: Limit,
    ) -> Result<Vec<Pair>, StoreError> {
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        // Bounded, so that it does not run on over whatever was deleted behind the prefix.
        let mut options = uncached();
        options.set_iterate_range(PrefixRange(prefix));
        let mut entries = self.snapshot.raw_iterator_cf_opt(self.store.family(table.family())?, options);
        entries.seek(start);
        let mut page = Vec::new();
        let mut left = limit.bytes;
        // An entry is loaded when the iterator comes to it: it goes no further than it must.
        while page.len() < limit.entries
            && let Some((key, value)) = entries.item()
        {
            if after.is_none_or(|after| key > after) {
                let size = key.len() + value.len();
                if size > left && !page.is_empty() {
                    break;
                }
                left = left.saturating_sub(size);
                page.push((key.to_vec(), value.to_vec()));
            }
            entries.next();
        }
        entries.status().map_err(|error| self.store.failed("reading", error))?;
        Ok(page)
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("View").field("slot", &self.slot).finish_non_exhaustive()
    }
}
