//! Faults: what a test does to the network, to replicas and to their disks.

use super::Cluster;
use super::event::Event;
use super::network::{Fate, Packet};
use super::node::{Held, Loss, Mask};
use crate::adversary::Attack;
use varangian_consensus::{Ignored, Input, Message};
use varangian_crypto::ReplicaId;

impl Cluster {
    /// Decides about every message as it is sent; the first rule with an opinion wins. The rule's number is for
    /// [`Cluster::remove_rule`].
    pub fn add_rule(&mut self, rule: impl FnMut(&Packet) -> Option<Fate> + 'static) -> u64 {
        self.network.add_rule(Box::new(rule))
    }

    /// Loses every message that the predicate names, from now on.
    pub fn drop_when(&mut self, mut predicate: impl FnMut(&Packet) -> bool + 'static) -> u64 {
        self.add_rule(move |packet| predicate(packet).then_some(Fate::Drop))
    }

    /// Holds back every message that the predicate names, from now on.
    pub fn hold_when(&mut self, mut predicate: impl FnMut(&Packet) -> bool + 'static) -> u64 {
        self.add_rule(move |packet| predicate(packet).then_some(Fate::Hold))
    }

    /// Ends a rule.
    pub fn remove_rule(&mut self, rule: u64) {
        self.network.remove_rule(rule);
    }

    /// Ends all rules.
    pub fn clear_rules(&mut self) {
        self.network.clear_rules();
    }

    /// Messages that rules hold back.
    pub fn held(&self) -> impl Iterator<Item = &Packet> {
        self.network.held.iter()
    }

    /// Sends on all that rules hold back; how many that were.
    pub fn release_held(&mut self) -> usize {
        let held = std::mem::take(&mut self.network.held);
        let count = held.len();
        for packet in held {
            self.resend(packet);
        }
        count
    }

    /// Loses messages that are under way; how many that were.
    pub fn drop_in_flight(&mut self, mut predicate: impl FnMut(&Packet) -> bool) -> usize {
        let before = self.network.queue.len();
        self.network.queue.retain(|packet| !predicate(packet));
        before - self.network.queue.len()
    }

    /// Cuts the network into islands; replicas that are not named are on one together. What is under way between them is lost.
    pub fn partition(&mut self, islands: &[&[u16]]) {
        self.network.partition(islands);
    }

    /// Cuts one replica off.
    pub fn isolate(&mut self, id: u16) {
        self.partition(&[&[id]]);
    }

    /// Ends the partition: replicas that were cut off from each other connect again.
    pub fn heal(&mut self) {
        let ids = self.ids();
        let pairs: Vec<_> = ids.iter().flat_map(|one| ids.iter().map(|other| (*one, *other))).collect();
        let apart: Vec<_> = pairs.into_iter().filter(|(one, other)| !self.network.connected(*one, *other)).collect();
        self.network.partition(&[]);
        for (one, other) in apart {
            self.connect(one, other);
        }
    }

    /// Two replicas lose their connection and get a new one.
    pub fn reconnect(&mut self, one: u16, other: u16) {
        self.connect(ReplicaId(one), ReplicaId(other));
        self.connect(ReplicaId(other), ReplicaId(one));
    }

    /// A replica takes no input at all, messages wait for it, until [`Cluster::resume`].
    pub fn pause(&mut self, id: u16) {
        self.node_held(id).everything = true;
    }

    /// See [`Cluster::pause`].
    pub fn resume(&mut self, id: u16) {
        self.node_held(id).everything = false;
        self.drain(ReplicaId(id));
    }

    /// A replica stops, and loses what `loss` says.
    pub fn crash(&mut self, id: u16, loss: Loss) {
        let replica = ReplicaId(id);
        if loss.commit_lands {
            // On disk, and the runner never hears of it.
            self.nodes[replica.index()].runner = None;
            self.land(replica);
        }
        let node = &mut self.nodes[replica.index()];
        node.runner = None;
        node.pending = None;
        node.timers.clear();
        node.loopback.clear();
        node.work.clear();
        node.held = Held::default();
        node.reported = Default::default();
        if !loss.executions_stay {
            node.disk.lose_unsynced();
        }
        self.note(Event::Crashed(replica));
    }

    /// Starts a replica from its disk; it and its peers connect.
    pub fn restart(&mut self, id: u16) {
        let replica = ReplicaId(id);
        assert!(!self.is_up(id), "{replica} is up");
        let disk = self.disk(id);
        let (prefix, records) = (disk.prefix(), disk.records());
        self.note(Event::Restarted(replica));
        self.start(replica, prefix, records);
        for peer in self.ids() {
            if peer != replica {
                self.connect(replica, peer);
                self.connect(peer, replica);
            }
        }
    }

    /// A replica crashes when it has begun its group commit number `commit` (counted from 1 over all its lives).
    pub fn crash_at_commit(&mut self, id: u16, commit: u64, loss: Loss) {
        self.nodes[usize::from(id)].crash_at = Some((commit, loss));
    }

    /// Group commits of a replica take until [`Cluster::release_commit`].
    pub fn hold_commits(&mut self, id: u16, hold: bool) {
        self.node_held(id).commits = hold;
        self.drain(ReplicaId(id));
    }

    /// The group commit under way is on disk; whether there was one.
    pub fn release_commit(&mut self, id: u16) -> bool {
        let under_way = self.nodes[usize::from(id)].pending.is_some();
        self.land(ReplicaId(id));
        self.drain(ReplicaId(id));
        under_way
    }

    /// Executions of a replica take until [`Cluster::release_execution`].
    pub fn hold_executions(&mut self, id: u16, hold: bool) {
        self.node_held(id).executions = hold;
        self.drain(ReplicaId(id));
    }

    /// The application does one thing; whether there was one to do.
    pub fn release_execution(&mut self, id: u16) -> bool {
        let waits = !self.nodes[usize::from(id)].work.is_empty();
        self.work(ReplicaId(id));
        self.drain(ReplicaId(id));
        waits
    }

    /// A replica's own votes reach its own tallies only when this is ended: peers' messages overtake them.
    pub fn hold_own_votes(&mut self, id: u16, hold: bool) {
        self.node_held(id).own_votes = hold;
        self.drain(ReplicaId(id));
    }

    /// A replica may do anything from now on: checks no longer hold it to anything, and evidence may name it.
    pub fn mark_byzantine(&mut self, id: u16) {
        self.checks.byzantine.insert(ReplicaId(id));
    }

    /// A faulty replica: an honest core whose outgoing messages are rewritten by something that holds its key. Given a receiver and a message
    /// for it, the mask says what goes to whom instead.
    pub fn mask(&mut self, id: u16, mask: impl FnMut(ReplicaId, Message) -> Vec<(ReplicaId, Message)> + 'static) {
        self.mark_byzantine(id);
        let mask: Mask = Box::new(mask);
        self.nodes[usize::from(id)].mask = Some(mask);
    }

    /// A faulty replica out of the collection of [`adversary`](crate::adversary)s, from now on and after every restart.
    pub fn corrupt(&mut self, id: u16, attack: &Attack) {
        self.mark_byzantine(id);
        let (signer, committee) = (self.setup.signer(ReplicaId(id)).clone(), &self.setup.committee);
        let node = &mut self.nodes[usize::from(id)];
        node.attack = Some(*attack);
        if let Some(runner) = &mut node.runner {
            attack.corrupt(runner.io(), signer, committee);
        }
    }

    /// It says again what its core says; it stays marked as faulty.
    pub fn unmask(&mut self, id: u16) {
        self.nodes[usize::from(id)].mask = None;
    }

    fn node_held(&mut self, id: u16) -> &mut Held {
        &mut self.nodes[usize::from(id)].held
    }

    /// `one` learns that its connection to `other` is up, if both run and can reach each other.
    fn connect(&mut self, one: ReplicaId, other: ReplicaId) {
        let (a, b) = (&self.nodes[one.index()], &self.nodes[other.index()]);
        if a.takes_input() && b.runner.is_some() && self.network.connected(one, other) {
            let outcome = self.input(one.0, Input::Connected(other));
            assert!(matches!(outcome, Ok(()) | Err(Ignored::Stopped)), "{one} refuses a connection: {outcome:?}");
        }
    }
}
