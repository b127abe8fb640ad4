//! Whether an attack struck: what came out of a behaviour is held against what went in.
//!
//! No behaviour counts by itself. A strike is whatever peers get otherwise than from an honest replica: changed, kept back, late, or beside it; and a timer that
//! runs otherwise. A lie that happens to be the truth is none, and neither is what only the own core hears.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::lying_new_primary::draft;
use super::saying::name;
use std::collections::BTreeMap;
use varangian_consensus::{Alarm, Delivery, Evidence, Execution, Identity, Message, Millis, Record, Slot, Timer, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Token};

/// How often an attack struck, by the names of what it struck at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strikes(BTreeMap<&'static str, u64>);

impl Strikes {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Those at messages of this name; `tick`: at nothing that the core said.
    #[must_use]
    pub fn at(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// One more.
    pub fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Those of another life of the same replica, too.
    pub fn extend(&mut self, others: &Self) {
        for (name, count) in &others.0 {
            *self.0.entry(name).or_default() += count;
        }
    }
}

/// Something that is to leave the replica, as its core has it, or a timer of its.
#[derive(Clone, Debug)]
pub(super) enum Spoken {
    Vote(Vote),
    Broadcast(Message),
    Send(ReplicaId, Message),
    Batch(ReplicaId, Slot, Digest),
    Decided(ReplicaId, Slot, Slot),
    Timer(Timer, Millis),
    /// Nothing: some time has passed.
    Tick,
}

impl Spoken {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vote(vote) => name(vote),
            Self::Broadcast(message) | Self::Send(_, message) => message.name(),
            Self::Batch(..) => "batch",
            Self::Decided(..) => "decided",
            Self::Timer(..) => "timer",
            Self::Tick => "tick",
        }
    }

    /// What an honest replica does.
    pub fn honestly(self, io: &mut dyn Io) {
        match self {
            Self::Vote(vote) => io.vote(vote),
            Self::Broadcast(message) => io.broadcast(message),
            Self::Send(to, message) => io.send(to, message),
            Self::Batch(to, slot, digest) => io.send_batch(to, slot, digest),
            Self::Decided(to, first, last) => io.send_decided(to, first, last),
            Self::Timer(timer, after) => io.set_timer(timer, after),
            Self::Tick => {}
        }
    }

    /// What a behaviour does.
    pub fn badly(self, hand: &mut Hand, behaviour: &mut dyn Behaviour, io: &mut dyn Io) {
        match self {
            Self::Vote(vote) => {
                hand.enters(&vote);
                behaviour.vote(hand, vote, io);
            }
            Self::Broadcast(message) => behaviour.broadcast(hand, message, io),
            Self::Send(to, message) => behaviour.send(hand, to, message, io),
            Self::Batch(to, slot, digest) => behaviour.send_batch(hand, to, slot, digest, io),
            Self::Decided(to, first, last) => behaviour.send_decided(hand, to, first, last, io),
            Self::Timer(timer, after) => behaviour.set_timer(hand, timer, after, io),
            Self::Tick => behaviour.tick(hand, io),
        }
    }

    /// Whether a message to all peers, or to this one of them, says just this.
    fn is(&self, message: &Message, to: Option<ReplicaId>) -> bool {
        match self {
            Self::Vote(vote) => is_vote(message, vote),
            Self::Broadcast(own) => own == message || asks_less(own, message),
            Self::Send(hearer, own) => to == Some(*hearer) && (own == message || asks_less(own, message)),
            Self::Batch(..) | Self::Decided(..) | Self::Timer(..) | Self::Tick => false,
        }
    }
}

/// To ask for nothing takes nothing from anybody.
fn asks_less(own: &Message, said: &Message) -> bool {
    matches!((own, said), (Message::Status(own), Message::Status(said)) if *said == own.clone().lacking_nothing())
}

fn is_vote(message: &Message, vote: &Vote) -> bool {
    match (message, vote) {
        (Message::PrePrepare(signed), Vote::PrePrepare(own)) => signed.statement == *own,
        (Message::Prepare(signed), Vote::Prepare(own)) => signed.statement == *own,
        (Message::Commit(signed), Vote::Commit(own)) => signed.statement == *own,
        (Message::Checkpoint(signed), Vote::Checkpoint(own)) => signed.statement == *own,
        (Message::ViewChange(signed), Vote::ViewChange(own)) => signed.statement == **own,
        (Message::NewView(signed), Vote::NewView(own)) => draft(&signed.statement) == **own,
        _ => false,
    }
}

/// What is behind a behaviour, and what it is asked for there.
pub(super) struct Witness<'a> {
    spoken: &'a Spoken,
    io: &'a mut dyn Io,
    /// How often all peers were told it at once, or the timer was set, and who was told it alone.
    all: usize,
    told: Vec<ReplicaId>,
    /// Somebody was told something else.
    other: bool,
}

impl<'a> Witness<'a> {
    pub fn new(spoken: &'a Spoken, io: &'a mut dyn Io) -> Self {
        Self { spoken, io, all: 0, told: Vec::new(), other: false }
    }

    /// Whether anything is otherwise than from an honest replica.
    pub fn is_strike(&self, hand: &Hand) -> bool {
        let times = |hearer| self.told.iter().filter(|told| **told == hearer).count();
        let honest = match self.spoken {
            Spoken::Vote(_) | Spoken::Broadcast(_) => match self.all {
                0 => self.told.len() == hand.peers().len() && hand.peers().all(|peer| times(peer) == 1),
                once => once == 1 && self.told.is_empty(),
            },
            Spoken::Send(..) | Spoken::Batch(..) | Spoken::Decided(..) => self.all == 0 && self.told.len() == 1,
            Spoken::Timer(..) => self.all == 1,
            Spoken::Tick => self.all == 0 && self.told.is_empty(),
        };
        self.other || !honest
    }

    fn all_hear(&mut self, same: bool) {
        self.all += usize::from(same);
        self.other |= !same;
    }

    fn one_hears(&mut self, to: ReplicaId, same: bool) {
        if same {
            self.told.push(to);
        }
        self.other |= !same;
    }
}

impl Io for Witness<'_> {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        self.io.persist(records, token);
    }

    fn vote(&mut self, vote: Vote) {
        self.all_hear(matches!(self.spoken, Spoken::Vote(own) if *own == vote));
        self.io.vote(vote);
    }

    fn broadcast(&mut self, message: Message) {
        self.all_hear(self.spoken.is(&message, None));
        self.io.broadcast(message);
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.one_hears(to, self.spoken.is(&message, Some(to)));
        self.io.send(to, message);
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.io.deliver(delivery);
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        let same = matches!(self.spoken, Spoken::Batch(hearer, at, own) if (*hearer, *at, *own) == (to, slot, digest));
        self.one_hears(to, same);
        self.io.send_batch(to, slot, digest);
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        let same = matches!(self.spoken, Spoken::Decided(hearer, from, until) if (*hearer, *from, *until) == (to, first, last));
        self.one_hears(to, same);
        self.io.send_decided(to, first, last);
    }

    fn execute(&mut self, execution: Execution) {
        self.io.execute(execution);
    }

    fn reply(&mut self, identity: Identity) {
        self.io.reply(identity);
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.all_hear(matches!(self.spoken, Spoken::Timer(own, due) if (*own, *due) == (timer, after)));
        self.io.set_timer(timer, after);
    }

    fn accuse(&mut self, evidence: Evidence) {
        self.io.accuse(evidence);
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.io.alarm(alarm);
    }
}
