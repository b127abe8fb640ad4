//! One replica of a cluster: its runner while it is up, its disk always, and what the test holds back.

use super::disk::Disk;
use super::io::NodeIo;
use crate::adversary::{Adversary, Attack};
use std::collections::{BTreeMap, VecDeque};
use varangian_consensus::{
    Alarm, Delivery, Evidence, Execution, Identity, Message, Millis, Phase, Record, Slot, Timer, View,
};
use varangian_crypto::ReplicaId;
use varangian_runner::{Runner, Token};

/// A kind of timer, whatever its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// A command waits for its order.
    Command,
    /// A NEW-VIEW is awaited.
    NewView,
    /// The status exchange.
    Status,
}

impl TimerKind {
    pub(crate) const fn of(timer: Timer) -> Self {
        match timer {
            Timer::Command(_) => Self::Command,
            Timer::NewView(_) => Self::NewView,
            Timer::Status(_) => Self::Status,
        }
    }
}

/// What a crash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The group commit that is under way reaches the disk all the same (what waits for it never happens).
    pub commit_lands: bool,
    /// Executions that were written and not synced stay.
    pub executions_stay: bool,
}

impl Loss {
    /// The machine loses power: whatever is not synced is gone.
    pub const POWER: Self = Self { commit_lands: false, executions_stay: false };
    /// The process is killed: what was written stays.
    pub const KILL: Self = Self { commit_lands: false, executions_stay: true };
    /// Power fails just after the sync, before anything that waited for it has happened.
    pub const AFTER_SYNC: Self = Self { commit_lands: true, executions_stay: true };
}

/// Rewrites what a faulty replica sends: what goes where instead.
pub type Mask = Box<dyn FnMut(ReplicaId, Message) -> Vec<(ReplicaId, Message)>>;

/// Work for the application, in order.
#[derive(Debug)]
pub(crate) enum Work {
    Execute(Execution),
    Reply(Identity),
}

/// What a test has asked to hold back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub commits: bool,
    pub executions: bool,
    pub own_votes: bool,
    pub everything: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Node {
    pub runner: Option<Runner<Adversary<NodeIo>>>,
    /// What stands between its core and its shell, in all its lives.
    pub attack: Option<Attack>,
    pub disk: Disk,
    pub timers: BTreeMap<TimerKind, (Timer, Millis)>,
    pub loopback: VecDeque<Delivery>,
    pub pending: Option<(Vec<Record>, Token)>,
    pub work: VecDeque<Work>,
    pub held: Held,
    /// Group commits begun, over all lives.
    pub commits: u64,
    pub crash_at: Option<(u64, Loss)>,
    pub mask: Option<Mask>,
    pub alarms: Vec<Alarm>,
    pub evidence: Vec<Evidence>,
    /// View, phase and stable checkpoint as last reported.
    pub reported: (View, Option<Phase>, Slot),
}

impl Node {
    pub const fn takes_input(&self) -> bool {
        self.runner.is_some() && !self.held.everything
    }
}
