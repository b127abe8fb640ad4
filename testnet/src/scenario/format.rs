//! The file: TOML, in which every key must be known.
//!
//! ```toml
//! name = "primary-killed"
//! about = "The first primary is killed in mid-load and comes back"
//! rows = [24, 30]
//!
//! [[step]]
//! wait = 3
//! [[step]]
//! kill = "primary"
//! [[step]]
//! await = "new-view"
//! [[step]]
//! restart = "down"
//! [[step]]
//! await = "caught-up"
//!
//! [expect]
//! max_gap = 10
//! ```

mod check;
mod draw;
mod error;
mod step;

pub use draw::DrawError;
pub use error::ScenarioError;
pub use step::{Assault, Corruption, Event, Group, Replica, Shaping, Step, Ways, Who};

use super::model::Model;
use crate::load::Load;
use crate::load::operations::Mix;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use varangian_crypto::ReplicaId;
use varangian_links::{PROFILES, Profile, Schedule};

/// Seconds of a clean run.
const CLEAN: f64 = 8.0;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Small letters, digits and hyphens.
    pub name: String,
    /// What happens, in one line.
    pub about: String,
    /// Its rows in the table of attacks.
    #[serde(default)]
    pub rows: BTreeSet<u8>,
    /// The models of failures, timing and communication that it stands for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub models: BTreeSet<Model>,
    /// Replicas; 4 unless said otherwise.
    #[serde(default = "four")]
    pub replicas: u16,
    /// Of the load and of whatever is random.
    #[serde(default)]
    pub seed: u64,
    /// What lies between the replicas: a profile of links by its name. Left out, they reach each other directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<String>,
    /// Who alone can play it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// A timing model, by which all links change by themselves from the start of the load to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Schedule>,
    /// Malicious replicas and their attacks, `NAME` or `NAME@TRIGGER`, several joined by `+`. One that a step strikes with behaves until then.
    #[serde(default)]
    pub attacks: BTreeMap<Replica, String>,
    /// r0 runs twice with one key, honest both times: these are linked to its second copy, the others to its first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub twins_for: BTreeSet<Replica>,
    /// Malicious clients and floods on the wire, each under a name of its own: `NAME`, `NAME@TRIGGER`, with `,rate=N`. One that a step begins
    /// with does nothing until then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub menaces: BTreeMap<String, String>,
    /// How fast clocks run, 1 being true time; 0.1 to 10. The simulator alone can do that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clocks: BTreeMap<Replica, f64>,
    /// What clients do meanwhile.
    #[serde(default)]
    pub load: LoadPlan,
    /// What happens, one after the other.
    #[serde(default)]
    pub step: Vec<Step>,
    /// What must hold.
    #[serde(default)]
    pub expect: Expect,
}

const fn four() -> u16 {
    4
}

/// Who alone can play a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Only {
    /// The simulator: it takes too long on real processes, or they cannot do it.
    Sim,
}

/// The load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadPlan {
    /// Concurrent clients, each with a key of its own.
    pub clients: usize,
    /// Commands that each has on their way.
    pub in_flight: usize,
    /// Open loop: operations per second over all clients. Left out: each client sends the next command when one is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Operations in each command.
    pub bundle: usize,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Of a hundred operations, so many add to shared counters; the others put.
    pub add_percent: u8,
}

impl Default for LoadPlan {
    fn default() -> Self {
        Self { clients: 8, in_flight: 4, rate: None, bundle: 1, value_bytes: 128, add_percent: 40 }
    }
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Whether the honest must agree; with more than `f` malicious ones they may be meant not to.
    pub safety: Safety,
    /// Whether clients must be served, every outcome become known, and all honest replicas meet in the end.
    pub liveness: bool,
    /// Longest time without an acknowledgement, in seconds.
    pub max_gap: u64,
    /// Longest time, in seconds, from a step that gives back what was taken to the next acknowledgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovers_within: Option<u64>,
    /// Views that may be left, by what replicas say of themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_changes: Option<u64>,
    /// Acknowledged operations per second, as a share of those of a clean run before it, without attacks and steps: at least so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
    /// The 99th percentile of the client that waits longest, in milliseconds: at most so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_client_p99_ms: Option<u64>,
    /// Memory that an honest replica's process ever had resident, in MiB: at most so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Who must be proved faulty.
    pub accused: BTreeSet<Replica>,
    /// Who else may be: it depends on what it happened to say to whom.
    pub may_be_accused: BTreeSet<Replica>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            safety: Safety::Holds,
            liveness: true,
            max_gap: 10,
            recovers_within: None,
            view_changes: None,
            throughput: None,
            worst_client_p99_ms: None,
            memory_mib: None,
            accused: BTreeSet::new(),
            may_be_accused: BTreeSet::new(),
        }
    }
}

/// What is expected of safety.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Safety {
    /// Honest stores agree, and with the clients.
    #[default]
    Holds,
    /// More than `f` lie and break it: the verdict must say so, and more than `f` of the guilty must be proved, nobody else.
    Broken,
}

impl Scenario {
    /// Reads and checks one.
    ///
    /// # Errors
    /// [`ScenarioError`], which says what to change.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The malicious ones, and whoever runs twice.
    #[must_use]
    pub fn malicious(&self) -> BTreeSet<Replica> {
        let twin = (!self.twins_for.is_empty()).then_some(Replica(ReplicaId(0)));
        self.attacks.keys().copied().chain(twin).collect()
    }

    /// The links, if there are any to shape: a scenario that changes links and names no profile begins with perfect ones.
    ///
    /// # Errors
    /// If there is no such profile.
    pub fn profile(&self) -> Result<Option<&'static Profile>, ScenarioError> {
        let shaped = self.timing.is_some() || self.step.iter().any(Step::shapes);
        let named = self.links.as_deref().or_else(|| shaped.then_some("perfect"));
        named.map(profile).transpose()
    }

    /// The malicious replicas that behave until a step strikes with them.
    #[must_use]
    pub fn sleepers(&self) -> BTreeSet<Replica> {
        let strikes = self.step.iter().filter_map(|step| match step {
            Step::Strike(who) => Some(who),
            _ => None,
        });
        strikes
            .flat_map(|who| match who {
                Who::Group(_) => self.attacks.keys().copied().collect(),
                named => named.named().collect::<Vec<_>>(),
            })
            .collect()
    }

    /// The menaces that begin with the load.
    pub fn at_once(&self) -> impl Iterator<Item = &String> {
        let waits = |name: &&String| self.step.iter().any(|step| matches!(step, Step::Begin(later) if later == *name));
        self.menaces.keys().filter(move |name| !waits(name))
    }

    /// The same without attacks and faults: what a share of throughput is a share of.
    #[must_use]
    pub fn clean(&self) -> Self {
        Self {
            name: format!("{}-clean", self.name),
            attacks: BTreeMap::new(),
            menaces: BTreeMap::new(),
            twins_for: BTreeSet::new(),
            step: vec![Step::Wait(CLEAN)],
            expect: Expect::default(),
            ..self.clone()
        }
    }

    /// What the clients do.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            clients: self.load.clients,
            in_flight: self.load.in_flight,
            rate: self.load.rate,
            bundle: self.load.bundle,
            value_bytes: self.load.value_bytes,
            mix: Mix { add_percent: self.load.add_percent, ..Mix::default() },
            seed: self.seed,
            resolve_deadline: Duration::from_secs(if self.expect.liveness { 30 } else { 5 }),
            ..Load::default()
        }
    }
}

/// A profile of links by its name.
///
/// # Errors
/// If there is none, with those that there are.
pub fn profile(name: &str) -> Result<&'static Profile, ScenarioError> {
    let known = || PROFILES.iter().map(|profile| profile.name).collect::<Vec<_>>().join(", ");
    Profile::named(name).ok_or_else(|| ScenarioError::Profile { name: name.to_owned(), known: known() })
}

#[cfg(test)]
mod tests;
