//! A few replicas behind shells whose disks a test holds in its hands, and a check that looks at every call of a runner.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../../../consensus/tests/core/properties_support/mod.rs"]
pub mod world;

pub mod mutants;

use std::collections::{BTreeMap, VecDeque};
use varangian_consensus::{
    Alarm, Config, Delivery, Effect, Evidence, Executed, Execution, Identity, Input, Message, Millis, Record, Replica,
    Slot, Timer, View, Vote,
};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Runner, Token};
use world::{World, sign, state_of};

/// What runs effects: the production runner, or a broken copy of it.
pub trait Drive: Sized {
    fn start(config: Config, executed: Executed, records: Vec<Record>, io: Shell) -> Self;
    fn step(&mut self, now: Millis, input: Input);
    fn run(&mut self);
    fn persisted(&mut self, token: Token);
    fn replica(&self) -> &Replica;
    fn shell(&mut self) -> &mut Shell;
}

impl Drive for Runner<Shell> {
    fn start(config: Config, executed: Executed, records: Vec<Record>, io: Shell) -> Self {
        Self::start(config, 0, executed, records, io).unwrap()
    }

    fn step(&mut self, now: Millis, input: Input) {
        // Ignoring is an outcome like any other.
        Self::step(self, now, input).ok();
    }

    fn run(&mut self) {
        Self::run(self);
    }

    fn persisted(&mut self, token: Token) {
        Self::persisted(self, token);
    }

    fn replica(&self) -> &Replica {
        Self::replica(self)
    }

    fn shell(&mut self) -> &mut Shell {
        self.io()
    }
}

/// The shell of one replica. What the core wanted, in order, is told to it beforehand by a shadow of the core; every call of the
/// runner is held against that.
#[derive(Debug, Default)]
pub struct Shell {
    /// The shadow's effects, and which of them have happened: a `Persist` when its group is reported.
    wanted: Vec<(Effect, bool)>,
    /// The next effect that is no `Persist`.
    next: usize,
    /// The next `Persist` that has not been handed over.
    next_record: usize,
    /// The group under way, and how far its records reach in `wanted`.
    pub pending: Option<(Token, Vec<Record>, usize)>,
    /// What is on disk.
    pub disk: Vec<Record>,
    pub executed: Executed,
    pub groups: u64,
    pub largest: usize,
    /// What the runner did and must not.
    pub violations: Vec<String>,
    pub votes: Vec<Vote>,
    pub out: VecDeque<(Option<ReplicaId>, Message)>,
    pub executions: VecDeque<Execution>,
    pub decided: Vec<Execution>,
    pub asked: Vec<(ReplicaId, Slot, Slot)>,
    pub bodies: Vec<(ReplicaId, Slot, Digest)>,
    pub timers: BTreeMap<u8, Timer>,
    pub tokens: Vec<Token>,
}

impl Shell {
    pub fn expect(&mut self, effects: Vec<Effect>) {
        self.wanted.extend(effects.into_iter().map(|effect| (effect, false)));
    }

    fn is_persist(&self, place: usize) -> bool {
        matches!(self.wanted.get(place), Some((Effect::Persist(_), _)))
    }

    /// An effect that is no `Persist`: it is the next one, and every `Persist` before it is on disk and reported.
    fn call(&mut self, effect: Effect) {
        while self.is_persist(self.next) {
            self.next += 1;
        }
        match self.wanted.get(self.next) {
            Some((wanted, _)) if *wanted == effect => {}
            wanted => self.violations.push(format!("out of order: {effect:?} instead of {wanted:?}")),
        }
        let open =
            self.wanted[..self.next].iter().find(|(earlier, done)| matches!(earlier, Effect::Persist(_)) && !done);
        if let Some((open, _)) = open {
            self.violations.push(format!("{effect:?} leaves before {open:?} is durable"));
        }
        if let Some(slot) = self.wanted.get_mut(self.next) {
            slot.1 = true;
        }
        self.next += 1;
    }

    /// The group under way is on disk, and is about to be reported.
    pub fn land(&mut self) -> Option<Token> {
        let (token, records, reach) = self.pending.take()?;
        self.disk.extend(records);
        for (effect, done) in &mut self.wanted[..reach] {
            *done |= matches!(effect, Effect::Persist(_));
        }
        Some(token)
    }

    /// Whether everything that the core wanted has happened.
    pub fn is_idle(&self) -> bool {
        self.pending.is_none() && self.wanted.iter().all(|(_, done)| *done)
    }
}

impl Io for Shell {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        if self.pending.is_some() {
            self.violations.push("a group commit begins while another is under way".into());
        }
        if self.tokens.last().is_some_and(|last| *last >= token) {
            self.violations.push("tokens do not rise".into());
        }
        self.tokens.push(token);
        for record in &records {
            while self.next_record < self.wanted.len() && !self.is_persist(self.next_record) {
                self.next_record += 1;
            }
            match self.wanted.get(self.next_record) {
                Some((Effect::Persist(wanted), _)) if wanted == record => {}
                wanted => self.violations.push(format!("another record: {record:?} instead of {wanted:?}")),
            }
            self.next_record += 1;
        }
        self.groups += 1;
        self.largest = self.largest.max(records.len());
        self.pending = Some((token, records, self.next_record.min(self.wanted.len())));
    }

    fn vote(&mut self, vote: Vote) {
        self.call(Effect::Vote(vote.clone()));
        self.votes.push(vote);
    }

    fn deliver(&mut self, _: Delivery) {
        self.violations.push("no effect asks for this".into());
    }

    fn broadcast(&mut self, message: Message) {
        self.call(Effect::Broadcast(message.clone()));
        self.out.push_back((None, message));
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.call(Effect::Send(to, message.clone()));
        self.out.push_back((Some(to), message));
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        self.call(Effect::SendBatch { to, slot, digest });
        self.bodies.push((to, slot, digest));
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.call(Effect::SendDecided { to, from: first, last });
        self.asked.push((to, first, last));
    }

    fn execute(&mut self, execution: Execution) {
        self.call(Effect::Execute(execution.clone()));
        self.executions.push_back(execution);
    }

    fn reply(&mut self, identity: Identity) {
        self.call(Effect::Reply(identity));
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.call(Effect::SetTimer(timer, after));
        let kind = match timer {
            Timer::Command(_) => 0,
            Timer::NewView(_) => 1,
            Timer::Status(_) => 2,
        };
        self.timers.insert(kind, timer);
    }

    fn accuse(&mut self, evidence: Evidence) {
        self.call(Effect::Accuse(evidence));
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.call(Effect::Alarm(alarm));
    }
}

/// What a disk does with a group commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is on disk and reported.
    None,
    /// It never ends: the disk fails. The replica does nothing more.
    Fails,
    /// It is lost, and the replica with it.
    CrashBefore,
    /// It is on disk, and the replica crashes before it hears of it.
    CrashAfter,
}

/// One replica: its runner while it is up, its core's shadow, its disk.
struct Node<D> {
    drive: D,
    shadow: Replica,
    halted: bool,
}

/// Replicas and a network without loss.
pub struct Net<'a, D> {
    world: &'a World,
    nodes: Vec<Node<D>>,
    inbox: VecDeque<(u16, Input)>,
    now: Millis,
    /// All votes that ever left, restarts included.
    signed: BTreeMap<(u16, &'static str, View, Slot), Digest>,
    /// What happens at which group commit of whom.
    pub fault: Option<(u16, u64, Fault)>,
    pub visited: u64,
    /// Whose messages are lost.
    pub mute: Option<u16>,
    /// Group commits wait for so many turns of everybody else.
    pub delay: bool,
    pub violations: Vec<String>,
    groups: BTreeMap<u16, u64>,
    pub decided: BTreeMap<Slot, Digest>,
}

impl<'a, D: Drive> Net<'a, D> {
    pub fn new(world: &'a World) -> Self {
        let nodes = (0..world.n()).map(|id| Self::boot(world, id, Executed::default(), Vec::new())).collect();
        Self {
            world,
            nodes,
            inbox: VecDeque::new(),
            now: 0,
            signed: BTreeMap::new(),
            fault: None,
            visited: 0,
            mute: None,
            delay: false,
            violations: Vec::new(),
            groups: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    fn boot(world: &World, id: u16, executed: Executed, disk: Vec<Record>) -> Node<D> {
        let mut effects = Vec::new();
        let shadow = Replica::recover(world.config(id), 0, executed.clone(), disk.clone(), &mut effects).unwrap();
        let mut shell = Shell { executed: executed.clone(), disk: disk.clone(), ..Shell::default() };
        shell.expect(effects);
        Node { drive: D::start(world.config(id), executed, disk, shell), shadow, halted: false }
    }

    pub fn groups(&self, id: u16) -> u64 {
        self.groups.get(&id).copied().unwrap_or(0)
    }

    pub fn shell(&mut self, id: u16) -> &mut Shell {
        self.nodes[usize::from(id)].drive.shell()
    }

    pub fn executed(&self, id: u16) -> Slot {
        self.nodes[usize::from(id)].drive.replica().executed()
    }

    pub fn view(&self, id: u16) -> View {
        self.nodes[usize::from(id)].drive.replica().view()
    }

    pub fn is_halted(&self, id: u16) -> bool {
        self.nodes[usize::from(id)].halted
    }

    pub fn submit(&mut self, client: usize, sequence: u64) {
        for id in 0..self.world.n() {
            self.inbox.push_back((id, Input::Command(self.world.command(client, sequence))));
        }
    }

    /// Timers of a kind run out, everybody's.
    pub fn fire(&mut self, kind: u8) {
        self.now += 1_000_000;
        for id in 0..self.world.n() {
            if let Some(timer) = self.shell(id).timers.get(&kind).copied() {
                if matches!(timer, Timer::Command(_)) {
                    self.hear_all(id);
                }
                self.inbox.push_back((id, Input::Timeout(timer)));
            }
        }
    }

    /// All peers say that they stand where this replica does: it gives nobody up that would be alone without.
    fn hear_all(&mut self, id: u16) {
        let replica = self.nodes[usize::from(id)].drive.replica();
        if replica.is_behind() {
            return;
        }
        let status = replica.status().lacking_nothing();
        for peer in (0..self.world.n()).filter(|peer| *peer != id) {
            let delivery = Delivery::Status(status.clone());
            self.inbox.push_back((id, Input::Message { from: ReplicaId(peer), delivery }));
        }
    }

    /// Gives a replica an input, and its shadow the same.
    fn input(&mut self, id: u16, input: Input) {
        let now = self.now;
        let node = &mut self.nodes[usize::from(id)];
        if node.halted {
            return;
        }
        let mut effects = Vec::new();
        let _outcome = node.shadow.step(now, input.clone(), &mut effects);
        node.drive.shell().expect(effects);
        node.drive.step(now, input);
    }

    /// Runs until nothing is left to do. Inputs are given in turns: a few, then effects.
    pub fn run(&mut self) {
        loop {
            let mut busy = false;
            for _ in 0..5 {
                if let Some((id, input)) = self.inbox.pop_front() {
                    self.input(id, input);
                    busy = true;
                }
            }
            for id in 0..self.world.n() {
                if !self.nodes[usize::from(id)].halted {
                    self.nodes[usize::from(id)].drive.run();
                    busy |= self.collect(id);
                }
            }
            if !self.delay || !busy {
                for id in 0..self.world.n() {
                    busy |= self.disk(id);
                }
            }
            if !busy {
                return;
            }
        }
    }

    /// What a disk does next.
    fn disk(&mut self, id: u16) -> bool {
        if self.nodes[usize::from(id)].halted || self.shell(id).pending.is_none() {
            return false;
        }
        let count = self.groups.entry(id).or_default();
        *count += 1;
        let fault =
            self.fault.filter(|(who, at, _)| *who == id && *at == *count).map_or(Fault::None, |(.., fault)| fault);
        self.visited += u64::from(fault != Fault::None);
        match fault {
            Fault::None => {
                let token = self.shell(id).land().expect("a group is under way");
                self.nodes[usize::from(id)].drive.persisted(token);
                self.collect(id);
            }
            Fault::Fails => {
                self.halt(id);
            }
            Fault::CrashBefore => {
                self.shell(id).pending = None;
                self.restart(id);
            }
            Fault::CrashAfter => {
                self.shell(id).land();
                self.restart(id);
            }
        }
        true
    }

    fn halt(&mut self, id: u16) {
        self.collect(id);
        self.nodes[usize::from(id)].halted = true;
    }

    /// From the disk. What was on its way to it is lost.
    pub fn restart(&mut self, id: u16) {
        self.collect(id);
        self.inbox.retain(|(to, _)| *to != id);
        let shell = std::mem::take(self.shell(id));
        let mut decided = shell.decided;
        let mut node = Self::boot(self.world, id, shell.executed, shell.disk);
        node.drive.shell().decided.append(&mut decided);
        self.nodes[usize::from(id)] = node;
        for peer in (0..self.world.n()).filter(|peer| *peer != id) {
            self.inbox.push_back((id, Input::Connected(ReplicaId(peer))));
            self.inbox.push_back((peer, Input::Connected(ReplicaId(id))));
        }
    }

    /// Hands on what a shell was told to do; whether there was anything.
    fn collect(&mut self, id: u16) -> bool {
        let world = self.world;
        let shell = self.nodes[usize::from(id)].drive.shell();
        self.violations.append(&mut shell.violations);
        let (votes, out) = (std::mem::take(&mut shell.votes), std::mem::take(&mut shell.out));
        let (executions, asked) = (std::mem::take(&mut shell.executions), std::mem::take(&mut shell.asked));
        let bodies = std::mem::take(&mut shell.bodies);
        let busy =
            !(votes.is_empty() && out.is_empty() && executions.is_empty() && asked.is_empty() && bodies.is_empty());
        for vote in votes {
            self.note(id, &vote);
            let (delivery, message) = sign(world.signer(id), vote);
            self.inbox.push_back((id, Input::Message { from: ReplicaId(id), delivery }));
            self.send(id, None, &message);
        }
        for (to, message) in out {
            self.send(id, to, &message);
        }
        for execution in executions {
            self.execute(id, execution);
        }
        for (to, first, last) in asked {
            for slot in first.0..=last.0 {
                let done = self.shell(id).decided.iter().find(|done| done.slot == Slot(slot)).cloned();
                let Execution { certificate, batch, .. } = done.expect("it is executed");
                self.send(id, Some(to), &Message::Decided { certificate, batch });
            }
        }
        for (to, slot, digest) in bodies {
            let found = self.shell(id).disk.iter().find_map(|record| match record {
                Record::Batch { batch, .. } if *batch.digest() == digest => Some(batch.clone()),
                _ => None,
            });
            self.send(id, Some(to), &Message::Batch { slot, batch: found.expect("it is durable") });
        }
        busy
    }

    fn execute(&mut self, id: u16, execution: Execution) {
        let state = execution.checkpoint.then(|| state_of(&execution.history));
        let first = *self.decided.entry(execution.slot).or_insert(execution.history);
        assert_eq!(first, execution.history, "FORK at slot {}", execution.slot);
        let shell = self.shell(id);
        shell.executed.slot = execution.slot;
        shell.executed.history = execution.history;
        shell.executed.certificate = Some(execution.certificate.clone());
        shell.executed.state = state;
        for (client, window) in &execution.windows {
            shell.executed.windows.retain(|(known, _)| known != client);
            shell.executed.windows.push((*client, window.clone()));
        }
        shell.decided.push(execution.clone());
        self.inbox.push_back((id, Input::Executed { slot: execution.slot, state }));
    }

    fn send(&mut self, from: u16, to: Option<ReplicaId>, message: &Message) {
        if self.mute == Some(from) {
            return;
        }
        let delivery = message.clone().verify(&self.world.committee).expect("honest messages prove themselves");
        for id in (0..self.world.n()).filter(|id| to.map_or(*id != from, |to| to.0 == *id)) {
            self.inbox.push_back((id, Input::Message { from: ReplicaId(from), delivery: delivery.clone() }));
        }
    }

    /// No key says two things at one place, restarts included.
    fn note(&mut self, id: u16, vote: &Vote) {
        let place = match vote {
            Vote::PrePrepare(vote) => Some(("pre-prepare", vote.view, vote.slot, vote.digest)),
            Vote::Prepare(vote) => Some(("prepare", vote.view, vote.slot, vote.digest)),
            Vote::Commit(vote) => Some(("commit", vote.view, vote.slot, vote.digest)),
            Vote::Checkpoint(vote) => Some(("checkpoint", View(0), vote.slot, vote.state)),
            Vote::ViewChange(_) | Vote::NewView(_) => None,
        };
        if let Some((kind, view, slot, digest)) = place {
            let first = *self.signed.entry((id, kind, view, slot)).or_insert(digest);
            if first != digest {
                self.violations.push(format!("r{id} signs two {kind}s for view {view}, slot {slot}"));
            }
        }
    }
}

/// As it arrives.
pub fn proved(message: Message, world: &World) -> Delivery {
    message.verify(&world.committee).expect("it proves itself")
}
