//! What replicas ask for, done: group commits, votes, answers out of the store, the application's work.

use super::node::{Commit, Stage};
use super::queue::Inside;
use super::{Held, Probe, World};
use crate::checks::{Invariant, Violation, ensure};
use crate::cluster::event::{self, Event};
use crate::cluster::io::Act;
use crate::cluster::node::{TimerKind, Work};
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::{
    Alarm, Delivery, Execution, Input, Message, NULL_BATCH, PrePrepare, Record, Slot, Verdict, Vote,
};
use varangian_crypto::{Digest, ReplicaId, Verify};
use varangian_runner::{Token, sign};

impl World<'_> {
    pub(super) fn act(&mut self, node: usize, act: Act) -> Held {
        let id = self.nodes[node].id;
        match act {
            Act::Persist(records, token) => {
                self.answer_early(node, &records);
                return self.persist(node, records, token);
            }
            Act::Vote(vote) => return self.vote(node, vote),
            Act::Deliver(delivery) => {
                let delay = self.nodes[node].machine.sign;
                self.soon(node, delay, Inside::Own(Box::new(delivery)));
            }
            Act::Broadcast(message) => self.broadcast(node, message, 0),
            Act::Send(to, message) => {
                ensure(to != id, Invariant::NoPanic, || format!("{id} sends itself {message:?}"))?;
                let frame = self.frame(message);
                self.send(node, to, &frame, 0);
            }
            Act::SendBatch(to, slot, digest) => self.send_batch(node, to, slot, digest),
            Act::SendDecided(to, first, last) => self.send_decided(node, to, first, last),
            Act::Execute(execution) => {
                self.nodes[node].work.push_back(Work::Execute(execution));
                self.work_soon(node);
            }
            Act::Reply(identity) => {
                self.nodes[node].work.push_back(Work::Reply(identity));
                self.work_soon(node);
            }
            Act::SetTimer(timer, after) => {
                let kind = TimerKind::of(timer);
                self.nodes[node].timers.insert(kind, timer);
                let delay = self.nodes[node].until(after);
                self.soon(node, delay, Inside::Timer(kind, timer));
            }
            Act::Accuse(evidence) => {
                self.checks.accused(id, &evidence)?;
                self.probes.hit(Probe::Accused);
                self.tell(|world| Event::Accused(id, evidence).describe(&world.setup));
            }
            Act::Alarm(alarm) => return self.alarm(node, &alarm),
        }
        Ok(())
    }

    fn alarm(&mut self, node: usize, alarm: &Alarm) -> Held {
        self.tell(|world| format!("{} ALARM: {alarm}", world.name(node)));
        let invariant = match alarm {
            Alarm::Diverged { .. } => Invariant::EqualState,
            Alarm::TooManyFaults { .. } => Invariant::OneBatchPerSlot,
            Alarm::ForeignVote { .. } => Invariant::DurableBeforeSent,
            // Nobody prunes decided slots here.
            Alarm::NeedsSnapshot { .. } => Invariant::Drained,
        };
        let held = ensure(!self.is_honest(node), invariant, || format!("{} raises an alarm: {alarm}", self.name(node)));
        self.holds(held)
    }

    fn persist(&mut self, node: usize, records: Vec<Record>, token: Token) -> Held {
        if self.nodes[node].full {
            return self.cannot_write(node);
        }
        let at = &mut self.nodes[node];
        at.commits += 1;
        self.doom_records(node, &records);
        let now = self.now();
        let at = &mut self.nodes[node];
        at.commit = Some(Commit { records, token, stage: Stage::Syncing });
        let delay = at.machine.sync_from(now);
        self.soon(node, delay, Inside::Synced);
        self.doom(node, Stage::Syncing);
        Ok(())
    }

    /// The disk is full: the replica ends before anything comes of what it could not write.
    fn cannot_write(&mut self, node: usize) -> Held {
        self.tell(|world| format!("{} ends: its disk is full", world.name(node)));
        self.die(node, false)
    }

    pub(super) fn synced(&mut self, node: usize) -> Held {
        self.land(node)?;
        let at = &mut self.nodes[node];
        if let Some(commit) = &mut at.commit {
            commit.stage = Stage::Marking;
        }
        let delay = at.machine.sync / 2;
        if std::mem::take(&mut at.waits_to_write) {
            self.soon(node, 1, Inside::Worked);
        }
        self.soon(node, delay, Inside::Marked);
        self.doom(node, Stage::Marking);
        Ok(())
    }

    /// The group commit that is under way is on disk, whoever hears of it.
    pub(super) fn land(&mut self, node: usize) -> Held {
        let at = &mut self.nodes[node];
        let Some(commit) = at.commit.as_mut() else { return Ok(()) };
        let records = std::mem::take(&mut commit.records);
        let id = at.id;
        at.turns += 1;
        at.disk.commit(records.clone());
        let held = self.checks.written(id, &records);
        self.holds(held)?;
        self.hash.add(records.len() as u64);
        if self.is_honest(node) {
            let disks = self.nodes.iter().filter(|at| !at.refused).map(|at| (at.id, &at.disk));
            // A rotten disk counts as one of the f.
            let lost = self.nodes.iter().filter(|node| node.refused || node.rotten).count();
            let held = self.checks.retrievable(&records, disks, lost);
            self.holds(held)?;
        }
        self.tell(|world| {
            format!(
                "{} persists {}",
                world.name(node),
                records.iter().map(event::record).collect::<Vec<_>>().join(", ")
            )
        });
        self.edge_of_prepares(node, &records)
    }

    pub(super) fn marked(&mut self, node: usize) -> Held {
        let at = &mut self.nodes[node];
        at.mark = at.turns;
        let Some(commit) = at.commit.take() else { return Ok(()) };
        if self.doomed_after_mark(node) {
            self.probes.hit(Probe::CrashBetweenPersistAndSend);
            return Ok(());
        }
        if let Some(runner) = self.nodes[node].runner.as_mut() {
            runner.persisted(commit.token);
        }
        self.after_steps(node)?;
        self.doom_after_votes(node);
        Ok(())
    }

    fn vote(&mut self, node: usize, vote: Vote) -> Held {
        let id = self.nodes[node].id;
        let held = self.checks.voted(id, &vote);
        self.holds(held)?;
        self.notice_vote(node, &vote);
        let signed = sign(self.setup.signer(id), vote);
        let Ok((delivery, message)) = signed else {
            let text = format!("{id} casts a vote above every legal size");
            return Err(Violation { invariant: Invariant::Bounded, text });
        };
        let delay = self.nodes[node].machine.sign;
        self.soon(node, delay, Inside::Own(Box::new(delivery)));
        self.broadcast(node, message, delay);
        Ok(())
    }

    fn broadcast(&mut self, node: usize, message: Message, after: u64) {
        let frame = self.frame(message);
        let id = self.nodes[node].id;
        for to in self.setup.committee.quorums().replicas().filter(|to| *to != id) {
            self.send(node, to, &frame, after);
        }
    }

    fn send_batch(&mut self, node: usize, to: ReplicaId, slot: Slot, digest: Digest) {
        let Some(batch) = self.nodes[node].disk.batch(slot, &digest) else { return };
        if to == self.nodes[node].id {
            let batch: Arc<_> = batch;
            if let Ok(batch) = batch.verify(&self.setup.committee) {
                self.soon(node, 100, Inside::Own(Box::new(Delivery::Batch { slot, batch })));
            }
        } else {
            self.probes.hit(Probe::BodyFetched);
            let frame = self.frame(Message::Batch { slot, batch });
            self.send(node, to, &frame, 100);
        }
    }

    fn send_decided(&mut self, node: usize, to: ReplicaId, first: Slot, last: Slot) {
        for slot in first.0..=last.0 {
            let found = self.nodes[node].disk.decided(Slot(slot));
            let Some(done) = found else { return };
            let (certificate, batch) = (done.certificate.clone(), done.batch.clone());
            self.probes.hit(Probe::CaughtUpByCertificate);
            let frame = self.frame(Message::Decided { certificate, batch });
            self.send(node, to, &frame, 100);
        }
    }

    fn work_soon(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        if !at.working && !at.work.is_empty() {
            at.working = true;
            let delay = at.machine.execute;
            self.soon(node, delay, Inside::Worked);
        }
    }

    /// The application is done with the first thing; it is written, unless the log is just being synced.
    pub(super) fn worked(&mut self, node: usize) -> Held {
        let at = &mut self.nodes[node];
        if at.commit.as_ref().is_some_and(|commit| commit.stage == Stage::Syncing) {
            at.waits_to_write = true;
            return Ok(());
        }
        at.working = false;
        match at.work.pop_front() {
            None => {}
            Some(Work::Reply(identity)) => {
                if let Some(answer) = at.disk.answer(&identity) {
                    self.probes.hit(Probe::RetryAnswered);
                    self.reply(node, identity, answer)?;
                }
            }
            Some(Work::Execute(_)) if self.nodes[node].full => return self.cannot_write(node),
            Some(Work::Execute(execution)) => self.execute(node, execution)?,
        }
        self.work_soon(node);
        Ok(())
    }

    fn execute(&mut self, node: usize, execution: Execution) -> Held {
        let (id, slot) = (self.nodes[node].id, execution.slot);
        let expected = self.nodes[node].disk.executed().len() as u64 + 1;
        ensure(slot.0 == expected, Invariant::Contiguous, || {
            format!("{id} executes slot {slot}, and {expected} is next")
        })?;
        for verdict in &execution.verdicts {
            match verdict {
                Verdict::TooOld => self.probes.hit(Probe::TooOld),
                Verdict::Duplicate => self.probes.hit(Probe::DuplicateExecuted),
                Verdict::Run { .. } | Verdict::Refused => {}
            }
        }
        if execution.batch.is_none() {
            self.probes.hit(Probe::NullExecuted);
        }
        let at = &mut self.nodes[node];
        let state = at.disk.execute(execution);
        let Some(done) = at.disk.executed().last().cloned() else { return Ok(()) };
        let held = self.checks.executed(id, slot, &done);
        self.holds(held)?;
        if self.is_honest(node) {
            self.is_decided(slot);
        }
        self.hash.add(slot.0);
        let answers: Vec<_> = done.answers.into_iter().map(|(identity, _, answer)| (identity, answer)).collect();
        self.tell(|world| Event::Executed(id, slot, answers.clone()).describe(&world.setup));
        for (identity, answer) in answers {
            self.reply(node, identity, answer)?;
        }
        self.give(node, Input::Executed { slot, state });
        self.edge_of_commits(node, done.certificate.statement.view, slot)
    }

    fn notice_vote(&mut self, node: usize, vote: &Vote) {
        self.tell(|world| format!("{} votes {}", world.name(node), voted(vote)));
        match vote {
            Vote::NewView(draft) => {
                self.probes.hit(Probe::NewViewDrafted);
                if draft.order.iter().any(|vote| vote.digest == NULL_BATCH) {
                    self.probes.hit(Probe::NullInNewView);
                }
                let mut prepared = BTreeMap::new();
                for certificate in draft.view_changes.iter().flat_map(|signed| signed.statement.prepared.iter()) {
                    let PrePrepare { view, slot, digest } = certificate.pre_prepare;
                    prepared.insert((slot, view), digest);
                    if view.0 + 2 <= draft.view.0 {
                        self.probes.hit(Probe::CarriedOverTwoViews);
                    }
                }
                let in_turn = prepared.iter().zip(prepared.iter().skip(1));
                for (_, (_, above)) in in_turn.filter(|(one, other)| one.0.0 == other.0.0 && one.1 != other.1) {
                    self.probes.hit(Probe::TwoInOneSlot);
                    if *above == NULL_BATCH {
                        self.probes.hit(Probe::NullOverBatch);
                    }
                }
            }
            Vote::ViewChange(_) => self.probes.hit(Probe::ViewChangeAsked),
            _ => {}
        }
    }
}

fn voted(vote: &Vote) -> String {
    match vote {
        Vote::PrePrepare(vote) => {
            format!("pre-prepare view={} slot={} {}", vote.view, vote.slot, event::short(&vote.digest))
        }
        Vote::Prepare(vote) => format!("prepare view={} slot={} {}", vote.view, vote.slot, event::short(&vote.digest)),
        Vote::Commit(vote) => format!("commit view={} slot={} {}", vote.view, vote.slot, event::short(&vote.digest)),
        Vote::Checkpoint(vote) => format!("checkpoint slot={}", vote.slot),
        Vote::ViewChange(vote) => format!("view-change view={}", vote.view),
        Vote::NewView(draft) => format!("new-view view={}", draft.view),
    }
}
