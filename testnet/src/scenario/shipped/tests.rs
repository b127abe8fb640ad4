#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::catalogue::FAULTS;
use crate::scenario::format::{Assault, Safety};
use std::collections::BTreeSet;
use varangian_sim::adversary::{Plan, Trigger};

fn all() -> Vec<Scenario> {
    names().map(|name| find(&name).unwrap()).collect()
}

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
    // On real processes.
    let played = all().into_iter().filter(|scenario| scenario.only.is_none());
    let played: BTreeSet<u8> = played.flat_map(|scenario| scenario.rows).collect();
    for row in 1..=30 {
        let missing = MISSING.iter().any(|(missing, _)| *missing == row);
        assert!(played.contains(&row) != missing, "row {row}: no scenario, or a reason for none that there is");
    }
}

/// Keys of a scenario's file that say something, and the kinds of its steps.
fn words(scenario: &Scenario) -> BTreeSet<String> {
    let file: toml::Table = toml::from_str(&toml::to_string(scenario).unwrap()).unwrap();
    let steps = file.get("step").and_then(toml::Value::as_array).into_iter().flatten();
    let kinds = steps.filter_map(toml::Value::as_table).flat_map(toml::Table::keys);
    let says = |value: &toml::Value| value.as_table().is_none_or(|table| !table.is_empty());
    let keys = file.iter().filter(|(_, value)| says(value)).map(|(key, _)| key);
    keys.chain(kinds).cloned().collect()
}

/// All that a step can be, as whoever writes a wrong one is told.
fn kinds_of_steps() -> BTreeSet<String> {
    let error = Scenario::parse("name = \"a\"\nabout = \"\"\n[[step]]\nnothing = 1\n").unwrap_err().to_string();
    let (_, known) = error.split_once("expected one of").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_kind_of_step_is_taken() {
    let (kinds, taken) = (kinds_of_steps(), all().iter().flat_map(words).collect::<BTreeSet<_>>());
    assert!(kinds.len() >= 22 && kinds.contains("wipe-disk"), "{kinds:?}");
    let missing: Vec<_> = kinds.difference(&taken).collect();
    assert!(missing.is_empty(), "no scenario has a step of these kinds: {missing:?}");
}

/// A scenario about one of its rows has each step and key that is said to play a fault.
#[test]
fn every_fault_of_the_catalogue_is_played() {
    for (name, rows, ..) in FAULTS {
        let about: Vec<Scenario> =
            all().into_iter().filter(|scenario| rows.iter().any(|row| scenario.rows.contains(row))).collect();
        let too_many = |scenario: &Scenario| scenario.attacks.len() > usize::from((scenario.replicas - 1) / 3);
        match name {
            "away past log pruning" => assert!(MISSING.iter().any(|(row, _)| rows.contains(row))),
            "more than f under [attacks]" => assert!(about.iter().any(too_many)),
            words_of_it => {
                for word in words_of_it.split(", ") {
                    assert!(about.iter().any(|scenario| words(scenario).contains(word)), "no scenario has `{word}`");
                }
            }
        }
    }
}

/// More than `f` faulty: safety is lost, and the verdict must say so.
#[test]
fn what_breaks_safety_is_said_to() {
    let beyond: Vec<Scenario> = all().into_iter().filter(|scenario| scenario.rows.contains(&18)).collect();
    assert!(beyond.iter().any(|scenario| scenario.expect.safety == Safety::Broken));
}

#[test]
fn every_kind_of_trigger_is_pulled() {
    let mut triggers = Vec::new();
    for scenario in all() {
        let turned = scenario.step.iter().filter_map(|step| match step {
            Step::Attack(Assault { attack, .. }) => Some(attack),
            _ => None,
        });
        let plans: Vec<Plan> =
            scenario.attacks.values().chain(turned).map(|attack| Plan::parse(attack).unwrap()).collect();
        triggers.extend(plans.iter().flat_map(Plan::attacks).map(varangian_sim::adversary::Attack::trigger));
    }
    assert!(triggers.iter().any(|trigger| matches!(trigger, Trigger::Views(_))), "none by views");
    assert!(triggers.iter().any(|trigger| matches!(trigger, Trigger::Slots(_))), "none by slots");
    assert!(triggers.iter().any(|trigger| matches!(trigger, Trigger::Random { .. })), "none by chance");
    assert!(!triggers.contains(&Trigger::Never), "an attack that never strikes");
}

#[test]
fn every_story_is_of_an_attack() {
    for (name, _) in STORIES {
        assert!(ATTACKS.iter().any(|kind| kind.name == name), "{name}");
    }
}
