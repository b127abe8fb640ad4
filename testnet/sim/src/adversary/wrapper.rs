//! The wrapped [`Io`].

use super::behaviour::Behaviour;
use super::hand::Hand;
use varangian_consensus::{Alarm, Delivery, Evidence, Execution, Identity, Message, Millis, Record, Slot, Timer, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Token};

/// An honest replica's shell, with a behaviour between it and the core.
#[derive(Debug)]
pub struct Adversary<I> {
    inner: I,
    behaviour: Option<(Hand, Box<dyn Behaviour>)>,
}

impl<I> Adversary<I> {
    /// Nothing in front of `inner` yet. Until it is corrupted it is an honest replica.
    #[must_use]
    pub const fn honest(inner: I) -> Self {
        Self { inner, behaviour: None }
    }

    /// Puts `behaviour` between core and shell from now on, in the place of an earlier one.
    pub fn corrupt(&mut self, hand: Hand, behaviour: Box<dyn Behaviour>) {
        self.behaviour = Some((hand, behaviour));
    }

    /// The shell underneath.
    pub const fn inner(&mut self) -> &mut I {
        &mut self.inner
    }
}

impl<I: Io> Io for Adversary<I> {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        if let Some((hand, behaviour)) = &mut self.behaviour {
            behaviour.persisting(hand, &records);
        }
        self.inner.persist(records, token);
    }

    fn vote(&mut self, vote: Vote) {
        match &mut self.behaviour {
            Some((hand, behaviour)) => {
                hand.enters(&vote);
                behaviour.vote(hand, vote, &mut self.inner);
            }
            None => self.inner.vote(vote),
        }
    }

    fn broadcast(&mut self, message: Message) {
        match &mut self.behaviour {
            Some((hand, behaviour)) => behaviour.broadcast(hand, message, &mut self.inner),
            None => self.inner.broadcast(message),
        }
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        match &mut self.behaviour {
            Some((hand, behaviour)) => behaviour.send(hand, to, message, &mut self.inner),
            None => self.inner.send(to, message),
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.inner.deliver(delivery);
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        match &mut self.behaviour {
            Some((hand, behaviour)) if to != hand.id() => {
                behaviour.send_batch(hand, to, slot, digest, &mut self.inner);
            }
            _ => self.inner.send_batch(to, slot, digest),
        }
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        match &mut self.behaviour {
            Some((hand, behaviour)) => behaviour.send_decided(hand, to, first, last, &mut self.inner),
            None => self.inner.send_decided(to, first, last),
        }
    }

    fn execute(&mut self, execution: Execution) {
        if let Some((hand, behaviour)) = &mut self.behaviour {
            behaviour.executing(hand, &execution);
        }
        self.inner.execute(execution);
    }

    fn reply(&mut self, identity: Identity) {
        self.inner.reply(identity);
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.inner.set_timer(timer, after);
        if let (Timer::Status(_), Some((hand, behaviour))) = (timer, &mut self.behaviour) {
            behaviour.tick(hand, &mut self.inner);
        }
    }

    fn accuse(&mut self, evidence: Evidence) {
        self.inner.accuse(evidence);
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.inner.alarm(alarm);
    }
}
