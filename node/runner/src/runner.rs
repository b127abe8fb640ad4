//! The queue between the core and its shell.
//!
//! Effects leave in the order in which the core gave them. At a `Persist` the queue stops; all records that are queued by then go into
//! one group commit, and everything behind the first of them waits until it is on disk. What the core does meanwhile queues up behind,
//! and its records make the next group: under load a commit costs one sync for many steps.

use crate::io::{Io, Token};
use std::collections::VecDeque;
use varangian_consensus::{Config, Effect, Executed, Ignored, Input, Millis, Record, RecoverError, Replica};

/// A replica with its shell.
#[derive(Debug)]
pub struct Runner<I> {
    replica: Replica,
    io: I,
    /// Effects behind the group commit that is under way; no `Persist` among them.
    held: Vec<Effect>,
    /// Effects behind those.
    queue: VecDeque<Effect>,
    /// The group commit that is under way.
    pending: Option<Token>,
    commits: u64,
    scratch: Vec<Effect>,
}

impl<I: Io> Runner<I> {
    /// Starts or restarts a replica from what its disk holds, and runs what follows from it.
    ///
    /// # Errors
    /// [`RecoverError`] if the store contradicts itself.
    pub fn start(
        config: Config,
        now: Millis,
        executed: Executed,
        records: impl IntoIterator<Item = Record>,
        io: I,
    ) -> Result<Self, RecoverError> {
        let mut effects = Vec::new();
        let replica = Replica::recover(config, now, executed, records, &mut effects)?;
        let mut runner = Self {
            replica,
            io,
            held: Vec::new(),
            queue: effects.into(),
            pending: None,
            commits: 0,
            scratch: Vec::new(),
        };
        runner.run();
        Ok(runner)
    }

    /// Gives the core one input. Its effects wait for [`Runner::run`], so that one group commit may cover many inputs.
    ///
    /// # Errors
    /// [`Ignored`] if the input changed nothing.
    pub fn step(&mut self, now: Millis, input: Input) -> Result<(), Ignored> {
        let outcome = self.replica.step(now, input, &mut self.scratch);
        self.queue.extend(self.scratch.drain(..));
        outcome
    }

    /// Runs the queued effects as far as durability allows. Call it after a turn's inputs.
    pub fn run(&mut self) {
        while self.pending.is_none() {
            match self.queue.pop_front() {
                None => return,
                Some(Effect::Persist(record)) => self.commit(record),
                Some(effect) => self.perform(effect),
            }
        }
    }

    /// The group commit `token` is on disk: what waited for it happens, in order. A token that is not under way is ignored.
    pub fn persisted(&mut self, token: Token) {
        if self.pending != Some(token) {
            return;
        }
        self.pending = None;
        for effect in std::mem::take(&mut self.held) {
            self.perform(effect);
        }
        self.run();
    }

    /// The core.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The shell.
    pub const fn io(&mut self) -> &mut I {
        &mut self.io
    }

    /// Effects that wait for a group commit, or behind one.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.held.len() + self.queue.len()
    }

    /// Starts a group commit of this record and all that are queued behind it.
    fn commit(&mut self, first: Record) {
        let mut records = vec![first];
        for effect in std::mem::take(&mut self.queue) {
            match effect {
                Effect::Persist(record) => records.push(record),
                effect => self.held.push(effect),
            }
        }
        self.commits += 1;
        let token = Token(self.commits);
        self.pending = Some(token);
        self.io.persist(records, token);
    }

    fn perform(&mut self, effect: Effect) {
        let io = &mut self.io;
        match effect {
            // `run` and `commit` take these out; should one get here it still goes to disk before anything behind it.
            Effect::Persist(record) => self.queue.push_front(Effect::Persist(record)),
            Effect::Vote(vote) => io.vote(vote),
            Effect::Broadcast(message) => io.broadcast(message),
            Effect::Send(to, message) => io.send(to, message),
            Effect::SendBatch { to, slot, digest } => io.send_batch(to, slot, digest),
            Effect::SendDecided { to, from, last } => io.send_decided(to, from, last),
            Effect::Execute(execution) => io.execute(execution),
            Effect::Reply(identity) => io.reply(identity),
            Effect::SetTimer(timer, after) => io.set_timer(timer, after),
            Effect::Accuse(evidence) => io.accuse(evidence),
            Effect::Alarm(alarm) => io.alarm(alarm),
        }
    }
}
