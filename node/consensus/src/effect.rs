//! What goes into the state machine and what comes out of it.
//!
//! **Persist before send.** Effects are run in order, and nothing overtakes an earlier [`Effect::Persist`]: whatever stands
//! behind one happens only when the record is on disk, synced. The core puts an effect that promises nothing before it.

use crate::batch::Batch;
use crate::client_table::{ClientWindow, Verdict};
use crate::command::{Command, Identity};
use crate::evidence::Evidence;
use crate::message::{Delivery, Message};
use crate::types::{Millis, Slot, View};
use crate::vote::{
    Checkpoint, Commit, CommitCertificate, NewView, PrePrepare, Prepare, PreparedCertificate, StableCheckpoint,
    ViewChange,
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;
use varangian_crypto::{ClientKey, Digest, ReplicaId, Signed, Verified};

/// One thing that happened to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client sent this replica a command.
    Command(Verified<Command>),
    /// A peer's message, or an own vote come back durable and signed (`from` is then this replica).
    Message {
        /// Whose connection it came by.
        from: ReplicaId,
        /// What is proved of it.
        delivery: Delivery,
    },
    /// A timer that was set has run out.
    Timeout(Timer),
    /// A connection to this peer is up: nothing sent before may be relied on.
    Connected(ReplicaId),
    /// A slot was executed and its state written.
    Executed {
        /// The slot.
        slot: Slot,
        /// Digest of the state after it; `Some` exactly where [`Execution::checkpoint`] asked for it.
        state: Option<Digest>,
    },
}

/// One thing to do. See the module's rule of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this durable, synced, before anything behind it. A failure is fatal.
    Persist(Record),
    /// Sign, hand the result back as [`Input::Message`] from this replica, and send it to every peer.
    Vote(Vote),
    /// To every peer.
    Broadcast(Message),
    /// To one peer.
    Send(ReplicaId, Message),
    /// Read this body from the store and send it; to this very replica: hand it back as [`Delivery::Batch`].
    SendBatch {
        /// Who asked.
        to: ReplicaId,
        /// The slot it was voted for in.
        slot: Slot,
        /// Its name.
        digest: Digest,
    },
    /// Read decided slots from the store and send them as [`Message::Decided`], or [`Message::Pruned`].
    SendDecided {
        /// Who asked.
        to: ReplicaId,
        /// First slot.
        from: Slot,
        /// Last slot, not beyond what is executed.
        last: Slot,
    },
    /// Execute a decided slot; then [`Input::Executed`]. Slots come in order without a gap.
    Execute(Execution),
    /// Answer a command whose outcome this replica has already decided: the original reply again.
    Reply(Identity),
    /// (Re)start this kind of timer; an earlier one of the kind no longer counts.
    SetTimer(Timer, Millis),
    /// Somebody is proved faulty.
    Accuse(Evidence),
    /// An operator must know.
    Alarm(Alarm),
}

/// What this replica says under its own key. Signing is deterministic, so the same vote is always the same message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Vote {
    /// §4.2.
    PrePrepare(PrePrepare),
    /// §4.2.
    Prepare(Prepare),
    /// §4.2.
    Commit(Commit),
    /// §4.3.
    Checkpoint(Checkpoint),
    /// §4.4.
    ViewChange(Box<ViewChange>),
    /// §4.4. The signer signs each pre-prepare of `O`, then the whole.
    NewView(Box<NewViewDraft>),
}

/// A NEW-VIEW before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct NewViewDraft {
    /// The view that begins.
    pub view: View,
    /// The paper's `V`.
    pub view_changes: Vec<Signed<ViewChange>>,
    /// The paper's `O`, unsigned.
    pub order: Vec<PrePrepare>,
}

/// A decided slot, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The slot.
    pub slot: Slot,
    /// The proof that it is decided; stored with the state in one atomic write.
    pub certificate: CommitCertificate,
    /// What to run; `None` is the null batch.
    pub batch: Option<Arc<Batch>>,
    /// For each command in order: what exactly-once says.
    pub verdicts: Vec<Verdict>,
    /// The client table's rows that this slot changes, as they are after it.
    pub windows: Vec<(ClientKey, ClientWindow)>,
    /// The chain of executed batches up to this slot.
    pub history: Digest,
    /// Whether the state's digest after this slot is wanted.
    pub checkpoint: bool,
}

/// What must survive a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A body that this replica votes for. Kept until a stable checkpoint passes its slot, also if another digest wins the slot.
    Batch {
        /// The slot.
        slot: Slot,
        /// The body.
        batch: Arc<Batch>,
    },
    /// This primary's own pre-prepare.
    Proposed(PrePrepare),
    /// The pre-prepare that this backup accepts; its PREPARE follows.
    Accepted(Signed<PrePrepare>),
    /// The prepared certificate of the highest view for its slot; its COMMIT follows.
    Prepared(PreparedCertificate),
    /// The promise never again to vote below its view, and the exact message.
    ViewChange(Box<ViewChange>),
    /// This primary's own NEW-VIEW.
    Drafted(Box<NewViewDraft>),
    /// The NEW-VIEW that this replica entered its view by.
    NewView(Box<Signed<NewView>>),
    /// This replica's own checkpoint.
    Checkpoint(Checkpoint),
    /// A stable checkpoint: everything about slots up to it may be pruned.
    Stable(StableCheckpoint),
    /// A proof of somebody's misbehaviour.
    Evidence(Evidence),
    /// Why this replica stopped for good. A restart does not make it vote again.
    Stopped(Alarm),
}

/// What the store knows after a restart, beside the [`Record`]s: the executed prefix, which changed in one atomic write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Last executed slot.
    pub slot: Slot,
    /// History up to it.
    pub history: Digest,
    /// Its commit certificate; `None` at genesis.
    pub certificate: Option<CommitCertificate>,
    /// The client table.
    pub windows: Vec<(ClientKey, ClientWindow)>,
    /// The state's digest, if the slot is a checkpoint's.
    pub state: Option<Digest>,
}

/// A kind of timer with the generation that it was set for; one of an older generation is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A command waits too long for its order (§4.4).
    Command(u64),
    /// A NEW-VIEW waits too long (§4.4).
    NewView(u64),
    /// Time to say where this replica stands, while something is outstanding.
    Status(u64),
}

/// Things that only a person can mend, or should at least know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, BorshSerialize, BorshDeserialize)]
pub enum Alarm {
    /// The own state is not what a quorum agreed on. This replica stops voting.
    #[error(
        "state at checkpoint {slot} is {own}, but a quorum has {agreed}: this replica's state is damaged and it stops voting"
    )]
    Diverged {
        /// The checkpoint.
        slot: Slot,
        /// What this replica has.
        own: Digest,
        /// What a quorum has.
        agreed: Digest,
    },
    /// Peers have pruned what this replica needs next.
    #[error(
        "this replica needs slot {needed}, but its peers hold decided slots only from {oldest}: it is behind the retained log and needs a snapshot"
    )]
    NeedsSnapshot {
        /// The next slot to execute.
        needed: Slot,
        /// The lowest slot that peers say they still hold.
        oldest: Slot,
    },
    /// Valid certificates contradict each other: more than `f` replicas are faulty. This replica stops; the evidence is kept.
    #[error(
        "two certificates contradict each other at slot {slot} in view {view}: more than f replicas are faulty; this replica stops"
    )]
    TooManyFaults {
        /// Where.
        slot: Slot,
        /// In which view.
        view: View,
    },
    /// A peer showed this replica a vote under its own key of which its disk knows nothing: the disk is not the one that
    /// signed, or the key is used twice. This replica stops voting.
    #[error(
        "a vote under this replica's own key for view {view}, slot {slot} is not on its disk: the store was rolled back or the key is used twice; this replica stops"
    )]
    ForeignVote {
        /// Where.
        slot: Slot,
        /// In which view.
        view: View,
    },
}

/// Why an input changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Ignored {
    /// Of a view, checkpoint or timer that is over.
    #[error("stale")]
    Stale,
    /// Already known.
    #[error("known already")]
    Duplicate,
    /// Outside the window or what this replica is ready to hold.
    #[error("out of the window")]
    OutOfWindow,
    /// Not asked for, or from one who has no business to send it.
    #[error("unsolicited")]
    Unsolicited,
    /// The sender asks too often.
    #[error("too soon")]
    TooSoon,
    /// The client's share of the pool is used up: try again later.
    #[error("busy")]
    Busy,
    /// The sequence lies below the client's window: whether it ever ran is not known here any more.
    #[error("the sequence is too old")]
    TooOld,
    /// The genesis does not admit this client.
    #[error("the client is not admitted")]
    UnknownClient,
    /// This replica has stopped; see its alarm.
    #[error("this replica has stopped")]
    Stopped,
}
