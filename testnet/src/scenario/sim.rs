//! A scenario in the simulator: the same file, translated into a [`Plan`] with a script that one seed decides.
//!
//! - [`verdict`]: what is said of a run.
//! - [`command`]: `--sim` on the command line.
//!
//! What differs from real processes: a lost packet is a lost message, which QUIC would send again; clients send a bounded number of commands, whatever the
//! machine could do; operations are opaque to a tiny application whose state tells the order and number of all of them.

pub mod command;
pub mod verdict;

use super::format::{Assault, Corruption, DrawError, Event, Group, Replica, Safety, Scenario, ScenarioError, Shaping};
use super::format::{Step, Ways, Who, profile};
use crate::damage::Damage;
use std::iter::successors;
use std::time::Duration;
use thiserror::Error;
use varangian_crypto::{Parameters, ReplicaId};
use varangian_links::{Profile, Schedule, Shape};
use varangian_sim::adversary::{AttackError, Plan as Attacks};
use varangian_sim::world::plan::{Evil, How, Machine, Network, Stalls};
use varangian_sim::world::script::{Change, Deed, Like, Load, Script, Whom};
use varangian_sim::world::{Micros, Plan};

const SECOND: Micros = 1_000_000;
/// For each step to come about, as on real processes.
const STEP: Micros = 60 * SECOND;
/// Clients that the simulator has keys for.
const CLIENTS: usize = 26;
/// Commands of all clients in a second: so many, fewer if that makes more than so many in the whole run, but never less than this.
const RATE: f64 = 100.0;
const COMMANDS: f64 = 6000.0;
const LEAST_RATE: f64 = 10.0;
/// The attack that only those see who ask replicas where they stand.
const UNSEEN: &str = "wrong-status";
/// One way between two processes of one machine, and what may come on top.
const LOOPBACK: Micros = 100;

/// Why a scenario cannot be simulated.
#[derive(Debug, Error)]
pub enum NotSimulated {
    /// They are connections and bytes.
    #[error("menaces cannot be simulated; play it on real processes")]
    Menaces,
    /// The simulated disk has nothing like it.
    #[error("step {step}: `{what}` cannot be simulated; play it on real processes")]
    Step {
        /// Which, from 1.
        step: usize,
        /// Its key.
        what: &'static str,
    },
    /// Nobody there asks a replica where it stands.
    #[error("{0} does nothing but {UNSEEN}, which nobody would see in the simulator; play it on real processes")]
    Unseen(ReplicaId),
    /// Not a scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// An attack that is none.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// An attack or a menace that is none.
    #[error(transparent)]
    Draw(#[from] DrawError),
}

/// The plan that plays a scenario under its seed.
///
/// # Errors
/// [`NotSimulated`], which names the step.
pub fn plan(scenario: &Scenario) -> Result<Plan, NotSimulated> {
    let scenario = &scenario.drawn()?;
    let n = scenario.replicas;
    let parameters = Parameters::default();
    if !scenario.menaces.is_empty() {
        return Err(NotSimulated::Menaces);
    }
    let mut adversaries = Vec::new();
    for (replica, text) in &scenario.attacks {
        let attacks = Attacks::parse(text)?;
        if attacks.attacks().iter().all(|attack| attack.kind().name == UNSEEN) {
            return Err(NotSimulated::Unseen(replica.0));
        }
        adversaries
            .extend(attacks.attacks().iter().map(|attack| Evil { replica: replica.0.0, how: How::Attack(*attack) }));
    }
    if !scenario.twins_for.is_empty() {
        let second = scenario.twins_for.iter().fold(0, |mask, hearer| mask | 1 << hearer.0.0);
        adversaries.push(Evil { replica: 0, how: How::Twins { second } });
    }
    let clients = u8::try_from(scenario.load.clients.min(CLIENTS)).unwrap_or(u8::MAX);
    let script = script(scenario, clients)?;
    Ok(Plan {
        seed: scenario.seed,
        n,
        real_signatures: false,
        honest_clients: clients,
        clients,
        calm: false,
        network: Network {
            delays: vec![vec![LOOPBACK; n.into()]; n.into()],
            link: 1024,
            inbox: 4096,
            ..Network::default()
        },
        nodes: (0..n).map(|id| machine(scenario.clocks.get(&Replica(ReplicaId(id))).copied().unwrap_or(1.0))).collect(),
        adversaries,
        commands: Vec::new(),
        faults: Vec::new(),
        heal_at: 0,
        core: Vec::new(),
        rest: Vec::new(),
        tail: u32::try_from(parameters.checkpoint_interval * 2 + 2).unwrap_or(u32::MAX),
        parameters,
        script: Some(script),
    })
}

fn machine(rate: f64) -> Machine {
    Machine { tick: millionths(rate), sync: 1000, stalls: Stalls::default(), execute: 100, sign: 50, turn: 50 }
}

fn script(scenario: &Scenario, clients: u8) -> Result<Script, NotSimulated> {
    let n = scenario.replicas;
    let steps = scenario.step.iter().enumerate();
    let deeds = steps.map(|(place, step)| deed(step, n).map_err(|what| NotSimulated::Step { step: place + 1, what }));
    let deeds: Vec<Deed> = deeds.collect::<Result<_, _>>()?;
    // Steps that wait for something take a minute at most, most of them far less.
    let (sure, longest) = scenario.step.iter().fold((0.0, 0.0), |(sure, longest), step| match step {
        Step::Wait(seconds) => (sure + seconds, longest + seconds),
        Step::At(seconds) => (f64::max(sure, *seconds), f64::max(longest, *seconds)),
        _ => (sure, longest + STEP as f64 / SECOND as f64),
    });
    let in_flight = u16::try_from(scenario.load.in_flight).unwrap_or(u16::MAX);
    let rate = RATE.min(COMMANDS / f64::max(sure, 1.0)).max(LEAST_RATE);
    let pause = f64::from(clients) * f64::from(in_flight) / rate;
    let seed = scenario.seed;
    let timing = scenario.timing.map(|timing| Schedule { seed: timing.seed ^ seed, ..timing });
    Ok(Script {
        deeds,
        patience: STEP,
        links: scenario
            .profile()?
            .map_or_else(|| vec![vec![like(&Shape::PERFECT); n.into()]; n.into()], |profile| links(profile, n)),
        weather: timing.map(|timing| weather(&timing, n, longest)).unwrap_or_default(),
        load: Load {
            in_flight,
            pause: micros(pause),
            operations: u8::try_from(scenario.load.bundle).unwrap_or(u8::MAX),
            bytes: u16::try_from(scenario.load.value_bytes).unwrap_or(u16::MAX),
        },
        asleep: scenario.sleepers().into_iter().map(|replica| replica.0.0).collect(),
        breaks: scenario.expect.safety == Safety::Broken,
    })
}

/// The step as a deed, or its key if it cannot be simulated.
fn deed(step: &Step, n: u16) -> Result<Deed, &'static str> {
    Ok(match step {
        Step::Wait(seconds) => Deed::Wait(micros(*seconds)),
        Step::At(seconds) => Deed::At(micros(*seconds)),
        Step::Kill(who) => Deed::Kill(whom(who)),
        Step::PowerLoss(who) => Deed::PowerLoss(whom(who)),
        Step::Pause(who) => Deed::Pause(whom(who)),
        Step::Resume(who) => Deed::Resume(whom(who)),
        Step::Restart(who) => Deed::Restart(whom(who)),
        Step::FillDisk(who) => Deed::FillDisk(whom(who)),
        Step::FailSync(_) => return Err("fail-sync"),
        Step::WipeDisk(_) => return Err("wipe-disk"),
        Step::SaveDisk(_) | Step::RestoreDisk(_) => return Err("save-disk and restore-disk"),
        Step::Corrupt(Corruption { who, what }) => match what {
            Damage::Log => Deed::Rot { whom: whom(who), lost: false },
            Damage::LostVotes => Deed::Rot { whom: whom(who), lost: true },
            Damage::Marks => return Err("corrupt ... marks"),
            Damage::Sst | Damage::State => return Err("corrupt ... sst or state"),
        },
        Step::Refused(who) => Deed::Refused(whom(who)),
        Step::Begin(_) | Step::End(_) => return Err("a menace"),
        Step::Strike(who) => Deed::Strike(whom(who)),
        Step::Attack(Assault { who, attack }) => match (who, Attacks::parse(attack)) {
            (Who::One(_) | Who::Several(_), Ok(attacks)) => Deed::Turn(whom(who), attacks.attacks().to_vec()),
            _ => return Err("attack of whom nobody knows yet"),
        },
        Step::Lead(replica) => Deed::Lead(replica.0.0),
        Step::Cut(Ways { from, to }) => {
            Deed::Shape { from: whom(from), to: whom(to), like: Like { cut: true, ..Like::default() } }
        }
        Step::Partition(groups) => {
            Deed::Partition(groups.iter().map(|group| group.iter().map(|replica| replica.0.0).collect()).collect())
        }
        Step::Shape(Shaping { from, to, like: shape }) => {
            Deed::Shape { from: whom(from), to: whom(to), like: like(shape) }
        }
        Step::Heal(who) => Deed::Heal(whom(who)),
        Step::Links(name) => Deed::Links(name.clone(), links(profile(name).map_err(|_| "links")?, n)),
        Step::Await(Event::NewView) => Deed::NewView,
        Step::Await(Event::Progress) => Deed::Progress,
        Step::Await(Event::CaughtUp) => Deed::CaughtUp,
        Step::Await(Event::Stopped(_) | Event::Ended(_)) => return Err("await ... stopped or ended"),
    })
}

fn whom(who: &Who) -> Whom {
    match who {
        Who::Group(Group::Primary) => Whom::Primary,
        Who::Group(Group::Down) => Whom::Down,
        Who::Group(Group::All) => Whom::All,
        Who::One(_) | Who::Several(_) => Whom::These(who.named().map(|replica| replica.0.0).collect()),
    }
}

fn links(profile: &Profile, n: u16) -> Vec<Vec<Like>> {
    let row = |from: u16| (0..n).map(|to| like(&profile.shape(from.into(), to.into()))).collect();
    (0..n).map(row).collect()
}

fn like(shape: &Shape) -> Like {
    let nanos_per_byte = shape.bandwidth_mbit.map_or(0.0, |mbit| 8000.0 / mbit);
    Like {
        delay: micros(shape.latency_ms / 1000.0).max(LOOPBACK),
        jitter: micros(shape.jitter_ms / 1000.0).max(LOOPBACK),
        loss: millionths(shape.loss),
        duplicates: millionths(shape.duplicate),
        early: millionths(shape.reorder),
        nanos_per_byte: whole(nanos_per_byte),
        queue: u64::from(shape.queue_kib) * 1024,
        cut: shape.cut,
    }
}

/// How links change by themselves in so many seconds.
fn weather(timing: &Schedule, n: u16, seconds: f64) -> Vec<Change> {
    let end = Duration::from_secs_f64(seconds);
    let pairs = (0..n).flat_map(|from| (0..n).map(move |to| (from, to))).filter(|(from, to)| from != to);
    let of_pair = |(from, to): (u16, u16)| {
        let (one, other) = (usize::from(from), usize::from(to));
        let next = move |at: &Duration| timing.next_change(one, other, *at).filter(|at| *at < end);
        successors(Some(Duration::ZERO), next).map(move |at| {
            let shape = timing.shape(one, other, at);
            Change { at: micros(at.as_secs_f64()), from, to, like: like(&shape) }
        })
    };
    pairs.flat_map(of_pair).collect()
}

fn micros(seconds: f64) -> Micros {
    whole(seconds * SECOND as f64)
}

fn millionths(rate: f64) -> u64 {
    whole(rate * 1e6)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are checked with the scenario")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests;
