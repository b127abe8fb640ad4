//! What replicas sign: the statements of §4.2 to §4.4, and the certificates made of them.
//!
//! No statement holds its signer: the key that verifies it says who it was.

use crate::order::{self, OrderError};
use crate::types::{Slot, View};
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{
    Bounded, Committee, Digest, Domain, QuorumCertificate, ReplicaId, Signature, Signed, Statement, Verify, VerifyError,
};

/// More replicas than any genesis may have.
pub const MAX_REPLICAS: usize = 128;
/// As many slots as any genesis' window may have: a VIEW-CHANGE has room for a certificate for each.
pub const MAX_WINDOW: usize = 1 << 21;

/// §4.2: the primary of `view` gives `slot` to the batch named `digest`. It is the primary's vote too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct PrePrepare {
    /// The view it is said in.
    pub view: View,
    /// The place in the order.
    pub slot: Slot,
    /// The batch, or [`NULL_BATCH`](crate::NULL_BATCH).
    pub digest: Digest,
}

/// §4.2: a backup accepts the pre-prepare of the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Prepare {
    /// The view it is said in.
    pub view: View,
    /// The place in the order.
    pub slot: Slot,
    /// The batch that the pre-prepare named.
    pub digest: Digest,
}

/// §4.2: the signer holds a prepared certificate of the same content, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// The view it is said in.
    pub view: View,
    /// The place in the order.
    pub slot: Slot,
    /// The batch that is prepared.
    pub digest: Digest,
}

/// §4.3: the signer has executed everything up to `slot` and this is what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Checkpoint {
    /// A multiple of the checkpoint interval.
    pub slot: Slot,
    /// The chain of executed batches: `history(s) = H(history(s-1), batch digest(s))`.
    pub history: Digest,
    /// Digest of the replicated state: application and client table.
    pub state: Digest,
}

/// §4.4: the signer will not vote below `view` any more, and this is all that could have committed as far as it knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// The view it asks for.
    pub view: View,
    /// The paper's `C`: the highest stable checkpoint of the signer; `None` is genesis.
    pub stable: Option<StableCheckpoint>,
    /// The paper's `P`: per slot above `C` the prepared certificate of the highest view, in slot order.
    pub prepared: Bounded<PreparedCertificate, MAX_WINDOW>,
}

/// §4.4: the primary of `view` proves that a quorum asked for it, and carries over what could have committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// The view that begins.
    pub view: View,
    /// The paper's `V`: exactly a quorum of view changes for this view, by ascending signer.
    pub view_changes: Bounded<Signed<ViewChange>, MAX_REPLICAS>,
    /// The paper's `O`: one signed pre-prepare per slot that `V` implies, in slot order.
    pub pre_prepares: Bounded<Signed<PrePrepare>, MAX_WINDOW>,
}

/// `q` equal COMMITs: the slot is decided. Transferable: it proves itself to anyone with the genesis.
pub type CommitCertificate = QuorumCertificate<Commit>;
/// `q` equal CHECKPOINTs: the checkpoint is stable (§4.3).
pub type StableCheckpoint = QuorumCertificate<Checkpoint>;

/// §4.2's `prepared(m, v, n, i)` as a proof: the primary's pre-prepare and equal PREPAREs of distinct backups, `q` signers in all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct PreparedCertificate {
    /// What is prepared.
    pub pre_prepare: PrePrepare,
    /// The primary's signature under it.
    pub primary_signature: Signature,
    /// `q - 1` backups' signatures under the equal PREPARE, by ascending id.
    pub prepares: Bounded<(ReplicaId, Signature), MAX_REPLICAS>,
}

impl PrePrepare {
    /// The PREPARE that accepts it.
    #[must_use]
    pub const fn prepare(&self) -> Prepare {
        Prepare { view: self.view, slot: self.slot, digest: self.digest }
    }

    /// The COMMIT that follows its prepared certificate.
    #[must_use]
    pub const fn commit(&self) -> Commit {
        Commit { view: self.view, slot: self.slot, digest: self.digest }
    }
}

impl Statement for PrePrepare {
    const DOMAIN: Domain = Domain::PrePrepare;

    fn check(&self, signer: ReplicaId, committee: &Committee) -> Result<(), VerifyError> {
        if committee.quorums().primary(self.view.0) == signer { Ok(()) } else { Err(VerifyError::NotPrimary) }
    }
}

impl Statement for Prepare {
    const DOMAIN: Domain = Domain::Prepare;

    /// The primary's pre-prepare is its vote: a PREPARE of its own would let it count twice.
    fn check(&self, signer: ReplicaId, committee: &Committee) -> Result<(), VerifyError> {
        if committee.quorums().primary(self.view.0) == signer && !seeded(Bug::PrimaryAsBackup) {
            Err(VerifyError::Invalid("a primary sends no PREPARE in its own view"))
        } else {
            Ok(())
        }
    }
}

impl Statement for Commit {
    const DOMAIN: Domain = Domain::Commit;
}

impl Statement for Checkpoint {
    const DOMAIN: Domain = Domain::Checkpoint;

    fn check(&self, _: ReplicaId, committee: &Committee) -> Result<(), VerifyError> {
        let interval = committee.parameters().checkpoint_interval;
        if self.slot > Slot::GENESIS && self.slot.0.is_multiple_of(interval) {
            Ok(())
        } else {
            Err(VerifyError::Invalid("a checkpoint's slot is a positive multiple of the interval"))
        }
    }
}

impl ViewChange {
    /// Whether nobody can honestly have signed both: whoever said `commit` in an earlier view holds a prepared certificate of at least that
    /// view until a checkpoint passes the slot.
    #[must_use]
    pub fn hides(&self, commit: &Commit) -> bool {
        let passed = self.stable.as_ref().is_some_and(|stable| stable.statement.slot >= commit.slot);
        let shown =
            |held: &PreparedCertificate| held.pre_prepare.slot == commit.slot && held.pre_prepare.view >= commit.view;
        commit.view < self.view && !passed && !self.prepared.iter().any(shown)
    }

    /// The slot of `C`.
    #[must_use]
    pub fn stable_slot(&self) -> Slot {
        self.stable.as_ref().map_or(Slot::GENESIS, |certificate| certificate.statement.slot)
    }
}

impl Statement for ViewChange {
    const DOMAIN: Domain = Domain::ViewChange;

    /// `P` is inside `(C, C + window]`, below the new view, in slot order without repetition; every certificate proves itself.
    fn check(&self, _: ReplicaId, committee: &Committee) -> Result<(), VerifyError> {
        if self.view == View(0) {
            return Err(VerifyError::Invalid("view 0 needs no view change"));
        }
        if let Some(stable) = &self.stable {
            stable.check(committee)?;
        }
        let low = self.stable_slot();
        let high = low.plus(committee.parameters().window);
        let mut previous = low;
        for certificate in self.prepared.iter() {
            let PrePrepare { view, slot, .. } = certificate.pre_prepare;
            if slot <= previous {
                return Err(VerifyError::Unordered);
            }
            if slot > high {
                return Err(VerifyError::Invalid("a prepared certificate lies above the window"));
            }
            if view >= self.view {
                return Err(VerifyError::Invalid("a prepared certificate is not older than the view asked for"));
            }
            certificate.check(committee)?;
            previous = slot;
        }
        Ok(())
    }
}

impl Statement for NewView {
    const DOMAIN: Domain = Domain::NewView;

    /// `V` is a quorum of valid view changes for this very view, and `O` is what `V` implies, signed by this primary.
    fn check(&self, signer: ReplicaId, committee: &Committee) -> Result<(), VerifyError> {
        if committee.quorums().primary(self.view.0) != signer {
            return Err(VerifyError::NotPrimary);
        }
        if self.view_changes.len() != committee.quorums().quorum() {
            return Err(VerifyError::NotAQuorum);
        }
        let mut previous = None;
        for view_change in self.view_changes.iter() {
            if previous >= Some(view_change.signer) {
                return Err(VerifyError::Unordered);
            }
            if view_change.statement.view != self.view {
                return Err(VerifyError::Invalid("a view change in V asks for another view"));
            }
            view_change.check(committee)?;
            previous = Some(view_change.signer);
        }
        let window = committee.parameters().window;
        let expected = match order::new_view_order(self.view_changes.iter().map(|signed| &signed.statement), window) {
            Ok(expected) => expected,
            // More than f faulty: the replica that is handed this stops; here it is only not a valid NEW-VIEW.
            Err(OrderError::Fork { .. }) => {
                return Err(VerifyError::Invalid("V proves two batches prepared in one view and slot"));
            }
        };
        if self.pre_prepares.len() != expected.slots.len() && !seeded(Bug::OrderUnchecked) {
            return Err(VerifyError::Invalid("O has not the slots that V implies"));
        }
        for (signed, (slot, digest)) in self.pre_prepares.iter().zip(&expected.slots) {
            let due = PrePrepare { view: self.view, slot: *slot, digest: *digest };
            if signed.statement != due && !seeded(Bug::OrderUnchecked) {
                return Err(VerifyError::Invalid("O is not what V implies"));
            }
            if signed.signer != signer {
                return Err(VerifyError::NotPrimary);
            }
            signed.check(committee)?;
        }
        Ok(())
    }
}

impl PreparedCertificate {
    /// From a pre-prepare and whatever equal PREPAREs are held; `None` unless they make a quorum with the primary.
    #[must_use]
    pub fn from_votes(
        pre_prepare: &Signed<PrePrepare>,
        prepares: impl Iterator<Item = (ReplicaId, Signature)>,
        quorum: usize,
    ) -> Option<Self> {
        let mut backups: Vec<_> =
            prepares.filter(|(replica, _)| *replica != pre_prepare.signer || seeded(Bug::PrimaryAsBackup)).collect();
        backups.sort_unstable();
        backups.dedup_by_key(|(replica, _)| *replica);
        backups.truncate(quorum.saturating_sub(1));
        if backups.len() + 1 < quorum {
            return None;
        }
        Some(Self {
            pre_prepare: pre_prepare.statement,
            primary_signature: pre_prepare.signature,
            prepares: Bounded::try_from(backups).ok()?,
        })
    }
}

impl Verify for PreparedCertificate {
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        let quorums = committee.quorums();
        if self.prepares.len() + 1 != quorums.quorum() {
            return Err(VerifyError::NotAQuorum);
        }
        let primary = quorums.primary(self.pre_prepare.view.0);
        Signed { statement: self.pre_prepare, signer: primary, signature: self.primary_signature }.check(committee)?;
        let prepare = self.pre_prepare.prepare();
        let mut previous = None;
        for (signer, signature) in self.prepares.iter() {
            if previous >= Some(*signer) && !seeded(Bug::DuplicateSigners) {
                return Err(VerifyError::Unordered);
            }
            Signed { statement: prepare, signer: *signer, signature: *signature }.check(committee)?;
            previous = Some(*signer);
        }
        Ok(())
    }
}
