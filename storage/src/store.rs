//! Creating a store, opening it, and what it holds in memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, DBIterator, Direction, IteratorMode, LiveFile, ReadOptions, WriteBatch, WriteOptions};
use varangian_crypto::Digest;

use crate::error::{Found, StoreError};
use crate::identity::Identity;
use crate::keys::{self, Chain, Entry, Family, Key};
use crate::layout::Layout;
use crate::mark::{Mark, MarkFile, Synced};
use crate::recovery::{self, TornTail};
use crate::stats::Counters;
use crate::tuning::{Options, Tuning};

/// A replica's store. Shared by reference between threads: one thread's [`Store::commit`] and another's
/// [`Store::execute`] take turns at the log, and reads wait for neither.
pub struct Store {
    pub(crate) db: DB,
    pub(crate) layout: Layout,
    pub(crate) tuning: Tuning,
    /// Taken first, by whoever makes a turn.
    pub(crate) turns: Mutex<Turns>,
    /// Taken second, by whoever writes to the database.
    pub(crate) writes: Mutex<Writes>,
    pub(crate) executed: AtomicU64,
    pub(crate) oldest: AtomicU64,
    pub(crate) counters: Counters,
    /// The first failed write.
    poison: OnceLock<Arc<str>>,
    /// Last, so that it is dropped after the database is closed.
    _lock: File,
}

/// What only the maker of a turn touches.
pub(crate) struct Turns {
    pub(crate) mark: MarkFile,
}

/// What only a writer to the database touches.
pub(crate) struct Writes {
    /// Bytes of all executed slots, bodies and certificates, pruned ones included.
    pub(crate) committed_bytes: u64,
}

/// What opening a store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The last turn on disk. All its records are in the store.
    pub turn: u64,
    /// The turn of the high-water mark before opening. At most one less than `turn`: what is above it was never
    /// acknowledged, and binds all the same.
    pub mark: u64,
    /// The unfinished end of the log that was cut off, if there was one.
    pub torn: Option<TornTail>,
    /// The last executed slot; 0 before the first.
    pub last_executed: u64,
}

/// One file of sorted entries, as the database keeps what has left memory and log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFile {
    /// Where it is.
    pub file: PathBuf,
    /// What its entries are: `consensus`, `state` and so on.
    pub of: String,
    /// Its length.
    pub bytes: u64,
}

/// A key and its value.
type Item = (Box<[u8]>, Box<[u8]>);

impl Store {
    /// Makes an empty store in a directory that is empty or absent. The marker is written last, so an
    /// interrupted creation leaves no store.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], or a file operation that failed.
    pub fn create(dir: &Path, identity: &Identity) -> Result<(), StoreError> {
        let layout = Layout::new(dir);
        layout.make()?;
        let _lock = layout.lock()?;
        let mut tuning = Tuning::new(&layout, Options::default());
        tuning.database.create_if_missing(true);
        tuning.database.create_missing_column_families(true);
        let db = DB::open_cf_descriptors(&tuning.database, layout.db(), tuning.families())
            .map_err(|error| StoreError::opening(&layout.db(), error))?;
        let flushed = db.flush_wal(true).map_err(|error| StoreError::database("syncing", &layout.db(), error));
        drop(db);
        flushed?;
        MarkFile::create(&layout)?;
        identity.write(&layout)?;
        layout.sync()
    }

    /// Opens a store and checks it against its mark.
    ///
    /// The order matters: whose it is, the lock, the log against the mark (nothing changed so far), the torn tail cut
    /// off, the database read without writing, its turns against the mark; only then is it opened for writing. Then the
    /// mark is raised to what was found, since the caller will send it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Foreign`], [`StoreError::Locked`], [`StoreError::Corrupt`],
    /// [`StoreError::LostVotes`]; a refused store is left as it was found, but for a torn tail.
    pub fn open(dir: &Path, identity: &Identity, options: Options) -> Result<(Self, Opened), StoreError> {
        let layout = Layout::new(dir);
        identity.check(&layout)?;
        let lock = layout.lock()?;
        let mut mark = MarkFile::open(&layout)?;
        let before = mark.newest();
        let torn = recovery::examine(&layout, before)?;
        if let Some(tail) = &torn {
            recovery::cut(&layout, tail)?;
        }

        let tuning = Tuning::new(&layout, options);
        let failed = |error| StoreError::opening(&layout.db(), error);
        let read_only = DB::open_cf_descriptors_read_only(&tuning.database, layout.db(), tuning.families(), false);
        let position = Position::of(&read_only.map_err(failed)?, &layout, before)?;
        let db = DB::open_cf_descriptors(&tuning.database, layout.db(), tuning.families()).map_err(failed)?;

        let (log, length) = layout.end_of_log()?;
        mark.advance(Mark { turn: position.turn, log, length })?;

        let store = Self {
            db,
            tuning,
            executed: AtomicU64::new(position.executed),
            oldest: AtomicU64::new(position.oldest),
            writes: Mutex::new(Writes { committed_bytes: position.committed_bytes }),
            counters: Counters::default(),
            poison: OnceLock::new(),
            _lock: lock,
            turns: Mutex::new(Turns { mark }),
            layout,
        };
        let opened = Opened { turn: position.turn, mark: before.turn, torn, last_executed: position.executed };
        Ok((store, opened))
    }

    /// All consensus records, in the order of their keys.
    pub fn records(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), StoreError>> + '_ {
        self.iterate(Family::Consensus, IteratorMode::Start)
            .map(|item| item.map(|(key, value)| (key.into(), value.into())))
    }

    /// One consensus record.
    pub fn record(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get(Family::Consensus, key.as_bytes())?.map(Bytes::from))
    }

    /// A body, by slot and digest. One below [`Store::oldest_committed`] may or may not be there.
    pub fn batch(&self, slot: u64, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get(Family::Batches, &keys::batch(slot, digest))?.map(Bytes::from))
    }

    /// All bodies of slots above `slot`, in slot order. Some below [`Store::oldest_committed`] may be missing.
    pub fn batches_above(&self, slot: u64) -> impl Iterator<Item = Result<(u64, Digest, Bytes), StoreError>> + '_ {
        let first = slot.saturating_add(1).to_be_bytes();
        let above = self.iterate(Family::Batches, IteratorMode::From(&first, Direction::Forward)).map(|item| {
            let (key, body) = item?;
            let (slot, digest) = keys::parse_batch(&key).ok_or_else(|| self.malformed("a key of a batch"))?;
            Ok((slot, digest, Bytes::from(body)))
        });
        // Nothing is above the largest slot.
        above.take(if slot == u64::MAX { 0 } else { usize::MAX })
    }

    /// The last executed slot; 0 before the first.
    pub fn last_executed(&self) -> u64 {
        self.executed.load(Ordering::Acquire)
    }

    /// The last turn that is on disk, and how much of the log that needs.
    pub fn synced(&self) -> Result<Synced, StoreError> {
        Ok(Synced::new(locked(&self.turns)?.mark.newest(), &self.layout))
    }

    /// The same, read from outside a store that nobody has open: after a kill, say. Takes no lock and
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if there is no whole mark.
    pub fn synced_in(dir: &Path) -> Result<Synced, StoreError> {
        let layout = Layout::new(dir);
        Ok(Synced::new(MarkFile::open(&layout)?.newest(), &layout))
    }

    /// The tables of a store that nobody has open, with what each is of. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the database cannot be read.
    pub fn tables_in(dir: &Path) -> Result<Vec<TableFile>, StoreError> {
        let layout = Layout::new(dir);
        let tuning = Tuning::new(&layout, Options::default());
        let failed = |error| StoreError::opening(&layout.db(), error);
        let db = DB::open_cf_descriptors_read_only(&tuning.database, layout.db(), tuning.families(), false);
        let tables = db.and_then(|db| db.live_files()).map_err(failed)?;
        let table = |live: LiveFile| TableFile {
            file: layout.db().join(live.name.trim_start_matches('/')),
            of: live.column_family_name,
            bytes: live.size as u64,
        };
        Ok(tables.into_iter().map(table).collect())
    }

    pub(crate) fn family(&self, family: Family) -> Result<&ColumnFamily, StoreError> {
        handle(&self.db, &self.layout, family)
    }

    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family)?, key).map_err(|error| self.failed("reading", error))
    }

    /// Iterates over a family in key order. Blocks that are read stay out of the cache.
    pub(crate) fn iterate<'a>(
        &'a self,
        family: Family,
        mode: IteratorMode<'_>,
    ) -> impl Iterator<Item = Result<Item, StoreError>> + use<'a> {
        let handle = self.family(family);
        let error = handle.as_ref().err().cloned();
        let items: Option<DBIterator<'a>> = handle.ok().map(|handle| self.db.iterator_cf_opt(handle, uncached(), mode));
        let items = items.into_iter().flatten().map(|item| item.map_err(|error| self.failed("reading", error)));
        error.into_iter().map(Err).chain(items)
    }

    /// The entry of an executed slot.
    pub(crate) fn entry(&self, slot: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Family::Committed, &slot.to_be_bytes())
    }

    pub(crate) fn failed(&self, action: &'static str, error: rocksdb::Error) -> StoreError {
        StoreError::database(action, &self.layout.db(), error)
    }

    /// A record that the store wrote and cannot read, though its checksum holds.
    pub(crate) fn malformed(&self, what: &str) -> StoreError {
        StoreError::Corrupt { file: self.layout.db(), detail: format!("{what} is malformed") }
    }

    /// Writes to the database. The caller holds `writes`.
    pub(crate) fn write(&self, action: &'static str, batch: WriteBatch, how: &WriteOptions) -> Result<(), StoreError> {
        self.final_on_error(self.db.write_opt(batch, how).map_err(|error| self.failed(action, error)))
    }

    /// Remembers the first failed write for good.
    pub(crate) fn final_on_error<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.poison.get_or_init(|| Arc::from(error.to_string()));
        }
        result
    }

    /// Refuses if an earlier write failed.
    pub(crate) fn healthy(&self) -> Result<(), StoreError> {
        match self.poison.get() {
            Some(first) => Err(StoreError::Poisoned { first: Arc::clone(first) }),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("dir", &self.layout.dir()).finish_non_exhaustive()
    }
}

/// Takes a mutex. A thread that panicked while it wrote may have left half a change behind, so nobody
/// writes after it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, StoreError> {
    mutex.lock().map_err(|_| StoreError::Poisoned { first: Arc::from("a thread panicked while it was writing") })
}

pub(crate) fn handle<'a>(db: &'a DB, layout: &Layout, family: Family) -> Result<&'a ColumnFamily, StoreError> {
    db.cf_handle(family.name()).ok_or_else(|| StoreError::Corrupt {
        file: layout.db(),
        detail: format!("column family {} is missing", family.name()),
    })
}

/// For long reads, which would only push out what is read often.
pub(crate) fn uncached() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_verify_checksums(true);
    options
}

/// Where a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    turn: u64,
    executed: u64,
    oldest: u64,
    committed_bytes: u64,
}

impl Position {
    /// Reads it, and holds it against the mark.
    fn of(db: &DB, layout: &Layout, mark: Mark) -> Result<Self, StoreError> {
        let lost = |found| Err(StoreError::LostVotes { mark: mark.turn, found });
        let corrupt = |detail: String| StoreError::Corrupt { file: layout.db(), detail };
        let turn = match chain(db, layout, Chain::Turns)?[..] {
            [] => 0,
            [turn] => turn,
            [before, ..] => return lost(Found::HoleAfter(before)),
        };
        if turn < mark.turn {
            return lost(Found::Turn(turn));
        }
        let executed = match chain(db, layout, Chain::Executions)?[..] {
            [] => 0,
            [slot] => slot,
            [before, ..] => return Err(corrupt(format!("the execution of slot {} is missing", before + 1))),
        };
        let read = |family, key: &[u8]| {
            let value = db.get_cf(handle(db, layout, family)?, key);
            value.map_err(|error| StoreError::database("reading", &layout.db(), error))
        };
        let oldest = match read(Family::Own, keys::OLDEST)? {
            Some(value) => keys::number(&value).ok_or_else(|| corrupt("the oldest slot is malformed".to_owned()))?,
            None => 1,
        };
        let committed_bytes = match read(Family::Committed, &executed.to_be_bytes())?.as_deref().map(Entry::decode) {
            Some(Some(entry)) => entry.before + entry.bytes(),
            None if executed == 0 => 0,
            _ => return Err(corrupt(format!("the entry of executed slot {executed} is missing or malformed"))),
        };
        Ok(Self { turn, executed, oldest, committed_bytes })
    }
}

/// The first two numbers of a chain: more than one is a hole.
fn chain(db: &DB, layout: &Layout, chain: Chain) -> Result<Vec<u64>, StoreError> {
    let tag = chain.tag();
    let mode = IteratorMode::From(&tag, Direction::Forward);
    let mut numbers = Vec::with_capacity(2);
    for item in db.iterator_cf_opt(handle(db, layout, Family::Own)?, uncached(), mode).take(2) {
        let (key, _) = item.map_err(|error| StoreError::database("reading", &layout.db(), error))?;
        let Some(rest) = key.strip_prefix(&tag) else { break };
        let malformed = || StoreError::Corrupt { file: layout.db(), detail: "a chain record is malformed".to_owned() };
        numbers.push(keys::number(rest).ok_or_else(malformed)?);
    }
    Ok(numbers)
}
