//! The scenarios that come with the program: files, and one for each attack and each menace.

use super::format::{Event, Expect, Group, LoadPlan, Replica, Scenario, ScenarioError, Step, Ways, Who};
use super::model::Model;
use crate::menace::{self, MENACES};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;
use varangian_crypto::ReplicaId;
use varangian_sim::adversary::{ATTACKS, Kind};

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// The files: name and text.
        pub const SHIPPED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

shipped! {
    "demo",
    "crash-of-a-backup",
    "crash-of-the-primary",
    "pause-of-the-primary",
    "rolling-restart",
    "power-loss-of-all",
    "power-loss-beyond-f",
    "partition",
    "isolated-primary",
    "one-way-cuts",
    "lossy-links",
    "three-regions",
    "crash-while-two-collude",
    "crash-for-good",
    "disk-full",
    "disk-full-of-the-primary",
    "disk-without-sync",
    "disk-rotten",
    "disk-rotten-table",
    "disk-rotten-state",
    "disk-rolled-back",
    "disk-without-marks",
    "disk-lost-votes",
    "disk-wiped",
    "synchronous",
    "partially-synchronous",
    "asynchronous",
    "asynchronous-with-an-equivocator",
    "flapping-links",
    "satellite",
    "fork-by-more-than-f",
    "fork-of-seven",
    "liar-over-lossy-links",
    "colluders-in-a-partition",
    "slow-primary-over-regions",
    "power-loss-while-a-primary-lies",
    "rolling-restart-over-regions",
    "full-disk-beside-a-liar",
    "stormers-alone",
    "two-attacks-of-one",
    "turned-and-healed",
    "three-kinds-of-faulty",
    "two-lie-to-clients",
    "partition-then-power-loss",
    "five-continents-with-a-crash",
    "long-loss-beyond-f",
    "twins",
    "flood-and-a-crash",
    "partial-clients-and-twins",
    "replays-while-a-primary-lies",
    "everything-at-once",
    "hour-long-loss-beyond-f",
    "skewed-clocks",
}

/// Of the failure models, what attacks of malicious replicas play.
const STANDS_FOR: [(&str, Model); 12] = [
    ("equivocate", Model::Byzantine),
    ("collude", Model::Collusion),
    ("omit", Model::SendOmission),
    ("late", Model::Timing),
    ("fast-clock", Model::Timing),
    ("slow-clock", Model::Timing),
    ("forge", Model::Impersonation),
    ("wrong-checkpoint", Model::CorruptState),
    ("late-replies", Model::Timing),
    ("no-replies", Model::SendOmission),
    ("wrong-status", Model::Impersonation),
    ("deaf", Model::ReceiveOmission),
];

/// Attacks that cannot be played here without leaving a proof. Of the others it depends on who hears what.
const SURELY_PROVED: [&str; 15] = [
    "equivocate",
    "equivocate-other",
    "equivocate-one",
    "bad-signature",
    "huge",
    "twice",
    "double-vote",
    "two-checkpoints",
    "two-new-views",
    "false-prepared",
    "false-stable",
    "huge-max",
    "two-view-changes",
    "drop-slot",
    "null-slot",
];

/// What the scenarios begin with that are made of the list of attacks, one of each.
pub const ATTACK: &str = "attack-";

/// What must happen for an attack to have something to strike at, and for the defence to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// The first primary attacks, is made to miss a second of it, and goes on.
    Missing,
    /// The same, but not before it has come to a checkpoint.
    Checkpoint,
    /// Of seven two may be faulty: the first primary stands still, and the attacker is the next.
    Next,
    /// The first primary attacks, a backup is away for a second and asks for what it has missed, for two seconds the attacker alone.
    Laggard,
    /// The first primary attacks, and a backup connects anew before the view ends.
    Returning,
    /// The first primary attacks, and nothing but the defence ends its view.
    Deposed,
    /// A backup attacks, and the first primary stands still for half a time-out: no view may end for it. (A command must reach the backup before that; simulated
    /// clients ask everybody no sooner.)
    Hasty,
    /// The first primary attacks once it is known what is normal, and the load must not suffer.
    Slow,
}

/// Attacks to which something else must happen than to the others of their kind.
const STORIES: [(&str, Story); 17] = [
    ("slow", Story::Slow),
    ("slow-edge", Story::Slow),
    ("slow-some", Story::Slow),
    ("small-batches", Story::Slow),
    ("recant", Story::Returning),
    ("censor", Story::Deposed),
    ("starve", Story::Deposed),
    ("dark-then-mute", Story::Deposed),
    ("wrong-checkpoint", Story::Checkpoint),
    ("split-checkpoint", Story::Checkpoint),
    ("two-checkpoints", Story::Checkpoint),
    ("wrong-answers", Story::Laggard),
    ("no-answers", Story::Laggard),
    ("false-pruned", Story::Laggard),
    ("stale-answers", Story::Laggard),
    ("fast-clock", Story::Hasty),
    ("slow-clock", Story::Next),
];

/// While a primary is unfair, the 99th percentile of the client that waits longest, in milliseconds: four time-outs.
const UNFAIR_P99_MS: u64 = 2000;
/// Of a clean run's operations, so many must be acknowledged while a primary tries to be slow.
const FLOOR: f64 = 0.7;

const fn replica(id: u16) -> Replica {
    Replica(ReplicaId(id))
}

impl Story {
    fn of(kind: &Kind) -> Self {
        let own = STORIES.iter().find(|(name, _)| *name == kind.name).map(|(_, story)| *story);
        own.unwrap_or(if kind.is_about_view_changes() { Self::Next } else { Self::Missing })
    }

    fn steps(self, attacker: Replica) -> Vec<Step> {
        let (down, backup) = (Who::Group(Group::Down), Who::One(replica(3)));
        let away = |after, paused| {
            let pause = [Step::Wait(after), Step::Pause(paused), Step::Await(Event::Progress)];
            pause.into_iter().chain([Step::Resume(down.clone()), Step::Wait(1.0)]).collect()
        };
        let mut steps: Vec<Step> = match self {
            Self::Missing => away(1.0, Who::One(attacker)),
            Self::Checkpoint => away(8.0, Who::One(attacker)),
            Self::Next => away(1.0, Who::Group(Group::Primary)),
            Self::Laggard => vec![
                Step::Wait(1.0),
                Step::Kill(backup.clone()),
                Step::Wait(1.0),
                Step::Cut(Ways { from: backup.clone(), to: Who::Several(vec![replica(1), replica(2)]) }),
                Step::Restart(down),
                Step::Wait(1.0),
                Step::Heal(backup),
                Step::Await(Event::CaughtUp),
                Step::Wait(1.0),
            ],
            Self::Returning => vec![
                Step::Wait(1.0),
                Step::Kill(backup),
                // So long that something waits for it.
                Step::Wait(0.3),
                Step::Restart(down),
                Step::Await(Event::CaughtUp),
                Step::Wait(1.0),
            ],
            Self::Deposed => vec![Step::Await(Event::NewView), Step::Await(Event::CaughtUp), Step::Wait(1.0)],
            Self::Hasty => vec![
                Step::Wait(1.0),
                Step::Pause(Who::Group(Group::Primary)),
                Step::Wait(0.25),
                Step::Resume(down),
                Step::Wait(2.0),
            ],
            Self::Slow => vec![Step::Wait(2.0), Step::Strike(Who::One(attacker)), Step::Wait(8.0)],
        };
        steps.push(Step::Await(Event::Progress));
        steps
    }
}

/// One attack, played from the start.
fn of_attack(kind: &Kind) -> Scenario {
    let story = Story::of(kind);
    let (replicas, attacker) = match story {
        Story::Next => (7, 1),
        Story::Hasty => (4, 3),
        _ => (4, 0),
    };
    let attacker = replica(attacker);
    let provable: BTreeSet<Replica> = kind.possible().next().map(|_| attacker).into_iter().collect();
    let sure = SURELY_PROVED.contains(&kind.name);
    Scenario {
        name: format!("{ATTACK}{}", kind.name),
        about: kind.description.to_owned(),
        rows: kind.rows.iter().copied().collect(),
        models: STANDS_FOR.iter().filter(|(name, _)| *name == kind.name).map(|(_, model)| *model).collect(),
        replicas,
        seed: 1,
        links: None,
        only: None,
        timing: None,
        twins_for: BTreeSet::new(),
        attacks: BTreeMap::from([(attacker, kind.name.to_owned())]),
        menaces: BTreeMap::new(),
        clocks: BTreeMap::new(),
        load: LoadPlan::default(),
        step: story.steps(attacker),
        expect: Expect {
            throughput: (story == Story::Slow).then_some(FLOOR),
            worst_client_p99_ms: (story == Story::Deposed).then_some(UNFAIR_P99_MS),
            view_changes: (story == Story::Hasty).then_some(0),
            accused: if sure { provable.clone() } else { BTreeSet::new() },
            may_be_accused: if sure { BTreeSet::new() } else { provable },
            ..Expect::default()
        },
    }
}

/// What the scenarios begin with that are made of the list of menaces, one of each.
pub const MENACE: &str = "menace-";

/// No menace makes an honest replica take more memory, in MiB.
const MEMORY_MIB: u64 = 512;
/// Beside clients that flood, every other one is served in time: operations per second that they ask for, and the 99th percentile of each, in milliseconds.
const BESIDE_FLOODS: (f64, u64) = (200.0, 1000);
/// The rows of the table of attacks that are about them, on the wire and by commands.
const FLOODS: [u8; 2] = [19, 29];

/// One menace, for four seconds amid honest clients. No view is left for it.
fn of_menace(kind: &menace::Kind) -> Scenario {
    let beside_floods = FLOODS.iter().any(|row| kind.rows.contains(row)).then_some(BESIDE_FLOODS);
    let in_flight = if beside_floods.is_some() { 16 } else { 2 };
    Scenario {
        name: format!("{MENACE}{}", kind.name),
        about: kind.description.to_owned(),
        rows: kind.rows.iter().copied().collect(),
        models: BTreeSet::new(),
        replicas: 4,
        seed: 1,
        links: None,
        only: None,
        timing: None,
        twins_for: BTreeSet::new(),
        attacks: BTreeMap::new(),
        clocks: BTreeMap::new(),
        menaces: BTreeMap::from([(kind.name.to_owned(), kind.name.to_owned())]),
        load: LoadPlan { clients: 4, in_flight, rate: beside_floods.map(|(rate, _)| rate), ..LoadPlan::default() },
        step: vec![
            Step::Wait(1.0),
            Step::Begin(kind.name.to_owned()),
            Step::Wait(3.0),
            Step::End(kind.name.to_owned()),
            Step::Await(Event::Progress),
        ],
        expect: Expect {
            view_changes: Some(0),
            memory_mib: Some(MEMORY_MIB),
            worst_client_p99_ms: beside_floods.map(|(_, p99)| p99),
            ..Expect::default()
        },
    }
}

/// All names, in the order in which `scenario all` plays them.
pub fn names() -> impl Iterator<Item = String> {
    let files = SHIPPED.iter().map(|(name, _)| (*name).to_owned());
    let attacks = ATTACKS.iter().map(|kind| format!("{ATTACK}{}", kind.name));
    files.chain(attacks).chain(MENACES.iter().map(|kind| format!("{MENACE}{}", kind.name)))
}

/// Why there is no such scenario.
#[derive(Debug, Error)]
pub enum ShippedError {
    /// Not among them.
    #[error("no scenario is called `{0}`; `varangian-testnet scenario list` lists them")]
    Unknown(String),
    /// The file is wrong.
    #[error("scenario {name}: {source}")]
    Wrong {
        /// Which.
        name: String,
        /// Why.
        source: ScenarioError,
    },
}

/// Finds one by its name.
///
/// # Errors
/// [`ShippedError`].
pub fn find(name: &str) -> Result<Scenario, ShippedError> {
    let kind = name.strip_prefix(ATTACK).and_then(|attack| ATTACKS.iter().find(|kind| kind.name == attack));
    if let Some(kind) = kind {
        return Ok(of_attack(kind));
    }
    let kind = name.strip_prefix(MENACE).and_then(|menace| MENACES.iter().find(|kind| kind.name == menace));
    if let Some(kind) = kind {
        return Ok(of_menace(kind));
    }
    let text = SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text);
    let text = text.ok_or_else(|| ShippedError::Unknown(name.to_owned()))?;
    Scenario::parse(text).map_err(|source| ShippedError::Wrong { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests;
