//! What must hold in every run, looked at from outside of the replicas. Checkers know facts, and nothing of who drives the replicas.
//!
//! - [`invariant`]: the list.
//! - [`votes`]: what honest replicas sign and write.
//! - [`certificates`]: what they rely on.
//! - [`bodies`]: that what is certified can be had.
//! - [`order`]: what a new view carries over, by another algorithm.
//! - [`log`]: what was agreed, replayed.
//! - [`replies`]: what clients see.
//! - [`replicas`]: what a replica shows of itself.

pub mod bodies;
pub mod certificates;
pub mod invariant;
pub mod log;
pub mod order;
pub mod replicas;
pub mod replies;
pub mod votes;

pub use invariant::{Held, Invariant, Violation, ensure};

use crate::cluster::disk::{Answer, Disk, ExecutedSlot};
use crate::cluster::setup::Setup;
use log::Log;
use replicas::Replicas;
use replies::Replies;
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{Evidence, Identity, PrePrepare, Record, Replica, Slot, Vote};
use varangian_crypto::{Committee, Digest, ReplicaId, Verify};
use votes::Votes;

/// Everything that honest replicas ever signed, wrote and executed, restarts included.
#[derive(Clone, Debug)]
pub struct Checks {
    /// Replicas that may do anything.
    pub byzantine: BTreeSet<ReplicaId>,
    committee: Committee,
    votes: Votes,
    log: Log,
    replies: Replies,
    replicas: Replicas,
}

impl Checks {
    /// Of a chain.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let config = setup.config(ReplicaId(0));
        Self {
            byzantine: BTreeSet::new(),
            committee: setup.committee.clone(),
            votes: Votes::default(),
            log: Log::new(config.genesis_history, config.admission, config.client_window),
            replies: Replies::default(),
            replicas: Replicas::default(),
        }
    }

    /// A group commit of `replica` is on disk.
    ///
    /// # Errors
    /// The invariant that it breaks.
    pub fn written(&mut self, replica: ReplicaId, records: &[Record]) -> Held {
        let honest = !self.byzantine.contains(&replica);
        for record in records {
            self.votes.written(replica, record)?;
            if let Record::Prepared(certificate) = record {
                self.check_prepared(replica, certificate.pre_prepare)?;
            }
            if !honest {
                continue;
            }
            certificates::check_record(replica, record, &self.committee)?;
            match record {
                Record::Stable(certificate) => self.log.stable(replica, certificate)?,
                Record::NewView(signed) => {
                    let changes = signed.statement.view_changes.iter().map(|signed| &signed.statement);
                    let order = signed.statement.pre_prepares.iter().map(|signed| signed.statement);
                    order::check(replica, signed.statement.view, changes, order)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A vote of `replica` leaves.
    ///
    /// # Errors
    /// The invariant that it breaks.
    pub fn voted(&mut self, replica: ReplicaId, vote: &Vote) -> Held {
        if self.byzantine.contains(&replica) {
            return Ok(());
        }
        if let Vote::NewView(draft) = vote {
            let changes = draft.view_changes.iter().map(|signed| &signed.statement);
            order::check(replica, draft.view, changes, draft.order.iter().copied())?;
        }
        self.votes.voted(replica, vote)
    }

    /// `replica` executed `slot`.
    ///
    /// # Errors
    /// The invariant that it breaks.
    pub fn executed(&mut self, replica: ReplicaId, slot: Slot, done: &ExecutedSlot) -> Held {
        if self.byzantine.contains(&replica) {
            return Ok(());
        }
        if self.log.executed(replica, slot, done, &self.committee)? {
            certificates::check_commit(replica, &done.certificate, &self.committee)?;
            self.votes.must_back(&self.byzantine, &done.certificate)?;
        }
        let commit = done.certificate.statement;
        self.votes.prepared(slot).try_for_each(|(view, digest)| {
            ensure(view < commit.view || digest == commit.digest, Invariant::CommittedStays, || {
                format!("slot {slot} was decided in {} and prepared otherwise in {view}", commit.view)
            })
        })
    }

    /// What an honest replica just wrote certifies bodies that others have too, on these intact `disks`; `lost` others are damaged.
    ///
    /// # Errors
    /// [`Invariant::BodiesRetrievable`].
    pub fn retrievable<'a>(
        &self,
        records: &[Record],
        disks: impl Iterator<Item = (ReplicaId, &'a Disk)> + Clone,
        lost: usize,
    ) -> Held {
        let honest = disks.filter(|(id, _)| !self.byzantine.contains(id));
        bodies::check(records, honest, self.committee.quorums(), self.byzantine.len(), lost)
    }

    /// Evidence names nobody honest, and proves itself.
    ///
    /// # Errors
    /// [`Invariant::EvidenceIsJust`].
    pub fn accused(&self, by: ReplicaId, evidence: &Evidence) -> Held {
        let accused = evidence.accused();
        ensure(self.byzantine.contains(&accused), Invariant::EvidenceIsJust, || {
            format!("{by} accuses honest {accused} of {}: {evidence:?}", evidence.kind())
        })?;
        ensure(evidence.check(&self.committee).is_ok(), Invariant::EvidenceIsJust, || {
            format!("{by}'s evidence against {accused} proves nothing: {evidence:?}")
        })
    }

    /// `replica` made a step.
    ///
    /// # Errors
    /// The invariant that its state breaks.
    pub fn stepped(&mut self, id: ReplicaId, replica: &Replica, waiting: usize) -> Held {
        if self.byzantine.contains(&id) { Ok(()) } else { self.replicas.stepped(id, replica, waiting) }
    }

    /// `replica` started again, from a disk whose stable checkpoint is `stable`.
    ///
    /// # Errors
    /// [`Invariant::Monotonic`].
    pub fn restarted(&mut self, id: ReplicaId, replica: &Replica, stable: Slot) -> Held {
        if self.byzantine.contains(&id) {
            return Ok(());
        }
        self.replicas.restarted(id, replica, self.votes.promised(id), stable)
    }

    /// `replica` replies to a client.
    ///
    /// # Errors
    /// [`Invariant::ExactlyOnce`].
    pub fn replied(&mut self, replica: ReplicaId, identity: Identity, answer: &Answer) -> Held {
        if self.byzantine.contains(&replica) { Ok(()) } else { self.replies.replied(replica, identity, answer) }
    }

    /// A client wants a command run, for the first time at `now`.
    pub fn invoked(&mut self, identity: Identity, now: u64) {
        self.replies.invoked(identity, now);
    }

    /// A client accepts an answer.
    ///
    /// # Errors
    /// [`Invariant::Linearizable`].
    pub fn accepted(&mut self, identity: Identity, answer: &Answer, now: u64) -> Held {
        self.replies.accepted(identity, answer, now, &self.log)
    }

    /// Commands that clients hold to be done.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.replies.acknowledged()
    }

    /// `replica` has everything; so nothing that was acknowledged is missing.
    ///
    /// # Errors
    /// [`Invariant::NothingAcknowledgedIsLost`].
    pub fn must_survive(&self, replica: ReplicaId, answer_of: impl Fn(&Identity) -> Option<Answer>) -> Held {
        self.replies.must_survive(replica, answer_of)
    }

    /// The last slot that anybody honest executed.
    #[must_use]
    pub fn last(&self) -> Slot {
        self.log.last()
    }

    /// Slots executed by anybody, with their batches' digests.
    #[must_use]
    pub fn agreed(&self) -> BTreeMap<Slot, Digest> {
        self.log.digests().collect()
    }

    /// Where a command ran, if it ran anywhere.
    #[must_use]
    pub fn ran(&self, identity: &Identity) -> Option<Slot> {
        self.log.answer(identity).map(|answer| answer.slot)
    }

    fn check_prepared(&self, replica: ReplicaId, vote: PrePrepare) -> Held {
        let PrePrepare { view, slot, digest } = vote;
        let Some((decided, batch)) = self.log.decided(slot) else { return Ok(()) };
        ensure(view < decided || batch == digest, Invariant::CommittedStays, || {
            format!("{replica} prepared {digest} in view {view} against the decision of slot {slot} in {decided}")
        })
    }
}
