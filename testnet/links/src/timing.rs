//! The timing models by name, as shapes that change over time.
//!
//! | model | what holds |
//! |-|-|
//! | synchronous | every datagram arrives within a bound that is known from the start |
//! | partially synchronous | there is such a bound, from a time on that nobody knows (Dwork, Lynch, Stockmeyer 1988: the stabilisation time) |
//! | asynchronous | no bound ever holds; a datagram that is sent again and again still arrives |
//!
//! Where no bound holds, each directed link lives in slices of [`SLICE`] bounds, at its own moments, and each slice is of one of [`MOODS`]: timely, slow, lossy, cut.
//! A link is never in one mood for ever, which makes it a fair-lossy one: what keeps being sent gets through. A run is finite, so the slowest delay is finite too.
//! What is under way when a slice ends arrives no later than if it were sent then, see [`Line::set_shape`](crate::Line::set_shape): so everything sent before the
//! stabilisation time arrives within the bound after it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::shape::{MAX_DELAY_MS, Shape, ShapeError, within};

/// How long a link stays as it is while no bound holds, and how long a slow link delays at most, both in bounds.
pub const SLICE: f64 = 20.0;

const BOUND_MS: RangeInclusive<f64> = 1.0..=MAX_DELAY_MS;
const STABILISES_MS: RangeInclusive<f64> = 0.0..=86_400_000.0;

/// What a link may be like while no bound holds, and in how many of twenty slices it is.
pub const MOODS: [(Mood, u64); 4] = [(Mood::Timely, 8), (Mood::Slow, 6), (Mood::Lossy, 4), (Mood::Cut, 2)];

/// What a link is like for a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As if the bound held.
    Timely,
    /// A longest delay between one bound and [`SLICE`] bounds, short ones more often.
    Slow,
    /// Loss of 10 to 60 %, some copies, some datagrams out of order.
    Lossy,
    /// Nothing passes.
    Cut,
}

/// A timing model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// A known bound, always.
    Synchronous,
    /// A bound from some time on.
    PartiallySynchronous,
    /// Never a bound.
    Asynchronous,
}

impl Model {
    /// All, in the order of what they promise.
    pub const ALL: [Self; 3] = [Self::Synchronous, Self::PartiallySynchronous, Self::Asynchronous];

    /// Its name, as in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::PartiallySynchronous => "partially-synchronous",
            Self::Asynchronous => "asynchronous",
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Model {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || format!("unknown timing model {name}: choose one of {}", Self::ALL.map(Self::name).join(", "));
        Self::ALL.into_iter().find(|model| model.name() == name).ok_or_else(unknown)
    }
}

/// The shape of each directed link at each time, decided by a seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What holds.
    pub model: Model,
    /// While the bound holds, each datagram arrives within so many milliseconds; 1 to 60,000.
    #[serde(default = "Schedule::default_bound_ms")]
    pub bound_ms: f64,
    /// When the bound begins to hold, in milliseconds from the start, up to a day. Only the partially synchronous model looks at it.
    #[serde(default = "Schedule::default_stabilises_ms")]
    pub stabilises_ms: f64,
    /// Decides the rest.
    #[serde(default)]
    pub seed: u64,
}

impl Schedule {
    /// When a bound begins to hold that did not hold before.
    #[must_use]
    pub fn stabilises(&self) -> Option<Duration> {
        let late = self.model == Model::PartiallySynchronous;
        late.then(|| Duration::from_secs_f64(self.stabilises_ms / 1000.0))
    }

    /// A model with a bound of 50 ms that begins to hold after 20 s, where it does not hold always or never.
    #[must_use]
    pub const fn new(model: Model, seed: u64) -> Self {
        Self { model, bound_ms: Self::default_bound_ms(), stabilises_ms: Self::default_stabilises_ms(), seed }
    }

    const fn default_bound_ms() -> f64 {
        50.0
    }

    const fn default_stabilises_ms() -> f64 {
        20_000.0
    }

    /// Whether each field is within its bounds.
    ///
    /// # Errors
    /// The first field that is not.
    pub fn check(&self) -> Result<(), ShapeError> {
        within("bound_ms", self.bound_ms, BOUND_MS)?;
        within("stabilises_ms", self.stabilises_ms, STABILISES_MS)
    }

    /// When the bound begins to hold, if ever. For a schedule that has been checked.
    #[must_use]
    pub fn stable_from(&self) -> Option<Duration> {
        match self.model {
            Model::Synchronous => Some(Duration::ZERO),
            Model::PartiallySynchronous => Some(milliseconds(self.stabilises_ms)),
            Model::Asynchronous => None,
        }
    }

    /// The directed link between two replicas, by their indices, so long after the start. For a schedule that has been checked the shape is within its bounds.
    #[must_use]
    pub fn shape(&self, from: usize, to: usize, elapsed: Duration) -> Shape {
        if self.stable_from().is_some_and(|stable| elapsed >= stable) {
            return self.timely();
        }
        let slice = (elapsed + self.lead(from, to)).as_nanos() / self.slice().as_nanos();
        let mut draw = self.draw(from, to, 1 + slice as u64);
        match mood(&mut draw) {
            Mood::Timely => self.timely(),
            Mood::Slow => {
                // Evenly in the exponent: twice as long is as likely again.
                let longest = (self.bound_ms * SLICE.powf(draw.unit())).min(MAX_DELAY_MS);
                Shape { latency_ms: longest / 2.0, jitter_ms: longest / 2.0, ..Shape::PERFECT }
            }
            Mood::Lossy => Shape { loss: draw.between(0.1, 0.6), duplicate: 0.02, reorder: 0.1, ..self.timely() },
            Mood::Cut => Shape { cut: true, ..self.timely() },
        }
    }

    /// The next time after `elapsed` at which that link's shape may change; `None` if it stays as it is.
    #[must_use]
    pub fn next_change(&self, from: usize, to: usize, elapsed: Duration) -> Option<Duration> {
        let stable = self.stable_from();
        if stable.is_some_and(|stable| elapsed >= stable) {
            return None;
        }
        let into = (elapsed + self.lead(from, to)).as_nanos() % self.slice().as_nanos();
        let slice_ends = elapsed + self.slice() - Duration::from_nanos(into as u64);
        Some(stable.map_or(slice_ends, |stable| stable.min(slice_ends)))
    }

    /// Half of the bound is the latency, the other half the jitter.
    fn timely(&self) -> Shape {
        Shape { latency_ms: self.bound_ms / 2.0, jitter_ms: self.bound_ms / 2.0, ..Shape::PERFECT }
    }

    fn slice(&self) -> Duration {
        milliseconds(self.bound_ms * SLICE).max(Duration::from_millis(1))
    }

    /// How far into its first slice a link begins, so that links change at different times.
    fn lead(&self, from: usize, to: usize) -> Duration {
        self.slice().mul_f64(self.draw(from, to, 0).unit())
    }

    fn draw(&self, from: usize, to: usize, what: u64) -> Draw {
        Draw::of(&[self.seed, from as u64, to as u64, what])
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

fn mood(draw: &mut Draw) -> Mood {
    let all: u64 = MOODS.iter().map(|(_, weight)| weight).sum();
    let mut left = draw.next() % all;
    for (mood, weight) in MOODS {
        if left < weight {
            return mood;
        }
        left -= weight;
    }
    Mood::Timely
}

#[cfg(test)]
mod tests;
