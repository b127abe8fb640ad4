//! What must hold in every run, looked at from outside of the replicas. Each check panics with what it saw.

use super::disk::ExecutedSlot;
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{Evidence, Identity, NULL_BATCH, PrePrepare, Record, Slot, Verdict, View, Vote};
use varangian_crypto::{Committee, Digest, ReplicaId, Verify, encode, sha256};

/// Something that a replica said or wrote: its kind, view, slot and what it says.
type Said = (&'static str, View, Slot, Digest);

/// Everything that honest replicas ever signed, wrote and executed, restarts included.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// Replicas that may do anything.
    pub byzantine: BTreeSet<ReplicaId>,
    signed: BTreeMap<(ReplicaId, &'static str, View, Slot), Digest>,
    promised: BTreeMap<ReplicaId, View>,
    durable: BTreeMap<ReplicaId, BTreeSet<Said>>,
    prepared: BTreeMap<(Slot, View), Digest>,
    executed: BTreeMap<Slot, (View, Digest, Digest, Digest)>,
    ran: BTreeMap<Identity, Slot>,
}

impl Checks {
    /// A group commit of `replica` is on disk.
    pub fn written(&mut self, replica: ReplicaId, records: &[Record]) {
        for record in records {
            if let Record::Prepared(certificate) = record {
                self.check_prepared(replica, certificate.pre_prepare);
            }
            if let Some(said) = said_by_record(record) {
                self.durable.entry(replica).or_default().insert(said);
            }
        }
    }

    /// A vote of `replica` leaves: it is covered by what is on its disk, contradicts nothing, and breaks no promise.
    pub fn voted(&mut self, replica: ReplicaId, vote: &Vote) {
        if self.byzantine.contains(&replica) {
            return;
        }
        match vote {
            Vote::PrePrepare(vote) => {
                self.must_be_written(replica, ("proposed", vote.view, vote.slot, vote.digest));
                self.must_have_body(replica, vote);
                self.must_have_entered(replica, vote.view);
                self.sign(replica, "pre-prepare", vote.view, vote.slot, vote.digest);
            }
            Vote::Prepare(vote) => {
                self.must_be_written(replica, ("accepted", vote.view, vote.slot, vote.digest));
                self.must_have_body(replica, &PrePrepare { view: vote.view, slot: vote.slot, digest: vote.digest });
                self.must_have_entered(replica, vote.view);
                self.sign(replica, "prepare", vote.view, vote.slot, vote.digest);
            }
            Vote::Commit(vote) => {
                self.must_be_written(replica, ("prepared", vote.view, vote.slot, vote.digest));
                self.must_have_body(replica, &PrePrepare { view: vote.view, slot: vote.slot, digest: vote.digest });
                self.must_have_entered(replica, vote.view);
                self.sign(replica, "commit", vote.view, vote.slot, vote.digest);
            }
            Vote::Checkpoint(vote) => {
                let digest = sha256("said", &[&encode(vote)]);
                self.must_be_written(replica, ("checkpoint", View(0), vote.slot, digest));
                self.sign(replica, "checkpoint", View(0), vote.slot, digest);
            }
            Vote::ViewChange(vote) => {
                let digest = sha256("said", &[&encode(vote.as_ref())]);
                self.must_be_written(replica, ("view-change", vote.view, Slot(0), digest));
                self.sign(replica, "view-change", vote.view, Slot(0), digest);
                let promised = self.promised.entry(replica).or_default();
                *promised = vote.view.max(*promised);
            }
            Vote::NewView(draft) => {
                let digest = sha256("said", &[&encode(draft.as_ref())]);
                self.must_be_written(replica, ("drafted", draft.view, Slot(0), digest));
                self.sign(replica, "new-view", draft.view, Slot(0), digest);
                for vote in &draft.order {
                    self.sign(replica, "pre-prepare", vote.view, vote.slot, vote.digest);
                }
            }
        }
    }

    /// `replica` executed `slot`: everybody's history and state are the same there, and no command ran twice.
    pub fn executed(&mut self, replica: ReplicaId, slot: Slot, done: &ExecutedSlot) {
        if self.byzantine.contains(&replica) {
            return;
        }
        let commit = done.certificate.statement;
        assert_eq!(commit.slot, slot, "{replica} executed slot {slot} by another slot's certificate");
        let body = done.batch.as_ref().map_or(NULL_BATCH, |batch| *batch.digest());
        assert_eq!(commit.digest, body, "{replica} executed another body in slot {slot} than the certificate names");
        let now = (commit.view, commit.digest, done.history, done.state);
        let first = *self.executed.entry(slot).or_insert(now);
        assert_eq!((first.1, first.2), (now.1, now.2), "FORK: {replica} executed another batch in slot {slot}");
        assert_eq!(first.3, now.3, "{replica} has another state at slot {slot}");
        if commit.view < first.0 {
            self.executed.insert(slot, now);
        }
        for (identity, verdict, _) in &done.answers {
            if matches!(verdict, Verdict::Run { .. }) {
                let ran = *self.ran.entry(*identity).or_insert(slot);
                assert_eq!(ran, slot, "{replica} ran {identity:?} in slot {slot} and in slot {ran}");
            }
        }
        let certified: Vec<_> =
            self.prepared.range((slot, View(0))..=(slot, View(u64::MAX))).map(|(at, digest)| (*at, *digest)).collect();
        for ((_, view), digest) in certified {
            assert!(
                view < commit.view || digest == commit.digest,
                "slot {slot} was decided in {} and prepared otherwise in {view}",
                commit.view
            );
        }
    }

    /// Evidence names nobody honest, and proves itself.
    pub fn accused(&self, by: ReplicaId, evidence: &Evidence, committee: &Committee) {
        assert!(
            self.byzantine.contains(&evidence.accused()),
            "{by} accuses honest {} of {}",
            evidence.accused(),
            evidence.kind()
        );
        evidence.check(committee).unwrap_or_else(|error| panic!("{by}'s evidence proves nothing: {error}"));
    }

    /// Slots executed by anybody, with their batches' digests.
    #[must_use]
    pub fn agreed(&self) -> BTreeMap<Slot, Digest> {
        self.executed.iter().map(|(slot, (_, digest, ..))| (*slot, *digest)).collect()
    }

    /// Where a command ran, if it ran anywhere.
    #[must_use]
    pub fn ran(&self, identity: &Identity) -> Option<Slot> {
        self.ran.get(identity).copied()
    }

    fn check_prepared(&mut self, replica: ReplicaId, vote: PrePrepare) {
        let PrePrepare { view, slot, digest } = vote;
        let first = *self.prepared.entry((slot, view)).or_insert(digest);
        assert_eq!(first, digest, "{replica} prepared another batch in view {view}, slot {slot}");
        if let Some((decided, batch, ..)) = self.executed.get(&slot) {
            assert!(
                view < *decided || *batch == digest,
                "{replica} prepared in view {view} against the decision of slot {slot}"
            );
        }
    }

    fn must_be_written(&self, replica: ReplicaId, said: Said) {
        let (kind, view, slot, digest) = said;
        let written = self.durable.get(&replica).is_some_and(|all| all.contains(&said));
        assert!(written, "{replica} sent what is not on its disk: {kind} view {view} slot {slot} {digest}");
    }

    fn must_have_body(&self, replica: ReplicaId, vote: &PrePrepare) {
        if vote.digest != NULL_BATCH {
            self.must_be_written(replica, ("batch", View(0), vote.slot, vote.digest));
        }
    }

    fn must_have_entered(&self, replica: ReplicaId, view: View) {
        let promised = self.promised.get(&replica).copied().unwrap_or_default();
        assert!(view >= promised, "{replica} votes in view {view} after it promised {promised}");
        let mut entered = self.durable.get(&replica).into_iter().flatten();
        let written = view == View(0) || entered.any(|(kind, known, ..)| *kind == "new-view" && *known == view);
        assert!(written, "{replica} votes in view {view} without its NEW-VIEW on disk");
    }

    fn sign(&mut self, replica: ReplicaId, kind: &'static str, view: View, slot: Slot, digest: Digest) {
        let first = *self.signed.entry((replica, kind, view, slot)).or_insert(digest);
        assert_eq!(first, digest, "{replica} signed two {kind}s for view {view}, slot {slot}");
    }
}

fn said_by_record(record: &Record) -> Option<Said> {
    Some(match record {
        Record::Batch { slot, batch } => ("batch", View(0), *slot, *batch.digest()),
        Record::Proposed(vote) => ("proposed", vote.view, vote.slot, vote.digest),
        Record::Accepted(signed) => ("accepted", signed.statement.view, signed.statement.slot, signed.statement.digest),
        Record::Prepared(certificate) => {
            ("prepared", certificate.pre_prepare.view, certificate.pre_prepare.slot, certificate.pre_prepare.digest)
        }
        Record::ViewChange(vote) => ("view-change", vote.view, Slot(0), sha256("said", &[&encode(vote.as_ref())])),
        Record::Drafted(draft) => ("drafted", draft.view, Slot(0), sha256("said", &[&encode(draft.as_ref())])),
        Record::NewView(signed) => ("new-view", signed.statement.view, Slot(0), Digest::ZERO),
        Record::Checkpoint(vote) => ("checkpoint", View(0), vote.slot, sha256("said", &[&encode(vote)])),
        Record::Stable(_) | Record::Evidence(_) | Record::Stopped(_) => return None,
    })
}
