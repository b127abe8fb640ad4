//! What happens in a scenario, and to whom.

use super::{ScenarioError, profile};
use crate::damage::Damage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use varangian_crypto::ReplicaId;
use varangian_links::Shape;
use varangian_sim::adversary::Plan;

/// A replica by its name, `r0`, or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Replica(pub ReplicaId);

impl FromStr for Replica {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.strip_prefix('r').unwrap_or(text).parse();
        id.map(|id| Self(ReplicaId(id))).map_err(|_| format!("`{text}` is no replica; write r0, r1, ..."))
    }
}

impl TryFrom<String> for Replica {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
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
    /// Their next log files take every byte and cannot be synced: they must end by themselves. What they could not sync is gone.
    FailSync(Who),
    /// Everything that replicas which are down have stored is gone; their keys are not.
    WipeDisk(Who),
    /// A copy of everything that replicas which are down have stored is kept, as a backup is.
    SaveDisk(Who),
    /// That copy is put back: what they have stored since is gone, and nothing on their disks says so.
    RestoreDisk(Who),
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A quorum is active in a later view than when the last fault came.
    NewView,
    /// A quorum has executed more than when the step began.
    Progress,
    /// All honest replicas that run are active and have executed what anybody had when the step began.
    CaughtUp,
    /// These say that they have stopped for good: they run, and vote no more.
    Stopped(Who),
    /// The processes of these have ended by themselves, and have said why.
    Ended(Who),
}

impl Step {
    /// Checks what can be checked of it alone, for a network of so many replicas.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn check(&self, replicas: u16) -> Result<(), ScenarioError> {
        if let Some(replica) = self.named().into_iter().find(|replica| replica.0.0 >= replicas) {
            return Err(ScenarioError::NoSuchReplica { what: "a step", replica: replica.0, replicas });
        }
        match self {
            Self::Wait(seconds) => seconds_in("wait", *seconds),
            Self::At(seconds) => seconds_in("at", *seconds),
            Self::Attack(Assault { attack, .. }) => {
                Plan::parse(attack).map(drop).map_err(|source| ScenarioError::AttackStep { source })
            }
            Self::Shape(Shaping { like, .. }) => Ok(like.check()?),
            Self::Links(name) => profile(name).map(drop),
            _ => Ok(()),
        }
    }

    /// Whom it calls by their names.
    fn named(&self) -> Vec<Replica> {
        match self {
            Self::Strike(who) | Self::Heal(who) | Self::Await(Event::Stopped(who) | Event::Ended(who)) => {
                who.named().collect()
            }
            Self::Cut(Ways { from, to }) | Self::Shape(Shaping { from, to, .. }) => {
                from.named().chain(to.named()).collect()
            }
            Self::Lead(replica) => vec![*replica],
            Self::Partition(groups) => groups.iter().flatten().copied().collect(),
            _ => self.touches_process().map(|who| who.named().collect()).unwrap_or_default(),
        }
    }

    /// Whose process or disk it does something to.
    pub(super) fn touches_process(&self) -> Option<&Who> {
        match self {
            Self::Kill(who)
            | Self::PowerLoss(who)
            | Self::Pause(who)
            | Self::Resume(who)
            | Self::Restart(who)
            | Self::FillDisk(who)
            | Self::FailSync(who)
            | Self::WipeDisk(who)
            | Self::SaveDisk(who)
            | Self::RestoreDisk(who)
            | Self::Corrupt(Corruption { who, .. })
            | Self::Refused(who)
            | Self::Attack(Assault { who, .. }) => Some(who),
            _ => None,
        }
    }

    /// Whether it takes something that stays away until another step gives it back.
    pub(in crate::scenario) const fn takes(&self) -> bool {
        match self {
            Self::Kill(_)
            | Self::PowerLoss(_)
            | Self::Pause(_)
            | Self::FillDisk(_)
            | Self::FailSync(_)
            | Self::Strike(_)
            | Self::Attack(_)
            | Self::Cut(_)
            | Self::Partition(_)
            | Self::Shape(_) => true,
            // `lead` gives back what it takes.
            Self::Wait(_)
            | Self::At(_)
            | Self::Resume(_)
            | Self::Restart(_)
            | Self::WipeDisk(_)
            | Self::SaveDisk(_)
            | Self::RestoreDisk(_)
            | Self::Corrupt(_)
            | Self::Refused(_)
            | Self::Begin(_)
            | Self::End(_)
            | Self::Lead(_)
            | Self::Heal(_)
            | Self::Links(_)
            | Self::Await(_) => false,
        }
    }

    /// Whether it gives back what an earlier one took.
    pub(in crate::scenario) const fn gives_back(&self) -> bool {
        matches!(self, Self::Resume(_) | Self::Restart(_) | Self::Heal(_) | Self::Links(_))
    }

    /// Whether it says what links are like.
    pub(super) const fn shapes(&self) -> bool {
        matches!(self, Self::Cut(_) | Self::Partition(_) | Self::Shape(_) | Self::Heal(_) | Self::Links(_))
    }
}

impl Who {
    /// Whether it can be this one.
    pub(super) fn may_be(&self, replica: Replica) -> bool {
        matches!(self, Self::Group(_)) || self.named().any(|named| named == replica)
    }

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

fn seconds_in(what: &'static str, seconds: f64) -> Result<(), ScenarioError> {
    if (0.0..=600.0).contains(&seconds) { Ok(()) } else { Err(ScenarioError::Seconds { what, seconds }) }
}
