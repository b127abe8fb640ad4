//! How fast it was, by the clients' journals.

use super::claims::Claims;
use super::verdict::{ClientsP99, Figures, Latency};
use super::{Case, JudgeError};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use varangian_crypto::ClientKey;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// Counts what was acknowledged while the load was on, and how long every acknowledged command took.
pub(super) fn count(case: &Case, claims: &Claims) -> Result<Figures, JudgeError> {
    let (from, to) = case.load;
    let mut latencies = Histogram::<u64>::new(DIGITS)?;
    let mut clients: BTreeMap<ClientKey, Histogram<u64>> = BTreeMap::new();
    let (mut commands, mut operations) = (0, 0);
    for (client, done_ms, claim) in claims.acknowledged_by() {
        let took = done_ms.saturating_sub(claim.sent_ms);
        latencies.saturating_record(took);
        let own = match clients.entry(client) {
            Entry::Occupied(own) => own.into_mut(),
            Entry::Vacant(none) => none.insert(Histogram::new(DIGITS)?),
        };
        own.saturating_record(took);
        if (from..=to).contains(&done_ms) {
            commands += 1;
            operations += claim.operations.len() as u64;
        }
    }
    let at = |quantile| latencies.value_at_quantile(quantile);
    let latency_ms = Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: latencies.max() };
    let mut each: Vec<u64> = clients.values().map(|own| own.value_at_quantile(0.99)).collect();
    each.sort_unstable();
    let clients_p99_ms = ClientsP99 {
        median: each.get(each.len() / 2).copied().unwrap_or_default(),
        worst: each.last().copied().unwrap_or_default(),
    };
    Ok(Figures { commands, operations, load_ms: to - from, latency_ms, clients_p99_ms })
}
