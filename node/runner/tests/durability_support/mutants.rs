//! Runners that are broken on purpose. A check that accepts one of them checks nothing.

use super::{Drive, Shell};
use std::collections::VecDeque;
use varangian_consensus::{Config, Effect, Executed, Input, Millis, Record, Replica};
use varangian_runner::{Io, Token};

/// What is wrong.
pub trait Flaw {
    /// Votes and messages leave at once, and are written afterwards.
    const SENDS_FIRST: bool = false;
    /// What waits for a group commit leaves when it begins, not when it is reported.
    const DOES_NOT_WAIT: bool = false;
    /// When a group commit is reported everything that is queued leaves, also what waits for the next one.
    const OVERTAKES: bool = false;
    /// What waited leaves in another order.
    const REORDERS: bool = false;
    /// A record is forgotten now and then.
    const FORGETS: bool = false;
}

pub struct SendsFirst;
impl Flaw for SendsFirst {
    const SENDS_FIRST: bool = true;
}

pub struct DoesNotWait;
impl Flaw for DoesNotWait {
    const DOES_NOT_WAIT: bool = true;
}

pub struct Overtakes;
impl Flaw for Overtakes {
    const OVERTAKES: bool = true;
}

pub struct Reorders;
impl Flaw for Reorders {
    const REORDERS: bool = true;
}

pub struct Forgets;
impl Flaw for Forgets {
    const FORGETS: bool = true;
}

/// Without a flaw: what the others differ from.
pub struct Sound;
impl Flaw for Sound {}

/// A second runner, with a flaw.
pub struct Mutant<F> {
    replica: Replica,
    shell: Shell,
    queue: VecDeque<Effect>,
    held: Vec<Effect>,
    pending: Option<Token>,
    commits: u64,
    flaw: std::marker::PhantomData<F>,
}

impl<F: Flaw> Mutant<F> {
    fn perform(&mut self, effect: Effect) {
        let io = &mut self.shell;
        match effect {
            Effect::Persist(_) => unreachable!("records are taken out before"),
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

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if F::SENDS_FIRST && !matches!(effect, Effect::Persist(_)) {
                self.perform(effect);
            } else {
                self.queue.push_back(effect);
            }
        }
    }
}

impl<F: Flaw> Drive for Mutant<F> {
    fn start(config: Config, executed: Executed, records: Vec<Record>, io: Shell) -> Self {
        let mut effects = Vec::new();
        let replica = Replica::recover(config, 0, executed, records, &mut effects).unwrap();
        let mut mutant = Self {
            replica,
            shell: io,
            queue: VecDeque::new(),
            held: Vec::new(),
            pending: None,
            commits: 0,
            flaw: std::marker::PhantomData,
        };
        mutant.take(effects);
        mutant.run();
        mutant
    }

    fn step(&mut self, now: Millis, input: Input) {
        let mut effects = Vec::new();
        let _outcome = self.replica.step(now, input, &mut effects);
        self.take(effects);
    }

    fn run(&mut self) {
        while self.pending.is_none() {
            let Some(effect) = self.queue.pop_front() else { return };
            let Effect::Persist(first) = effect else {
                self.perform(effect);
                continue;
            };
            let mut records = vec![first];
            if F::OVERTAKES {
                // Only the first record is written; all that is queued still leaves with it.
                self.held.extend(std::mem::take(&mut self.queue));
            } else {
                for effect in std::mem::take(&mut self.queue) {
                    match effect {
                        Effect::Persist(record) => records.push(record),
                        effect => self.held.push(effect),
                    }
                }
            }
            self.commits += 1;
            if F::FORGETS && self.commits.is_multiple_of(3) {
                records.remove(0);
            }
            let token = Token(self.commits);
            self.pending = Some(token);
            self.shell.persist(records, token);
            if F::DOES_NOT_WAIT {
                for effect in std::mem::take(&mut self.held) {
                    self.perform(effect);
                }
            }
        }
    }

    fn persisted(&mut self, token: Token) {
        if self.pending != Some(token) {
            return;
        }
        self.pending = None;
        let mut held = std::mem::take(&mut self.held);
        if F::REORDERS {
            held.reverse();
        }
        for effect in held {
            match effect {
                Effect::Persist(record) => self.queue.push_back(Effect::Persist(record)),
                effect => self.perform(effect),
            }
        }
        self.run();
    }

    fn replica(&self) -> &Replica {
        &self.replica
    }

    fn shell(&mut self) -> &mut Shell {
        &mut self.shell
    }
}
