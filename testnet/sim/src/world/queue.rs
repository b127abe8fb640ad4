//! What happens when: by time, and among equals by who came first.

use super::Micros;
use super::net::Packet;
use crate::cluster::disk::Answer;
use crate::cluster::node::TimerKind;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use varangian_consensus::{Command, Delivery, Identity, Sequence, Timer, View};
use varangian_crypto::ReplicaId;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Happening {
    Arrives(Packet),
    Connect {
        one: usize,
        other: usize,
    },
    Unclog {
        from: usize,
        to: usize,
    },
    /// Inside of one life of a replica.
    Inside {
        node: usize,
        life: u32,
        what: Inside,
    },
    Crash {
        node: usize,
        life: u32,
        power: bool,
        down: Micros,
    },
    Restart {
        node: usize,
        life: u32,
    },
    Resume {
        node: usize,
        life: u32,
    },
    Heals {
        from: u64,
        to: u64,
        both_ways: bool,
    },
    Fault(usize),
    EdgeEnds(usize),
    /// All that a replica sends is clogged.
    Clogs {
        from: usize,
        during: Micros,
    },
    Act(usize),
    Request {
        client: u8,
        node: usize,
        command: Command,
    },
    Reply {
        replica: ReplicaId,
        view: View,
        identity: Identity,
        answer: Answer,
    },
    Retry {
        client: u8,
        sequence: Sequence,
        attempt: u32,
    },
    Heal,
    Look,
    /// The script may have something to do.
    Cue,
    /// A link changes by itself.
    Weather(usize),
    /// A client has paused long enough.
    Next {
        client: u8,
    },
}

/// Something that happens inside of a replica, if it still lives.
#[derive(Debug)]
pub(super) enum Inside {
    /// Inputs have waited long enough.
    Turn,
    /// The group commit is on disk.
    Synced,
    /// And the mark that says so.
    Marked,
    /// The application is done with the first thing it has to do.
    Worked,
    /// A timer runs out.
    Timer(TimerKind, Timer),
    /// Something of its own comes back to the core.
    Own(Box<Delivery>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    now: Micros,
    order: BinaryHeap<Reverse<(Micros, u64)>>,
    waiting: BTreeMap<u64, Happening>,
    next: u64,
}

impl Queue {
    pub const fn now(&self) -> Micros {
        self.now
    }

    /// At a time; at once, if that is over.
    pub fn push(&mut self, at: Micros, happening: Happening) {
        self.next += 1;
        self.order.push(Reverse((at.max(self.now), self.next)));
        self.waiting.insert(self.next, happening);
    }

    pub fn after(&mut self, delay: Micros, happening: Happening) {
        self.push(self.now + delay, happening);
    }

    /// The next thing; time moves to it.
    pub fn pop(&mut self) -> Option<Happening> {
        let Reverse((at, number)) = self.order.pop()?;
        self.now = at;
        self.waiting.remove(&number)
    }
}
