//! Random campaigns: loss, repetition, reordering, partitions, crashes at persist points, restarts, slow disks and applications, and up to
//! `f` replicas that attack with their real keys. Then everything heals but the attackers, and every command must be answered, at equal
//! states. The harness checks safety after everything that happens, and that evidence names nobody honest.
//!
//! `CAMPAIGN_SEED=n` runs one seed; `CAMPAIGN_SEEDS=n` as many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::rng::{Rng, Seed};
use std::collections::BTreeMap;
use varangian_consensus::{Command, Commit, Message, NULL_BATCH, NewView, PrePrepare, Prepare, Slot, View, ViewChange};
use varangian_crypto::{Bounded, Digest, ReplicaId, sha256};
use varangian_sim::adversary::{ATTACKS, Attack};
use varangian_sim::{Cluster, Event, Fate, Loss, Options, Packet};

/// What the runs met. A campaign that never meets one of them shows nothing about it.
#[derive(Debug, Default)]
struct Met {
    answered: u64,
    slots: u64,
    views: u64,
    crashes: u64,
    evidence: u64,
    stable: u64,
    caught_up: u64,
    nulls: u64,
}

struct Run {
    cluster: Cluster,
    rng: Rng,
    faulty: Vec<u16>,
    /// By client: the last number used, and what is not answered yet.
    sent: Vec<(u64, Vec<Command>)>,
    met: Met,
    /// Which kinds of faults this run knows.
    faults: Vec<u64>,
}

impl Run {
    fn new(seed: u64, n: u16) -> Self {
        let mut rng = Rng::new(seed);
        let mut options = Options { n, ..Options::default() };
        // Small batches, so that runs have many slots.
        options.parameters.max_batch_operations = 1 + rng.below(3) as u32;
        let mut cluster = Cluster::new(&options);
        let mut faulty = Vec::new();
        let f = (n - 1) / 3;
        for _ in 0..f {
            let id = rng.below(n.into()) as u16;
            if rng.percent(70) && !faulty.contains(&id) {
                faulty.push(id);
                let attack = rng.pick(&ATTACKS).name;
                let attack = Attack::parse(&format!("{attack}@p=0.{},seed={seed}", 2 + rng.below(8))).unwrap();
                cluster.corrupt(id, &attack);
            }
        }
        let (loss, mut dice) = (rng.below(16), Rng::new(seed ^ 0xABCD));
        let replay = rng.below(8);
        // Some runs know only some faults: rare combinations are met more often.
        let faults = (0..12).filter(|_| rng.percent(60)).collect();
        cluster.add_rule(move |_| {
            let drawn = dice.below(100);
            match drawn {
                _ if drawn < loss => Some(Fate::Drop),
                _ if drawn < loss + replay => Some(Fate::Duplicate),
                _ if drawn < loss + replay + 3 => Some(Fate::Hold),
                _ => None,
            }
        });
        Self { cluster, rng, faulty, sent: vec![(0, Vec::new()); 3], met: Met::default(), faults }
    }

    fn replica(&mut self) -> u16 {
        let n = self.cluster.ids().len() as u64;
        self.rng.below(n) as u16
    }

    fn is_up(&self, id: u16) -> bool {
        self.cluster.is_up(id)
    }

    fn loss(&mut self) -> Loss {
        *self.rng.pick(&[Loss::POWER, Loss::KILL, Loss::AFTER_SYNC])
    }

    fn submit(&mut self) {
        let client = self.rng.index(3);
        let (last, open) = &mut self.sent[client];
        let cluster = &mut self.cluster;
        open.retain(|command| cluster.accepted(&command.identity()).is_none());
        // A client keeps fewer open than its window is wide.
        let lowest = open.iter().map(Command::sequence).min().unwrap_or(*last);
        if open.len() >= 6 || last.saturating_sub(lowest) >= 12 {
            return;
        }
        *last += 1;
        let command = cluster.setup.command(client as u8, *last, &[&format!("{client}/{last}")]);
        open.push(command.clone());
        let some = self.rng.percent(30);
        for id in self.cluster.ids() {
            if self.is_up(id.0) && !(some && self.rng.percent(60)) {
                // Busy, or known already from a batch: it is tried again.
                self.cluster.submit(id.0, &command).ok();
            }
        }
    }

    fn turn(&mut self) {
        match self.rng.below(100) {
            0..=6 => self.submit(),
            7..=12 => {
                let by = self.rng.below(400);
                self.cluster.advance(by);
            }
            13..=15 => self.repair(),
            16..=19 => self.attack(),
            20..=22 if !self.faults.is_empty() => {
                let fault = *self.rng.pick(&self.faults);
                self.fault(fault);
            }
            _ => {
                let waiting = self.cluster.in_flight().count();
                if waiting > 0 {
                    let reach = if self.rng.percent(90) { waiting.min(6) } else { waiting };
                    let place = self.rng.index(reach);
                    self.cluster.deliver_at(place);
                } else {
                    self.cluster.step();
                }
            }
        }
    }

    fn fault(&mut self, fault: u64) {
        let id = self.replica();
        match fault {
            0 | 1 => {
                if self.is_up(id) {
                    let loss = self.loss();
                    self.cluster.crash(id, loss);
                    self.met.crashes += 1;
                }
            }
            2 | 3 => {
                let (at, loss) = (self.cluster.commits(id) + 1 + self.rng.below(6), self.loss());
                self.cluster.crash_at_commit(id, at, loss);
            }
            4 => {
                let other = self.replica();
                let islands: [&[u16]; 2] = [&[id], &[other]];
                self.cluster.partition(if id == other || self.rng.percent(50) { &islands[..1] } else { &islands });
            }
            5 => self.cluster.pause(id),
            6 => self.cluster.hold_commits(id, true),
            7 => self.cluster.hold_executions(id, true),
            8 => self.cluster.hold_own_votes(id, true),
            9 => {
                let mut dice = self.rng.clone();
                self.cluster.drop_in_flight(|_| dice.percent(40));
                self.rng = dice;
            }
            10 => {
                let other = self.replica();
                if other != id && self.is_up(id) && self.is_up(other) {
                    self.cluster.reconnect(id, other);
                }
            }
            _ => {
                // All at once.
                for id in self.cluster.ids() {
                    let loss = self.loss();
                    if self.is_up(id.0) {
                        self.cluster.crash(id.0, loss);
                    }
                }
                self.met.crashes += 1;
            }
        }
    }

    fn repair(&mut self) {
        let id = self.replica();
        if !self.is_up(id) {
            self.cluster.restart(id);
            return;
        }
        match self.rng.below(7) {
            0 => self.cluster.heal(),
            1 => self.cluster.resume(id),
            2 => self.cluster.hold_commits(id, false),
            3 => {
                self.cluster.release_commit(id);
                self.cluster.release_execution(id);
            }
            4 => self.cluster.hold_executions(id, false),
            5 => self.cluster.hold_own_votes(id, false),
            _ => {
                self.cluster.release_held();
            }
        }
    }

    fn any_digest(&mut self) -> Digest {
        let agreed: Vec<_> = self.cluster.checks.agreed().into_values().collect();
        match self.rng.below(3) {
            0 => NULL_BATCH,
            1 => sha256("campaign", &[&self.rng.next().to_le_bytes()]),
            _ if agreed.is_empty() => NULL_BATCH,
            _ => *self.rng.pick(&agreed),
        }
    }

    /// A faulty replica says something of its own, to one or to all.
    fn attack(&mut self) {
        if self.faulty.is_empty() {
            return;
        }
        let from = *self.rng.pick(&self.faulty);
        let honest: Vec<_> = self.cluster.honest();
        let Some(near) = honest.first().map(|_| *self.rng.pick(&honest)) else { return };
        let (view, slot) = {
            let replica = self.cluster.replica(near);
            (View(replica.view().0 + self.rng.below(3)), Slot(replica.executed().0 + self.rng.below(5)))
        };
        let digest = self.any_digest();
        let signer = self.cluster.setup.signer(ReplicaId(from)).clone();
        let leads = self.cluster.setup.committee.primary(view.0) == ReplicaId(from);
        let message = match self.rng.below(7) {
            0 if leads => Message::PrePrepare(signer.sign(PrePrepare { view, slot, digest }).into_inner()),
            0..=1 if !leads => Message::Prepare(signer.sign(Prepare { view, slot, digest }).into_inner()),
            0..=2 => Message::Commit(signer.sign(Commit { view, slot, digest }).into_inner()),
            3..=4 => {
                // It forgets what it has prepared.
                let statement = ViewChange { view: View(view.0 + 1), stable: None, prepared: Bounded::default() };
                Message::ViewChange(Box::new(signer.sign(statement).into_inner()))
            }
            5 => {
                let statement = NewView { view, view_changes: Bounded::default(), pre_prepares: Bounded::default() };
                Message::NewView(Box::new(signer.sign(statement).into_inner()))
            }
            _ => {
                // Something that anybody sent, once more, by another connection.
                let waiting: Vec<Packet> = self.cluster.in_flight().take(20).cloned().collect();
                if waiting.is_empty() {
                    return;
                }
                self.rng.pick(&waiting).message.clone()
            }
        };
        if self.rng.percent(40) {
            self.cluster.inject_to_all(from, &message);
        } else {
            let to = self.replica();
            if to != from {
                self.cluster.inject(from, to, message);
            }
        }
    }

    /// All faults end, but the attackers' own. Everything is answered, and the honest come to equal states.
    fn heal(&mut self) {
        self.cluster.clear_rules();
        for id in self.cluster.ids() {
            let id = id.0;
            self.cluster.crash_at_commit(id, u64::MAX, Loss::POWER);
            self.cluster.resume(id);
            self.cluster.hold_commits(id, false);
            self.cluster.hold_executions(id, false);
            self.cluster.hold_own_votes(id, false);
        }
        self.cluster.heal();
        self.cluster.release_held();
        for id in self.cluster.ids() {
            if !self.is_up(id.0) {
                self.cluster.restart(id.0);
            }
        }
        for client in 0..3 {
            let (last, open) = &mut self.sent[client];
            *last += 1;
            open.push(self.cluster.setup.command(client as u8, *last, &["last"]));
        }
        for round in 0.. {
            let cluster = &mut self.cluster;
            for (_, open) in &mut self.sent {
                open.retain(|command| cluster.accepted(&command.identity()).is_none());
                for command in open.iter() {
                    for id in cluster.honest() {
                        cluster.submit(id, command).ok();
                    }
                }
            }
            if self.sent.iter().all(|(_, open)| open.is_empty()) {
                break;
            }
            assert!(
                round < 240,
                "not answered after two minutes: {:?}",
                self.sent.iter().map(|(_, open)| open.len()).collect::<Vec<_>>()
            );
            cluster.run_for(500);
        }
        let lasting = self.cluster.now() + 120_000;
        let settled = self.cluster.run_until(|cluster| cluster.is_settled() || cluster.now() > lasting, 200_000);
        assert!(settled && self.cluster.is_settled(), "honest replicas do not settle");
        let honest = self.cluster.honest();
        assert_eq!(honest.len() + self.faulty.len(), self.cluster.ids().len(), "an honest replica stopped");
        let states: Vec<_> =
            honest.iter().map(|id| (self.cluster.executed(*id), self.cluster.disk(*id).state())).collect();
        assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "states differ: {states:?}");
    }

    fn count(mut self) -> Met {
        let honest = self.cluster.honest();
        let one = honest[0];
        self.met.answered += self.sent.iter().map(|(last, _)| last).sum::<u64>();
        self.met.slots += self.cluster.executed(one).0;
        self.met.views += self.cluster.replica(one).view().0;
        self.met.stable += self.cluster.replica(one).stable_slot().0;
        self.met.evidence += honest.iter().map(|id| self.cluster.evidence(*id).len() as u64).sum::<u64>();
        self.met.nulls += self.cluster.checks.agreed().values().filter(|digest| **digest == NULL_BATCH).count() as u64;
        let decided =
            |event: &&Event| matches!(event, Event::Delivered(Packet { message: Message::Decided { .. }, .. }, Ok(())));
        self.met.caught_up += self.cluster.events().filter(decided).count() as u64;
        self.met
    }
}

fn campaign(name: &'static str, n: u16, seeds: u64, turns: u64) -> Met {
    let number = |key: &str| std::env::var(key).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("CAMPAIGN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CAMPAIGN_SEEDS").unwrap_or(seeds),
    };
    let mut all = Met::default();
    let mut reached = BTreeMap::new();
    for seed in seeds {
        let _seed = Seed(name, seed);
        let mut run = Run::new(seed, n);
        for _ in 0..turns {
            run.turn();
        }
        run.heal();
        let met = run.count();
        *reached.entry(met.slots.min(99) / 10).or_insert(0) += 1;
        all.answered += met.answered;
        all.slots += met.slots;
        all.views += met.views;
        all.crashes += met.crashes;
        all.evidence += met.evidence;
        all.stable += met.stable;
        all.caught_up += met.caught_up;
        all.nulls += met.nulls;
    }
    println!("{name}: {all:?}; runs by tens of slots: {reached:?}");
    all
}

#[test]
fn four_replicas_survive_everything_that_one_faulty_one_and_the_network_do() {
    let met = campaign("four", 4, 150, 2500);
    if std::env::var("CAMPAIGN_SEED").is_err() {
        let all = [met.answered, met.slots, met.views, met.crashes, met.evidence, met.stable, met.caught_up, met.nulls];
        assert!(all.iter().all(|count| *count > 0), "a rare state was never met: {met:?}");
    }
}

#[test]
fn seven_replicas_survive_everything_that_two_faulty_ones_and_the_network_do() {
    let met = campaign("seven", 7, 30, 3000);
    assert!(met.answered > 0 && met.slots > 0);
}

/// Committees whose quorum is not `2f + 1`.
#[test]
fn five_and_six_replicas_survive_it_too() {
    for (name, n) in [("five", 5), ("six", 6)] {
        let met = campaign(name, n, 15, 2000);
        assert!(met.answered > 0 && met.slots > 0);
    }
}
