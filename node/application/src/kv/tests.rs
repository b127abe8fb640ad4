//! Each action, transactions, and the store against a plain map.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::limits::{Limit, SMALL_RESULT_BYTES};
use crate::memory::MemoryState;
use crate::overlay::Overlay;
use crate::reply::OperationResult;
use crate::testing::{Chain, client, command, operate, results, state_of};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A store with one client, that runs one operation per slot.
struct Store {
    chain: Chain<KeyValue>,
    sequence: u64,
}

impl Store {
    fn new() -> Self {
        Self { chain: Chain::new(KeyValue), sequence: 0 }
    }

    fn result(&mut self, operation: impl Into<Operation>) -> OperationResult {
        self.sequence += 1;
        let reply = self.chain.run(command(&client(1), self.sequence, &[&operation.into().encode()]));
        results(&reply).pop().unwrap()
    }

    fn answer(&mut self, operation: impl Into<Operation>) -> Answer {
        match self.result(operation) {
            OperationResult::Done(bytes) => Answer::decode(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn response(&mut self, action: Result<Action, varangian_crypto::CodecError>) -> Response {
        match self.answer(action.unwrap()) {
            Answer::Single(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn query(&self, query: &Query) -> Answer {
        match self.chain.executor.query(&self.chain.state, &query.encode()).unwrap() {
            OperationResult::Done(bytes) => Answer::decode(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn value_of(bytes: &[u8]) -> Response {
    Response::Value(Some(bytes.try_into().unwrap()))
}

const ABSENT: Response = Response::Value(None);

#[test]
fn put_get_delete() {
    let mut store = Store::new();
    assert_eq!(store.response(Action::get(b"k")), ABSENT);
    assert_eq!(store.response(Action::put(b"k", "v1")), Response::Written { existed: false });
    assert_eq!(store.response(Action::put(b"k", "v2")), Response::Written { existed: true });
    assert_eq!(store.response(Action::get(b"k")), value_of(b"v2"));
    assert_eq!(store.query(&Query::Get { key: b"k"[..].try_into().unwrap() }), Answer::Single(value_of(b"v2")));
    assert_eq!(store.response(Action::delete(b"k")), Response::Written { existed: true });
    assert_eq!(store.response(Action::delete(b"k")), Response::Written { existed: false });
    assert_eq!(store.response(Action::get(b"k")), ABSENT);
    assert_eq!(store.response(Action::put(b"", "")), Response::Written { existed: false });
    assert_eq!(store.response(Action::get(b"")), value_of(b""), "an empty value is not an absent one");
}

#[test]
fn compare_and_swap_in_every_combination() {
    let mut store = Store::new();
    let current = |bytes: Option<&[u8]>| Response::NotSwapped { current: bytes.map(|bytes| bytes.try_into().unwrap()) };
    let mut cas =
        |expected: Option<&[u8]>, new: Option<&[u8]>| store.response(Action::compare_and_swap(b"k", expected, new));
    assert_eq!(cas(Some(b"1"), Some(b"2")), current(None));
    assert_eq!(cas(None, None), Response::Swapped);
    assert_eq!(cas(None, Some(b"1")), Response::Swapped);
    assert_eq!(cas(None, Some(b"2")), current(Some(b"1")));
    assert_eq!(cas(Some(b"2"), None), current(Some(b"1")));
    assert_eq!(cas(Some(b"1"), Some(b"2")), Response::Swapped);
    assert_eq!(cas(Some(b"2"), None), Response::Swapped);
    assert_eq!(cas(Some(b"2"), Some(b"3")), current(None));
}

#[test]
fn add_counts_in_decimal_and_refuses_what_it_cannot_count() {
    let mut store = Store::new();
    let failed = |error| Answer::Failed { action: 0, error };
    assert_eq!(store.response(Action::add(b"n", 5)), Response::Counter(5));
    assert_eq!(store.response(Action::add(b"n", -12)), Response::Counter(-7));
    assert_eq!(store.response(Action::get(b"n")), value_of(b"-7"));
    store.response(Action::put(b"n", i64::MAX.to_string()));
    assert_eq!(store.answer(Action::add(b"n", 1).unwrap()), failed(KvError::Overflow));
    assert_eq!(store.response(Action::get(b"n")), value_of(i64::MAX.to_string().as_bytes()));
    assert_eq!(store.response(Action::add(b"n", 0)), Response::Counter(i64::MAX));
    for text in ["", "1.5", "seven", "9223372036854775808", " 1"] {
        store.response(Action::put(b"n", text));
        assert_eq!(store.answer(Action::add(b"n", 1).unwrap()), failed(KvError::NotANumber), "{text:?}");
        assert_eq!(store.response(Action::get(b"n")), value_of(text.as_bytes()));
    }
    store.response(Action::put(b"n", vec![0xff]));
    assert_eq!(store.answer(Action::add(b"n", 1).unwrap()), failed(KvError::NotANumber));
}

fn scanned(response: &Response) -> (Vec<&[u8]>, bool) {
    match response {
        Response::Entries { entries, more } => (entries.iter().map(|entry| &*entry.key).collect(), *more),
        other => panic!("{other:?}"),
    }
}

#[test]
fn scan_pages_by_prefix() {
    let mut store = Store::new();
    for key in ["a/1", "a/2", "a/3", "b"] {
        store.response(Action::put(key.as_bytes(), "v"));
    }
    let page = store.response(Action::scan(b"a/", None, 2));
    assert_eq!(scanned(&page), (vec![&b"a/1"[..], b"a/2"], true));
    let page = store.response(Action::scan(b"a/", Some(b"a/2"), 2));
    assert_eq!(scanned(&page), (vec![&b"a/3"[..]], false));
    let query = Query::Scan { prefix: Key::default(), after: None, limit: u32::MAX };
    let answer = store.query(&query);
    assert_eq!(scanned(&answer.responses()[0]), (vec![&b"a/1"[..], b"a/2", b"a/3", b"b"], false));
}

#[test]
fn a_scan_fills_its_answer_and_no_more() {
    let mut store = Store::new();
    for key in 0..30u8 {
        store.response(Action::put(&[key], vec![key; 200]));
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.response(Action::scan(b"", after.as_deref(), u32::MAX));
        let (keys, more) = scanned(&page);
        seen.extend(keys.iter().map(|key| key[0]));
        pages += 1;
        if !more {
            break;
        }
        after = keys.last().map(|key| key.to_vec());
    }
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    assert_eq!(pages, 2, "209 bytes each, 19 to an answer of 4096");
    // An entry that no answer holds is said to be too large, not left out.
    store.response(Action::put(b"\0", vec![0; 5000]));
    assert!(matches!(store.result(Action::scan(b"", None, 5).unwrap()), OperationResult::TooLarge { .. }));
    assert!(matches!(store.result(Action::get(b"\0").unwrap()), OperationResult::TooLarge { .. }));
    let answer = store.query(&Query::Get { key: b"\0"[..].try_into().unwrap() });
    assert_eq!(answer, Answer::Single(value_of(&[0; 5000])), "a query's answer is not remembered and may be larger");
}

#[test]
fn small_answers_are_small() {
    for response in [Response::Written { existed: true }, Response::Swapped, Response::Counter(i64::MIN), ABSENT] {
        assert!(encode(&Answer::Single(response)).len() <= SMALL_RESULT_BYTES);
    }
    let failed = Answer::Failed { action: u32::MAX, error: KvError::Overflow };
    assert!(encode(&failed).len() <= SMALL_RESULT_BYTES);
}

fn transaction(conditions: &[Condition], then: &[Action], otherwise: &[Action]) -> Transaction {
    Transaction::new(conditions.to_vec(), then.to_vec(), otherwise.to_vec()).unwrap()
}

fn held(held: bool, responses: &[Response]) -> Answer {
    Answer::Transaction { held, responses: responses.to_vec().try_into().unwrap() }
}

#[test]
fn a_transaction_takes_one_branch() {
    let mut store = Store::new();
    store.response(Action::put(b"a", "1"));
    let written = |existed| Response::Written { existed };
    let all =
        [Condition::equals(b"a", b"1").unwrap(), Condition::exists(b"a").unwrap(), Condition::absent(b"b").unwrap()];
    let then = [Action::put(b"b", "2").unwrap(), Action::get(b"b").unwrap(), Action::delete(b"a").unwrap()];
    let otherwise = [Action::add(b"n", 1).unwrap()];
    let once = transaction(&all, &then, &otherwise);
    assert_eq!(store.answer(once.clone()), held(true, &[written(false), value_of(b"2"), written(true)]));
    assert_eq!(store.answer(once), held(false, &[Response::Counter(1)]));
    for test in
        [Condition::equals(b"b", b"3"), Condition::exists(b"a"), Condition::absent(b"b"), Condition::equals(b"a", b"")]
    {
        assert_eq!(store.answer(transaction(&[test.unwrap()], &then, &[])), held(false, &[]));
    }
    assert_eq!(store.answer(transaction(&[], &[], &otherwise)), held(true, &[]));
}

#[test]
fn a_transaction_that_fails_half_way_does_nothing() {
    let mut store = Store::new();
    store.response(Action::put(b"text", "text"));
    let actions =
        [Action::add(b"n", 1), Action::delete(b"text"), Action::put(b"text", "more"), Action::add(b"text", 1)];
    let actions = actions.map(Result::unwrap);
    let before = store.chain.state.entries(crate::Space::Application).clone();
    let failed = Answer::Failed { action: 3, error: KvError::NotANumber };
    assert_eq!(store.answer(transaction(&[], &actions, &[])), failed);
    assert_eq!(store.chain.state.entries(crate::Space::Application), &before);
}

#[test]
fn a_transaction_of_scans_fits_its_answer() {
    let mut store = Store::new();
    for key in 0..30u8 {
        store.response(Action::put(&[key], vec![key; 200]));
    }
    let actions =
        [Action::get(&[3]), Action::scan(b"", None, 10), Action::scan(b"", Some(&[9]), 100)].map(Result::unwrap);
    let answer = store.answer(transaction(&[], &actions, &[]));
    let [got, first, second] = answer.responses() else { panic!("{answer:?}") };
    assert_eq!(got, &value_of(&[3; 200]));
    assert_eq!(scanned(first).0.len(), 10);
    assert_eq!((scanned(second).0.len(), scanned(second).1), (8, true));
}

#[test]
fn too_much_work_is_an_error_for_all() {
    let mut store = Store::new();
    store.response(Action::put(b"long", vec![0; VALUE_BYTES]));
    let reads = vec![Condition::exists(b"long").unwrap(); 5];
    let result = store.result(Transaction::new(reads, vec![], vec![]).unwrap());
    assert_eq!(result, OperationResult::LimitExceeded(Limit::ReadBytes));
}

#[test]
fn bounds_are_those_of_the_types() {
    assert!(Action::put(&[0; KEY_BYTES], vec![0; VALUE_BYTES]).is_ok());
    assert!(Action::put(&[0; KEY_BYTES + 1], "").is_err());
    assert!(Action::put(b"", vec![0; VALUE_BYTES + 1]).is_err());
    assert!(Transaction::new(vec![], vec![Action::get(b"").unwrap(); 1025], vec![]).is_err());
}

#[test]
fn answers_read_well() {
    let text = |answer: Answer| answer.to_string();
    assert_eq!(text(Answer::Single(value_of(b"hello"))), "hello");
    assert_eq!(text(Answer::Single(value_of(&[0, 0xff]))), "0x00ff");
    assert_eq!(text(Answer::Single(ABSENT)), "(absent)");
    assert_eq!(text(Answer::Single(Response::Counter(-3))), "-3");
    let entry = Entry { key: b"k"[..].try_into().unwrap(), value: b"v"[..].try_into().unwrap() };
    let entries = Response::Entries { entries: vec![entry.clone(), entry].try_into().unwrap(), more: true };
    assert_eq!(text(Answer::Single(entries)), "k = v\nk = v\n(there are more)");
    assert_eq!(text(held(true, &[Response::Swapped, ABSENT])), "conditions held\nswapped\n(absent)");
    let failed = Answer::Failed { action: 2, error: KvError::Overflow };
    assert!(text(failed).starts_with("nothing happened: action 2 failed: the sum is outside"));
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![b'a', b'b']), 0..3)
}

fn action() -> impl Strategy<Value = Action> {
    let value = prop_oneof![
        prop::sample::select(vec![&b"1"[..], b"-9", b"x"]).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..3)
    ];
    let maybe = prop::option::of(value.clone());
    prop_oneof![
        key().prop_map(|key| Action::get(&key).unwrap()),
        (key(), value).prop_map(|(key, value)| Action::put(&key, value).unwrap()),
        key().prop_map(|key| Action::delete(&key).unwrap()),
        (key(), maybe.clone(), maybe).prop_map(|(key, old, new)| Action::compare_and_swap(
            &key,
            old.as_deref(),
            new.as_deref()
        )
        .unwrap()),
        (key(), -3..3i64).prop_map(|(key, delta)| Action::add(&key, delta).unwrap()),
        (key(), prop::option::of(key()), 0..5u32).prop_map(|(key, after, limit)| Action::scan(
            &key,
            after.as_deref(),
            limit
        )
        .unwrap()),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let test = prop_oneof![Just(Test::Exists), Just(Test::Absent), Just(Test::Equals(b"1"[..].try_into().unwrap()))];
    let condition = (key(), test).prop_map(|(key, test)| Condition { key: key.as_slice().try_into().unwrap(), test });
    let conditions = prop::collection::vec(condition, 0..3);
    let actions = || prop::collection::vec(action(), 0..4);
    prop_oneof![
        2 => action().prop_map(Operation::Single),
        1 => (conditions, actions(), actions()).prop_map(|(conditions, then, otherwise)| {
            Transaction::new(conditions, then, otherwise).unwrap().into()
        }),
    ]
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The store's meaning again, on a plain map.
fn model_act(model: &mut Model, action: &Action) -> Result<Response, KvError> {
    let own = |value: Option<&Vec<u8>>| value.map(|value| value.as_slice().try_into().unwrap());
    Ok(match action {
        Action::Get { key } => Response::Value(own(model.get(&**key))),
        Action::Put { key, value } => {
            Response::Written { existed: model.insert(key.to_vec(), value.to_vec()).is_some() }
        }
        Action::Delete { key } => Response::Written { existed: model.remove(&**key).is_some() },
        Action::CompareAndSwap { key, expected, new } => {
            if model.get(&**key).map(Vec::as_slice) != expected.as_deref() {
                return Ok(Response::NotSwapped { current: own(model.get(&**key)) });
            }
            model.remove(&**key);
            model.extend(new.iter().map(|new| (key.to_vec(), new.to_vec())));
            Response::Swapped
        }
        Action::Add { key, delta } => {
            let text =
                model.get(&**key).map_or(Ok("0"), |text| str::from_utf8(text)).map_err(|_| KvError::NotANumber)?;
            let sum = text.parse::<i64>().map_err(|_| KvError::NotANumber)? + delta;
            model.insert(key.to_vec(), sum.to_string().into_bytes());
            Response::Counter(sum)
        }
        Action::Scan { prefix, after, limit } => {
            let after = |key: &[u8]| after.as_ref().is_none_or(|after| key > &**after);
            let found: Vec<_> = model.iter().filter(|(key, _)| key.starts_with(prefix) && after(key)).collect();
            let entries = found.iter().take(*limit as usize).map(|(key, value)| Entry {
                key: key.as_slice().try_into().unwrap(),
                value: value.as_slice().try_into().unwrap(),
            });
            let entries: Vec<_> = entries.collect();
            Response::Entries { more: found.len() > entries.len(), entries: entries.try_into().unwrap() }
        }
    })
}

fn model_run(model: &mut Model, operation: &Operation) -> Answer {
    let transaction = match operation {
        Operation::Single(action) => {
            return model_act(model, action).map_or_else(|error| Answer::Failed { action: 0, error }, Answer::Single);
        }
        Operation::Transaction(transaction) => transaction,
    };
    let holds = |condition: &Condition| match (&condition.test, model.get(&*condition.key)) {
        (Test::Exists, value) => value.is_some(),
        (Test::Absent, value) => value.is_none(),
        (Test::Equals(expected), value) => value.map(Vec::as_slice) == Some(expected),
    };
    let all = transaction.conditions.iter().all(holds);
    let mut after = model.clone();
    let mut responses = Vec::new();
    for action in if all { &transaction.then } else { &transaction.otherwise } {
        match model_act(&mut after, action) {
            Ok(response) => responses.push(response),
            Err(error) => return Answer::Failed { action: responses.len() as u32, error },
        }
    }
    *model = after;
    held(all, &responses)
}

fn run(base: &MemoryState, overlay: &mut Overlay, operation: &[u8]) -> Answer {
    Answer::decode(&operate(&mut KeyValue, base, overlay, operation).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn the_store_is_a_map(
        base in prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 0..3), 0..6),
        operations in prop::collection::vec(operation(), 0..25),
    ) {
        let state = state_of(base.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
        let mut overlay = Overlay::default();
        let mut model = base;
        for operation in operations {
            prop_assert_eq!(run(&state, &mut overlay, &operation.encode()), model_run(&mut model, &operation));
        }
    }

    #[test]
    fn any_bytes_are_an_operation_and_a_query(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let state = state_of([(&b"a"[..], &b"1"[..])]);
        let answer = run(&state, &mut Overlay::default(), &bytes);
        prop_assert_eq!(run(&state, &mut Overlay::default(), &bytes), answer.clone());
        let valid = decode::<Operation>(&bytes).is_ok();
        prop_assert_eq!(answer == Answer::Failed { action: 0, error: KvError::Malformed }, !valid);
        let chain = Chain::new(KeyValue);
        prop_assert!(matches!(chain.executor.query(&state, &bytes).unwrap(), OperationResult::Done(_)));
        if let Ok(answer) = Answer::decode(&bytes) {
            prop_assert_eq!(encode(&answer), bytes);
        }
    }

    #[test]
    fn a_damaged_operation_is_another_one_or_none(operation in operation(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let state = state_of([(&b"a"[..], &b"1"[..])]);
        let mut bytes = operation.encode().to_vec();
        prop_assert_eq!(decode::<Operation>(&bytes).unwrap(), operation);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let short = &bytes[..cut.index(bytes.len())];
        for bytes in [&bytes[..], short] {
            let answer = run(&state, &mut Overlay::default(), bytes);
            match decode::<Operation>(bytes) {
                Ok(operation) => prop_assert_eq!(encode(&operation), bytes),
                Err(_) => prop_assert_eq!(answer, Answer::Failed { action: 0, error: KvError::Malformed }),
            }
        }
    }
}

/// Commands that were signed once must mean the same for ever.
#[test]
fn the_encodings_are_frozen() {
    let hex = |operation: Operation| operation.encode().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let single = |action: Result<Action, varangian_crypto::CodecError>| hex(action.unwrap().into());
    assert_eq!(single(Action::get(b"k")), "0000010000006b");
    assert_eq!(single(Action::put(b"k", "v")), "0001010000006b0100000076");
    assert_eq!(single(Action::delete(b"k")), "0002010000006b");
    assert_eq!(single(Action::compare_and_swap(b"k", None, Some(b"v"))), "0003010000006b00010100000076");
    assert_eq!(single(Action::add(b"k", -2)), "0004010000006bfeffffffffffffff");
    assert_eq!(single(Action::scan(b"k", Some(b"l"), 3)), "0005010000006b01010000006c03000000");
    let tests = [Condition::exists(b""), Condition::absent(b""), Condition::equals(b"", b"v")].map(Result::unwrap);
    let transaction = transaction(&tests, &[Action::get(b"").unwrap()], &[]);
    let expected = "0103000000000000000000000000010000000002010000007601000000000000000000000000";
    assert_eq!(hex(transaction.into()), expected);
    let answers = [
        Answer::Single(value_of(b"v")),
        Answer::Single(Response::Written { existed: true }),
        Answer::Single(Response::Swapped),
        Answer::Single(Response::NotSwapped { current: None }),
        Answer::Single(Response::Counter(1)),
        Answer::Single(Response::Entries { entries: Bounded::new(), more: true }),
        held(true, &[Response::Swapped]),
        Answer::Failed { action: 1, error: KvError::Foreign },
    ];
    let all: Vec<u8> = answers.iter().flat_map(|answer| [encode(answer), b"|".to_vec()].concat()).collect();
    let expected = b"\0\0\x01\x01\0\0\0v|\0\x01\x01|\0\x02|\0\x03\0|\0\x04\x01\0\0\0\0\0\0\0|\0\x05\0\0\0\0\x01|\x01\x01\x01\0\0\0\x02|\x02\x01\0\0\0\x03|";
    assert_eq!(all, expected);
}
