//! The scenarios, as far as a test has time for them. `cargo run --release -p varangian-model` does the rest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(not(feature = "seeded-bugs"))]

use std::time::Duration;
use varangian_model::scenario::{
    EQUIVOCATING_PRIMARY, EQUIVOCATING_PRIMARY_BODIES, EQUIVOCATING_PRIMARY_VIEW_CHANGE, SILENT_PRIMARY,
};
use varangian_model::{Limits, Report, Scenario, Verdict, search, walk};

const LIMITS: Limits = Limits { time: Duration::from_secs(300), memory_mib: 4 << 10, threads: 2 };

#[track_caller]
fn exhaustive(scenario: Scenario) -> Report {
    let report = search(scenario, LIMITS);
    assert!(report.verdict == Verdict::Exhaustive && report.is_good(), "{}", report.text());
    report
}

#[test]
fn an_equivocating_primary_forks_nobody() {
    exhaustive(EQUIVOCATING_PRIMARY);
}

#[test]
fn nor_if_bodies_come_late_or_never() {
    exhaustive(EQUIVOCATING_PRIMARY_BODIES);
}

#[test]
fn a_silent_primary_is_replaced_without_loss() {
    exhaustive(SILENT_PRIMARY);
}

#[test]
fn an_equivocating_primary_forks_nobody_by_a_view_change_within_eight_actions() {
    let report = search(Scenario { depth: Some(8), ..EQUIVOCATING_PRIMARY_VIEW_CHANGE }, LIMITS);
    assert!(report.verdict == Verdict::ToDepth && report.depth == 8, "{}", report.text());
    assert!(report.reached.contains(&("view 1 begins", true)), "{}", report.text());
}

/// What is left out (votes that complete no quorum, messages that cannot matter, replicas that are done) would have shown nothing new.
#[test]
fn what_is_left_out_shows_nothing_new() {
    let honest = Scenario { proposals: 1, lies: false, ..EQUIVOCATING_PRIMARY };
    let (reduced, plain) = (exhaustive(honest), exhaustive(Scenario { plain: true, ..honest }));
    assert!(plain.unique > 10 * reduced.unique, "the plain search is no larger:\n{}{}", plain.text(), reduced.text());
    assert!(plain.visible == reduced.visible, "{}{}", plain.text(), reduced.text());
}

/// The same where views change and where primaries lie, on walks to the end of what can happen.
#[test]
fn nor_in_view_changes_and_beside_liars() {
    for scenario in [EQUIVOCATING_PRIMARY, EQUIVOCATING_PRIMARY_BODIES, SILENT_PRIMARY] {
        let reduced = exhaustive(scenario);
        let walked = walk(Scenario { plain: true, ..scenario }, 600);
        let missed = walked.difference(&reduced.visible).next();
        assert!(missed.is_none(), "{}: missed {missed:?}", scenario.name);
        assert!(walked.len() * 4 > reduced.visible.len(), "{}: the walks see little: {}", scenario.name, walked.len());
    }
}
