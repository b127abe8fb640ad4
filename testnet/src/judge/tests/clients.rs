//! What goes wrong on the clients' side: commands, results, sums, gaps.

use super::scene::{Note, Scene, add, put};
use super::*;
use crate::journal::Outcome;
use crate::judge::claims::Claims;
use crate::judge::verdict::Linearizability;
use std::time::Duration;
use varangian_application::OperationResult;
use varangian_application::kv::{Action, Operation};
use varangian_consensus::Slot;

/// What the client was told of a command.
fn told(scene: &mut Scene, client: usize, sequence: u64) -> (&mut u64, &mut Vec<OperationResult>) {
    match &mut scene.note(client, sequence).end {
        Some((_, Outcome::Committed { slot, results })) => (slot, results),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_acknowledged_command_that_is_missing_is_found() {
    let mut scene = Scene::new();
    let results = vec![OperationResult::ApplicationFault];
    let end = Some((50, Outcome::Committed { slot: 5, results }));
    let operations = vec![put("c", "3").encode().to_vec()];
    scene.notes.push(Note { client: 0, sequence: 4, sent_ms: 45, operations, end });
    let command = scene.identity(0, 4);
    must_find(&scene, &Finding::Missing { command, slot: Slot(5) });
}

/// All replicas alike run a retry again: their states agree with each other, but not with exactly-once.
#[test]
fn forgotten_exactly_once_is_found() {
    let mut scene = Scene::new();
    scene.forget = true;
    let expected =
        Finding::Counter { replica: ReplicaId(0), key: b"n".to_vec(), found: Some("10".into()), expected: 7 };
    must_find(&scene, &expected);
}

/// As above with the judge's own client table forgetting too: what ran is counted apart from it.
#[test]
fn a_command_that_runs_twice_is_found_without_the_client_table() {
    let mut scene = Scene::new();
    scene.write();
    let mut claims = Claims::new(journal::read_all(&scene.case.journals).unwrap());
    let mut findings = Findings::default();
    let command = scene.command(0, 2, &[add("n", 3)]);
    let (_, results) = told(&mut scene, 0, 2);
    claims.ran(&command, (Slot(2), 0), results, &mut findings);
    assert!(findings.is_empty());
    claims.ran(&command, (Slot(4), 1), results, &mut findings);
    let expected = Finding::RanTwice { command: scene.identity(0, 2), first: Slot(2), again: Slot(4) };
    assert_eq!(findings.listed(), [expected]);
}

#[test]
fn a_wrong_slot_is_found() {
    let mut scene = Scene::new();
    *told(&mut scene, 0, 2).0 = 4;
    let command = scene.identity(0, 2);
    must_find(&scene, &Finding::WrongSlot { command, acknowledged: Slot(4), ran: Slot(2) });
}

#[test]
fn wrong_results_are_found() {
    let mut scene = Scene::new();
    told(&mut scene, 1, 2).1[1] = OperationResult::ApplicationFault;
    let command = scene.identity(1, 2);
    must_find(&scene, &Finding::WrongResults { command, slot: Slot(4) });
}

#[test]
fn a_command_that_nobody_sent_is_found() {
    let mut scene = Scene::new();
    let rogue = scene.command(1, 9, &[put("a", "stolen")]);
    scene.log[4].push(rogue);
    let command = scene.identity(1, 9);
    must_find(&scene, &Finding::NobodySent { command, slot: Slot(5) });
}

/// A menace keeps no journal: it may run what touches its own keys, once; nothing else, and nobody under the name of an honest client.
#[test]
fn a_menace_may_run_commands_on_its_own_keys_and_no_others() {
    let scene = Scene::new();
    scene.write();
    let claims = || Claims::new(journal::read_all(&scene.case.journals).unwrap());
    let menace = varangian_crypto::SigningKey::from_seed([99; 32]);
    let sign = |operations: &[varangian_application::kv::Operation]| {
        let operations: Vec<_> = operations.iter().map(varangian_application::kv::Operation::encode).collect();
        varangian_consensus::Command::sign(&menace, scene.committee.context(), 7, &operations).unwrap()
    };
    let found = |commands: &[varangian_consensus::Command]| {
        let (mut claims, mut findings) = (claims(), Findings::default());
        for (command, slot) in commands.iter().zip(3..) {
            claims.ran(command, (Slot(slot), 0), &[], &mut findings);
        }
        claims.all_ran(&mut Findings::default());
        findings.listed().to_vec()
    };
    let own = sign(&[put("menace/3", "x")]);
    assert_eq!(found(std::slice::from_ref(&own)), []);
    let identity = own.identity();
    let again = Finding::RanTwice { command: identity, first: Slot(3), again: Slot(4) };
    assert_eq!(found(&[own.clone(), own]), [again]);
    let nobody = |command| [Finding::NobodySent { command, slot: Slot(3) }];
    assert_eq!(found(&[sign(&[put("menace/3", "x"), add("n", 1)])]), nobody(identity));
    let borrowed = scene.command(1, 9, &[put("menace/3", "x")]);
    assert_eq!(found(std::slice::from_ref(&borrowed)), nobody(borrowed.identity()));
}

#[test]
fn other_operations_than_were_sent_are_found() {
    let mut scene = Scene::new();
    scene.note(0, 1).operations = vec![put("a", "2").encode().to_vec()];
    let command = scene.identity(0, 1);
    must_find(&scene, &Finding::OtherOperations { command, slot: Slot(1) });
}

#[test]
fn a_rejected_command_that_ran_is_found() {
    let mut scene = Scene::new();
    scene.note(0, 1).end = Some((15, Outcome::Rejected { reason: "no".into() }));
    let command = scene.identity(0, 1);
    must_find(&scene, &Finding::RejectedRan { command, slot: Slot(1) });
}

#[test]
fn a_rejected_command_that_never_ran_is_fine() {
    let mut scene = Scene::new();
    let end = Some((50, Outcome::Rejected { reason: "no".into() }));
    scene.notes.push(Note { client: 0, sequence: 4, sent_ms: 45, operations: vec![vec![1]], end });
    let verdict = scene.verdict();
    assert!(verdict.passed(), "{verdict}");
}

#[test]
fn a_counter_that_is_off_by_one_is_found() {
    let mut scene = Scene::new();
    scene.tamper = Box::new(|_, replica, execution| {
        if (replica, execution.slot) == (2, 5) {
            execution.state.push((b"m".to_vec(), Some(b"12".to_vec())));
        }
    });
    let expected =
        Finding::Counter { replica: ReplicaId(2), key: b"m".to_vec(), found: Some("12".into()), expected: 11 };
    must_find(&scene, &expected);
}

#[test]
fn a_counter_that_is_written_otherwise_has_no_sum() {
    let mut scene = Scene::new();
    let command = scene.command(0, 4, &[put("m", "0")]);
    scene.log.push(vec![command]);
    scene.reach = [6; 3];
    let run = scene.run();
    let reply = run[5].1.replies[0].as_ref().unwrap();
    let varangian_application::Outcome::Executed(results) = &reply.outcome else { panic!("ran") };
    let end = Some((60, Outcome::Committed { slot: 6, results: results.to_vec() }));
    scene.notes.push(Note {
        client: 0,
        sequence: 4,
        sent_ms: 58,
        operations: vec![put("m", "0").encode().to_vec()],
        end,
    });
    let verdict = scene.verdict();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!((verdict.safety.counters, verdict.safety.overwritten_counters), (1, 1));
}

#[test]
fn a_command_may_not_run_before_one_that_was_done_before_it_was_sent() {
    let mut scene = Scene::new();
    // The command of slot 5 is sent and done before that of slot 2 is sent.
    let note = scene.note(1, 3);
    note.sent_ms = 1;
    note.end.as_mut().unwrap().0 = 19;
    let (earlier, later) = (scene.identity(1, 3), scene.identity(0, 2));
    must_find(&scene, &Finding::Order { earlier, later });
}

#[test]
fn in_one_slot_the_order_counts_too() {
    let mut scene = Scene::new();
    let note = scene.note(1, 1);
    note.sent_ms = 1;
    note.end.as_mut().unwrap().0 = 9;
    let (earlier, later) = (scene.identity(1, 1), scene.identity(0, 1));
    must_find(&scene, &Finding::Order { earlier, later });
}

#[test]
fn commands_that_overlap_may_run_in_any_order() {
    let mut scene = Scene::new();
    let note = scene.note(1, 1);
    note.sent_ms = 1;
    note.end.as_mut().unwrap().0 = 10;
    let verdict = scene.verdict();
    assert!(verdict.passed(), "{verdict}");
}

#[test]
fn a_gap_that_is_too_long_is_found() {
    let mut scene = Scene::new();
    scene.case.max_gap = Duration::from_millis(19);
    let (gap, bound) = (Duration::from_millis(20), Duration::from_millis(19));
    must_find(&scene, &Finding::Gap { gap, from_ms: 25, to_ms: 45, bound });
}

#[test]
fn the_gaps_at_begin_and_end_count() {
    let mut scene = Scene::new();
    scene.case.load = (0, 200);
    let (gap, bound) = (Duration::from_millis(145), scene.case.max_gap);
    must_find(&scene, &Finding::Gap { gap, from_ms: 55, to_ms: 200, bound });
    let mut scene = Scene::new();
    scene.notes.iter_mut().for_each(|note| {
        note.sent_ms += 100;
        note.end.as_mut().unwrap().0 += 100;
    });
    scene.case.load = (10, 160);
    let gap = Duration::from_millis(105);
    must_find(&scene, &Finding::Gap { gap, from_ms: 10, to_ms: 115, bound });
}

#[test]
fn silence_fails_whatever_the_bound() {
    let mut scene = Scene::new();
    scene.case.load = (500, 501);
    must_find(&scene, &Finding::Silence);
}

#[test]
fn an_unresolved_command_fails_unless_that_is_allowed() {
    let mut scene = Scene::new();
    scene.note(1, 3).end = None;
    let command = scene.identity(1, 3);
    must_find(&scene, &Finding::Unresolved(command));

    let mut scene = Scene::new();
    scene.note(1, 3).end = Some((58, Outcome::Unknown));
    scene.case.allow_unresolved = true;
    let verdict = scene.verdict();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!((verdict.liveness.unresolved, verdict.safety.unacknowledged_ran, verdict.safety.counters), (1, 1, 2));
}

/// The search writes the store's rules down a second time: here they meet the store.
#[test]
fn what_the_real_store_answers_can_be_explained() {
    let mut scene = Scene::new();
    let key = b"x";
    let swap = |expected, new| Action::compare_and_swap(key, expected, new).unwrap();
    let actions = [
        Action::get(key).unwrap(),
        Action::delete(key).unwrap(),
        swap(Some(b"1"), Some(b"2")),
        swap(None, None),
        swap(None, Some(b"1")),
        Action::add(key, 4).unwrap(),
        Action::get(key).unwrap(),
        Action::add(key, i64::MAX).unwrap(),
        Action::put(key, b"text".to_vec()).unwrap(),
        Action::add(key, 1).unwrap(),
        swap(Some(b"1"), None),
        swap(Some(b"text"), None),
        Action::get(key).unwrap(),
        Action::put(key, b"+7".to_vec()).unwrap(),
        Action::add(key, -8).unwrap(),
        Action::get(key).unwrap(),
        Action::delete(key).unwrap(),
    ];
    let operations: Vec<Operation> = actions.into_iter().map(Operation::from).collect();
    scene.log = vec![vec![], vec![], vec![scene.command(0, 1, &operations)], vec![], vec![]];
    let one_by_one = operations
        .iter()
        .zip(2..)
        .map(|(operation, sequence)| vec![scene.command(1, sequence, std::slice::from_ref(operation))]);
    scene.log.extend(one_by_one.collect::<Vec<_>>());
    scene.reach = [scene.log.len(); 3];
    scene.notes = scene.as_told();
    scene.case.load = (0, 10 * scene.log.len() as u64 + 10);
    let verdict = scene.verdict();
    assert!(verdict.safety.findings.is_empty(), "{verdict}");
    let Linearizability { samples, operations: looked_at, .. } = verdict.safety.linearizability;
    assert_eq!((samples, looked_at), (1, 34));
}

#[test]
fn answers_that_no_order_explains_are_found_without_the_log() {
    let mut scene = Scene::new();
    // The sums of two additions, one after the other, exchanged.
    let (_, first) = told(&mut scene, 0, 2);
    let first = std::mem::take(first);
    let (_, last) = told(&mut scene, 0, 3);
    let last = std::mem::replace(last, first);
    *told(&mut scene, 0, 2).1 = last;
    let command = scene.identity(0, 2);
    must_find(&scene, &Finding::NotLinearizable { key: b"n".to_vec(), command });
}

/// Answers come 5 ms into each ten, and none in slot 3: between 25 and 45.
#[test]
fn what_does_not_recover_in_time_is_found() {
    let found = |turns: &[(u64, Turn)], bound: u64| {
        let mut scene = Scene::new();
        scene.case.turns = turns.to_vec();
        scene.case.recovers_within = Some(Duration::from_millis(bound));
        let verdict = scene.verdict();
        (verdict.liveness.findings.listed().to_vec(), verdict.liveness.worst_recovery_ms)
    };
    let late = |took, from_ms, bound| {
        let (took, bound) = (Duration::from_millis(took), Duration::from_millis(bound));
        vec![Finding::Recovery { took, from_ms, bound }]
    };
    use Turn::{GivenBack, Taken};
    assert_eq!(found(&[], 0), (vec![], None));
    assert_eq!(found(&[(11, Taken)], 0), (vec![], None));
    assert_eq!(found(&[(11, Taken), (26, GivenBack)], 19), (vec![], Some(19)));
    assert_eq!(found(&[(11, Taken), (26, GivenBack)], 18), (late(19, 26, 18), Some(19)));
    // The next fault comes first: it would have taken longer than until then.
    assert_eq!(found(&[(26, GivenBack), (44, Taken)], 17), (late(18, 26, 17), Some(18)));
    // Only then is all there that it takes.
    assert_eq!(found(&[(26, GivenBack), (44, GivenBack)], 1), (vec![], Some(1)));
    // The earlier of two is judged as well.
    assert_eq!(found(&[(26, GivenBack), (46, Taken), (54, GivenBack)], 5), (late(19, 26, 5), Some(19)));
    // Nothing comes any more: as long as the load went on.
    assert_eq!(found(&[(56, GivenBack)], 3), (late(4, 56, 3), Some(4)));
}
