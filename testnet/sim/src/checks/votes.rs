//! What honest replicas sign and write: one vote per place, nothing below a promise, everything on disk first.

use super::invariant::{Held, Invariant, Violation, ensure};
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{CommitCertificate, NULL_BATCH, PrePrepare, Record, Slot, View, Vote};
use varangian_crypto::{Digest, ReplicaId, encode, sha256};

/// Something that a replica said or wrote: its kind, view, slot and what it says.
type Said = (&'static str, View, Slot, Digest);

/// See the module. Restarts are no excuse: what was said stays said.
#[derive(Clone, Debug, Default)]
pub struct Votes {
    signed: BTreeMap<(ReplicaId, &'static str, View, Slot), Digest>,
    promised: BTreeMap<ReplicaId, View>,
    durable: BTreeMap<ReplicaId, BTreeSet<Said>>,
    prepared: BTreeMap<(Slot, View), Digest>,
}

impl Votes {
    /// A record of `replica` is on disk.
    ///
    /// # Errors
    /// [`Invariant::OnePreparedDigest`].
    pub fn written(&mut self, replica: ReplicaId, record: &Record) -> Held {
        if let Some(said) = said_by_record(record) {
            self.durable.entry(replica).or_default().insert(said);
        }
        let Record::Prepared(certificate) = record else { return Ok(()) };
        let PrePrepare { view, slot, digest } = certificate.pre_prepare;
        let first = *self.prepared.entry((slot, view)).or_insert(digest);
        ensure(first == digest, Invariant::OnePreparedDigest, || {
            format!("{replica} prepared {digest} in view {view}, slot {slot}, another prepared {first}")
        })
    }

    /// A vote of honest `replica` leaves.
    ///
    /// # Errors
    /// [`Invariant::DurableBeforeSent`], [`Invariant::OneVotePerPlace`].
    pub fn voted(&mut self, replica: ReplicaId, vote: &Vote) -> Held {
        match vote {
            Vote::PrePrepare(vote) => self.voted_for_slot(replica, "proposed", "pre-prepare", *vote),
            Vote::Prepare(vote) => {
                let place = PrePrepare { view: vote.view, slot: vote.slot, digest: vote.digest };
                self.voted_for_slot(replica, "accepted", "prepare", place)
            }
            Vote::Commit(vote) => {
                let place = PrePrepare { view: vote.view, slot: vote.slot, digest: vote.digest };
                self.voted_for_slot(replica, "prepared", "commit", place)
            }
            Vote::Checkpoint(vote) => {
                let digest = said(&encode(vote));
                self.must_be_written(replica, ("checkpoint", View(0), vote.slot, digest))?;
                self.sign(replica, "checkpoint", View(0), vote.slot, digest)
            }
            Vote::ViewChange(vote) => {
                let digest = said(&encode(vote.as_ref()));
                self.must_be_written(replica, ("view-change", vote.view, Slot(0), digest))?;
                self.sign(replica, "view-change", vote.view, Slot(0), digest)?;
                let promised = self.promised.entry(replica).or_default();
                *promised = vote.view.max(*promised);
                Ok(())
            }
            Vote::NewView(draft) => {
                let digest = said(&encode(draft.as_ref()));
                self.must_be_written(replica, ("drafted", draft.view, Slot(0), digest))?;
                self.sign(replica, "new-view", draft.view, Slot(0), digest)?;
                let mut order = draft.order.iter();
                order.try_for_each(|vote| self.sign(replica, "pre-prepare", vote.view, vote.slot, vote.digest))
            }
        }
    }

    /// A commit certificate means that every honest signer has its prepared certificate on disk: so it survives any crash of all.
    ///
    /// # Errors
    /// [`Invariant::DurableBeforeSent`].
    pub fn must_back(&self, byzantine: &BTreeSet<ReplicaId>, certificate: &CommitCertificate) -> Held {
        let commit = certificate.statement;
        let honest = certificate.signers().filter(|signer| !byzantine.contains(signer));
        honest
            .into_iter()
            .try_for_each(|signer| self.must_be_written(signer, ("prepared", commit.view, commit.slot, commit.digest)))
    }

    /// Digests that were prepared for `slot`, by view.
    pub fn prepared(&self, slot: Slot) -> impl Iterator<Item = (View, Digest)> + '_ {
        self.prepared.range((slot, View(0))..=(slot, View(u64::MAX))).map(|((_, view), digest)| (*view, *digest))
    }

    /// The highest view that `replica` has promised never to vote below.
    #[must_use]
    pub fn promised(&self, replica: ReplicaId) -> View {
        self.promised.get(&replica).copied().unwrap_or_default()
    }

    fn voted_for_slot(
        &mut self,
        replica: ReplicaId,
        written: &'static str,
        kind: &'static str,
        vote: PrePrepare,
    ) -> Held {
        let PrePrepare { view, slot, digest } = vote;
        self.must_be_written(replica, (written, view, slot, digest))?;
        if digest != NULL_BATCH {
            self.must_be_written(replica, ("batch", View(0), slot, digest))?;
        }
        if view > View(0) {
            self.must_be_written(replica, ("new-view", view, Slot(0), Digest::ZERO))?;
        }
        let promised = self.promised(replica);
        ensure(view >= promised, Invariant::OneVotePerPlace, || {
            format!("{replica} votes in view {view} after it promised {promised}")
        })?;
        self.sign(replica, kind, view, slot, digest)
    }

    fn must_be_written(&self, replica: ReplicaId, said: Said) -> Held {
        let written = self.durable.get(&replica).is_some_and(|all| all.contains(&said));
        let (kind, view, slot, digest) = said;
        ensure(written, Invariant::DurableBeforeSent, || {
            format!("{replica} sent what is not on its disk: {kind} view {view} slot {slot} {digest}")
        })
    }

    fn sign(&mut self, replica: ReplicaId, kind: &'static str, view: View, slot: Slot, digest: Digest) -> Held {
        let first = *self.signed.entry((replica, kind, view, slot)).or_insert(digest);
        if first == digest {
            return Ok(());
        }
        let text = format!("{replica} signed two {kind}s for view {view}, slot {slot}");
        Err(Violation { invariant: Invariant::OneVotePerPlace, text })
    }
}

fn said(bytes: &[u8]) -> Digest {
    sha256("said", &[bytes])
}

fn said_by_record(record: &Record) -> Option<Said> {
    Some(match record {
        Record::Batch { slot, batch } => ("batch", View(0), *slot, *batch.digest()),
        Record::Proposed(vote) => ("proposed", vote.view, vote.slot, vote.digest),
        Record::Accepted(signed) => ("accepted", signed.statement.view, signed.statement.slot, signed.statement.digest),
        Record::Prepared(certificate) => {
            ("prepared", certificate.pre_prepare.view, certificate.pre_prepare.slot, certificate.pre_prepare.digest)
        }
        Record::ViewChange(vote) => ("view-change", vote.view, Slot(0), said(&encode(vote.as_ref()))),
        Record::Drafted(draft) => ("drafted", draft.view, Slot(0), said(&encode(draft.as_ref()))),
        Record::NewView(signed) => ("new-view", signed.statement.view, Slot(0), Digest::ZERO),
        Record::Checkpoint(vote) => ("checkpoint", View(0), vote.slot, said(&encode(vote))),
        Record::Stable(_) | Record::Evidence(_) => return None,
    })
}
