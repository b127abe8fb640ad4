//! What an application sees: the state with this slot's writes, each access counted.

use crate::limits::{Halted, Meter};
use crate::overlay::{Overlay, Step};
use crate::state::{PageLimit, Space, StateReader};
use bytes::Bytes;

/// Entries that a scan fetches from the state below at a time.
const PAGE: usize = 32;

/// Entries of a scan, in byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Whether another entry follows; go on after the last key.
    pub more: bool,
}

/// Read-only access to the application's state.
#[derive(Clone, Copy)]
pub struct StateSnapshot<'a> {
    base: &'a dyn StateReader,
    overlay: &'a Overlay,
    meter: &'a Meter,
}

impl<'a> StateSnapshot<'a> {
    pub(crate) const fn new(base: &'a dyn StateReader, overlay: &'a Overlay, meter: &'a Meter) -> Self {
        Self { base, overlay, meter }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Halted`] if the operation met a limit or the state cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Halted> {
        self.meter.check_key(key)?;
        self.meter.read(key.len())?;
        let value = self.meter.guard(self.overlay.get(self.base, Space::Application, key))?;
        self.meter.has_read(value.as_ref().map_or(0, Bytes::len))?;
        Ok(value)
    }

    /// The first entries whose key begins with `prefix` and is greater than `after`: at most `limit`, and no more than
    /// `bytes` of keys and values, but at least one if there is one and `limit` is not 0.
    ///
    /// # Errors
    /// [`Halted`] if the operation met a limit or the state cannot be read.
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize, bytes: usize) -> Result<Page, Halted> {
        self.meter.check_key(prefix)?;
        self.meter.check_key(after.unwrap_or_default())?;
        self.meter.begin_scan()?;
        // No more is fetched at a time than can come out, so that what is read and paid for is about what is of use.
        let affordable = usize::try_from(self.meter.left().read_bytes).unwrap_or(usize::MAX);
        let fetch = PageLimit { entries: limit.saturating_add(1).min(PAGE), bytes: bytes.min(affordable) };
        let mut scan = self.overlay.scan(self.base, Space::Application, prefix, after, fetch);
        let mut page = Page::default();
        let mut left = bytes;
        loop {
            let step = self.meter.guard(scan.next())?;
            self.meter.has_read(scan.take_bytes())?;
            let Some(step) = step else { break };
            self.meter.pass_entry()?;
            let Step::Entry(key, value) = step else { continue };
            let size = key.len() + value.len();
            if page.entries.len() >= limit || (size > left && !page.entries.is_empty()) {
                page.more = true;
                break;
            }
            left = left.saturating_sub(size);
            page.entries.push((key, value));
        }
        Ok(page)
    }
}

/// Read and write access to the application's state during one operation.
pub struct StateView<'a> {
    base: &'a dyn StateReader,
    overlay: &'a mut Overlay,
    meter: &'a Meter,
}

impl<'a> StateView<'a> {
    pub(crate) const fn new(base: &'a dyn StateReader, overlay: &'a mut Overlay, meter: &'a Meter) -> Self {
        Self { base, overlay, meter }
    }

    /// The same state, to read only: what serves queries serves operations too.
    #[must_use]
    pub const fn snapshot(&self) -> StateSnapshot<'_> {
        StateSnapshot::new(self.base, self.overlay, self.meter)
    }

    /// See [`StateSnapshot::get`].
    ///
    /// # Errors
    /// [`Halted`] if the operation met a limit or the state cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Halted> {
        self.snapshot().get(key)
    }

    /// See [`StateSnapshot::scan`].
    ///
    /// # Errors
    /// [`Halted`] if the operation met a limit or the state cannot be read.
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize, bytes: usize) -> Result<Page, Halted> {
        self.snapshot().scan(prefix, after, limit, bytes)
    }

    /// Sets a key.
    ///
    /// # Errors
    /// [`Halted`] if the operation met a limit.
    pub fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<(), Halted> {
        let value = value.into();
        self.meter.check_key(key)?;
        self.meter.check_value(&value)?;
        self.meter.write(key.len() + value.len())?;
        self.overlay.set(Space::Application, Bytes::copy_from_slice(key), Some(value));
        Ok(())
    }

    /// Deletes a key; one that is not there too.
    ///
    /// # Errors
    /// [`Halted`] if the operation met a limit.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Halted> {
        self.meter.check_key(key)?;
        self.meter.write(key.len())?;
        self.overlay.set(Space::Application, Bytes::copy_from_slice(key), None);
        Ok(())
    }

    /// Does all of `body` or none of it: if it fails, its writes are taken back. Attempts nest.
    ///
    /// # Errors
    /// Whatever `body` fails with.
    pub fn attempt<T, E>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let savepoint = self.overlay.savepoint();
        let result = body(self);
        if result.is_err() {
            self.overlay.rollback(savepoint);
        }
        result
    }
}

#[cfg(test)]
mod tests;
