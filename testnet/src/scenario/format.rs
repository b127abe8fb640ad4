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

use super::model::Model;
use crate::damage::Damage;
use crate::load::Load;
use crate::load::operations::Mix;
use crate::menace::{Spec, SpecError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use thiserror::Error;
use varangian_crypto::ReplicaId;
use varangian_links::{PROFILES, Profile, Schedule, Shape, ShapeError};
use varangian_sim::adversary::{AttackError, Plan};

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

/// A replica by its name: `r0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Replica(pub ReplicaId);

impl TryFrom<String> for Replica {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let id = text.strip_prefix('r').and_then(|number| number.parse().ok());
        id.map(|id| Self(ReplicaId(id))).ok_or_else(|| format!("`{text}` is no replica; write r0, r1, ..."))
    }
}

impl From<Replica> for String {
    fn from(replica: Replica) -> Self {
        replica.0.to_string()
    }
}

/// Whom a step is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Who {
    /// By a word.
    Group(Group),
    /// By name.
    One(Replica),
    /// By their names.
    Several(Vec<Replica>),
}

/// Replicas by what they are when the step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The one that leads.
    Primary,
    /// Those that earlier steps have killed or paused.
    Down,
    /// Everybody.
    All,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(Group::Primary) => f.write_str("the primary"),
            Self::Group(Group::Down) => f.write_str("those that are down"),
            Self::Group(Group::All) => f.write_str("all"),
            Self::One(replica) => replica.0.fmt(f),
            Self::Several(replicas) => {
                let names: Vec<String> = replicas.iter().map(|replica| replica.0.to_string()).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

/// One step. It is over when what it does is done, or what it waits for has come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Seconds in which nothing is done but the load goes on.
    Wait(f64),
    /// Waits until so many seconds since the load began.
    At(f64),
    /// Killed on the spot (SIGKILL): what was written and not synced is kept by the system.
    Kill(Who),
    /// Killed, and the log cut at random not before its last synced byte.
    PowerLoss(Who),
    /// Stopped in its tracks (SIGSTOP); its connections stay.
    Pause(Who),
    /// Lets them go on.
    Resume(Who),
    /// Starts them again on what their disks hold.
    Restart(Who),
    /// Their disks take no byte more (`RLIMIT_FSIZE`): they must end by themselves.
    FillDisk(Who),
    /// Everything that replicas which are down have stored is gone; their keys are not.
    WipeDisk(Who),
    /// Something on the disks of replicas that are down is not what it was.
    Corrupt(Corruption),
    /// Starts them, and they must refuse to run: their stores say why.
    Refused(Who),
    /// Malicious replicas that behaved until now begin.
    Strike(Who),
    /// Started again as malicious ones, on what their disks hold; `heal` makes them honest again.
    Attack(Assault),
    /// This menace begins,
    Begin(String),
    /// and ends.
    End(String),
    /// Primaries are paused in turn until this one leads.
    Lead(Replica),
    /// Nothing passes on these directed links.
    Cut(Ways),
    /// Nothing passes between replicas of different groups, either way; those that are not named are a group of their own.
    Partition(Vec<Vec<Replica>>),
    /// These directed links become like this.
    Shape(Shaping),
    /// All links from and to these replicas are as in the scenario's profile again; whom a step turned malicious is started again as an honest one.
    Heal(Who),
    /// All links are as in this profile from here on.
    Links(String),
    /// Waits for something.
    Await(Event),
}

/// Directed links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ways {
    /// From each of these
    pub from: Who,
    /// to each of these.
    pub to: Who,
}

/// Who turns malicious.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assault {
    /// Who.
    pub who: Who,
    /// Attacks as under `[attacks]`.
    pub attack: String,
}

/// What becomes of disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corruption {
    /// Whose.
    pub who: Who,
    /// How.
    pub what: Damage,
}

/// What directed links become like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shaping {
    /// From each of these
    pub from: Who,
    /// to each of these
    pub to: Who,
    /// delay, loss, duplication, reordering, bandwidth.
    pub like: Shape,
}

/// What a step can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A quorum is active in a later view than when the last fault came.
    NewView,
    /// A quorum has executed more than when the step began.
    Progress,
    /// All honest replicas that run are active and have executed what anybody had when the step began.
    CaughtUp,
}

/// The load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadPlan {
    /// Concurrent clients, each with a key of its own.
    pub clients: usize,
    /// Commands that each has on their way.
    pub in_flight: usize,
    /// Operations in each command.
    pub bundle: usize,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Of a hundred operations, so many add to shared counters; the others put.
    pub add_percent: u8,
}

impl Default for LoadPlan {
    fn default() -> Self {
        Self { clients: 8, in_flight: 4, bundle: 1, value_bytes: 128, add_percent: 40 }
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
    /// Views that may be left, by what replicas say of themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_changes: Option<u64>,
    /// Acknowledged operations per second, as a share of those of a clean run before it, without attacks and steps: at least so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
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
            view_changes: None,
            throughput: None,
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

/// Why a file is no scenario.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Not the format.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A name that is no file's name.
    #[error("`{0}` is no name: small letters, digits and hyphens")]
    Name(String),
    /// Out of bounds.
    #[error("replicas = {0}: from 4 to 31")]
    Replicas(u16),
    /// A replica that is not there.
    #[error("{what} names {replica}, and there are only {replicas} replicas")]
    NoSuchReplica {
        /// Which key.
        what: &'static str,
        /// Who.
        replica: ReplicaId,
        /// How many there are.
        replicas: u16,
    },
    /// An attack that is none.
    #[error("attacks.{replica}: {source}")]
    Attack {
        /// Whose.
        replica: ReplicaId,
        /// Why.
        source: AttackError,
    },
    /// An attack that is none.
    #[error("attack: {source}")]
    AttackStep {
        /// Why.
        source: AttackError,
    },
    /// Only malicious replicas strike.
    #[error("{0} is to strike and has no attack; give it one under [attacks]")]
    NothingToStrikeWith(ReplicaId),
    /// Only malicious replicas may be proved faulty.
    #[error("expect: {0} is to be accused and has no attack")]
    InnocentExpected(ReplicaId),
    /// Nonsense.
    #[error("{what} = {seconds}: seconds from 0 to 600")]
    Seconds {
        /// Which key.
        what: &'static str,
        /// What was written.
        seconds: f64,
    },
    /// A menace that is none.
    #[error("menaces.{name}: {source}")]
    Menace {
        /// Under which name.
        name: String,
        /// Why.
        source: SpecError,
    },
    /// A menace that is not there.
    #[error("a step begins or ends `{0}`, which is not under [menaces]")]
    NoSuchMenace(String),
    /// Two attackers at one place.
    #[error("twins-for: r0 runs twice, and is neither linked to itself nor under [attacks]")]
    Twins,
    /// Real processes have neither.
    #[error("clocks are the simulator's alone: add only = \"sim\"")]
    OnlySimulated,
    /// A clock out of bounds.
    #[error("clocks.{replica} = {rate}: from 0.1 to 10 times true time")]
    Clock {
        /// Whose.
        replica: ReplicaId,
        /// What was written.
        rate: f64,
    },
    /// Both would say what links are like.
    #[error("timing says what all links are like: leave out links, cut, partition, shape and heal")]
    TimingAndLinks,
    /// No share.
    #[error("expect.throughput = {0}: a share of the undisturbed run, above 0 and up to 1")]
    Throughput(f64),
    /// It takes more than f.
    #[error("expect.safety = \"broken\" wants more than f attackers: {attackers} of {replicas} replicas are too few")]
    TooFewToBreak {
        /// Malicious ones.
        attackers: usize,
        /// All.
        replicas: u16,
    },
    /// A profile that is none.
    #[error("no profile of links is called `{name}`; there are: {known}")]
    Profile {
        /// What was written.
        name: String,
        /// What there is.
        known: String,
    },
    /// A link out of bounds.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Of too much or nothing.
    #[error("load: {0}")]
    Load(&'static str),
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

    fn check(&self) -> Result<(), ScenarioError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(ScenarioError::Name(self.name.clone()));
        }
        if !(4..=31).contains(&self.replicas) {
            return Err(ScenarioError::Replicas(self.replicas));
        }
        for (replica, attack) in &self.attacks {
            self.exists("attacks", replica.0)?;
            Plan::parse(attack).map_err(|source| ScenarioError::Attack { replica: replica.0, source })?;
        }
        self.check_simulated()?;
        self.links.as_deref().map(profile).transpose()?;
        for (name, menace) in &self.menaces {
            Spec::parse(menace).map_err(|source| ScenarioError::Menace { name: name.clone(), source })?;
        }
        for step in &self.step {
            match step {
                Step::Wait(seconds) => seconds_in("wait", *seconds)?,
                Step::At(seconds) => seconds_in("at", *seconds)?,
                Step::Lead(replica) => self.exists("lead", replica.0)?,
                Step::Attack(Assault { who, attack }) => {
                    for replica in who.named() {
                        self.exists("attack", replica.0)?;
                        if !self.attacks.contains_key(&replica) {
                            return Err(ScenarioError::NothingToStrikeWith(replica.0));
                        }
                    }
                    Plan::parse(attack).map_err(|source| ScenarioError::AttackStep { source })?;
                }
                Step::Strike(who) => {
                    for replica in who.named() {
                        if !self.attacks.contains_key(&replica) {
                            return Err(ScenarioError::NothingToStrikeWith(replica.0));
                        }
                    }
                }
                Step::Kill(who)
                | Step::PowerLoss(who)
                | Step::Pause(who)
                | Step::Resume(who)
                | Step::Heal(who)
                | Step::FillDisk(who)
                | Step::WipeDisk(who)
                | Step::Refused(who)
                | Step::Corrupt(Corruption { who, .. })
                | Step::Restart(who) => {
                    who.named().try_for_each(|replica| self.exists("a step", replica.0))?;
                }
                Step::Cut(Ways { from, to }) | Step::Shape(Shaping { from, to, .. }) => {
                    from.named().chain(to.named()).try_for_each(|replica| self.exists("a step", replica.0))?;
                    if let Step::Shape(Shaping { like, .. }) = step {
                        like.check()?;
                    }
                }
                Step::Partition(groups) => {
                    groups.iter().flatten().try_for_each(|replica| self.exists("partition", replica.0))?;
                }
                Step::Links(name) => {
                    profile(name)?;
                }
                Step::Begin(name) | Step::End(name) if !self.menaces.contains_key(name) => {
                    return Err(ScenarioError::NoSuchMenace(name.clone()));
                }
                Step::Begin(_) | Step::End(_) | Step::Await(_) => {}
            }
        }
        self.check_expect()?;
        let twin = Replica(ReplicaId(0));
        self.twins_for.iter().try_for_each(|replica| self.exists("twins-for", replica.0))?;
        if !self.twins_for.is_empty() && (self.twins_for.contains(&twin) || self.attacks.contains_key(&twin)) {
            return Err(ScenarioError::Twins);
        }
        if let Some(timing) = &self.timing {
            timing.check()?;
            if self.links.is_some() || self.step.iter().any(Step::shapes) {
                return Err(ScenarioError::TimingAndLinks);
            }
        }
        let bounds = [
            (1..=256, self.load.clients, "from 1 to 256 clients"),
            (1..=256, self.load.in_flight, "from 1 to 256 commands in flight"),
            (1..=64, self.load.bundle, "from 1 to 64 operations in a command"),
            (0..=4096, self.load.value_bytes, "values of up to 4096 bytes"),
            (0..=100, self.load.add_percent.into(), "at most 100 percent"),
        ];
        match bounds.iter().find(|(range, value, _)| !range.contains(value)) {
            Some((_, _, words)) => Err(ScenarioError::Load(words)),
            None => Ok(()),
        }
    }

    fn check_simulated(&self) -> Result<(), ScenarioError> {
        for (replica, rate) in &self.clocks {
            self.exists("clocks", replica.0)?;
            if !(0.1..=10.0).contains(rate) {
                return Err(ScenarioError::Clock { replica: replica.0, rate: *rate });
            }
        }
        let real = self.clocks.is_empty();
        if real || self.only == Some(Only::Sim) { Ok(()) } else { Err(ScenarioError::OnlySimulated) }
    }

    /// The malicious ones, and whoever runs twice.
    #[must_use]
    pub fn malicious(&self) -> BTreeSet<Replica> {
        let twin = (!self.twins_for.is_empty()).then_some(Replica(ReplicaId(0)));
        self.attacks.keys().copied().chain(twin).collect()
    }

    fn check_expect(&self) -> Result<(), ScenarioError> {
        let Expect { safety, throughput, accused, may_be_accused, .. } = &self.expect;
        let malicious = self.malicious();
        if let Some(innocent) = accused.iter().chain(may_be_accused).find(|who| !malicious.contains(who)) {
            return Err(ScenarioError::InnocentExpected(innocent.0));
        }
        if let Some(share) = throughput.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(ScenarioError::Throughput(share));
        }
        let attackers = malicious.len();
        if *safety == Safety::Broken && attackers <= usize::from((self.replicas - 1) / 3) {
            return Err(ScenarioError::TooFewToBreak { attackers, replicas: self.replicas });
        }
        Ok(())
    }

    fn exists(&self, what: &'static str, replica: ReplicaId) -> Result<(), ScenarioError> {
        if replica.0 < self.replicas {
            return Ok(());
        }
        Err(ScenarioError::NoSuchReplica { what, replica, replicas: self.replicas })
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

fn seconds_in(what: &'static str, seconds: f64) -> Result<(), ScenarioError> {
    if (0.0..=600.0).contains(&seconds) { Ok(()) } else { Err(ScenarioError::Seconds { what, seconds }) }
}

impl Step {
    /// Whether it says what links are like.
    const fn shapes(&self) -> bool {
        matches!(self, Self::Cut(_) | Self::Partition(_) | Self::Shape(_) | Self::Heal(_) | Self::Links(_))
    }
}

impl Who {
    /// Those that are called by their names.
    pub fn named(&self) -> impl Iterator<Item = Replica> + '_ {
        let named: &[Replica] = match self {
            Self::Group(_) => &[],
            Self::One(replica) => std::slice::from_ref(replica),
            Self::Several(replicas) => replicas,
        };
        named.iter().copied()
    }
}

#[cfg(test)]
mod tests;
