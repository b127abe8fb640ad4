//! The replica: its state, and the one door by which anything changes it.

use crate::backlog::Backlog;
use crate::batch::Batch;
use crate::client_table::{ClientTable, Outcome};
use crate::command::Command;
use crate::config::Config;
use crate::effect::{Alarm, Effect, Ignored, Input, Record, Timer};
use crate::evidence::Evidence;
use crate::message::Delivery;
use crate::pacing::Pacing;
use crate::peers::Peers;
use crate::pool::{Pool, Role, Source};
use crate::reign::Reign;
use crate::tally::Tally;
use crate::types::{Millis, Slot, View};
use crate::vote::{
    Checkpoint, Commit, CommitCertificate, NewView, PrePrepare, Prepare, PreparedCertificate, StableCheckpoint,
    ViewChange,
};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Digest, ReplicaId, Signed, Verified};

/// Proofs of one kind of misbehaviour of one replica that are kept: one is enough, and a faulty replica makes them at will.
const MAX_PROOFS: usize = 16;

/// Whether this replica votes in its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It entered the view and votes in it.
    Active,
    /// It asked for the view and waits for its NEW-VIEW; it votes in none.
    Changing,
}

/// A slot inside the window, as far as voting goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SlotLog {
    pub pre_prepares: Tally<PrePrepare>,
    pub prepares: Tally<Prepare>,
    pub commits: Tally<Commit>,
    /// This replica's own vote of the highest view: it binds from the moment it is emitted.
    pub vote: Option<PrePrepare>,
    /// The prepared certificate of the highest view. A NEW-VIEW does not clear it.
    pub prepared: Option<PreparedCertificate>,
    /// Bodies, while the slot is not executed.
    pub bodies: BTreeMap<Digest, Arc<Batch>>,
    /// A body with an invalid command that the primary sent ahead of its pre-prepare.
    pub suspect: Option<Arc<Batch>>,
    /// Bodies that are on disk, or will be before anything that is emitted from now on.
    pub durable: BTreeSet<Digest>,
}

/// A slot that is decided and not yet executed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decision {
    pub certificate: CommitCertificate,
    pub batch: Option<Arc<Batch>>,
}

/// One PBFT replica as a pure state machine: no clock, no disk, no sockets, no randomness.
///
/// Everything goes in through [`Replica::step`] and comes out as [`Effect`]s. Equal replicas given equal inputs stay equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    pub(crate) config: Config,

    // §4.2: the normal case.
    pub(crate) log: BTreeMap<Slot, SlotLog>,
    /// The slot that this replica, as primary, fills next.
    pub(crate) next_slot: Slot,
    /// A place in the pipeline freed since the last proposal.
    pub(crate) place_freed: bool,
    /// What it has proposed in its view and not executed yet.
    pub(crate) backlog: Backlog,
    pub(crate) decided: BTreeMap<Slot, Decision>,
    /// Last slot whose execution was ordered. All up to it are decided.
    pub(crate) issued: Slot,
    /// Last slot whose execution is done.
    pub(crate) executed: Slot,
    /// The chain of batches up to `issued`.
    pub(crate) history: Digest,
    /// Of `issued`: proves to anyone how far this replica is.
    pub(crate) last_certificate: Option<CommitCertificate>,

    // §4.3: checkpoints.
    pub(crate) stable: Option<StableCheckpoint>,
    pub(crate) checkpoints: BTreeMap<Slot, BTreeMap<ReplicaId, Signed<Checkpoint>>>,
    pub(crate) own_checkpoints: BTreeMap<Slot, Checkpoint>,
    /// The highest checkpoint ever signed: none at or below it is signed again.
    pub(crate) highest_checkpoint: Slot,
    /// Histories at checkpoints whose execution is ordered and not done.
    pub(crate) histories: BTreeMap<Slot, Digest>,
    /// A stable checkpoint above what is executed here: proof that this replica is behind.
    pub(crate) ahead: Option<StableCheckpoint>,

    // §4.4: view changes.
    pub(crate) view: View,
    pub(crate) phase: Phase,
    /// The view entered last. Tallies count its votes, also while the next view is asked for.
    pub(crate) entered: View,
    /// Slots up to this one were settled by the NEW-VIEW: only what it carries may be pre-prepared there.
    pub(crate) reserved: Slot,
    /// The NEW-VIEW that `entered` was entered by.
    pub(crate) new_view: Option<Box<Signed<NewView>>>,
    /// The own VIEW-CHANGE of the highest view: the promise never to vote below.
    pub(crate) promise: Option<Box<ViewChange>>,
    /// The highest view that this replica has drafted a NEW-VIEW for.
    pub(crate) drafted: View,
    pub(crate) view_changes: BTreeMap<ReplicaId, Signed<ViewChange>>,

    pub(crate) clients: ClientTable,
    pub(crate) pool: Pool,
    pub(crate) pacing: Pacing,
    pub(crate) reign: Reign,
    pub(crate) peers: Peers,
    /// By whom, what, and where.
    pub(crate) accusations: BTreeSet<(ReplicaId, &'static str, View, Slot)>,
    pub(crate) stopped: Option<Alarm>,
}

/// What a step may use: the time, and the list of effects. Never part of the state.
pub(crate) struct Turn<'a> {
    pub now: Millis,
    pub effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

impl Replica {
    /// Takes one input at `now` and appends what must be done, in order.
    ///
    /// # Errors
    /// [`Ignored`] if the input changes nothing. Then nothing changed, and no effect was appended.
    pub fn step(&mut self, now: Millis, input: Input, effects: &mut Vec<Effect>) -> Result<(), Ignored> {
        if self.stopped.is_some() {
            return Err(Ignored::Stopped);
        }
        let mut turn = Turn { now, effects };
        match input {
            Input::Command(command) => self.on_command(&mut turn, command)?,
            Input::Message { from, delivery } => self.on_message(&mut turn, from, delivery)?,
            Input::Timeout(Timer::Command(generation)) => self.on_command_timeout(&mut turn, generation)?,
            Input::Timeout(Timer::NewView(generation)) => self.on_new_view_timeout(&mut turn, generation)?,
            Input::Timeout(Timer::Status(generation)) => self.on_status_timeout(&mut turn, generation)?,
            Input::Connected(peer) => self.on_connected(&mut turn, peer)?,
            Input::Executed { slot, state } => self.on_executed(&mut turn, slot, state)?,
        }
        self.settle(&mut turn);
        Ok(())
    }

    fn on_message(&mut self, turn: &mut Turn<'_>, from: ReplicaId, delivery: Delivery) -> Result<(), Ignored> {
        if !self.config.quorums.contains(from) {
            return Err(Ignored::Unsolicited);
        }
        let place = delivery.vote_place();
        let outcome = self.on_delivery(turn, from, delivery);
        if outcome.is_ok() && from != self.config.id {
            self.peers.heard(from, turn.now);
        }
        match (outcome, place) {
            // Too far ahead to be held, but it tells that there is something to ask for.
            (Err(Ignored::OutOfWindow), Some((signer, slot)))
                if signer != self.config.id && self.peers.heard_beyond(signer, slot) =>
            {
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }

    fn on_delivery(&mut self, turn: &mut Turn<'_>, from: ReplicaId, delivery: Delivery) -> Result<(), Ignored> {
        match delivery {
            Delivery::PrePrepare(signed) => self.on_pre_prepare(turn, from, signed.into_inner()),
            Delivery::Prepare(signed) => self.on_prepare(turn, from, signed.into_inner()),
            Delivery::Commit(signed) => self.on_commit(turn, from, signed.into_inner()),
            Delivery::Checkpoint(signed) => self.on_checkpoint(turn, signed.into_inner()),
            Delivery::ViewChange(signed) => self.on_view_change(turn, from, signed.into_inner()),
            Delivery::NewView(signed) => self.on_new_view(turn, signed.into_inner()),
            Delivery::Committed(certificate) => self.on_committed(turn, from, certificate.into_inner()),
            Delivery::Stable(certificate) => self.on_stable(turn, certificate.into_inner()),
            Delivery::Status(status) => self.on_status(turn, from, &status),
            Delivery::FetchBatch { slot, digest } => self.on_fetch_batch(turn, from, slot, digest),
            Delivery::FetchDecided { from: first, to } => self.on_fetch_decided(turn, from, first, to),
            Delivery::Pruned { oldest } => self.on_pruned(turn, from, oldest),
            Delivery::Command(command) => self.on_forwarded(from, command),
            Delivery::Batch { slot, batch } => self.on_batch(turn, from, slot, batch.into_inner()),
            Delivery::InvalidBatch { slot, batch } => self.on_invalid_batch(turn, from, slot, batch),
            Delivery::Decided { certificate, batch } => self.on_decided(turn, from, certificate.into_inner(), batch),
            Delivery::Invalid(evidence) => self.on_invalid(turn, evidence),
        }
    }

    /// A client's own command. A decided one is answered again; an undecided one is pooled.
    fn on_command(&mut self, turn: &mut Turn<'_>, command: Verified<Command>) -> Result<(), Ignored> {
        let identity = command.identity();
        match self.clients.outcome(&identity) {
            Outcome::Executed => {
                turn.push(Effect::Reply(identity));
                Ok(())
            }
            Outcome::TooOld => Err(Ignored::TooOld),
            Outcome::Refused => Err(Ignored::UnknownClient),
            Outcome::None => self.pool.insert(command.into_inner(), Source::Client, self.role(), &self.config),
        }
    }

    /// A backup hands a command on. Dropped only if this replica's own state gives it an outcome.
    fn on_forwarded(&mut self, from: ReplicaId, command: Verified<Command>) -> Result<(), Ignored> {
        if from == self.config.id || self.config.primary(self.view) != self.config.id {
            return Err(Ignored::Unsolicited);
        }
        match self.clients.outcome(&command.identity()) {
            Outcome::Executed => Err(Ignored::Duplicate),
            Outcome::TooOld => Err(Ignored::TooOld),
            Outcome::Refused => Err(Ignored::UnknownClient),
            Outcome::None => self.pool.insert(command.into_inner(), Source::Backup(from), self.role(), &self.config),
        }
    }

    /// What follows from the state after any change of it: execute, propose, watch.
    pub(crate) fn settle(&mut self, turn: &mut Turn<'_>) {
        if self.stopped.is_some() {
            return;
        }
        self.execute_decided(turn);
        self.judge_primary(turn);
        self.go_on_catching_up(turn);
        self.propose(turn);
        self.arm_commands(turn);
        self.watch(turn);
        assert!(self.stable_slot() <= self.executed && self.executed <= self.issued, "executed prefix out of order");
    }

    /// Proposes in the view that it leads, hands commands on in the others.
    pub(crate) fn role(&self) -> Role {
        if self.phase == Phase::Active && self.config.primary(self.view) == self.config.id {
            Role::Primary
        } else {
            Role::Backup
        }
    }

    /// The last stable checkpoint's slot, the paper's low watermark `h`.
    #[must_use]
    pub fn stable_slot(&self) -> Slot {
        self.stable.as_ref().map_or(Slot::GENESIS, |certificate| certificate.statement.slot)
    }

    /// §4.2: the watermarks. Votes outside `(h, h + window]` are neither cast nor held.
    pub(crate) fn check_window(&self, slot: Slot) -> Result<(), Ignored> {
        let low = self.stable_slot();
        if slot <= low {
            Err(Ignored::Stale)
        } else if slot > low.plus(self.config.window + u64::from(seeded(Bug::WatermarkOffByOne))) {
            Err(Ignored::OutOfWindow)
        } else {
            Ok(())
        }
    }

    /// Records a proof of misbehaviour, once per replica, kind and place, and only so many; says whether it was recorded.
    pub(crate) fn accuse(&mut self, turn: &mut Turn<'_>, evidence: Evidence) -> bool {
        let ((view, slot), accused, kind) = (evidence.place(), evidence.accused(), evidence.kind());
        let (first, last) = ((accused, kind, View(0), Slot(0)), (accused, kind, View(u64::MAX), Slot(u64::MAX)));
        if self.accusations.range(first..=last).count() >= MAX_PROOFS
            || !self.accusations.insert((accused, kind, view, slot))
        {
            return false;
        }
        turn.push(Effect::Persist(Record::Evidence(evidence.clone())));
        turn.push(Effect::Accuse(evidence));
        true
    }

    /// Stops for good, restarts included: going on could do harm that a person must first look at.
    pub(crate) fn stop(&mut self, turn: &mut Turn<'_>, alarm: Alarm) {
        turn.push(Effect::Persist(Record::Stopped(alarm.clone())));
        turn.push(Effect::Alarm(alarm.clone()));
        self.stopped = Some(alarm);
    }

    /// Whether a command of this identity has had its turn: another one gets the reply to that.
    #[must_use]
    pub fn has_run(&self, identity: &crate::Identity) -> bool {
        self.clients.outcome(identity) == Outcome::Executed
    }

    /// This replica's number and limits.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The view that it is in or asks for.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// Whether it votes in that view.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Last executed slot.
    #[must_use]
    pub const fn executed(&self) -> Slot {
        self.executed
    }

    /// Last slot whose execution was ordered.
    #[must_use]
    pub const fn issued(&self) -> Slot {
        self.issued
    }

    /// The chain of executed batches, up to the last slot whose execution was ordered.
    #[must_use]
    pub const fn history(&self) -> &Digest {
        &self.history
    }

    /// Commands that wait for their order.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Why it stopped, if it did.
    #[must_use]
    pub const fn stopped(&self) -> Option<&Alarm> {
        self.stopped.as_ref()
    }

    /// Whether others have executed more than this replica can have missed by being slow: a stable checkpoint proves it, or one honest replica
    /// among `f + 1` says so. (Decided slots above a gap prove nothing of the kind: a primary may leave the gap on purpose.)
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.ahead.is_some() || self.peers.executed(self.config.weak()) > self.issued.plus(self.config.pipeline)
    }

    /// The last slot of which anything is known here.
    #[must_use]
    pub fn highest_known(&self) -> Slot {
        let logged = self.log.keys().next_back().copied().unwrap_or_default();
        let decided = self.decided.keys().next_back().copied().unwrap_or_default();
        logged.max(decided).max(self.issued)
    }
}
