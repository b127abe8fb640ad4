//! A directed link as a queue, pure: its time is handed in, counted from any moment that the caller likes.
//!
//! ```text
//! push ─ cut? ─ lost? ─ copied? ─ room? ─► waiting ─ sent bit by bit ─► flying ──────────────► ready ─► pop_ready
//!                                          for the bandwidth        └─► latency and jitter ─┘   ▲
//!                                                                   └─── or overtaking ─────────┘
//! ```
//!
//! Each of the three queues is in order of time by itself, so what happens next happens at the head of one of them, and a line catches up with the
//! time before it does anything else: what comes out, and when it was due, does not depend on how often one looks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::draw::Draw;
use crate::shape::{Shape, ShapeError};

/// Bytes of IPv4 and UDP headers, which each datagram takes of bandwidth, queue and capacity on top of its own.
pub const HEADER: usize = 28;

/// Bytes that a line holds at most, headers included, whatever the shape: what a latency alone would pile up.
pub const CAPACITY: usize = 16 << 20;

/// What became of datagrams so far. Always `pushed + duplicated == passed + lost + cut + dropped +` [`Line::held`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Came in.
    pub pushed: u64,
    /// Went out, copies included.
    pub passed: u64,
    /// Lost by the shape's probability.
    pub lost: u64,
    /// Found the link cut.
    pub cut: u64,
    /// Found no room in the queue before the bandwidth, or in the line; copies included.
    pub dropped: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Of `passed`: left before one that had come earlier.
    pub reordered: u64,
    /// Bytes of `passed`, without headers.
    pub bytes: u64,
}

/// One directed link.
///
/// A datagram's own fate hangs on the seed and its number only, so a change of one probability leaves the rest of a run as it was.
#[derive(Debug)]
pub struct Line<T> {
    rules: Rules,
    cut: bool,
    seed: u64,
    capacity: usize,
    now: Duration,
    /// When the last bit of the last datagram was sent.
    free_at: Duration,
    waiting: VecDeque<Held<T>>,
    flying: VecDeque<Held<T>>,
    ready: VecDeque<Held<T>>,
    waiting_bytes: usize,
    held_bytes: usize,
    counters: Counters,
}

#[derive(Debug)]
struct Held<T> {
    size: usize,
    /// Came in, while it waits for the bandwidth; due, after that.
    at: Duration,
    /// Part of the shape's jitter that it gets.
    jitter: f64,
    /// Shall overtake while it waits; has overtaken when it is ready.
    overtakes: bool,
    item: T,
}

/// A checked shape, in the units of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rules {
    latency: Duration,
    jitter: Duration,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    seconds_per_byte: f64,
    queue: usize,
}

impl Rules {
    fn of(shape: &Shape) -> Result<Self, ShapeError> {
        shape.check()?;
        let milliseconds = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        Ok(Self {
            latency: milliseconds(shape.latency_ms),
            jitter: milliseconds(shape.jitter_ms),
            loss: shape.loss,
            duplicate: shape.duplicate,
            reorder: shape.reorder,
            seconds_per_byte: shape.bandwidth_mbit.map_or(0.0, |mbit| 8.0 / (mbit * 1e6)),
            queue: shape.queue_kib as usize * 1024,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a datagram is short")]
    fn transmission(&self, size: usize) -> Duration {
        Duration::from_secs_f64(size as f64 * self.seconds_per_byte)
    }
}

impl<T: Clone> Line<T> {
    /// A line that holds [`CAPACITY`] bytes at most.
    ///
    /// # Errors
    /// If the shape is out of bounds.
    pub fn new(shape: &Shape, seed: u64) -> Result<Self, ShapeError> {
        Self::with_capacity(shape, seed, CAPACITY)
    }

    /// A line that holds so many bytes at most, headers included. The memory behind them is larger by what an allocation costs per datagram.
    ///
    /// # Errors
    /// If the shape is out of bounds.
    pub fn with_capacity(shape: &Shape, seed: u64, capacity: usize) -> Result<Self, ShapeError> {
        Ok(Self {
            rules: Rules::of(shape)?,
            cut: shape.cut,
            seed,
            capacity,
            now: Duration::ZERO,
            free_at: Duration::ZERO,
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            ready: VecDeque::new(),
            waiting_bytes: 0,
            held_bytes: 0,
            counters: Counters::default(),
        })
    }

    /// A datagram of `length` bytes comes in. A time before the latest one counts as that, here and below.
    pub fn push(&mut self, now: Duration, length: usize, item: T) {
        self.advance(now);
        let mut draw = Draw::of(&[self.seed, self.counters.pushed]);
        self.counters.pushed += 1;
        let (lost, twice) = (draw.chance(self.rules.loss), draw.chance(self.rules.duplicate));
        if self.cut {
            self.counters.cut += 1;
        } else if lost {
            self.counters.lost += 1;
        } else {
            let copy = twice.then(|| item.clone());
            self.hold(length + HEADER, item, &mut draw);
            if let Some(copy) = copy {
                self.counters.duplicated += 1;
                self.hold(length + HEADER, copy, &mut draw);
            }
        }
    }

    /// The next datagram that is due, or `None` if there is none before [`next_due`](Self::next_due).
    pub fn pop_ready(&mut self, now: Duration) -> Option<T> {
        self.advance(now);
        let held = self.ready.pop_front()?;
        self.held_bytes -= held.size;
        self.counters.passed += 1;
        self.counters.reordered += u64::from(held.overtakes);
        self.counters.bytes += (held.size - HEADER) as u64;
        Some(held.item)
    }

    /// When to look again: nothing comes out earlier, and not always something then. `None` if the line is empty.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let heads = [self.ready.front(), self.flying.front()].into_iter().flatten().map(|held| held.at);
        heads.chain(self.waiting.front().map(|held| self.sent_at(held))).min()
    }

    /// From now on this shape.
    ///
    /// - A cut drops what comes in from now on. What the line holds arrives as if nothing had happened.
    /// - Otherwise what waits for the bandwidth is sent at the new rate, the datagram being sent from its beginning; what no longer fits a smaller
    ///   queue is dropped, the youngest first. What flies keeps its time, unless a datagram sent now would be due earlier even with the longest
    ///   jitter: so after latency and jitter of the new shape nothing of the old one is on its way.
    ///
    /// # Errors
    /// If the shape is out of bounds; nothing has changed then.
    pub fn set_shape(&mut self, now: Duration, shape: &Shape) -> Result<(), ShapeError> {
        let rules = Rules::of(shape)?;
        self.advance(now);
        self.cut = shape.cut;
        // Naming the same shape again and again must not keep a datagram from being sent.
        if shape.cut || rules == self.rules {
            return Ok(());
        }
        self.rules = rules;
        self.free_at = self.now;
        while self.waiting_bytes > self.rules.queue
            && let Some(held) = self.waiting.pop_back()
        {
            self.waiting_bytes -= held.size;
            self.held_bytes -= held.size;
            self.counters.dropped += 1;
        }
        let latest = self.now + self.rules.latency + self.rules.jitter;
        for held in &mut self.flying {
            held.at = held.at.min(latest);
        }
        self.advance(now);
        Ok(())
    }

    /// What became of datagrams so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Datagrams on their way.
    #[must_use]
    pub fn held(&self) -> usize {
        self.waiting.len() + self.flying.len() + self.ready.len()
    }

    /// Bytes on their way, headers included; at most the capacity.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Of these, bytes that wait for the bandwidth or are being sent, as of the latest time handed in; at most the shape's queue.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    fn hold(&mut self, size: usize, item: T, draw: &mut Draw) {
        let (overtakes, jitter) = (draw.chance(self.rules.reorder), draw.unit());
        let queued = self.rules.seconds_per_byte > 0.0;
        if self.held_bytes + size > self.capacity || queued && self.waiting_bytes + size > self.rules.queue {
            self.counters.dropped += 1;
            return;
        }
        self.waiting.push_back(Held { size, at: self.now, jitter, overtakes, item });
        self.waiting_bytes += size;
        self.held_bytes += size;
        self.advance(self.now);
    }

    fn sent_at(&self, held: &Held<T>) -> Duration {
        held.at.max(self.free_at) + self.rules.transmission(held.size)
    }

    /// Catches up with the time: what happens earlier happens first, at the same time what came earlier.
    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        loop {
            let sent = self.waiting.front().map(|held| self.sent_at(held)).filter(|sent| *sent <= self.now);
            let until = sent.unwrap_or(self.now);
            if let Some(held) = self.flying.pop_front_if(|held| held.at <= until) {
                self.ready.push_back(held);
            } else if let Some(sent) = sent
                && let Some(held) = self.waiting.pop_front()
            {
                self.free_at = sent;
                self.waiting_bytes -= held.size;
                self.let_fly(held, sent);
            } else {
                return;
            }
        }
    }

    fn let_fly(&mut self, mut held: Held<T>, sent: Duration) {
        if held.overtakes {
            held.at = sent;
            held.overtakes = !self.flying.is_empty();
            self.ready.push_back(held);
        } else {
            let due = sent + self.rules.latency + self.rules.jitter.mul_f64(held.jitter);
            held.at = self.flying.back().map_or(due, |before| due.max(before.at));
            self.flying.push_back(held);
        }
    }
}

#[cfg(test)]
mod tests;
