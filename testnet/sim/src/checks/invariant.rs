//! What must hold, by name, and what it looks like when it does not.

use core::fmt;

/// What must hold after every step of every run; the liveness ones, once faults have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// One batch per executed slot.
    OneBatchPerSlot = 1,
    /// At most one prepared digest per view and slot.
    OnePreparedDigest,
    /// A committed digest equals every prepared certificate of that slot in later views.
    CommittedStays,
    /// No key signs two digests for one place, restarts included; no vote below a promise.
    OneVotePerPlace,
    /// Every vote sent is covered by synced disk state.
    DurableBeforeSent,
    /// Execution is contiguous; never below the stable checkpoint after a restart.
    Contiguous,
    /// Equal state at equal slots and checkpoints.
    EqualState,
    /// Each (client, sequence) is applied at most once; a retry gets the original reply.
    ExactlyOnce,
    /// View, stable checkpoint and window never go back.
    Monotonic,
    /// Every certificate: a quorum of distinct members for one domain, view, slot and digest.
    ValidCertificates,
    /// `O` equals the oracle.
    OrderIsTheOracles,
    /// No acknowledged command is lost.
    NothingAcknowledgedIsLost,
    /// Every accepted reply equals a replay of the agreed log; what returned before another began stands before it.
    Linearizable,
    /// Every executed command was signed by its client.
    SignedByItsClient,
    /// Every buffer within its bound.
    Bounded,
    /// Evidence never names an honest replica.
    EvidenceIsJust,
    /// Certified bodies are retrievable from `f + 1` honest replicas until their slot is stable.
    BodiesRetrievable,
    /// No panic; a bounded number of steps.
    NoPanic,
    /// Every valid pending command is answered within a bound, after a bounded number of view changes.
    Answered,
    /// All replicas of a healthy core reach equal stable checkpoints; queues drain.
    Drained,
    /// With an honest primary in a synchronous run: no view change.
    Calm,
}

impl Invariant {
    /// All, in order.
    pub const ALL: [Self; 21] = [
        Self::OneBatchPerSlot,
        Self::OnePreparedDigest,
        Self::CommittedStays,
        Self::OneVotePerPlace,
        Self::DurableBeforeSent,
        Self::Contiguous,
        Self::EqualState,
        Self::ExactlyOnce,
        Self::Monotonic,
        Self::ValidCertificates,
        Self::OrderIsTheOracles,
        Self::NothingAcknowledgedIsLost,
        Self::Linearizable,
        Self::SignedByItsClient,
        Self::Bounded,
        Self::EvidenceIsJust,
        Self::BodiesRetrievable,
        Self::NoPanic,
        Self::Answered,
        Self::Drained,
        Self::Calm,
    ];

    /// Its number in the list of invariants, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether it asks that something good happens, once faults have ended.
    #[must_use]
    pub const fn is_liveness(self) -> bool {
        matches!(self, Self::Answered | Self::Drained | Self::Calm)
    }

    /// A few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneBatchPerSlot => "one batch per slot",
            Self::OnePreparedDigest => "one prepared digest per view and slot",
            Self::CommittedStays => "what is committed stays prepared",
            Self::OneVotePerPlace => "one vote per place",
            Self::DurableBeforeSent => "durable before sent",
            Self::Contiguous => "contiguous execution",
            Self::EqualState => "equal state",
            Self::ExactlyOnce => "exactly once",
            Self::Monotonic => "nothing goes back",
            Self::ValidCertificates => "valid certificates",
            Self::OrderIsTheOracles => "O is the oracle's",
            Self::NothingAcknowledgedIsLost => "nothing acknowledged is lost",
            Self::Linearizable => "linearizable",
            Self::SignedByItsClient => "signed by its client",
            Self::Bounded => "bounded buffers",
            Self::EvidenceIsJust => "just evidence",
            Self::BodiesRetrievable => "bodies retrievable",
            Self::NoPanic => "no panic",
            Self::Answered => "every command answered",
            Self::Drained => "queues drain",
            Self::Calm => "no view change in calm",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.name())
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.text)
    }
}

/// What a check says.
pub type Held = Result<(), Violation>;

/// Says `text` unless `holds`.
///
/// # Errors
/// The violation.
pub fn ensure(holds: bool, invariant: Invariant, text: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(Violation { invariant, text: text() }) }
}
