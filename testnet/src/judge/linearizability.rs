//! Whether some order explains what the clients were answered: asked of their journals alone.
//!
//! Neither the log nor a store is looked at, so an agreement on the wrong order, or a replay with the same mistake as the replicas, does
//! not pass. Linearizability is local (Herlihy, Wing 1990): each key's history is searched for itself, by the algorithm of Wing, Gong and
//! Lowe. The search is exponential in what overlaps, so it is bounded: long histories are cut into windows, of many windows a seed takes
//! some, and a window that takes too much effort stays undecided. What was looked at is said in the verdict.
//!
//! What it does not see: the order between keys. Keys that transactions touch are left out, and so is what scans answer.
//!
//! - `history`: what happened at each key, in windows that can be searched by themselves.
//! - `model`: what a key does, written down here a second time; and the search.
//! - `mutant`: histories that are wrong for sure. If the search takes one for right, it says nothing about the others either.

mod history;
mod model;
mod mutant;

use super::claims::Claims;
use super::finding::{Finding, Findings};
use super::verdict::Linearizability;
use history::{Histories, Window};
use model::Explained;
use mutant::{MUTATIONS, Mutation};
use varangian_consensus::Identity;
use varangian_crypto::sha256;

/// Effort that the search may take for one window. A right history takes little more than a step forward for each command, and tries those
/// that overlap.
const WINDOW_EFFORT: u64 = 400_000;
/// Effort for all windows: two or three seconds.
const EFFORT: u64 = 3_000_000;
/// Of a hundred operations, so many must have been searched to an end, or so many in all: less says next to nothing.
const LEAST_PERCENT: u64 = 1;
const ENOUGH: u64 = 1000;
/// Of so many operations that were searched, some must be of a kind that can be made wrong: what the search says is worth something only if it was seen to refuse.
const TELLING: u64 = 100;
/// Windows of which a mutation is tried, if the search comes to no end.
const MUTANTS: usize = 8;

/// Searches the histories of keys, as many as the bound allows, in an order that the seed decides.
pub(super) fn judge(claims: &Claims, seed: u64, findings: &mut Findings) -> Linearizability {
    let histories = Histories::new(claims);
    let mut said = Linearizability { of: histories.operations(), left_out: histories.left_out(), ..Default::default() };
    let mut windows: Vec<_> = histories.windows().collect();
    windows.sort_by_cached_key(|window| {
        sha256("varangian sample", &[&seed.to_le_bytes(), window.key, &(window.from as u64).to_le_bytes()])
    });
    let (mut explained, mut unexplained) = (Vec::new(), Vec::new());
    let mut left = EFFORT;
    for window in windows {
        if left == 0 {
            break;
        }
        match explain(&window, &mut left) {
            Explained::Undecided => {
                said.undecided += 1;
                continue;
            }
            Explained::Yes => explained.push(window.clone()),
            Explained::No => unexplained.push(window.clone()),
        }
        said.samples += 1;
        said.operations += window.fresh;
    }
    for window in unexplained {
        let command = unexplained_up_to(&window, &mut left);
        findings.push(Finding::NotLinearizable { key: window.key.to_vec(), command });
    }
    if said.operations < (said.of * LEAST_PERCENT).div_ceil(100).min(ENOUGH) {
        findings.push(Finding::Unsearched { searched: said.operations, operations: said.of });
    }
    refuse(&explained, &MUTATIONS, &mut said, findings);
    if said.unmutated.len() == MUTATIONS.len() && said.operations >= TELLING {
        findings.push(Finding::Untried { operations: said.operations });
    }
    said
}

/// One window, within its bounds and what is left of all.
fn explain(window: &Window<'_>, left: &mut u64) -> Explained {
    let mut effort = WINDOW_EFFORT.min(*left);
    *left -= effort;
    let explained = model::explain(window, &mut effort);
    *left += effort;
    explained
}

/// Up to which answer, in time, a history must be read for no order to explain it; its last one if that takes too long.
fn unexplained_up_to(window: &Window<'_>, left: &mut u64) -> Identity {
    let ends = window.ends();
    let place = ends.partition_point(|(done, _)| explain(&window.cut(done.saturating_add(1)), left) != Explained::No);
    // A history without any answer is always explained.
    ends[place.min(ends.len() - 1)].1
}

/// Makes explained histories wrong in each way, and wants one of each refused, unless none has anything that can be made wrong so.
fn refuse(
    explained: &[Window<'_>],
    mutations: &[(&'static str, Mutation)],
    said: &mut Linearizability,
    findings: &mut Findings,
) {
    let mut left = EFFORT;
    for &(what, mutate) in mutations {
        let mut undecided = 0;
        let decided = explained.iter().filter_map(mutate).take(MUTANTS).find_map(|mutant| {
            let explained = explain(&mutant.window(), &mut left);
            undecided += u64::from(explained == Explained::Undecided);
            (explained != Explained::Undecided).then_some((explained, mutant.key))
        });
        match decided {
            Some((Explained::No, _)) => said.refused += 1,
            Some((_, key)) => findings.push(Finding::Blind { what, key }),
            // Of the first ones by chance none may come to an end.
            None if undecided >= MUTANTS as u64 => findings.push(Finding::Unproven { what, tried: undecided }),
            None => said.unmutated.push(what),
        }
    }
}

#[cfg(test)]
mod tests;
