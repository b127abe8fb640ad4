//! Whether clients were served all the time.

use super::Case;
use super::claims::{Claims, Fate};
use super::finding::{Finding, Findings};
use super::verdict::Liveness;
use std::time::Duration;

/// Something that was done to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A replica or links were taken.
    Taken,
    /// What was taken is there again.
    GivenBack,
}

/// The longest time between acknowledgements to whatever client, from the load's begin to its end.
pub(super) fn judge(case: &Case, claims: &Claims) -> Liveness {
    let mut findings = Findings::default();
    let (from, to) = case.load;
    let mut all: Vec<_> = claims.acknowledged().map(|(done_ms, _)| done_ms).collect();
    all.sort_unstable();
    let acknowledged: Vec<_> = all.iter().copied().filter(|done_ms| (from..=to).contains(done_ms)).collect();
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
    let recoveries = recoveries(case, &all);
    if let Some(bound) = case.recovers_within {
        for (took, from_ms) in &recoveries {
            let took = Duration::from_millis(*took);
            if took > bound {
                findings.push(Finding::Recovery { took, from_ms: *from_ms, bound });
            }
        }
    }
    let unresolved: Vec<_> = claims.iter().filter(|(_, claim)| claim.fate == Fate::Unknown).collect();
    if !case.allow_unresolved {
        unresolved.iter().for_each(|(identity, _)| findings.push(Finding::Unresolved(**identity)));
    }
    Liveness {
        worst_gap_ms: worst,
        worst_gap_from_ms: begin,
        bound_ms: millis(bound),
        worst_recovery_ms: recoveries.into_iter().map(|(took, _)| took).max(),
        recovery_bound_ms: case.recovers_within.map(millis),
        unresolved: unresolved.len() as u64,
        findings,
    }
}

/// From each moment at which something was given back, to the next acknowledgement: how long, and since when. If something else is taken before there
/// is one, it took longer than until then. If more is given back before that, only from there can it be expected.
fn recoveries(case: &Case, acknowledged: &[u64]) -> Vec<(u64, u64)> {
    let (_, end) = case.load;
    let after = |at: u64| acknowledged.get(acknowledged.partition_point(|done_ms| *done_ms < at)).copied();
    let nexts = case.turns.iter().skip(1).map(Some).chain([None]);
    let recovery = |((at, turn), next): (&(u64, Turn), Option<&(u64, Turn)>)| {
        if *turn == Turn::Taken {
            return None;
        }
        let until = match (after(*at), next) {
            (Some(done_ms), Some((next, _))) if done_ms < *next => done_ms,
            (_, Some((next, Turn::Taken))) => *next,
            (_, Some((_, Turn::GivenBack))) => return None,
            (Some(done_ms), None) => done_ms,
            (None, None) => end,
        };
        Some((until.saturating_sub(*at), *at))
    };
    case.turns.iter().zip(nexts).filter_map(recovery).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
