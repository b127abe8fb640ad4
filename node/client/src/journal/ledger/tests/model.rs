//! Random processes that begin, finish, stop, and lose power at random steps; and what must be true of any such run.

use super::super::super::disk::Disk;
use super::disk::{Crash, MemoryDisk};
use super::{Command, JournalError, Ledger, begin, open};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::Sequence;

const PROCESSES: usize = 3;

#[derive(Clone, Debug)]
enum Act {
    /// Process writes a command down; from then on it is sent.
    Begin(usize),
    /// Process learns the outcome of one of its commands.
    Finish(usize, usize),
    /// Process never sent one.
    Withdraw(usize, usize),
    /// Process takes over what others left, and finishes it.
    Recover(usize),
    /// Process ends cleanly.
    Close(usize),
    /// Process is killed.
    Kill(usize),
    /// The power fails so many steps later, that much into the step.
    Crash(usize, usize),
}

fn act() -> impl Strategy<Value = Act> {
    let process = 0..PROCESSES;
    prop_oneof![
        6 => process.clone().prop_map(Act::Begin),
        3 => (process.clone(), 0usize..8).prop_map(|(process, which)| Act::Finish(process, which)),
        1 => (process.clone(), 0usize..8).prop_map(|(process, which)| Act::Withdraw(process, which)),
        1 => process.clone().prop_map(Act::Recover),
        1 => process.clone().prop_map(Act::Close),
        1 => process.prop_map(Act::Kill),
        1 => (0usize..12, 0usize..=100).prop_map(|(step, done)| Act::Crash(step, done)),
    ]
}

#[derive(Default)]
struct Model {
    disk: MemoryDisk,
    processes: [Option<Ledger<MemoryDisk>>; PROCESSES],
    /// What each process has on its way.
    outstanding: [BTreeSet<Sequence>; PROCESSES],
    /// Every command that may have been sent.
    sent: BTreeMap<Sequence, Bytes>,
    /// Those with an outcome.
    finished: BTreeSet<Sequence>,
    /// Those of which nobody must ever hear again.
    withdrawn: BTreeSet<Sequence>,
}

impl Model {
    fn act(&mut self, act: &Act) {
        match *act {
            Act::Begin(process) => {
                if let Some(command) = self.on(process, begin) {
                    let Model { sent, outstanding, .. } = self;
                    let bytes = command.encoded().clone();
                    assert!(sent.insert(command.sequence(), bytes).is_none(), "{} is used twice", command.sequence());
                    outstanding[process].insert(command.sequence());
                }
            }
            Act::Finish(process, which) => {
                if let Some(sequence) = self.pick(process, which) {
                    self.finished.insert(sequence);
                    self.on(process, |ledger| ledger.finish(sequence));
                }
            }
            Act::Withdraw(process, which) => {
                if let Some(sequence) = self.pick(process, which) {
                    // If it fails nobody was told that it was withdrawn: it may be back, or not.
                    let told = self.on(process, |ledger| ledger.withdraw(sequence)).is_some();
                    if told { &mut self.withdrawn } else { &mut self.finished }.insert(sequence);
                }
            }
            Act::Recover(process) => self.recover(process),
            Act::Close(process) => {
                self.on(process, Ledger::close);
                self.end(process);
            }
            Act::Kill(process) => self.end(process),
            Act::Crash(step, done) => self.disk.crash(Crash { step, done }),
        }
        if self.disk.is_off() {
            (0..PROCESSES).for_each(|process| self.end(process));
            self.disk.restart();
        }
    }

    /// Lets a process, started if need be, do something that the power may interrupt.
    fn on<T>(
        &mut self,
        process: usize,
        what: impl FnOnce(&mut Ledger<MemoryDisk>) -> Result<T, JournalError>,
    ) -> Option<T> {
        let disk = self.disk.clone();
        let outcome = match &mut self.processes[process] {
            Some(ledger) => what(ledger),
            place => open(&disk).and_then(|(ledger, _)| what(place.insert(ledger))),
        };
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(self.disk.is_off(), "{error}");
                None
            }
        }
    }

    fn pick(&mut self, process: usize, which: usize) -> Option<Sequence> {
        let outstanding = &mut self.outstanding[process];
        let sequence = *outstanding.iter().nth(which)?;
        outstanding.remove(&sequence);
        Some(sequence)
    }

    fn recover(&mut self, process: usize) {
        let Some(found) = self.on(process, Ledger::adopt) else { return };
        self.check(&found);
        let own = self.outstanding[process].clone();
        for sequence in found.into_keys().filter(|sequence| !own.contains(sequence)) {
            self.finished.insert(sequence);
            if self.on(process, |ledger| ledger.finish(sequence)).is_none() {
                return;
            }
        }
    }

    /// What is found was sent, or was about to be; it has the exact bytes; it was not withdrawn.
    fn check(&self, found: &BTreeMap<Sequence, Bytes>) {
        for (sequence, bytes) in found {
            assert!(!self.withdrawn.contains(sequence), "{sequence} was withdrawn and is back");
            if let Some(sent) = self.sent.get(sequence) {
                assert_eq!(sent, bytes, "{sequence} has other bytes than were sent");
            }
            assert_eq!(Command::decode(bytes.clone()).unwrap().sequence(), *sequence);
        }
    }

    fn end(&mut self, process: usize) {
        self.processes[process] = None;
        self.outstanding[process].clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn no_number_is_used_twice_and_nothing_sent_is_forgotten(acts in prop::collection::vec(act(), 1..60)) {
        let mut model = Model::default();
        for act in &acts {
            model.act(act);
        }
        (0..PROCESSES).for_each(|process| model.end(process));
        model.disk.restart();
        let (mut last, left) = open(&model.disk).unwrap();
        let found = last.adopt().unwrap();
        prop_assert_eq!(found.len(), left);
        model.check(&found);
        for sequence in model.sent.keys() {
            let known = model.finished.contains(sequence) || model.withdrawn.contains(sequence) || found.contains_key(sequence);
            prop_assert!(known, "{} was sent and is forgotten", sequence);
        }
        let next = begin(&mut last).unwrap().sequence();
        prop_assert!(model.sent.last_key_value().is_none_or(|(highest, _)| next > *highest));
        prop_assert!(found.last_key_value().is_none_or(|(highest, _)| next > *highest));
        for sequence in found.into_keys().chain([next]) {
            last.finish(sequence).unwrap();
        }
        last.close().unwrap();
        prop_assert_eq!(model.disk.logs().unwrap(), Vec::<String>::new());
    }
}
