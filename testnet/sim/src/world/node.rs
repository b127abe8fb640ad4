//! A replica of a world: its runner while it lives, its disk always, its clock.

use super::Micros;
use super::plan::Machine;
use super::queue::Inside;
use crate::adversary::{Adversary, Attack, Strikes};
use crate::cluster::disk::Disk;
use crate::cluster::io::NodeIo;
use crate::cluster::node::{TimerKind, Work};
use std::collections::{BTreeMap, VecDeque};
use varangian_consensus::{Input, Millis, Phase, Record, Slot, Timer, View};
use varangian_crypto::ReplicaId;
use varangian_runner::{Runner, Token};

use super::fault::Moment;

/// How far a group commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Syncing,
    Marking,
}

/// A group commit that is under way.
#[derive(Debug)]
pub(super) struct Commit {
    pub records: Vec<Record>,
    pub token: Token,
    pub stage: Stage,
}

/// A crash that waits for a group commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doom {
    /// Which one; [`UNKNOWN`](Self::UNKNOWN) until it is written.
    pub commit: u64,
    pub moment: Moment,
    pub power: bool,
    pub down: Micros,
}

impl Doom {
    /// No group commit has this number.
    pub const UNKNOWN: u64 = u64::MAX;
}

/// See the module.
pub(super) struct Node {
    /// Twins share one.
    pub id: ReplicaId,
    pub machine: Machine,
    pub attacks: Vec<Attack>,
    /// What its attacks came to in earlier lives.
    past: BTreeMap<String, Strikes>,
    /// It behaves for now.
    pub asleep: bool,
    /// What it sends is damaged, so often in a million.
    pub garbles: u64,
    /// Peers that hear it, a bit each: all, but for twins.
    pub hears: u64,
    pub runner: Option<Runner<Adversary<NodeIo>>>,
    pub disk: Disk,
    /// Counts lives: what was under way in an earlier one never happens.
    pub life: u32,
    pub paused: bool,
    /// What happened inside while it stood still.
    pub missed: Vec<Inside>,
    /// Its store refuses to open: it never runs again.
    pub refused: bool,
    /// Damage that the next start must notice.
    pub rotten: bool,
    /// Nothing more can be written.
    pub full: bool,
    /// Synced group commits, by the mark and by the log.
    pub mark: u64,
    pub turns: u64,
    pub inbox: VecDeque<Input>,
    pub turn_due: bool,
    pub commit: Option<Commit>,
    pub commits: u64,
    pub doom: Vec<Doom>,
    pub work: VecDeque<Work>,
    pub working: bool,
    /// The application is done and waits for a sync to end before it writes.
    pub waits_to_write: bool,
    pub timers: BTreeMap<TimerKind, Timer>,
    /// As last looked at.
    pub seen: Seen,
}

/// What was seen of a replica last, for telling what is new.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub view: View,
    pub changing: bool,
    pub stable: Slot,
    pub shortfalls: u64,
}

impl Node {
    pub fn new(id: ReplicaId, machine: Machine) -> Self {
        Self {
            id,
            machine,
            attacks: Vec::new(),
            past: BTreeMap::new(),
            asleep: false,
            garbles: 0,
            hears: u64::MAX,
            runner: None,
            disk: Disk::default(),
            life: 0,
            paused: false,
            missed: Vec::new(),
            refused: false,
            rotten: false,
            full: false,
            mark: 0,
            turns: 0,
            inbox: VecDeque::new(),
            turn_due: false,
            commit: None,
            commits: 0,
            doom: Vec::new(),
            work: VecDeque::new(),
            working: false,
            waits_to_write: false,
            timers: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    pub const fn lives(&self) -> bool {
        self.runner.is_some()
    }

    /// What its clock shows, in milliseconds.
    pub const fn clock(&self, now: Micros) -> Millis {
        (now as u128 * self.machine.tick as u128 / 1_000_000_000) as Millis
    }

    /// True time until its clock has moved by so much.
    pub const fn until(&self, after: Millis) -> Micros {
        (after as u128 * 1_000_000_000 / self.machine.tick as u128) as Micros + 1
    }

    /// It lives, and takes part in its view or waits for the next.
    pub fn is_changing(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| runner.replica().phase() == Phase::Changing)
    }

    /// What each of its attacks has come to in all its lives.
    pub fn strikes(&mut self) -> BTreeMap<String, Strikes> {
        let mut strikes = self.past.clone();
        for attack in &self.attacks {
            strikes.entry(attack.to_string()).or_default();
        }
        if let Some(runner) = &mut self.runner {
            for (attack, more) in self.attacks.iter().zip(runner.io().strikes()) {
                strikes.entry(attack.to_string()).or_default().extend(more);
            }
        }
        strikes
    }

    /// Everything that only memory held is gone.
    pub fn forget(&mut self) {
        self.past = self.strikes();
        self.runner = None;
        self.life += 1;
        self.paused = false;
        self.missed.clear();
        self.inbox.clear();
        self.turn_due = false;
        self.commit = None;
        self.work.clear();
        self.working = false;
        self.waits_to_write = false;
        self.timers.clear();
        self.doom.clear();
        self.seen = Seen::default();
    }
}
