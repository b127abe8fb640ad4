//! The rules of a journal: which number comes next, what is written when, what was left over.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use bytes::Bytes;
use varangian_consensus::{Command, Sequence};

use super::JournalError;
use super::disk::{Disk, Log, log_name};
use super::frame::{self, Owner, Record, Records};

/// Name of the reservation's file.
pub(crate) const RESERVATION: &str = "reserved";
/// A log beyond this gives way to a new one when the next block is reserved.
const LONG_LOG: usize = 4 << 20;

/// One process's part in a client's journal.
pub(crate) struct Ledger<D: Disk> {
    disk: D,
    owner: Owner,
    /// For messages.
    path: PathBuf,
    /// The genesis' `client_window`.
    width: u64,
    /// Reserved and not used: from here up to `end`, exclusive.
    next: Sequence,
    end: Sequence,
    /// Numbers in the last block.
    block: u64,
    log: Option<Own<D::Log>>,
    /// Begun here, without an outcome.
    unfinished: BTreeMap<Sequence, Bytes>,
    /// Finished, and not yet written down: at worst they are asked again, and answered the same.
    finished: Vec<Sequence>,
    adopted: Vec<Adopted<D::Log>>,
}

struct Own<L> {
    name: String,
    log: L,
    length: usize,
    /// An append failed: what is on disk is not known, so nothing may follow it.
    broken: bool,
}

/// A log whose process has gone. Owned until all of it is finished.
struct Adopted<L> {
    name: String,
    _log: L,
    unfinished: BTreeMap<Sequence, Bytes>,
}

impl<D: Disk> Ledger<D> {
    /// Opens a journal, or begins a new one whose first number is `first`. Removes logs without unfinished commands; says how many unfinished
    /// commands of processes that have gone there are.
    pub(crate) fn open(
        disk: D,
        owner: Owner,
        path: PathBuf,
        width: u64,
        first: Sequence,
    ) -> Result<(Self, usize), JournalError> {
        let mut ledger = Self {
            disk,
            owner,
            path,
            width,
            next: 0,
            end: 0,
            block: 0,
            log: None,
            unfinished: BTreeMap::new(),
            finished: Vec::new(),
            adopted: Vec::new(),
        };
        let lock = ledger.disk.lock().map_err(|error| ledger.failed("lock", error))?;
        if ledger.read_reservation()?.is_none() {
            if !ledger.disk.logs().map_err(|error| ledger.failed("list", error))?.is_empty() {
                return Err(ledger.reservation("it is missing beside logs"));
            }
            ledger.write_reservation(first.max(1))?;
        }
        ledger.adopt_locked()?;
        drop(lock);
        let left: usize = ledger.adopted.iter().map(|log| log.unfinished.len()).sum();
        // Given back: whoever asks for them first takes them.
        ledger.adopted.clear();
        Ok((ledger, left))
    }

    /// The number that [`Self::take`] takes next. Reserves a block if it must: first one number, then twice as many each time, up to a sixteenth
    /// of the window, so that what a process leaves unused moves the window little.
    pub(crate) fn peek(&mut self) -> Result<Sequence, JournalError> {
        if self.next == self.end {
            self.reserve()?;
        }
        Ok(self.next)
    }

    /// A number that nobody has used or will use.
    pub(crate) fn take(&mut self) -> Result<Sequence, JournalError> {
        let sequence = self.peek()?;
        self.next += 1;
        Ok(sequence)
    }

    /// Gives up the rest of a block that other processes have left half a window behind: its numbers would soon be too old.
    pub(crate) fn refresh(&mut self) -> Result<(), JournalError> {
        if self.next < self.end {
            let reserved = self.read_reservation()?.ok_or_else(|| self.reservation("it is missing"))?;
            if reserved.saturating_sub(self.next) > self.width / 2 {
                self.next = self.end;
            }
        }
        Ok(())
    }

    /// Writes commands down, durably: from here on they may be sent.
    pub(crate) fn begin(&mut self, commands: &[Command]) -> Result<(), JournalError> {
        let begun = commands.iter().map(|command| Record::begun(command.encoded()).ok_or(JournalError::TooLarge));
        let begun = begun.collect::<Result<Vec<_>, _>>()?;
        self.write(begun)?;
        self.unfinished.extend(commands.iter().map(|command| (command.sequence(), command.encoded().clone())));
        Ok(())
    }

    /// A command has its outcome. Written down with the next append.
    pub(crate) fn finish(&mut self, sequence: Sequence) -> Result<(), JournalError> {
        if self.unfinished.remove(&sequence).is_some() {
            self.finished.push(sequence);
        }
        for log in &mut self.adopted {
            log.unfinished.remove(&sequence);
        }
        if self.adopted.iter().any(|log| log.unfinished.is_empty()) {
            let _lock = self.disk.lock().map_err(|error| self.failed("lock", error))?;
            self.drop_adopted()?;
        }
        Ok(())
    }

    /// A command was never sent and never will be, not even after a crash: written down at once.
    pub(crate) fn withdraw(&mut self, sequence: Sequence) -> Result<(), JournalError> {
        self.finish(sequence)?;
        self.write(Vec::new())
    }

    /// Commands without an outcome, of this process and of those that have gone; they are this process's business now.
    pub(crate) fn adopt(&mut self) -> Result<BTreeMap<Sequence, Bytes>, JournalError> {
        let lock = self.disk.lock().map_err(|error| self.failed("lock", error))?;
        self.adopt_locked()?;
        drop(lock);
        let others = self.adopted.iter().flat_map(|log| &log.unfinished);
        Ok(others.chain(&self.unfinished).map(|(sequence, command)| (*sequence, command.clone())).collect())
    }

    /// Leaves nothing behind but what is unfinished, for whoever asks first: nothing is owned any more.
    pub(crate) fn close(&mut self) -> Result<(), JournalError> {
        let written = if self.unfinished.is_empty() { Ok(()) } else { self.write(Vec::new()) };
        self.adopted.clear();
        if let Some(own) = self.log.take()
            && self.unfinished.is_empty()
        {
            let _lock = self.disk.lock().map_err(|error| self.failed("lock", error))?;
            self.disk.remove(&own.name).map_err(|error| self.failed("remove a log of", error))?;
        }
        written
    }

    fn reserve(&mut self) -> Result<(), JournalError> {
        let lock = self.disk.lock().map_err(|error| self.failed("lock", error))?;
        let next = self.read_reservation()?.ok_or_else(|| self.reservation("it is missing"))?;
        let block = (self.block * 2).clamp(1, (self.width / 16).max(1));
        let end = next.checked_add(block).ok_or_else(|| self.reservation("all numbers are used up"))?;
        self.write_reservation(end)?;
        let is_long = |own: &Own<D::Log>| own.length > LONG_LOG;
        if self.log.as_ref().is_none_or(is_long) {
            self.new_log(next)?;
        }
        drop(lock);
        (self.next, self.end, self.block) = (next, end, block);
        Ok(())
    }

    /// A log with what is unfinished, in the place of the one so far. A crash in between leaves both, and they say the same.
    fn new_log(&mut self, first: Sequence) -> Result<(), JournalError> {
        let name = log_name(first);
        let begun: Vec<_> = self.unfinished.values().filter_map(Record::begun).collect();
        let bytes = if begun.is_empty() { Vec::new() } else { frame::frame(&self.owner, 0, &self.records(begun)?) };
        let log = self.disk.create(&name, &bytes).map_err(|error| self.failed("create a log of", error))?;
        self.finished.clear();
        let own = Own { name, log, length: bytes.len(), broken: false };
        if let Some(old) = self.log.replace(own) {
            self.disk.remove(&old.name).map_err(|error| self.failed("remove a log of", error))?;
        }
        Ok(())
    }

    /// One synced append of what has finished and `records`.
    fn write(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
        let finished = self.finished.iter().copied().map(Record::Finished);
        let records = self.records(finished.chain(records).collect())?;
        let path = self.path.clone();
        let failed = |reason: String| JournalError::Io { what: "write to", path: path.clone(), reason };
        if records.is_empty() {
            return Ok(());
        }
        let own = self.log.as_mut().ok_or_else(|| failed("no number was taken".into()))?;
        if own.broken {
            return Err(failed("an earlier write failed; begin anew".into()));
        }
        let bytes = frame::frame(&self.owner, own.length, &records);
        own.broken = true;
        own.log.append(&bytes).map_err(|error| failed(error.to_string()))?;
        own.broken = false;
        own.length += bytes.len();
        self.finished.clear();
        Ok(())
    }

    fn records(&self, records: Vec<Record>) -> Result<Records, JournalError> {
        Records::try_from(records).map_err(|error| self.failed("write to", error))
    }

    fn adopt_locked(&mut self) -> Result<(), JournalError> {
        for name in self.disk.logs().map_err(|error| self.failed("list", error))? {
            let ours = self.log.as_ref().is_some_and(|own| own.name == name);
            if ours || self.adopted.iter().any(|log| log.name == name) {
                continue;
            }
            let claimed = self.disk.claim(&name).map_err(|error| self.failed("read a log of", error))?;
            let Some((log, bytes)) = claimed else { continue };
            let damaged = |offset| JournalError::Damaged { path: self.path.join(&name), offset };
            let contents = frame::read(&self.owner, &bytes).map_err(|damage| damaged(damage.offset))?;
            if contents.torn > 0 {
                tracing::warn!(log = %name, bytes = contents.torn, "a crash left a part of a write: dropped, nothing of it was sent");
            }
            let mut unfinished = BTreeMap::new();
            for record in contents.records {
                match record {
                    Record::Begun(bytes) => {
                        let command = Command::decode(bytes.into_bytes()).map_err(|_| damaged(0))?;
                        unfinished.insert(command.sequence(), command.encoded().clone());
                    }
                    Record::Finished(sequence) => {
                        unfinished.remove(&sequence);
                    }
                }
            }
            self.adopted.push(Adopted { name, _log: log, unfinished });
        }
        self.drop_adopted()
    }

    /// Removes adopted logs of which everything is finished. Under the lock.
    fn drop_adopted(&mut self) -> Result<(), JournalError> {
        while let Some(place) = self.adopted.iter().position(|log| log.unfinished.is_empty()) {
            let log = self.adopted.swap_remove(place);
            self.disk.remove(&log.name).map_err(|error| self.failed("remove a log of", error))?;
        }
        Ok(())
    }

    fn read_reservation(&self) -> Result<Option<Sequence>, JournalError> {
        let bytes = self.disk.read(RESERVATION).map_err(|error| self.failed("read", error))?;
        let read =
            |bytes: Vec<u8>| frame::read_reservation(&self.owner, &bytes).map_err(|reason| self.reservation(reason));
        bytes.map(read).transpose()
    }

    fn write_reservation(&self, next: Sequence) -> Result<(), JournalError> {
        let text = frame::reservation(&self.owner, next);
        self.disk.replace(RESERVATION, text.as_bytes()).map_err(|error| self.failed("write to", error))
    }

    fn failed(&self, what: &'static str, error: impl Display) -> JournalError {
        JournalError::Io { what, path: self.path.clone(), reason: error.to_string() }
    }

    fn reservation(&self, reason: &'static str) -> JournalError {
        JournalError::Reservation { path: self.path.join(RESERVATION), reason }
    }
}

#[cfg(test)]
mod tests;
