//! The wrapped [`Io`].

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::told::Told;
use varangian_consensus::{
    Alarm, Command, Delivery, Evidence, Execution, Identity, Message, Millis, Record, Slot, Timer, View, Vote,
};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Token};

/// An honest replica's shell, with behaviours between it and the core: what the first lets through the second sees, and so on.
#[derive(Debug)]
pub struct Adversary<I> {
    inner: I,
    behaviours: Vec<(Hand, Box<dyn Behaviour>)>,
}

impl<I> Adversary<I> {
    /// Nothing in front of `inner` yet. Until it is corrupted it is an honest replica.
    #[must_use]
    pub const fn honest(inner: I) -> Self {
        Self { inner, behaviours: Vec::new() }
    }

    /// Puts `behaviours` between core and shell from now on, in the place of earlier ones.
    pub fn corrupt(&mut self, behaviours: Vec<(Hand, Box<dyn Behaviour>)>) {
        self.behaviours = behaviours;
    }

    /// What a client is told of what its command came to in this slot; the first behaviour that has its way decides.
    pub fn answer(&mut self, view: View, slot: Slot) -> Told {
        let mut told = self.behaviours.iter_mut().map(|(hand, behaviour)| behaviour.answer(hand, view, slot));
        told.find(|told| *told != Told::Truth).unwrap_or_default()
    }

    /// Of the bodies in these records, the commands whose clients are told a lie at once: nothing is decided yet.
    pub fn answer_early<'a>(&mut self, view: View, records: &'a [Record]) -> Vec<(Slot, &'a Command)> {
        if self.behaviours.is_empty() {
            return Vec::new();
        }
        let bodies = records.iter().filter_map(|record| match record {
            Record::Batch { slot, batch } => Some((*slot, batch)),
            _ => None,
        });
        let lied = bodies.filter(|(slot, _)| self.answer(view, *slot) == Told::Lie);
        lied.flat_map(|(slot, batch)| batch.commands().iter().map(move |command| (slot, command))).collect()
    }

    /// Whether a client's command reaches the core.
    pub fn hears_clients(&mut self, view: View) -> bool {
        self.behaviours.iter_mut().all(|(hand, behaviour)| behaviour.hears_clients(hand, view))
    }

    /// Whether a client that asks where the replica stands is told something else.
    pub fn boasts(&mut self, view: View) -> bool {
        self.behaviours.iter_mut().any(|(hand, behaviour)| behaviour.boasts(hand, view))
    }

    /// The shell underneath.
    pub const fn inner(&mut self) -> &mut I {
        &mut self.inner
    }
}

/// Behaviours, and the shell behind the last of them.
struct Line<'a> {
    behaviours: &'a mut [(Hand, Box<dyn Behaviour>)],
    inner: &'a mut dyn Io,
}

impl Line<'_> {
    /// Hands something to the first behaviour with what is behind it, or else to the shell.
    fn pass<T>(
        &mut self,
        what: T,
        behave: impl FnOnce(&mut Hand, &mut dyn Behaviour, T, &mut Line<'_>),
        honest: impl FnOnce(&mut dyn Io, T),
    ) {
        match self.behaviours.split_first_mut() {
            Some(((hand, behaviour), behaviours)) => {
                behave(hand, behaviour.as_mut(), what, &mut Line { behaviours, inner: &mut *self.inner });
            }
            None => honest(&mut *self.inner, what),
        }
    }
}

impl Io for Line<'_> {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        for (hand, behaviour) in &mut *self.behaviours {
            behaviour.persisting(hand, &records);
        }
        self.inner.persist(records, token);
    }

    fn vote(&mut self, vote: Vote) {
        let behave = |hand: &mut Hand, behaviour: &mut dyn Behaviour, vote, rest: &mut Line<'_>| {
            hand.enters(&vote);
            behaviour.vote(hand, vote, rest);
        };
        self.pass(vote, behave, |io, vote| io.vote(vote));
    }

    fn broadcast(&mut self, message: Message) {
        self.pass(
            message,
            |hand, behaviour, message, rest| behaviour.broadcast(hand, message, rest),
            |io, message| io.broadcast(message),
        );
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.pass(
            message,
            |hand, behaviour, message, rest| behaviour.send(hand, to, message, rest),
            |io, message| io.send(to, message),
        );
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.inner.deliver(delivery);
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        let behave = |hand: &mut Hand, behaviour: &mut dyn Behaviour, digest, rest: &mut Line<'_>| {
            if to == hand.id() {
                rest.inner.send_batch(to, slot, digest);
            } else {
                behaviour.send_batch(hand, to, slot, digest, rest);
            }
        };
        self.pass(digest, behave, |io, digest| io.send_batch(to, slot, digest));
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.pass(
            last,
            |hand, behaviour, last, rest| behaviour.send_decided(hand, to, first, last, rest),
            |io, last| io.send_decided(to, first, last),
        );
    }

    fn execute(&mut self, execution: Execution) {
        for (hand, behaviour) in &mut *self.behaviours {
            behaviour.executing(hand, &execution);
        }
        self.inner.execute(execution);
    }

    fn reply(&mut self, identity: Identity) {
        self.inner.reply(identity);
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.inner.set_timer(timer, after);
        if !matches!(timer, Timer::Status(_)) {
            return;
        }
        for first in 0..self.behaviours.len() {
            let mut line = Line { behaviours: &mut self.behaviours[first..], inner: &mut *self.inner };
            line.pass((), |hand, behaviour, (), rest| behaviour.tick(hand, rest), |_, ()| {});
        }
    }

    fn accuse(&mut self, evidence: Evidence) {
        self.inner.accuse(evidence);
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.inner.alarm(alarm);
    }
}

impl<I: Io> Adversary<I> {
    fn line(&mut self) -> Line<'_> {
        Line { behaviours: &mut self.behaviours, inner: &mut self.inner }
    }
}

impl<I: Io> Io for Adversary<I> {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        self.line().persist(records, token);
    }

    fn vote(&mut self, vote: Vote) {
        self.line().vote(vote);
    }

    fn broadcast(&mut self, message: Message) {
        self.line().broadcast(message);
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.line().send(to, message);
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.line().deliver(delivery);
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        self.line().send_batch(to, slot, digest);
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.line().send_decided(to, first, last);
    }

    fn execute(&mut self, execution: Execution) {
        self.line().execute(execution);
    }

    fn reply(&mut self, identity: Identity) {
        self.line().reply(identity);
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.line().set_timer(timer, after);
    }

    fn accuse(&mut self, evidence: Evidence) {
        self.line().accuse(evidence);
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.line().alarm(alarm);
    }
}
