//! What goes wrong with evidence.

use super::*;
use varangian_consensus::{Conflict, Evidence};

const KIND: &str = "two pre-prepares for one slot";

#[test]
fn a_deed_that_several_replicas_prove_counts_once() {
    let verdict = Scene::new().verdict();
    assert_eq!(verdict.evidence.proofs[&ReplicaId(3)], [(KIND, 1)].into());
}

#[test]
fn nobody_accused_where_somebody_must_be_is_found() {
    let mut scene = Scene::new();
    scene.evidence.clear();
    must_find(&scene, &Finding::NotAccused(ReplicaId(3)));
}

#[test]
fn an_accused_honest_replica_is_found() {
    let mut scene = Scene::new();
    let proof = scene.two_pre_prepares(1);
    scene.evidence.push((2, proof));
    let expected = Finding::HonestAccused { holder: ReplicaId(2), accused: ReplicaId(1), kind: KIND };
    must_find(&scene, &expected);
}

#[test]
fn an_accused_honest_replica_is_found_even_if_it_was_expected() {
    let mut scene = Scene::new();
    let proof = scene.two_pre_prepares(1);
    scene.evidence.push((2, proof));
    scene.case.expect_accused.insert(ReplicaId(1));
    let expected = Finding::HonestAccused { holder: ReplicaId(2), accused: ReplicaId(1), kind: KIND };
    must_find(&scene, &expected);
}

#[test]
fn an_accusation_that_nobody_expected_is_found() {
    let mut scene = Scene::new();
    scene.case.expect_accused.clear();
    must_find(&scene, &Finding::UnexpectedlyAccused { accused: ReplicaId(3), kind: KIND });
}

#[test]
fn a_proof_that_proves_nothing_is_found_and_does_not_count() {
    let mut scene = Scene::new();
    let Evidence::PrePrepares(Conflict { first, .. }) = scene.two_pre_prepares(3) else { unreachable!() };
    scene.evidence = vec![(0, Evidence::PrePrepares(Conflict { first: first.clone(), second: first }))];
    let verdict = scene.verdict();
    let [Finding::FalseProof { holder: ReplicaId(0), accused: ReplicaId(3), .. }, Finding::NotAccused(ReplicaId(3))] =
        verdict.evidence.findings.listed()
    else {
        panic!("{verdict}")
    };
}
