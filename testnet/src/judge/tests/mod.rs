#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! A small run with real stores, certificates and journals, which passes; then one thing at a time goes wrong.

mod clients;
mod forks;
mod proofs;
mod replicas;
mod scene;
mod stored;
mod words;

use super::*;
use scene::Scene;

/// Judges, and wants the verdict to fail with this finding.
fn must_find(scene: &Scene, expected: &Finding) {
    let verdict = scene.verdict();
    let all = [&verdict.safety.findings, &verdict.liveness.findings, &verdict.evidence.findings];
    assert!(all.iter().any(|findings| findings.listed().contains(expected)), "not found in:\n{verdict}");
    assert!(!verdict.passed(), "{verdict}");
}

#[test]
fn a_good_run_passes() {
    let verdict = Scene::new().verdict();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!(verdict.safety.last_slots.values().copied().collect::<Vec<_>>(), [5, 5, 5]);
    assert_eq!((verdict.safety.acknowledged, verdict.safety.counters), (6, 2));
    assert_eq!((verdict.figures.commands, verdict.figures.operations), (6, 7));
    assert_eq!(verdict.liveness.worst_gap_ms, 20, "there is nothing to acknowledge in slot 3");
}

#[test]
fn a_load_that_ends_before_it_begins_is_no_case() {
    let mut scene = Scene::new();
    scene.case.load = (7, 7);
    scene.write();
    assert!(matches!(judge(&scene.case), Err(JudgeError::Load(7, 7))));
}

#[test]
fn somebody_must_be_honest() {
    let mut scene = Scene::new();
    scene.write();
    scene.case.homes.iter_mut().for_each(|(_, _, honest)| *honest = false);
    assert!(matches!(judge(&scene.case), Err(JudgeError::NobodyHonest)));
}

#[test]
fn without_journals_there_is_no_verdict() {
    let scene = Scene::new();
    scene.write();
    std::fs::remove_dir_all(&scene.case.journals).unwrap();
    assert!(matches!(judge(&scene.case), Err(JudgeError::Journal(JournalError::Io { .. }))));
}
