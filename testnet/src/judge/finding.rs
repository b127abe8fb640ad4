//! What can be wrong with a run, in words that say where to look.

pub use super::findings::Findings;
use serde::{Serialize, Serializer};
use std::time::Duration;
use thiserror::Error;
use varangian_application::Space;
use varangian_consensus::{Identity, Slot, View};
use varangian_crypto::ReplicaId;

/// What is wrong with a checkpoint that is of another history than the log's,
pub(super) const OTHER_HISTORY: &str = "its history is not that of the log";
/// or of another state.
pub(super) const OTHER_STATE: &str = "its state is not that of the replayed log";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Finding {
    /// Two honest replicas decided a slot differently.
    #[error("slot {slot}: {first} and {second} executed different batches")]
    Fork {
        /// Where.
        slot: Slot,
        /// One of them: the one that has come furthest.
        first: ReplicaId,
        /// The other one.
        second: ReplicaId,
    },
    /// A slot was executed without a proof that it was decided.
    #[error("slot {slot} of {replica}: its commit certificate is not one: {reason}")]
    Certificate {
        /// Whose.
        replica: ReplicaId,
        /// Where.
        slot: Slot,
        /// What is wrong.
        reason: String,
    },
    /// A replica said COMMIT and has not kept what it promised by that: its disk knew less than it sent.
    #[error(
        "slot {slot}: {replica} signed a COMMIT in view {view}, but its disk holds no prepared certificate for it: it sent before it stored"
    )]
    Unkept {
        /// Whose.
        replica: ReplicaId,
        /// Where.
        slot: Slot,
        /// In which view.
        view: View,
    },
    /// A body is not what was decided.
    #[error("slot {slot} of {replica}: its body is not the batch that was decided: {reason}")]
    Body {
        /// Whose.
        replica: ReplicaId,
        /// Where.
        slot: Slot,
        /// What is wrong.
        reason: String,
    },
    /// A decided batch breaks the rules for batches: no honest replica votes for it.
    #[error("slot {slot}: an invalid batch was decided: {reason}")]
    InvalidBatch {
        /// Where.
        slot: Slot,
        /// What is wrong.
        reason: String,
    },
    /// The chain of batches is not that of the log.
    #[error("{replica}: its history at slot {slot} is not that of the log")]
    History {
        /// Whose.
        replica: ReplicaId,
        /// Its last slot.
        slot: Slot,
    },
    /// The accumulator of the state is not that of the replay.
    #[error("{replica}: its state's digest at slot {slot} is not that of the replayed log")]
    Accumulator {
        /// Whose.
        replica: ReplicaId,
        /// Its last slot.
        slot: Slot,
    },
    /// The state is not that of the replay.
    #[error("{replica}: its {} at slot {slot} is not that of the replayed log; the first key that differs is {}", space_name(*.space), key_text(.key))]
    State {
        /// Whose.
        replica: ReplicaId,
        /// Its last slot.
        slot: Slot,
        /// In which part of it.
        space: Space,
        /// The first key that differs.
        key: Vec<u8>,
    },
    /// A stable checkpoint is not what the log leads to.
    #[error("{replica}: its stable checkpoint at slot {slot} is wrong: {reason}")]
    Checkpoint {
        /// Whose.
        replica: ReplicaId,
        /// Where.
        slot: Slot,
        /// What is wrong.
        reason: String,
    },
    /// An acknowledged command did not run.
    #[error("{}: acknowledged in slot {slot}, but it never ran", command_text(.command))]
    Missing {
        /// Which.
        command: Identity,
        /// Where its client was told it ran.
        slot: Slot,
    },
    /// A command ran more than once.
    #[error("{}: ran in slot {first} and again in slot {again}", command_text(.command))]
    RanTwice {
        /// Which.
        command: Identity,
        /// Where it ran first.
        first: Slot,
        /// Where it ran again.
        again: Slot,
    },
    /// A command ran elsewhere than its client was told.
    #[error("{}: acknowledged in slot {acknowledged}, but it ran in slot {ran}", command_text(.command))]
    WrongSlot {
        /// Which.
        command: Identity,
        /// What its client was told.
        acknowledged: Slot,
        /// Where it ran.
        ran: Slot,
    },
    /// A client was given other results than the log has.
    #[error("{}: the results that its client was given are not those of slot {slot}", command_text(.command))]
    WrongResults {
        /// Which.
        command: Identity,
        /// Where it ran.
        slot: Slot,
    },
    /// A command ran that its client was told never would.
    #[error("{}: rejected, but it ran in slot {slot}", command_text(.command))]
    RejectedRan {
        /// Which.
        command: Identity,
        /// Where.
        slot: Slot,
    },
    /// A command ran that no client sent.
    #[error("{}: ran in slot {slot}, but no client's journal has sent it", command_text(.command))]
    NobodySent {
        /// Which.
        command: Identity,
        /// Where.
        slot: Slot,
    },
    /// A command ran with other operations than its client sent.
    #[error("{}: ran in slot {slot} with other operations than its client sent", command_text(.command))]
    OtherOperations {
        /// Which.
        command: Identity,
        /// Where.
        slot: Slot,
    },
    /// A command ran before one that was acknowledged before it was sent.
    #[error("{}: acknowledged before {} was sent, but ran after it", command_text(.earlier), command_text(.later))]
    Order {
        /// The one that was acknowledged.
        earlier: Identity,
        /// The one that was sent later.
        later: Identity,
    },
    /// No order of a key's operations explains what clients were told of them.
    #[error("key {}: no order of its operations explains what was answered up to {}", key_text(.key), command_text(.command))]
    NotLinearizable {
        /// Which.
        key: Vec<u8>,
        /// The last one, in time, that is looked at.
        command: Identity,
    },
    /// Clients were answered, and next to nothing of their histories was searched to an end.
    #[error("only {searched} of {operations} operations were searched to an end: too little is known of their order")]
    Unsearched {
        /// So many operations were.
        searched: u64,
        /// Of so many.
        operations: u64,
    },
    /// The search for an order takes a history for right that was made wrong.
    #[error("the search for an order of key {} is blind: it explains {what}", key_text(.key))]
    Blind {
        /// What was made wrong.
        what: &'static str,
        /// In whose history.
        key: Vec<u8>,
    },
    /// The search for an order has refused no history that was made wrong in this way, though there were some.
    #[error("the search for an order may be blind: it came to no end on any of {tried} histories with {what}")]
    Unproven {
        /// What was made wrong.
        what: &'static str,
        /// In so many histories.
        tried: u64,
    },
    /// Nothing in what was searched could be made wrong, so the search was not seen to refuse anything.
    #[error(
        "the search for an order may be blind: of {operations} operations none was of a kind that can be made wrong on purpose"
    )]
    Untried {
        /// So many were searched.
        operations: u64,
    },
    /// A counter is not the sum of what was added to it.
    #[error("{replica}: counter {} is {}, but the additions come to {expected}", key_text(.key), .found.as_deref().unwrap_or("absent"))]
    Counter {
        /// Whose.
        replica: ReplicaId,
        /// Which.
        key: Vec<u8>,
        /// What it holds.
        found: Option<String>,
        /// What it must hold.
        expected: i128,
    },
    /// Nothing was acknowledged for too long.
    #[error(
        "nothing was acknowledged for {gap:?}, from {from_ms} ms to {to_ms} ms of the load's clock; the bound is {bound:?}"
    )]
    Gap {
        /// How long.
        gap: Duration,
        /// Since when.
        from_ms: u64,
        /// Until when.
        to_ms: u64,
        /// How long it may be.
        bound: Duration,
    },
    /// What was taken has come back, and nothing was acknowledged for too long.
    #[error(
        "what was taken was back at {from_ms} ms of the load's clock, and nothing was acknowledged for {took:?}; the bound is {bound:?}"
    )]
    Recovery {
        /// How long it took, at least.
        took: Duration,
        /// Since when.
        from_ms: u64,
        /// How long it may take.
        bound: Duration,
    },
    /// Nothing was acknowledged at all.
    #[error("not one command was acknowledged while the load was on")]
    Silence,
    /// A command has no outcome.
    #[error("{}: sent, but its outcome was never learnt", command_text(.0))]
    Unresolved(Identity),
    /// An honest replica is accused.
    #[error("{holder} holds a proof against {accused}, which is honest: {kind}")]
    HonestAccused {
        /// Who holds it.
        holder: ReplicaId,
        /// Against whom.
        accused: ReplicaId,
        /// What it is said to have done.
        kind: &'static str,
    },
    /// Somebody is accused who was not expected to be.
    #[error("{accused} is proved faulty, which was not expected: {kind}")]
    UnexpectedlyAccused {
        /// Who.
        accused: ReplicaId,
        /// What it has done.
        kind: &'static str,
    },
    /// Nobody proved a fault that was expected.
    #[error("nobody holds a proof against {0}")]
    NotAccused(ReplicaId),
    /// A fork that does not convict as many as it takes.
    #[error("the fork in slot {slot}: the honest disks prove {proved} guilty of it; it takes {needed}")]
    ForkUnproved {
        /// The first slot that differs.
        slot: Slot,
        /// How many are proved guilty.
        proved: usize,
        /// How many it takes: one more than may be faulty.
        needed: usize,
    },
    /// A fork convicts an honest replica.
    #[error("the fork in slot {slot}: the honest disks prove {accused} guilty, which is honest: {kind}")]
    ForkAccusesHonest {
        /// The first slot that differs.
        slot: Slot,
        /// Who.
        accused: ReplicaId,
        /// What it has done.
        kind: &'static str,
    },
    /// A kept proof proves nothing.
    #[error("{holder} holds a proof against {accused} that proves nothing: {reason}")]
    FalseProof {
        /// Who holds it.
        holder: ReplicaId,
        /// Against whom.
        accused: ReplicaId,
        /// Why it is none.
        reason: String,
    },
}

impl Finding {
    /// Whether a fork alone may be the reason: where honest replicas have decided differently, only one of their logs is followed, and clients were told
    /// of both.
    pub(super) fn comes_of_a_fork(&self) -> bool {
        match self {
            Self::Fork { .. }
            | Self::History { .. }
            | Self::Accumulator { .. }
            | Self::State { .. }
            | Self::Missing { .. }
            | Self::WrongSlot { .. }
            | Self::WrongResults { .. }
            | Self::Order { .. }
            | Self::NotLinearizable { .. }
            | Self::Counter { .. } => true,
            Self::Checkpoint { reason, .. } => reason == OTHER_HISTORY || reason == OTHER_STATE,
            Self::Certificate { .. }
            | Self::Unkept { .. }
            | Self::Body { .. }
            | Self::InvalidBatch { .. }
            | Self::RanTwice { .. }
            | Self::RejectedRan { .. }
            | Self::NobodySent { .. }
            | Self::OtherOperations { .. }
            | Self::Unsearched { .. }
            | Self::Blind { .. }
            | Self::Unproven { .. }
            | Self::Untried { .. }
            | Self::Gap { .. }
            | Self::Recovery { .. }
            | Self::Silence
            | Self::Unresolved(_)
            | Self::HonestAccused { .. }
            | Self::UnexpectedlyAccused { .. }
            | Self::NotAccused(_)
            | Self::ForkUnproved { .. }
            | Self::ForkAccusesHonest { .. }
            | Self::FalseProof { .. } => false,
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const fn space_name(space: Space) -> &'static str {
    match space {
        Space::Application => "application state",
        Space::Client => "client table",
    }
}

/// A client by the first bytes of its key: enough to find it.
fn command_text(command: &Identity) -> String {
    let client = command.client.to_string();
    format!("client {} command {}", client.get(..8).unwrap_or(&client), command.sequence)
}

/// A key as text where it is some, else in hexadecimal.
fn key_text(key: &[u8]) -> String {
    match str::from_utf8(key) {
        Ok(text) if !text.chars().any(char::is_control) => format!("`{text}`"),
        _ => format!("0x{}", hex::encode(key)),
    }
}
