//! Who made a fork. No replica need have seen both sides of it: each disk holds the votes of its own side, and together they convict.
//!
//! Nothing on a disk is believed: each signature is checked with the genesis alone before it counts, so a liar's disk can hide what only it knows, and neither
//! accuse anybody nor cover what other disks prove.
//!
//! Two certificates of one view and slot have at least `f + 1` signers in common, each of whom signed twice. Of certificates of different views,
//! the later view began with a quorum of VIEW-CHANGEs, at least `f + 1` of them by signers of the earlier certificate: whoever of these did not
//! show it hides it. Honest replicas keep the NEW-VIEWs that they entered for this.
//!
//! It cannot be proved if what proves it was dropped: a slot pruned from all disks of one side, or a view more than 256 views ago. A COMMIT
//! in one certificate beside a PREPARE for another batch in the other is no evidence of a kind that there is.

use crate::record::{self, RecordError};
use std::collections::BTreeMap;
use thiserror::Error;
use varangian_consensus::{
    Checkpoint, Commit, CommitCertificate, Conflict, Evidence, NewView, PrePrepare, Prepare, PreparedCertificate,
    Record, Slot, View, ViewChange,
};
use varangian_crypto::{Committee, QuorumCertificate, ReplicaId, Signed, Statement, Verify, decode};
use varangian_storage::{Store, StoreError};

/// Slots that are looked at: after the first that differs, all may.
const SLOTS: usize = 64;

/// A slot that replicas decided differently, and what their disks prove together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The first such slot.
    pub slot: Slot,
    /// Two who differ there.
    pub sides: (ReplicaId, ReplicaId),
    /// Checked; each proves another deed.
    pub proofs: Vec<Evidence>,
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum ForkError {
    /// A store cannot be read.
    #[error("the store of {replica}: {source}")]
    Store {
        /// Whose.
        replica: ReplicaId,
        /// Why.
        source: StoreError,
    },
    /// Its records cannot be read.
    #[error("the records of {replica}: {source}")]
    Record {
        /// Whose.
        replica: ReplicaId,
        /// Why.
        source: RecordError,
    },
}

/// Looks for a fork in the logs of these replicas, and for its culprits in all that they hold.
///
/// # Errors
/// [`ForkError`].
pub fn examine(disks: &[(ReplicaId, &Store)], committee: &Committee) -> Result<Option<Fork>, ForkError> {
    let Some((sides, certificates)) = forked(disks, committee)? else { return Ok(None) };
    let Some(slot) = certificates.first().map(|certificate| certificate.statement.slot) else { return Ok(None) };
    let mut testimony = Testimony::new(committee);
    certificates.iter().for_each(|certificate| testimony.commits.quorum(certificate, committee));
    for (replica, store) in disks {
        let records = record::load(store).map_err(|source| ForkError::Record { replica: *replica, source })?;
        records.iter().for_each(|record| testimony.record(record));
    }
    let proofs = testimony.contradictions().filter(|proof| proof.check(committee).is_ok()).collect();
    Ok(Some(Fork { slot, sides, proofs }))
}

/// Two who differ first, and the certificates of the first slots for which replicas have different ones.
type Forked = ((ReplicaId, ReplicaId), Vec<CommitCertificate>);

fn forked(disks: &[(ReplicaId, &Store)], committee: &Committee) -> Result<Option<Forked>, ForkError> {
    let last = disks.iter().map(|(_, store)| store.last_executed()).max().unwrap_or_default();
    let (mut sides, mut forked, mut slots) = (None, Vec::new(), 0);
    for slot in 1..=last {
        let mut found: Vec<(ReplicaId, CommitCertificate)> = Vec::new();
        for (replica, store) in disks {
            let bytes = store.certificate(slot).map_err(|source| ForkError::Store { replica: *replica, source })?;
            // One that is none, or is for another slot, says nothing of this one.
            let certificate = bytes.and_then(|bytes| decode::<CommitCertificate>(&bytes).ok());
            let certificate = certificate.filter(|certificate| certificate.statement.slot == Slot(slot));
            found.extend(certificate.map(|certificate| (*replica, certificate)));
        }
        let differ = |found: &[(ReplicaId, CommitCertificate)]| {
            let pair = found.windows(2).find(|pair| pair[0].1.statement.digest != pair[1].1.statement.digest)?;
            Some((pair[0].0, pair[1].0))
        };
        // Certificates that agree are not worth the time to check them.
        if differ(&found).is_none() {
            continue;
        }
        found.retain(|(_, certificate)| certificate.check(committee).is_ok());
        if let Some(pair) = differ(&found) {
            sides.get_or_insert(pair);
            forked.extend(found.into_iter().map(|(_, certificate)| certificate));
            slots += 1;
        }
        if slots == SLOTS {
            break;
        }
    }
    Ok(sides.map(|sides| (sides, forked)))
}

/// What replicas have signed, as far as these disks tell.
struct Testimony<'a> {
    committee: &'a Committee,
    pre_prepares: Said<PrePrepare>,
    prepares: Said<Prepare>,
    commits: Said<Commit>,
    checkpoints: Said<Checkpoint>,
    view_changes: Said<ViewChange>,
    new_views: Said<NewView>,
}

/// Different statements of one kind, by who signed them and where only one may be said.
struct Said<S>(BTreeMap<(ReplicaId, View, Slot), Vec<Signed<S>>>);

/// Where of all statements of a kind only one may be said.
trait Placed: Statement + Clone + PartialEq {
    fn place(&self) -> (View, Slot);
}

impl Placed for PrePrepare {
    fn place(&self) -> (View, Slot) {
        (self.view, self.slot)
    }
}

impl Placed for Prepare {
    fn place(&self) -> (View, Slot) {
        (self.view, self.slot)
    }
}

impl Placed for Commit {
    fn place(&self) -> (View, Slot) {
        (self.view, self.slot)
    }
}

impl Placed for Checkpoint {
    fn place(&self) -> (View, Slot) {
        (View(0), self.slot)
    }
}

impl Placed for ViewChange {
    fn place(&self) -> (View, Slot) {
        (self.view, Slot(0))
    }
}

impl Placed for NewView {
    fn place(&self) -> (View, Slot) {
        (self.view, Slot(0))
    }
}

impl<S: Placed> Said<S> {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn hear(&mut self, signed: &Signed<S>, committee: &Committee) {
        let (view, slot) = signed.statement.place();
        let said = self.0.entry((signed.signer, view, slot)).or_default();
        let is_new = said.iter().all(|other| other.statement != signed.statement);
        if is_new && signed.check_signature(committee).is_ok() {
            said.push(signed.clone());
        }
    }

    fn quorum(&mut self, certificate: &QuorumCertificate<S>, committee: &Committee) {
        for (signer, signature) in certificate.signatures.iter() {
            let statement = certificate.statement.clone();
            self.hear(&Signed { statement, signer: *signer, signature: *signature }, committee);
        }
    }

    /// One for each who said two things where only one may be said.
    fn conflicts(&self) -> impl Iterator<Item = Conflict<S>> {
        self.0.values().filter_map(|said| match said.as_slice() {
            [first, second, ..] => Some(Conflict { first: first.clone(), second: second.clone() }),
            _ => None,
        })
    }

    fn iter(&self) -> impl Iterator<Item = &Signed<S>> {
        self.0.values().flatten()
    }
}

impl<'a> Testimony<'a> {
    const fn new(committee: &'a Committee) -> Self {
        Self {
            committee,
            pre_prepares: Said::new(),
            prepares: Said::new(),
            commits: Said::new(),
            checkpoints: Said::new(),
            view_changes: Said::new(),
            new_views: Said::new(),
        }
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::Accepted(signed) => self.pre_prepares.hear(signed, self.committee),
            Record::Prepared(certificate) => self.prepared(certificate),
            Record::ViewChange(promise) => self.shown(promise),
            Record::Drafted(draft) => draft.view_changes.iter().for_each(|signed| self.view_change(signed)),
            Record::NewView(signed) => {
                self.new_views.hear(signed, self.committee);
                signed.statement.view_changes.iter().for_each(|signed| self.view_change(signed));
                signed.statement.pre_prepares.iter().for_each(|signed| self.pre_prepares.hear(signed, self.committee));
            }
            Record::Stable(certificate) => self.checkpoints.quorum(certificate, self.committee),
            // Unsigned words of an honest replica; what is proved already; bodies.
            Record::Batch { .. }
            | Record::Proposed(_)
            | Record::Checkpoint(_)
            | Record::Evidence(_)
            | Record::Stopped(_) => {}
        }
    }

    fn view_change(&mut self, signed: &Signed<ViewChange>) {
        self.view_changes.hear(signed, self.committee);
        self.shown(&signed.statement);
    }

    /// What a VIEW-CHANGE carries was signed by others.
    fn shown(&mut self, view_change: &ViewChange) {
        view_change.stable.iter().for_each(|certificate| self.checkpoints.quorum(certificate, self.committee));
        view_change.prepared.iter().for_each(|certificate| self.prepared(certificate));
    }

    fn prepared(&mut self, certificate: &PreparedCertificate) {
        let PreparedCertificate { pre_prepare, primary_signature, prepares } = certificate;
        let primary = self.committee.quorums().primary(pre_prepare.view.0);
        self.pre_prepares
            .hear(&Signed { statement: *pre_prepare, signer: primary, signature: *primary_signature }, self.committee);
        for (signer, signature) in prepares.iter() {
            let statement = pre_prepare.prepare();
            self.prepares.hear(&Signed { statement, signer: *signer, signature: *signature }, self.committee);
        }
    }

    /// What no honest replica can have signed both of.
    fn contradictions(&self) -> impl Iterator<Item = Evidence> {
        let twice = (self.pre_prepares.conflicts().map(Evidence::PrePrepares))
            .chain(self.prepares.conflicts().map(Evidence::Prepares))
            .chain(self.commits.conflicts().map(Evidence::Commits))
            .chain(self.checkpoints.conflicts().map(Evidence::Checkpoints))
            .chain(self.view_changes.conflicts().map(|conflict| Evidence::ViewChanges(conflict.into())))
            .chain(self.new_views.conflicts().map(|conflict| Evidence::NewViews(conflict.into())));
        let hidden = self.commits.iter().filter_map(|commit| {
            let hides = |view_change: &&Signed<ViewChange>| {
                view_change.signer == commit.signer && view_change.statement.hides(&commit.statement)
            };
            let view_change = Box::new(self.view_changes.iter().find(hides)?.clone());
            Some(Evidence::HiddenCertificate { commit: commit.clone(), view_change })
        });
        twice.chain(hidden)
    }
}
