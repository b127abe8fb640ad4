//! A failed step changes nothing: after every `Err` the replica equals its clone from before, and no effect was added.
//!
//! Replicas are driven by a scheduler that loses, repeats and reorders, and by colluders with real keys that say anything to anybody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::rng::{Rng, Seed};
use crate::properties_support::{World, digest, sign, state_of};
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{
    Batch, Checkpoint, Delivery, Effect, Executed, Execution, Ignored, Input, Message, NULL_BATCH, Progress, Replica,
    Slot, Status, Timer, View,
};
use varangian_crypto::{Bounded, Digest, ReplicaId};

struct Swarm<'a> {
    world: &'a World,
    rng: Rng,
    replicas: Vec<Replica>,
    /// Inputs that may be given to a replica, again and again.
    under_way: Vec<(u16, Input)>,
    /// Everything that was ever sent, for replays.
    past: Vec<(u16, Input)>,
    bodies: BTreeMap<Digest, Arc<Batch>>,
    decided: BTreeMap<Slot, Execution>,
    timers: Vec<Vec<Timer>>,
    now: u64,
    sequence: u64,
    honest: u16,
    /// A run that never meets one of them shows nothing about it.
    outcomes: BTreeMap<String, u64>,
}

impl<'a> Swarm<'a> {
    fn new(world: &'a World, honest: u16, seed: u64) -> Self {
        let mut replicas = Vec::new();
        for id in 0..honest {
            let mut effects = Vec::new();
            replicas.push(Replica::recover(world.config(id), 0, Executed::default(), [], &mut effects).unwrap());
            assert_eq!(effects, []);
        }
        Self {
            world,
            rng: Rng::new(seed),
            replicas,
            under_way: Vec::new(),
            past: Vec::new(),
            bodies: BTreeMap::new(),
            decided: BTreeMap::new(),
            timers: vec![Vec::new(); usize::from(honest)],
            now: 0,
            sequence: 0,
            honest,
            outcomes: BTreeMap::new(),
        }
    }

    /// The property.
    fn step(&mut self, to: u16, input: Input) {
        let before = self.replicas[usize::from(to)].clone();
        let mut effects = vec![Effect::Reply(self.world.command(0, 1).identity())];
        let shown = input.clone();
        let replica = &mut self.replicas[usize::from(to)];
        let outcome = replica.step(self.now, input, &mut effects);
        replica.invariants();
        let effects = effects.split_off(1);
        if let Err(ignored) = outcome {
            assert_eq!(effects, [], "r{to} ignored ({ignored}) and did something: {shown:?}");
            assert!(*replica == before, "r{to} ignored ({ignored}) and changed: {shown:?}\n{before:?}\n{replica:?}");
        }
        assert_eq!(replica.stopped(), None, "{shown:?}");
        *self.outcomes.entry(format!("{outcome:?}")).or_default() += 1;
        for effect in effects {
            self.perform(to, effect);
        }
    }

    fn offer(&mut self, to: u16, input: Input) {
        self.under_way.push((to, input.clone()));
        self.past.push((to, input));
    }

    fn deliver(&mut self, from: u16, to: u16, message: Message) {
        if to < self.honest {
            let delivery = message.verify(&self.world.committee).unwrap();
            self.offer(to, Input::Message { from: ReplicaId(from), delivery });
        }
    }

    fn perform(&mut self, id: u16, effect: Effect) {
        match effect {
            Effect::Persist(_) | Effect::Reply(_) => {}
            Effect::Accuse(evidence) => {
                assert!(evidence.accused().0 >= self.honest, "an honest one is accused: {evidence:?}")
            }
            Effect::Alarm(alarm) => panic!("{alarm}"),
            Effect::Vote(vote) => {
                let (delivery, message) = sign(self.world.signer(id), vote);
                self.offer(id, Input::Message { from: ReplicaId(id), delivery });
                self.perform(id, Effect::Broadcast(message));
            }
            Effect::Broadcast(message) => {
                if let Message::Batch { batch, .. } = &message {
                    self.bodies.insert(*batch.digest(), batch.clone());
                }
                // Proved once, sent to all.
                let delivery = message.verify(&self.world.committee).unwrap();
                for to in (0..self.honest).filter(|to| *to != id) {
                    self.offer(to, Input::Message { from: ReplicaId(id), delivery: delivery.clone() });
                }
            }
            Effect::Send(to, message) => self.deliver(id, to.0, message),
            Effect::SendBatch { to, slot, digest } => {
                let batch = self.bodies.get(&digest).expect("what is durable was seen").clone();
                self.deliver(id, to.0, Message::Batch { slot, batch });
            }
            Effect::SendDecided { to, from, last } => {
                for slot in from.0..=last.0 {
                    let Execution { certificate, batch, .. } =
                        self.decided.get(&Slot(slot)).expect("it was executed").clone();
                    self.deliver(id, to.0, Message::Decided { certificate, batch });
                }
            }
            Effect::Execute(execution) => {
                let (slot, history) = (execution.slot, execution.history);
                let state = execution.checkpoint.then(|| state_of(&history));
                let first = self.decided.entry(slot).or_insert_with(|| execution.clone());
                assert_eq!(first.history, history, "FORK at slot {slot}");
                self.offer(id, Input::Executed { slot, state });
            }
            Effect::SetTimer(timer, _) => self.timers[usize::from(id)].push(timer),
        }
    }

    fn turn(&mut self) {
        // A message takes a hundred turns, and less than a time-out.
        self.now += self.rng.below(6);
        let to = self.rng.below(self.honest.into()) as u16;
        match self.rng.below(100) {
            0..=61 if !self.under_way.is_empty() => {
                // Mostly the oldest, so that runs get somewhere.
                let reach = if self.rng.percent(70) { self.under_way.len().min(6) } else { self.under_way.len() };
                let place = self.rng.index(reach);
                let (to, input) = self.under_way.remove(place);
                if self.rng.percent(3) && matches!(input, Input::Message { from, .. } if from.0 != to) {
                    return;
                }
                if self.rng.percent(5) {
                    self.under_way.push((to, input.clone()));
                }
                self.step(to, input);
            }
            62..=64 => {
                self.sequence += 1;
                let command = self.world.command(self.rng.index(3), self.sequence / 2 + 1);
                for to in 0..self.honest {
                    if self.rng.percent(70) {
                        self.offer(to, Input::Command(command.clone()));
                    }
                }
            }
            65..=66 => {
                let timers = &self.timers[usize::from(to)];
                let Some(timer) = (if self.rng.percent(70) { timers.last() } else { timers.first() }).copied() else {
                    return;
                };
                self.step(to, Input::Timeout(timer));
            }
            67..=76 => {
                // Whatever was sent at any time, also to somebody else.
                if self.past.is_empty() {
                    return;
                }
                let place = self.rng.index(self.past.len());
                let (first, input) = self.past[place].clone();
                let input = match input {
                    Input::Message { from, delivery } => {
                        let from = if self.rng.percent(30) { ReplicaId(self.rng.below(9) as u16) } else { from };
                        Input::Message { from, delivery }
                    }
                    // Execution and timers are the replica's own: only foreign ones must not matter.
                    Input::Executed { .. } | Input::Timeout(_) => return self.step(first, input),
                    other => other,
                };
                self.step(to, input);
            }
            77 => self.step(to, Input::Executed { slot: Slot(1_000_000), state: Some(digest(1)) }),
            78 => self.step(to, Input::Connected(ReplicaId(self.rng.clone().below(9) as u16))),
            _ => self.attack(to),
        }
    }

    fn any_view(&mut self) -> u64 {
        let near = self.replicas[self.rng.index(self.replicas.len())].view().0;
        match self.rng.below(8) {
            0 => near.saturating_sub(1),
            1 => near + 2,
            2 => u64::MAX,
            3 => near + 1,
            _ => near,
        }
    }

    fn any_slot(&mut self) -> u64 {
        let near = self.replicas[self.rng.index(self.replicas.len())].executed().0;
        match self.rng.below(10) {
            0 => u64::MAX,
            1 => near,
            2 => near + 9,
            3 => near.saturating_sub(3),
            _ => near + 1 + self.rng.below(4),
        }
    }

    fn any_digest(&mut self) -> Digest {
        match self.rng.below(4) {
            0 => NULL_BATCH,
            1 => digest(self.rng.below(3)),
            _ => {
                let known: Vec<_> = self.bodies.keys().copied().collect();
                if known.is_empty() { digest(7) } else { *self.rng.pick(&known) }
            }
        }
    }

    /// One of the colluders says something to `to`, signed as it should be and by nobody else's key.
    fn attack(&mut self, to: u16) {
        let world = self.world;
        let signer = self.honest + self.rng.below(u64::from(world.n() - self.honest)) as u16;
        let (view, slot, digest) = (self.any_view(), self.any_slot(), self.any_digest());
        let leads = world.primary(view) == signer;
        let message = match self.rng.below(16) {
            0..=2 if leads => Message::PrePrepare(world.pre_prepare(view, slot, digest)),
            0..=2 if !leads => Message::Prepare(world.prepare(signer, view, slot, digest)),
            3..=4 => Message::Commit(world.commit(signer, view, slot, digest)),
            5 => {
                let slot = Slot(4 * (1 + self.rng.below(6)));
                Message::Checkpoint(
                    world.signer(signer).sign(Checkpoint { slot, history: digest, state: digest }).into_inner(),
                )
            }
            6..=7 => {
                // As honest ones would, with nothing prepared; or with nonsense.
                let prepared = if self.rng.percent(30) { vec![world.prepared(view, 1, digest)] } else { Vec::new() };
                let prepared = if self.rng.percent(50) { prepared } else { Vec::new() };
                Message::ViewChange(Box::new(world.view_change(signer, view, None, prepared)))
            }
            8 => {
                let changes = vec![world.view_change(signer, view, None, Vec::new())];
                let mut signed = world.new_view_with(view, changes, Vec::new());
                if !leads {
                    signed = world.signer(signer).sign(signed.statement).into_inner();
                }
                if self.rng.percent(50) {
                    return self.replay_new_view(to, signer);
                }
                Message::NewView(Box::new(signed))
            }
            9 => Message::Status(Status {
                view: View(view),
                active: self.rng.percent(50),
                stable: Slot(slot.saturating_sub(2)),
                executed: Slot(slot),
                slots: Bounded::try_from(vec![*self.rng.pick(&[Progress::Nothing, Progress::Committed]); 3]).unwrap(),
                view_changes: Bounded::default(),
            }),
            10 => Message::FetchBatch { slot: Slot(slot), digest },
            11 => Message::FetchDecided { from: Slot(slot), to: Slot(slot.saturating_add(self.rng.below(9))) },
            12 => Message::Pruned { oldest: Slot(slot) },
            13 => Message::Command(world.command(self.rng.index(4), self.rng.clone().below(40)).into_inner()),
            14 => {
                let batch = world.batch(self.rng.index(4), 1000 + self.rng.clone().below(3));
                self.bodies.insert(*batch.digest(), batch.clone());
                Message::Batch { slot: Slot(slot), batch }
            }
            _ => {
                // Votes of both colluders' and everybody's that are known already make certificates; here an old one again.
                let Some(execution) = self.decided.get(&Slot(slot)).cloned() else { return };
                Message::Decided { certificate: execution.certificate, batch: execution.batch }
            }
        };
        let delivery = message.verify(&world.committee);
        // What proves nothing never reaches a core.
        if let Ok(delivery) = delivery {
            self.step(to, Input::Message { from: ReplicaId(signer), delivery });
        }
    }

    /// A NEW-VIEW that somebody sent, from a colluder's connection.
    fn replay_new_view(&mut self, to: u16, from: u16) {
        let views: Vec<_> = self
            .past
            .iter()
            .filter_map(|(_, input)| match input {
                Input::Message { delivery: delivery @ Delivery::NewView(_), .. } => Some(delivery.clone()),
                _ => None,
            })
            .collect();
        if !views.is_empty() {
            let delivery = self.rng.pick(&views).clone();
            self.step(to, Input::Message { from: ReplicaId(from), delivery });
        }
    }
}

fn campaign(n: u16, honest: u16, seeds: u64, turns: u64) -> (BTreeMap<String, u64>, u64, u64) {
    let world = World::new(n);
    let (mut outcomes, mut slots, mut views) = (BTreeMap::new(), 0, 0);
    for seed in 0..seeds {
        let _seed = Seed("a failed step changes nothing", seed);
        let mut swarm = Swarm::new(&world, honest, seed);
        for _ in 0..turns {
            swarm.turn();
        }
        for (outcome, count) in swarm.outcomes {
            *outcomes.entry(outcome).or_default() += count;
        }
        slots += swarm.decided.len() as u64;
        views += swarm.replicas.iter().map(|replica| replica.view().0).max().unwrap();
    }
    (outcomes, slots, views)
}

#[test]
fn a_failed_step_changes_nothing() {
    let (outcomes, slots, views) = campaign(4, 3, 20, 1500);
    println!("{slots} slots decided, {views} views passed, outcomes: {outcomes:?}");
    for outcome in ["Stale", "Duplicate", "OutOfWindow", "Unsolicited", "TooSoon", "Busy", "TooOld"] {
        assert!(
            outcomes.get(&format!("Err({outcome})")).is_some_and(|count| *count > 10),
            "{outcome} was never met: {outcomes:?}"
        );
    }
    assert!(slots > 50 && views > 20, "the runs got nowhere: {slots} slots, {views} views");
}

#[test]
fn a_failed_step_changes_nothing_among_seven() {
    let (outcomes, slots, views) = campaign(7, 5, 5, 2500);
    println!("{slots} slots decided, {views} views passed, outcomes: {outcomes:?}");
    assert!(slots > 5 && views > 5, "the runs got nowhere: {slots} slots, {views} views");
}

/// Slots are voted for out of order, and a peer repeats this replica's own vote for the later one while that for the earlier one is still being synced.
#[test]
fn an_own_vote_that_comes_twice_changes_nothing() {
    let world = World::new(4);
    let mut effects = Vec::new();
    let mut replica = Replica::recover(world.config(1), 0, Executed::default(), [], &mut effects).unwrap();
    let hear = |from: u16, delivery| Input::Message { from: ReplicaId(from), delivery };
    let mut own = None;
    for slot in [2, 1] {
        let batch = world.batch(0, slot);
        let vote = Message::PrePrepare(world.pre_prepare(0, slot, *batch.digest()));
        let mut effects = Vec::new();
        for message in [vote, Message::Batch { slot: Slot(slot), batch }] {
            replica.step(0, hear(0, world.delivery(message)), &mut effects).unwrap();
        }
        let vote = effects.into_iter().find_map(|effect| match effect {
            Effect::Vote(vote) => Some(vote),
            _ => None,
        });
        let (delivery, _) = sign(world.signer(1), vote.unwrap());
        if slot == 2 {
            replica.step(1, hear(1, delivery.clone()), &mut Vec::new()).unwrap();
            own = Some(delivery);
        }
    }
    let before = replica.clone();
    assert_eq!(replica.step(5, hear(2, own.unwrap()), &mut Vec::new()), Err(Ignored::Duplicate));
    assert!(replica == before);
}
