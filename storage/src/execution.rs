//! What the execution of a slot changes.

use std::sync::atomic::Ordering::{Relaxed, Release};

use bytes::Bytes;
use rocksdb::{WriteBatch, WriteOptions};
use varangian_crypto::Digest;

use crate::error::StoreError;
use crate::keys::{self, Entry, Family, Table};
use crate::store::{Store, locked};

/// A change of one key: a new value, or `None` to delete it.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// Everything that executing one slot changes.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The slot: the one after the last executed.
    pub slot: u64,
    /// Changes of application state.
    pub state: Vec<Change>,
    /// Changes of the client table.
    pub clients: Vec<Change>,
    /// Other values, written as they are.
    pub meta: Vec<(Vec<u8>, Vec<u8>)>,
    /// The commit certificate of the slot, for those who are behind.
    pub certificate: Bytes,
    /// The digest of the batch.
    pub batch: Digest,
    /// Where the batch's body is.
    pub body: Body,
}

/// The body of an executed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Stored by an earlier [`Store::commit`].
    Stored,
    /// Here: fetched by a replica that was behind.
    Given(Bytes),
    /// There is none: a null batch.
    None,
}

impl Store {
    /// Writes the execution of one slot, atomically and without a sync: after a crash the consensus records, which
    /// are synced, replay it. Any later turn makes it durable.
    ///
    /// # Errors
    /// [`StoreError::Gap`] and [`StoreError::MissingBody`] change nothing. After a failed write the store refuses all later ones.
    pub fn execute(&self, execution: Execution) -> Result<(), StoreError> {
        let mut writes = locked(&self.writes)?;
        self.healthy()?;
        let Execution { slot, state, clients, meta, certificate, batch: digest, body } = execution;
        let last = self.last_executed();
        if slot.checked_sub(1) != Some(last) {
            return Err(StoreError::Gap { slot, expected: last + 1 });
        }
        let mut batch = WriteBatch::default();
        for (table, changes) in [(Table::State, state), (Table::Clients, clients)] {
            let family = self.family(table.family())?;
            for (key, value) in changes {
                match value {
                    Some(value) => batch.put_cf(family, key, value),
                    None => batch.delete_cf(family, key),
                }
            }
        }
        let family = self.family(Family::Meta)?;
        for (key, value) in meta {
            batch.put_cf(family, key, value);
        }
        let body = self.body_length(&mut batch, slot, &digest, &body)?;
        let entry = Entry { before: writes.committed_bytes, body, digest, certificate: &certificate };
        batch.put_cf(self.family(Family::Committed)?, slot.to_be_bytes(), entry.encode());
        let own = self.family(Family::Own)?;
        batch.put_cf(own, keys::EXECUTED, slot.to_be_bytes());
        batch.put_cf(own, keys::executed(slot), []);
        batch.delete_cf(own, keys::executed(last));

        self.write("writing an execution", batch, &WriteOptions::default())?;
        writes.committed_bytes += entry.bytes();
        self.executed.store(slot, Release);
        self.counters.executions.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The length of an executed batch's body; adds the body to the write if it is given.
    fn body_length(
        &self,
        batch: &mut WriteBatch,
        slot: u64,
        digest: &Digest,
        body: &Body,
    ) -> Result<Option<u64>, StoreError> {
        match body {
            Body::None => Ok(None),
            Body::Given(body) => {
                self.put_body(batch, slot, digest, body)?;
                Ok(Some(body.len() as u64))
            }
            Body::Stored => {
                let length = self.get(Family::Own, &keys::body(slot, digest))?;
                let length = length.ok_or(StoreError::MissingBody { slot, digest: *digest })?;
                keys::number(&length).map(Some).ok_or_else(|| self.malformed("the length of a body"))
            }
        }
    }
}
