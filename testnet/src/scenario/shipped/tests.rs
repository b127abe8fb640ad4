#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use std::collections::BTreeSet;

/// Each is a scenario under its own name, and what is printed of it is the same scenario.
#[test]
fn all_are_scenarios() {
    for name in names() {
        let scenario = find(&name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scenario.name, name);
        assert_eq!(Scenario::parse(&toml::to_string(&scenario).unwrap()).unwrap(), scenario);
    }
    assert_eq!(names().collect::<BTreeSet<_>>().len(), names().count());
    assert!(find("attack-nothing").is_err());
}

/// What must be proved can be.
#[test]
fn what_is_surely_proved_is_provable() {
    for name in SURELY_PROVED {
        assert!(ATTACKS.iter().any(|kind| kind.name == name && kind.provable()), "{name}");
    }
}

#[test]
fn the_template_is_a_scenario() {
    Scenario::parse(include_str!("../../../scenarios/template.toml")).unwrap();
}

/// Rows of the table of attacks that no scenario of real processes plays yet, and why. What is not here must have a scenario.
const MISSING: [(u8, &str); 1] = [(25, "away past pruning: comes with snapshot transfer")];

/// Each model of failures, timing and communication has a scenario that stands for it.
#[test]
fn every_model_has_a_scenario() {
    let played: BTreeSet<Model> = names().flat_map(|name| find(&name).unwrap().models).collect();
    for model in Model::ALL {
        assert!(played.contains(&model), "no scenario stands for {model:?}");
    }
}

/// Fourteen or more put several rows, several faults, or faults and bad links together.
#[test]
fn many_combine_several() {
    let combines = |name: &&str| {
        let scenario = find(name).unwrap();
        let faults = scenario.step.iter().filter(|step| !matches!(step, Step::Wait(_) | Step::At(_) | Step::Await(_)));
        scenario.rows.len() > 1 && scenario.attacks.len() + faults.count() + usize::from(scenario.links.is_some()) > 1
    };
    let count = SHIPPED.iter().map(|(name, _)| *name).filter(|name| combines(name)).count();
    assert!(count >= 14, "{count}");
}

#[test]
fn every_row_has_a_scenario_or_a_reason() {
    let played: BTreeSet<u8> = names().flat_map(|name| find(&name).unwrap().rows).collect();
    for row in 1..=30 {
        let missing = MISSING.iter().any(|(missing, _)| *missing == row);
        assert!(played.contains(&row) != missing, "row {row}: no scenario, or a reason for none that there is");
    }
}
