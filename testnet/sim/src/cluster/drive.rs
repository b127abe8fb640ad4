//! Moving a cluster: inputs to replicas, what they ask for done, time.

use super::event::Event;
use super::io::{Act, NodeIo};
use super::network::{Fate, Packet};
use super::node::{TimerKind, Work};
use super::{Cluster, STEPS};
use crate::adversary::Adversary;
use crate::checks::Held;
use std::sync::Arc;
use varangian_consensus::{Command, Delivery, Executed, Ignored, Input, Message, Millis, Record, Slot, Vote};
use varangian_crypto::{Digest, ReplicaId, Verify};
use varangian_runner::{Runner, sign};

impl Cluster {
    /// A client sends a command to one replica.
    ///
    /// # Errors
    /// [`Ignored`] as the replica says.
    pub fn submit(&mut self, to: u16, command: &Command) -> Result<(), Ignored> {
        let command = command.clone().verify(&self.setup.committee).expect("a valid command");
        if !self.hears_clients(ReplicaId(to)) {
            return Ok(());
        }
        self.input(to, Input::Command(command))
    }

    /// A client sends a command to every replica that takes input; none must refuse it, but one whose core was shown its own lies and has stopped.
    pub fn submit_to_all(&mut self, command: &Command) {
        for id in self.ids() {
            if self.nodes[id.index()].takes_input() {
                let outcome = self.submit(id.0, command);
                let taken = match outcome {
                    Ok(()) | Err(Ignored::Duplicate) => true,
                    Err(Ignored::Stopped) => self.nodes[id.index()].attack.is_some(),
                    Err(_) => false,
                };
                assert!(taken, "{id} refuses a command: {outcome:?}");
            }
        }
    }

    /// Gives a replica any input at all, and does what comes of it.
    ///
    /// # Errors
    /// [`Ignored`] as the replica says.
    pub fn input(&mut self, to: u16, input: Input) -> Result<(), Ignored> {
        let id = ReplicaId(to);
        let outcome = self.feed(id, input);
        self.drain(id);
        outcome
    }

    /// Sends a message in the name of `from`'s connection, signed by whoever signed it.
    pub fn inject(&mut self, from: u16, to: u16, message: Message) {
        self.post(ReplicaId(from), ReplicaId(to), message);
    }

    /// The same to all others.
    pub fn inject_to_all(&mut self, from: u16, message: &Message) {
        for to in self.ids() {
            if to.0 != from {
                self.post(ReplicaId(from), to, message.clone());
            }
        }
    }

    /// Messages under way, the oldest first.
    pub fn in_flight(&self) -> impl Iterator<Item = &Packet> {
        self.network.queue.iter()
    }

    /// Delivers the oldest message that can be delivered; `false` if there is none.
    pub fn deliver_one(&mut self) -> bool {
        let place = self.network.queue.iter().position(|packet| !self.nodes[packet.to.index()].held.everything);
        place.is_some_and(|place| self.deliver_at(place))
    }

    /// Delivers the message at a place of [`Cluster::in_flight`]; `false` if there is none, or its receiver is paused.
    pub fn deliver_at(&mut self, place: usize) -> bool {
        let Some(packet) = self.network.queue.get(place) else { return false };
        if self.nodes[packet.to.index()].held.everything {
            return false;
        }
        let Some(packet) = self.network.queue.remove(place) else { return false };
        self.hand_over(packet);
        true
    }

    /// Delivers everything, and what comes of it, first in, first out. How many messages that was.
    pub fn deliver_all(&mut self) -> usize {
        let mut count = 0;
        while self.deliver_one() {
            count += 1;
            assert!(count < STEPS, "messages breed messages without end");
        }
        count
    }

    /// When a replica's timer will run out, if it is set.
    #[must_use]
    pub fn timer(&self, id: u16, kind: TimerKind) -> Option<Millis> {
        self.nodes[usize::from(id)].timers.get(&kind).map(|(_, due)| *due)
    }

    /// A timer runs out now, whatever the time; says whether it was set. For a command's, all peers have just said that they stand where the replica does:
    /// it gives nobody up that would be alone without.
    pub fn fire_timer(&mut self, id: u16, kind: TimerKind) -> bool {
        if kind == TimerKind::Command && self.timer(id, kind).is_some() {
            self.hear_all(id);
        }
        self.run_out(id, kind)
    }

    fn run_out(&mut self, id: u16, kind: TimerKind) -> bool {
        let Some((timer, _)) = self.nodes[usize::from(id)].timers.remove(&kind) else { return false };
        self.note(Event::Fired(ReplicaId(id), kind));
        // One of an older generation is stale, and ignoring it is right.
        self.input(id, Input::Timeout(timer)).ok();
        true
    }

    fn hear_all(&mut self, id: u16) {
        if self.replica(id).is_behind() {
            return;
        }
        let status = self.replica(id).status().lacking_nothing();
        for peer in self.ids().into_iter().filter(|peer| peer.0 != id) {
            let delivery = Delivery::Status(status.clone());
            // One that spoke a moment ago has been heard.
            self.input(id, Input::Message { from: peer, delivery }).ok();
        }
    }

    /// The timer that runs out next, among replicas that run.
    #[must_use]
    pub fn next_timer(&self) -> Option<(Millis, u16, TimerKind)> {
        let running = self.ids().into_iter().filter(|id| self.nodes[id.index()].takes_input());
        let timers = running
            .flat_map(|id| self.nodes[id.index()].timers.iter().map(move |(kind, (_, due))| (*due, id.0, *kind)));
        timers.min()
    }

    /// Time passes: timers run out, in order; no message is delivered.
    pub fn advance(&mut self, by: Millis) {
        let until = self.now + by;
        while let Some((due, id, kind)) = self.next_timer().filter(|(due, ..)| *due <= until) {
            self.now = self.now.max(due);
            self.run_out(id, kind);
        }
        self.now = until;
    }

    /// Time passes, and timers are late: none runs out.
    pub const fn skip_to(&mut self, now: Millis) {
        if now > self.now {
            self.now = now;
        }
    }

    /// Time passes, and messages take none of it.
    pub fn run_for(&mut self, by: Millis) {
        let until = self.now + by;
        self.deliver_all();
        while let Some((due, id, kind)) = self.next_timer().filter(|(due, ..)| *due <= until) {
            self.now = self.now.max(due);
            self.run_out(id, kind);
            self.deliver_all();
        }
        self.now = until;
    }

    /// Delivers the oldest message, or if there is none lets time pass to the next timer; `false` if there is neither.
    pub fn step(&mut self) -> bool {
        if self.deliver_one() {
            return true;
        }
        let Some((due, id, kind)) = self.next_timer() else { return false };
        self.now = self.now.max(due);
        self.run_out(id, kind)
    }

    /// [`Cluster::step`] until something is true, `steps` times at most. Whether it became true.
    pub fn run_until(&mut self, mut until: impl FnMut(&Self) -> bool, steps: usize) -> bool {
        for _ in 0..steps {
            if until(self) {
                return true;
            }
            if !self.step() {
                break;
            }
        }
        until(self)
    }

    pub(super) fn start(&mut self, id: ReplicaId, executed: Executed, records: Vec<Record>) {
        let config = self.setup.config(id);
        let mut io = Adversary::honest(NodeIo::default());
        if let Some(attack) = self.nodes[id.index()].attack {
            attack.corrupt(&mut io, self.setup.signer(id).clone(), &self.setup.committee);
        }
        let runner = Runner::start(config, self.now, executed, records, io);
        self.nodes[id.index()].runner = Some(runner.unwrap_or_else(|error| panic!("{id} does not start: {error}")));
        self.drain(id);
    }

    pub(super) fn post(&mut self, from: ReplicaId, to: ReplicaId, message: Message) {
        let (packet, fate) = self.network.send(from, to, message);
        self.note(Event::Sent(packet, fate));
    }

    fn hand_over(&mut self, packet: Packet) {
        let id = packet.to;
        if self.nodes[id.index()].runner.is_none() {
            self.note(Event::Lost(packet, "nobody listens".into()));
            return;
        }
        match self.network.open(&packet, &self.setup.committee) {
            Ok(delivery) => {
                let outcome = self.feed(id, Input::Message { from: packet.from, delivery });
                self.note(Event::Delivered(packet, outcome));
                self.drain(id);
            }
            Err(refusal) => {
                let honest = !self.checks.byzantine.contains(&packet.from);
                assert!(!honest, "honest {} sent what proves nothing: {refusal:?} {:?}", packet.from, packet.message);
                self.note(Event::Lost(packet, format!("{refusal:?}")));
            }
        }
    }

    /// One step of the core; its effects wait for [`Cluster::drain`].
    fn feed(&mut self, id: ReplicaId, input: Input) -> Result<(), Ignored> {
        let runner = self.nodes[id.index()].runner.as_mut().unwrap_or_else(|| panic!("{id} is down"));
        let outcome = runner.step(self.now, input);
        runner.replica().invariants();
        runner.run();
        outcome
    }

    /// Does what the runner asks for, until it waits for something from outside.
    pub(super) fn drain(&mut self, id: ReplicaId) {
        loop {
            let node = &mut self.nodes[id.index()];
            let Some(runner) = node.runner.as_mut() else { return };
            if let Some(act) = runner.io().inner().acts.pop_front() {
                self.act(id, act);
            } else if node.pending.is_some() && !node.held.commits {
                self.land(id);
            } else if !node.work.is_empty() && !node.held.executions {
                self.work(id);
            } else if !node.loopback.is_empty() && !node.held.own_votes {
                let delivery = node.loopback.pop_front().expect("it is not empty");
                // An own vote of a view that is over is stale by now, and ignoring it is right.
                self.feed(id, Input::Message { from: id, delivery }).ok();
            } else {
                break;
            }
        }
        self.report(id);
    }

    /// Tells of a view entered or asked for, and of a checkpoint that became stable.
    fn report(&mut self, id: ReplicaId) {
        let node = &mut self.nodes[id.index()];
        let Some(runner) = &node.runner else { return };
        let replica = runner.replica();
        let (view, phase, stable) = (replica.view(), replica.phase(), replica.stable_slot());
        let (old_view, old_phase, old_stable) = std::mem::replace(&mut node.reported, (view, Some(phase), stable));
        let began = old_phase.is_none() && view.0 == 0;
        if (view, Some(phase)) != (old_view, old_phase) && !began {
            self.note(Event::View(id, view, phase));
        }
        if stable > old_stable {
            self.note(Event::Stable(id, stable));
        }
    }

    fn act(&mut self, id: ReplicaId, act: Act) {
        match act {
            Act::Persist(records, token) => self.begin_commit(id, records, token),
            Act::Vote(vote) => self.vote(id, vote),
            Act::Deliver(delivery) => self.nodes[id.index()].loopback.push_back(delivery),
            Act::Broadcast(message) => self.broadcast(id, &message),
            Act::Send(to, message) => self.emit(id, to, message),
            Act::SendBatch(to, slot, digest) => self.send_batch(id, to, slot, digest),
            Act::SendDecided(to, first, last) => self.send_decided(id, to, first, last),
            Act::Execute(execution) => self.nodes[id.index()].work.push_back(Work::Execute(execution)),
            Act::Reply(identity) => self.nodes[id.index()].work.push_back(Work::Reply(identity)),
            Act::SetTimer(timer, after) => {
                let due = self.now + after;
                self.nodes[id.index()].timers.insert(TimerKind::of(timer), (timer, due));
            }
            Act::Accuse(evidence) => {
                must(self.checks.accused(id, &evidence));
                self.nodes[id.index()].evidence.push(evidence.clone());
                self.note(Event::Accused(id, evidence));
            }
            Act::Alarm(alarm) => {
                let expected = self.expect_alarms || self.checks.byzantine.contains(&id);
                assert!(expected, "{id} raises an alarm: {alarm}");
                self.nodes[id.index()].alarms.push(alarm.clone());
                self.note(Event::Alarmed(id, alarm));
            }
        }
    }

    fn begin_commit(&mut self, id: ReplicaId, records: Vec<Record>, token: varangian_runner::Token) {
        self.answer_early(id, &records);
        let node = &mut self.nodes[id.index()];
        assert!(node.pending.is_none(), "{id} begins a group commit while another is under way");
        node.pending = Some((records, token));
        node.commits += 1;
        if let Some((at, loss)) = node.crash_at
            && at == node.commits
        {
            node.crash_at = None;
            self.crash(id.0, loss);
        }
    }

    /// The group commit that is under way reaches the disk.
    pub(super) fn land(&mut self, id: ReplicaId) {
        let node = &mut self.nodes[id.index()];
        let Some((records, token)) = node.pending.take() else { return };
        node.disk.commit(records.clone());
        must(self.checks.written(id, &records));
        self.note(Event::Persisted(id, records));
        if let Some(runner) = self.nodes[id.index()].runner.as_mut() {
            runner.persisted(token);
        }
    }

    fn vote(&mut self, id: ReplicaId, vote: Vote) {
        must(self.checks.voted(id, &vote));
        let (delivery, message) = sign(self.setup.signer(id), vote).expect("a vote of a legal size");
        self.nodes[id.index()].loopback.push_back(delivery);
        self.broadcast(id, &message);
    }

    fn broadcast(&mut self, id: ReplicaId, message: &Message) {
        for to in self.ids() {
            if to != id {
                self.emit(id, to, message.clone());
            }
        }
    }

    /// Sends a message, as the replica's mask would have it.
    fn emit(&mut self, id: ReplicaId, to: ReplicaId, message: Message) {
        assert!(to != id, "{id} sends itself a message");
        match &mut self.nodes[id.index()].mask {
            None => self.post(id, to, message),
            Some(mask) => {
                for (to, message) in mask(to, message) {
                    self.post(id, to, message);
                }
            }
        }
    }

    fn send_batch(&mut self, id: ReplicaId, to: ReplicaId, slot: Slot, digest: Digest) {
        let Some(batch) = self.nodes[id.index()].disk.batch(slot, &digest) else { return };
        if to == id {
            let batch: Arc<_> = batch;
            let batch = batch.verify(&self.setup.committee).expect("what was voted for is valid");
            self.nodes[id.index()].loopback.push_back(Delivery::Batch { slot, batch });
        } else {
            self.emit(id, to, Message::Batch { slot, batch });
        }
    }

    fn send_decided(&mut self, id: ReplicaId, to: ReplicaId, first: Slot, last: Slot) {
        for slot in first.0..=last.0 {
            let disk = &self.nodes[id.index()].disk;
            let message = match disk.decided(Slot(slot)) {
                Some(done) => Message::Decided { certificate: done.certificate.clone(), batch: done.batch.clone() },
                None if Slot(slot) < disk.oldest() => {
                    let oldest = disk.oldest();
                    self.emit(id, to, Message::Pruned { oldest });
                    return;
                }
                None => return,
            };
            self.emit(id, to, message);
        }
    }

    /// The application does the next thing.
    pub(super) fn work(&mut self, id: ReplicaId) {
        match self.nodes[id.index()].work.pop_front() {
            None => {}
            Some(Work::Reply(identity)) => {
                let answer = self.nodes[id.index()].disk.answer(&identity).expect("its outcome is known, so it ran");
                self.note(Event::Repeated(id, identity, answer.clone()));
                self.reply(id, identity, answer);
            }
            Some(Work::Execute(execution)) => {
                let slot = execution.slot;
                let node = &mut self.nodes[id.index()];
                let state = node.disk.execute(execution);
                let done = node.disk.executed().last().expect("just executed").clone();
                must(self.checks.executed(id, slot, &done));
                let answers: Vec<_> =
                    done.answers.into_iter().map(|(identity, _, answer)| (identity, answer)).collect();
                self.note(Event::Executed(id, slot, answers.clone()));
                for (identity, answer) in answers {
                    self.reply(id, identity, answer);
                }
                let outcome = self.feed(id, Input::Executed { slot, state });
                let stopped = self.replica(id.0).stopped().is_some();
                assert!(outcome.is_ok() || stopped, "{id} does not know its own execution of slot {slot}: {outcome:?}");
            }
        }
    }

    /// A packet that a rule held back sets out again.
    pub(super) fn resend(&mut self, packet: Packet) {
        if self.network.connected(packet.from, packet.to) {
            self.network.queue.push_back(packet);
        } else {
            self.note(Event::Sent(packet, Fate::Drop));
        }
    }
}

/// A failed check fails the test.
pub(super) fn must(held: Held) {
    if let Err(violation) = held {
        panic!("{violation}");
    }
}
