//! §4.2, the normal case: pre-prepare, prepare, commit, execute.
//!
//! - The primary gives the next slot to a batch, when it has a place in its pipeline (no timer: with nothing in flight at once,
//!   otherwise when a place frees or the batch is full), and is not behind with executing what it has proposed.
//! - A backup accepts the first pre-prepare of its view for a slot inside the watermarks, once the body is there, and says PREPARE.
//! - A pre-prepare and equal PREPAREs of distinct backups, a quorum with the primary, are a prepared certificate; then COMMIT.
//! - A quorum of equal COMMITs decides the slot. Slots are decided in any order and executed in theirs.
//!
//! What is emitted binds at once; it counts in this replica's own tallies when it comes back signed, which is after it is durable.

use crate::batch::{Batch, NULL_BATCH};
use crate::client_table::Verdict;
use crate::effect::{Alarm, Effect, Execution, Ignored, Record, Vote};
use crate::evidence::Evidence;
use crate::message::Message;
use crate::reign::Service;
use crate::replica::{Decision, Phase, Replica, Turn};
use crate::tally::Cast;
use crate::types::{Millis, Slot, View};
use crate::vote::{Commit, CommitCertificate, PrePrepare, Prepare, PreparedCertificate};
use alloc::sync::Arc;
use alloc::vec::Vec;
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Digest, QuorumCertificate, ReplicaId, Signed, sha256};

impl Replica {
    /// The primary fills slots.
    pub(crate) fn propose(&mut self, turn: &mut Turn<'_>) {
        while self.may_propose(turn.now) {
            let commands = self.pool.take_batch(&self.config);
            let Some(batch) = Batch::new(commands) else { return };
            let batch = Arc::new(batch);
            let slot = self.next_slot;
            let pre_prepare = PrePrepare { view: self.view, slot, digest: *batch.digest() };
            self.next_slot = slot.next();
            self.place_freed = false;
            let entry = self.log.entry(slot).or_default();
            entry.vote = Some(pre_prepare);
            entry.bodies.insert(*batch.digest(), batch.clone());
            entry.durable.insert(*batch.digest());
            self.backlog.proposed(turn.now, slot, batch.encoded().len(), batch.operation_count(), &self.config);
            turn.push(Effect::Persist(Record::Batch { slot, batch: batch.clone() }));
            turn.push(Effect::Persist(Record::Proposed(pre_prepare)));
            turn.push(Effect::Vote(Vote::PrePrepare(pre_prepare)));
            turn.push(Effect::Broadcast(Message::Batch { slot, batch }));
        }
    }

    fn may_propose(&self, now: Millis) -> bool {
        let in_flight = self.next_slot.0.saturating_sub(1).saturating_sub(self.issued.0);
        self.phase == Phase::Active
            && self.config.primary(self.view) == self.config.id
            && self.pool.next_cost().is_some_and(|cost| {
                self.backlog.has_room(cost, now, self.pacing.timeout(&self.config), self.config.quorums.n())
            })
            && self.check_window(self.next_slot).is_ok()
            && in_flight < self.config.pipeline
            && (in_flight == 0 || self.place_freed || self.pool.fills_a_batch(&self.config))
    }

    /// Upon a PRE-PREPARE: the first one of its view and slot counts.
    pub(crate) fn on_pre_prepare(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        signed: Signed<PrePrepare>,
    ) -> Result<(), Ignored> {
        let PrePrepare { view, slot, digest } = signed.statement;
        self.check_vote(view, slot)?;
        // Of a NEW-VIEW that it drafted and has not got back yet, the pre-prepares are its own and not in its log.
        let drafted = self.entered < view && view <= self.drafted;
        if !drafted && self.is_foreign(from, &signed.signer, view, slot, &digest) {
            self.stop(turn, Alarm::ForeignVote { slot, view });
            return Ok(());
        }
        let primary = signed.signer;
        let first = self.log.get(&slot).and_then(|entry| entry.pre_prepares.of(primary));
        if view == self.entered && first.is_none() && !self.may_be_pre_prepared(slot, &digest) {
            return Err(Ignored::Unsolicited);
        }
        let entered = self.entered;
        match self.log.entry(slot).or_default().pre_prepares.cast(signed, entered) {
            Cast::Counted => {
                self.judge_suspect(turn, slot);
                self.advance(turn, slot);
            }
            Cast::Known => return Err(Ignored::Duplicate),
            Cast::Conflict(conflict) => {
                let first = conflict.first.clone();
                if self.accuse(turn, Evidence::PrePrepares(conflict)) && from != self.config.id {
                    // Whoever sent the other one may not know of this one yet.
                    turn.push(Effect::Send(from, Message::PrePrepare(first)));
                }
                self.fail_view_of(turn, view);
            }
        }
        Ok(())
    }

    /// Upon a PREPARE.
    pub(crate) fn on_prepare(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        signed: Signed<Prepare>,
    ) -> Result<(), Ignored> {
        let Prepare { view, slot, digest } = signed.statement;
        self.check_vote(view, slot)?;
        if self.is_foreign(from, &signed.signer, view, slot, &digest) {
            self.stop(turn, Alarm::ForeignVote { slot, view });
            return Ok(());
        }
        let (entered, signer) = (self.entered, signed.signer);
        let entry = self.log.entry(slot).or_default();
        match entry.prepares.cast(signed, entered) {
            Cast::Counted => {
                if signer == self.config.id {
                    self.reign.counted(slot, turn.now);
                }
                // An equivocating primary told the signer something else: show it what it told this replica, so that both can prove it.
                let primary = self.config.primary(view);
                if let Some(own) = entry.pre_prepares.of(primary)
                    && view == entered
                    && own.statement.digest != digest
                    && signer != self.config.id
                {
                    turn.push(Effect::Send(signer, Message::PrePrepare(own.clone())));
                }
                self.advance(turn, slot);
                Ok(())
            }
            Cast::Known => Err(Ignored::Duplicate),
            Cast::Conflict(conflict) => {
                self.accuse(turn, Evidence::Prepares(conflict));
                Ok(())
            }
        }
    }

    /// Upon a COMMIT.
    pub(crate) fn on_commit(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        signed: Signed<Commit>,
    ) -> Result<(), Ignored> {
        let Commit { view, slot, digest } = signed.statement;
        self.check_vote(view, slot)?;
        if self.is_foreign(from, &signed.signer, view, slot, &digest) {
            self.stop(turn, Alarm::ForeignVote { slot, view });
            return Ok(());
        }
        let (entered, signer) = (self.entered, signed.signer);
        match self.log.entry(slot).or_default().commits.cast(signed, entered) {
            Cast::Counted => {
                if let Some(evidence) = self.view_changes.get(&signer).and_then(|held| self.hidden_certificate(held)) {
                    self.accuse(turn, evidence);
                }
                self.advance(turn, slot);
                Ok(())
            }
            Cast::Known => Err(Ignored::Duplicate),
            Cast::Conflict(conflict) => {
                self.accuse(turn, Evidence::Commits(conflict));
                Ok(())
            }
        }
    }

    /// Whether a primary of the view entered last may give `slot` to `digest`. What the NEW-VIEW settled is settled, and outside a
    /// NEW-VIEW there are no null batches.
    pub(crate) fn may_be_pre_prepared(&self, slot: Slot, digest: &Digest) -> bool {
        if slot <= self.reserved { self.carried(slot) == Some(*digest) } else { *digest != NULL_BATCH }
    }

    fn check_vote(&self, view: View, slot: Slot) -> Result<(), Ignored> {
        if view < self.entered {
            return Err(Ignored::Stale);
        }
        self.check_window(slot)
    }

    /// A vote under this replica's own key, come by a peer, that its own records do not know: the disk is not the one that signed it.
    fn is_foreign(&self, from: ReplicaId, signer: &ReplicaId, view: View, slot: Slot, digest: &Digest) -> bool {
        let own = self.log.get(&slot).and_then(|entry| entry.vote);
        let carried = self.log.get(&slot).and_then(|entry| entry.pre_prepares.of(*signer)).map(|vote| vote.statement);
        *signer == self.config.id
            && from != self.config.id
            && [own, carried]
                .iter()
                .flatten()
                .all(|vote| vote.view < view || (vote.view == view && vote.digest != *digest))
    }

    /// Casts every vote of its own that the slot is ripe for.
    pub(crate) fn advance(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let late = seeded(Bug::PromiseBindsLate) && !self.view_changes.contains_key(&self.config.id);
        if (self.phase == Phase::Active || late) && self.stopped.is_none() {
            self.prepare(turn, slot);
            self.commit(turn, slot);
        }
        self.decide(turn, slot);
    }

    /// Upon an accepted pre-prepare with its body: vote, once, durably.
    fn prepare(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let (view, primary) = (self.entered, self.config.primary(self.entered));
        let Some(entry) = self.log.get_mut(&slot) else { return };
        let Some(signed) = entry.pre_prepares.of(primary).cloned() else { return };
        if primary == self.config.id || entry.vote.is_some_and(|vote| vote.view >= view) {
            return;
        }
        if !entry.make_durable(turn, slot, &signed.statement.digest) {
            return;
        }
        entry.vote = Some(signed.statement);
        self.reign.voted(slot, turn.now);
        let prepare = signed.statement.prepare();
        if seeded(Bug::VoteBeforePersist) {
            turn.push(Effect::Vote(Vote::Prepare(prepare)));
            turn.push(Effect::Persist(Record::Accepted(signed)));
            return;
        }
        turn.push(Effect::Persist(Record::Accepted(signed)));
        turn.push(Effect::Vote(Vote::Prepare(prepare)));
    }

    /// Upon a prepared certificate with its body: keep it, durably, then COMMIT.
    fn commit(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let (view, primary, quorum) = (self.entered, self.config.primary(self.entered), self.config.quorum());
        let Some(entry) = self.log.get_mut(&slot) else { return };
        if entry.prepared.as_ref().is_some_and(|certificate| certificate.pre_prepare.view >= view) {
            return;
        }
        let Some(signed) = entry.pre_prepares.of(primary) else { return };
        let pre_prepare = signed.statement;
        let backups = entry.prepares.signatures(view, &pre_prepare.digest);
        let Some(certificate) = PreparedCertificate::from_votes(signed, backups, quorum) else { return };
        if !entry.make_durable(turn, slot, &pre_prepare.digest) {
            return;
        }
        entry.prepared = Some(certificate.clone());
        if !seeded(Bug::PreparedNotPersisted) {
            turn.push(Effect::Persist(Record::Prepared(certificate)));
        }
        turn.push(Effect::Vote(Vote::Commit(pre_prepare.commit())));
    }

    /// Upon a quorum of equal COMMITs of the view entered last: the slot is decided.
    fn decide(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        if slot <= self.issued || self.decided.contains_key(&slot) {
            return;
        }
        let Some(entry) = self.log.get(&slot) else { return };
        let view = self.entered;
        let mut digests: Vec<Digest> = entry.commits.iter().map(|vote| vote.statement.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        for digest in digests {
            let commit = Commit { view, slot, digest };
            let votes = entry.commits.signatures(view, &digest);
            if let Some(certificate) = QuorumCertificate::from_votes(commit, votes, self.config.quorums) {
                self.adopt(turn, certificate, None);
                return;
            }
        }
    }

    /// Takes a decided slot, with its body if that is known. Two decisions for one slot prove more than `f` faults.
    pub(crate) fn adopt(&mut self, turn: &mut Turn<'_>, certificate: CommitCertificate, batch: Option<Arc<Batch>>) {
        let Commit { view, slot, digest } = certificate.statement;
        if self.decided.get(&slot).is_some_and(|decision| decision.certificate.statement.digest != digest) {
            self.stop(turn, Alarm::TooManyFaults { slot, view });
            return;
        }
        let held = self.log.get(&slot).and_then(|entry| entry.bodies.get(&digest)).cloned();
        let decision = self.decided.entry(slot).or_insert(Decision { certificate, batch: None });
        if decision.batch.is_none() {
            decision.batch = batch.or(held);
        }
    }

    /// Orders the execution of decided slots, in order, as far as bodies are there. Nothing durable is promised by it: a commit
    /// certificate already means a quorum of durable prepared certificates, so this stands before any later record.
    pub(crate) fn execute_decided(&mut self, turn: &mut Turn<'_>) {
        while self.stopped.is_none() {
            let mut slot = self.issued.next();
            if seeded(Bug::ExecutesAcrossGaps) {
                slot = self.decided.keys().next().copied().unwrap_or(slot);
            }
            let Some(decision) = self.decided.get(&slot) else { return };
            let digest = decision.certificate.statement.digest;
            if decision.batch.is_none() && digest != NULL_BATCH {
                return;
            }
            let Some(Decision { certificate, batch }) = self.decided.remove(&slot) else { return };
            let commands = batch.as_ref().map_or(&[][..], |batch| batch.commands());
            let identities: Vec<_> = commands.iter().map(|command| command.identity()).collect();
            let was_full = self.clients.is_full();
            let verdicts: Vec<_> = identities.iter().map(|identity| self.clients.turn(identity)).collect();
            let windows = self.clients.rows(identities.iter().map(|identity| identity.client).collect());
            let timeout = self.pacing.timeout(&self.config);
            for (identity, verdict) in identities.iter().zip(&verdicts) {
                if let Some(deadline) = self.pool.deadline(identity) {
                    self.reign.waited(turn.now.saturating_add(timeout).saturating_sub(deadline));
                }
                self.pool.remove(identity);
                if let Verdict::Run { floor } = verdict {
                    self.pool.remove_old(identity.client, *floor);
                }
            }
            if !was_full && self.clients.is_full() {
                self.pool.remove_refused(&self.clients);
            }
            self.history = history(&self.history, slot, &digest);
            self.issued = slot;
            self.backlog.ordered(turn.now, slot);
            self.next_slot = self.next_slot.max(slot.next());
            self.place_freed = true;
            self.last_certificate = Some(certificate.clone());
            // Also for a slot that was caught up: a later view may carry it, and then it is voted for.
            let entry = if self.check_window(slot).is_ok() { Some(self.log.entry(slot).or_default()) } else { None };
            let durable = entry.as_ref().is_some_and(|entry| entry.durable.contains(&digest));
            if let Some(batch) = batch.clone().filter(|_| !durable) {
                turn.push(Effect::Persist(Record::Batch { slot, batch }));
            }
            if let Some(entry) = entry {
                if batch.is_some() {
                    entry.durable.insert(digest);
                }
                entry.bodies.clear();
                entry.suspect = None;
            }
            let checkpoint = self.config.is_checkpoint(slot);
            if checkpoint {
                self.histories.insert(slot, self.history);
            }
            // What does not run anybody can have ordered again: it is no service.
            let runs = commands.iter().zip(&verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Run { .. }));
            let (mut count, mut bytes, mut operations) = (0, 0, 0);
            for (command, _) in runs {
                count += 1;
                bytes += command.encoded().len();
                operations += u64::from(command.operation_count());
            }
            let service = Service { commands: count, batches: self.config.share_of_batch(bytes, operations) };
            self.reign.ordered(turn.now, slot, service, self.config.fair_slots());
            self.pacing.progress(turn.now, &self.config);
            turn.push(Effect::Execute(Execution {
                slot,
                certificate,
                batch,
                verdicts,
                windows,
                history: self.history,
                checkpoint,
            }));
        }
    }

    /// The primary of `view` is proved faulty: if that is the view this replica votes in, it asks for the next.
    pub(crate) fn fail_view_of(&mut self, turn: &mut Turn<'_>, view: View) {
        if self.phase == Phase::Active && view == self.view {
            self.start_view_change(turn, view.next());
        }
    }
}

/// `history(s) = H(history(s-1), s, batch digest(s))`.
pub(crate) fn history(before: &Digest, slot: Slot, digest: &Digest) -> Digest {
    sha256("varangian history 1", &[before.as_bytes(), &slot.0.to_le_bytes(), digest.as_bytes()])
}
