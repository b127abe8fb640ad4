//! What can go wrong with a store, and what to do next.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use varangian_crypto::Digest;

use crate::identity::Identity;

/// Why a store cannot be opened, read or written. The text names the next step.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no store here. An empty disk must not look like a new replica.
    #[error(
        "there is no store in {}: create one with `varangian init`. If this replica has run before, \
         its disk is lost and its key must not vote again",
        dir.display()
    )]
    Missing {
        /// The directory that was to be opened.
        dir: PathBuf,
    },
    /// A store is created only in a directory that is empty or absent.
    #[error("{} is not empty: choose another directory, or remove it if an earlier creation was interrupted", dir.display())]
    NotEmpty {
        /// The directory that was to become a store.
        dir: PathBuf,
    },
    /// The store belongs to another chain or another replica.
    #[error("{} is the store of {found}, not of {wanted}: check the data directory and the genesis file", dir.display())]
    Foreign {
        /// The store's directory.
        dir: PathBuf,
        /// Whose store it is.
        found: Identity,
        /// Whose store was asked for.
        wanted: Identity,
    },
    /// Another process has the store open.
    #[error("{} is open in another process: stop that one first", dir.display())]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// A file is damaged. Nothing was changed.
    #[error("{} is damaged: {detail}. Keep it as evidence, and put no older copy in its place: that would have forgotten votes", file.display())]
    Corrupt {
        /// The damaged file, or its directory where the database does not name the file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Records at or below the high-water mark are gone: this replica may have signed votes that it
    /// no longer knows.
    #[error(
        "lost votes: this replica may have signed up to turn {mark}, but {found}. This is a lost disk: \
         its key must not vote again. Put the missing files back, or give the replica a fresh key by a \
         membership change"
    )]
    LostVotes {
        /// The turn of the high-water mark.
        mark: u64,
        /// What was found instead.
        found: Found,
    },
    /// An execution that does not follow the last one. The store is unchanged.
    #[error("slot {slot} cannot be executed: the next slot is {expected}")]
    Gap {
        /// The slot that was given.
        slot: u64,
        /// The only slot that can be executed.
        expected: u64,
    },
    /// An execution whose body was said to be stored, and is not. The store is unchanged.
    #[error("slot {slot} cannot be executed: its batch {digest} is not stored; commit the body first")]
    MissingBody {
        /// The slot that was given.
        slot: u64,
        /// The batch's digest.
        digest: Digest,
    },
    /// An earlier write failed, so no later one is tried.
    #[error("the store refuses writes since an earlier one failed ({first}): stop the replica and look at its disk")]
    Poisoned {
        /// The first failure.
        first: Arc<str>,
    },
    /// The database failed.
    #[error("{action} failed: {message}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// RocksDB's own words.
        message: String,
    },
    /// A file operation failed.
    #[error("{action} {} failed: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The operating system's answer.
        source: Arc<std::io::Error>,
    },
}

/// What a store holds in place of the votes that it lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The records end at this turn.
    Turn(u64),
    /// A turn is missing between this one and a later one.
    HoleAfter(u64),
    /// The log cannot be read from `offset` on, below its last synced length.
    DamagedLog {
        /// The log file.
        file: PathBuf,
        /// The first byte that cannot be read.
        offset: u64,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn(turn) => write!(formatter, "its records end at turn {turn}"),
            Self::HoleAfter(turn) => write!(formatter, "its records have a hole after turn {turn}"),
            Self::DamagedLog { file, offset } => {
                write!(formatter, "{} is unreadable from byte {offset} on, though more was synced", file.display())
            }
        }
    }
}

impl StoreError {
    /// For `map_err` on file operations.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_path_buf(), source: Arc::new(source) }
    }

    /// An error of the database in `db`. What it calls corruption, and a missing or unreadable file
    /// while it opens, is a damaged file; RocksDB names it in its message.
    pub(crate) fn database(action: &'static str, db: &Path, error: rocksdb::Error) -> Self {
        let corrupt = error.kind() == rocksdb::ErrorKind::Corruption;
        let message = error.into_string();
        if corrupt {
            return Self::Corrupt { file: named_file(&message).unwrap_or_else(|| db.to_path_buf()), detail: message };
        }
        Self::Database { action, message }
    }

    /// An error while the database in `db` opens. A file that is missing or unreadable then is
    /// damage, whatever kind RocksDB gives it.
    pub(crate) fn opening(db: &Path, error: rocksdb::Error) -> Self {
        match Self::database("opening the database", db, error) {
            Self::Database { action, message } => match named_file(&message) {
                Some(file) => Self::Corrupt { file, detail: message },
                None if !db.join("CURRENT").exists() => Self::Corrupt { file: db.join("CURRENT"), detail: message },
                None => Self::Database { action, message },
            },
            other => other,
        }
    }
}

/// The first database file that a message of RocksDB names.
fn named_file(message: &str) -> Option<PathBuf> {
    message
        .split(|character: char| character.is_whitespace() || matches!(character, ':' | ',' | ';' | '"' | '\''))
        .map(|word| word.trim_end_matches('.'))
        .find(|word| {
            let name = word.rsplit('/').next().unwrap_or(word);
            [".sst", ".log", ".ldb"].iter().any(|end| name.len() > end.len() && name.ends_with(end))
                || name.starts_with("MANIFEST-")
        })
        .map(PathBuf::from)
}
