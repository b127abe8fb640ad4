//! Many seeds: what they came to together.

use crate::checks::Violation;
use crate::world::{Outcome, Probe, Probes};
use std::collections::BTreeSet;

/// Seeds from which on a campaign must have met every probe.
pub const SEEDS_FOR_PROBES: u64 = 1000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// Runs.
    pub seeds: u64,
    /// Inputs of cores.
    pub steps: u64,
    /// Simulated time, in millionths of a second.
    pub time: u64,
    /// Commands that clients hold to be done.
    pub acknowledged: u64,
    /// Slots agreed on.
    pub slots: u64,
    /// Highest views, added up.
    pub views: u64,
    /// Crashes.
    pub crashes: u64,
    /// Rare states.
    pub probes: Probes,
    /// Event hashes: as many as runs, if no two were the same.
    pub hashes: BTreeSet<u64>,
    /// What did not hold, by seed.
    pub violations: Vec<(u64, Violation)>,
}

impl Campaign {
    /// One more run.
    pub fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.time += outcome.time;
        self.acknowledged += outcome.acknowledged;
        self.slots += outcome.slots;
        self.views += outcome.views;
        self.crashes += outcome.crashes;
        self.probes.add(&outcome.probes);
        self.hashes.insert(outcome.hash.0);
        if let Some(violation) = &outcome.violation {
            self.violations.push((seed, violation.clone()));
        }
    }

    /// Those of another thread on top.
    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.time += other.time;
        self.acknowledged += other.acknowledged;
        self.slots += other.slots;
        self.views += other.views;
        self.crashes += other.crashes;
        self.probes.add(&other.probes);
        self.hashes.extend(other.hashes);
        self.violations.extend(other.violations);
        self.violations.sort_by_key(|(seed, _)| *seed);
    }

    /// Rare states that the campaign should have met and did not.
    #[must_use]
    pub fn missed(&self) -> Vec<Probe> {
        if self.seeds < SEEDS_FOR_PROBES { Vec::new() } else { self.probes.missed().collect() }
    }

    /// Whether nothing was wrong.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.missed().is_empty()
    }
}
