//! Fair turns: next is whoever would be done first if all were served at once.
//!
//! Fair queueing by finish times: everybody who waits has a mark, which service moves on by what it cost; next is who has the lowest mark once it is served, and who
//! begins to wait begins at the highest mark that anybody was served at, or at its own old one if that is higher. So of any two who wait, neither gets more than one
//! service ahead of the other, however much one asks for at a time; who asks for little goes before all who ask for much, until it has had as much;
//! and nobody gains by waiting with one command only.
//!
//! What a backup hands on has been through its turns there, and goes in the order in which it came: whatever else it hands on later, nothing passes it.

use crate::command::Identity;
use crate::types::Sequence;
use alloc::collections::{BTreeMap, BTreeSet};
use varangian_crypto::ClientKey;

/// Who waits, in order of turns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Turns<K> {
    /// By the mark that each will have once it is served.
    order: BTreeSet<(u64, K)>,
    /// Of those who wait, what they ask for.
    costs: BTreeMap<K, u64>,
    /// Of those who wait, and of others as long as they are above the highest that anybody was served at.
    marks: BTreeMap<K, u64>,
    /// The highest mark that anybody was served at.
    now: u64,
    /// Whoever's turn it was when there was no room: it is next, whoever comes.
    held: Option<K>,
    /// Marks that were left when those below `now` were swept out last.
    swept: usize,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), costs: BTreeMap::new(), marks: BTreeMap::new(), now: 0, held: None, swept: 0 }
    }
}

impl<K: Copy + Ord> Turns<K> {
    /// `who` waits for something that costs this, or for something else than before.
    pub fn wait(&mut self, who: K, cost: u64) {
        let mark = self.marks.entry(who).or_default();
        match self.costs.insert(who, cost) {
            Some(old) => {
                self.order.remove(&(mark.saturating_add(old), who));
            }
            None => *mark = (*mark).max(self.now),
        }
        self.order.insert((mark.saturating_add(cost), who));
    }

    /// `who` waits no more.
    pub fn leave(&mut self, who: K) {
        if let (Some(cost), Some(mark)) = (self.costs.remove(&who), self.marks.get(&who)) {
            self.order.remove(&(mark.saturating_add(cost), who));
        }
        if self.held == Some(who) {
            self.held = None;
        }
        if self.order.is_empty() {
            *self = Self::default();
        } else if self.marks.len() > 2 * self.order.len().max(self.swept) {
            let Self { costs, marks, now, .. } = self;
            marks.retain(|who, mark| *mark > *now || costs.contains_key(who));
            self.swept = self.marks.len();
        }
    }

    /// Whose turn it is.
    #[must_use]
    pub fn next(&self) -> Option<K> {
        self.held.or_else(|| self.order.first().map(|(_, who)| *who))
    }

    /// Whoever is next has to wait for room, and stays next.
    pub fn hold(&mut self) {
        self.held = self.next();
    }

    /// `who`, who waits, is served, and asks for the same again until something else is said.
    pub fn serve(&mut self, who: K) {
        if let (Some(cost), Some(mark)) = (self.costs.get(&who), self.marks.get_mut(&who)) {
            self.now = self.now.max(*mark);
            self.order.remove(&(mark.saturating_add(*cost), who));
            *mark = mark.saturating_add(*cost);
            self.order.insert((mark.saturating_add(*cost), who));
        }
        if self.held == Some(who) {
            self.held = None;
        }
    }
}

/// Commands in an order that serves clients in turn, each client's lowest sequence first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FairQueue {
    clients: BTreeMap<ClientKey, BTreeMap<Sequence, u64>>,
    turns: Turns<ClientKey>,
}

impl FairQueue {
    /// A command waits that costs this.
    pub fn push(&mut self, identity: Identity, cost: u64) {
        self.clients.entry(identity.client).or_default().insert(identity.sequence, cost);
        self.settle(identity.client);
    }

    /// A command waits no more.
    pub fn remove(&mut self, identity: &Identity) {
        if let Some(sequences) = self.clients.get_mut(&identity.client) {
            sequences.remove(&identity.sequence);
            self.settle(identity.client);
        }
    }

    /// The command whose turn it is, and what it costs.
    #[must_use]
    pub fn peek(&self) -> Option<(Identity, u64)> {
        let client = self.turns.next()?;
        let (sequence, cost) = self.clients.get(&client)?.first_key_value()?;
        Some((Identity { client, sequence: *sequence }, *cost))
    }

    /// The command whose turn it is has to wait for room: its client stays next.
    pub fn hold(&mut self) {
        self.turns.hold();
    }

    /// The command whose turn it is is served.
    pub fn serve(&mut self) {
        if let Some((identity, _)) = self.peek() {
            self.turns.serve(identity.client);
            self.remove(&identity);
        }
    }

    fn settle(&mut self, client: ClientKey) {
        match self.clients.get(&client).and_then(|sequences| sequences.first_key_value()) {
            Some((_, cost)) => self.turns.wait(client, *cost),
            None => {
                self.clients.remove(&client);
                self.turns.leave(client);
            }
        }
    }
}

/// Commands in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    arrivals: u64,
    order: BTreeMap<u64, (Identity, u64)>,
    places: BTreeMap<Identity, u64>,
}

impl Line {
    fn push(&mut self, identity: Identity, cost: u64) {
        self.arrivals += 1;
        self.order.insert(self.arrivals, (identity, cost));
        self.places.insert(identity, self.arrivals);
    }

    fn remove(&mut self, identity: &Identity) {
        if let Some(place) = self.places.remove(identity) {
            self.order.remove(&place);
        }
    }

    fn serve(&mut self) {
        if let Some((_, (identity, _))) = self.order.pop_first() {
            self.places.remove(&identity);
        }
    }
}

/// What is ready of one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Of clients, in turn.
    Clients(FairQueue),
    /// Of one backup, in the order in which it handed them on.
    Backup(Line),
}

impl Queue {
    /// A command waits that costs this.
    pub fn push(&mut self, identity: Identity, cost: u64) {
        match self {
            Self::Clients(queue) => queue.push(identity, cost),
            Self::Backup(line) => line.push(identity, cost),
        }
    }

    /// A command waits no more.
    pub fn remove(&mut self, identity: &Identity) {
        match self {
            Self::Clients(queue) => queue.remove(identity),
            Self::Backup(line) => line.remove(identity),
        }
    }

    /// The command whose turn it is, and what it costs.
    #[must_use]
    pub fn peek(&self) -> Option<(Identity, u64)> {
        match self {
            Self::Clients(queue) => queue.peek(),
            Self::Backup(line) => line.order.first_key_value().map(|(_, next)| *next),
        }
    }

    /// The command whose turn it is has to wait for room, and stays next.
    pub fn hold(&mut self) {
        match self {
            Self::Clients(queue) => queue.hold(),
            Self::Backup(_) => {}
        }
    }

    /// The command whose turn it is is served.
    pub fn serve(&mut self) {
        match self {
            Self::Clients(queue) => queue.serve(),
            Self::Backup(line) => line.serve(),
        }
    }
}
