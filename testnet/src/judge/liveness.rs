//! Whether clients were served all the time.

use super::Case;
use super::claims::{Claims, Fate};
use super::finding::{Finding, Findings};
use super::verdict::Liveness;
use std::time::Duration;

/// The longest time between acknowledgements to whatever client, from the load's begin to its end.
pub(super) fn judge(case: &Case, claims: &Claims) -> Liveness {
    let mut findings = Findings::default();
    let (from, to) = case.load;
    let mut acknowledged: Vec<_> =
        claims.acknowledged().map(|(done_ms, _)| done_ms).filter(|done_ms| (from..=to).contains(done_ms)).collect();
    acknowledged.sort_unstable();
    if acknowledged.is_empty() {
        findings.push(Finding::Silence);
    }
    let begins = std::iter::once(from).chain(acknowledged.iter().copied());
    let ends = acknowledged.iter().copied().chain([to]);
    let gaps = begins.zip(ends).map(|(begin, end)| (end - begin, begin));
    // Of equal ones, the first.
    let (worst, begin) = gaps.max_by_key(|(gap, begin)| (*gap, std::cmp::Reverse(*begin))).unwrap_or_default();
    let (gap, bound) = (Duration::from_millis(worst), case.max_gap);
    if gap > bound {
        findings.push(Finding::Gap { gap, from_ms: begin, to_ms: begin + worst, bound });
    }
    let unresolved: Vec<_> = claims.iter().filter(|(_, claim)| claim.fate == Fate::Unknown).collect();
    if !case.allow_unresolved {
        unresolved.iter().for_each(|(identity, _)| findings.push(Finding::Unresolved(**identity)));
    }
    Liveness {
        worst_gap_ms: worst,
        worst_gap_from_ms: begin,
        bound_ms: u64::try_from(bound.as_millis()).unwrap_or(u64::MAX),
        unresolved: unresolved.len() as u64,
        findings,
    }
}
