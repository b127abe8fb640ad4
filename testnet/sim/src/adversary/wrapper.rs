//! The wrapped [`Io`].

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::told::Told;
use super::witness::{Spoken, Strikes, Witness};
use varangian_consensus::{
    Alarm, Command, Delivery, Evidence, Execution, Identity, Message, Millis, Record, Slot, Timer, View, Vote,
};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Token};

/// An honest replica's shell, with behaviours between it and the core: what the first lets through the second sees, and so on.
#[derive(Debug)]
pub struct Adversary<I> {
    inner: I,
    behaviours: Vec<Armed>,
}

/// A behaviour, the hand that it works with, and how often it struck.
#[derive(Debug)]
struct Armed {
    hand: Hand,
    behaviour: Box<dyn Behaviour>,
    strikes: Strikes,
}

impl Armed {
    fn struck(&mut self, at: &'static str, struck: bool) {
        if struck {
            self.strikes.add(at);
        }
    }
}

impl<I> Adversary<I> {
    /// Nothing in front of `inner` yet. Until it is corrupted it is an honest replica.
    #[must_use]
    pub const fn honest(inner: I) -> Self {
        Self { inner, behaviours: Vec::new() }
    }

    /// Puts `behaviours` between core and shell from now on, in the place of earlier ones.
    pub fn corrupt(&mut self, behaviours: Vec<(Hand, Box<dyn Behaviour>)>) {
        let armed = |(hand, behaviour)| Armed { hand, behaviour, strikes: Strikes::default() };
        self.behaviours = behaviours.into_iter().map(armed).collect();
    }

    /// How often each behaviour struck, in their order.
    pub fn strikes(&self) -> impl Iterator<Item = &Strikes> {
        self.behaviours.iter().map(|armed| &armed.strikes)
    }

    /// What a client is told of what its command came to in this slot; the first behaviour that has its way decides.
    pub fn answer(&mut self, view: View, slot: Slot) -> Told {
        let mut told = self.behaviours.iter_mut().map(|armed| {
            let told = armed.behaviour.answer(&armed.hand, view, slot);
            armed.struck("reply", told != Told::Truth);
            told
        });
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
        self.behaviours.iter_mut().all(|armed| {
            let hears = armed.behaviour.hears_clients(&armed.hand, view);
            armed.struck("command", !hears);
            hears
        })
    }

    /// Whether a client that asks where the replica stands is told something else.
    pub fn boasts(&mut self, view: View) -> bool {
        self.behaviours.iter_mut().any(|armed| {
            let boasts = armed.behaviour.boasts(&armed.hand, view);
            armed.struck("status", boasts);
            boasts
        })
    }

    /// The shell underneath.
    pub const fn inner(&mut self) -> &mut I {
        &mut self.inner
    }
}

/// Behaviours, and the shell behind the last of them.
struct Line<'a> {
    behaviours: &'a mut [Armed],
    inner: &'a mut dyn Io,
}

impl Line<'_> {
    /// Hands something to the first behaviour with what is behind it, or else to the shell.
    fn pass(&mut self, spoken: Spoken) {
        let Some((Armed { hand, behaviour, strikes }, behaviours)) = self.behaviours.split_first_mut() else {
            return spoken.honestly(&mut *self.inner);
        };
        let mut rest = Line { behaviours, inner: &mut *self.inner };
        let mut witness = Witness::new(&spoken, &mut rest);
        spoken.clone().badly(hand, behaviour.as_mut(), &mut witness);
        if witness.is_strike(hand) {
            strikes.add(spoken.name());
        }
    }
}

impl Io for Line<'_> {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        for Armed { hand, behaviour, .. } in &mut *self.behaviours {
            behaviour.persisting(hand, &records);
        }
        self.inner.persist(records, token);
    }

    fn vote(&mut self, vote: Vote) {
        self.pass(Spoken::Vote(vote));
    }

    fn broadcast(&mut self, message: Message) {
        self.pass(Spoken::Broadcast(message));
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.pass(Spoken::Send(to, message));
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.inner.deliver(delivery);
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        // Its own core's reads are nobody else's business.
        if self.behaviours.first().is_some_and(|armed| armed.hand.id() == to) {
            return self.inner.send_batch(to, slot, digest);
        }
        self.pass(Spoken::Batch(to, slot, digest));
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.pass(Spoken::Decided(to, first, last));
    }

    fn execute(&mut self, execution: Execution) {
        for Armed { hand, behaviour, .. } in &mut *self.behaviours {
            behaviour.executing(hand, &execution);
        }
        self.inner.execute(execution);
    }

    fn reply(&mut self, identity: Identity) {
        self.inner.reply(identity);
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.pass(Spoken::Timer(timer, after));
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
        if !matches!(timer, Timer::Status(_)) {
            return;
        }
        for first in 0..self.behaviours.len() {
            Line { behaviours: &mut self.behaviours[first..], inner: &mut self.inner }.pass(Spoken::Tick);
        }
    }

    fn accuse(&mut self, evidence: Evidence) {
        self.line().accuse(evidence);
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.line().alarm(alarm);
    }
}
