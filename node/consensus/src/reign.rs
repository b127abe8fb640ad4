//! Reigns: a primary that is slow or unfair is deposed long before a time-out runs out.
//!
//! - Time goes in windows of `T / 8`. In each a backup counts what was ordered, and how long on average the commands waited that it had handed on: clients that wait for
//!   answers get as much done as that average lets them (Little's law). What its own votes took to be signed and on disk is taken off: the primary cannot help it.
//! - A window *falls short* if they waited for more than 3/2 of the normal wait while less than 3/4 of what is normal was ordered, both in commands and in what these
//!   take of batches: of heavier commands fewer are ordered by anybody. Normal is the better of what this reign has shown and of the lower median of the last reigns of other primaries.
//! - It also does if they waited for longer than an honest primary needs (`T / 8`, or 4 times what it takes from this backup's own vote to the slot's order), and
//!   nobody else has reigned yet and no batch was half full; and if one did, and more others went before it than fair turns allow: `n * A` beyond the batches that may wait.
//! - What is missing is a debt; a window that is served in full pays a quarter of a window back. A debt of 8 windows ends the view, as a time-out does, and of 16 where nobody else has reigned yet.
//! - Each view that ends in debt doubles the debt that ends the next one; calm halves it again. So where everybody is slow, views soon stay.
//!
//! `f` faulty primaries cannot move a median of all beyond what honest ones have shown, and `f` faulty backups move no view. A replica does not judge where it
//! is not a backup in its view, would be alone in another one, or others are ahead of it. Nothing of this is durable: it is an opinion, and a restart forms a new one. Safety never looks at it.

use crate::command::Identity;
use crate::config::WHOLE_BATCH;
use crate::replica::{Phase, Replica, Turn};
use crate::types::{Millis, Slot};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use varangian_crypto::ReplicaId;

/// Windows in a time-out.
const WINDOWS: u64 = 8;
/// A window that falls short altogether; debts are in thousandths of it.
const WHOLE: u64 = 1000;
/// Debt that ends a view, where none has ended in debt lately.
const PROOF: u64 = 8 * WHOLE;
/// Doublings of the proof where nobody else has reigned yet: what is slow may be the machine, and nothing tells it apart.
const DOUBT: u32 = 1;
/// What a window pays back that is served in full: nobody can owe every fifth window and stay.
const PAYBACK: u64 = WHOLE / 4;
/// Doublings of the proof at most.
const MAX_PATIENCE: u32 = 6;
/// Windows without debt that halve the proof, times what it was doubled by.
const CALM: u64 = 64;
/// Windows that figures are smoothed over, and before which they show nothing.
const SMOOTHING: u64 = 8;
/// An honest primary has a command ordered within so many rounds of votes: it travels, waits for a place in the pipeline, and is voted for.
const ROUNDS: u64 = 4;
/// Waits below this part of the time-out are nobody's fault.
const FLOOR: u64 = 32;

/// What was ordered and runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    /// How many commands.
    pub commands: u64,
    /// What they take of batches.
    pub batches: u64,
}

/// What a primary has shown to be possible; 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Shown {
    /// In a thousand base time-outs.
    rate: Service,
    /// The mean wait of watched commands, in thousandths of a millisecond.
    wait: u64,
}

/// A figure, smoothed: its sum over [`SMOOTHING`] windows, and of how many it is so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Smoothed {
    sum: u64,
    count: u64,
}

/// The present reign as this backup sees it, and the last ones of the others. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reign {
    /// When the window began; `None` where this replica did not judge just now.
    since: Option<Millis>,
    /// What was ordered in this window.
    ordered: Service,
    /// Waits of watched commands that were ordered in it: their sum, and how many.
    waited: (Millis, u64),
    /// The longest that an own vote took in it until it was signed and durable.
    held: Millis,
    /// The own vote that is under way for longest, and since when.
    own: Option<(Slot, Millis)>,
    /// One of its batches was half full: who waits may wait for others.
    crowded: bool,
    commands: Smoothed,
    batches: Smoothed,
    wait: Smoothed,
    shown: Shown,
    /// From the own vote for a slot until it is ordered: what replicas take, whoever leads.
    round: Smoothed,
    /// The slot that this is taken of next, and when it was voted for.
    voted: Option<(Slot, Millis)>,
    /// The oldest watched command, since it is late: how far everything was then, and commands that went before it since.
    late: Option<(Identity, Slot, u64)>,
    debt: u64,
    /// Doublings of the proof.
    patience: u32,
    calm: u64,
    /// Primaries that this replica has given up for a shortfall since it started.
    given_up: u64,
    /// What each primary showed in its last reign.
    past: BTreeMap<ReplicaId, Shown>,
}

/// A window as it closes.
#[derive(Clone, Copy, Debug)]
struct Window {
    primary: ReplicaId,
    elapsed: Millis,
    base: Millis,
    timeout: Millis,
    /// The watched command that waits longest, and for how long.
    oldest: Option<(Identity, Millis)>,
    issued: Slot,
    /// Commands that fair turns may put before another.
    turns: u64,
}

impl Smoothed {
    /// One more; the smoothed figure, once it means something.
    const fn add(&mut self, figure: u64) -> Option<u64> {
        if self.count < SMOOTHING {
            self.count += 1;
        } else {
            self.sum -= self.sum / SMOOTHING;
        }
        self.sum = self.sum.saturating_add(figure);
        if self.count == SMOOTHING { Some(self.mean()) } else { None }
    }

    const fn mean(&self) -> u64 {
        match self.sum.checked_div(self.count) {
            Some(mean) => mean,
            None => 0,
        }
    }
}

impl Service {
    const fn plus(self, other: Self) -> Self {
        let commands = self.commands.saturating_add(other.commands);
        Self { commands, batches: self.batches.saturating_add(other.batches) }
    }

    /// Of each the better.
    fn or(self, other: Self) -> Self {
        Self { commands: self.commands.max(other.commands), batches: self.batches.max(other.batches) }
    }

    /// How much of a window is missing in one with this service, whichever way it is counted.
    fn missing(self, normal: Self) -> u64 {
        let of = |ordered: u64, normal: u64| {
            let due = normal / 4 * 3;
            due.saturating_sub(ordered).saturating_mul(WHOLE).checked_div(due).unwrap_or(0)
        };
        of(self.commands, normal.commands).min(of(self.batches, normal.batches))
    }
}

impl Shown {
    /// The better of both.
    fn or(self, other: Self) -> Self {
        let wait = if self.wait == 0 || (other.wait > 0 && other.wait < self.wait) { other.wait } else { self.wait };
        Self { rate: self.rate.or(other.rate), wait }
    }
}

/// The lower one of the two in the middle, of those that are known; 0 if none is.
fn median(figures: impl Iterator<Item = u64>) -> u64 {
    let mut known: Vec<u64> = figures.filter(|figure| *figure > 0).collect();
    known.sort_unstable();
    known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

impl Reign {
    /// This replica votes for a slot.
    pub const fn voted(&mut self, slot: Slot, now: Millis) {
        if self.voted.is_none() {
            self.voted = Some((slot, now));
        }
        if self.own.is_none() {
            self.own = Some((slot, now));
        }
    }

    /// Its vote for a slot is signed and durable.
    pub fn counted(&mut self, slot: Slot, now: Millis) {
        if let Some((_, since)) = self.own.filter(|(voted, _)| *voted <= slot) {
            self.held = self.held.max(now.saturating_sub(since));
            self.own = None;
        }
    }

    /// A slot was ordered with this service; so many slots may rightly go before a command that waits.
    pub fn ordered(&mut self, now: Millis, slot: Slot, service: Service, fair: u64) {
        if let Some((_, at)) = self.voted.filter(|(voted, _)| *voted <= slot) {
            self.round.add(now.saturating_sub(at));
            self.voted = None;
        }
        self.crowded |= service.batches >= WHOLE_BATCH / 2;
        self.ordered = self.ordered.plus(service);
        if let Some((_, since, overtaken)) = &mut self.late
            && slot > since.plus(fair)
        {
            *overtaken = overtaken.saturating_add(service.commands);
        }
    }

    /// A watched command was ordered after so long.
    pub const fn waited(&mut self, wait: Millis) {
        self.waited = (self.waited.0.saturating_add(wait), self.waited.1 + 1);
    }

    /// The reign of `primary` is over for this replica.
    pub fn ends(&mut self, primary: ReplicaId) {
        if self.shown.rate.commands > 0 {
            self.past.insert(primary, self.shown);
        }
        if self.debt >= self.proof(primary) / 2 {
            self.patience = (self.patience + 1).min(MAX_PATIENCE);
            self.calm = 0;
        }
        let Self { past, patience, calm, round, given_up, .. } = core::mem::take(self);
        *self = Self { past, patience, calm, round, given_up, ..Self::default() };
    }

    /// Nothing is judged just now.
    fn pauses(&mut self) {
        self.since = None;
        self.late = None;
        self.voted = None;
        self.own = None;
        self.crowded = false;
        (self.ordered, self.waited, self.held) = (Service::default(), (0, 0), 0);
    }

    /// What an honest primary never takes.
    fn long(&self, timeout: Millis) -> Millis {
        (self.round.mean() * ROUNDS).clamp(timeout / WINDOWS, timeout / 2)
    }

    fn proof(&self, primary: ReplicaId) -> u64 {
        let (_, compared) = self.normal(primary);
        PROOF << (self.patience + if compared { 0 } else { DOUBT })
    }

    /// What is normal here, and whether others than `primary` have a part in it.
    fn normal(&self, primary: ReplicaId) -> (Shown, bool) {
        let others = || self.past.iter().filter(|(id, _)| **id != primary).map(|(_, shown)| *shown);
        let commands = median(others().map(|shown| shown.rate.commands));
        let batches = median(others().map(|shown| shown.rate.batches));
        let rate = Service { commands, batches };
        let wait = median(others().map(|shown| shown.wait));
        (self.shown.or(Shown { rate, wait }), others().next().is_some())
    }

    /// The mean wait of this window in thousandths of a millisecond, less what was this replica's own; whoever waits for longest now counts as one.
    fn wait(&self, now: Millis, oldest: Option<(Identity, Millis)>) -> u64 {
        let (sum, count) =
            oldest.map_or(self.waited, |(_, age)| (self.waited.0.saturating_add(age), self.waited.1 + 1));
        let held = self.own.map_or(0, |(_, since)| now.saturating_sub(since)).max(self.held);
        (sum * WHOLE).checked_div(count).unwrap_or(0).saturating_sub(held * WHOLE)
    }

    /// How much of a window is missing in this one; `None` if nobody waited too long.
    fn shortfall(&self, window: &Window, rate: Service, wait: u64) -> Option<u64> {
        let (normal, compared) = self.normal(window.primary);
        let long = self.long(window.timeout);
        let overtaken = self.late.is_some_and(|(_, _, overtaken)| overtaken > window.turns);
        if overtaken {
            // No machine is unfair.
            return Some(if compared { WHOLE } else { WHOLE << DOUBT });
        }
        if !compared && !self.crowded && wait > long * WHOLE {
            return Some(WHOLE);
        }
        let normal_wait = if normal.wait == 0 { long * WHOLE } else { normal.wait * 3 / 2 };
        (wait > normal_wait.max(window.timeout * WHOLE / FLOOR)).then(|| rate.missing(normal.rate))
    }

    /// Closes the window; whether the debt ends the view.
    fn close(&mut self, now: Millis, window: &Window) -> bool {
        let long = self.long(window.timeout);
        let rate = |sum: u64| sum.saturating_mul(window.base).saturating_mul(WHOLE) / window.elapsed.max(1);
        let rate = Service { commands: rate(self.ordered.commands), batches: rate(self.ordered.batches) };
        let wait = self.wait(now, window.oldest);
        self.late = match (window.oldest, self.late) {
            (Some((oldest, _)), Some(late)) if late.0 == oldest => Some(late),
            (Some((oldest, age)), _) if age > long => Some((oldest, window.issued, 0)),
            _ => None,
        };
        match self.shortfall(window, rate, wait) {
            Some(missing) if missing > 0 => self.debt = self.debt.saturating_add(missing),
            _ => self.debt = self.debt.saturating_sub(PAYBACK),
        }
        if let (Some(commands), Some(batches)) = (self.commands.add(rate.commands), self.batches.add(rate.batches)) {
            self.shown.rate = self.shown.rate.or(Service { commands, batches });
        }
        if wait > 0
            && let Some(wait) = self.wait.add(wait)
        {
            self.shown = self.shown.or(Shown { rate: Service::default(), wait });
        }
        self.calm = if self.debt == 0 { self.calm + 1 } else { 0 };
        if self.calm >= CALM << self.patience {
            self.calm = 0;
            self.patience = self.patience.saturating_sub(1);
        }
        (self.since, self.ordered, self.waited, self.held, self.crowded) =
            (Some(now), Service::default(), (0, 0), 0, false);
        self.debt >= self.proof(window.primary)
    }
}

impl Replica {
    /// Whatever comes next, this replica judges the primary of its view no more.
    pub(crate) fn leave_view(&mut self) {
        if self.phase == Phase::Active {
            self.reign.ends(self.config.primary(self.view));
        }
    }

    /// Primaries that it has given up for being slow or unfair, since it started.
    #[must_use]
    pub const fn shortfalls(&self) -> u64 {
        self.reign.given_up
    }

    /// Closes a window, if it is time, and gives up a primary that is too much in debt.
    pub(crate) fn judge_primary(&mut self, turn: &mut Turn<'_>) {
        let primary = self.config.primary(self.view);
        let backup = self.phase == Phase::Active && primary != self.config.id;
        // Where others have more, it is not the primary who is late here.
        if !backup || self.would_be_alone(turn.now) || self.peers.executed(self.config.weak()) > self.issued {
            self.reign.pauses();
            return;
        }
        let timeout = self.pacing.timeout(&self.config);
        let Some(since) = self.reign.since else {
            self.reign.since = Some(turn.now);
            return;
        };
        let (elapsed, length) = (turn.now.saturating_sub(since), (timeout / WINDOWS).max(1));
        if elapsed < length {
            return;
        }
        if elapsed > 4 * length {
            // It had nothing to do, or stood still itself.
            self.reign.pauses();
            return;
        }
        let age = |deadline: Millis| turn.now.saturating_add(timeout).saturating_sub(deadline);
        let window = Window {
            primary,
            elapsed,
            base: self.config.base_timeout,
            timeout,
            oldest: self.pool.earliest().map(|(deadline, identity)| (identity, age(deadline))),
            issued: self.issued,
            turns: (self.config.quorums.n() * self.config.armed) as u64,
        };
        if self.reign.close(turn.now, &window) {
            self.reign.given_up += 1;
            self.start_view_change(turn, self.view.next());
        }
    }
}
