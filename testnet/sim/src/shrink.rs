//! Delta-debugging of a failing run: which of its decisions are needed for it to fail?

use crate::checks::{Invariant, Violation};
use crate::world::{Outcome, Plan, Run, run};
use std::collections::BTreeSet;

/// A failing run with as few decisions as were found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Numbers of the decisions that are not needed.
    pub dropped: BTreeSet<usize>,
    /// How many were there.
    pub decisions: usize,
    /// What the shrunk run violates.
    pub violation: Violation,
    /// Runs that it took.
    pub runs: usize,
}

/// Drops decisions of `plan`, large parts first, as long as the run still violates `invariant`. At most `budget` runs.
///
/// `None` if the plan does not fail.
#[must_use]
pub fn shrink(plan: &Plan, how: Run, invariant: Invariant, budget: usize) -> Option<Shrunk> {
    let how = Run { trace: false, ..how };
    let choices = plan.choices();
    // A decision that says nothing is no decision.
    let empty: BTreeSet<_> = (0..choices.len()).filter(|at| plan.describe(choices[*at]).is_none()).collect();
    let fails = |dropped: &BTreeSet<usize>| -> Option<Violation> {
        let Outcome { violation, .. } = run(&plan.without(dropped), how);
        violation.filter(|violation| violation.invariant == invariant)
    };
    let mut violation = fails(&empty)?;
    let mut dropped = empty;
    let mut left: Vec<usize> = (0..choices.len()).filter(|at| !dropped.contains(at)).collect();
    let decisions = left.len();
    let (mut runs, mut part) = (1, left.len().div_ceil(2));
    while part > 0 {
        let mut place = 0;
        let mut shrank = false;
        while place < left.len() && runs < budget {
            let some = &left[place..(place + part).min(left.len())];
            let mut more = dropped.clone();
            more.extend(some);
            runs += 1;
            if let Some(found) = fails(&more) {
                violation = found;
                left.retain(|at| !more.contains(at));
                dropped = more;
                shrank = true;
            } else {
                place += part;
            }
        }
        if runs >= budget || (part == 1 && !shrank) {
            break;
        }
        part = if part == 1 { 1 } else { part.div_ceil(2).min(part - 1) };
    }
    Some(Shrunk { dropped, decisions, violation, runs })
}

/// `3,7-12` for numbers.
#[must_use]
pub fn ranges(numbers: &BTreeSet<usize>) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let texts =
        parts.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    texts.collect::<Vec<_>>().join(",")
}

/// Numbers from `3,7-12`.
///
/// # Errors
/// What is not a number or range.
pub fn parse_ranges(text: &str) -> Result<BTreeSet<usize>, String> {
    let mut numbers = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            text.trim().parse::<usize>().map_err(|_| format!("{part:?} is no number or range; write 3,7-12"))
        };
        numbers.extend(number(first)?..=number(last)?);
    }
    Ok(numbers)
}
