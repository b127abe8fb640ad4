//! What goes wrong on the replicas' side: logs, certificates, states.

use super::scene::{Scene, add, put};
use super::*;
use crate::judge::stores::Honest;
use bytes::Bytes;
use std::collections::BTreeMap;
use varangian_application::{Meta, Space};
use varangian_consensus::{Batch, Slot, View};
use varangian_crypto::{Digest, encode};
use varangian_storage::{Body, Execution};

/// A scene in which replica 1 writes one slot otherwise.
fn tampered(slot: u64, change: impl Fn(&Scene, &mut Execution) + 'static) -> Scene {
    let mut scene = Scene::new();
    scene.tamper = Box::new(move |scene, replica, execution| {
        if (replica, execution.slot) == (1, slot) {
            change(scene, execution);
        }
    });
    scene
}

const R1: ReplicaId = ReplicaId(1);

#[test]
fn another_batch_in_one_store_is_a_fork() {
    let scene = tampered(2, |scene, execution| {
        let other = Batch::new(vec![scene.command(0, 2, &[add("n", 4)])]).unwrap();
        execution.batch = *other.digest();
        execution.certificate = encode(&scene.decided(2, *other.digest(), &[1, 2, 3])).into();
        execution.body = Body::Given(other.encoded().clone());
    });
    must_find(&scene, &Finding::Fork { slot: Slot(2), first: ReplicaId(0), second: R1 });
}

#[test]
fn one_key_of_the_state_that_differs_is_named() {
    let scene = tampered(5, |_, execution| execution.state.push((b"b".to_vec(), Some(b"forged".to_vec()))));
    let key = b"b".to_vec();
    must_find(&scene, &Finding::State { replica: R1, slot: Slot(5), space: Space::Application, key });
}

#[test]
fn a_key_too_few_is_named() {
    let scene = tampered(5, |_, execution| execution.state.push((b"n".to_vec(), None)));
    let key = b"n".to_vec();
    must_find(&scene, &Finding::State { replica: R1, slot: Slot(5), space: Space::Application, key });
}

#[test]
fn a_key_too_many_is_named() {
    let scene = tampered(5, |_, execution| execution.state.push((b"zzz".to_vec(), Some(vec![1]))));
    let key = b"zzz".to_vec();
    must_find(&scene, &Finding::State { replica: R1, slot: Slot(5), space: Space::Application, key });
}

#[test]
fn the_client_table_is_compared_too() {
    let scene = tampered(5, |_, execution| execution.clients.push((b"x".to_vec(), Some(vec![1]))));
    let key = b"x".to_vec();
    must_find(&scene, &Finding::State { replica: R1, slot: Slot(5), space: Space::Client, key });
}

#[test]
fn states_of_many_pages_are_compared_to_their_end() {
    let scene = Scene::new();
    scene.write();
    let honest = Honest::open(ReplicaId(0), &scene.home(0), &scene.case.genesis).unwrap();
    let entries = (0..40u8).map(|number| (vec![b'k', number], Some(vec![number; 250 << 10])));
    let execution = Execution {
        slot: 6,
        state: entries.clone().collect(),
        clients: vec![],
        meta: vec![],
        certificate: Bytes::new(),
        batch: Digest::ZERO,
        body: Body::None,
    };
    honest.store.execute(execution).unwrap();
    let first = [("a", "1"), ("b", "2"), ("m", "11"), ("n", "7")];
    let mut expected: BTreeMap<Bytes, Bytes> =
        first.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    expected.extend(entries.map(|(key, value)| (key.into(), value.unwrap().into())));
    assert_eq!(honest.first_difference(Space::Application, &expected).unwrap(), None);
    let last = Bytes::from_static(&[b'k', 39]);
    let kept = expected.insert(last.clone(), Bytes::new()).unwrap();
    assert_eq!(honest.first_difference(Space::Application, &expected).unwrap(), Some(last.to_vec()));
    expected.insert(last, kept);
    expected.insert(Bytes::from_static(b"z"), Bytes::new());
    assert_eq!(honest.first_difference(Space::Application, &expected).unwrap(), Some(b"z".to_vec()));
}

#[test]
fn a_replica_whose_history_is_another_is_found() {
    let scene = tampered(5, |_, execution| {
        let meta = Meta::decode(&execution.meta[0].1).unwrap();
        execution.meta[0].1 = Meta { history: Digest::ZERO, ..meta }.encode();
    });
    must_find(&scene, &Finding::History { replica: R1, slot: Slot(5) });
}

#[test]
fn a_replica_whose_accumulator_is_another_is_found() {
    let scene = tampered(5, |_, execution| {
        let meta = Meta::decode(&execution.meta[0].1).unwrap();
        execution.meta[0].1 = Meta { state: Default::default(), ..meta }.encode();
    });
    must_find(&scene, &Finding::Accumulator { replica: R1, slot: Slot(5) });
}

/// Replaces replica 1's certificate of slot 2, and gives the finding's reason.
fn certificate(forge: impl Fn(&Scene, &Execution) -> Bytes + 'static) -> String {
    let scene = tampered(2, move |scene, execution| execution.certificate = forge(scene, execution));
    let verdict = scene.verdict();
    let [Finding::Certificate { replica: R1, slot: Slot(2), reason }] = verdict.safety.findings.listed() else {
        panic!("{verdict}")
    };
    reason.clone()
}

#[test]
fn a_certificate_of_too_few_is_found() {
    let reason = certificate(|scene, execution| encode(&scene.decided(2, execution.batch, &[0, 1])).into());
    assert_eq!(reason, "2 replicas have signed it, 3 must");
}

#[test]
fn a_certificate_with_one_signer_twice_is_found() {
    let reason = certificate(|scene, execution| encode(&scene.decided(2, execution.batch, &[0, 1, 1])).into());
    assert_eq!(reason, "2 replicas have signed it, 3 must");
}

#[test]
fn a_certificate_with_a_forged_signature_is_found() {
    let reason = certificate(|scene, execution| {
        let mut certificate = scene.decided(2, execution.batch, &[0, 1, 2]);
        certificate.signatures[2].1 = certificate.signatures[1].1;
        encode(&certificate).into()
    });
    assert_eq!(reason, varangian_crypto::VerifyError::BadSignature.to_string());
}

#[test]
fn a_certificate_for_something_else_is_found() {
    let reason = certificate(|scene, _| encode(&scene.decided(2, Digest::ZERO, &[0, 1, 2])).into());
    assert!(reason.starts_with("it is for batch 0000"), "{reason}");
    let reason = certificate(|scene, execution| encode(&scene.decided(3, execution.batch, &[0, 1, 2])).into());
    assert!(reason.ends_with("in slot 3"), "{reason}");
}

#[test]
fn bytes_that_are_no_certificate_are_found() {
    certificate(|_, _| Bytes::from_static(b"trust me"));
}

#[test]
fn a_body_that_is_not_the_decided_batch_is_found() {
    let scene = tampered(5, |scene, execution| {
        let other = Batch::new(vec![scene.command(0, 3, &[put("a", "other")])]).unwrap();
        execution.body = Body::Given(other.encoded().clone());
    });
    let reason = "r0 has another body of this name".to_owned();
    must_find(&scene, &Finding::Body { replica: R1, slot: Slot(5), reason });
}

#[test]
fn a_body_that_everybody_replaced_is_found() {
    let mut scene = Scene::new();
    scene.tamper = Box::new(|scene, _, execution| {
        if execution.slot == 5 {
            let other = Batch::new(vec![scene.command(0, 3, &[put("a", "other")])]).unwrap();
            execution.body = Body::Given(other.encoded().clone());
        }
    });
    let other = Batch::new(vec![scene.command(0, 3, &[put("a", "other")])]).unwrap();
    let reason = format!("its digest is {}", other.digest());
    must_find(&scene, &Finding::Body { replica: ReplicaId(0), slot: Slot(5), reason });
}

#[test]
fn a_decided_command_with_a_forged_signature_is_found() {
    let mut scene = Scene::new();
    let mut bytes = scene.log[4][0].encoded().to_vec();
    bytes[50] ^= 1;
    scene.log[4][0] = varangian_consensus::Command::decode(bytes.into()).unwrap();
    let reason = varangian_crypto::VerifyError::BadSignature.to_string();
    must_find(&scene, &Finding::InvalidBatch { slot: Slot(5), reason });
}

#[test]
fn a_stable_checkpoint_must_be_what_the_log_leads_to() {
    let mut scene = Scene::new();
    let mut wrong = scene.checkpoint(&scene.run(), &[0, 1, 2]).statement;
    wrong.state = Digest::ZERO;
    scene.stable = Some(scene.certificate(wrong, &[0, 1, 2]));
    let reason = "its state is not that of the replayed log".to_owned();
    must_find(&scene, &Finding::Checkpoint { replica: R1, slot: Slot(4), reason });
}

#[test]
fn a_stable_checkpoint_must_have_its_history() {
    let mut scene = Scene::new();
    let mut wrong = scene.checkpoint(&scene.run(), &[0, 1, 2]).statement;
    wrong.history = Digest::ZERO;
    scene.stable = Some(scene.certificate(wrong, &[0, 1, 2]));
    let reason = "its history is not that of the log".to_owned();
    must_find(&scene, &Finding::Checkpoint { replica: R1, slot: Slot(4), reason });
}

#[test]
fn a_stable_checkpoint_must_be_certified() {
    let mut scene = Scene::new();
    scene.stable = Some(scene.checkpoint(&scene.run(), &[0, 1]));
    let reason = varangian_crypto::VerifyError::NotAQuorum.to_string();
    must_find(&scene, &Finding::Checkpoint { replica: R1, slot: Slot(4), reason });
}

#[test]
fn a_replica_that_is_behind_is_judged_where_it_stands() {
    let mut scene = Scene::new();
    scene.reach = [2, 5, 0];
    let verdict = scene.verdict();
    assert!(verdict.passed(), "{verdict}");
    let mut scene = Scene::new();
    scene.reach = [2, 5, 5];
    scene.tamper = Box::new(|_, replica, execution| {
        if (replica, execution.slot) == (0, 2) {
            execution.state.push((b"a".to_vec(), None));
        }
    });
    let (replica, slot, space) = (ReplicaId(0), Slot(2), Space::Application);
    must_find(&scene, &Finding::State { replica, slot, space, key: b"a".to_vec() });
}

#[test]
fn a_pruned_log_is_no_pass() {
    let scene = Scene::new();
    scene.write();
    for replica in 0..3 {
        assert_eq!(scene.open(replica).prune(4, 0).unwrap().slots, 4);
    }
    assert!(matches!(judge(&scene.case), Err(JudgeError::Pruned { slot: Slot(1) })));
}

#[test]
fn one_whole_log_is_enough() {
    let scene = Scene::new();
    scene.write();
    for replica in [0, 2] {
        scene.open(replica).prune(4, 0).unwrap();
    }
    let (verdict, _) = judge(&scene.case).unwrap();
    assert!(verdict.passed(), "{verdict}");
}

#[test]
fn a_replica_that_still_runs_is_named() {
    let scene = Scene::new();
    scene.write();
    let _running = scene.open(1);
    let error = judge(&scene.case).unwrap_err();
    assert!(matches!(error, JudgeError::Running { replica: R1, .. }), "{error}");
    assert!(error.to_string().contains("end all replicas"), "{error}");
}

#[test]
fn the_store_of_another_is_refused() {
    let mut scene = Scene::new();
    scene.write();
    scene.case.homes[0].1 = scene.home(1);
    assert!(matches!(judge(&scene.case), Err(JudgeError::Store { replica: ReplicaId(0), .. })));
}

#[test]
fn a_commit_that_its_signer_has_not_kept_is_found() {
    let mut scene = Scene::new();
    scene.unkept = Some((1, Slot(5)));
    must_find(&scene, &Finding::Unkept { replica: R1, slot: Slot(5), view: View(0) });
}
