//! What a command may cost. Counted in bytes and entries, never timed, so every replica stops at the same place.
//!
//! The operations of a command share one budget: a bundle of reads of large values costs as little to send as one of small ones, and would
//! hold up every replica for as many times as it has operations.

use crate::state::StateError;
use borsh::{BorshDeserialize, BorshSerialize};
use std::cell::{Cell, OnceCell};
use std::fmt;
use thiserror::Error;
use varangian_crypto::Parameters;

/// Longest key, in bytes.
pub const KEY_BYTES: usize = 1 << 10;
/// Longest value, in bytes.
pub const VALUE_BYTES: usize = 256 << 10;
/// A result up to so many bytes is never too large, however many its command has.
pub const SMALL_RESULT_BYTES: usize = 16;
/// What a read or write costs besides its bytes, so that empty ones are not free.
pub const ACCESS_BYTES: u64 = 64;

/// What any command may read, however few operations it has: a transaction can compare and replace the longest values.
const READ_BYTES: u64 = 1 << 20;
/// What each of its operations adds.
const READ_BYTES_EACH: u64 = 1 << 10;
/// Entries that a command's scans may pass together, however many operations it has: what they find must fit into one reply.
const ENTRIES: u64 = 1024;
/// What each scan counts as before it passes any: entries deleted in earlier slots lie in its way until the store has cleared them, and how many cannot
/// be counted, because replicas differ in it.
pub const SCAN_ENTRIES: u64 = 64;

/// Work of a command's operations together, or of one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Bytes of keys and values read, and [`ACCESS_BYTES`] for each read.
    pub read_bytes: u64,
    /// Bytes of keys and values written, and [`ACCESS_BYTES`] for each write.
    pub written_bytes: u64,
    /// Entries that scans pass, deleted ones of the same slot included, and [`SCAN_ENTRIES`] for each scan.
    pub entries: u64,
}

/// The limits of a chain. They decide outcomes, so they follow from the genesis alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key, in bytes.
    pub key_bytes: usize,
    /// Longest value, in bytes.
    pub value_bytes: usize,
    /// Results of one command together, in bytes; those up to [`SMALL_RESULT_BYTES`] do not count.
    pub result_bytes: usize,
    /// Answer to one query, in bytes. Queries are not remembered, so it may hold the longest value.
    pub answer_bytes: usize,
    /// Bytes that one command may write; see [`Work::written_bytes`].
    pub written_bytes: u64,
    /// What one query may do.
    pub query: Work,
}

impl Limits {
    /// Of a chain with these parameters. A command of the key-value store writes about its own bytes and has at least six
    /// for each write, so 16 times `max_command_bytes` is room for any, [`ACCESS_BYTES`] included.
    #[must_use]
    pub const fn new(parameters: &Parameters) -> Self {
        Self {
            key_bytes: KEY_BYTES,
            value_bytes: VALUE_BYTES,
            result_bytes: parameters.max_result_bytes as usize,
            answer_bytes: 1 << 20,
            written_bytes: parameters.max_command_bytes as u64 * 16,
            query: Work { read_bytes: 4 << 20, written_bytes: 0, entries: 4096 },
        }
    }

    /// What a command of so many operations may do: reads of 1 MiB and 1 KiB for each operation, and 1,024 entries of scans.
    #[must_use]
    pub const fn command(&self, operations: u32) -> Work {
        let operations = operations as u64;
        Work {
            read_bytes: READ_BYTES + operations * READ_BYTES_EACH,
            written_bytes: self.written_bytes,
            entries: ENTRIES,
        }
    }
}

/// Which limit an operation met. What it met of its command's [`Work`] is used up for the operations behind it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Limit {
    /// [`Limits::key_bytes`].
    KeyBytes,
    /// [`Limits::value_bytes`].
    ValueBytes,
    /// [`Work::read_bytes`].
    ReadBytes,
    /// [`Work::written_bytes`].
    WrittenBytes,
    /// [`Work::entries`].
    Entries,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyBytes => "the key is too long",
            Self::ValueBytes => "the value is too long",
            Self::ReadBytes => "its command reads too many bytes",
            Self::WrittenBytes => "its command writes too many bytes",
            Self::Entries => "its command scans too many entries",
        })
    }
}

/// The view has ended this operation or query: return at once. Whatever it wrote or answers is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the operation is over: it met a limit or the state cannot be read")]
pub struct Halted(());

/// Why an operation was ended.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Its own doing; every replica sees the same.
    Limit(Limit),
    /// This replica's disk.
    State(StateError),
}

/// Counts the work of one operation against what its command has left. What ended it stays: an application that goes on changes nothing.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    left: Cell<Work>,
    halt: OnceCell<Halt>,
}

impl Meter {
    pub(crate) const fn new(limits: Limits, budget: Work) -> Self {
        Self { limits, left: Cell::new(budget), halt: OnceCell::new() }
    }

    /// What is left for the operations behind this one.
    pub(crate) const fn left(&self) -> Work {
        self.left.get()
    }

    /// What ended the operation, if anything did.
    pub(crate) fn into_halt(self) -> Option<Halt> {
        self.halt.into_inner()
    }

    /// Before anything is done on behalf of the operation.
    pub(crate) fn check_running(&self) -> Result<(), Halted> {
        if self.halt.get().is_some() { Err(Halted(())) } else { Ok(()) }
    }

    pub(crate) fn check_key(&self, key: &[u8]) -> Result<(), Halted> {
        self.check_running()?;
        if key.len() > self.limits.key_bytes { Err(self.halt(Halt::Limit(Limit::KeyBytes))) } else { Ok(()) }
    }

    pub(crate) fn check_value(&self, value: &[u8]) -> Result<(), Halted> {
        if value.len() > self.limits.value_bytes { Err(self.halt(Halt::Limit(Limit::ValueBytes))) } else { Ok(()) }
    }

    /// One read, with what is known of its bytes before it is done.
    pub(crate) fn read(&self, bytes: usize) -> Result<(), Halted> {
        self.read_on(bytes as u64 + ACCESS_BYTES)
    }

    /// The bytes that a read has brought.
    pub(crate) fn has_read(&self, bytes: usize) -> Result<(), Halted> {
        self.read_on(bytes as u64)
    }

    fn read_on(&self, bytes: u64) -> Result<(), Halted> {
        let mut left = self.left.get();
        let fits = spend(&mut left.read_bytes, bytes);
        self.settle(fits, left, Limit::ReadBytes)
    }

    /// Before a scan reads anything.
    pub(crate) fn begin_scan(&self) -> Result<(), Halted> {
        self.read(0)?;
        self.pass(SCAN_ENTRIES)
    }

    pub(crate) fn write(&self, bytes: usize) -> Result<(), Halted> {
        let mut left = self.left.get();
        let fits = spend(&mut left.written_bytes, bytes as u64 + ACCESS_BYTES);
        self.settle(fits, left, Limit::WrittenBytes)
    }

    pub(crate) fn pass_entry(&self) -> Result<(), Halted> {
        self.pass(1)
    }

    fn pass(&self, entries: u64) -> Result<(), Halted> {
        let mut left = self.left.get();
        let fits = spend(&mut left.entries, entries);
        self.settle(fits, left, Limit::Entries)
    }

    /// Ends the operation if the state cannot be read.
    pub(crate) fn guard<T>(&self, result: Result<T, StateError>) -> Result<T, Halted> {
        result.map_err(|error| self.halt(Halt::State(error)))
    }

    fn settle(&self, fits: bool, left: Work, limit: Limit) -> Result<(), Halted> {
        self.left.set(left);
        if fits { Ok(()) } else { Err(self.halt(Halt::Limit(limit))) }
    }

    /// The first reason stays.
    fn halt(&self, halt: Halt) -> Halted {
        self.halt.get_or_init(|| halt);
        Halted(())
    }
}

/// Whether it fitted; if not, nothing is left.
fn spend(left: &mut u64, amount: u64) -> bool {
    let fits = *left >= amount;
    *left = left.saturating_sub(amount);
    fits
}
