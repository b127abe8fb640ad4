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
const MISSING: [(u8, &str); 10] = [
    (15, "lying sources of snapshots come with snapshot transfer"),
    (18, "more than f: wants a verdict that expects a fork"),
    (19, "wire floods: want a raw client"),
    (23, "damaged disks: want steps that damage"),
    (25, "away past pruning: comes with snapshot transfer"),
    (26, "malicious clients"),
    (27, "malicious clients"),
    (28, "malicious clients"),
    (29, "malicious clients"),
    (22, "crash at every persist point: the simulator's"),
];

#[test]
fn every_row_has_a_scenario_or_a_reason() {
    let played: BTreeSet<u8> = names().flat_map(|name| find(&name).unwrap().rows).collect();
    for row in 1..=30 {
        let missing = MISSING.iter().any(|(missing, _)| *missing == row);
        assert!(played.contains(&row) || missing, "no scenario plays row {row}");
    }
}
