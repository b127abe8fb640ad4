//! Whole runs: a seed decides everything, a fixed set of seeds holds, what fails is caught, shrunk and repeated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use varangian_consensus::Config;
use varangian_crypto::Quorums;
use varangian_sim::adversary::ATTACKS;
use varangian_sim::campaign::Campaign;
use varangian_sim::scoreboard::plans;
use varangian_sim::shrink::{parse_ranges, ranges, shrink};
use varangian_sim::world::plan::How;
use varangian_sim::world::{Outcome, Plan, Probe, Run, run};
use varangian_sim::{Invariant, Violation};

/// Seeds of the fixed set: a debug build is slow.
const SEEDS: u64 = if cfg!(debug_assertions) { 24 } else { 150 };

fn outcome(seed: u64) -> Outcome {
    run(&Plan::draw(seed), Run::default())
}

fn with(configure: fn(Config) -> Config) -> Run {
    Run { configure, ..Run::default() }
}

#[test]
fn a_fixed_set_of_seeds_holds() {
    let mut campaign = Campaign::default();
    for seed in 0..SEEDS {
        campaign.add(seed, &outcome(seed));
    }
    assert_eq!(campaign.violations, [], "repeat one by `varangian-sim --seed S --trace`");
    assert_eq!(campaign.hashes.len() as u64, campaign.seeds, "two seeds ran alike");
    // What even a short campaign meets.
    for probe in [Probe::ViewEntered, Probe::CaughtUpByCertificate, Probe::CommitLost, Probe::ClientRetried] {
        assert!(campaign.probes.of(probe) > 0, "never: {}", probe.text());
    }
    assert!(campaign.acknowledged > SEEDS && campaign.crashes > SEEDS);
}

/// r1 alone has executed what the others need, and is none of those whose COMMITs prove it.
#[test]
fn who_has_it_is_asked_though_he_did_not_sign() {
    for name in ["silent", "pre-empt"] {
        let kind = ATTACKS.iter().find(|kind| kind.name == name).unwrap();
        let (plan, _) = plans(80, kind).unwrap();
        assert_eq!(run(&plan, Run::default()).violation, None, "{name}");
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    // 0 is a seed of real signatures, 7 a calm one.
    for seed in [0, 1, 2, 3, 7, 12] {
        let (first, second) = (outcome(seed), outcome(seed));
        let of = |outcome: &Outcome| (outcome.hash, outcome.steps, outcome.time, outcome.slots, outcome.probes.clone());
        assert_eq!(of(&first), of(&second), "seed {seed}");
    }
}

/// Replicas that give clients wrong replies, and clients that keep to `f + 1`: nothing comes of it. Clients that believe `f` are seen to be deceived.
#[test]
fn a_client_that_believes_f_replies_is_deceived_and_that_is_seen() {
    let wrong = How::Attack("wrong-replies".parse().unwrap());
    let mut deceived = 0;
    for seed in 0..16 {
        let mut plan = Plan::draw(seed);
        plan.adversaries.retain(|evil| !matches!(evil.how, How::Twins { .. }));
        plan.adversaries.iter_mut().for_each(|evil| evil.how = wrong);
        if plan.adversaries.is_empty() {
            continue;
        }
        assert_eq!(run(&plan, Run::default()).violation, None, "seed {seed}");
        let credulous = Run { believes: Quorums::f, ..Run::default() };
        if let Some(violation) = run(&plan, credulous).violation {
            assert_eq!(violation.invariant, Invariant::Linearizable, "seed {seed}: {violation}");
            deceived += 1;
        }
    }
    assert!(deceived >= 3, "{deceived}");
}

#[test]
fn telling_a_run_does_not_change_it() {
    for seed in [1, 4] {
        let told = run(&Plan::draw(seed), Run { trace: true, ..Run::default() });
        assert_eq!(told.hash, outcome(seed).hash);
        assert!(told.trace.iter().any(|line| line.contains("HEALTHY")), "{:?}", told.trace.first());
        assert!(outcome(seed).trace.is_empty());
    }
}

#[test]
fn a_plan_without_a_decision_is_another_run_and_can_be_repeated() {
    let plan = Plan::draw(5);
    let fault = plan.adversaries.len();
    assert!(!plan.faults.is_empty());
    let dropped = BTreeSet::from([fault]);
    let less = plan.without(&dropped);
    assert_eq!(less.faults, plan.faults[1..]);
    assert_eq!(less.commands, plan.commands);
    let hash = run(&less, Run::default()).hash;
    assert_eq!(hash, run(&Plan::draw(5).without(&dropped), Run::default()).hash);
    assert_ne!(hash, outcome(5).hash);
}

#[test]
fn every_decision_can_be_left_out() {
    for seed in [3, 9, 11] {
        let plan = Plan::draw(seed);
        let bare = plan.without(&(0..plan.choices().len()).collect());
        assert!(bare.adversaries.is_empty() && bare.faults.is_empty() && bare.commands.is_empty());
        assert!(bare.choices().into_iter().all(|choice| bare.describe(choice).is_none()));
        assert_eq!(run(&bare, Run::default()).violation, None);
    }
}

#[test]
fn numbers_of_decisions_are_written_and_read() {
    let numbers = BTreeSet::from([3, 7, 8, 9, 12]);
    assert_eq!(ranges(&numbers), "3,7-9,12");
    assert_eq!(parse_ranges("3,7-9,12"), Ok(numbers));
    assert_eq!(parse_ranges(""), Ok(BTreeSet::new()));
    assert!(parse_ranges("3,x").is_err());
}

/// Replicas that agree among themselves on something that is not the protocol: only a checker outside of them can tell.
#[test]
fn a_planted_bug_is_caught_shrunk_and_repeated() {
    // Every replica remembers one sequence of a client only: the second of two that overtook each other is called too old.
    let forgetful = with(|config| Config { client_window: 1, ..config });
    let (seed, violation) = (0..200)
        .filter_map(|seed| run(&Plan::draw(seed), forgetful).violation.map(|violation| (seed, violation)))
        .find(|(_, violation)| violation.invariant == Invariant::ExactlyOnce)
        .expect("200 seeds do not notice");
    let plan = Plan::draw(seed);
    let shrunk = shrink(&plan, forgetful, violation.invariant, 300).expect("it failed just now");
    let story = Plan::story(&plan, &shrunk.dropped);
    assert!(story.len() < shrunk.decisions && story.len() <= 8, "{story:#?}");
    assert!(!story.is_empty(), "two commands at least are needed");
    // The command that a failing run prints repeats it.
    let dropped = parse_ranges(&ranges(&shrunk.dropped)).unwrap();
    let again = run(&Plan::draw(seed).without(&dropped), forgetful).violation.expect("it fails again");
    assert_eq!(again, shrunk.violation);
    // And each of what is left is needed.
    let left = (0..plan.choices().len()).filter(|at| !dropped.contains(at));
    for one in left {
        let mut fewer = dropped.clone();
        fewer.insert(one);
        let found = run(&plan.without(&fewer), forgetful).violation.map(|violation| violation.invariant);
        assert_ne!(found, Some(Invariant::ExactlyOnce), "decision {one} is not needed");
    }
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    assert!(shrink(&Plan::draw(1), Run::default(), Invariant::Answered, 10).is_none());
}

fn caught(seeds: std::ops::Range<u64>, configure: fn(Config) -> Config) -> Option<Violation> {
    seeds.into_iter().find_map(|seed| run(&Plan::draw(seed), with(configure)).violation)
}

#[test]
fn a_panic_of_a_replica_is_a_violation() {
    let violation = caught(1..2, |_| panic!("planted")).unwrap();
    assert_eq!((violation.invariant, violation.text.as_str()), (Invariant::NoPanic, "planted"));
}

#[test]
fn replicas_that_are_not_answered_in_time_are_noticed() {
    // Nobody ever gives a view up: the seeds with a dead or silent primary hang.
    let violation = caught(0..60, |config| Config { base_timeout: 1 << 40, max_timeout: 1 << 40, ..config }).unwrap();
    assert_eq!(violation.invariant, Invariant::Answered, "{violation}");
}

#[test]
fn a_view_change_in_calm_is_noticed() {
    // 7 is a calm seed.
    let violation = caught(7..8, |config| Config { base_timeout: 10, ..config }).unwrap();
    assert_eq!(violation.invariant, Invariant::Calm, "{violation}");
}

#[test]
fn replicas_without_checkpoints_are_noticed() {
    let violation = caught(1..20, |config| Config { interval: config.interval * 1000, ..config }).unwrap();
    assert!([Invariant::Answered, Invariant::Drained].contains(&violation.invariant), "{violation}");
}
