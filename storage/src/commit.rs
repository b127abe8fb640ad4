//! Turns: the only place that syncs.
//!
//! A turn is one atomic, synced write. Once it is on disk, the high-water mark is advanced and synced too;
//! only then may anything of the turn be sent. (protocol.md, "What is durable before what is sent")

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use rocksdb::{WriteBatch, WriteOptions};
use varangian_crypto::Digest;

use crate::error::StoreError;
use crate::keys::{self, Family, Key};
use crate::mark::Mark;
use crate::store::{Store, Turns, locked};

/// The records of one turn. They become durable together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Records to write.
    pub puts: Vec<(Key, Bytes)>,
    /// Records to delete. One that is absent is no error. A key that is also in `puts` is deleted.
    pub deletes: Vec<Key>,
    /// Bodies of batches, by slot and digest. One that is stored already is not written again.
    pub batches: Vec<(u64, Digest, Bytes)>,
    /// Records that a stable checkpoint makes superfluous. Those in `puts` stay.
    pub prune: Option<Prune>,
}

/// Deletes the records of some kinds, at or below a slot. The first number of their keys is the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prune {
    /// The kinds of records that go.
    pub kinds: Vec<u8>,
    /// The last slot that goes. (`u64::MAX` is no slot.)
    pub slot: u64,
}

impl Store {
    /// Writes one turn: when it returns, everything in it is on disk. Returns the turn's number; turns are
    /// numbered from 1 without a gap, across restarts.
    ///
    /// # Errors
    /// Any failed write or sync; the store then refuses all later writes.
    pub fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        let mut turns = locked(&self.turns)?;
        let consensus = self.family(Family::Consensus)?;
        let size: usize = commit.puts.iter().map(|(_, value)| value.len() + 64).sum();
        let bodies: usize = commit.batches.iter().map(|(_, _, body)| body.len() + 256).sum();
        let mut batch = WriteBatch::with_capacity_bytes(size + bodies + 256);
        for Prune { kinds, slot } in commit.prune.iter() {
            for kind in kinds {
                batch.delete_range_cf(consensus, Key::new(*kind, [0]), Key::new(*kind, [slot.saturating_add(1)]));
            }
        }
        for (key, value) in &commit.puts {
            batch.put_cf(consensus, key, value);
        }
        for key in &commit.deletes {
            batch.delete_cf(consensus, key);
        }
        for (slot, digest, body) in &commit.batches {
            self.put_body(&mut batch, *slot, digest, body)?;
        }
        self.take_turn(&mut turns, batch)
    }

    /// Adds a body and its entry in the index, unless it is stored already.
    pub(crate) fn put_body(
        &self,
        batch: &mut WriteBatch,
        slot: u64,
        digest: &Digest,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let own = self.family(Family::Own)?;
        if self.get(Family::Own, &keys::body(slot, digest))?.is_none() {
            batch.put_cf(self.family(Family::Batches)?, keys::batch(slot, digest), body);
            batch.put_cf(own, keys::body(slot, digest), (body.len() as u64).to_be_bytes());
        }
        Ok(())
    }

    /// Makes `batch` the next turn: database first, then the mark.
    pub(crate) fn take_turn(&self, turns: &mut Turns, mut batch: WriteBatch) -> Result<u64, StoreError> {
        let turn = turns.mark.newest().turn + 1;
        let own = self.family(Family::Own)?;
        batch.put_cf(own, keys::turn(turn), []);
        batch.delete_cf(own, keys::turn(turn - 1));
        let mut synced = WriteOptions::default();
        synced.set_sync(true);

        let started = Instant::now();
        let (log, length) = {
            // Nobody else writes until the length of the log is known, so all of that length is synced.
            let _writes = locked(&self.writes)?;
            self.healthy()?;
            self.write("committing a turn", batch, &synced)?;
            self.final_on_error(self.layout.end_of_log())?
        };
        let written = Instant::now();
        self.final_on_error(turns.mark.advance(Mark { turn, log, length }))?;
        let micros = |from: Instant, to: Instant| u64::try_from((to - from).as_micros()).unwrap_or(u64::MAX);
        self.counters.turns.fetch_add(1, Relaxed);
        self.counters.log_micros.store(micros(started, written), Relaxed);
        self.counters.mark_micros.store(micros(written, Instant::now()), Relaxed);
        Ok(turn)
    }
}
