#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::parse::{Source, client_name, operations, transaction};
use super::print::{DONE, FAILED, Report, UNAVAILABLE, UNKNOWN, USAGE};
use super::*;
use clap::Parser;
use serde_json::{Value, json};
use varangian_application::OperationResult;
use varangian_application::kv::{Action, Answer, Condition, KvError, Operation, Response, Transaction};
use varangian_client::{ClientError, Committed, Rejection};
use varangian_consensus::Slot;
use varangian_crypto::{Digest, ReplicaId, encode};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    kv: KvArgs,
}

fn parsed(line: &[&str]) -> Result<KvArgs, clap::Error> {
    Arguments::try_parse_from([&["kv"], line].concat()).map(|arguments| arguments.kv)
}

fn asked(line: &[&str]) -> anyhow::Result<Option<Vec<Bytes>>> {
    operations(&parsed(line)?.command)
}

fn encoded(actions: Vec<Action>) -> Vec<Bytes> {
    actions.into_iter().map(|action| Operation::from(action).encode()).collect()
}

#[test]
fn every_form_asks_for_what_it_says() {
    let put = |key: &str, value: &str| Action::put(key.as_bytes(), value.as_bytes().to_vec()).unwrap();
    let cas = |expected: Option<&str>, new: Option<&str>| {
        Action::compare_and_swap(b"k", expected.map(str::as_bytes), new.map(str::as_bytes)).unwrap()
    };
    let forms: Vec<(&[&str], Vec<Action>)> = vec![
        (&["put", "k", "v"], vec![put("k", "v")]),
        (&["put", "k", ""], vec![put("k", "")]),
        (&["put", "--bundle", "a=1", "b=2=3", "c="], vec![put("a", "1"), put("b", "2=3"), put("c", "")]),
        (&["put", "a=1", "b=2", "--bundle"], vec![put("a", "1"), put("b", "2")]),
        (&["put", "a=1", "b=2"], vec![put("a=1", "b=2")]),
        (&["get", "k"], vec![Action::get(b"k").unwrap()]),
        (&["get", "k", "l"], vec![Action::get(b"k").unwrap(), Action::get(b"l").unwrap()]),
        (&["delete", "k", "l"], vec![Action::delete(b"k").unwrap(), Action::delete(b"l").unwrap()]),
        (&["cas", "k", "--expect", "1", "2"], vec![cas(Some("1"), Some("2"))]),
        (&["cas", "k", "2", "--absent"], vec![cas(None, Some("2"))]),
        (&["cas", "k", "--expect", "1", "--delete"], vec![cas(Some("1"), None)]),
        (&["add", "k", "-5"], vec![Action::add(b"k", -5).unwrap()]),
        (&["scan"], vec![Action::scan(b"", None, 100).unwrap()]),
        (&["scan", "p", "--after", "pa", "--limit", "7"], vec![Action::scan(b"p", Some(b"pa"), 7).unwrap()]),
    ];
    for (line, actions) in forms {
        assert_eq!(asked(line).unwrap(), Some(encoded(actions)), "{line:?}");
    }
    assert_eq!(asked(&["retry"]).unwrap(), None);
}

#[test]
fn what_makes_no_sense_is_refused_with_advice() {
    let refused = |line: &[&str]| format!("{:#}", asked(line).unwrap_err());
    assert!(refused(&["put", "k"]).contains("--bundle KEY=VALUE"), "{}", refused(&["put", "k"]));
    assert!(refused(&["put", "a=1", "b=2", "c=3"]).contains("--bundle"));
    assert!(refused(&["put", "--bundle", "a=1", "b"]).contains("\"b\""));
    assert!(refused(&["get", &"x".repeat(1025)]).contains("1025"));
    for line in [
        &["cas", "k", "2"][..],
        &["cas", "k", "--expect", "1"],
        &["cas", "k", "--expect", "1", "--absent", "2"],
        &["cas", "k", "--absent", "2", "--delete"],
        &["add", "k", "much"],
        &["get"],
        &["put"],
        &["get", "k", "--timeout", "0"],
        &["get", "k", "--client", "../other"],
        &[],
    ] {
        assert!(parsed(line).is_err(), "{line:?}");
    }
}

#[test]
fn a_clients_name_is_a_plain_name() {
    for name in ["default", "a-b_c.9"] {
        client_name(name).unwrap();
    }
    for name in ["", ".", "..", ".x", "a/b", "a b", "ä", &"x".repeat(65)] {
        client_name(name).unwrap_err();
    }
}

#[test]
fn a_transaction_is_what_its_text_says() {
    let text = r#"{
        "if": [{"exists": "a"}, {"absent": "b"}, {"equals": ["c", "1"]}],
        "then": [{"put": ["a", "1"]}, {"delete": "b"}, {"add": ["n", -5]}, {"get": "a"}, {"scan": "p"}],
        "else": [{"get": "c"}]
    }"#;
    let conditions = vec![
        Condition::exists(b"a").unwrap(),
        Condition::absent(b"b").unwrap(),
        Condition::equals(b"c", b"1").unwrap(),
    ];
    let then = vec![
        Action::put(b"a", "1").unwrap(),
        Action::delete(b"b").unwrap(),
        Action::add(b"n", -5).unwrap(),
        Action::get(b"a").unwrap(),
        Action::scan(b"p", None, 100).unwrap(),
    ];
    let expected = Transaction::new(conditions, then, vec![Action::get(b"c").unwrap()]).unwrap();
    assert_eq!(transaction(text).unwrap(), expected);
    let refused = |text: &str| format!("{:#}", transaction(text).unwrap_err());
    assert!(refused("{}").contains("does nothing"));
    assert!(refused("[").contains("txn --help"));
    assert!(refused(r#"{"when": []}"#).contains("when"));
    assert!(refused(r#"{"then": [{"put": "a"}]}"#).contains("txn --help"));
    assert_eq!("-".parse(), Ok(Source::Stdin));
    assert_eq!("file".parse(), Ok(Source::File("file".into())));
    let missing = format!("{:#}", asked(&["txn", "/nonexistent"]).unwrap_err());
    assert!(missing.contains("/nonexistent"), "{missing}");
}

fn committed(answers: Vec<Answer>) -> Result<Committed, ClientError> {
    let done = |answer: Answer| OperationResult::Done(encode(&answer).try_into().unwrap());
    committed_with(answers.into_iter().map(done).collect())
}

fn committed_with(results: Vec<OperationResult>) -> Result<Committed, ClientError> {
    Ok(Committed {
        sequence: 7,
        command: Digest::ZERO,
        slot: Slot(3),
        results,
        replicas: vec![ReplicaId(0), ReplicaId(2)],
        dissenters: vec![ReplicaId(1)],
    })
}

fn told(outcome: &Result<Committed, ClientError>) -> (u8, Value) {
    let report = Report { replicas: 4, sequence: None, outcome };
    (report.code(), report.json())
}

#[test]
fn what_ran_and_did_what_was_asked_is_0_and_all_else_is_1() {
    let single = |response| Answer::Single(response);
    let value = |text: &[u8]| text.try_into().unwrap();
    let transaction = |held| Answer::Transaction { held, responses: vec![Response::Counter(2)].try_into().unwrap() };
    let cases = [
        (single(Response::Value(Some(value(b"v")))), DONE, json!({"value": "v"})),
        (single(Response::Value(Some(value(&[0xff])))), DONE, json!({"value": {"hex": "ff"}})),
        (single(Response::Value(None)), DONE, json!({"value": null})),
        (single(Response::Written { existed: true }), DONE, json!({"existed": true})),
        (single(Response::Swapped), DONE, json!({"swapped": true})),
        (single(Response::NotSwapped { current: None }), FAILED, json!({"swapped": false, "current": null})),
        (single(Response::Counter(-4)), DONE, json!({"counter": -4})),
        (transaction(true), DONE, json!({"held": true, "responses": [{"counter": 2}]})),
        (transaction(false), FAILED, json!({"held": false, "responses": [{"counter": 2}]})),
    ];
    for (answer, code, expected) in cases {
        let (found, json) = told(&committed(vec![answer]));
        assert_eq!(found, code, "{expected}");
        assert_eq!(json["results"], json!([expected]));
        assert_eq!(json["outcome"], "committed");
        assert_eq!((&json["slot"], &json["sequence"]), (&json!(3), &json!(7)));
        assert_eq!((&json["replicas"], &json["dissenters"]), (&json!([0, 2]), &json!([1])));
    }
    let failed = committed(vec![single(Response::Swapped), Answer::Failed { action: 1, error: KvError::NotANumber }]);
    let (code, json) = told(&failed);
    assert_eq!((code, &json["results"][1]["action"]), (FAILED, &json!(1)));
    assert_eq!(told(&committed_with(vec![OperationResult::ApplicationFault])).0, FAILED);
    assert_eq!(told(&committed_with(vec![OperationResult::TooLarge { size: 9 }])).0, FAILED);
    assert_eq!(told(&committed_with(vec![OperationResult::Done(vec![99].try_into().unwrap())])).0, FAILED);
}

#[test]
fn what_did_not_run_says_so_by_its_code() {
    let unknown = ClientError::Unknown { sequence: 7, sent: vec![ReplicaId(2)], answers: 1 };
    let rejected = |reason| ClientError::Rejected { sequence: 7, reason };
    let cases = [
        (unknown, UNKNOWN, "unknown"),
        (ClientError::StillUnknown { sequence: 7, why: "r0: silent".into() }, UNKNOWN, "unknown"),
        (rejected(Rejection::TooOld), UNKNOWN, "unknown"),
        (rejected(Rejection::Refused), FAILED, "rejected"),
        (rejected(Rejection::Invalid), FAILED, "rejected"),
        (ClientError::SequenceUsed { sequence: 7, slot: Slot(1) }, FAILED, "rejected"),
        (ClientError::Unavailable { why: "r0: silent".into() }, UNAVAILABLE, "unavailable"),
        (ClientError::TooLarge { found: 2, maximum: 1, unit: "bytes" }, USAGE, "error"),
    ];
    for (error, code, kind) in cases {
        let reason = error.to_string();
        let (found, json) = told(&Err(error));
        assert_eq!((found, &json["outcome"]), (code, &json!(kind)));
        assert_eq!(json["reason"], json!(reason));
    }
}
