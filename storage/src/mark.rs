//! The high-water mark of votes: what this replica may have signed, kept apart from the database.
//!
//! The database alone cannot tell a torn tail from a lost vote: both look like a log that ends
//! early. The mark is written after a turn is synced and before anything of the turn is sent, so a
//! database that ends below it has lost something that others may have seen.
//!
//! # Format
//!
//! `votes.mark` has two slots, at offsets 0 and 4096, so that no torn page or sector reaches both.
//! The slot that does not hold the newest mark is written, in place, then synced. A slot is
//! 36 bytes, integers little-endian:
//!
//! ```text
//!  0  8  "VARMARK1"
//!  8  8  turn: the last turn whose records are synced
//! 16  8  number of the log file that held the end of that turn (<dir>/log/<number, 6 digits>.log)
//! 24  8  length of that log file when the turn was synced, in bytes
//! 32  4  CRC-32C of the bytes before
//! ```
//!
//! A slot whose checksum fails does not count; the other one does. The file has its full length from
//! the start, so that a write needs no change of metadata.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::checksum::crc32c;
use crate::error::StoreError;
use crate::layout::Layout;

const MAGIC: &[u8; 8] = b"VARMARK1";
/// Distance between the slots: a page, and the largest sector.
const SLOT: u64 = 4096;
const LENGTH: usize = 36;

/// One mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// The last turn whose records are synced; 0 before the first.
    pub(crate) turn: u64,
    /// Number of the log file that held the end of that turn; 0 before the first.
    pub(crate) log: u64,
    /// Length of that file then, in bytes.
    pub(crate) length: u64,
}

impl Mark {
    fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.turn.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        let crc = crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        let mark = Self { turn: number(8)?, log: number(16)?, length: number(24)? };
        (mark.encode() == *bytes).then_some(mark)
    }
}

/// How far the log is known to be on disk: what a power loss cannot take.
///
/// A test that cuts power cuts `log` anywhere at or above `bytes`, and removes any log file with a
/// higher number (or cuts it anywhere): none of those holds a synced byte that was acknowledged. If
/// `log` does not exist, its content has moved to the tables, which are synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The last synced turn.
    pub turn: u64,
    /// The log file that held its end.
    pub log: PathBuf,
    /// The length of that file which is synced, in bytes.
    pub bytes: u64,
    /// The file of marks.
    pub marks: PathBuf,
}

impl Synced {
    /// Where the two marks lie in their file. A test that damages a disk damages both: one alone is made up for by the other.
    pub const MARKS: [std::ops::Range<u64>; 2] = [0..LENGTH as u64, SLOT..SLOT + LENGTH as u64];

    pub(crate) fn new(mark: Mark, layout: &Layout) -> Self {
        Self { turn: mark.turn, log: layout.log_file(mark.log), bytes: mark.length, marks: layout.mark() }
    }
}

/// The file of marks.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: File,
    path: PathBuf,
    newest: Mark,
    /// The slot that `newest` is not in.
    next: u64,
}

impl MarkFile {
    /// A new file with the mark of turn 0.
    pub(crate) fn create(layout: &Layout) -> Result<(), StoreError> {
        let mut bytes = vec![0; 2 * SLOT as usize];
        bytes[..LENGTH].copy_from_slice(&Mark::default().encode());
        layout.write_durably(&layout.mark(), &bytes)
    }

    /// Opens the file and finds its newest whole mark. Without one nobody knows what the replica may
    /// have signed.
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.mark();
        let corrupt = |detail: &str| StoreError::Corrupt {
            file: path.clone(),
            detail: format!("{detail}, so nobody knows what this replica may have signed: treat it as a lost disk"),
        };
        let file = match File::options().read(true).write(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(corrupt("it is missing")),
            other => other.map_err(StoreError::io("opening", &path))?,
        };
        let slots = [read_slot(&file, 0, &path)?, read_slot(&file, 1, &path)?];
        let newest = slots.iter().flatten().max_by_key(|mark| (mark.turn, mark.log, mark.length));
        let Some(&newest) = newest else { return Err(corrupt("neither of its marks is whole")) };
        let next = u64::from(slots[0] == Some(newest));
        Ok(Self { file, path, newest, next })
    }

    /// The newest mark.
    pub(crate) fn newest(&self) -> Mark {
        self.newest
    }

    /// Writes a mark over the older one, and syncs it.
    pub(crate) fn advance(&mut self, mark: Mark) -> Result<(), StoreError> {
        let write = || {
            self.file.write_all_at(&mark.encode(), self.next * SLOT)?;
            self.file.sync_data()
        };
        write().map_err(StoreError::io("syncing the high-water mark", &self.path))?;
        self.newest = mark;
        self.next = 1 - self.next;
        Ok(())
    }

    /// Puts a file that refuses writes in place of the real one.
    #[cfg(test)]
    pub(crate) fn break_writes(&mut self) -> std::io::Result<()> {
        self.file = File::open(&self.path)?;
        Ok(())
    }

    /// Puts a file that takes every byte and cannot be synced in place of the real one.
    #[cfg(test)]
    pub(crate) fn break_syncs(&mut self) -> std::io::Result<()> {
        self.file = File::options().write(true).open("/dev/null")?;
        Ok(())
    }
}

fn read_slot(file: &File, slot: u64, path: &Path) -> Result<Option<Mark>, StoreError> {
    let mut bytes = [0; LENGTH];
    match file.read_exact_at(&mut bytes, slot * SLOT) {
        Ok(()) => Ok(Mark::decode(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(StoreError::io("reading", path)(error)),
    }
}
