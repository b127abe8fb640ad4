//! The execution thread: decided slots in order, each as one atomic write; then replies.

use crate::core::CoreHandle;
use crate::desk::Clerk;
use crate::metrics::Metrics;
use crate::repeat::Repeating;
use crate::thread;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use thiserror::Error;
use varangian_application::{
    Application, ExecuteError, Executor, Meta, PageLimit, Space, StateError, StateReader, client_windows,
};
use varangian_consensus::{Executed, Execution, Slot};
use varangian_crypto::{CodecError, decode, encode};
use varangian_storage::{Body, Limit, Store, StoreError, Table, View};

/// The key, in the store's table of that name, of how far the state has come.
const META: &[u8] = b"meta";

/// Why execution cannot go on.
#[derive(Debug, Error)]
pub enum ExecutionError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state or the application.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// What is stored is not what was written.
    #[error("{what} is damaged: {source}; the store is corrupt, do not start this replica")]
    Damaged {
        /// What.
        what: &'static str,
        /// What is wrong with it.
        source: CodecError,
    },
    /// State and slot were not written together.
    #[error(
        "the state is that of slot {state}, but slot {store} is the last one executed: the store is corrupt, do not start this replica"
    )]
    Torn {
        /// The state's slot.
        state: Slot,
        /// The store's slot.
        store: Slot,
    },
}

/// Hands work to the execution thread. The window bounds how much can wait: nothing but decided slots does.
#[derive(Clone, Debug)]
pub struct Executing(Sender<Execution>);

impl Executing {
    /// Executes a slot; [`CoreHandle::executed`] reports it.
    pub fn execute(&self, execution: Execution) {
        if self.0.send(execution).is_err() {
            // The thread has ended, and has said why; the core is about to be told to stop.
            tracing::debug!("the execution thread is gone");
        }
    }
}

/// A store's tables as an application's state.
pub(crate) struct Reader<'a>(pub(crate) View<'a>);

impl Reader<'_> {
    const fn table(space: Space) -> Table {
        match space {
            Space::Application => Table::State,
            Space::Client => Table::Clients,
        }
    }
}

impl StateReader for Reader<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        let value = self.0.get(Self::table(space), key).map_err(StateError::new)?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: PageLimit,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let limit = Limit { entries: limit.entries, bytes: limit.bytes };
        let page = self.0.scan_prefix(Self::table(space), prefix, after, limit).map_err(StateError::new)?;
        Ok(page.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// How far the store's state has come.
///
/// # Errors
/// [`ExecutionError`] if the store cannot be read or contradicts itself.
pub fn load_meta(store: &Store, genesis_history: varangian_crypto::Digest) -> Result<Meta, ExecutionError> {
    let stored = store.view()?.get(Table::Meta, META)?;
    let meta = match stored {
        Some(bytes) => {
            Meta::decode(&bytes).map_err(|source| ExecutionError::Damaged { what: "the state's meta", source })?
        }
        None => Meta { history: genesis_history, ..Meta::default() },
    };
    let last = Slot(store.last_executed());
    if meta.slot != last {
        return Err(ExecutionError::Torn { state: meta.slot, store: last });
    }
    Ok(meta)
}

/// What the core needs to know of the executed prefix.
///
/// # Errors
/// [`ExecutionError`] if the store cannot be read or contradicts itself.
pub fn load_executed(store: &Store, meta: &Meta, interval: u64) -> Result<Executed, ExecutionError> {
    let certificate = store.certificate(meta.slot.0)?;
    let certificate = certificate
        .map(|bytes| decode(&bytes).map_err(|source| ExecutionError::Damaged { what: "a commit certificate", source }))
        .transpose()?;
    let windows = client_windows(&Reader(store.view()?))?;
    let state = (meta.slot.0 > 0 && meta.slot.0.is_multiple_of(interval)).then(|| meta.state.digest());
    Ok(Executed { slot: meta.slot, history: meta.history, certificate, windows, state })
}

/// All that the thread works with.
struct Worker<A, C> {
    store: Arc<Store>,
    executor: Executor<A>,
    clerk: Arc<C>,
    repeating: Repeating,
    core: CoreHandle,
    metrics: Arc<Metrics>,
}

/// Starts the thread.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn<A: Application + 'static, C: Clerk + 'static>(
    executor: Executor<A>,
    store: Arc<Store>,
    clerk: Arc<C>,
    repeating: Repeating,
    core: CoreHandle,
    metrics: Arc<Metrics>,
) -> std::io::Result<(Executing, JoinHandle<()>)> {
    let mut worker = Worker { store, executor, clerk, repeating, core, metrics };
    let (sender, receiver) = channel();
    let handle = worker.core.clone();
    let thread = thread::spawn("execution", &handle, move || {
        if let Err(error) = worker.serve(&receiver) {
            worker.core.fatal(format!("execution: {error}"));
        }
    })?;
    Ok((Executing(sender), thread))
}

impl<A: Application, C: Clerk> Worker<A, C> {
    fn serve(&mut self, slots: &Receiver<Execution>) -> Result<(), ExecutionError> {
        while let Ok(execution) = slots.recv() {
            self.execute(execution)?;
        }
        Ok(())
    }

    fn execute(&mut self, execution: Execution) -> Result<(), ExecutionError> {
        let executed = self.executor.execute(&Reader(self.store.view()?), &execution)?;
        let owned = |writes: Vec<(Bytes, Option<Bytes>)>| -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
            writes.into_iter().map(|(key, value)| (key.into(), value.map(Into::into))).collect()
        };
        let changes = executed.changes;
        self.store.execute(varangian_storage::Execution {
            slot: executed.slot.0,
            state: owned(changes.application),
            clients: owned(changes.clients),
            meta: vec![(META.to_vec(), changes.meta.encode())],
            certificate: encode(&execution.certificate).into(),
            batch: execution.certificate.statement.digest,
            body: if execution.batch.is_some() { Body::Stored } else { Body::None },
        })?;
        let batch = execution.batch.as_ref();
        self.metrics.executed(
            batch.map_or(0, |batch| batch.commands().len()),
            batch.map_or(0, |batch| batch.operation_count()),
            batch.map_or(0, |batch| batch.encoded().len()),
        );
        self.core.executed(executed.slot, executed.state_digest);
        let commands = batch.iter().flat_map(|batch| batch.commands());
        for (command, reply) in commands.zip(executed.replies) {
            match reply {
                Some(reply) => self.clerk.reply(reply),
                None => self.repeating.reply(command.identity()),
            }
        }
        Ok(())
    }
}
