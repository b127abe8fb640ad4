//! A slot's writes over the state below, with savepoints, and reads that see both.

use crate::state::{PageLimit, Space, StateError, StateReader};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

/// Keys with their new value; `None` deletes.
type Writes = BTreeMap<Bytes, Option<Bytes>>;

/// What is written on top of a state. Bounded by what a batch's operations may write.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    writes: [Writes; Space::ALL.len()],
    undo: Vec<Undo>,
}

/// What stood in the overlay before a write.
#[derive(Debug)]
struct Undo {
    space: Space,
    key: Bytes,
    previous: Option<Option<Bytes>>,
}

/// A moment to go back to. Savepoints nest: going back to one forgets those after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint(usize);

impl Overlay {
    /// The value of a key, as the writes so far leave it.
    pub(crate) fn get(&self, base: &dyn StateReader, space: Space, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        match self.writes[space.index()].get(key) {
            Some(written) => Ok(written.clone()),
            None => base.get(space, key),
        }
    }

    /// Sets or (`None`) deletes a key.
    pub(crate) fn set(&mut self, space: Space, key: Bytes, value: Option<Bytes>) {
        let previous = self.writes[space.index()].insert(key.clone(), value);
        self.undo.push(Undo { space, key, previous });
    }

    /// Marks this moment.
    pub(crate) const fn savepoint(&self) -> Savepoint {
        Savepoint(self.undo.len())
    }

    /// Takes back every write since `savepoint`.
    pub(crate) fn rollback(&mut self, savepoint: Savepoint) {
        while self.undo.len() > savepoint.0 {
            let Some(Undo { space, key, previous }) = self.undo.pop() else { return };
            let writes = &mut self.writes[space.index()];
            match previous {
                Some(value) => writes.insert(key, value),
                None => writes.remove(&key),
            };
        }
    }

    /// Makes every write so far final: earlier savepoints are void.
    pub(crate) fn settle(&mut self) {
        self.undo.clear();
    }

    /// The writes of each space, in order of key.
    pub(crate) fn into_writes(self) -> [Writes; Space::ALL.len()] {
        self.writes
    }

    /// Entries whose key begins with `prefix` and is greater than `after`, in byte order; of the state below a page of this size at a time.
    pub(crate) fn scan<'a>(
        &'a self,
        base: &'a dyn StateReader,
        space: Space,
        prefix: &'a [u8],
        after: Option<&[u8]>,
        page: PageLimit,
    ) -> Scan<'a> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Scan {
            base,
            space,
            prefix,
            written: self.writes[space.index()].range::<[u8], _>((start, Bound::Unbounded)).peekable(),
            below: VecDeque::new(),
            fetched_to: Some(after.map(Bytes::copy_from_slice)),
            page,
            bytes: 0,
        }
    }
}

/// A scan under way: two sorted streams merged, of which the overlay's wins.
pub(crate) struct Scan<'a> {
    base: &'a dyn StateReader,
    space: Space,
    prefix: &'a [u8],
    written: Peekable<btree_map::Range<'a, Bytes, Option<Bytes>>>,
    below: VecDeque<(Bytes, Bytes)>,
    /// Where the next page of the state below begins; `None` when there are no more.
    fetched_to: Option<Option<Bytes>>,
    page: PageLimit,
    /// See [`Self::take_bytes`].
    bytes: usize,
}

/// One step of a scan, so that the caller can count deleted entries too.
pub(crate) enum Step {
    /// An entry.
    Entry(Bytes, Bytes),
    /// A key that this slot deleted.
    Deleted,
}

impl Scan<'_> {
    /// The next step; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Step>, StateError> {
        self.fetch()?;
        let written = self.written.peek().filter(|(key, _)| key.starts_with(self.prefix));
        let Some((written, _)) = written else {
            return Ok(self.below.pop_front().map(|(key, value)| Step::Entry(key, value)));
        };
        if let Some((key, _)) = self.below.front() {
            if key < *written {
                return Ok(self.below.pop_front().map(|(key, value)| Step::Entry(key, value)));
            }
            if key == *written {
                self.below.pop_front();
            }
        }
        Ok(self.written.next().map(|(key, value)| match value {
            Some(value) => {
                self.bytes += key.len() + value.len();
                Step::Entry(key.clone(), value.clone())
            }
            None => Step::Deleted,
        }))
    }

    /// Bytes of keys and values that were read since this was asked last, whether they have come out as entries, will, or are hidden by what
    /// this slot wrote.
    pub(crate) const fn take_bytes(&mut self) -> usize {
        std::mem::replace(&mut self.bytes, 0)
    }

    /// Sees to it that the first entry below is known, if there is one.
    fn fetch(&mut self) -> Result<(), StateError> {
        if !self.below.is_empty() {
            return Ok(());
        }
        let Some(after) = self.fetched_to.take() else { return Ok(()) };
        let page = self.base.scan(self.space, self.prefix, after.as_deref(), self.page)?;
        self.fetched_to = page.last().map(|(key, _)| Some(key.clone()));
        self.bytes += page.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.below = page.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
