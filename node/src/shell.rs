//! The core's shell: whatever it asks for goes to the thread that does it, at once.

use crate::credit::Credit;
use crate::event::{Event, Events};
use crate::execute::Executing;
use crate::metrics::Metrics;
use crate::outbound::{Post, Reading, Signing};
use crate::persist::Persister;
use crate::repeat::Repeating;
use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use varangian_consensus::{
    Alarm, Delivery, Evidence, Execution, Identity, Input, Message, Millis, Record, Slot, Timer, Vote,
};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Token};

/// See the module. Lives on the core's thread.
#[derive(Debug)]
pub struct Shell {
    /// This replica.
    pub me: ReplicaId,
    /// Durable records.
    pub persister: Persister,
    /// Votes.
    pub signing: Signing,
    /// Messages.
    pub post: Post,
    /// The store, for peers.
    pub reading: Reading,
    /// Decided slots.
    pub executing: Executing,
    /// What peers may send because they were asked.
    pub credit: Arc<Credit>,
    /// Replies, once more.
    pub repeating: Repeating,
    /// What the outside sees.
    pub events: Arc<Events>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Timers that run: at most one of each kind.
    pub timers: Vec<(Instant, Timer)>,
    /// What the core gets from itself at once.
    pub own: VecDeque<Delivery>,
}

impl Shell {
    /// When the next timer runs out.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.iter().map(|(at, _)| *at).min()
    }

    /// A timer that has run out by `now`, if there is one; it no longer runs.
    pub fn expired(&mut self, now: Instant) -> Option<Input> {
        let place = self.timers.iter().position(|(at, _)| *at <= now)?;
        let (_, timer) = self.timers.swap_remove(place);
        Some(Input::Timeout(timer))
    }
}

impl Io for Shell {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        self.persister.persist(records, token);
    }

    fn vote(&mut self, vote: Vote) {
        self.signing.vote(vote);
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.own.push_back(delivery);
    }

    fn broadcast(&mut self, message: Message) {
        self.post.broadcast(&message);
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.credit.asks(to, &message);
        self.post.send(to, &message);
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        self.reading.batch(to, slot, digest);
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.reading.decided(to, first, last);
    }

    fn execute(&mut self, execution: Execution) {
        if let Some(batch) = &execution.batch {
            self.post.forget(batch);
        }
        self.executing.execute(execution);
    }

    fn reply(&mut self, identity: Identity) {
        self.repeating.reply(identity);
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.timers.retain(|(_, running)| discriminant(running) != discriminant(&timer));
        self.timers.push((Instant::now() + Duration::from_millis(after), timer));
    }

    fn accuse(&mut self, evidence: Evidence) {
        let (view, slot) = evidence.place();
        let accused = evidence.accused();
        tracing::warn!(%accused, kind = evidence.kind(), %view, %slot, "proved faulty");
        self.metrics.accused(accused);
        self.events.tell(&Event::Accused { replica: self.me.0, accused: accused.0, kind: evidence.kind() });
    }

    fn alarm(&mut self, alarm: Alarm) {
        tracing::error!(%alarm, "alarm");
        self.events.tell(&Event::Alarm { replica: self.me.0, message: alarm.to_string() });
    }
}
