//! Committed slots, kept within a budget for replicas that are behind, and pruning.

use std::sync::atomic::Ordering::{Acquire, Release};

use bytes::Bytes;
use rocksdb::{Direction, IteratorMode, WriteBatch};
use varangian_crypto::Digest;

use crate::error::StoreError;
use crate::keys::{self, Entry, Family};
use crate::store::{Store, locked};

/// A committed slot, for a replica that is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The slot.
    pub slot: u64,
    /// Its commit certificate, as it was given to [`Store::execute`].
    pub certificate: Bytes,
    /// The digest of its batch.
    pub batch: Digest,
    /// The batch's body; `None` for a null batch.
    pub body: Option<Bytes>,
}

/// What pruning dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Bodies that lost their slot to another digest.
    pub losing: u64,
    /// Committed slots dropped for the budget.
    pub slots: u64,
}

impl Store {
    /// The commit certificate of an executed slot, unless it has been pruned.
    pub fn certificate(&self, slot: u64) -> Result<Option<Bytes>, StoreError> {
        if slot < self.oldest_committed() {
            return Ok(None);
        }
        let Some(value) = self.entry(slot)? else { return Ok(None) };
        Ok(Some(Bytes::copy_from_slice(self.decode(&value)?.certificate)))
    }

    /// The oldest slot that [`Store::committed`] can serve. One above the last executed slot if it can serve none.
    pub fn oldest_committed(&self) -> u64 {
        self.oldest.load(Acquire)
    }

    /// Executed slots from `from` on, in order and without a gap, of at most `max_bytes` together (bodies, certificates and
    /// about fifty bytes for each slot); the first is always there, however large. Empty if `from` is not executed yet or is below [`Store::oldest_committed`].
    pub fn committed(&self, from: u64, max_bytes: u64) -> Result<Vec<Committed>, StoreError> {
        let mut slots = Vec::new();
        let mut left = u64::MAX;
        for slot in from..=self.last_executed() {
            let Some((committed, bytes)) = self.committed_slot(slot, left)? else { break };
            left = left.min(max_bytes).saturating_sub(bytes);
            slots.push(committed);
        }
        Ok(slots)
    }

    /// One executed slot and its bytes, unless it is larger than `max_bytes` or has been pruned.
    fn committed_slot(&self, slot: u64, max_bytes: u64) -> Result<Option<(Committed, u64)>, StoreError> {
        let pruned = || slot < self.oldest_committed();
        let missing = |what: &str| StoreError::Corrupt {
            file: self.layout.db(),
            detail: format!("the {what} of executed slot {slot} is missing"),
        };
        if pruned() {
            return Ok(None);
        }
        // Pruning may run beside this, so what is missing is damage only if it is not pruned by then.
        let Some(value) = self.entry(slot)? else {
            return if pruned() { Ok(None) } else { Err(missing("entry")) };
        };
        let entry = self.decode(&value)?;
        if entry.bytes() > max_bytes {
            return Ok(None);
        }
        let body = match entry.body {
            None => None,
            Some(_) => match self.batch(slot, &entry.digest)? {
                None if pruned() => return Ok(None),
                None => return Err(missing("body")),
                body => body,
            },
        };
        let certificate = Bytes::copy_from_slice(entry.certificate);
        Ok(Some((Committed { slot, certificate, batch: entry.digest, body }, entry.bytes())))
    }

    /// Drops what the stable checkpoint at `stable` makes superfluous: bodies that lost their slot at or below it, and
    /// the oldest committed slots at or below it, until those that are left there fit into `budget` bytes. An eighth of the
    /// budget is freed in advance, so that most calls drop nothing. Slots above the last executed one stay.
    ///
    /// A call that drops anything is a turn: it is on disk before files go.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn prune(&self, stable: u64, budget: u64) -> Result<Pruned, StoreError> {
        let mut turns = locked(&self.turns)?;
        self.healthy()?;
        let stable = stable.min(self.last_executed());
        let mut batch = WriteBatch::default();
        let losing = self.sweep(&mut batch, stable)?;
        let (before, oldest) = (self.oldest_committed(), self.cut_for(stable, budget)?);
        if oldest > before {
            batch.put_cf(self.family(Family::Own)?, keys::OLDEST, oldest.to_be_bytes());
        }
        if !batch.is_empty() {
            self.take_turn(&mut turns, batch)?;
        }
        if oldest > before {
            self.oldest.store(oldest, Release);
            self.final_on_error(self.drop_files_below(oldest, stable))?;
        }
        Ok(Pruned { losing, slots: oldest - before })
    }

    /// Deletes the bodies at or below `stable` that lost their slot, and takes all bodies there out of the index.
    fn sweep(&self, batch: &mut WriteBatch, stable: u64) -> Result<u64, StoreError> {
        let (own, batches) = (self.family(Family::Own)?, self.family(Family::Batches)?);
        let mut losing = 0;
        for item in self.iterate(Family::Own, IteratorMode::From(&keys::BODIES, Direction::Forward)) {
            let (key, _) = item?;
            let Some(body) = key.strip_prefix(&keys::BODIES) else { break };
            let (slot, digest) =
                keys::parse_batch(body).ok_or_else(|| self.malformed("a key of the index of bodies"))?;
            if slot > stable {
                break;
            }
            let entry = self.entry(slot)?;
            if entry.is_none_or(|value| Entry::decode(&value).is_none_or(|entry| entry.digest != digest)) {
                batch.delete_cf(batches, body);
                losing += 1;
            }
            batch.delete_cf(own, &key);
        }
        Ok(losing)
    }

    /// The oldest slot to keep, so that the slots from it to `stable` fit into the budget. Entries know the bytes before
    /// them, so it is found by halving.
    fn cut_for(&self, stable: u64, budget: u64) -> Result<u64, StoreError> {
        let oldest = self.oldest_committed();
        if oldest > stable {
            return Ok(oldest);
        }
        let before = |slot: u64| -> Result<(u64, u64), StoreError> {
            let value = self.entry(slot)?.ok_or_else(|| self.malformed("the list of executed slots"))?;
            let entry = self.decode(&value)?;
            Ok((entry.before, entry.before + entry.bytes()))
        };
        let (_, end) = before(stable)?;
        if end - before(oldest)?.0 <= budget {
            return Ok(oldest);
        }
        let wanted = budget - budget / 8;
        let (mut low, mut high) = (oldest, stable + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if end - before(middle)?.0 <= wanted { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    /// Removes the tables that hold nothing but slots below `oldest`. What is left of such slots in other tables is
    /// never read again. No deletions are written: they would make each new table overlap all the old ones, and
    /// compaction rewrite the lot. The entry of `stable` stays in any case: after a crash it may be the last executed slot.
    fn drop_files_below(&self, oldest: u64, stable: u64) -> Result<(), StoreError> {
        let first = [0; 8];
        let failed = |error| self.failed("removing old tables", error);
        // A key of a body is longer than eight bytes, so this lies before the first that is kept.
        self.db.delete_file_in_range_cf(self.family(Family::Batches)?, first, oldest.to_be_bytes()).map_err(failed)?;
        let last = oldest.min(stable) - 1;
        self.db.delete_file_in_range_cf(self.family(Family::Committed)?, first, last.to_be_bytes()).map_err(failed)
    }

    pub(crate) fn decode<'a>(&self, value: &'a [u8]) -> Result<Entry<'a>, StoreError> {
        Entry::decode(value).ok_or_else(|| self.malformed("the entry of an executed slot"))
    }
}
