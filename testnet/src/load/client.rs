//! One client of a load: its lanes each carry one command at a time.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use varangian_client::{ClientError, Session};
use varangian_consensus::{Command, Sequence};

use super::operations::{Generator, Schedule};
use super::report::{Ending, Recorder};
use super::{Load, LoadError, stopped};
use crate::journal::{Journal, Outcome};

/// Before a command is begun anew: so that a failure that comes at once is not a busy loop.
const PAUSE: Duration = Duration::from_millis(20);

/// What the lanes of a client share.
pub(super) struct Client {
    session: Session,
    /// The genesis' `client_window`.
    window: u64,
    resolve_deadline: Duration,
    recorder: Arc<Recorder>,
    book: Mutex<Book>,
    /// Told whenever a number has its outcome.
    answered: Notify,
}

/// Numbers, operations and the journal, in step.
struct Book {
    next: Sequence,
    outstanding: BTreeSet<Sequence>,
    generator: Generator,
    /// `None`: closed loop.
    schedule: Option<Schedule>,
    journal: Option<Journal>,
}

/// A command with its number, ready to be sent.
struct Turn {
    command: Command,
    /// When it was due; in a closed loop, when it was ready.
    due: Instant,
    operations: u64,
}

impl Client {
    pub(super) fn new(
        index: usize,
        session: Session,
        journal: Option<Journal>,
        load: &Load,
        recorder: Arc<Recorder>,
        window: u64,
    ) -> Self {
        let book = Book {
            next: 1,
            outstanding: BTreeSet::new(),
            generator: Generator::new(load, index),
            schedule: Schedule::new(load, index),
            journal,
        };
        let resolve_deadline = load.resolve_deadline;
        Self { session, window, resolve_deadline, recorder, book: Mutex::new(book), answered: Notify::new() }
    }

    /// Sends one command after the other until the load ends.
    pub(super) async fn lane(self: Arc<Self>, stop: watch::Receiver<bool>) -> Result<(), LoadError> {
        loop {
            let Some(turn) = self.turn(stop.clone()).await? else { return Ok(()) };
            let sequence = turn.command.sequence();
            let outcome = self.deliver(&turn.command, stop.clone()).await?;
            self.finish(sequence, &turn, &outcome)?;
        }
    }

    /// The next command, once it is due and the client's window has room for its number. `None` if the load ends before.
    async fn turn(&self, stop: watch::Receiver<bool>) -> Result<Option<Turn>, LoadError> {
        let due = self.book().schedule.as_mut().map(|schedule| self.recorder.began() + schedule.next_due());
        let ready = async {
            if let Some(due) = due {
                sleep_until(due).await;
            }
            loop {
                // Before the look at the book, or an answer between the two would go unheard.
                let mut answered = std::pin::pin!(self.answered.notified());
                answered.as_mut().enable();
                if let Some(reserved) = self.reserve()? {
                    return Ok::<_, LoadError>(reserved);
                }
                answered.await;
            }
        };
        tokio::select! {
            biased;
            () = stopped(stop) => {
                if let Some(due) = due {
                    self.leave(due);
                }
                Ok(None)
            }
            reserved = ready => {
                let (sequence, operations) = reserved?;
                self.begin(sequence, &operations, due).map(Some)
            }
        }
    }

    /// Counts what was due and will not be sent: the command that this lane held, and those behind it.
    fn leave(&self, mut due: Instant) {
        while self.recorder.left(due) {
            match &mut self.book().schedule {
                Some(schedule) => due = self.recorder.began() + schedule.next_due(),
                None => return,
            }
        }
    }

    /// The next number and its operations, unless it lies beyond the window: replicas forget what lies below the highest number that ran by a
    /// window, and the lowest outstanding one must not be forgotten.
    fn reserve(&self) -> Result<Option<(Sequence, Vec<Bytes>)>, LoadError> {
        let mut book = self.book();
        let sequence = book.next;
        if book.outstanding.first().is_some_and(|lowest| sequence - lowest >= self.window) {
            return Ok(None);
        }
        let operations = book.generator.operations()?;
        book.next += 1;
        book.outstanding.insert(sequence);
        Ok(Some((sequence, operations)))
    }

    /// Signs, and notes that the command is about to be sent.
    fn begin(&self, sequence: Sequence, operations: &[Bytes], due: Option<Instant>) -> Result<Turn, LoadError> {
        let command = self.session.command(sequence, operations)?;
        if let Some(journal) = &mut self.book().journal {
            journal.sent(sequence, self.recorder.now_ms(), operations)?;
        }
        self.recorder.sent();
        let due = due.unwrap_or_else(Instant::now);
        Ok(Turn { command, due, operations: operations.len() as u64 })
    }

    /// Sends the same bytes until their outcome is known, or the load has ended for so long that it will not be waited for.
    async fn deliver(&self, command: &Command, stop: watch::Receiver<bool>) -> Result<Outcome, LoadError> {
        let given_up = async {
            stopped(stop).await;
            sleep(self.resolve_deadline).await;
        };
        let mut given_up = std::pin::pin!(given_up);
        loop {
            let attempt = tokio::select! {
                attempt = self.session.send(command.clone()) => attempt,
                () = &mut given_up => return Ok(Outcome::Unknown),
            };
            if let Some(outcome) = outcome(attempt)? {
                return Ok(outcome);
            }
            if pause(given_up.as_mut()).await {
                return Ok(Outcome::Unknown);
            }
        }
    }

    fn finish(&self, sequence: Sequence, turn: &Turn, outcome: &Outcome) -> Result<(), LoadError> {
        let at = Instant::now();
        let ending = match outcome {
            Outcome::Committed { .. } => Ending::Committed,
            Outcome::Rejected { .. } => Ending::Rejected,
            Outcome::Unknown => Ending::Unresolved,
        };
        self.recorder.done(ending, turn.operations, turn.due, at);
        let mut book = self.book();
        if let Some(journal) = &mut book.journal {
            journal.done(sequence, self.recorder.ms(at), outcome)?;
        }
        // A number without an outcome stays outstanding: the window does not move past it.
        if ending != Ending::Unresolved {
            book.outstanding.remove(&sequence);
        }
        drop(book);
        self.answered.notify_waiters();
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the load was given up meanwhile.
async fn pause(given_up: Pin<&mut impl Future<Output = ()>>) -> bool {
    tokio::select! {
        () = sleep(PAUSE) => false,
        () = given_up => true,
    }
}

/// What came of an attempt; `None`: the same bytes are to be sent again.
fn outcome(attempt: Result<varangian_client::Committed, ClientError>) -> Result<Option<Outcome>, LoadError> {
    match attempt {
        Ok(committed) => Ok(Some(Outcome::Committed { slot: committed.slot.0, results: committed.results })),
        // Below the window its reply is forgotten: to ask again would not tell whether it ran.
        Err(ClientError::Rejected { reason, .. }) if reason.is_unknown() => Ok(Some(Outcome::Unknown)),
        Err(ClientError::Rejected { reason, .. }) => Ok(Some(Outcome::Rejected { reason: reason.to_string() })),
        Err(error @ (ClientError::Unknown { .. } | ClientError::Unavailable { .. })) => {
            tracing::debug!(%error, "sent again");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
