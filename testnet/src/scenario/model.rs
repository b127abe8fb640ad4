//! The models of the theory, by name: what a scenario stands for.

use serde::{Deserialize, Serialize};

/// A model of failures, timing or communication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// A replica stops for good.
    Crash,
    /// A replica stops and comes back with what its disk holds.
    CrashRecovery,
    /// Some of what a replica sends is never sent.
    SendOmission,
    /// Some of what a replica is sent never reaches it.
    ReceiveOmission,
    /// A replica does the right thing too late, or too early.
    Timing,
    /// A replica does whatever it likes: contradicts itself,
    Byzantine,
    /// together with others,
    Collusion,
    /// on a state that is not what it was,
    CorruptState,
    /// or in the name of somebody else.
    Impersonation,
    /// Replicas of different parts of the network do not hear each other.
    Partition,
    /// Messages arrive within a known bound.
    Synchronous,
    /// Messages arrive within a bound from some time on.
    PartiallySynchronous,
    /// Messages arrive some time.
    Asynchronous,
    /// Messages arrive, once and in order.
    ReliableCommunication,
    /// Messages are lost, doubled, overtaken.
    UnreliableCommunication,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Crash,
        Self::CrashRecovery,
        Self::SendOmission,
        Self::ReceiveOmission,
        Self::Timing,
        Self::Byzantine,
        Self::Collusion,
        Self::CorruptState,
        Self::Impersonation,
        Self::Partition,
        Self::Synchronous,
        Self::PartiallySynchronous,
        Self::Asynchronous,
        Self::ReliableCommunication,
        Self::UnreliableCommunication,
    ];
}
