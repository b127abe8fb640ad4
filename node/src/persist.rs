//! The storage thread: one synced group commit at a time, and pruning behind it.
//!
//! A failed commit is fatal: the process says why and ends; it does not try again, for after a failed sync nobody knows what is on
//! the disk.

use crate::core::CoreHandle;
use crate::metrics::Metrics;
use crate::record;
use crate::thread;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;
use varangian_consensus::Record;
use varangian_runner::Token;
use varangian_storage::{Store, StoreError};

/// Hands group commits to the storage thread. The runner has one under way at a time, so the queue never holds more.
#[derive(Clone, Debug)]
pub struct Persister(Sender<(Vec<Record>, Token)>);

impl Persister {
    /// Begins a group commit; [`CoreHandle::persisted`] reports it.
    pub fn persist(&self, records: Vec<Record>, token: Token) {
        if self.0.send((records, token)).is_err() {
            // The thread has ended, and has said why; the core is about to be told to stop.
            tracing::debug!(?token, "the storage thread is gone");
        }
    }
}

/// Starts the thread.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn(
    store: Arc<Store>,
    retain_bytes: u64,
    core: CoreHandle,
    metrics: Arc<Metrics>,
) -> std::io::Result<(Persister, JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let handle = core.clone();
    let thread = thread::spawn("storage", &handle, move || {
        if let Err(error) = serve(&store, retain_bytes, &receiver, &core, &metrics) {
            core.fatal(format!("storage: {error}"));
        }
    })?;
    Ok((Persister(sender), thread))
}

fn serve(
    store: &Store,
    retain_bytes: u64,
    commits: &Receiver<(Vec<Record>, Token)>,
    core: &CoreHandle,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    while let Ok((records, token)) = commits.recv() {
        let settled = record::settled(&records);
        let began = Instant::now();
        metrics.commit_records(records.len());
        store.commit(record::commit(records))?;
        metrics.synced(began.elapsed());
        core.persisted(token);
        if let Some(settled) = settled {
            let pruned = store.prune(settled.0, retain_bytes)?;
            tracing::debug!(stable = settled.0, ?pruned, "pruned");
        }
    }
    Ok(())
}
