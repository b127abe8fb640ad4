//! Everything about a run that a person would call a decision, drawn from a seed as plain data.
//!
//! Decisions are numbered: [`Plan::choices`]. A run without some of them is the same plan with these taken out, and everything else as it
//! was: what happens on the way is drawn by name, not in a row.

use super::draw::Draw;
use super::fault::{Fault, seconds};
use super::script::{Deed, Script, Whom};
use super::{Micros, draw_plan};
use crate::adversary::Attack;
use std::collections::BTreeSet;
use varangian_consensus::Sequence;
use varangian_crypto::{Parameters, Quorums, ReplicaId};

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All randomness comes from it.
    pub seed: u64,
    /// Replicas.
    pub n: u16,
    /// The genesis' numbers.
    pub parameters: Parameters,
    /// ed25519 instead of a simulation's signatures.
    pub real_signatures: bool,
    /// Clients that keep to the rules: `a` and on; those behind them do not.
    pub honest_clients: u8,
    /// All clients.
    pub clients: u8,
    /// Synchronous, nobody faulty: no view may change.
    pub calm: bool,
    /// Links in the safety phase.
    pub network: Network,
    /// What replicas are like.
    pub nodes: Vec<Machine>,
    /// Who misbehaves.
    pub adversaries: Vec<Evil>,
    /// What clients do, by time.
    pub commands: Vec<Act>,
    /// What befalls replicas and network, by time.
    pub faults: Vec<(Micros, Fault)>,
    /// When faults end and the liveness phase begins.
    pub heal_at: Micros,
    /// The replicas that are healthy in the liveness phase.
    pub core: Vec<usize>,
    /// What becomes of the others then.
    pub rest: Vec<(usize, Rest)>,
    /// Commands, one after the other, of the liveness phase.
    pub tail: u32,
    /// What is done as time goes on. Then `heal_at`, `core` and `rest` say nothing: they come of it.
    pub script: Option<Script>,
}

/// What links are like. Rates are in millionths of all packets.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Delay of each link, sender by sender; each packet adds up to as much again.
    pub delays: Vec<Vec<Micros>>,
    /// Packets that are lost.
    pub loss: u64,
    /// Packets that arrive twice.
    pub duplicates: u64,
    /// Packets that are much later than others: they are overtaken.
    pub late: u64,
    /// By how much at most.
    pub lateness: Micros,
    /// Packets that a link holds; what comes on top is lost.
    pub link: usize,
    /// Inputs that wait for a core; the same.
    pub inbox: usize,
}

/// A replica's machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// How fast its clock runs, in millionths of true time.
    pub tick: u64,
    /// A synced write.
    pub sync: Micros,
    /// When its disk stands still.
    pub stalls: Stalls,
    /// The execution of a slot.
    pub execute: Micros,
    /// A signature.
    pub sign: Micros,
    /// From a message's arrival to its turn.
    pub turn: Micros,
}

/// A disk that stands still for the first part of each stretch of time. Machines with the same stalls share a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stalls {
    /// How long a stretch is.
    pub every: Micros,
    /// How long it stands still in each; 0 is never.
    pub during: Micros,
}

/// A replica that misbehaves; one that plays several attacks is there for each of them.
#[derive(Clone, Debug)]
pub struct Evil {
    /// Who.
    pub replica: u16,
    /// How.
    pub how: How,
}

/// How a replica misbehaves.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// One of the collection.
    Attack(Attack),
    /// What it sends is damaged on its way, so often in a million.
    Garbles(u64),
    /// It runs twice, with one key: the second copy is linked to these peers, the first to the others.
    Twins {
        /// A bit each.
        second: u64,
    },
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Micros,
    /// Who; 0 is `a`.
    pub client: u8,
    /// What.
    pub what: What,
}

/// See [`Act`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The next command, as the client library sends it: retried until it is answered.
    Command {
        /// Numbers left out before it.
        gap: u64,
        /// Operations.
        operations: u8,
        /// Bytes of each.
        bytes: u16,
        /// To all at once, not only to the primary.
        to_all: bool,
    },
    /// Anything at all, once.
    Raw {
        /// Its number.
        sequence: Sequence,
        /// Which of several commands with this number.
        variant: u8,
        /// To whom: a bit each.
        to: u64,
    },
}

/// What becomes of a replica outside of the healthy core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is dead.
    Dead,
    /// It runs, cut off from everybody.
    CutOff,
    /// It runs as before, faulty or not.
    Runs,
}

/// One numbered decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// An adversary.
    Adversary(usize),
    /// A fault.
    Fault(usize),
    /// Loss, at all.
    Loss,
    /// Duplicates, at all.
    Duplicates,
    /// Late packets, at all.
    Lateness,
    /// Clocks that run at other speeds.
    Skew,
    /// Somebody outside of the core who does not simply run.
    Rest(usize),
    /// Something that a client does.
    Act(usize),
}

impl Machine {
    /// How long a synced write takes that begins now.
    #[must_use]
    pub fn sync_from(&self, now: Micros) -> Micros {
        let Stalls { every, during } = self.stalls;
        let still = now.checked_rem(every).map_or(0, |into| during.saturating_sub(into));
        self.sync + still
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        draw_plan::draw(seed, &mut Draw::new(seed))
    }

    /// n, f and q.
    #[must_use]
    pub fn quorums(&self) -> Quorums {
        // A plan is drawn with 4 replicas at least.
        Quorums::new(self.n.max(4)).unwrap_or_else(|| unreachable!("4 replicas or more"))
    }

    /// Replicas that lie, from the beginning or some time later.
    #[must_use]
    pub fn byzantine(&self) -> BTreeSet<ReplicaId> {
        let turned = self.script.iter().flat_map(|script| &script.deeds).flat_map(|deed| match deed {
            Deed::Turn(Whom::These(these), _) => these.as_slice(),
            _ => &[],
        });
        self.adversaries.iter().map(|evil| evil.replica).chain(turned.copied()).map(ReplicaId).collect()
    }

    /// All that may be decided otherwise, in the order of their numbers.
    #[must_use]
    pub fn choices(&self) -> Vec<Choice> {
        let mut choices: Vec<_> = (0..self.adversaries.len()).map(Choice::Adversary).collect();
        choices.extend((0..self.faults.len()).map(Choice::Fault));
        choices.extend([Choice::Loss, Choice::Duplicates, Choice::Lateness, Choice::Skew]);
        choices.extend((0..self.rest.len()).map(Choice::Rest));
        choices.extend((0..self.commands.len()).map(Choice::Act));
        choices
    }

    /// The same run without the decisions of these numbers.
    #[must_use]
    pub fn without(&self, dropped: &BTreeSet<usize>) -> Self {
        let gone: Vec<_> = self.choices().into_iter().enumerate().filter(|(at, _)| dropped.contains(at)).collect();
        let is_gone = |choice: Choice| gone.iter().any(|(_, dropped)| *dropped == choice);
        let mut plan = self.clone();
        plan.adversaries = keep(&self.adversaries, |at| !is_gone(Choice::Adversary(at)));
        plan.faults = keep(&self.faults, |at| !is_gone(Choice::Fault(at)));
        plan.commands = keep(&self.commands, |at| !is_gone(Choice::Act(at)));
        for (place, (_, rest)) in plan.rest.iter_mut().enumerate() {
            if is_gone(Choice::Rest(place)) {
                *rest = Rest::Runs;
            }
        }
        if is_gone(Choice::Loss) {
            plan.network.loss = 0;
        }
        if is_gone(Choice::Duplicates) {
            plan.network.duplicates = 0;
        }
        if is_gone(Choice::Lateness) {
            plan.network.late = 0;
        }
        if is_gone(Choice::Skew) {
            plan.nodes.iter_mut().for_each(|machine| machine.tick = 1_000_000);
        }
        plan
    }

    /// A decision in words; `None` where nothing was decided.
    #[must_use]
    pub fn describe(&self, choice: Choice) -> Option<String> {
        let rate = |rate: u64, what: &str| {
            (rate > 0).then(|| format!("{}.{} % of packets {what}", rate / 10_000, rate / 1000 % 10))
        };
        match choice {
            Choice::Adversary(at) => self.adversaries.get(at).map(|evil| match evil.how {
                How::Attack(attack) => format!("r{} plays {attack}", evil.replica),
                How::Garbles(rate) => format!("r{} garbles {} % of what it sends", evil.replica, rate / 10_000),
                How::Twins { second } => format!("r{} runs twice; peers {second:b} hear the second", evil.replica),
            }),
            Choice::Fault(at) => self.faults.get(at).map(|(time, fault)| format!("{} {fault}", seconds(*time))),
            Choice::Loss => rate(self.network.loss, "are lost"),
            Choice::Duplicates => rate(self.network.duplicates, "arrive twice"),
            Choice::Lateness => rate(self.network.late, "are late"),
            Choice::Skew => {
                let ticks: Vec<_> = self.nodes.iter().map(|machine| machine.tick / 10_000).collect();
                ticks.iter().any(|tick| *tick != 100).then(|| format!("clocks run at {ticks:?} %"))
            }
            Choice::Rest(at) => self.rest.get(at).filter(|(_, rest)| *rest != Rest::Runs).map(|(node, rest)| {
                let what = if *rest == Rest::Dead { "dead" } else { "cut off" };
                format!("{} r{node} is {what} from here on", seconds(self.heal_at))
            }),
            Choice::Act(at) => self.commands.get(at).map(|act| {
                let client = char::from(b'a' + act.client);
                match act.what {
                    What::Command { gap, to_all, .. } => {
                        let (gap, to) =
                            (if gap > 0 { " after a gap" } else { "" }, if to_all { " to all" } else { "" });
                        format!("{} {client} sends its next command{gap}{to}", seconds(act.at))
                    }
                    What::Raw { sequence, variant, to } => {
                        format!("{} {client} sends {sequence}/{variant} to replicas {to:b}, once", seconds(act.at))
                    }
                }
            }),
        }
    }

    /// The decisions that are left, a line each, with their numbers in `original`.
    #[must_use]
    pub fn story(original: &Self, dropped: &BTreeSet<usize>) -> Vec<String> {
        let choices = original.choices().into_iter().enumerate().filter(|(at, _)| !dropped.contains(at));
        choices.filter_map(|(at, choice)| original.describe(choice).map(|text| format!("{at:>4}  {text}"))).collect()
    }

    /// What is not numbered, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let Parameters { checkpoint_interval, window, pipeline_depth, base_timeout_ms, max_timeout_ms, .. } =
            self.parameters;
        format!(
            "{} replicas, interval {checkpoint_interval}, window {window}, pipeline {pipeline_depth}, time-out {base_timeout_ms} to {max_timeout_ms} ms, \
             healthy from {} on: {:?}{}{}",
            self.n,
            seconds(self.heal_at),
            self.core,
            if self.real_signatures { ", real signatures" } else { "" },
            if self.calm { ", calm" } else { "" },
        )
    }
}

fn keep<T: Clone>(all: &[T], kept: impl Fn(usize) -> bool) -> Vec<T> {
    all.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, one)| one.clone()).collect()
}
