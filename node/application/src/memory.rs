//! A state in memory: for simulators and tests.

use crate::change::{Meta, StateChange};
use crate::state::{PageLimit, Space, StateError, StateReader};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A state in two maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    spaces: [BTreeMap<Bytes, Bytes>; Space::ALL.len()],
    meta: Meta,
}

impl MemoryState {
    /// Applies a slot's change.
    pub fn apply(&mut self, change: &StateChange) {
        for space in Space::ALL {
            let entries = &mut self.spaces[space.index()];
            for (key, value) in change.writes(space) {
                match value {
                    Some(value) => entries.insert(key.clone(), value.clone()),
                    None => entries.remove(key),
                };
            }
        }
        self.meta = change.meta.clone();
    }

    /// How far the state has come.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// All entries of a space.
    #[must_use]
    pub const fn entries(&self, space: Space) -> &BTreeMap<Bytes, Bytes> {
        &self.spaces[space.index()]
    }
}

impl StateReader for MemoryState {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.entries(space).get(key).cloned())
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: PageLimit,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let entries = self.entries(space).range::<[u8], _>((start, Bound::Unbounded));
        let entries = entries.take_while(|(key, _)| key.starts_with(prefix)).take(limit.entries);
        let mut page = Vec::new();
        let mut left = limit.bytes;
        for (key, value) in entries {
            let size = key.len() + value.len();
            if size > left && !page.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            page.push((key.clone(), value.clone()));
        }
        Ok(page)
    }
}
