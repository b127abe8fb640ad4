//! Start and restart: the replica from what its disk holds.
//!
//! An intact replica votes at once. It says again what it said before: its votes come back to its own tallies by the common door, and
//! peers get them as they connect. Records come in any order.

use crate::backlog::Backlog;
use crate::client_table::ClientTable;
use crate::config::Config;
use crate::effect::{Effect, Executed, NewViewDraft, Record, Vote};
use crate::pacing::Pacing;
use crate::peers::Peers;
use crate::pool::Pool;
use crate::reign::Reign;
use crate::replica::{Phase, Replica, SlotLog, Turn};
use crate::types::{Millis, Slot, View};
use crate::vote::{Checkpoint, NewView, PrePrepare, PreparedCertificate, StableCheckpoint};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use thiserror::Error;
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Digest, Signature, Signed};

/// Why records do not make a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecoverError {
    /// State was lost that a stable checkpoint vouches for.
    #[error(
        "the state was executed up to slot {executed}, but the stable checkpoint on disk is {stable}: the store has lost state; do not start it"
    )]
    BelowStable {
        /// Last executed slot.
        executed: Slot,
        /// The stable checkpoint.
        stable: Slot,
    },
}

impl Replica {
    /// A replica from its records and its executed prefix; on an empty store, a fresh one.
    ///
    /// # Errors
    /// [`RecoverError`] if the store contradicts itself.
    pub fn recover(
        config: Config,
        now: Millis,
        executed: Executed,
        records: impl IntoIterator<Item = Record>,
        effects: &mut Vec<Effect>,
    ) -> Result<Self, RecoverError> {
        let state = executed.state;
        let mut replica = Self::at(config, executed);
        let mut turn = Turn { now, effects };
        let mut drafted: Option<Box<NewViewDraft>> = None;
        let mut new_view: Option<Box<Signed<NewView>>> = None;
        let mut slots: Vec<Record> = Vec::new();
        for record in records {
            match record {
                Record::ViewChange(promise) => {
                    if !seeded(Bug::PromiseForgotten)
                        && replica.promise.as_ref().is_none_or(|held| held.view < promise.view)
                    {
                        replica.promise = Some(promise);
                    }
                }
                Record::Drafted(draft) => {
                    if !seeded(Bug::DraftForgotten) && drafted.as_ref().is_none_or(|held| held.view < draft.view) {
                        drafted = Some(draft);
                    }
                }
                Record::NewView(signed) => {
                    if new_view.as_ref().is_none_or(|held| held.statement.view < signed.statement.view) {
                        new_view = Some(signed);
                    }
                }
                Record::Stable(certificate) => {
                    if !seeded(Bug::StableForgotten) && replica.stable_slot() < certificate.statement.slot {
                        replica.stable = Some(certificate);
                    }
                }
                Record::Checkpoint(checkpoint) => {
                    replica.highest_checkpoint = replica.highest_checkpoint.max(checkpoint.slot);
                    replica.own_checkpoints.insert(checkpoint.slot, checkpoint);
                }
                Record::Evidence(evidence) => {
                    let (view, slot) = evidence.place();
                    replica.accusations.insert((evidence.accused(), evidence.kind(), view, slot));
                }
                Record::Stopped(alarm) => replica.stopped = Some(alarm),
                slot @ (Record::Batch { .. } | Record::Proposed(_) | Record::Accepted(_) | Record::Prepared(_)) => {
                    slots.push(slot)
                }
            }
        }
        let stable = replica.stable_slot();
        if replica.executed < stable {
            return Err(RecoverError::BelowStable { executed: replica.executed, stable });
        }
        replica.own_checkpoints = replica.own_checkpoints.split_off(&stable.next());
        let proved = replica.restore_view(new_view);
        for record in slots {
            replica.restore_slot(record);
        }
        if let Some(alarm) = &replica.stopped {
            turn.push(Effect::Alarm(alarm.clone()));
            return Ok(replica);
        }
        replica.install_order(&mut turn);
        replica.drafted = drafted.as_ref().map_or(View(0), |draft| draft.view);
        replica.repeat_votes(&mut turn, drafted);
        replica.sign_lost_checkpoint(&mut turn, state);
        if let Some(proved) = proved {
            replica.settle_checkpoint(&mut turn, proved);
        }
        replica.settle(&mut turn);
        Ok(replica)
    }

    fn at(config: Config, executed: Executed) -> Self {
        let history = if executed.slot == Slot::GENESIS { config.genesis_history } else { executed.history };
        Self {
            clients: ClientTable::new(config.admission.clone(), config.client_window, executed.windows),
            config,
            log: BTreeMap::new(),
            next_slot: executed.slot.next(),
            backlog: Backlog::default(),
            place_freed: true,
            decided: BTreeMap::new(),
            issued: executed.slot,
            executed: executed.slot,
            history,
            last_certificate: executed.certificate,
            stable: None,
            checkpoints: BTreeMap::new(),
            own_checkpoints: BTreeMap::new(),
            highest_checkpoint: Slot::GENESIS,
            histories: BTreeMap::new(),
            ahead: None,
            view: View(0),
            phase: Phase::Active,
            entered: View(0),
            reserved: Slot::GENESIS,
            new_view: None,
            promise: None,
            drafted: View(0),
            view_changes: BTreeMap::new(),
            pool: Pool::default(),
            pacing: Pacing::default(),
            reign: Reign::default(),
            peers: Peers::default(),
            accusations: BTreeSet::new(),
            stopped: None,
        }
    }

    /// Active in the view of the last accepted NEW-VIEW, unless a higher one was promised since.
    fn restore_view(&mut self, new_view: Option<Box<Signed<NewView>>>) -> Option<StableCheckpoint> {
        let proved = new_view.and_then(|signed| self.adopt_new_view(*signed));
        if let Some(promise) = self.promise.as_ref().filter(|promise| promise.view > self.view) {
            self.view = promise.view;
            self.phase = Phase::Changing;
        }
        if seeded(Bug::ActiveWithoutNewView) {
            (self.phase, self.entered) = (Phase::Active, self.view);
        }
        proved
    }

    /// The state of a checkpoint's slot was written, and the crash came before its CHECKPOINT was: it is signed now. If all lost
    /// it, nobody else could, and the window would stay shut.
    fn sign_lost_checkpoint(&mut self, turn: &mut Turn<'_>, state: Option<Digest>) {
        let (slot, history) = (self.executed, self.history);
        if let Some(state) = state.filter(|_| self.config.is_checkpoint(slot) && slot > self.stable_slot()) {
            self.sign_checkpoint(turn, Checkpoint { slot, history, state });
        }
    }

    fn restore_slot(&mut self, record: Record) {
        let entered = self.entered;
        match record {
            // Catching up may have run ahead of the window: there nothing is voted on.
            Record::Batch { slot, batch } if self.check_window(slot).is_ok() => {
                let executed = self.executed;
                let entry = self.log.entry(slot).or_default();
                entry.durable.insert(*batch.digest());
                if slot > executed {
                    entry.bodies.insert(*batch.digest(), batch);
                }
            }
            Record::Proposed(vote) if vote.slot > self.stable_slot() => {
                if vote.view == entered && !seeded(Bug::NextSlotForgotten) {
                    self.next_slot = self.next_slot.max(vote.slot.next());
                }
                self.log.entry(vote.slot).or_default().restore_vote(vote);
            }
            Record::Accepted(_) if seeded(Bug::VotesForgotten) => {}
            Record::Accepted(signed) if signed.statement.slot > self.stable_slot() => {
                let entry = self.log.entry(signed.statement.slot).or_default();
                entry.restore_vote(signed.statement);
                if signed.statement.view == entered {
                    entry.pre_prepares.seat(signed);
                }
            }
            Record::Prepared(_) if seeded(Bug::PreparedForgotten) => {}
            Record::Prepared(certificate) if certificate.pre_prepare.slot > self.stable_slot() => {
                let primary = self.config.primary(certificate.pre_prepare.view);
                let entry = self.log.entry(certificate.pre_prepare.slot).or_default();
                entry.restore_prepared(certificate, primary, entered);
            }
            // Below the stable checkpoint: what pruning has not reached yet.
            _ => {}
        }
    }

    /// Says again what is on disk, for peers and for the own tallies alike.
    fn repeat_votes(&mut self, turn: &mut Turn<'_>, drafted: Option<Box<NewViewDraft>>) {
        if seeded(Bug::OwnVotesNotRepeated) {
            return;
        }
        for checkpoint in self.own_checkpoints.values() {
            turn.push(Effect::Vote(Vote::Checkpoint(*checkpoint)));
        }
        if self.phase == Phase::Changing {
            if let Some(promise) = &self.promise {
                turn.push(Effect::Vote(Vote::ViewChange(promise.clone())));
            }
            if let Some(draft) = drafted.filter(|draft| draft.view == self.view) {
                turn.push(Effect::Vote(Vote::NewView(draft)));
            }
            return;
        }
        let primary = self.config.primary(self.view) == self.config.id;
        for entry in self.log.values() {
            if let Some(vote) = entry.vote.filter(|vote| vote.view == self.view) {
                let vote = if primary { Vote::PrePrepare(vote) } else { Vote::Prepare(vote.prepare()) };
                turn.push(Effect::Vote(vote));
            }
            let prepared = entry.prepared.as_ref().map(|certificate| certificate.pre_prepare);
            if let Some(prepared) = prepared.filter(|prepared| prepared.view == self.view) {
                turn.push(Effect::Vote(Vote::Commit(prepared.commit())));
            }
        }
    }
}

impl SlotLog {
    fn restore_vote(&mut self, vote: PrePrepare) {
        if self.vote.is_none_or(|held| held.view < vote.view) {
            self.vote = Some(vote);
        }
    }

    fn restore_prepared(
        &mut self,
        certificate: PreparedCertificate,
        primary: varangian_crypto::ReplicaId,
        entered: View,
    ) {
        if self.prepared.as_ref().is_some_and(|held| held.pre_prepare.view >= certificate.pre_prepare.view) {
            return;
        }
        if certificate.pre_prepare.view == entered {
            let signature: Signature = certificate.primary_signature;
            self.pre_prepares.seat(Signed { statement: certificate.pre_prepare, signer: primary, signature });
            for (signer, signature) in &certificate.prepares {
                self.prepares.seat(Signed {
                    statement: certificate.pre_prepare.prepare(),
                    signer: *signer,
                    signature: *signature,
                });
            }
        }
        self.prepared = Some(certificate);
    }
}
