//! What replicas say to each other, and what of it has been proved.

use crate::batch::{Batch, BatchError};
use crate::command::{Command, CommandError};
use crate::evidence::Evidence;
use crate::types::{Slot, View};
use crate::vote::{
    Checkpoint, Commit, CommitCertificate, MAX_REPLICAS, MAX_WINDOW, NewView, PrePrepare, Prepare, StableCheckpoint,
    ViewChange,
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use thiserror::Error;
use varangian_crypto::{
    Bounded, CodecError, Committee, Digest, ReplicaId, Signed, Statement, Verified, Verify, VerifyError, decode, encode,
};

/// A message between replicas. Votes and certificates prove themselves; the rest is only as good as the connection it came
/// by, and nothing is believed because of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// §4.2.
    PrePrepare(Signed<PrePrepare>),
    /// §4.2.
    Prepare(Signed<Prepare>),
    /// §4.2.
    Commit(Signed<Commit>),
    /// §4.3.
    Checkpoint(Signed<Checkpoint>),
    /// §4.4.
    ViewChange(Box<Signed<ViewChange>>),
    /// §4.4.
    NewView(Box<Signed<NewView>>),
    /// A slot is decided.
    Committed(CommitCertificate),
    /// A checkpoint is stable.
    Stable(StableCheckpoint),
    /// Where the sender stands and what it lacks. Answered with state, never with another question.
    Status(Status),
    /// Asks for a body by its digest.
    FetchBatch {
        /// The slot it was voted for in.
        slot: Slot,
        /// Its name.
        digest: Digest,
    },
    /// Asks for decided slots, in order, with their certificates and bodies.
    FetchDecided {
        /// First slot wanted.
        from: Slot,
        /// Last slot wanted.
        to: Slot,
    },
    /// The sender no longer holds decided slots below `oldest`.
    Pruned {
        /// The first slot that it can still serve.
        oldest: Slot,
    },
    /// A client's command, handed on whole.
    Command(Command),
    /// The body for a slot.
    Batch {
        /// The slot it is meant for.
        slot: Slot,
        /// The body.
        batch: Arc<Batch>,
    },
    /// A decided slot with its body, for one that is behind; no body for the null batch.
    Decided {
        /// The proof.
        certificate: CommitCertificate,
        /// What it decided.
        batch: Option<Arc<Batch>>,
    },
}

/// How far a slot has come at the sender of a [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = false)]
pub enum Progress {
    /// No pre-prepare of the current view.
    Nothing,
    /// A pre-prepare of the current view.
    PrePrepared,
    /// A prepared certificate of the current view.
    Prepared,
    /// Decided.
    Committed,
}

/// Where a replica stands. All of it is hearsay: it only chooses what is sent to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Status {
    /// The view that it is in or asks for.
    pub view: View,
    /// Whether it has entered that view.
    pub active: bool,
    /// Its last stable checkpoint.
    pub stable: Slot,
    /// Its last executed slot.
    pub executed: Slot,
    /// Progress of the slots after `executed`, up to the last it knows something of.
    pub slots: Bounded<Progress, MAX_WINDOW>,
    /// Whose view changes for `view` or above it holds, ascending.
    pub view_changes: Bounded<ReplicaId, MAX_REPLICAS>,
}

impl Status {
    /// The same of one that lacks nothing of these slots: no answer would be of use to it.
    #[must_use]
    pub fn lacking_nothing(self) -> Self {
        let committed: Vec<Progress> = self.slots.iter().map(|_| Progress::Committed).collect();
        // As many as there were.
        Self { slots: Bounded::try_from(committed).unwrap_or_default(), ..self }
    }
}

/// What is proved of a message: all that the core accepts from outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// §4.2.
    PrePrepare(Verified<Signed<PrePrepare>>),
    /// §4.2.
    Prepare(Verified<Signed<Prepare>>),
    /// §4.2.
    Commit(Verified<Signed<Commit>>),
    /// §4.3.
    Checkpoint(Verified<Signed<Checkpoint>>),
    /// §4.4.
    ViewChange(Box<Verified<Signed<ViewChange>>>),
    /// §4.4.
    NewView(Box<Verified<Signed<NewView>>>),
    /// A decided slot.
    Committed(Verified<CommitCertificate>),
    /// A stable checkpoint.
    Stable(Verified<StableCheckpoint>),
    /// Hearsay.
    Status(Status),
    /// A question.
    FetchBatch {
        /// The slot it was voted for in.
        slot: Slot,
        /// Its name.
        digest: Digest,
    },
    /// A question.
    FetchDecided {
        /// First slot wanted.
        from: Slot,
        /// Last slot wanted.
        to: Slot,
    },
    /// Hearsay.
    Pruned {
        /// The first slot that the sender can still serve.
        oldest: Slot,
    },
    /// A command whose client signed it.
    Command(Verified<Command>),
    /// A body all of whose commands are valid.
    Batch {
        /// The slot it is meant for.
        slot: Slot,
        /// The body.
        batch: Verified<Arc<Batch>>,
    },
    /// A body with an invalid command: whoever pre-prepares it is faulty.
    InvalidBatch {
        /// The slot it is meant for.
        slot: Slot,
        /// The body, for the evidence.
        batch: Arc<Batch>,
    },
    /// A decided slot and its body, which has the decided digest. (The certificate vouches for the body's commands: honest
    /// replicas verified them before they voted.)
    Decided {
        /// The proof.
        certificate: Verified<CommitCertificate>,
        /// What it decided.
        batch: Option<Arc<Batch>>,
    },
    /// A VIEW-CHANGE or NEW-VIEW that its signer signed and that cannot be valid.
    Invalid(Evidence),
}

impl Delivery {
    /// Who votes in which slot, if it is a vote.
    #[must_use]
    pub fn vote_place(&self) -> Option<(ReplicaId, Slot)> {
        match self {
            Self::PrePrepare(signed) => Some((signed.signer, signed.statement.slot)),
            Self::Prepare(signed) => Some((signed.signer, signed.statement.slot)),
            Self::Commit(signed) => Some((signed.signer, signed.statement.slot)),
            Self::Checkpoint(signed) => Some((signed.signer, signed.statement.slot)),
            _ => None,
        }
    }
}

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Nothing at all.
    #[error("the frame is empty")]
    Empty,
    /// A kind that this version does not know.
    #[error("unknown kind of message {0}")]
    Kind(u8),
    /// The canonical codec refuses it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A malformed command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A malformed body.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A slot number or length is cut off.
    #[error("the frame is cut off")]
    Truncated,
}

/// What the first bytes of a frame say of it, before anything in it is decoded or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// A body for this slot.
    Body(Slot),
    /// A decided slot.
    Decided,
    /// Something else, or nothing.
    Other,
}

/// A message ready for a stream: a body is never copied behind its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Kind and small fields.
    pub head: Bytes,
    /// The body, shared; empty for votes.
    pub body: Bytes,
}

impl Message {
    /// The view and the slot that it is a vote in, by its own words.
    #[must_use]
    pub const fn place(&self) -> (Option<View>, Option<Slot>) {
        match self {
            Self::PrePrepare(signed) => (Some(signed.statement.view), Some(signed.statement.slot)),
            Self::Prepare(signed) => (Some(signed.statement.view), Some(signed.statement.slot)),
            Self::Commit(signed) => (Some(signed.statement.view), Some(signed.statement.slot)),
            Self::Checkpoint(signed) => (None, Some(signed.statement.slot)),
            _ => (None, None),
        }
    }

    /// Bodies travel apart from votes, so that a vote never waits behind one.
    #[must_use]
    pub const fn is_bulk(&self) -> bool {
        matches!(self, Self::Command(_) | Self::Batch { .. } | Self::Decided { .. })
    }

    /// The message's name, as logs and metrics have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PrePrepare(_) => "pre-prepare",
            Self::Prepare(_) => "prepare",
            Self::Commit(_) => "commit",
            Self::Checkpoint(_) => "checkpoint",
            Self::ViewChange(_) => "view-change",
            Self::NewView(_) => "new-view",
            Self::Committed(_) => "committed",
            Self::Stable(_) => "stable",
            Self::Status(_) => "status",
            Self::FetchBatch { .. } => "fetch-batch",
            Self::FetchDecided { .. } => "fetch-decided",
            Self::Pruned { .. } => "pruned",
            Self::Command(_) => "command",
            Self::Batch { .. } => "batch",
            Self::Decided { .. } => "decided",
        }
    }

    /// The canonical bytes: one byte of kind, then borsh, then the body if there is one.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        fn kind<T: BorshSerialize>(kind: u8, content: &T) -> Encoded {
            let mut head = Vec::from([kind]);
            head.extend_from_slice(&encode(content));
            Encoded { head: head.into(), body: Bytes::new() }
        }
        match self {
            Self::PrePrepare(signed) => kind(0, signed),
            Self::Prepare(signed) => kind(1, signed),
            Self::Commit(signed) => kind(2, signed),
            Self::Checkpoint(signed) => kind(3, signed),
            Self::ViewChange(signed) => kind(4, signed.as_ref()),
            Self::NewView(signed) => kind(5, signed.as_ref()),
            Self::Committed(certificate) => kind(6, certificate),
            Self::Stable(certificate) => kind(7, certificate),
            Self::Status(status) => kind(8, status),
            Self::FetchBatch { slot, digest } => kind(9, &(*slot, *digest)),
            Self::FetchDecided { from, to } => kind(10, &(*from, *to)),
            Self::Pruned { oldest } => kind(11, oldest),
            Self::Command(command) => Encoded { head: Bytes::from_static(&[12]), body: command.encoded().clone() },
            Self::Batch { slot, batch } => Self::stored_batch(*slot, batch.encoded().clone()),
            Self::Decided { certificate, batch } => {
                Self::stored_decision(&encode(certificate), batch.as_ref().map(|batch| batch.encoded().clone()))
            }
        }
    }

    /// [`Message::Batch`] with a body as it is stored: to send it on it need not be decoded.
    #[must_use]
    pub fn stored_batch(slot: Slot, body: Bytes) -> Encoded {
        let mut head = Vec::from([13]);
        head.extend_from_slice(&encode(&slot));
        Encoded { head: head.into(), body }
    }

    /// [`Message::Decided`] with an encoded certificate and a body as they are stored.
    #[must_use]
    pub fn stored_decision(certificate: &[u8], body: Option<Bytes>) -> Encoded {
        let mut head = Vec::from([14]);
        head.extend_from_slice(&u32::try_from(certificate.len()).unwrap_or(u32::MAX).to_le_bytes());
        head.extend_from_slice(certificate);
        Encoded { head: head.into(), body: body.unwrap_or_default() }
    }

    /// What a frame begins like: to decode a body and to check it costs far more than to send it.
    #[must_use]
    pub fn glance(frame: &[u8]) -> Glance {
        match frame {
            [13, slot @ ..] => slot.get(..8).and_then(|slot| decode(slot).ok()).map_or(Glance::Other, Glance::Body),
            [14, ..] => Glance::Decided,
            _ => Glance::Other,
        }
    }

    /// Decodes one frame; bodies stay slices of it.
    ///
    /// # Errors
    /// [`MessageError`] unless the bytes are exactly one message.
    pub fn decode(frame: &Bytes) -> Result<Self, MessageError> {
        let kind = *frame.first().ok_or(MessageError::Empty)?;
        let rest = frame.slice(1..);
        let take = |length: usize| {
            if rest.len() < length {
                Err(MessageError::Truncated)
            } else {
                Ok((rest.slice(..length), rest.slice(length..)))
            }
        };
        Ok(match kind {
            0 => Self::PrePrepare(decode(&rest)?),
            1 => Self::Prepare(decode(&rest)?),
            2 => Self::Commit(decode(&rest)?),
            3 => Self::Checkpoint(decode(&rest)?),
            4 => Self::ViewChange(Box::new(decode(&rest)?)),
            5 => Self::NewView(Box::new(decode(&rest)?)),
            6 => Self::Committed(decode(&rest)?),
            7 => Self::Stable(decode(&rest)?),
            8 => Self::Status(decode(&rest)?),
            9 => {
                let (slot, digest) = decode(&rest)?;
                Self::FetchBatch { slot, digest }
            }
            10 => {
                let (from, to) = decode(&rest)?;
                Self::FetchDecided { from, to }
            }
            11 => Self::Pruned { oldest: decode(&rest)? },
            12 => Self::Command(Command::decode(rest)?),
            13 => {
                let (slot, body) = take(8)?;
                Self::Batch { slot: decode(&slot)?, batch: Arc::new(Batch::decode(body)?) }
            }
            14 => {
                let (length, _) = take(4)?;
                let length = length.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
                let (certificate, body) = take(length.saturating_add(4))?;
                let batch = if body.is_empty() { None } else { Some(Arc::new(Batch::decode(body)?)) };
                Self::Decided { certificate: decode(&certificate.slice(4..))?, batch }
            }
            unknown => return Err(MessageError::Kind(unknown)),
        })
    }

    /// Checks every proof in the message. The only way from a [`Message`] into the core.
    ///
    /// # Errors
    /// [`VerifyError`] if a signature, a certificate or a size is wrong and nobody can be held to it.
    pub fn verify(self, committee: &Committee) -> Result<Delivery, VerifyError> {
        Ok(match self {
            Self::PrePrepare(signed) => Delivery::PrePrepare(signed.verify(committee)?),
            Self::Prepare(signed) => Delivery::Prepare(signed.verify(committee)?),
            Self::Commit(signed) => Delivery::Commit(signed.verify(committee)?),
            Self::Checkpoint(signed) => Delivery::Checkpoint(signed.verify(committee)?),
            Self::ViewChange(signed) => match signed.check(committee) {
                Ok(()) => Delivery::ViewChange(Box::new(signed.verify(committee)?)),
                Err(error) => Delivery::Invalid(
                    accountable(&signed, committee, error).map(|()| Evidence::InvalidViewChange(signed))?,
                ),
            },
            Self::NewView(signed) => match signed.check(committee) {
                Ok(()) => Delivery::NewView(Box::new(signed.verify(committee)?)),
                Err(error) => Delivery::Invalid(
                    accountable(&signed, committee, error).map(|()| Evidence::InvalidNewView(signed))?,
                ),
            },
            Self::Committed(certificate) => Delivery::Committed(certificate.verify(committee)?),
            Self::Stable(certificate) => Delivery::Stable(certificate.verify(committee)?),
            Self::Status(status) => Delivery::Status(status),
            Self::FetchBatch { slot, digest } => Delivery::FetchBatch { slot, digest },
            Self::FetchDecided { from, to } => Delivery::FetchDecided { from, to },
            Self::Pruned { oldest } => Delivery::Pruned { oldest },
            Self::Command(command) => Delivery::Command(command.verify(committee)?),
            Self::Batch { slot, batch } => match batch.check(committee) {
                Ok(()) => Delivery::Batch { slot, batch: batch.verify(committee)? },
                Err(_) => Delivery::InvalidBatch { slot, batch },
            },
            Self::Decided { certificate, batch } => {
                let decided = batch.as_ref().map_or(crate::NULL_BATCH, |batch| *batch.digest());
                if certificate.statement.digest != decided {
                    return Err(VerifyError::Invalid("the body is not the one that was decided"));
                }
                Delivery::Decided { certificate: certificate.verify(committee)?, batch }
            }
        })
    }
}

/// Whether the signer can be held to an invalid statement: only if it really signed it.
fn accountable<S: Statement>(signed: &Signed<S>, committee: &Committee, error: VerifyError) -> Result<(), VerifyError> {
    signed.check_signature(committee).map_err(|_| error)
}
