//! The client against replicas that are honest, silent, slow, busy and lying. Every wait is for an event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod replicas;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use replicas::{Behaviour, Replicas, Seen, client_key, options};
use varangian_application::OperationResult;
use varangian_application::kv::{Action, Answer, Operation, Response};
use varangian_client::protocol::NotTaken;
use varangian_client::{Client, ClientError, Connections, LinkState, Options, Rejection};
use varangian_consensus::Slot;
use varangian_crypto::{Parameters, ReplicaId};

use Behaviour::{Busy, Chatterer, Honest, Liar, OtherCommand, Refuses, Repeater, Silent};

fn add(delta: i64) -> Bytes {
    Operation::from(Action::add(b"n", delta).unwrap()).encode()
}

fn get() -> Bytes {
    Operation::from(Action::get(b"n").unwrap()).encode()
}

fn response(result: &OperationResult) -> Response {
    let OperationResult::Done(bytes) = result else { panic!("not done: {result:?}") };
    match Answer::decode(bytes).unwrap() {
        Answer::Single(response) => response,
        other => panic!("not a single answer: {other:?}"),
    }
}

fn counter(result: &OperationResult) -> i64 {
    match response(result) {
        Response::Counter(sum) => sum,
        other => panic!("not a counter: {other:?}"),
    }
}

/// A deadline that passes while too few answer.
fn hasty() -> Options {
    Options { deadline: Duration::from_millis(1500), ..options() }
}

#[tokio::test]
async fn a_bundle_commits_and_each_operation_has_its_result() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    let committed = session.submit_with(1, &[add(5), add(-2), get()]).await.unwrap();
    assert_eq!(committed.slot, Slot(1));
    assert_eq!(committed.sequence, 1);
    assert!(committed.replicas.len() >= 2, "{:?}", committed.replicas);
    assert_eq!(counter(&committed.results[0]), 5);
    assert_eq!(counter(&committed.results[1]), 3);
    assert!(matches!(response(&committed.results[2]), Response::Value(Some(value)) if &*value == b"3"));
}

#[tokio::test]
async fn the_primary_is_asked_first_and_the_hint_is_followed() {
    let mut replicas = Replicas::start(vec![Honest; 4]).await;
    replicas.world().view = 2;
    let patient = Options { fan_out_after: Some(Duration::from_secs(1000)), ..options() };
    let connections = Connections::open(&replicas.network(), patient).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    // Statuses name the view; the answer to one that is asked for now comes after the first.
    for id in 0..4 {
        connections.status(ReplicaId(id)).await.unwrap();
    }
    assert_eq!(connections.primary(), ReplicaId(2));
    session.submit_with(1, &[add(1)]).await.unwrap();
    replicas.world().view = 7;
    // The reply to this one says that the view is 7: replica 3 leads.
    replicas.world().backups_order = true;
    session.submit_with(2, &[add(1)]).await.unwrap();
    while connections.primary() != ReplicaId(3) {
        tokio::task::yield_now().await;
    }
    replicas.world().backups_order = false;
    session.submit_with(3, &[add(1)]).await.unwrap();
    let asked: Vec<_> = replicas
        .drain()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Command(id, identity, _) => Some((id.0, identity.sequence)),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(2, 1), (2, 2), (3, 3)]);
}

/// Backups see how a primary treats clients by those commands that go to all replicas at once, whether or not the primary is quick.
#[tokio::test]
async fn witnessed_commands_go_to_all_replicas_at_once() {
    let mut replicas = Replicas::start(vec![Silent; 4]).await;
    let fan_out_after = Some(Duration::from_secs(1000));
    let witnessed = Options { fan_out_after, witnessed_one_in: 1, ..options() };
    let connections = Connections::open(&replicas.network(), witnessed).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    for id in 0..4 {
        connections.status(ReplicaId(id)).await.unwrap();
    }
    let mut asked = BTreeSet::new();
    let all_are_asked = async {
        while asked.len() < 4 {
            asked.extend(replicas.drain().into_iter().filter_map(|seen| match seen {
                Seen::Command(id, ..) => Some(id),
                _ => None,
            }));
            tokio::task::yield_now().await;
        }
    };
    let operations = [add(1)];
    tokio::select! {
        answer = session.submit_with(1, &operations) => panic!("nobody answers: {answer:?}"),
        () = all_are_asked => {}
    }
}

#[tokio::test]
async fn one_liar_cannot_move_the_hint() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    for id in 0..4 {
        // Each status names another view: only what two name or exceed is believed.
        replicas.world().view = if id == 3 { 1_000_001 } else { 0 };
        connections.status(ReplicaId(id)).await.unwrap();
    }
    assert_eq!(connections.primary(), ReplicaId(0));
}

#[tokio::test]
async fn a_silent_primary_costs_a_time_out_and_then_everybody_is_asked() {
    let mut replicas = Replicas::start(vec![Silent, Honest, Honest, Honest]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    connections.connected(4).await;
    let session = connections.session(client_key(0)).unwrap();
    let submitted = tokio::spawn(async move { session.submit_with(1, &[add(1)]).await });
    let (_, at_primary) = replicas.command_at(0).await;
    let (_, at_backup) = replicas.command_at(2).await;
    assert_eq!(at_primary, at_backup, "the same command");
    replicas.world().backups_order = true;
    let committed = submitted.await.unwrap().unwrap();
    assert!(!committed.replicas.contains(&ReplicaId(0)));
    assert_eq!(replicas.world().executions.values().copied().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn f_liars_never_fool_and_are_named() {
    for liar in [Liar(7), Chatterer(7)] {
        let replicas = Replicas::start(vec![Honest, Honest, Honest, liar]).await;
        replicas.world().ordering = false;
        let connections = Connections::open(&replicas.network(), options()).unwrap();
        let session = connections.session(client_key(0)).unwrap();
        let world = replicas.world.clone();
        let submitted = tokio::spawn(async move { session.submit_with(1, &[add(1)]).await });
        // The liar has told its lies before anybody else says a word.
        let mut replicas = replicas;
        replicas.command_at(3).await;
        replicas.command_at(3).await;
        assert!(!submitted.is_finished(), "one voice is not enough, however often it is raised");
        world.lock().unwrap().ordering = true;
        let committed = submitted.await.unwrap().unwrap();
        assert_eq!(counter(&committed.results[0]), 1);
        assert!(!committed.replicas.contains(&ReplicaId(3)));
        assert_eq!(committed.dissenters, [ReplicaId(3)]);
    }
}

#[tokio::test]
async fn one_replica_that_answers_often_counts_once() {
    let mut replicas = Replicas::start(vec![Repeater, Silent, Silent, Silent]).await;
    let connections = Connections::open(&replicas.network(), hasty()).unwrap();
    connections.connected(4).await;
    let session = connections.session(client_key(0)).unwrap();
    let error = session.submit_with(1, &[add(1)]).await.unwrap_err();
    let ClientError::Unknown { sequence: 1, sent, answers: 1 } = &error else { panic!("{error}") };
    assert!(sent.contains(&ReplicaId(0)));
    assert!(error.to_string().contains("varangian kv retry"), "{error}");
    assert!(replicas.drain().len() > 4);
}

#[tokio::test]
async fn liars_with_different_lies_decide_nothing() {
    // More than f, each with its own lie: no two alike, so no answer rather than a wrong one.
    let replicas = Replicas::start(vec![Liar(1), Liar(2), Liar(3), Liar(4)]).await;
    let connections = Connections::open(&replicas.network(), hasty()).unwrap();
    connections.connected(4).await;
    let session = connections.session(client_key(0)).unwrap();
    let error = session.submit_with(1, &[add(1)]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { answers: 2.., .. }), "{error}");
}

#[tokio::test]
async fn busy_is_retried_until_there_is_room() {
    let replicas = Replicas::start(vec![Busy(5), Honest, Honest, Honest]).await;
    let patient = Options { fan_out_after: Some(Duration::from_secs(1000)), ..options() };
    let connections = Connections::open(&replicas.network(), patient).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    session.submit_with(1, &[add(1)]).await.unwrap();
    assert_eq!(replicas.world().behaviours[0], Busy(0), "it was asked until it took the command");
}

#[tokio::test]
async fn a_refusal_counts_from_f_plus_one() {
    for (reason, rejection) in [
        (NotTaken::Invalid, Rejection::Invalid),
        (NotTaken::UnknownClient, Rejection::Refused),
        (NotTaken::TooOld, Rejection::TooOld),
    ] {
        let mut replicas = Replicas::start(vec![Refuses(reason), Silent, Silent, Silent]).await;
        let connections = Connections::open(&replicas.network(), options()).unwrap();
        let session = connections.session(client_key(0)).unwrap();
        let submitted = tokio::spawn(async move { session.submit_with(1, &[add(1)]).await });
        for _ in 0..3 {
            replicas.command_at(0).await;
        }
        assert!(!submitted.is_finished(), "the word of one is not believed");
        replicas.behave(1, Refuses(reason));
        let error = submitted.await.unwrap().unwrap_err();
        assert!(matches!(error, ClientError::Rejected { sequence: 1, reason } if reason == rejection), "{error}");
        assert_eq!(error.is_unknown(), rejection == Rejection::TooOld);
    }
}

#[tokio::test]
async fn a_number_that_was_used_for_another_command_is_said_so() {
    let replicas = Replicas::start(vec![OtherCommand, OtherCommand, OtherCommand, OtherCommand]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    let error = session.submit_with(1, &[add(1)]).await.unwrap_err();
    assert!(matches!(error, ClientError::SequenceUsed { sequence: 1, slot: Slot(9) }), "{error}");
}

#[tokio::test]
async fn two_commands_with_one_number_run_once_and_the_second_learns_of_it() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    session.submit_with(1, &[add(1)]).await.unwrap();
    let error = session.submit_with(1, &[add(2)]).await.unwrap_err();
    assert!(matches!(error, ClientError::SequenceUsed { .. }), "{error}");
    let again = session.submit_with(1, &[add(1)]).await.unwrap();
    assert_eq!(counter(&again.results[0]), 1, "the original reply");
    assert_eq!(replicas.world().executions.values().copied().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_number_below_the_window_is_too_old() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    session.submit_with(1000, &[add(1)]).await.unwrap();
    let error = session.submit_with(1, &[add(1)]).await.unwrap_err();
    assert!(matches!(error, ClientError::Rejected { reason: Rejection::TooOld, .. }), "{error}");
    assert!(error.is_unknown());
}

#[tokio::test]
async fn an_uninvited_client_is_rejected() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    let session = connections.session(client_key(50)).unwrap();
    let error = session.submit_with(1, &[add(1)]).await.unwrap_err();
    assert!(matches!(error, ClientError::Rejected { reason: Rejection::Refused, .. }), "{error}");
}

#[tokio::test]
async fn without_anybody_nothing_is_sent() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    // At each address the next replica: its key is not the pinned one.
    let mut swapped = replicas.addresses.clone();
    swapped.rotate_left(1);
    let ids = replicas.genesis.quorums().replicas();
    let wrong_keys = varangian_client::Network::new(replicas.genesis.clone(), ids.zip(swapped)).unwrap();
    let connections = Connections::open(&wrong_keys, hasty()).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    let error = session.submit_with(1, &[add(1)]).await.unwrap_err();
    let ClientError::Unavailable { why } = &error else { panic!("{error}") };
    assert!(why.contains("handshake was refused"), "{why}");
    assert!(!error.is_unknown());
    assert!(connections.states().iter().all(|state| !matches!(state, LinkState::Up(_))));
    assert!(replicas.world().executions.is_empty());
}

#[tokio::test]
async fn a_wrong_key_at_one_address_does_not_matter() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    let mut addresses = replicas.addresses.clone();
    addresses[0] = addresses[1];
    let ids = replicas.genesis.quorums().replicas();
    let network = varangian_client::Network::new(replicas.genesis.clone(), ids.zip(addresses)).unwrap();
    replicas.world().backups_order = true;
    let connections = Connections::open(&network, options()).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    let committed = session.submit_with(1, &[add(1)]).await.unwrap();
    assert!(!committed.replicas.contains(&ReplicaId(0)));
}

#[tokio::test]
async fn a_broken_connection_comes_back_and_the_command_goes_out_again() {
    let mut replicas = Replicas::start(vec![Honest; 4]).await;
    replicas.world().ordering = false;
    let patient = Options { fan_out_after: Some(Duration::from_secs(1000)), ..options() };
    let connections = Connections::open(&replicas.network(), patient).unwrap();
    connections.connected(4).await;
    let session = connections.session(client_key(0)).unwrap();
    let submitted = tokio::spawn(async move { session.submit_with(1, &[add(1)]).await });
    let (_, first) = replicas.command_at(0).await;
    replicas.world().ordering = true;
    replicas.disconnect(0);
    let (_, again) = replicas.command_at(0).await;
    assert_eq!(first, again, "the same command");
    submitted.await.unwrap().unwrap();
    assert_eq!(replicas.world().executions.values().copied().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn many_clients_share_the_connections() {
    let mut replicas = Replicas::start(vec![Honest; 4]).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let session = connections.session(client_key(number)).unwrap();
        tasks.spawn(async move {
            for sequence in 1..=25 {
                session.submit_with(sequence, &[add(1)]).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let executions = replicas.world().executions.clone();
    assert_eq!(executions.len(), 200);
    assert!(executions.values().all(|times| *times == 1));
    let opened = replicas.drain().into_iter().filter(|seen| matches!(seen, Seen::Opened(_))).count();
    assert_eq!(opened, 4, "one connection per replica");
}

#[tokio::test]
async fn a_command_beyond_the_limits_is_not_even_sent() {
    let parameters = Parameters { max_batch_operations: 2, max_command_bytes: 600, ..Parameters::default() };
    let replicas = Replicas::start_with(vec![Honest; 4], parameters).await;
    let connections = Connections::open(&replicas.network(), options()).unwrap();
    let session = connections.session(client_key(0)).unwrap();
    let too_many = session.submit_with(1, &[add(1), add(1), add(1)]).await.unwrap_err();
    assert!(matches!(too_many, ClientError::TooLarge { found: 3, maximum: 2, .. }), "{too_many}");
    let put = Operation::from(Action::put(b"k", vec![0; 600]).unwrap()).encode();
    assert!(matches!(session.submit_with(1, &[put]).await.unwrap_err(), ClientError::TooLarge { .. }));
    let nothing: [Bytes; 0] = [];
    assert!(matches!(session.submit_with(1, &nothing).await.unwrap_err(), ClientError::Command(_)));
}

#[tokio::test]
async fn an_unknown_outcome_is_told_by_a_retry_and_runs_once() {
    let replicas = Replicas::start(vec![Honest, Silent, Silent, Silent]).await;
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let client = Client::connect(&replicas.network(), client_key(0), &journal, hasty()).await.unwrap();
    client.connections().connected(4).await;
    let error = client.submit(&[add(3)]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
    client.close().await.unwrap();

    (1..4).for_each(|replica| replicas.behave(replica, Honest));
    let client = Client::connect(&replicas.network(), client_key(0), &journal, options()).await.unwrap();
    assert_eq!(client.unfinished(), 1);
    let committed = client.submit(&[add(10)]).await.unwrap();
    assert_eq!(counter(&committed.results[0]), 13, "it did run");
    let recovered = client.recover().await.unwrap();
    let [one] = recovered.as_slice() else { panic!("{recovered:?}") };
    assert_eq!(one.operations, [add(3)]);
    assert_eq!(counter(&one.outcome.as_ref().unwrap().results[0]), 3, "the original result");
    assert!(client.recover().await.unwrap().is_empty());
    client.close().await.unwrap();
    assert!(replicas.world().executions.values().all(|times| *times == 1));

    let client = Client::connect(&replicas.network(), client_key(0), &journal, options()).await.unwrap();
    assert_eq!(client.unfinished(), 0);
}

#[tokio::test]
async fn the_same_process_can_ask_again_too() {
    let replicas = Replicas::start(vec![Honest, Silent, Silent, Silent]).await;
    let directory = tempfile::tempdir().unwrap();
    let client = Client::connect(&replicas.network(), client_key(0), directory.path(), hasty()).await.unwrap();
    client.connections().connected(4).await;
    client.submit(&[add(3)]).await.unwrap_err();
    (1..4).for_each(|replica| replicas.behave(replica, Honest));
    let recovered = client.recover().await.unwrap();
    assert_eq!(recovered.len(), 1);
    assert_eq!(counter(&recovered[0].outcome.as_ref().unwrap().results[0]), 3);
}

#[tokio::test]
async fn what_was_never_sent_is_not_retried() {
    let replicas = Replicas::start(vec![Honest; 4]).await;
    let mut nowhere = replicas.addresses.clone();
    nowhere.rotate_left(1);
    let ids = replicas.genesis.quorums().replicas();
    let network = varangian_client::Network::new(replicas.genesis.clone(), ids.zip(nowhere)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let client = Client::connect(&network, client_key(0), directory.path(), hasty()).await.unwrap();
    let error = client.submit(&[add(3)]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    assert!(client.recover().await.unwrap().is_empty());
    client.close().await.unwrap();
    let client = Client::connect(&replicas.network(), client_key(0), directory.path(), options()).await.unwrap();
    assert_eq!(client.unfinished(), 0);
    assert!(client.recover().await.unwrap().is_empty());
    assert!(replicas.world().executions.is_empty());
}

#[tokio::test]
async fn a_dropped_submission_stays_in_the_journal() {
    let mut replicas = Replicas::start(vec![Honest; 4]).await;
    replicas.world().ordering = false;
    let directory = tempfile::tempdir().unwrap();
    let client = Client::connect(&replicas.network(), client_key(0), directory.path(), options()).await.unwrap();
    let operations = [add(3)];
    tokio::select! {
        outcome = client.submit(&operations) => panic!("{outcome:?}"),
        _ = replicas.command_at(0) => {}
    }
    replicas.world().ordering = true;
    let recovered = client.recover().await.unwrap();
    assert_eq!(counter(&recovered[0].outcome.as_ref().unwrap().results[0]), 3);
}

#[tokio::test]
async fn many_commands_are_pipelined_within_the_window() {
    let replicas =
        Replicas::start_with(vec![Honest; 4], Parameters { client_window: 64, ..Parameters::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let client = Client::connect(&replicas.network(), client_key(0), directory.path(), options()).await.unwrap();
    let client = std::sync::Arc::new(client);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let client = std::sync::Arc::clone(&client);
        tasks.spawn(async move { client.submit(&[add(1)]).await.unwrap() });
    }
    let mut sequences = std::collections::BTreeSet::new();
    while let Some(ended) = tasks.join_next().await {
        assert!(sequences.insert(ended.unwrap().sequence), "a number twice");
    }
    let total = client.submit(&[add(0)]).await.unwrap();
    assert_eq!(counter(&total.results[0]), 300);
}

#[tokio::test]
async fn a_stuck_command_holds_back_later_numbers_and_is_not_pushed_out() {
    // Client window 64: with one command without an answer, numbers stop three quarters of a window above it.
    let mut replicas =
        Replicas::start_with(vec![Honest; 4], Parameters { client_window: 64, ..Parameters::default() }).await;
    replicas.world().ordering = false;
    let directory = tempfile::tempdir().unwrap();
    let slow = Options {
        fan_out_after: Some(Duration::from_millis(500)),
        retransmit_cap: Duration::from_secs(1),
        ..options()
    };
    let client = Client::connect(&replicas.network(), client_key(0), directory.path(), slow).await.unwrap();
    let client = std::sync::Arc::new(client);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let client = std::sync::Arc::clone(&client);
        tasks.spawn(async move { client.submit(&[add(1)]).await.unwrap().sequence });
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 48 {
        seen.insert(replicas.command_at(0).await.0.sequence);
    }
    // All of them again, by retransmission: nothing new among them.
    for _ in 0..96 {
        seen.insert(replicas.command_at(0).await.0.sequence);
    }
    assert_eq!(seen.len(), 48);
    assert!(seen.last().unwrap() - seen.first().unwrap() < 48);
    replicas.world().ordering = true;
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
