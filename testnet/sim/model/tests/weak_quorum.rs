//! A broken quorum is found in seconds: `cargo test --release -p varangian-model --features seeded-bugs`, which is a build by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "seeded-bugs")]

use std::time::Duration;
use varangian_model::scenario::{EQUIVOCATING_PRIMARY, EQUIVOCATING_PRIMARY_VIEW_CHANGE, SILENT_PRIMARY};
use varangian_model::{Limits, Scenario, Verdict, search};

#[track_caller]
fn forks(scenario: Scenario) {
    varangian_crypto::seeded::seed(Some(varangian_crypto::seeded::Bug::WeakQuorum));
    let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
    let report = search(scenario, limits);
    println!("{}", report.text());
    assert_eq!(report.verdict, Verdict::Violated);
    assert!(report.violations.iter().any(|(what, actions)| what.starts_with("agreement") && !actions.is_empty()));
}

#[test]
fn with_an_equivocating_primary() {
    forks(EQUIVOCATING_PRIMARY);
}

#[test]
fn with_a_silent_primary() {
    forks(SILENT_PRIMARY);
}

#[test]
fn with_an_equivocating_primary_and_a_view_change() {
    forks(EQUIVOCATING_PRIMARY_VIEW_CHANGE);
}
