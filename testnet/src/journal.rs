//! What a load's clients sent and what came of it: the clients' side of the truth, which the judge holds against the replicas' stores.
//!
//! One file per client, `<client key>.jsonl`. A line is written before a command is first sent, and another once its outcome is known:
//!
//! ```text
//! {"sequence":1,"sent_ms":12,"operations":["00…"]}
//! {"sequence":1,"done_ms":20,"outcome":"committed","slot":7,"results":["00…"]}
//! {"sequence":2,"done_ms":31,"outcome":"rejected","reason":"…"}
//! {"sequence":3,"done_ms":90,"outcome":"unknown"}
//! ```
//!
//! Operations are in hexadecimal, results in hexadecimal of their canonical bytes. Milliseconds count from the load's start, on one clock for all
//! clients, rounded down: `done_ms < sent_ms` of another line says that the one was answered before the other was sent.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use varangian_application::OperationResult;
use varangian_consensus::Sequence;
use varangian_crypto::{ClientKey, decode, encode};

/// How a journal's name ends.
const EXTENSION: &str = "jsonl";

/// What came of a command, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Committed {
        /// Where.
        slot: u64,
        /// One per operation.
        results: Vec<OperationResult>,
    },
    /// It did not run and never will.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It may or may not have run.
    Unknown,
}

/// One command of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was first sent, in milliseconds since the load began.
    pub sent_ms: u64,
    /// Its operations, encoded.
    pub operations: Vec<Vec<u8>>,
    /// When its outcome was known, in milliseconds since the load began, and what it was. `None`: the load ended before that.
    pub end: Option<(u64, Outcome)>,
}

/// All that one client wrote down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientJournal {
    /// Whose.
    pub client: ClientKey,
    /// By sequence.
    pub commands: BTreeMap<Sequence, Entry>,
    /// The last line is cut off: the load was killed while it wrote. What that line would have said did not happen: a command is sent after its line.
    pub torn: bool,
}

/// Why a journal is of no use.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("journal {path}: {source}; a load needs an empty directory that it can write")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line does not say what a journal says.
    #[error("journal {path}, line {line}: {reason}; it was changed or is not a journal: nothing can be judged by it")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file is not named after a client.
    #[error("{0} is not named after a client's key: remove it from the journals' directory")]
    Name(PathBuf),
}

/// The journal of one client, being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Sent {
        sequence: Sequence,
        sent_ms: u64,
        operations: Vec<String>,
    },
    Done {
        sequence: Sequence,
        done_ms: u64,
        #[serde(flatten)]
        outcome: OutcomeText,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum OutcomeText {
    Committed { slot: u64, results: Vec<String> },
    Rejected { reason: String },
    Unknown,
}

impl Journal {
    /// A new journal; makes the directory if need be.
    ///
    /// # Errors
    /// [`JournalError::Io`], also if the client has one there already: its numbers would be used again.
    pub fn create(directory: &Path, client: &ClientKey) -> Result<Self, JournalError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let path = directory.join(format!("{client}.{EXTENSION}"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed(&path))?;
        Ok(Self { path, file })
    }

    /// Notes a command that is about to be sent for the first time.
    ///
    /// # Errors
    /// [`JournalError::Io`]: the command must not be sent.
    pub fn sent<O: AsRef<[u8]>>(
        &mut self,
        sequence: Sequence,
        sent_ms: u64,
        operations: &[O],
    ) -> Result<(), JournalError> {
        let operations = operations.iter().map(hex::encode).collect();
        self.append(&Line::Sent { sequence, sent_ms, operations })
    }

    /// Notes what came of a command.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn done(&mut self, sequence: Sequence, done_ms: u64, outcome: &Outcome) -> Result<(), JournalError> {
        let outcome = match outcome {
            Outcome::Committed { slot, results } => OutcomeText::Committed {
                slot: *slot,
                results: results.iter().map(|result| hex::encode(encode(result))).collect(),
            },
            Outcome::Rejected { reason } => OutcomeText::Rejected { reason: reason.clone() },
            Outcome::Unknown => OutcomeText::Unknown,
        };
        self.append(&Line::Done { sequence, done_ms, outcome })
    }

    /// In one write, so that a killed load leaves at most its last line torn.
    fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        let failed = |source| JournalError::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(failed)
    }
}

/// Reads the journals of all clients in a directory, in the order of their keys.
///
/// # Errors
/// [`JournalError`]: unless every line of every journal is understood, nothing is.
pub fn read_all(directory: &Path) -> Result<Vec<ClientJournal>, JournalError> {
    let failed = |source| JournalError::Io { path: directory.to_owned(), source };
    let mut journals = Vec::new();
    for item in fs::read_dir(directory).map_err(failed)? {
        let path = item.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            journals.push(read(&path)?);
        }
    }
    journals.sort_by_key(|journal| journal.client);
    Ok(journals)
}

fn read(path: &Path) -> Result<ClientJournal, JournalError> {
    let name = path.file_stem().and_then(|name| name.to_str());
    let client = name.and_then(|name| name.parse().ok()).ok_or_else(|| JournalError::Name(path.to_owned()))?;
    let bytes = fs::read(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    let mut journal = ClientJournal { client, commands: BTreeMap::new(), torn: false };
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else {
            journal.torn = true;
            break;
        };
        let understood = serde_json::from_slice(line).map_err(|error| error.to_string());
        let malformed = |reason| JournalError::Malformed { path: path.to_owned(), line: index + 1, reason };
        understood.and_then(|line| journal.take(line)).map_err(malformed)?;
    }
    Ok(journal)
}

impl ClientJournal {
    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Sent { sequence, sent_ms, operations } => {
                let operations = operations.iter().map(|text| bytes(text)).collect::<Result<_, _>>()?;
                if self.commands.insert(sequence, Entry { sent_ms, operations, end: None }).is_some() {
                    return Err(format!("number {sequence} was sent before"));
                }
            }
            Line::Done { sequence, done_ms, outcome } => {
                let entry =
                    self.commands.get_mut(&sequence).ok_or_else(|| format!("number {sequence} was never sent"))?;
                if done_ms < entry.sent_ms {
                    return Err(format!("number {sequence} was done before it was sent"));
                }
                if matches!(entry.end, Some((_, Outcome::Committed { .. } | Outcome::Rejected { .. }))) {
                    return Err(format!("number {sequence} has an outcome already"));
                }
                entry.end = Some((done_ms, outcome.read(entry.operations.len())?));
            }
        }
        Ok(())
    }
}

impl OutcomeText {
    fn read(self, operations: usize) -> Result<Outcome, String> {
        Ok(match self {
            Self::Committed { slot, results } => {
                let result = |text: &String| decode(&bytes(text)?).map_err(|error| error.to_string());
                let results: Vec<OperationResult> = results.iter().map(result).collect::<Result<_, _>>()?;
                if results.len() != operations {
                    return Err(format!("{} results for {operations} operations", results.len()));
                }
                Outcome::Committed { slot, results }
            }
            Self::Rejected { reason } => Outcome::Rejected { reason },
            Self::Unknown => Outcome::Unknown,
        })
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
