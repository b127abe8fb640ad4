//! A cluster in memory: production [`Runner`]s with real keys; network, disks, time and faults in the hands of a test.
//!
//! ```
//! use varangian_sim::{Cluster, Loss, Options, TimerKind};
//!
//! let mut cluster = Cluster::new(&Options::default());        // four replicas, clients a, b, c
//! let command = cluster.setup.command(0, 1, &["put color blue"]);
//! cluster.submit(0, &command).unwrap();                       // to r0, the primary of view 0
//! cluster.deliver_all();                                      // every message, first in, first out
//! assert!(cluster.accepted(&command.identity()).is_some());   // f + 1 equal replies
//!
//! cluster.crash(0, Loss::POWER);                              // a silent primary
//! let command = cluster.setup.command(0, 2, &["put color red"]);
//! for backup in 1..4 {
//!     cluster.submit(backup, &command).unwrap();
//! }
//! cluster.fire_timer(1, TimerKind::Command);                  // by hand, or let time pass:
//! assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 1000));
//! cluster.restart(0);
//! ```
//!
//! - [`setup`]: genesis, keys, commands; secrets of all, so a test can forge what faulty replicas would sign ([`Cluster::inject`]).
//! - [`network`]: messages under way are encoded, decoded and proved on delivery. [`Cluster::add_rule`] decides about each as it is
//!   sent; [`Cluster::drop_in_flight`] about those under way; [`Cluster::partition`] and [`Cluster::heal`].
//! - [`disk`]: what survives. By default a group commit succeeds at once; see [`Cluster::hold_commits`], [`Cluster::crash_at_commit`].
//! - [`checks`](crate::checks): run by themselves, after everything that happens: agreement, equal states, no two votes for one place, durable before sent,
//!   evidence against nobody honest, each replica's own invariants. Say who may be faulty by [`Cluster::mark_byzantine`], and let a
//!   replica lie by [`Cluster::mask`].
//! - [`event`]: what happened, in words. [`Cluster::events`] has the last ones; a failed check prints them.
//!
//! Time is a number. It moves by [`Cluster::advance`] (timers only), [`Cluster::run_for`] (messages before timers) and
//! [`Cluster::step`] (a message if there is one, else the next timer). Everything is deterministic.

#![allow(clippy::expect_used, clippy::panic, reason = "a harness reports by panicking")]

pub mod disk;
pub mod event;
pub mod network;
pub mod setup;

mod control;
mod drive;
pub(crate) mod io;
pub(crate) mod node;
mod replies;

pub use crate::checks::Checks;
pub use disk::{Answer, Disk, ExecutedSlot};
pub use event::Event;
pub use network::{Fate, Packet, Refusal, Rule};
pub use node::{Loss, Mask, TimerKind};
pub use setup::{Options, Setup};

use network::Network;
use node::Node;
use std::collections::{BTreeMap, VecDeque};
use varangian_consensus::{Alarm, Evidence, Executed, Identity, Millis, Replica, Slot};
use varangian_crypto::{Digest, ReplicaId};

/// Events that are remembered.
const EVENTS: usize = 20_000;
/// Steps after which [`Cluster::deliver_all`] says that messages breed.
const STEPS: usize = 200_000;

/// See the module.
pub struct Cluster {
    /// Genesis and all keys.
    pub setup: Setup,
    /// What honest replicas ever said and did.
    pub checks: Checks,
    /// Whether alarms of honest replicas are part of the test; otherwise one fails it.
    pub expect_alarms: bool,
    nodes: Vec<Node>,
    network: Network,
    now: Millis,
    events: VecDeque<Event>,
    /// With the time at which the client hears them.
    replies: BTreeMap<Identity, BTreeMap<ReplicaId, (Millis, Answer)>>,
}

impl Cluster {
    /// Replicas with empty disks, all up, nothing under way, time 0.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let setup = Setup::new(options);
        let mut cluster = Self {
            checks: Checks::new(&setup),
            setup,
            expect_alarms: false,
            nodes: (0..options.n).map(|_| Node::default()).collect(),
            network: Network::default(),
            now: 0,
            events: VecDeque::new(),
            replies: BTreeMap::new(),
        };
        for id in cluster.ids() {
            cluster.start(id, Executed::default(), Vec::new());
        }
        cluster
    }

    /// All replicas.
    #[must_use]
    pub fn ids(&self) -> Vec<ReplicaId> {
        self.setup.committee.quorums().replicas().collect()
    }

    /// Milliseconds since the start.
    #[must_use]
    pub const fn now(&self) -> Millis {
        self.now
    }

    /// Whether a replica is running.
    #[must_use]
    pub fn is_up(&self, id: u16) -> bool {
        self.nodes[usize::from(id)].runner.is_some()
    }

    /// The core of a running replica.
    #[must_use]
    pub fn replica(&self, id: u16) -> &Replica {
        self.nodes[usize::from(id)].runner.as_ref().unwrap_or_else(|| panic!("r{id} is down")).replica()
    }

    /// The disk of a replica, running or not.
    #[must_use]
    pub fn disk(&self, id: u16) -> &Disk {
        &self.nodes[usize::from(id)].disk
    }

    /// The same, to damage it or to make it forget.
    pub fn disk_mut(&mut self, id: u16) -> &mut Disk {
        &mut self.nodes[usize::from(id)].disk
    }

    /// The last slot that a running replica has executed.
    #[must_use]
    pub fn executed(&self, id: u16) -> Slot {
        self.replica(id).executed()
    }

    /// The digest of the batch that a replica executed in `slot`.
    #[must_use]
    pub fn batch_at(&self, id: u16, slot: u64) -> Option<Digest> {
        let place = usize::try_from(slot.checked_sub(1)?).ok()?;
        self.disk(id).executed().get(place).map(|done| done.certificate.statement.digest)
    }

    /// Who replied to a command, and what.
    #[must_use]
    pub fn replies(&self, identity: &Identity) -> BTreeMap<ReplicaId, Answer> {
        let said = self.replies.get(identity).into_iter().flatten();
        let heard = said.filter(|(_, (at, _))| *at <= self.now);
        heard.map(|(id, (_, answer))| (*id, answer.clone())).collect()
    }

    /// What the command's client accepts: an answer that `f + 1` replicas gave alike (§4.1).
    #[must_use]
    pub fn accepted(&self, identity: &Identity) -> Option<Answer> {
        let replies = self.replies(identity);
        let weak = self.setup.committee.quorums().weak();
        replies.values().find(|answer| replies.values().filter(|other| other == answer).count() >= weak).cloned()
    }

    /// Alarms that a replica has raised.
    #[must_use]
    pub fn alarms(&self, id: u16) -> &[Alarm] {
        &self.nodes[usize::from(id)].alarms
    }

    /// Evidence that a replica has told of, over all its lives.
    #[must_use]
    pub fn evidence(&self, id: u16) -> &[Evidence] {
        &self.nodes[usize::from(id)].evidence
    }

    /// The last events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Takes the events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// The last `count` events, a line each.
    #[must_use]
    pub fn story(&self, count: usize) -> String {
        let skipped = self.events.len().saturating_sub(count);
        self.events.iter().skip(skipped).map(|event| event.describe(&self.setup) + "\n").collect()
    }

    /// Group commits that a replica has begun, over all its lives.
    #[must_use]
    pub fn commits(&self, id: u16) -> u64 {
        self.nodes[usize::from(id)].commits
    }

    /// Replicas that are up, not paused, not stopped and not said to be faulty.
    #[must_use]
    pub fn honest(&self) -> Vec<u16> {
        let running = |id: &ReplicaId| {
            let node = &self.nodes[id.index()];
            node.takes_input() && node.runner.as_ref().is_some_and(|runner| runner.replica().stopped().is_none())
        };
        self.ids().into_iter().filter(|id| running(id) && !self.checks.byzantine.contains(id)).map(|id| id.0).collect()
    }

    /// Whether all [`Cluster::honest`] replicas have executed the same slots, hold no command, and nothing is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let honest = self.honest();
        let first = honest.first().map(|id| self.executed(*id));
        let same = honest.iter().all(|id| Some(self.executed(*id)) == first && self.replica(*id).pool().is_empty());
        same && self.network.queue.is_empty()
    }

    fn note(&mut self, event: Event) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Drop for Cluster {
    /// A failed test shows how it came to that.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the last events of the cluster ---\n{}", self.story(60));
        }
    }
}
