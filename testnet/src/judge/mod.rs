//! The verdict on a run, from outside: by what the honest replicas have on disk and by what the clients wrote down.
//!
//! Nothing that a replica says of itself is believed. The log is replayed from genesis, certificates and proofs are checked with the
//! genesis alone, and the clients' journals say what was asked and what was answered.
//!
//! Reading order:
//!
//! - `stores`: the honest replicas' stores, opened once their processes have ended.
//! - `claims`: what the clients say was asked and answered, and what the log did about it.
//! - `linearizability`: whether some order explains the answers, without the log.
//! - `replay`: the log, slot by slot, through an application of its own.
//! - `safety`, `liveness`, `evidence`: the three judgements.
//! - `figures`: how fast it was.
//! - [`command`]: the same of a network that is down, without journals.
//! - [`finding`], `findings`: what can be wrong; [`verdict`]: what is said in the end.

mod claims;
pub mod command;
mod evidence;
mod figures;
pub mod finding;
mod findings;
mod linearizability;
mod liveness;
mod replay;
mod safety;
mod stores;
#[cfg(test)]
mod tests;
pub mod verdict;

use crate::journal::{self, JournalError};
use claims::Claims;
use evidence::Expected;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use stores::Honest;
use thiserror::Error;
use varangian::evidence::EvidenceFile;
use varangian::execute::ExecutionError;
use varangian::fork::ForkError;
use varangian::record::RecordError;
use varangian_application::ExecuteError;
use varangian_consensus::Slot;
use varangian_crypto::{Committee, Genesis, ReplicaId};
use varangian_storage::StoreError;

pub use finding::{Finding, Findings};
pub use liveness::Turn;
pub use verdict::Verdict;

/// What is to be judged. The replicas' processes have ended.
#[derive(Clone, Debug)]
pub struct Case {
    /// The chain.
    pub genesis: Genesis,
    /// Each replica's home, and whether the replica was honest. A malicious one's disk is not looked at.
    pub homes: Vec<(ReplicaId, PathBuf, bool)>,
    /// The directory of the clients' journals.
    pub journals: PathBuf,
    /// These must be proved faulty,
    pub expect_accused: BTreeSet<ReplicaId>,
    /// these may be, and nobody else.
    pub may_accuse: BTreeSet<ReplicaId>,
    /// Longest time without an acknowledgement while the load was on.
    pub max_gap: Duration,
    /// What was taken and given back meanwhile, and when, in milliseconds of the journals' clock, in the order of time.
    pub turns: Vec<(u64, Turn)>,
    /// Longest time to an acknowledgement after something was given back; `None`: not judged.
    pub recovers_within: Option<Duration>,
    /// When the load began and ended, in milliseconds of the journals' clock.
    pub load: (u64, u64),
    /// Of what is sampled.
    pub seed: u64,
    /// Whether commands may be left without an outcome.
    pub allow_unresolved: bool,
}

/// Why there is no verdict. Never a pass.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// Nobody's word counts.
    #[error("there is nothing to judge: no replica of this network is honest")]
    NobodyHonest,
    /// A replica still runs.
    #[error("{replica} still runs ({source}): end all replicas, then judge")]
    Running {
        /// Which.
        replica: ReplicaId,
        /// What its store says.
        source: StoreError,
    },
    /// An honest replica's store cannot be read.
    #[error("the store of {replica}: {source}")]
    Store {
        /// Whose.
        replica: ReplicaId,
        /// Why.
        source: StoreError,
    },
    /// An honest replica's records cannot be read.
    #[error("the records of {replica}: {source}")]
    Record {
        /// Whose.
        replica: ReplicaId,
        /// Why.
        source: RecordError,
    },
    /// An honest replica's state cannot be read.
    #[error("the state of {replica}: {source}")]
    State {
        /// Whose.
        replica: ReplicaId,
        /// Why.
        source: ExecutionError,
    },
    /// The log does not reach back.
    #[error(
        "no honest replica has slot {slot} any more, so the log cannot be replayed from genesis: \
         let replicas retain more (storage.retain_bytes), or judge a shorter run"
    )]
    Pruned {
        /// The first slot that is missing.
        slot: Slot,
    },
    /// The agreed log cannot be executed.
    #[error("slot {slot} of the agreed log cannot be replayed: {source}")]
    Replay {
        /// Where.
        slot: Slot,
        /// Why.
        source: ExecuteError,
    },
    /// The journals cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The load has no duration.
    #[error("the load is said to last from {0} ms to {1} ms: its end must come after its begin")]
    Load(u64, u64),
    /// The latencies cannot be counted.
    #[error("latencies cannot be counted: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
}

impl From<ForkError> for JudgeError {
    fn from(error: ForkError) -> Self {
        match error {
            ForkError::Store { replica, source } => Self::Store { replica, source },
            ForkError::Record { replica, source } => Self::Record { replica, source },
        }
    }
}

/// Judges a run. Gives all proofs that the honest replicas' stores hold, too, alone and, if they have forked, together.
///
/// # Errors
/// [`JudgeError`] if there can be no verdict: a process still runs, a store or journal cannot be read, or the log does not reach back to
/// genesis.
pub fn judge(case: &Case) -> Result<(Verdict, EvidenceFile), JudgeError> {
    let (from, to) = case.load;
    if from >= to {
        return Err(JudgeError::Load(from, to));
    }
    let committee = Committee::new(&case.genesis);
    let honest = Honest::open_all(&case.homes, &case.genesis)?;
    if honest.is_empty() {
        return Err(JudgeError::NobodyHonest);
    }
    let mut claims = Claims::new(journal::read_all(&case.journals)?);
    let mut findings = Findings::default();
    // Before the log is read: what it knows of a command must not help to explain it.
    let linearizability = linearizability::judge(&claims, case.seed, &mut findings);
    let safety = safety::judge(&case.genesis, &committee, &honest, &mut claims, linearizability, findings)?;
    let expected = Expected {
        innocent: case.homes.iter().filter(|(_, _, honest)| *honest).map(|(id, _, _)| *id).collect(),
        accused: case.expect_accused.clone(),
        may_be_accused: case.may_accuse.clone(),
    };
    let (evidence, proved) = evidence::judge(case.genesis.chain_id(), &expected, &committee, &honest)?;
    let verdict =
        Verdict { safety, liveness: liveness::judge(case, &claims), evidence, figures: figures::count(case, &claims)? };
    Ok((verdict, proved))
}
