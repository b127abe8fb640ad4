//! Why a file is no scenario.

use crate::menace::SpecError;
use thiserror::Error;
use varangian_crypto::ReplicaId;
use varangian_links::ShapeError;
use varangian_sim::adversary::AttackError;

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
    /// The second copy is nobody's to hit.
    #[error("twins-for: r0 runs twice, and no step kills, pauses, restarts or damages it")]
    TwinsAndSteps,
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
    /// What is never answered has no latency.
    #[error("expect.worst_client_p99_ms says nothing of commands that are never answered: leave liveness = true")]
    LatencyWithoutLiveness,
    /// Nothing is given back.
    #[error("expect.recovers_within: no step gives anything back; that are restart, resume, heal, links and lead")]
    NothingToRecoverFrom,
    /// No rate.
    #[error(
        "load.rate = {0}: operations per second over all clients, from 1 to 100000; left out, as fast as they are answered"
    )]
    Rate(f64),
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
