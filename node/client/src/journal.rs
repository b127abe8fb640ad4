//! Numbers reserved before they are used, commands written down before they are sent.
//!
//! A journal is a directory of one client. Any number of processes may use it at one time:
//!
//! | file | what it is |
//! |-|-|
//! | `reserved` | the first number that nobody has reserved; replaced atomically, under the lock |
//! | `<number>.log` | one process's commands, each synced before its first byte is sent, and which of them are finished |
//! | `lock` | held while numbers are reserved and logs come and go |
//!
//! A process holds an advisory lock on its log while it lives. A log without one was left by a crash: its unfinished commands are sent again, the same bytes, by
//! [`crate::Client::recover`]. A new journal begins at the microseconds since 1970, so that one in the place of a lost one does not use a number again.
//!
//! All of it happens on one thread per journal; commands that wait together are synced together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use varangian_consensus::{Command, Sequence};
use varangian_crypto::{Committee, SigningKey};

use crate::connections::signed;
use crate::error::ClientError;
use disk::{Directory, Disk};
use frame::{MAX_RECORDS, Owner};
use ledger::Ledger;

mod disk;
mod frame;
mod ledger;

/// Commands in one append at most; a client window of finished ones may come with them.
const GROUP: usize = MAX_RECORDS / 2;
/// Bytes of commands from which on an append takes no more.
const GROUP_BYTES: usize = 8 << 20;

/// Why a journal cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    /// The file system failed.
    #[error("cannot {what} the journal {path}: {reason}; see to the disk, then run `varangian kv retry`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A log is broken where no crash breaks one.
    #[error(
        "the journal's log {path} is damaged at byte {offset}; restore it, or move it away: what it held is then of unknown outcome"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
    },
    /// The reservation cannot be relied on.
    #[error("{path}: {reason}; move the whole journal away: a new one begins above all earlier numbers")]
    Reservation {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// A command above 1 GiB.
    #[error("the command is larger than any chain allows; split it")]
    TooLarge,
    /// The journal's thread has gone.
    #[error("the journal is closed; open it again")]
    Closed,
}

/// A client's journal, open in this process.
pub struct Journal {
    sender: mpsc::UnboundedSender<Message>,
    unfinished: usize,
}

/// A command that is written down. Dropped without an end, it stays unfinished.
pub(crate) struct Begun {
    pub(crate) command: Command,
    sender: mpsc::UnboundedSender<Message>,
    ended: bool,
}

/// Where a begun command goes.
type Answer = oneshot::Sender<Result<Begun, ClientError>>;

enum Message {
    Begin { operations: Vec<Bytes>, reply: Answer },
    Finished(Sequence),
    Withdrawn(Sequence, oneshot::Sender<Result<(), JournalError>>),
    Abandoned(Sequence),
    Adopt(oneshot::Sender<Result<Vec<Command>, JournalError>>),
    Close(oneshot::Sender<Result<(), JournalError>>),
}

impl Journal {
    /// Opens or makes the journal of `key` in a directory. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError`]; a journal of another client or chain, or one that is damaged, is refused.
    pub fn open(directory: &Path, committee: &Committee, key: SigningKey) -> Result<Self, JournalError> {
        let io =
            |what, error: std::io::Error| JournalError::Io { what, path: directory.into(), reason: error.to_string() };
        let disk = Directory::open(directory).map_err(|error| io("open", error))?;
        let owner = Owner { client: key.client_key(), chain: committee.context().chain_id };
        let width = u64::from(committee.parameters().client_window);
        let (ledger, unfinished) = Ledger::open(disk, owner, directory.into(), width, now())?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut writer = Writer {
            ledger,
            committee: committee.clone(),
            key,
            sender: sender.downgrade(),
            waiting: VecDeque::new(),
            outstanding: BTreeSet::new(),
            width,
        };
        let thread = std::thread::Builder::new().name("client journal".into());
        thread.spawn(move || writer.run(receiver)).map_err(|error| io("start a thread for", error))?;
        Ok(Self { sender, unfinished })
    }

    /// Unfinished commands of processes that had gone when the journal was opened.
    #[must_use]
    pub const fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Takes a number, signs, writes down. Waits while the client's window is full of this process's commands.
    pub(crate) async fn begin(&self, operations: Vec<Bytes>) -> Result<Begun, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Begin { operations, reply }).map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// Unfinished commands that nobody is sending.
    pub(crate) async fn adopt(&self) -> Result<Vec<Command>, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Adopt(reply)).map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// An adopted command has its outcome.
    pub(crate) fn finish(&self, sequence: Sequence) -> Result<(), JournalError> {
        self.sender.send(Message::Finished(sequence)).map_err(|_| JournalError::Closed)
    }

    /// Writes down what is finished, and ends the thread.
    pub(crate) async fn close(&self) -> Result<(), JournalError> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Close(reply)).map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }
}

impl Begun {
    /// Its outcome is known.
    pub(crate) fn finish(mut self) {
        self.end(Message::Finished(self.command.sequence()));
    }

    /// It was never sent and must never be.
    pub(crate) async fn withdraw(mut self) -> Result<(), JournalError> {
        let (reply, answer) = oneshot::channel();
        self.end(Message::Withdrawn(self.command.sequence(), reply));
        answer.await.map_err(|_| JournalError::Closed)?
    }

    fn end(&mut self, message: Message) {
        self.ended = true;
        if self.sender.send(message).is_err() {
            tracing::debug!(sequence = self.command.sequence(), "the journal closed before this command's end");
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Message::Abandoned(self.command.sequence()));
        }
    }
}

/// The journal's thread.
struct Writer<D: Disk> {
    ledger: Ledger<D>,
    committee: Committee,
    key: SigningKey,
    /// Weak: the thread ends with the last handle.
    sender: mpsc::WeakUnboundedSender<Message>,
    waiting: VecDeque<(Vec<Bytes>, Answer)>,
    /// Begun here and being sent.
    outstanding: BTreeSet<Sequence>,
    width: u64,
}

impl<D: Disk> Writer<D> {
    fn run(&mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        while let Some(first) = messages.blocking_recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                if let Message::Close(reply) = message {
                    return tell(reply, self.ledger.close());
                }
                self.take(message);
                next = if self.waiting.len() < GROUP { messages.try_recv().ok() } else { None };
            }
            while self.write_group() {}
        }
        if let Err(error) = self.ledger.close() {
            tracing::warn!(%error, "the journal was not closed cleanly");
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Begin { operations, reply } => self.waiting.push_back((operations, reply)),
            Message::Finished(sequence) => self.finished(sequence),
            Message::Abandoned(sequence) => {
                self.outstanding.remove(&sequence);
            }
            Message::Withdrawn(sequence, reply) => {
                self.outstanding.remove(&sequence);
                tell(reply, self.ledger.withdraw(sequence));
            }
            Message::Adopt(reply) => tell(reply, self.adopt()),
            Message::Close(reply) => tell(reply, Err(JournalError::Closed)),
        }
    }

    /// Signs and writes what waits, as much as goes into one append; says whether there was any and more may follow.
    fn write_group(&mut self) -> bool {
        self.waiting.retain(|(_, reply)| !reply.is_closed());
        if self.waiting.is_empty() {
            return false;
        }
        let (mut commands, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut outcome = self.ledger.refresh();
        while outcome.is_ok() && commands.len() < GROUP && bytes < GROUP_BYTES {
            match self.ledger.peek() {
                Ok(next) if self.has_room(next, commands.first().map(Command::sequence)) => {}
                Ok(_) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
            let Some((operations, reply)) = self.waiting.pop_front() else { break };
            match self.sign(&operations) {
                Ok(command) => {
                    bytes += command.encoded().len();
                    commands.push(command);
                    replies.push(reply);
                }
                Err(error) => tell(reply, Err(error)),
            }
        }
        if commands.is_empty() && outcome.is_ok() {
            return false;
        }
        match outcome.and_then(|()| self.ledger.begin(&commands)) {
            Ok(()) => self.hand_out(commands, replies),
            Err(error) => {
                let waiting = self.waiting.drain(..).map(|(_, reply)| reply);
                replies.into_iter().chain(waiting).for_each(|reply| tell(reply, Err(error.clone().into())));
            }
        }
        true
    }

    /// Whether `next` leaves the lowest number on its way inside the window, with a quarter to spare for other processes.
    fn has_room(&self, next: Sequence, lowest_in_group: Option<Sequence>) -> bool {
        let lowest = self.outstanding.first().copied().or(lowest_in_group);
        let span = (self.width - self.width / 4).max(1);
        lowest.is_none_or(|lowest| next.saturating_sub(lowest) < span)
    }

    fn sign(&mut self, operations: &[Bytes]) -> Result<Command, ClientError> {
        let sequence = self.ledger.take()?;
        signed(&self.key, &self.committee, sequence, operations)
    }

    fn hand_out(&mut self, commands: Vec<Command>, replies: Vec<Answer>) {
        for (command, reply) in commands.into_iter().zip(replies) {
            let sequence = command.sequence();
            let begun = self.sender.upgrade().map(|sender| Begun { command, sender, ended: false });
            self.outstanding.insert(sequence);
            // Whoever does not wait any more drops it, and so abandons it.
            if reply.send(begun.ok_or(JournalError::Closed.into())).is_err() {
                self.outstanding.remove(&sequence);
                self.finished(sequence);
            }
        }
    }

    fn finished(&mut self, sequence: Sequence) {
        self.outstanding.remove(&sequence);
        if let Err(error) = self.ledger.finish(sequence) {
            tracing::warn!(%error, sequence, "a finished command stays in the journal and may be asked again");
        }
    }

    fn adopt(&mut self) -> Result<Vec<Command>, JournalError> {
        let unfinished: BTreeMap<_, _> = self.ledger.adopt()?;
        let idle = unfinished.into_iter().filter(|(sequence, _)| !self.outstanding.contains(sequence));
        idle.map(|(_, bytes)| Command::decode(bytes).map_err(|_| JournalError::TooLarge)).collect()
    }
}

/// Whoever asked may have gone.
fn tell<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for the journal's answer");
    }
}

/// Microseconds since 1970; 1 if the clock says that it is earlier.
fn now() -> Sequence {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|time| u64::try_from(time.as_micros()).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests;
