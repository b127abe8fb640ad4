//! Signed messages that no honest execution can produce, whatever the order of arrival, restarts included.
//!
//! Lateness, silence and being out of the window are never evidence. The accused is always the signer, never the carrier.

use crate::batch::{Batch, NULL_BATCH};
use crate::types::{Slot, View};
use crate::vote::{Checkpoint, Commit, NewView, PrePrepare, Prepare, ViewChange};
use alloc::boxed::Box;
use alloc::sync::Arc;
use borsh::io::{Read, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use varangian_crypto::{Committee, ReplicaId, Signed, Statement, Verify, VerifyError};

/// Two different statements of one signer where an honest one signs at most one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Conflict<S> {
    /// The first one seen.
    pub first: Signed<S>,
    /// The other one.
    pub second: Signed<S>,
}

/// A proof of misbehaviour that anyone can check with the genesis alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two batches for one view and slot: an equivocating primary.
    PrePrepares(Conflict<PrePrepare>),
    /// Two PREPAREs for one view and slot.
    Prepares(Conflict<Prepare>),
    /// Two COMMITs for one view and slot.
    Commits(Conflict<Commit>),
    /// Two CHECKPOINTs for one slot.
    Checkpoints(Conflict<Checkpoint>),
    /// Two VIEW-CHANGEs for one view.
    ViewChanges(Box<Conflict<ViewChange>>),
    /// Two NEW-VIEWs for one view.
    NewViews(Box<Conflict<NewView>>),
    /// A VIEW-CHANGE with a false certificate or out of bounds.
    InvalidViewChange(Box<Signed<ViewChange>>),
    /// A NEW-VIEW whose `V` is no valid quorum or whose `O` does not follow from it.
    InvalidNewView(Box<Signed<NewView>>),
    /// A pre-prepare for a body with an invalid command.
    InvalidBatch {
        /// What the primary signed.
        pre_prepare: Signed<PrePrepare>,
        /// The body that it names.
        body: Body,
    },
    /// A COMMIT, and a VIEW-CHANGE for a later view that knows nothing of the certificate that the COMMIT rests on: this is how decided
    /// slots are lost.
    HiddenCertificate {
        /// Says that its signer held a prepared certificate.
        commit: Signed<Commit>,
        /// Neither carries that certificate, nor one of a later view, nor a checkpoint that passed the slot.
        view_change: Box<Signed<ViewChange>>,
    },
}

/// A body inside evidence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Body(pub Arc<Batch>);

impl BorshSerialize for Body {
    fn serialize<W: Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.0.encoded().as_ref().serialize(writer)
    }
}

impl BorshDeserialize for Body {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let bytes = alloc::vec::Vec::<u8>::deserialize_reader(reader)?;
        let batch = Batch::decode(Bytes::from(bytes))
            .map_err(|_| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, "not a batch"))?;
        Ok(Self(Arc::new(batch)))
    }
}

/// A statement of which an honest replica signs at most one per place.
pub trait Exclusive: Statement + PartialEq {
    /// What may be said only once.
    type Place: PartialEq;
    /// Where this one was said.
    fn place(&self) -> Self::Place;
}

impl Exclusive for PrePrepare {
    type Place = (View, Slot);
    fn place(&self) -> Self::Place {
        (self.view, self.slot)
    }
}

impl Exclusive for Prepare {
    type Place = (View, Slot);
    fn place(&self) -> Self::Place {
        (self.view, self.slot)
    }
}

impl Exclusive for Commit {
    type Place = (View, Slot);
    fn place(&self) -> Self::Place {
        (self.view, self.slot)
    }
}

impl Exclusive for Checkpoint {
    type Place = Slot;
    fn place(&self) -> Self::Place {
        self.slot
    }
}

impl Exclusive for ViewChange {
    type Place = View;
    fn place(&self) -> Self::Place {
        self.view
    }
}

impl Exclusive for NewView {
    type Place = View;
    fn place(&self) -> Self::Place {
        self.view
    }
}

impl<S: Exclusive> Conflict<S> {
    /// Both really signed by one key, at one place, and different. The statements' own rules do not matter: an invalid one was signed all the same.
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        if self.first.signer != self.second.signer
            || self.first.statement.place() != self.second.statement.place()
            || self.first.statement == self.second.statement
        {
            return Err(VerifyError::Invalid("the two statements do not contradict each other"));
        }
        self.first.check_signature(committee)?;
        self.second.check_signature(committee)
    }
}

impl Evidence {
    /// Who is proved faulty.
    #[must_use]
    pub const fn accused(&self) -> ReplicaId {
        match self {
            Self::PrePrepares(conflict) => conflict.first.signer,
            Self::Prepares(conflict) => conflict.first.signer,
            Self::Commits(conflict) => conflict.first.signer,
            Self::Checkpoints(conflict) => conflict.first.signer,
            Self::ViewChanges(conflict) => conflict.first.signer,
            Self::NewViews(conflict) => conflict.first.signer,
            Self::InvalidViewChange(signed) => signed.signer,
            Self::InvalidNewView(signed) => signed.signer,
            Self::InvalidBatch { pre_prepare, .. } => pre_prepare.signer,
            Self::HiddenCertificate { commit, .. } => commit.signer,
        }
    }

    /// What it did, in a few words.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PrePrepares(_) => "two pre-prepares for one slot",
            Self::Prepares(_) => "two prepares for one slot",
            Self::Commits(_) => "two commits for one slot",
            Self::Checkpoints(_) => "two checkpoints for one slot",
            Self::ViewChanges(_) => "two view changes for one view",
            Self::NewViews(_) => "two new views for one view",
            Self::InvalidViewChange(_) => "an invalid view change",
            Self::InvalidNewView(_) => "an invalid new view",
            Self::InvalidBatch { .. } => "a pre-prepare for an invalid batch",
            Self::HiddenCertificate { .. } => "a view change that hides a certificate",
        }
    }

    /// A number for each kind, for keys of stores. Frozen.
    #[must_use]
    pub const fn ordinal(&self) -> u64 {
        match self {
            Self::PrePrepares(_) => 0,
            Self::Prepares(_) => 1,
            Self::Commits(_) => 2,
            Self::Checkpoints(_) => 3,
            Self::ViewChanges(_) => 4,
            Self::NewViews(_) => 5,
            Self::InvalidViewChange(_) => 6,
            Self::InvalidNewView(_) => 7,
            Self::InvalidBatch { .. } => 8,
            Self::HiddenCertificate { .. } => 9,
        }
    }

    /// Where it did it: one accusation per replica, kind and place is enough.
    #[must_use]
    pub fn place(&self) -> (View, Slot) {
        match self {
            Self::PrePrepares(conflict) => conflict.first.statement.place(),
            Self::Prepares(conflict) => conflict.first.statement.place(),
            Self::Commits(conflict) => conflict.first.statement.place(),
            Self::Checkpoints(conflict) => (View(0), conflict.first.statement.slot),
            Self::ViewChanges(conflict) => (conflict.first.statement.view, Slot(0)),
            Self::NewViews(conflict) => (conflict.first.statement.view, Slot(0)),
            Self::InvalidViewChange(signed) => (signed.statement.view, Slot(0)),
            Self::InvalidNewView(signed) => (signed.statement.view, Slot(0)),
            Self::InvalidBatch { pre_prepare, .. } => pre_prepare.statement.place(),
            Self::HiddenCertificate { commit, .. } => commit.statement.place(),
        }
    }
}

impl Verify for Evidence {
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        match self {
            Self::PrePrepares(conflict) => conflict.check(committee),
            Self::Prepares(conflict) => conflict.check(committee),
            Self::Commits(conflict) => conflict.check(committee),
            Self::Checkpoints(conflict) => conflict.check(committee),
            Self::ViewChanges(conflict) => conflict.check(committee),
            Self::NewViews(conflict) => conflict.check(committee),
            Self::InvalidViewChange(signed) => invalid(signed, committee),
            Self::InvalidNewView(signed) => invalid(signed, committee),
            Self::InvalidBatch { pre_prepare, body } => {
                pre_prepare.check_signature(committee)?;
                let named = pre_prepare.statement.digest;
                if named == NULL_BATCH || named != *body.0.digest() {
                    return Err(VerifyError::Invalid("the pre-prepare names another batch"));
                }
                match body.0.check(committee) {
                    Ok(()) => Err(VerifyError::Invalid("the batch is valid")),
                    Err(_) => Ok(()),
                }
            }
            Self::HiddenCertificate { commit, view_change } => {
                if commit.signer != view_change.signer || !view_change.statement.hides(&commit.statement) {
                    return Err(VerifyError::Invalid("the view change hides nothing"));
                }
                commit.check_signature(committee)?;
                view_change.check_signature(committee)
            }
        }
    }
}

/// Signed, and yet not a valid statement.
fn invalid<S: Statement>(signed: &Signed<S>, committee: &Committee) -> Result<(), VerifyError> {
    signed.check_signature(committee)?;
    match signed.check(committee) {
        Ok(()) => Err(VerifyError::Invalid("the statement is valid")),
        Err(_) => Ok(()),
    }
}
