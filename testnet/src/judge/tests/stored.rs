//! By what is stored alone, as of a network that is down.

use super::forks::{SLOT, forked};
use super::*;
use crate::judge::command::{self, Stored};
use varangian_consensus::View;

/// Judges without journals; r3 has no disk here.
fn stored(scene: &Scene, left_out: &[u16]) -> Stored {
    scene.write();
    std::fs::remove_dir_all(&scene.case.journals).unwrap();
    let homes = scene.case.homes.iter().map(|(id, home, _)| (*id, home.clone())).collect();
    command::judge(&scene.case.genesis, homes, left_out.iter().copied().map(ReplicaId).collect()).unwrap()
}

#[test]
fn stores_that_agree_and_replay_pass() {
    let stored = stored(&Scene::new(), &[3]);
    assert!(stored.passed(), "{stored}");
    let said = stored.to_string();
    for words in [
        "left out: r3\nSAFETY pass (3 honest states agree up to slot 5; 6 commands, each exactly once, replayed to",
        "EVIDENCE pass (r3: 1 proof: ",
        "NOT JUDGED without clients' journals: ",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_fork_fails_and_names_its_makers() {
    let stored = stored(&forked(View(0)), &[0, 3]);
    let fork = Finding::Fork { slot: SLOT, first: ReplicaId(1), second: ReplicaId(2) };
    assert!(!stored.passed() && stored.safety.findings.listed().contains(&fork), "{stored}");
    assert!(stored.evidence.findings.is_empty(), "{stored}");
    assert_eq!(stored.evidence.culprits(), [0, 3].map(ReplicaId).into());
}

#[test]
fn a_state_that_is_not_the_logs_fails() {
    let mut scene = Scene::new();
    scene.tamper = Box::new(|_, replica, execution| {
        if (replica, execution.slot) == (2, 5) {
            execution.state.push((b"m".to_vec(), Some(b"12".to_vec())));
        }
    });
    let stored = stored(&scene, &[3]);
    let state = |finding: &Finding| matches!(finding, Finding::State { replica: ReplicaId(2), .. });
    assert!(!stored.passed() && stored.safety.findings.listed().iter().any(state), "{stored}");
}

#[test]
fn who_is_proved_faulty_is_not_honest() {
    let mut scene = Scene::new();
    let proof = scene.two_pre_prepares(2);
    scene.evidence.push((1, proof));
    scene.tamper = Box::new(|_, replica, execution| {
        if (replica, execution.slot) == (2, 5) {
            execution.state.push((b"m".to_vec(), Some(b"12".to_vec())));
        }
    });
    let stored = stored(&scene, &[3]);
    assert!(stored.passed(), "{stored}");
    assert_eq!(stored.left_out, [2, 3].map(ReplicaId).into());
    assert_eq!(stored.safety.last_slots.len(), 2);
}
