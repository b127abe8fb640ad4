//! How fast it was, by the clients' journals.

use super::claims::Claims;
use super::verdict::{Figures, Latency};
use super::{Case, JudgeError};
use hdrhistogram::Histogram;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// Counts what was acknowledged while the load was on, and how long every acknowledged command took.
pub(super) fn count(case: &Case, claims: &Claims) -> Result<Figures, JudgeError> {
    let (from, to) = case.load;
    let mut latencies = Histogram::<u64>::new(DIGITS)?;
    let (mut commands, mut operations) = (0, 0);
    for (done_ms, claim) in claims.acknowledged() {
        latencies.saturating_record(done_ms.saturating_sub(claim.sent_ms));
        if (from..=to).contains(&done_ms) {
            commands += 1;
            operations += claim.operations.len() as u64;
        }
    }
    let at = |quantile| latencies.value_at_quantile(quantile);
    let latency_ms = Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: latencies.max() };
    Ok(Figures { commands, operations, load_ms: to - from, latency_ms })
}
