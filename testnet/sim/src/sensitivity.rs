//! Would a campaign see a bug? Each [`Bug`] on purpose is switched on in every replica, and seeds run until some invariant does not hold.
//!
//! The bug is switched on for the whole process, so this is for a program that does nothing else meanwhile.

use crate::checks::Invariant;
use crate::world::Outcome;
use std::collections::BTreeMap;
use varangian_crypto::seeded::{Bug, Path};

/// What one run under a bug came to.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// What did not hold.
    pub invariant: Option<Invariant>,
    /// Highest view.
    pub views: u64,
    /// Crashes.
    pub crashes: u64,
}

impl From<&Outcome> for Run {
    fn from(outcome: &Outcome) -> Self {
        let invariant = outcome.violation.as_ref().map(|violation| violation.invariant);
        Self { invariant, views: outcome.views, crashes: outcome.crashes }
    }
}

/// What a bug came to.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The bug.
    pub bug: Bug,
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds from one catch to the next, in order of size.
    pub gaps: Vec<u64>,
    /// By which invariants, and how often.
    pub invariants: BTreeMap<Invariant, u64>,
    /// Whether every run that caught it had gone through all that the bug says it needs.
    pub as_described: bool,
}

impl Finding {
    /// From runs in the order of their seeds; only the first `wanted` catches count, so that the answer does not depend on threads.
    #[must_use]
    pub fn new(bug: Bug, runs: &[Run], wanted: usize) -> Self {
        let mut finding = Self { bug, seeds: 0, gaps: Vec::new(), invariants: BTreeMap::new(), as_described: true };
        let mut gap = 0;
        for run in runs {
            finding.seeds += 1;
            gap += 1;
            let Some(invariant) = run.invariant else { continue };
            finding.gaps.push(std::mem::take(&mut gap));
            *finding.invariants.entry(invariant).or_default() += 1;
            finding.as_described &= bug.paths().iter().all(|path| match path {
                Path::Normal => true,
                Path::ViewChange => run.views > 0,
                Path::Restart => run.crashes > 0,
            });
            if finding.gaps.len() >= wanted {
                break;
            }
        }
        finding.gaps.sort_unstable();
        finding
    }

    /// Whether any run caught it.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// Seeds that it takes to catch it, in the median; `None` if it was never caught.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        self.gaps.get(self.gaps.len() / 2).copied()
    }

    /// The invariants that caught it, the most frequent first.
    #[must_use]
    pub fn by(&self) -> Vec<Invariant> {
        let mut by: Vec<_> = self.invariants.iter().map(|(invariant, count)| (*count, *invariant)).collect();
        by.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        by.into_iter().map(|(_, invariant)| invariant).collect()
    }
}
