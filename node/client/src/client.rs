//! A client with a journal: what an application uses.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use varangian_consensus::{Command, Sequence};
use varangian_crypto::{ClientKey, SigningKey};

use crate::connections::{Connections, Session};
use crate::error::ClientError;
use crate::journal::{Journal, JournalError};
use crate::network::Network;
use crate::options::Options;
use crate::outcome::Committed;
use crate::submission;

/// Unfinished commands that are sent at one time.
const RECOVER_AT_ONCE: usize = 64;
/// How long the replicas' end of the connections is waited for.
const GOODBYE: Duration = Duration::from_millis(200);

/// One client of a network. Any number of commands may be on their way at one time; beyond three quarters of the client's window they wait.
pub struct Client {
    session: Session,
    connections: Connections,
    journal: Journal,
}

/// An unfinished command that was sent again.
#[derive(Debug)]
pub struct Recovered {
    /// Its number.
    pub sequence: Sequence,
    /// What it asked for.
    pub operations: Vec<Bytes>,
    /// What came of it: the original outcome, if it ran before.
    pub outcome: Result<Committed, ClientError>,
}

impl Client {
    /// Opens the journal of `key` in `journal` and begins to connect to every replica.
    ///
    /// # Errors
    /// [`ClientError::Journal`] or [`ClientError::Socket`]. That nobody answers shows when something is submitted.
    pub async fn connect(
        network: &Network,
        key: SigningKey,
        journal: impl AsRef<Path>,
        options: Options,
    ) -> Result<Self, ClientError> {
        Self::over(Connections::open(network, options)?, key, journal).await
    }

    /// A client over connections that others use too.
    ///
    /// # Errors
    /// [`ClientError::Journal`].
    pub async fn over(
        connections: Connections,
        key: SigningKey,
        journal: impl AsRef<Path>,
    ) -> Result<Self, ClientError> {
        let session = connections.session(key.clone())?;
        let (path, committee) = (journal.as_ref().to_owned(), connections.committee().clone());
        let open = tokio::task::spawn_blocking(move || Journal::open(&path, &committee, key));
        let journal = open.await.map_err(|_| JournalError::Closed)??;
        Ok(Self { session, connections, journal })
    }

    /// Who it is.
    #[must_use]
    pub const fn key(&self) -> ClientKey {
        self.session.client()
    }

    /// The connections that it uses.
    #[must_use]
    pub const fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Commands of earlier processes whose outcome nobody has learned; see [`Self::recover`].
    #[must_use]
    pub const fn unfinished(&self) -> usize {
        self.journal.unfinished()
    }

    /// Runs a bundle of operations, in order, under one signature, at most once.
    ///
    /// Dropped before its end, the command may run; [`Self::recover`] then tells its outcome.
    ///
    /// # Errors
    /// [`ClientError`]. After [`ClientError::Unknown`] the command stays in the journal for [`Self::recover`]; after any other it is done with.
    pub async fn submit<O: AsRef<[u8]>>(&self, operations: &[O]) -> Result<Committed, ClientError> {
        let hub = self.connections.hub();
        let deadline = Instant::now() + hub.options.deadline;
        let operations = operations.iter().map(|one| Bytes::copy_from_slice(one.as_ref())).collect();
        let begun = match timeout_at(deadline, self.journal.begin(operations)).await {
            Ok(begun) => begun?,
            Err(_) => {
                let why = "earlier commands of this client fill its window, or another process holds its journal";
                return Err(ClientError::Unavailable { why: why.into() });
            }
        };
        let outcome = submission::submit(hub, begun.command.clone(), deadline).await;
        match &outcome {
            Err(ClientError::Unavailable { .. }) => begun.withdraw().await?,
            outcome if is_final(outcome) => begun.finish(),
            _ => drop(begun),
        }
        outcome
    }

    /// Sends again, the same bytes, what is unfinished: commands of processes that have gone, and those of this one whose outcome was unknown.
    ///
    /// # Errors
    /// [`ClientError::Journal`]. Each command has its own outcome; one that is unknown again stays in the journal.
    pub async fn recover(&self) -> Result<Vec<Recovered>, ClientError> {
        let mut commands = self.journal.adopt().await?.into_iter();
        let (mut tasks, mut recovered) = (JoinSet::new(), Vec::new());
        loop {
            while tasks.len() < RECOVER_AT_ONCE
                && let Some(command) = commands.next()
            {
                tasks.spawn(resend(self.connections.clone(), command));
            }
            let Some(ended) = tasks.join_next().await else { break };
            // A task that does not end normally was cut off with the runtime; its command stays in the journal.
            let Ok((command, outcome)) = ended else { continue };
            if is_final(&outcome) {
                self.journal.finish(command.sequence())?;
            }
            let operations = command.operations().collect();
            recovered.push(Recovered { sequence: command.sequence(), operations, outcome });
        }
        recovered.sort_unstable_by_key(|one| one.sequence);
        Ok(recovered)
    }

    /// Writes down what is finished, and closes the connections unless others use them.
    ///
    /// # Errors
    /// [`ClientError::Journal`].
    pub async fn close(self) -> Result<(), ClientError> {
        let Self { session, connections, journal } = self;
        let closed = journal.close().await;
        drop(session);
        if connections.is_last() {
            connections.close(GOODBYE).await;
        }
        Ok(closed?)
    }
}

async fn resend(connections: Connections, command: Command) -> (Command, Result<Committed, ClientError>) {
    let hub = Arc::clone(connections.hub());
    let deadline = Instant::now() + hub.options.deadline;
    let outcome = submission::submit(&hub, command.clone(), deadline).await.map_err(|error| match error {
        // Not now; but whoever left it may have sent it.
        ClientError::Unavailable { why } => ClientError::StillUnknown { sequence: command.sequence(), why },
        other => other,
    });
    (command, outcome)
}

/// Whether to ask again can tell nothing new.
fn is_final(outcome: &Result<Committed, ClientError>) -> bool {
    match outcome {
        Ok(_) | Err(ClientError::Rejected { .. } | ClientError::SequenceUsed { .. }) => true,
        Err(_) => false,
    }
}
