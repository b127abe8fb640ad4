#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::testing::{committee, key};
use proptest::prelude::*;
use varangian_application::{OperationResult, Outcome};
use varangian_consensus::Slot;
use varangian_crypto::Parameters;

fn outcomes() -> Vec<Outcome> {
    let done = |bytes: Vec<u8>| OperationResult::Done(bytes.try_into().unwrap());
    vec![
        Outcome::Executed(Vec::new().try_into().unwrap()),
        Outcome::Executed(
            vec![done(vec![1, 2, 3]), OperationResult::ApplicationFault, done(vec![9; 5000])].try_into().unwrap(),
        ),
        Outcome::TooOld,
        Outcome::Refused,
    ]
}

fn reply(outcome: Outcome) -> Reply {
    let command = sha256("test", &[b"command"]);
    Reply { client: key(1).client_key(), sequence: 77, command, slot: Slot(5), outcome }
}

#[test]
fn a_peeked_reply_is_the_reply() {
    for outcome in outcomes() {
        let reply = reply(outcome);
        let frame = Bytes::from(encode(&Response::Reply { reply: reply.clone(), view: 12 }));
        assert_eq!(reply_frame(&encode(&reply), 12), frame);
        let peeked = ReplyFrame::peek(&frame).unwrap();
        assert_eq!(peeked.client(), reply.client.as_bytes());
        assert_eq!(peeked.sequence(), 77);
        assert_eq!(peeked.view(), 12);
        assert_eq!(peeked.is_too_old(), reply.outcome == Outcome::TooOld);
        assert_eq!(peeked.is_refused(), reply.outcome == Outcome::Refused);
        assert_eq!(peeked.reply().as_ref(), encode(&reply));
        assert_eq!(decode::<Reply>(peeked.reply()).unwrap(), reply);
        for length in 0..frame.len().min(90) {
            let cut = ReplyFrame::peek(&frame.slice(..length));
            assert!(cut.is_none_or(|cut| decode::<Reply>(cut.reply()).is_err()), "cut to {length}");
        }
    }
}

#[test]
fn an_outcome_of_one_byte_with_more_behind_it_is_not_too_old() {
    let mut bytes = encode(&Response::Reply { reply: reply(Outcome::TooOld), view: 0 });
    bytes.push(0);
    let peeked = ReplyFrame::peek(&bytes.into()).unwrap();
    assert!(!peeked.is_too_old());
    assert!(decode::<Reply>(peeked.reply()).is_err());
}

#[test]
fn other_responses_are_no_replies_and_come_back() {
    let client = key(2).client_key();
    let status = ReplicaStatus {
        replica: 3,
        view: 8,
        active: false,
        primary: 0,
        executed: 40,
        history: sha256("test", &[]),
        stable: 32,
        behind: true,
        waiting: 2,
        connected: 3,
        accused: vec![(1, 4)],
        stopped: Some("disk".into()),
    };
    let refusals = [NotTaken::Busy, NotTaken::TooOld, NotTaken::UnknownClient, NotTaken::Invalid, NotTaken::Stopped];
    let refusals = refusals.map(|reason| Response::NotTaken { client, sequence: 9, reason });
    for response in refusals.into_iter().chain([Response::Subscribed { client }, Response::Status(status)]) {
        let bytes = Bytes::from(encode(&response));
        assert_eq!(ReplyFrame::peek(&bytes), None);
        assert_eq!(decode::<Response>(&bytes).unwrap(), response);
    }
}

#[test]
fn requests_come_back() {
    let committee = committee(Parameters::default());
    let command = Command::sign(&key(1), committee.context(), 4, &[b"operation"]).unwrap();
    let subscribe = Request::subscribe(&key(1), committee.context(), &[7; 32]);
    for request in [Request::Command(command), subscribe, Request::Status] {
        let Encoded { head, body } = request.encode();
        let frame = Bytes::from([head, body].concat());
        assert_eq!(Request::decode(&frame).unwrap(), request);
        let longer = Bytes::from([frame.as_ref(), &[0]].concat());
        assert!(Request::decode(&longer).is_err(), "a byte too many");
        assert!(Request::decode(&frame.slice(..frame.len() - 1)).is_err(), "a byte too few");
    }
}

#[test]
fn a_subscription_is_worth_nothing_elsewhere() {
    let committee = committee(Parameters::default());
    let Request::Subscribe { client, signature } = Request::subscribe(&key(1), committee.context(), &[7; 32]) else {
        panic!("not a subscription")
    };
    let check = |context: &Context, client, exporter| check_subscription(context, &client, &signature, exporter);
    check(committee.context(), client, &[7; 32]).unwrap();
    assert!(check(committee.context(), client, &[8; 32]).is_err(), "another connection");
    assert!(check(committee.context(), key(2).client_key(), &[7; 32]).is_err(), "another client");
    let elsewhere = Context { chain_id: sha256("test", &[]), ..*committee.context() };
    assert!(check(&elsewhere, client, &[7; 32]).is_err(), "another chain");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..6) {
        let mut bytes = bytes;
        bytes.insert(0, kind);
        let bytes = Bytes::from(bytes);
        if let Ok(request) = Request::decode(&bytes) {
            let Encoded { head, body } = request.encode();
            prop_assert_eq!([head, body].concat(), bytes.as_ref());
        }
        if let Ok(response) = decode::<Response>(&bytes) {
            prop_assert_eq!(encode(&response), bytes.as_ref());
        }
        if let Some(reply) = ReplyFrame::peek(&bytes) {
            prop_assert!(reply.reply().len() + 9 == bytes.len());
        }
    }
}
