//! What came of a load.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::{Load, LoadError};

/// Longest latency that is told from longer ones, in microseconds: ten minutes.
const LONGEST_US: u64 = 600_000_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// How a load goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Since the load began.
    pub elapsed: Duration,
    /// Whether the warm-up is over and the load has not ended.
    pub measuring: bool,
    /// Commands sent.
    pub sent: u64,
    /// Commands acknowledged.
    pub commands: u64,
    /// Operations in them.
    pub operations: u64,
    /// Commands rejected.
    pub rejected: u64,
    /// Since the last acknowledgement, or since the load began.
    pub silence: Duration,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Report {
    /// When the load began: what journals call zero.
    pub began: Instant,
    /// Commands sent.
    pub sent: u64,
    /// Commands acknowledged, also after the load's end.
    pub commands: u64,
    /// Operations in them.
    pub operations: u64,
    /// Commands rejected.
    pub rejected: u64,
    /// Commands of which it is not known whether they ran.
    pub unresolved: u64,
    /// Open loop: commands that were due and never sent, because the load ended before the network had answered enough others. Their latencies are
    /// missing: above zero, the rate was more than the network takes.
    pub behind: u64,
    /// From the load's start to its end, without what was resolved after it.
    pub elapsed: Duration,
    /// Operations acknowledged in that time.
    pub operations_in_time: u64,
    /// Latencies of acknowledged commands in microseconds, from when they were first sent or, in an open loop, due; without those of the warm-up.
    pub latencies: Histogram<u64>,
    /// Operations acknowledged in each second since the load began.
    pub timeline: Vec<u64>,
    /// Longest time without an acknowledgement, between the load's start and its end.
    pub worst_gap: Duration,
    /// When that began, since the load began.
    pub worst_gap_at: Duration,
}

impl Report {
    /// Operations acknowledged per second while the load was on, its warm-up included.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn operations_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.operations_in_time as f64 / seconds } else { 0.0 }
    }

    /// The latency that so many of a hundred acknowledged commands did not exceed; zero if there is none.
    #[must_use]
    pub fn latency(&self, percent: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_percentile(percent))
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Committed,
    Rejected,
    Unresolved,
}

/// Takes down what the clients do.
pub(super) struct Recorder {
    began: Instant,
    warmup: Duration,
    tally: Mutex<Tally>,
}

struct Tally {
    report: Report,
    last: Instant,
    end: Option<Instant>,
}

impl Recorder {
    /// The load begins now.
    pub(super) fn new(load: &Load) -> Result<Self, LoadError> {
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
            .map_err(|error| LoadError::Setting(format!("no histogram: {error}")))?;
        let began = Instant::now();
        let report = Report {
            began,
            sent: 0,
            commands: 0,
            operations: 0,
            rejected: 0,
            unresolved: 0,
            behind: 0,
            elapsed: Duration::ZERO,
            operations_in_time: 0,
            latencies,
            timeline: Vec::new(),
            worst_gap: Duration::ZERO,
            worst_gap_at: Duration::ZERO,
        };
        let tally = Mutex::new(Tally { report, last: began, end: None });
        Ok(Self { began, warmup: load.warmup, tally })
    }

    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// Milliseconds since the load began, rounded down.
    pub(super) fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.ms(Instant::now())
    }

    /// A command is sent for the first time.
    pub(super) fn sent(&self) {
        self.tally().report.sent += 1;
    }

    /// A command is not sent any more. Counts it if it was due, and says whether it was.
    pub(super) fn left(&self, due: Instant) -> bool {
        let mut tally = self.tally();
        let was_due = due < tally.end.unwrap_or_else(Instant::now);
        tally.report.behind += u64::from(was_due);
        was_due
    }

    pub(super) fn done(&self, ending: Ending, operations: u64, due: Instant, at: Instant) {
        let mut tally = self.tally();
        match ending {
            Ending::Rejected => tally.report.rejected += 1,
            Ending::Unresolved => tally.report.unresolved += 1,
            Ending::Committed => {
                let measured = due.saturating_duration_since(self.began) >= self.warmup;
                tally.committed(self.began, operations, measured.then(|| at.saturating_duration_since(due)), at);
            }
        }
    }

    /// The load ends now; what is acknowledged later was late. Only the first call counts.
    pub(super) fn end(&self) {
        self.end_at(Instant::now());
    }

    fn end_at(&self, at: Instant) {
        let mut tally = self.tally();
        if tally.end.is_none() {
            let at = at.max(tally.last);
            tally.gap(self.began, at);
            tally.end = Some(at);
            tally.report.elapsed = at.saturating_duration_since(self.began);
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let tally = self.tally();
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.began);
        let Report { sent, commands, operations, rejected, .. } = tally.report;
        Progress {
            elapsed,
            measuring: elapsed >= self.warmup && tally.end.is_none(),
            sent,
            commands,
            operations,
            rejected,
            silence: now.saturating_duration_since(tally.last),
        }
    }

    pub(super) fn report(&self) -> Report {
        self.tally().report.clone()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn committed(&mut self, began: Instant, operations: u64, latency: Option<Duration>, at: Instant) {
        self.report.commands += 1;
        self.report.operations += operations;
        let second = usize::try_from(at.saturating_duration_since(began).as_secs()).unwrap_or(usize::MAX);
        if self.report.timeline.len() <= second {
            self.report.timeline.resize(second + 1, 0);
        }
        self.report.timeline[second] += operations;
        if let Some(latency) = latency {
            let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            self.report.latencies.saturating_record(us.max(1));
        }
        if self.end.is_none() {
            self.report.operations_in_time += operations;
            self.gap(began, at);
        }
    }

    /// Acknowledgements are taken down by several threads: one may come with a moment that lies before the last.
    fn gap(&mut self, began: Instant, at: Instant) {
        let gap = at.saturating_duration_since(self.last);
        if gap > self.report.worst_gap {
            self.report.worst_gap = gap;
            self.report.worst_gap_at = self.last.saturating_duration_since(began);
        }
        self.last = self.last.max(at);
    }
}

#[cfg(test)]
mod tests;
