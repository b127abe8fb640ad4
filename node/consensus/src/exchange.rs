//! Status exchange: a message that is lost once never stalls anything.
//!
//! On connecting, and as long as something is outstanding, a replica says where it stands. Peers answer with *state*: their own last
//! votes, the pre-prepares and the NEW-VIEW they hold, certificates. They never answer a question that would not help the asker, and
//! none more often than its share.

use crate::batch::NULL_BATCH;
use crate::effect::{Alarm, Effect, Ignored};
use crate::message::{Message, Progress, Status};
use crate::peers::Fetch;
use crate::pool::Role;
use crate::replica::{Phase, Replica, Turn};
use crate::types::{Millis, Slot};
use crate::vote::{Commit, CommitCertificate};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use varangian_crypto::{Bounded, Digest, ReplicaId};

/// Part of a batch that is handed on again with one status.
const AGAIN: usize = 8;

impl Replica {
    /// Whether anything waits for somebody else.
    pub(crate) fn has_outstanding(&self) -> bool {
        self.phase == Phase::Changing
            || !self.pool.is_empty()
            || self.highest_known() > self.issued
            || self.peers.beyond(self.config.weak()) > self.issued
            || self.ahead.is_some()
            || self.pending_checkpoints().next().is_some()
    }

    /// A connection is up.
    pub(crate) fn on_connected(&mut self, turn: &mut Turn<'_>, peer: ReplicaId) -> Result<(), Ignored> {
        if peer == self.config.id || !self.config.quorums.contains(peer) {
            return Err(Ignored::Unsolicited);
        }
        self.peers.connected(peer);
        turn.push(Effect::Send(peer, Message::Status(self.status())));
        if self.hands_commands_to(peer) {
            // A primary's pool is memory: one that restarted knows nothing of what it was handed.
            let armed = self.pool.armed_commands();
            turn.effects.extend(armed.map(|(_, command)| Effect::Send(peer, Message::Command(command.clone()))));
        }
        Ok(())
    }

    /// Whether this replica hands its commands on to `peer`.
    fn hands_commands_to(&self, peer: ReplicaId) -> bool {
        self.phase == Phase::Active && self.role() == Role::Backup && self.config.primary(self.view) == peer
    }

    /// Says where this replica stands, and asks for what it knows to be missing.
    pub(crate) fn exchange(&mut self, turn: &mut Turn<'_>) {
        turn.push(Effect::Broadcast(Message::Status(self.status())));
        self.hand_on_again(turn);
        self.fetch_bodies(turn);
        // Asking again while answers are on their way would only crowd them out. But a source that brings nothing is left, and so is
        // one that has been the source for long: it might bring one slot at a time.
        let (term, patience) = (self.config.base_timeout, self.config.base_timeout / 2);
        let is_over = |fetch: &Fetch| {
            turn.now >= fetch.since.saturating_add(term) || turn.now >= fetch.heard.saturating_add(patience)
        };
        if self.peers.fetch().as_ref().is_some_and(is_over) {
            self.peers.set_fetch(None);
        }
        self.catch_up(turn);
    }

    /// What was lost on its way, or came when the primary had no place for it: its deadline would depose a primary that never heard of it. The oldest one, and
    /// the others that have waited for as long as this takes, a part of a batch of them.
    fn hand_on_again(&self, turn: &mut Turn<'_>) {
        let primary = self.config.primary(self.view);
        if !self.hands_commands_to(primary) {
            return;
        }
        let timeout = self.pacing.timeout(&self.config);
        let waited = turn.now.saturating_add(timeout).saturating_sub(self.config.status_interval());
        let mut bytes = 0;
        for (place, (deadline, command)) in self.pool.armed_commands().enumerate() {
            bytes += command.encoded().len();
            if place > 0 && (deadline > waited || bytes > self.config.batch_bytes / AGAIN) {
                break;
            }
            turn.push(Effect::Send(primary, Message::Command(command.clone())));
        }
    }

    /// Where this replica stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let progress: Vec<Progress> =
            (self.issued.0 + 1..=self.highest_known().0).map(|slot| self.progress(Slot(slot))).collect();
        let asking = self.view_changes.iter().filter(|(_, signed)| signed.statement.view >= self.view);
        Status {
            view: self.view,
            active: self.phase == Phase::Active,
            stable: self.stable_slot(),
            executed: self.issued,
            slots: Bounded::try_from(progress).unwrap_or_default(),
            view_changes: Bounded::try_from(asking.map(|(id, _)| *id).collect::<Vec<_>>()).unwrap_or_default(),
        }
    }

    fn progress(&self, slot: Slot) -> Progress {
        if self.decided.contains_key(&slot) {
            return Progress::Committed;
        }
        let Some(entry) = self.log.get(&slot) else { return Progress::Nothing };
        let primary = self.config.primary(self.entered);
        if entry.prepared.as_ref().is_some_and(|certificate| certificate.pre_prepare.view == self.entered) {
            Progress::Prepared
        } else if entry.pre_prepares.of(primary).is_some() {
            Progress::PrePrepared
        } else {
            Progress::Nothing
        }
    }

    /// Upon a peer's status: send what it lacks and this replica has.
    pub(crate) fn on_status(&mut self, turn: &mut Turn<'_>, from: ReplicaId, status: &Status) -> Result<(), Ignored> {
        if from == self.config.id {
            return Err(Ignored::Unsolicited);
        }
        if !self.peers.may_answer_status(from, turn.now, self.config.status_interval()) {
            return Err(Ignored::TooSoon);
        }
        self.peers.heard_executed(from, status.executed);
        let mut answers = Vec::new();
        self.answer_checkpoints(status, &mut answers);
        self.answer_view(turn.now, from, status, &mut answers);
        if status.view == self.entered && status.active {
            self.answer_votes(status, &mut answers);
        }
        // Of slots above all that is known here nobody may ever tell, if the sender's votes were lost to everybody.
        let highest_there = status.executed.plus(status.slots.len() as u64);
        if status.executed > self.issued || status.view > self.view || highest_there > self.highest_known() {
            answers.push(Message::Status(self.status()));
        }
        for answer in answers {
            turn.push(Effect::Send(from, answer));
        }
        Ok(())
    }

    fn answer_checkpoints(&self, status: &Status, answers: &mut Vec<Message>) {
        if let Some(stable) = self.stable.as_ref().filter(|stable| stable.statement.slot > status.stable) {
            answers.push(Message::Stable(stable.clone()));
        }
        let pending = self.pending_checkpoints().filter(|signed| signed.statement.slot > status.stable);
        answers.extend(pending.cloned().map(Message::Checkpoint));
        if let Some(last) = self.last_certificate.as_ref().filter(|last| last.statement.slot > status.executed) {
            answers.push(Message::Committed(last.clone()));
        }
    }

    fn answer_view(&mut self, now: Millis, from: ReplicaId, status: &Status, answers: &mut Vec<Message>) {
        let mut large = Vec::new();
        if status.view < self.entered || (status.view == self.entered && !status.active) {
            large.extend(self.new_view_message());
        }
        let own = self.view_changes.get(&self.config.id).filter(|signed| signed.statement.view == self.view);
        if let Some(own) = own
            && self.phase == Phase::Changing
            && status.view <= self.view
            && !(status.view == self.view && status.view_changes.contains(&self.config.id))
        {
            large.push(Message::ViewChange(alloc::boxed::Box::new(own.clone())));
        }
        if !large.is_empty() && self.peers.may_send_view(from, self.view, now, self.config.base_timeout) {
            answers.append(&mut large);
        }
    }

    /// Of slots that are decided here the last certificate has told, and its receiver asks for them; of slots beyond its window it can
    /// hold no vote.
    fn answer_votes(&self, status: &Status, answers: &mut Vec<Message>) {
        let (own, primary) = (self.config.id, self.config.primary(self.entered));
        let (first, last) = (status.executed.max(self.issued).next(), status.stable.plus(self.config.window));
        for (slot, entry) in self.log.range(first..).take_while(|(slot, _)| **slot <= last) {
            let place = slot.since(status.executed) as usize - 1;
            let progress = status.slots.get(place).copied().unwrap_or(Progress::Nothing);
            if progress == Progress::Nothing {
                answers.extend(entry.pre_prepares.of(primary).cloned().map(Message::PrePrepare));
            }
            if progress < Progress::Prepared {
                answers.extend(entry.prepares.of(own).cloned().map(Message::Prepare));
            }
            if progress < Progress::Committed {
                answers.extend(entry.commits.of(own).cloned().map(Message::Commit));
            }
        }
    }

    /// Asks for bodies that are named by votes or by a decision: the own disk first, then whoever voted, in turn, for a pipeline of them
    /// at a time. (Also for a decision: those who know the body may know of no decision, and wait for a vote from here.)
    fn fetch_bodies(&mut self, turn: &mut Turn<'_>) {
        let primary = self.config.primary(self.entered);
        let mut named: BTreeMap<Slot, (Digest, Vec<ReplicaId>)> = BTreeMap::new();
        for (slot, entry) in self.log.range(self.issued.next()..) {
            let Some(vote) = entry.pre_prepares.of(primary) else { continue };
            let digest = vote.statement.digest;
            let backups = entry.prepares.signatures(self.entered, &digest).map(|(voter, _)| voter);
            named.insert(*slot, (digest, backups.chain([primary]).collect()));
        }
        for (slot, decision) in &self.decided {
            let digest = decision.certificate.statement.digest;
            named.insert(*slot, (digest, decision.certificate.signers().collect()));
        }
        let is_missing = |slot: &Slot, digest: &Digest| {
            *digest != NULL_BATCH
                && self.decided.get(slot).is_none_or(|decision| decision.batch.is_none())
                && self.log.get(slot).is_none_or(|entry| !entry.bodies.contains_key(digest))
        };
        named.retain(|slot, (digest, _)| is_missing(slot, digest));
        let step = self.peers.next_body_turn();
        for (slot, (digest, mut voters)) in named.into_iter().take(self.config.pipeline as usize) {
            voters.retain(|voter| *voter != self.config.id);
            if self.log.get(&slot).is_some_and(|entry| entry.durable.contains(&digest)) {
                turn.push(Effect::SendBatch { to: self.config.id, slot, digest });
            } else if let Some(voter) = voters.get(step % voters.len().max(1)) {
                turn.push(Effect::Send(*voter, Message::FetchBatch { slot, digest }));
            }
        }
    }

    /// A peer asks for a body.
    pub(crate) fn on_fetch_batch(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        slot: Slot,
        digest: Digest,
    ) -> Result<(), Ignored> {
        let entry = self.log.get(&slot);
        if from == self.config.id {
            return Err(Ignored::Unsolicited);
        }
        if !entry.is_some_and(|entry| entry.durable.contains(&digest) || entry.bodies.contains_key(&digest)) {
            return Err(Ignored::OutOfWindow);
        }
        let held = entry.and_then(|entry| entry.bodies.get(&digest)).cloned();
        self.may_send_bodies(turn.now, from, 1)?;
        match held {
            Some(batch) => turn.push(Effect::Send(from, Message::Batch { slot, batch })),
            None => turn.push(Effect::SendBatch { to: from, slot, digest }),
        }
        Ok(())
    }

    /// A window of bodies per peer and status interval.
    fn may_send_bodies(&mut self, now: Millis, to: ReplicaId, bodies: u64) -> Result<(), Ignored> {
        let (share, interval) = (self.config.window, self.config.status_interval());
        if self.peers.may_send_bodies(to, bodies, share, now, interval) { Ok(()) } else { Err(Ignored::TooSoon) }
    }

    /// A peer is behind and asks for decided slots.
    pub(crate) fn on_fetch_decided(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        first: Slot,
        to: Slot,
    ) -> Result<(), Ignored> {
        // An honest asker that got no answer for so long asks somebody else.
        let pause = self.config.base_timeout / 2;
        let asked = to.min(self.executed).min(first.plus(self.config.pipeline.saturating_sub(1)));
        if from == self.config.id || first == Slot::GENESIS {
            return Err(Ignored::Unsolicited);
        }
        if first > asked {
            return Err(Ignored::OutOfWindow);
        }
        let (first, last) = (self.peers.unsent(from, first, turn.now, pause), asked);
        if first > last {
            return Err(Ignored::TooSoon);
        }
        self.may_send_bodies(turn.now, from, last.since(first) + 1)?;
        self.peers.sent_decided(from, last, turn.now, pause);
        turn.push(Effect::SendDecided { to: from, from: first, last });
        Ok(())
    }

    /// Upon a commit certificate: the slot is decided, whatever this replica has seen of it.
    pub(crate) fn on_committed(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        certificate: CommitCertificate,
    ) -> Result<(), Ignored> {
        self.check_decided(certificate.statement.slot)?;
        self.peers.proved_decided(from, certificate.statement.slot);
        if self.stops_for_own(turn, &certificate) {
            return Ok(());
        }
        self.adopt(turn, certificate, None);
        self.execute_decided(turn);
        self.catch_up(turn);
        Ok(())
    }

    /// Upon a decided slot with its body.
    pub(crate) fn on_decided(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        certificate: CommitCertificate,
        batch: Option<Arc<crate::batch::Batch>>,
    ) -> Result<(), Ignored> {
        let slot = certificate.statement.slot;
        self.check_decided(slot)?;
        if slot > self.issued.plus(self.config.pipeline.saturating_mul(2)) {
            return Err(Ignored::OutOfWindow);
        }
        if let Some(fetch) = self.peers.fetch().filter(|fetch| fetch.source == from) {
            self.peers.set_fetch(Some(Fetch { heard: turn.now, served: true, ..fetch }));
        }
        if !self.stops_for_own(turn, &certificate) {
            self.adopt(turn, certificate, batch);
        }
        Ok(())
    }

    /// A certificate with a COMMIT under this replica's own key, for which its disk holds no prepared certificate: it signed that once, and its disk
    /// was rolled back since. (Certificates above the stable checkpoint are kept, and a slot that is executed here is not looked at again.)
    fn stops_for_own(&mut self, turn: &mut Turn<'_>, certificate: &CommitCertificate) -> bool {
        let Commit { view, slot, .. } = certificate.statement;
        let prepared = self.log.get(&slot).and_then(|entry| entry.prepared.as_ref());
        let is_foreign = certificate.signers().any(|signer| signer == self.config.id)
            && prepared.is_none_or(|held| held.pre_prepare.view < view);
        if is_foreign {
            self.stop(turn, Alarm::ForeignVote { slot, view });
        }
        is_foreign
    }

    fn check_decided(&self, slot: Slot) -> Result<(), Ignored> {
        if slot <= self.issued {
            Err(Ignored::Stale)
        } else if slot > self.issued.plus(self.config.window) {
            Err(Ignored::OutOfWindow)
        } else {
            Ok(())
        }
    }

    /// The running request is done, by whatever messages: the next one, to a source that served it.
    pub(crate) fn go_on_catching_up(&mut self, turn: &mut Turn<'_>) {
        let Some(fetch) = self.peers.fetch().filter(|fetch| fetch.to <= self.issued) else { return };
        self.peers.set_fetch(None);
        if fetch.served
            && let Some((target, _)) = self.known_decided()
        {
            self.ask_for_decided(turn, target, fetch.source, fetch.since);
        }
    }

    /// Asks for the next decided slots, if a certificate proves that there are some; one request at a time, its signers and whoever sent
    /// such a certificate in turn. (Who signs a COMMIT need never hear of the decision.)
    pub(crate) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        let Some((target, signers)) = self.known_decided().filter(|_| self.peers.fetch().is_none()) else { return };
        let mut sources: BTreeSet<ReplicaId> =
            signers.into_iter().chain(self.peers.proved_beyond(self.issued)).collect();
        sources.remove(&self.config.id);
        let step = self.peers.next_slot_turn();
        let Some(source) = sources.iter().nth(step % sources.len().max(1)).copied() else { return };
        self.ask_for_decided(turn, target, source, turn.now);
    }

    /// The highest slot that is proved to be decided and is not executed here, and who signed so.
    fn known_decided(&self) -> Option<(Slot, Vec<ReplicaId>)> {
        let by_commit =
            self.decided.last_key_value().map(|(slot, decision)| (*slot, decision.certificate.signers().collect()));
        let by_checkpoint =
            self.ahead.as_ref().map(|ahead| (ahead.statement.slot, ahead.signers().collect::<Vec<_>>()));
        by_commit.max(by_checkpoint).filter(|(target, _)| *target > self.issued)
    }

    fn ask_for_decided(&mut self, turn: &mut Turn<'_>, target: Slot, source: ReplicaId, since: Millis) {
        let first = self.issued.next();
        let to = target.min(first.plus(self.config.pipeline.saturating_sub(1)));
        self.peers.set_fetch(Some(Fetch { to, source, since, heard: turn.now, served: false }));
        turn.push(Effect::Send(source, Message::FetchDecided { from: first, to }));
    }

    /// A peer no longer holds what was asked for. When one honest replica among them says so, an operator must know.
    pub(crate) fn on_pruned(&mut self, turn: &mut Turn<'_>, from: ReplicaId, oldest: Slot) -> Result<(), Ignored> {
        let needed = self.issued.next();
        if self.peers.fetch().is_none_or(|fetch| fetch.source != from) || oldest <= needed {
            return Err(Ignored::Unsolicited);
        }
        self.peers.set_fetch(None);
        let weak = self.config.weak();
        let beyond: Vec<Slot> = self.peers.pruned(from, oldest).filter(|oldest| *oldest > needed).collect();
        if beyond.len() == weak {
            let oldest = beyond.into_iter().min().unwrap_or(oldest);
            turn.push(Effect::Alarm(Alarm::NeedsSnapshot { needed, oldest }));
        }
        Ok(())
    }
}
