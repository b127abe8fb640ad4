//! What is remembered of each peer, so that no peer's questions cost more than their share.

use crate::types::{Millis, Slot, View};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use varangian_crypto::ReplicaId;

/// See the module. One entry per peer that ever asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peers {
    asked: BTreeMap<ReplicaId, Asked>,
    /// From where each peer says it still holds decided slots.
    pruned: BTreeMap<ReplicaId, Slot>,
    /// How far each replica says it has executed.
    executed: BTreeMap<ReplicaId, Slot>,
    /// The highest slot that each replica has sent a commit certificate of.
    proved: BTreeMap<ReplicaId, Slot>,
    /// The highest slot out of the window that each replica has voted in.
    beyond: BTreeMap<ReplicaId, Slot>,
    /// The decided slots that were asked for last.
    fetch: Option<Fetch>,
    body_turn: usize,
    slot_turn: usize,
    /// When each last said something that was of use.
    heard: BTreeMap<ReplicaId, Millis>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Asked {
    status: Option<Millis>,
    /// The view whose VIEW-CHANGE or NEW-VIEW was sent last, and when.
    view: Option<(View, Millis)>,
    since: Millis,
    /// Bodies sent since then.
    bodies: u64,
    /// The last decided slot that was sent, and since when slots up to it were.
    decided: Option<(Slot, Millis)>,
}

/// A running request for decided slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fetch {
    /// Last slot asked for.
    pub to: Slot,
    /// Who was asked.
    pub source: ReplicaId,
    /// Since when it is the source, over all requests: it is left after a while, however good it is.
    pub since: Millis,
    /// When it was asked or brought something last: it is left earlier if nothing comes.
    pub heard: Millis,
    /// Whether it brought any of the slots asked for: a request that others answered is not followed by the next one.
    pub served: bool,
}

impl Peers {
    /// `peer` said something that was of use.
    pub fn heard(&mut self, peer: ReplicaId, now: Millis) {
        self.heard.insert(peer, now);
    }

    /// How many were heard within the last `span`.
    #[must_use]
    pub fn heard_within(&self, span: Millis, now: Millis) -> usize {
        self.heard.values().filter(|at| now <= at.saturating_add(span)).count()
    }

    /// Whether a status of `peer` may be answered: twice per interval at most.
    pub fn may_answer_status(&mut self, peer: ReplicaId, now: Millis, interval: Millis) -> bool {
        let asked = self.asked.entry(peer).or_default();
        if asked.status.is_some_and(|last| now < last.saturating_add(interval / 2)) {
            return false;
        }
        asked.status = Some(now);
        true
    }

    /// Whether `peer` may be sent what is large about `view`: once, and again only after `pause`, for it takes time to check.
    pub fn may_send_view(&mut self, peer: ReplicaId, view: View, now: Millis, pause: Millis) -> bool {
        let asked = self.asked.entry(peer).or_default();
        if asked.view.is_some_and(|(sent, at)| sent == view && now < at.saturating_add(pause)) {
            return false;
        }
        asked.view = Some((view, now));
        true
    }

    /// Whether `peer` may be sent so many `bodies` more: `share` of them per interval, and no question of a few bytes costs more than that.
    pub fn may_send_bodies(&mut self, peer: ReplicaId, bodies: u64, share: u64, now: Millis, interval: Millis) -> bool {
        let asked = self.asked.entry(peer).or_default();
        if now >= asked.since.saturating_add(interval) {
            asked.since = now;
            asked.bodies = 0;
        }
        if asked.bodies.saturating_add(bodies) > share {
            return false;
        }
        asked.bodies += bodies;
        true
    }

    /// From where on a peer that asks for decided slots from `first` on is answered: what it was sent within `pause` is on its way, or it is no honest question.
    #[must_use]
    pub fn unsent(&self, peer: ReplicaId, first: Slot, now: Millis, pause: Millis) -> Slot {
        match self.asked.get(&peer).and_then(|asked| asked.decided) {
            Some((sent, since)) if now < since.saturating_add(pause) => first.max(sent.next()),
            _ => first,
        }
    }

    /// `peer` is sent decided slots up to `last`.
    pub fn sent_decided(&mut self, peer: ReplicaId, last: Slot, now: Millis, pause: Millis) {
        let asked = self.asked.entry(peer).or_default();
        let since = asked.decided.map_or(now, |(_, since)| since);
        asked.decided = Some((last, if now < since.saturating_add(pause) { since } else { now }));
    }

    /// A new connection: whatever was answered before may be lost.
    pub fn connected(&mut self, peer: ReplicaId) {
        self.asked.remove(&peer);
    }

    /// Remembers what a peer says it no longer holds; gives the slots of all who said so.
    pub fn pruned(&mut self, peer: ReplicaId, oldest: Slot) -> impl Iterator<Item = Slot> + '_ {
        self.pruned.insert(peer, oldest);
        self.pruned.values().copied()
    }

    /// `peer` says that it has executed up to `slot`.
    pub fn heard_executed(&mut self, peer: ReplicaId, slot: Slot) {
        self.executed.insert(peer, slot);
    }

    /// `peer` proves that `slot` is decided.
    pub fn proved_decided(&mut self, peer: ReplicaId, slot: Slot) {
        let known = self.proved.entry(peer).or_default();
        *known = slot.max(*known);
    }

    /// Who has proved that more than `slot` is decided.
    pub fn proved_beyond(&self, slot: Slot) -> impl Iterator<Item = ReplicaId> + '_ {
        self.proved.iter().filter(move |(_, proved)| **proved > slot).map(|(peer, _)| *peer)
    }

    /// The highest slot that `weak` replicas, hence an honest one, say they have executed.
    #[must_use]
    pub fn executed(&self, weak: usize) -> Slot {
        exceeded_by(&self.executed, weak)
    }

    /// Remembers that `signer` votes in a slot that is out of the window here; whether that is news.
    pub fn heard_beyond(&mut self, signer: ReplicaId, slot: Slot) -> bool {
        let known = self.beyond.entry(signer).or_default();
        let news = slot > *known;
        *known = slot.max(*known);
        news
    }

    /// The highest slot that `weak` replicas, hence an honest one, have voted in or exceeded while it was out of the window.
    #[must_use]
    pub fn beyond(&self, weak: usize) -> Slot {
        exceeded_by(&self.beyond, weak)
    }

    /// The running request.
    #[must_use]
    pub const fn fetch(&self) -> Option<Fetch> {
        self.fetch
    }

    /// Begins or ends a request.
    pub const fn set_fetch(&mut self, fetch: Option<Fetch>) {
        self.fetch = fetch;
    }

    /// A number that grows by one with every round of questions for bodies, to go round sources.
    pub const fn next_body_turn(&mut self) -> usize {
        self.body_turn = self.body_turn.wrapping_add(1);
        self.body_turn
    }

    /// The same for decided slots. (One number for both would grow by two between two equal questions, and skip every other source.)
    pub const fn next_slot_turn(&mut self) -> usize {
        self.slot_turn = self.slot_turn.wrapping_add(1);
        self.slot_turn
    }
}

/// The highest slot that `count` of them name or exceed.
fn exceeded_by(named: &BTreeMap<ReplicaId, Slot>, count: usize) -> Slot {
    let mut slots: Vec<Slot> = named.values().copied().collect();
    slots.sort_unstable_by(|a, b| b.cmp(a));
    slots.get(count.saturating_sub(1)).copied().unwrap_or_default()
}
