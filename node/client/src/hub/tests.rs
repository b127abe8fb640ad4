#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::testing::{committee, key};
use varangian_crypto::{Parameters, encode};

type Queues = Vec<mpsc::Receiver<Outgoing>>;

fn hub() -> (Arc<Hub>, Queues) {
    let (hub, queues) = Hub::new(committee(Parameters::default()), Options { queue: 2, ..Options::default() });
    (Arc::new(hub), queues)
}

fn command(hub: &Hub, sequence: u64) -> Command {
    Command::sign(&key(0), hub.committee.context(), sequence, &[b"operation"]).unwrap()
}

#[test]
fn a_number_is_on_its_way_once_at_a_time() {
    let (hub, _queues) = hub();
    let entered = hub.enter(command(&hub, 1)).unwrap();
    assert!(matches!(hub.enter(command(&hub, 1)), Err(ClientError::Outstanding { sequence: 1 })));
    let other = hub.enter(command(&hub, 2)).unwrap();
    drop(entered);
    hub.enter(command(&hub, 1)).unwrap();
    drop(other);
    assert!(locked(&hub.pending).is_empty());
}

#[test]
fn once_its_outcome_is_told_a_command_is_sent_to_nobody() {
    let (hub, _queues) = hub();
    let entered = hub.enter(command(&hub, 1)).unwrap();
    assert!(entered.pending.sending(ReplicaId(2)));
    assert!(entered.pending.sending(ReplicaId(0)));
    assert!(entered.pending.sending(ReplicaId(2)));
    assert_eq!(entered.pending.close(), (vec![ReplicaId(0), ReplicaId(2)], 0));
    assert!(!entered.pending.sending(ReplicaId(1)));
    assert_eq!(entered.pending.close().0, [ReplicaId(0), ReplicaId(2)], "and is not counted as sent");
    let pending = Arc::clone(&hub.enter(command(&hub, 2)).unwrap().pending);
    assert!(!pending.sending(ReplicaId(0)), "nor when nobody waits for it");
}

#[test]
fn the_hint_is_what_f_plus_one_name_or_exceed() {
    let (hub, _queues) = hub();
    let name = |id: usize, view| hub.learn_view(&hub.links[id], view);
    name(3, 1_000_003);
    assert_eq!(hub.primary(), ReplicaId(0), "one voice moves nothing");
    name(1, 6);
    assert_eq!(hub.primary(), ReplicaId(2));
    name(0, 6);
    name(2, 7);
    assert_eq!(hub.primary(), ReplicaId(3));
}

#[test]
fn queues_are_bounded_and_hold_nothing_for_a_lost_connection() {
    let (hub, mut queues) = hub();
    assert!(!hub.links[1].offer(Outgoing::Status(oneshot::channel().0)), "not connected");
    hub.set_state(ReplicaId(1), LinkState::Up(1));
    assert!(hub.links[1].offer(Outgoing::Status(oneshot::channel().0)));
    assert!(hub.links[1].offer(Outgoing::Status(oneshot::channel().0)));
    assert!(!hub.links[1].offer(Outgoing::Status(oneshot::channel().0)), "full");
    assert_eq!(queues[1].len(), 2);
    hub.set_state(ReplicaId(1), LinkState::Down("gone".into()));
    queues[1].try_recv().unwrap();
    assert!(!hub.links[1].offer(Outgoing::Status(oneshot::channel().0)));
    assert!(hub.links[1].is_down());
}

#[test]
fn sessions_are_counted_and_bounded() {
    let (hub, _queues) = hub();
    hub.register(&key(0)).unwrap();
    hub.register(&key(0)).unwrap();
    hub.register(&key(1)).unwrap();
    hub.unregister(&key(0).client_key());
    assert_eq!(hub.clients().len(), 2);
    hub.unregister(&key(0).client_key());
    assert_eq!(hub.clients(), [key(1).client_key()]);
    let mut clients = locked(&hub.clients);
    for number in 0..MAX_SESSIONS as u64 {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let key = SigningKey::from_seed(seed);
        clients.insert(key.client_key(), (key, 1));
    }
    drop(clients);
    assert!(matches!(hub.register(&key(2)), Err(ClientError::TooManySessions { .. })));
    hub.register(&key(1)).unwrap();
}

#[test]
fn frames_that_make_no_sense_change_nothing() {
    let (hub, _queues) = hub();
    hub.receive(ReplicaId(0), &bytes::Bytes::from_static(&[9, 9])).unwrap_err();
    hub.receive(ReplicaId(0), &bytes::Bytes::new()).unwrap_err();
    let (asker, mut answer) = oneshot::channel();
    assert!(hub.links[1].asks(Some(asker)));
    let frame = status(50);
    hub.receive(ReplicaId(1), &frame).unwrap();
    answer.try_recv().expect_err("another's name");
    // Nobody asked.
    hub.receive(ReplicaId(2), &frame).unwrap();
}

/// Whoever gave up waiting leaves his answer to nobody: it was given before the next one asked.
#[test]
fn an_answer_goes_to_who_asked_for_it() {
    let (hub, _queues) = hub();
    let (first, gave_up) = oneshot::channel();
    let (second, mut answer) = oneshot::channel();
    assert!([None, Some(first), Some(second)].into_iter().all(|asker| hub.links[2].asks(asker)));
    drop(gave_up);
    for view in [1, 2] {
        hub.receive(ReplicaId(2), &status(view)).unwrap();
        answer.try_recv().expect_err("that was the answer to an earlier question");
    }
    hub.receive(ReplicaId(2), &status(3)).unwrap();
    assert_eq!(answer.try_recv().unwrap().view, 3);

    let (lost, mut answer) = oneshot::channel();
    assert!(hub.links[2].asks(Some(lost)));
    hub.links[2].forget_questions();
    hub.receive(ReplicaId(2), &status(4)).unwrap();
    answer.try_recv().expect_err("the connection on which it was asked is gone");
}

#[test]
fn a_replica_that_answers_nothing_is_not_asked_for_ever() {
    let (hub, _queues) = hub();
    assert_eq!((0..10_000).filter(|_| hub.links[3].asks(None)).count(), MAX_QUESTIONS);
    hub.links[3].forget_questions();
    assert!(hub.links[3].asks(None), "a new connection, new questions");
}

/// The third replica's word that it is in this view.
fn status(view: u64) -> bytes::Bytes {
    let status = ReplicaStatus {
        replica: 2,
        view,
        active: true,
        primary: 2,
        executed: 0,
        history: varangian_crypto::Digest::ZERO,
        stable: 0,
        behind: false,
        waiting: 0,
        connected: 0,
        accused: Vec::new(),
        stopped: None,
    };
    encode(&Response::Status(status)).into()
}
