//! A disk in memory that several processes share and that loses power at a chosen step.

use super::super::super::disk::{Disk, Log};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// The step at which the power fails, and how much of it is done by then, in percent. A step that is not an append is done from 50 on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crash {
    pub(super) step: usize,
    pub(super) done: usize,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Logs whose owner lives.
    owned: BTreeSet<String>,
    steps: usize,
    crash: Option<Crash>,
    /// The power is off: nothing works.
    off: bool,
    fail_append: bool,
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

/// An owned log; dropped, its owner has gone.
pub(super) struct MemoryLog {
    disk: MemoryDisk,
    name: String,
}

impl MemoryDisk {
    /// As another process sees it.
    pub(super) fn process(&self) -> Self {
        self.clone()
    }

    pub(super) fn crash(&self, crash: Crash) {
        let mut state = self.state();
        let step = state.steps + crash.step;
        state.crash = Some(Crash { step, ..crash });
    }

    /// The power is back; no process has survived.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        state.off = false;
        state.crash = None;
        state.owned.clear();
    }

    pub(super) fn steps(&self) -> usize {
        self.state().steps
    }

    pub(super) fn is_off(&self) -> bool {
        self.state().off
    }

    pub(super) fn fail_next_append(&self) {
        self.state().fail_append = true;
    }

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.state().files.get_mut(name).unwrap());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while it held the lock has said so; its logs must still be dropped.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One step that changes the disk: how much of it happens, in percent, and whether the power lasts.
    fn step(&self, state: &mut State) -> io::Result<usize> {
        if state.off {
            return Err(io::Error::other("the power is off"));
        }
        let step = state.steps;
        state.steps += 1;
        match state.crash {
            Some(crash) if crash.step == step => {
                state.off = true;
                Ok(crash.done)
            }
            _ => Ok(100),
        }
    }

    fn change_atomically(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        if self.step(&mut state)? >= 50 {
            change(&mut state);
        }
        if state.off { Err(io::Error::other("the power fails")) } else { Ok(()) }
    }

    fn log(&self, name: &str) -> MemoryLog {
        MemoryLog { disk: self.clone(), name: name.into() }
    }
}

impl Disk for MemoryDisk {
    type Log = MemoryLog;
    type Lock = ();

    fn lock(&self) -> io::Result<()> {
        if self.is_off() { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state().files.get(name).cloned())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change_atomically(|state| {
            state.files.insert(name.into(), bytes.into());
        })
    }

    fn logs(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().filter(|name| name.ends_with(".log")).cloned().collect())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<MemoryLog> {
        let mut state = self.state();
        let done = self.step(&mut state)?;
        assert!(!state.files.contains_key(name), "{name} is created twice");
        if done > 0 {
            state.files.insert(name.into(), bytes[..bytes.len() * done / 100].into());
        }
        if state.off {
            return Err(io::Error::other("the power fails"));
        }
        state.owned.insert(name.into());
        Ok(self.log(name))
    }

    fn claim(&self, name: &str) -> io::Result<Option<(MemoryLog, Vec<u8>)>> {
        let mut state = self.state();
        let Some(bytes) = state.files.get(name).cloned() else { return Ok(None) };
        if !state.owned.insert(name.into()) {
            return Ok(None);
        }
        Ok(Some((self.log(name), bytes)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_atomically(|state| {
            state.files.remove(name);
        })
    }
}

impl Log for MemoryLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        if std::mem::take(&mut state.fail_append) {
            return Err(io::Error::other("no space left"));
        }
        let done = self.disk.step(&mut state)?;
        let file = state.files.get_mut(&self.name).expect("an owned log stays");
        file.extend_from_slice(&bytes[..bytes.len() * done / 100]);
        if state.off { Err(io::Error::other("the power fails")) } else { Ok(()) }
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.disk.state().owned.remove(&self.name);
    }
}
