//! Every attack in the registry, whatever its trigger, in random runs; and every row of the table of attacks in the registry.

use super::campaign::Run;
use super::cluster::{kinds, proved};
use crate::adversary::{ATTACKS, Attack};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of the table of attacks that no replica can play by what it says, and who plays them.
const ELSEWHERE: [(u8, &str); 9] = [
    (19, "malformed bytes, endless frames and floods are not messages: a raw wire fuzzer's"),
    (20, "loss, duplication, reordering and partitions: the network's"),
    (23, "torn writes, rot and full disks: the disk's"),
    (24, "power loss: whoever runs the replicas"),
    (25, "away past pruning: whoever runs the replicas"),
    (26, "a signature that only some accept: a client's"),
    (27, "sending to some replicas only: a client's"),
    (28, "gaps, replays, one sequence twice: a client's"),
    (29, "floods of commands: clients'"),
];

#[test]
fn every_row_of_the_table_of_attacks_is_played_here_or_by_somebody_else() {
    let here: BTreeSet<u8> = ATTACKS.iter().flat_map(|kind| kind.rows).copied().collect();
    let elsewhere: BTreeSet<u8> = ELSEWHERE.iter().map(|(row, _)| *row).collect();
    let missing: Vec<u8> = (1..=30).filter(|row| !here.contains(row) && !elsewhere.contains(row)).collect();
    assert_eq!(missing, [0; 0], "rows that nobody plays");
    let twice: Vec<u8> = here.intersection(&elsewhere).copied().collect();
    assert_eq!(twice, [0; 0], "rows that are said to be somebody else's, and are played here");
}

/// Loss, duplicates, reordering, crashes and restarts of anybody, and each attack under each trigger, by whoever leads first or by another. In the end
/// all that clients asked for has come through at every honest replica, and evidence is of the kinds that the attack leaves, and against its author.
#[test]
fn every_attack_is_survived_under_every_trigger() {
    let mut proofs: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, kind) in (1..).zip(&ATTACKS) {
        for (place, trigger) in (0..).zip(["always", "view=1..4", "slot=2..9", "p=0.5,seed=3"]) {
            let attack = format!("{}@{trigger}", kind.name);
            let culprit = u16::try_from((number + place) % 4).unwrap();
            println!("r{culprit} {attack}");
            let mut run = Run::under(1000 * number + place, 4, &[(culprit, &attack)]);
            run.disturb();
            run.heal();
            check_evidence(&run, &[(culprit, &attack)]);
            *proofs.entry(kind.name).or_default() += proved(&run.cluster).len();
        }
    }
    println!("runs that proved something: {proofs:?}");
}

/// Proofs name culprits alone, and only of kinds that their attacks leave.
fn check_evidence(run: &Run, attacks: &[(u16, &str)]) {
    let kind = |attack: &str| Attack::parse(attack).unwrap().kind();
    let culprits =
        attacks.iter().filter(|(_, attack)| kind(attack).possible().next().is_some()).map(|(id, _)| *id).collect();
    let proved = proved(&run.cluster);
    assert!(proved.is_subset(&culprits), "{attacks:?}: {proved:?} are proved faulty");
    let expected: BTreeSet<_> = attacks.iter().flat_map(|(_, attack)| kind(attack).possible()).collect();
    let found = kinds(&run.cluster);
    assert!(found.is_subset(&expected), "{attacks:?}: evidence of {found:?}");
}

/// What shows itself only at times by its row, and always does here: whoever leads next is told two different things.
const SHOWN_HERE: [&str; 1] = ["hide-all"];

/// In a calm network each attack that can be proved is, by the end of its author's first reign at the latest, and by kinds that it says.
#[test]
fn what_is_provable_is_proved_and_what_is_not_is_not() {
    for kind in &ATTACKS {
        for culprit in [1, 2, 3] {
            let cluster = super::cluster::survive(4, &[(culprit, kind.name)]);
            let found = kinds(&cluster);
            let expected: BTreeSet<_> = kind.possible().collect();
            assert!(found.is_subset(&expected), "r{culprit} {}: evidence of {found:?}", kind.name);
            let shown: BTreeSet<_> =
                if SHOWN_HERE.contains(&kind.name) { expected } else { kind.evidence.iter().copied().collect() };
            assert!(
                shown.is_empty() || !found.is_disjoint(&shown),
                "r{culprit} {}: no evidence of {shown:?}",
                kind.name
            );
            println!("r{culprit} {}: {found:?}", kind.name);
        }
    }
}
