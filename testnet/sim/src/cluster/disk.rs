//! The disk of one replica: what a store keeps of records, and the executed prefix with a tiny application.
//!
//! A group commit is atomic and synced. An execution is written at once and synced by the next group commit, as a store with one log
//! has it: power loss takes back the executions since.

use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{
    Alarm, Batch, Checkpoint, ClientWindow, Command, CommitCertificate, Evidence, Executed, Execution, Identity,
    NewView, NewViewDraft, PrePrepare, PreparedCertificate, Record, Slot, StableCheckpoint, Verdict, View, ViewChange,
};
use varangian_crypto::{ClientKey, Digest, Signed, sha256};

/// What a command came to: the application's state after it. Two replicas that ran the same commands in the same order have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where it ran.
    pub slot: Slot,
    /// The running digest of all commands up to it; `None` if it was refused or too old.
    pub result: Option<Digest>,
}

/// One executed slot.
#[derive(Clone, Debug)]
pub struct ExecutedSlot {
    /// What was decided.
    pub certificate: CommitCertificate,
    /// Its body; `None` is the null batch.
    pub batch: Option<Arc<Batch>>,
    /// The chain of batches up to it.
    pub history: Digest,
    /// The application's state after it.
    pub state: Digest,
    /// What each command came to.
    pub answers: Vec<(Identity, Verdict, Answer)>,
    /// The rows of the client table that it changed.
    pub windows: Vec<(ClientKey, ClientWindow)>,
    /// Whether it is a checkpoint's slot.
    pub checkpoint: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    promise: Option<Box<ViewChange>>,
    drafted: Option<Box<NewViewDraft>>,
    new_views: BTreeMap<View, Box<Signed<NewView>>>,
    votes: BTreeMap<Slot, Record>,
    prepared: BTreeMap<Slot, PreparedCertificate>,
    batches: BTreeMap<(Slot, Digest), Arc<Batch>>,
    checkpoints: BTreeMap<Slot, Checkpoint>,
    stable: Option<StableCheckpoint>,
    evidence: Vec<Evidence>,
    stopped: Option<Alarm>,
    /// Slot `s` is at place `s - 1`.
    executed: Vec<ExecutedSlot>,
    synced: usize,
    oldest: u64,
}

impl Disk {
    /// One synced group commit, executions written before it included.
    pub fn commit(&mut self, records: Vec<Record>) {
        for record in records {
            self.put(record);
        }
        self.synced = self.executed.len();
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Batch { slot, batch } => {
                self.batches.insert((slot, *batch.digest()), batch);
            }
            Record::Proposed(vote) => self.put_vote(vote, Record::Proposed(vote)),
            Record::Accepted(signed) => self.put_vote(signed.statement, Record::Accepted(signed)),
            Record::Prepared(certificate) => {
                let PrePrepare { slot, view, .. } = certificate.pre_prepare;
                if self.prepared.get(&slot).is_none_or(|held| held.pre_prepare.view <= view) {
                    self.prepared.insert(slot, certificate);
                }
            }
            Record::ViewChange(promise) => self.promise = Some(promise),
            Record::Drafted(draft) => self.drafted = Some(draft),
            Record::NewView(signed) => {
                self.new_views.insert(signed.statement.view, signed);
            }
            Record::Checkpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.slot, checkpoint);
            }
            Record::Stable(certificate) => {
                let above = certificate.statement.slot.next();
                self.votes = self.votes.split_off(&above);
                self.prepared = self.prepared.split_off(&above);
                self.batches = self.batches.split_off(&(above, Digest::ZERO));
                // The highest own checkpoint stays: none at or below it is ever signed again.
                let highest = self.checkpoints.pop_last();
                self.checkpoints = self.checkpoints.split_off(&above);
                self.checkpoints.extend(highest);
                self.stable = Some(certificate);
            }
            Record::Evidence(evidence) => self.evidence.push(evidence),
            Record::Stopped(alarm) => self.stopped = Some(alarm),
        }
    }

    fn put_vote(&mut self, vote: PrePrepare, record: Record) {
        let held = self.votes.get(&vote.slot).map(|held| match held {
            Record::Proposed(held) => held.view,
            Record::Accepted(held) => held.statement.view,
            _ => View(0),
        });
        if held.is_none_or(|held| held <= vote.view) {
            self.votes.insert(vote.slot, record);
        }
    }

    /// Runs a slot and writes what comes of it, unsynced. The state's digest, where it is asked for.
    pub fn execute(&mut self, execution: Execution) -> Option<Digest> {
        let Execution { slot, certificate, batch, verdicts, windows, history, checkpoint } = execution;
        assert_eq!(slot.0, self.executed.len() as u64 + 1, "slots are executed in order, without a gap");
        let mut state = self.state();
        let mut answers = Vec::new();
        let commands = batch.as_ref().map_or(&[][..], |batch| batch.commands());
        assert_eq!(commands.len(), verdicts.len(), "one verdict per command");
        for (command, verdict) in commands.iter().zip(verdicts) {
            let identity = command.identity();
            let answer = match verdict {
                Verdict::Run { .. } => {
                    state = next_state(&state, command);
                    Answer { slot, result: Some(state) }
                }
                Verdict::Duplicate => {
                    self.answer(&identity).or_else(|| find(&answers, &identity)).expect("it ran before")
                }
                Verdict::TooOld | Verdict::Refused => Answer { slot, result: None },
            };
            answers.push((identity, verdict, answer));
        }
        self.executed.push(ExecutedSlot { certificate, batch, history, state, answers, windows, checkpoint });
        checkpoint.then_some(state)
    }

    /// What an executed command came to.
    #[must_use]
    pub fn answer(&self, identity: &Identity) -> Option<Answer> {
        self.executed.iter().find_map(|slot| find(&slot.answers, identity))
    }

    /// What all executed commands came to: the first time, for one that came twice.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<Identity, &Answer> {
        let mut answers = BTreeMap::new();
        for (identity, _, answer) in self.executed.iter().flat_map(|slot| &slot.answers) {
            answers.entry(*identity).or_insert(answer);
        }
        answers
    }

    /// The application's state.
    #[must_use]
    pub fn state(&self) -> Digest {
        self.executed.last().map_or(Digest::ZERO, |last| last.state)
    }

    /// Executed slots in order, from slot 1.
    #[must_use]
    pub fn executed(&self) -> &[ExecutedSlot] {
        &self.executed
    }

    /// Evidence, in the order of its discovery.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// The stable checkpoint's slot.
    #[must_use]
    pub fn stable_slot(&self) -> Slot {
        self.stable.as_ref().map_or(Slot::GENESIS, |stable| stable.statement.slot)
    }

    /// The promise never to vote below its view.
    #[must_use]
    pub fn promise(&self) -> Option<&ViewChange> {
        self.promise.as_deref()
    }

    /// A body that is still kept for its slot.
    #[must_use]
    pub fn batch(&self, slot: Slot, digest: &Digest) -> Option<Arc<Batch>> {
        let voted = self.batches.get(&(slot, *digest)).cloned();
        voted
            .or_else(|| self.decided(slot).and_then(|done| done.batch.clone()).filter(|batch| batch.digest() == digest))
    }

    /// A decided slot that is still retained.
    #[must_use]
    pub fn decided(&self, slot: Slot) -> Option<&ExecutedSlot> {
        if slot.0 < self.oldest.max(1) { None } else { self.executed.get(usize::try_from(slot.0).ok()? - 1) }
    }

    /// The first decided slot that is retained.
    #[must_use]
    pub fn oldest(&self) -> Slot {
        Slot(self.oldest.max(1))
    }

    /// Forgets bodies and certificates of decided slots below `oldest`, as a store over its budget does.
    pub fn forget_decided_below(&mut self, oldest: Slot) {
        self.oldest = self.oldest.max(oldest.0);
    }

    /// Executions that were written and not synced.
    #[must_use]
    pub const fn unsynced(&self) -> usize {
        self.executed.len() - self.synced
    }

    /// Power loss: executions since the last group commit were not synced.
    pub fn lose_unsynced(&mut self) {
        self.keep_unsynced(0);
    }

    /// Power loss: of the executions since the last group commit the first `count` reached the disk; a log has no holes.
    pub fn keep_unsynced(&mut self, count: usize) {
        self.executed.truncate(self.synced + count);
        self.synced = self.executed.len();
    }

    /// The executed prefix, as a restart reads it.
    #[must_use]
    pub fn prefix(&self) -> Executed {
        let mut windows = BTreeMap::new();
        for slot in &self.executed {
            windows.extend(slot.windows.iter().cloned());
        }
        let Some(last) = self.executed.last() else { return Executed::default() };
        Executed {
            slot: Slot(self.executed.len() as u64),
            history: last.history,
            certificate: Some(last.certificate.clone()),
            windows: windows.into_iter().collect(),
            state: last.checkpoint.then_some(last.state),
        }
    }

    /// Everything a restart reads beside the executed prefix. Records have no promised order; this one is as unkind as any.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.evidence.iter().cloned().map(Record::Evidence).collect();
        records.extend(self.prepared.values().rev().cloned().map(Record::Prepared));
        records.extend(self.votes.values().cloned());
        records
            .extend(self.batches.iter().map(|((slot, _), batch)| Record::Batch { slot: *slot, batch: batch.clone() }));
        records.extend(self.checkpoints.values().copied().map(Record::Checkpoint));
        records.extend(self.new_views.values().cloned().map(Record::NewView));
        records.extend(self.drafted.iter().cloned().map(Record::Drafted));
        records.extend(self.promise.iter().cloned().map(Record::ViewChange));
        records.extend(self.stopped.iter().cloned().map(Record::Stopped));
        records.extend(self.stable.iter().cloned().map(Record::Stable));
        records
    }
}

/// The tiny application: the running digest of all commands.
#[must_use]
pub fn next_state(before: &Digest, command: &Command) -> Digest {
    sha256("harness state", &[before.as_bytes(), command.digest().as_bytes()])
}

fn find(answers: &[(Identity, Verdict, Answer)], identity: &Identity) -> Option<Answer> {
    answers.iter().find(|(known, ..)| known == identity).map(|(.., answer)| answer.clone())
}
