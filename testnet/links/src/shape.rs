//! One directed link, as data.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest latency and longest jitter, in milliseconds.
pub const MAX_DELAY_MS: f64 = 60_000.0;

const DELAY_MS: RangeInclusive<f64> = 0.0..=MAX_DELAY_MS;
const PROBABILITY: RangeInclusive<f64> = 0.0..=1.0;
const BANDWIDTH_MBIT: RangeInclusive<f64> = 0.001..=100_000.0;
/// The smallest holds one datagram of any size.
const QUEUE_KIB: RangeInclusive<f64> = 64.0..=65_536.0;

/// What a directed link does to datagrams. The default is a perfect link: all at once, all of them, in order.
///
/// ```toml
/// latency_ms = 40
/// jitter_ms = 5
/// loss = 0.01
/// bandwidth_mbit = 100
/// queue_kib = 256
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// Shortest way, in milliseconds; at most 60,000.
    pub latency_ms: f64,
    /// Longest delay beyond the latency, in milliseconds; at most 60,000. Each datagram's is drawn evenly between zero and this, and then it waits for
    /// the one ahead of it: under dense traffic the delay is nearer to `latency_ms + jitter_ms` than to the middle.
    pub jitter_ms: f64,
    /// Probability that a datagram is lost, each for itself.
    pub loss: f64,
    /// Probability that a datagram is followed by a copy of itself.
    pub duplicate: f64,
    /// Probability that a datagram skips latency and jitter, and so overtakes all that are on their way. It still waits for the bandwidth.
    pub reorder: f64,
    /// Millions of bits per second, headers included ([`HEADER`](crate::line::HEADER)), 0.001 to 100,000; without it a datagram takes no time to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_mbit: Option<f64>,
    /// What may wait for the bandwidth, in KiB, headers and the datagram being sent included; 64 to 65,536. What finds no room is dropped.
    pub queue_kib: u32,
    /// Nothing passes.
    pub cut: bool,
}

/// A field outside of its bounds.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{field} = {value} of a link is out of bounds: choose {} to {}", bounds.start(), bounds.end())]
pub struct ShapeError {
    /// The field's name.
    pub field: &'static str,
    /// What it was.
    pub value: f64,
    /// What it may be.
    pub bounds: RangeInclusive<f64>,
}

impl Shape {
    /// The default.
    pub const PERFECT: Self = Self {
        latency_ms: 0.0,
        jitter_ms: 0.0,
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        bandwidth_mbit: None,
        queue_kib: 256,
        cut: false,
    };

    /// Nothing passes.
    pub const CUT: Self = Self { cut: true, ..Self::PERFECT };

    /// Whether each field is within its bounds.
    ///
    /// # Errors
    /// The first field that is not.
    pub fn check(&self) -> Result<(), ShapeError> {
        let fields = [
            ("latency_ms", self.latency_ms, DELAY_MS),
            ("jitter_ms", self.jitter_ms, DELAY_MS),
            ("loss", self.loss, PROBABILITY),
            ("duplicate", self.duplicate, PROBABILITY),
            ("reorder", self.reorder, PROBABILITY),
            ("bandwidth_mbit", self.bandwidth_mbit.unwrap_or(*BANDWIDTH_MBIT.start()), BANDWIDTH_MBIT),
            ("queue_kib", f64::from(self.queue_kib), QUEUE_KIB),
        ];
        fields.into_iter().try_for_each(|(field, value, bounds)| within(field, value, bounds))
    }
}

/// A number that is not one is within nothing.
pub(crate) fn within(field: &'static str, value: f64, bounds: RangeInclusive<f64>) -> Result<(), ShapeError> {
    if bounds.contains(&value) { Ok(()) } else { Err(ShapeError { field, value, bounds }) }
}

impl Default for Shape {
    fn default() -> Self {
        Self::PERFECT
    }
}

#[cfg(test)]
mod tests;
