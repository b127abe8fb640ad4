//! Records of the core as the store keeps them.
//!
//! | kind | key after it | value |
//! |-|-|-|
//! | vote | slot | own pre-prepare, or the accepted one; the latest view's |
//! | prepared | slot | certificate of the highest view |
//! | view change | | the promise |
//! | draft | | the own NEW-VIEW |
//! | new view | view | each NEW-VIEW that was accepted, for the last [`NEW_VIEWS_KEPT`] views |
//! | checkpoint | slot | the own CHECKPOINT |
//! | stable | | the highest stable certificate |
//! | stopped | | why this replica stopped for good |
//! | evidence | view, slot, accused, place in the list of kinds | the proof |
//!
//! Bodies go to their own table, by slot and digest. Votes, prepared certificates and checkpoints up to a stable checkpoint are
//! pruned in the very commit that writes it.

use bytes::Bytes;
use std::sync::Arc;
use thiserror::Error;
use varangian_consensus::{Batch, BatchError, PrePrepare, Record, Slot};
use varangian_crypto::{CodecError, Signed, decode, encode};
use varangian_storage::{Commit, Key, Prune, Store, StoreError};

const VOTE: u8 = 1;
const PREPARED: u8 = 2;
const VIEW_CHANGE: u8 = 3;
const DRAFT: u8 = 4;
const NEW_VIEW: u8 = 5;
const CHECKPOINT: u8 = 6;
const STABLE: u8 = 7;
const EVIDENCE: u8 = 8;
const STOPPED: u8 = 9;

const PROPOSED: u8 = 0;
const ACCEPTED: u8 = 1;

/// Views back from the last one for which the NEW-VIEW stays, so that a fork could be traced.
pub const NEW_VIEWS_KEPT: u64 = 256;

/// Why a stored record is of no use.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The store cannot read it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what was written.
    #[error("a consensus record (kind {kind}) is damaged: {source}; the store is corrupt, do not start this replica")]
    Damaged {
        /// Its kind.
        kind: u8,
        /// What is wrong.
        source: CodecError,
    },
    /// A kind that this version does not write.
    #[error("a consensus record of unknown kind {0}: the store was written by a later version")]
    Kind(u8),
    /// A body is not one.
    #[error("the body for slot {slot} is damaged: {source}; the store is corrupt, do not start this replica")]
    Body {
        /// The slot.
        slot: u64,
        /// What is wrong.
        source: BatchError,
    },
}

/// One group commit of these records.
#[must_use]
pub fn commit(records: Vec<Record>) -> Commit {
    let mut commit = Commit::default();
    for record in records {
        let (key, value) = match record {
            Record::Batch { slot, batch } => {
                commit.batches.push((slot.0, *batch.digest(), batch.encoded().clone()));
                continue;
            }
            Record::Proposed(vote) => (Key::new(VOTE, [vote.slot.0]), tagged(PROPOSED, &encode(&vote))),
            Record::Accepted(signed) => (Key::new(VOTE, [signed.statement.slot.0]), tagged(ACCEPTED, &encode(&signed))),
            Record::Prepared(certificate) => {
                (Key::new(PREPARED, [certificate.pre_prepare.slot.0]), encode(&certificate))
            }
            Record::ViewChange(promise) => (Key::new(VIEW_CHANGE, []), encode(&*promise)),
            Record::Drafted(draft) => (Key::new(DRAFT, []), encode(&*draft)),
            Record::NewView(signed) => {
                let view = signed.statement.view.0;
                if let Some(old) = view.checked_sub(NEW_VIEWS_KEPT) {
                    commit.deletes.push(Key::new(NEW_VIEW, [old]));
                }
                (Key::new(NEW_VIEW, [view]), encode(&*signed))
            }
            Record::Checkpoint(checkpoint) => (Key::new(CHECKPOINT, [checkpoint.slot.0]), encode(&checkpoint)),
            Record::Stable(certificate) => {
                commit.prune =
                    Some(Prune { kinds: vec![VOTE, PREPARED, CHECKPOINT], slot: certificate.statement.slot.0 });
                (Key::new(STABLE, []), encode(&certificate))
            }
            Record::Stopped(alarm) => (Key::new(STOPPED, []), encode(&alarm)),
            Record::Evidence(evidence) => {
                let (view, slot) = evidence.place();
                let accused = u64::from(evidence.accused().0);
                (Key::new(EVIDENCE, [view.0, slot.0, accused, evidence.ordinal()]), encode(&evidence))
            }
        };
        commit.puts.push((key, value.into()));
    }
    // A record written twice in one turn: the later one counts.
    commit
}

/// The slot up to which these records are settled, if a stable checkpoint is among them.
#[must_use]
pub fn settled(records: &[Record]) -> Option<Slot> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Stable(certificate) => Some(certificate.statement.slot),
            _ => None,
        })
        .max()
}

/// All records of a store, for the core to start from.
///
/// # Errors
/// [`RecordError`]; a replica that cannot read what it promised must not vote.
pub fn load(store: &Store) -> Result<Vec<Record>, RecordError> {
    let mut records = Vec::new();
    let mut stable = 0;
    for item in store.records() {
        let (key, value) = item?;
        let record = parse(&key, &value)?;
        if let Record::Stable(certificate) = &record {
            stable = certificate.statement.slot.0;
        }
        records.push(record);
    }
    for item in store.batches_above(stable) {
        let (slot, _, body) = item?;
        let batch = Batch::decode(body).map_err(|source| RecordError::Body { slot, source })?;
        records.push(Record::Batch { slot: Slot(slot), batch: Arc::new(batch) });
    }
    Ok(records)
}

/// The proofs of misbehaviour among records.
#[must_use]
pub fn evidence(records: &[Record]) -> Vec<varangian_consensus::Evidence> {
    records
        .iter()
        .filter_map(|record| if let Record::Evidence(evidence) = record { Some(evidence.clone()) } else { None })
        .collect()
}

fn parse(key: &[u8], value: &Bytes) -> Result<Record, RecordError> {
    let kind = key.first().copied().unwrap_or(0);
    let damaged = |source| RecordError::Damaged { kind, source };
    Ok(match kind {
        VOTE => match value.split_first() {
            Some((&PROPOSED, rest)) => Record::Proposed(decode::<PrePrepare>(rest).map_err(damaged)?),
            Some((&ACCEPTED, rest)) => Record::Accepted(decode::<Signed<PrePrepare>>(rest).map_err(damaged)?),
            _ => return Err(damaged(CodecError::Malformed("neither proposed nor accepted".into()))),
        },
        PREPARED => Record::Prepared(decode(value).map_err(damaged)?),
        VIEW_CHANGE => Record::ViewChange(Box::new(decode(value).map_err(damaged)?)),
        DRAFT => Record::Drafted(Box::new(decode(value).map_err(damaged)?)),
        NEW_VIEW => Record::NewView(Box::new(decode(value).map_err(damaged)?)),
        CHECKPOINT => Record::Checkpoint(decode(value).map_err(damaged)?),
        STABLE => Record::Stable(decode(value).map_err(damaged)?),
        EVIDENCE => Record::Evidence(decode(value).map_err(damaged)?),
        STOPPED => Record::Stopped(decode(value).map_err(damaged)?),
        unknown => return Err(RecordError::Kind(unknown)),
    })
}

fn tagged(tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(rest.len() + 1);
    value.push(tag);
    value.extend_from_slice(rest);
    value
}

#[cfg(test)]
mod tests;
