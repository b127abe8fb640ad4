//! Fair turns: whoever has been served least is next.
//!
//! Start-time fair queueing: everybody who waits has a mark, which service moves on by what it cost; the lowest mark is served, and who begins to wait
//! begins at the mark that was served last, or at its own old one if that is higher. So of any two who wait, neither gets more than one service
//! ahead of the other, however much one asks for at a time, and nobody gains by waiting with one command only.

use crate::command::Identity;
use crate::types::Sequence;
use alloc::collections::{BTreeMap, BTreeSet};
use varangian_crypto::ClientKey;

/// Who waits, in order of turns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Turns<K> {
    order: BTreeSet<(u64, K)>,
    /// Of those who wait, and of others as long as they are above the mark that was served last.
    marks: BTreeMap<K, u64>,
    /// The mark that was served last.
    now: u64,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), marks: BTreeMap::new(), now: 0 }
    }
}

impl<K: Copy + Ord> Turns<K> {
    /// `who` waits.
    pub fn join(&mut self, who: K) {
        let mark = self.marks.entry(who).or_default();
        *mark = (*mark).max(self.now);
        self.order.insert((*mark, who));
    }

    /// `who` waits no more.
    pub fn leave(&mut self, who: K) {
        if let Some(mark) = self.marks.get(&who) {
            self.order.remove(&(*mark, who));
        }
        if self.order.is_empty() {
            *self = Self::default();
        } else if self.marks.len() > 2 * self.order.len() {
            let Self { order, marks, now } = self;
            marks.retain(|who, mark| *mark > *now || order.contains(&(*mark, *who)));
        }
    }

    /// Whose turn it is.
    #[must_use]
    pub fn next(&self) -> Option<K> {
        self.order.first().map(|(_, who)| *who)
    }

    /// Whoever is next has to wait for room: who begins to wait from now on comes after it.
    pub fn pass_over(&mut self) {
        if let Some((mark, _)) = self.order.first() {
            self.now = self.now.max(mark.saturating_add(1));
        }
    }

    /// `who`, who waits, is served at this cost.
    pub fn serve(&mut self, who: K, cost: u64) {
        if let Some(mark) = self.marks.get_mut(&who)
            && self.order.remove(&(*mark, who))
        {
            self.now = self.now.max(*mark);
            *mark = mark.saturating_add(cost);
            self.order.insert((*mark, who));
        }
    }
}

/// Commands in an order that serves clients in turn, each client's lowest sequence first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FairQueue {
    clients: BTreeMap<ClientKey, BTreeSet<Sequence>>,
    turns: Turns<ClientKey>,
}

impl FairQueue {
    /// A command waits.
    pub fn push(&mut self, identity: Identity) {
        let sequences = self.clients.entry(identity.client).or_default();
        if sequences.is_empty() {
            self.turns.join(identity.client);
        }
        sequences.insert(identity.sequence);
    }

    /// A command waits no more.
    pub fn remove(&mut self, identity: &Identity) {
        if let Some(sequences) = self.clients.get_mut(&identity.client) {
            sequences.remove(&identity.sequence);
            if sequences.is_empty() {
                self.clients.remove(&identity.client);
                self.turns.leave(identity.client);
            }
        }
    }

    /// The command whose turn it is.
    #[must_use]
    pub fn peek(&self) -> Option<Identity> {
        let client = self.turns.next()?;
        self.clients.get(&client)?.first().map(|sequence| Identity { client, sequence: *sequence })
    }

    /// The command whose turn it is has to wait for room: who begins to wait from now on comes after its client.
    pub fn pass_over(&mut self) {
        self.turns.pass_over();
    }

    /// A command is served, at this cost to its client.
    pub fn take(&mut self, identity: &Identity, cost: u64) {
        self.turns.serve(identity.client, cost);
        self.remove(identity);
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}
