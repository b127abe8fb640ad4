#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::verdict::simulate;
use super::*;
use crate::layout::NetworkDir;
use crate::report::Report;
use crate::scenario::play::play;
use crate::scenario::shipped;
use varangian_sim::world::{self, Run};

/// What no simulated disk has.
const NOT_SIMULATED: [&str; 6] = [
    "disk-without-sync",
    "disk-rotten-table",
    "disk-rotten-state",
    "disk-rolled-back",
    "disk-without-marks",
    "disk-wiped",
];

/// One of each kind; `scenario all --sim` plays them all.
const PLAYED: [&str; 21] = [
    "crash-of-the-primary",
    "power-loss-of-all",
    "partition",
    "one-way-cuts",
    "lossy-links",
    "three-regions",
    "disk-full",
    "disk-lost-votes",
    "asynchronous",
    "flapping-links",
    "fork-by-more-than-f",
    "fork-of-seven",
    "skewed-clocks",
    "twins",
    "attack-equivocate",
    "attack-fast-clock",
    "attack-slow-clock",
    "attack-wrong-replies",
    "attack-late-replies",
    "attack-no-replies",
    "two-lie-to-clients",
];

fn shipped(name: &str) -> Scenario {
    shipped::find(name).unwrap()
}

#[test]
fn every_shipped_one_is_simulated_or_refused_with_its_step() {
    for name in shipped::names() {
        let scenario = shipped(&name);
        match plan(&scenario) {
            Ok(_) => assert!(!NOT_SIMULATED.contains(&name.as_str()) && scenario.menaces.is_empty(), "{name}"),
            Err(NotSimulated::Menaces) => assert!(!scenario.menaces.is_empty(), "{name}"),
            Err(NotSimulated::Unseen(_)) => assert_eq!(name, "attack-wrong-status"),
            Err(error) => {
                assert!(NOT_SIMULATED.contains(&name.as_str()), "{name}: {error}");
                assert!(matches!(error, NotSimulated::Step { .. }), "{error}");
            }
        }
    }
}

#[test]
fn they_come_out_as_expected() {
    for name in PLAYED {
        let simulated = simulate(&shipped(name), false).unwrap();
        assert!(simulated.passed, "{name}\n{simulated}");
    }
}

/// What a story is told for, by the names of what is struck at: one of these at least. Its attack strikes at other things all the time.
const AIMS: [(&str, &[&str]); 5] = [
    ("wrong-answers", &["batch", "decided"]),
    ("no-answers", &["batch", "decided"]),
    ("false-pruned", &["batch", "decided"]),
    ("stale-answers", &["batch", "decided"]),
    ("recant", &["pre-prepare", "commit"]),
];

#[test]
fn attacks_strike_at_what_their_story_is_about() {
    for (name, aims) in AIMS {
        let outcome = world::run(&plan(&shipped(&format!("attack-{name}"))).unwrap(), Run::default());
        let strikes = outcome.played.unwrap().strikes;
        let strikes = &strikes[&(ReplicaId(0), name.to_owned())];
        assert!(aims.iter().any(|aim| strikes.at(aim) > 0), "{name}: {strikes:?}");
    }
}

/// Nothing but the defence ends these views; and where an honest replica leads, the attack is over.
#[test]
fn whoever_starves_clients_or_goes_mute_is_deposed() {
    for name in ["attack-censor", "attack-starve", "attack-dark-then-mute"] {
        let scenario = shipped(name);
        assert!(scenario.step.contains(&Step::Await(Event::NewView)), "{name}");
        let faults = scenario.step.iter().filter(|step| !matches!(step, Step::Wait(_) | Step::Await(_)));
        assert_eq!(faults.count(), 0, "{name}");
        let simulated = simulate(&scenario, false).unwrap();
        assert!(simulated.passed, "{name}\n{simulated}");
    }
}

#[test]
fn the_same_file_and_seed_is_the_same_run() {
    let scenario = shipped("demo");
    let (first, second) = (simulate(&scenario, false).unwrap(), simulate(&scenario, false).unwrap());
    assert_eq!((&first.hash, &first.happened), (&second.hash, &second.happened));
    let other = simulate(&Scenario { seed: scenario.seed + 1, ..scenario }, false).unwrap();
    assert_ne!(first.hash, other.hash);
}

/// The verdict can say no.
#[test]
fn what_is_not_as_expected_is_noticed() {
    let mut fork = shipped("fork-by-more-than-f");
    fork.expect.safety = Safety::Holds;
    let simulated = simulate(&fork, false).unwrap();
    assert!(!simulated.passed && !simulated.judgements[0].passed, "{simulated}");

    let mut calm = shipped("crash-of-a-backup");
    calm.attacks.insert(Replica(ReplicaId(3)), "never".to_owned());
    assert!(plan(&calm).is_err());
    let mut silent = shipped("attack-silent");
    silent.expect.accused = silent.attacks.keys().copied().collect();
    let simulated = simulate(&silent, false).unwrap();
    assert!(!simulated.passed && simulated.judgements[0].passed && simulated.judgements[1].passed, "{simulated}");
    assert!(!simulated.judgements[2].passed);

    let mut slow = shipped("power-loss-beyond-f");
    slow.expect.max_gap = 2;
    let simulated = simulate(&slow, false).unwrap();
    assert!(!simulated.passed && !simulated.judgements[1].passed, "{simulated}");

    let mut late = shipped("power-loss-beyond-f");
    late.expect.recovers_within = Some(0);
    let simulated = simulate(&late, false).unwrap();
    assert!(!simulated.passed && !simulated.judgements[1].passed, "{simulated}");
    assert!(simulated.judgements[1].findings[0].contains("the bound is 0ns"), "{simulated}");

    let mut whole = shipped("fork-by-more-than-f");
    whole.attacks.values_mut().for_each(|attack| *attack = "silent@view=9..".to_owned());
    let simulated = simulate(&whole, false).unwrap();
    assert!(simulated.missed.iter().any(|missed| missed.contains("the honest agree")), "{simulated}");

    let mut idle = shipped("two-attacks-of-one");
    idle.attacks.values_mut().for_each(|attack| *attack = format!("{attack} + withhold@slot=1000000.."));
    let simulated = simulate(&idle, false).unwrap();
    let idle = "r0 was to be malicious by withhold@slot=1000000.., and did nothing";
    assert!(!simulated.passed && simulated.missed == [idle], "{simulated}");
    assert!(simulated.strikes[&ReplicaId(0)].values().filter(|count| **count > 0).count() == 3, "{simulated}");
}

/// Each seed draws other places, and the simulator the same ones as real processes.
#[test]
fn seeds_draw_other_places() {
    let mut scenario = shipped("two-attacks-of-one");
    let mut drawn = |seed| {
        scenario.seed = seed;
        let attacks = plan(&scenario).unwrap().adversaries.into_iter().map(|evil| match evil.how {
            How::Attack(attack) => attack.to_string(),
            other => panic!("{other:?}"),
        });
        let attacks = attacks.collect::<Vec<_>>().join("+");
        assert!(scenario.drawn().unwrap().attacks.into_values().eq([attacks.as_str()]));
        attacks
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn a_simulated_run_leaves_a_report() {
    let scenario = shipped("partition");
    let simulated = simulate(&scenario, false).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path());
    simulated.report(&scenario).unwrap().write(&dir).unwrap();
    let report = Report::read(&dir).unwrap();
    assert_eq!((report.passed, &report.happened), (Some(true), &simulated.happened));
    assert!(report.judgements.iter().any(|judgement| judgement.text.contains("worst recovery")), "{report:?}");
    assert!(std::fs::read_to_string(Report::page_of(&dir)).unwrap().contains("a partition: r0 r1 | r2 r3"));
}

#[test]
fn an_hour_without_a_quorum_is_over_within_seconds() {
    let simulated = simulate(&shipped("hour-long-loss-beyond-f"), false).unwrap();
    assert!(simulated.passed, "{simulated}");
    let [(stood, took)] = simulated.recoveries[..] else { panic!("{:?}", simulated.recoveries) };
    assert!(stood > 3_599_000 && took < 20_000, "{stood} {took}");
}

#[tokio::test]
async fn real_processes_refuse_what_is_only_simulated() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    let Err(error) = play(&shipped("skewed-clocks"), &dir, true).await else { panic!("they were played") };
    assert!(error.to_string().contains("--sim"), "{error}");
    let text = "name = \"a\"\nabout = \"\"\nclocks.r1 = 1.5\n";
    assert!(Scenario::parse(text).unwrap_err().to_string().contains("only = \"sim\""));
}
