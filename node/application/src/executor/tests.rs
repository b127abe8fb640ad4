//! Exactly-once, isolation of faults, net changes, the digest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::change::recompute;
use crate::clients::{cached_reply, client_windows};
use crate::kv::{Action, KeyValue, Operation};
use crate::limits::{ACCESS_BYTES, Limit, VALUE_BYTES};
use crate::memory::MemoryState;
use crate::state::{PageLimit, Space};
use crate::testing::{Chain, Failing, INTERVAL, Probe, WINDOW, client, command, done, limits, results, state_of};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use varangian_crypto::{Parameters, encode, sha256};

/// Counts reads.
struct Counted<'a> {
    inner: &'a MemoryState,
    reads: &'a Cell<usize>,
}

impl StateReader for Counted<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.reads.update(|reads| reads + 1);
        self.inner.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: PageLimit,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        self.reads.update(|reads| reads + 1);
        self.inner.scan(space, prefix, after, limit)
    }
}

fn remembered_sequences(state: &MemoryState, seed: u8) -> BTreeSet<u64> {
    let prefix = [b"r", client(seed).client_key().as_bytes().as_slice()].concat();
    let keys = state.entries(Space::Client).keys().filter(|key| key.starts_with(&prefix));
    keys.map(|key| u64::from_be_bytes(key[33..].try_into().unwrap())).collect()
}

#[test]
fn operations_run_in_order_each_with_its_context() {
    let mut chain = Chain::new(Probe::default());
    chain.slot(vec![]);
    let reply = chain.run(command(&client(1), 5, &[b"x", b"c", b"x", b"c"]));
    assert_eq!(results(&reply), [done(b"2 5 0"), done(&[1]), done(b"2 5 2"), done(&[2])]);
    assert_eq!((reply.client, reply.sequence, reply.slot), (client(1).client_key(), 5, Slot(2)));
}

#[test]
fn twice_in_one_batch_runs_once() {
    let mut chain = Chain::new(Probe::default());
    let once = command(&client(1), 1, &[b"c"]);
    let executed = chain.slot(vec![once.clone(), once.clone()]);
    let [Some(reply), None] = &executed.replies[..] else { panic!("{:?}", executed.replies) };
    assert_eq!(results(reply), [done(&[1])]);
    assert_eq!(cached_reply(&chain.state, &once.identity()).unwrap().unwrap(), encode(reply));
    assert_eq!(chain.state.get(Space::Application, b"count").unwrap().as_deref(), Some(&[1][..]));
}

#[test]
fn a_retry_gets_the_original_bytes() {
    let mut chain = Chain::new(Probe::default());
    let first = command(&client(1), 1, &[b"c", b"x"]);
    let original = chain.run(first.clone());
    chain.run(command(&client(1), 2, &[b"c"]));
    assert_eq!(chain.slot(vec![first.clone()]).replies, [None]);
    assert_eq!(cached_reply(&chain.state, &first.identity()).unwrap().unwrap(), encode(&original));
    // The same number under another content: the reply says by its digest whose it is.
    let other = command(&client(1), 1, &[b"wother"]);
    assert_eq!(chain.slot(vec![other.clone()]).replies, [None]);
    assert_eq!(cached_reply(&chain.state, &other.identity()).unwrap().unwrap(), encode(&original));
    assert_eq!(chain.state.get(Space::Application, b"other").unwrap(), None);
    assert_eq!(chain.state.get(Space::Application, b"count").unwrap().as_deref(), Some(&[2][..]));
}

/// A batch may hold thousands of them, each with a reply of hundreds of kilobytes.
#[test]
fn duplicates_read_no_replies() {
    let mut chain = Chain::new(Probe::default());
    let first = command(&client(1), 1, &[&b"c"[..]; 100]);
    chain.run(first.clone());
    let again = chain.decide(vec![first; 64]);
    let reads = Cell::new(0);
    chain.executor.execute(&Counted { inner: &chain.state, reads: &reads }, &again).unwrap();
    assert_eq!(reads.get(), 1, "the client's row, for the state's digest");
}

#[test]
fn too_old_and_refused_are_answered_and_not_remembered() {
    let mut chain = Chain::new(Probe::default());
    chain.run(command(&client(1), 100, &[b"c"]));
    let stranger = command(&client(99), 1, &[b"c"]);
    let before = chain.state.clone();
    let executed = chain.slot(vec![command(&client(1), 3, &[b"c"]), stranger.clone()]);
    let [Some(old), Some(refused)] = &executed.replies[..] else { panic!("{:?}", executed.replies) };
    assert_eq!((&old.outcome, &refused.outcome), (&Outcome::TooOld, &Outcome::Refused));
    assert_eq!(refused.command, *stranger.digest());
    for space in Space::ALL {
        assert_eq!(chain.state.entries(space), before.entries(space));
    }
    assert_eq!(cached_reply(&chain.state, &stranger.identity()).unwrap(), None);
}

#[test]
fn replies_at_or_below_the_floor_are_forgotten() {
    let mut chain = Chain::new(Probe::default());
    for sequence in 1..=WINDOW {
        chain.run(command(&client(1), sequence, &[b"c"]));
        chain.run(command(&client(2), sequence, &[b"c"]));
    }
    assert_eq!(remembered_sequences(&chain.state, 1), (1..=WINDOW).collect());
    chain.run(command(&client(1), WINDOW + 1, &[b"c"]));
    assert_eq!(remembered_sequences(&chain.state, 1), (2..=WINDOW + 1).collect());
    // Within one batch: the second command forgets a reply that only the batch holds.
    chain.slot(vec![
        command(&client(1), 20, &[b"c"]),
        command(&client(1), 40, &[b"c"]),
        command(&client(1), 41, &[b"c"]),
    ]);
    assert_eq!(remembered_sequences(&chain.state, 1), BTreeSet::from([40, 41]));
    // Somebody else's floor is theirs.
    assert_eq!(remembered_sequences(&chain.state, 2), (1..=WINDOW).collect());
    chain.run(command(&client(1), u64::MAX, &[b"c"]));
    assert_eq!(remembered_sequences(&chain.state, 1), BTreeSet::from([u64::MAX]));
}

#[test]
fn a_faulty_operation_leaves_no_write_and_no_trace_on_its_neighbours() {
    let mut chain = Chain::new(Probe::default());
    let reply = chain.run(command(&client(1), 1, &[b"c", b"pgone", b"b5000", b"v", b"wkept", b"c", b""]));
    let expected = [
        done(&[1]),
        OperationResult::ApplicationFault,
        OperationResult::TooLarge { size: 5000 },
        OperationResult::LimitExceeded(Limit::ValueBytes),
        done(b"ok"),
        done(&[2]),
        done(b"?"),
    ];
    assert_eq!(results(&reply), expected);
    let keys: Vec<_> = chain.state.entries(Space::Application).keys().cloned().collect();
    assert_eq!(keys, [&b"count"[..], b"kept"]);
}

#[test]
fn an_application_cannot_outrun_a_limit_or_make_one_up() {
    let mut chain = Chain::new(Probe::default());
    let reply = chain.run(command(&client(1), 1, &[b"rkey", b"h", b"h"]));
    let expected = [
        OperationResult::LimitExceeded(Limit::ReadBytes),
        OperationResult::LimitExceeded(Limit::KeyBytes),
        OperationResult::ApplicationFault,
    ];
    assert_eq!(results(&reply), expected);
}

/// A bundle of reads of a large value costs little to send. What it makes replicas read does not grow with it as its operations do.
#[test]
fn the_operations_of_a_command_share_one_budget() {
    let value = vec![b'v'; VALUE_BYTES];
    let state = state_of([(&b"large"[..], value.as_slice()), (b"a", b""), (b"b", b"")]);
    let reads = Cell::new(0);
    let counted = Counted { inner: &state, reads: &reads };
    let mut chain = Chain::new(KeyValue);
    let get = |key: &[u8]| Operation::from(Action::get(key).unwrap()).encode();
    let scan = Operation::from(Action::scan(b"large", None, 10).unwrap()).encode();
    let mut bundle = |operations: Vec<Bytes>| {
        let sequence = chain.executor.meta().slot.0 + 1;
        let operations: Vec<&[u8]> = operations.iter().map(|operation| &**operation).collect();
        let execution = chain.decide(vec![command(&client(1), sequence, &operations)]);
        let executed = chain.executor.execute(&counted, &execution).unwrap();
        (results(executed.replies[0].as_ref().unwrap()), reads.replace(0))
    };
    let refused = OperationResult::LimitExceeded(Limit::ReadBytes);
    let (results, reads) = bundle(vec![get(b"large"); 4096]);
    // 1 MiB and 4 KiB times 1024: so many and the one that goes beyond; nothing is read for those behind it.
    let fit = (5 << 20) / (VALUE_BYTES + 5 + ACCESS_BYTES as usize);
    assert_eq!(results.iter().position(|result| *result == refused), Some(fit));
    assert!(results[fit..].iter().all(|result| *result == refused), "whoever comes behind gets nothing");
    // The client table reads a few rows of its own.
    assert!((fit + 1..fit + 8).contains(&reads), "{reads} reads for {fit} values");
    let (results, reads) = bundle(vec![scan; 512]);
    assert_eq!(results[511], refused);
    assert!(reads < 16, "{reads} reads for {} scans", results.len());
    // What is fetched is paid for, whether it comes out or not.
    let beside = Operation::from(Action::scan(b"", None, 0).unwrap()).encode();
    let (results, reads) = bundle(vec![beside; 4096]);
    assert_eq!(results[4095], OperationResult::LimitExceeded(Limit::Entries));
    assert!(reads < 200, "{reads} reads");
    let (results, _) = bundle(vec![get(b"a"); 4096]);
    assert!(results.iter().all(|result| matches!(result, OperationResult::Done(_))), "small ones fit, all of them");
}

#[test]
fn results_share_the_genesis_maximum_and_small_ones_are_free() {
    let mut chain = Chain::new(Probe::default());
    let all: &[&[u8]] = &[b"b16", b"b4000", b"b96", b"b17", b"b16", b"c"];
    let reply = chain.run(command(&client(1), 1, all));
    let sizes: Vec<_> = results(&reply)
        .iter()
        .map(|result| match result {
            OperationResult::Done(bytes) => Ok(bytes.len()),
            OperationResult::TooLarge { size } => Err(*size),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [Ok(16), Ok(4000), Ok(96), Err(17), Ok(16), Ok(1)]);
    let bundle: Vec<&[u8]> = std::iter::once(&b"b4096"[..]).chain([&b"b16"[..]; 500]).collect();
    let reply = chain.run(command(&client(1), 2, &bundle));
    assert!(results(&reply).iter().all(|result| matches!(result, OperationResult::Done(_))));
    let unused = SMALL_RESULT_BYTES; // the large result's own small share
    assert_eq!(encode(&reply).len() + unused, Reply::max_bytes(&limits(), bundle.len()));
}

#[test]
fn a_disk_that_fails_is_no_fault_of_the_application_and_changes_nothing() {
    let mut chain = Chain::new(Probe::default());
    for sequence in 1..=WINDOW {
        chain.run(command(&client(1), sequence, &[b"c"]));
    }
    let retry = command(&client(1), 4, &[b"c"]);
    let mut commands = vec![retry, command(&client(1), WINDOW + 2, &[b"c", b"pgone", b"wkey"])];
    commands.push(command(&client(2), 1, &[b"dcount", b"c"]));
    let execution = chain.decide(commands);
    let before = chain.executor.meta().clone();
    let mut good = 0;
    let executed = loop {
        let failing = Failing { inner: &chain.state, good: Cell::new(good) };
        match chain.executor.execute(&failing, &execution) {
            Ok(executed) => break executed,
            Err(ExecuteError::State(error)) => assert!(error.to_string().contains("disk on fire")),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(chain.executor.meta(), &before);
        good += 1;
    };
    println!("failed at each of {good} reads");
    assert!(good > 10);
    assert_eq!(executed.slot, Slot(WINDOW + 1));
    let failing = Failing { inner: &chain.state, good: Cell::new(0) };
    assert!(matches!(chain.executor.query(&failing, b"count"), Err(ExecuteError::State(_))));
}

#[test]
fn slots_come_once_in_order_with_a_verdict_for_each_command() {
    let mut chain = Chain::new(Probe::default());
    let execution = chain.decide(vec![command(&client(1), 1, &[b"c"])]);
    let skipped = Execution { slot: Slot(2), ..execution.clone() };
    let error = chain.executor.execute(&chain.state, &skipped).unwrap_err();
    assert!(matches!(error, ExecuteError::OutOfOrder { expected: Slot(1), found: Slot(2) }), "{error}");
    let unpaired = Execution { verdicts: vec![], ..execution.clone() };
    let error = chain.executor.execute(&chain.state, &unpaired).unwrap_err();
    assert!(matches!(error, ExecuteError::Unpaired { commands: 1, verdicts: 0, .. }), "{error}");
    chain.executor.execute(&chain.state, &execution).unwrap();
    let error = chain.executor.execute(&chain.state, &execution).unwrap_err();
    assert!(matches!(error, ExecuteError::OutOfOrder { expected: Slot(2), found: Slot(1) }), "{error}");
}

#[test]
fn damage_is_an_error_and_never_a_second_execution() {
    let mut chain = Chain::new(Probe::default());
    let first = command(&client(1), 1, &[b"c"]);
    chain.run(first);
    let row_key = chain.state.entries(Space::Client).keys().find(|key| key[0] == b'w').unwrap().clone();
    let mut damaged = chain.state.clone();
    let clients = vec![(row_key, Some(Bytes::from_static(b"?")))];
    damaged.apply(&StateChange { application: vec![], clients, meta: chain.state.meta().clone() });
    assert!(matches!(client_windows(&damaged), Err(ExecuteError::Damaged(_))));
    let slides = chain.decide(vec![command(&client(1), 50, &[b"c"])]);
    assert!(matches!(chain.executor.execute(&damaged, &slides), Err(ExecuteError::Damaged(_))));
}

#[test]
fn only_net_changes_are_written() {
    let mut chain = Chain::new(Probe::default());
    chain.run(command(&client(1), 1, &[b"wa", b"wb"]));
    let executed = chain.slot(vec![command(&client(1), 2, &[b"wa", b"db", b"wb", b"wnew", b"dnew", b"dnever"])]);
    assert_eq!(executed.changes.application, []);
    let executed = chain.slot(vec![command(&client(1), 3, &[b"da", b"c", b"c"])]);
    let expected = [(Bytes::from_static(b"a"), None), (Bytes::from_static(b"count"), Some(Bytes::from_static(&[2])))];
    assert_eq!(executed.changes.application, expected);
}

#[test]
fn the_null_batch_changes_nothing_but_how_far_the_state_has_come() {
    let mut chain = Chain::new(Probe::default());
    chain.run(command(&client(1), 1, &[b"c"]));
    let before = chain.executor.meta().clone();
    let executed = chain.slot(vec![]);
    assert!(
        executed.changes.application.is_empty() && executed.changes.clients.is_empty() && executed.replies.is_empty()
    );
    assert_eq!(executed.changes.meta.slot, Slot(2));
    assert_eq!(executed.changes.meta.state, before.state);
    assert_ne!(executed.changes.meta.history, before.history);
}

#[test]
fn the_digest_is_given_at_checkpoints_and_does_not_depend_on_the_order() {
    let (mut forward, mut backward) = (Chain::new(Probe::default()), Chain::new(Probe::default()));
    for round in 1..=INTERVAL {
        let commands = vec![command(&client(1), round, &[b"wa", b"wb"]), command(&client(2), round, &[b"wc"])];
        let reversed = commands.iter().rev().cloned().collect();
        let (one, other) = (forward.slot(commands), backward.slot(reversed));
        assert_eq!(one.state_digest.is_some(), round == INTERVAL);
        assert_eq!(one.state_digest, other.state_digest);
    }
    assert_eq!(forward.executor.meta().state.digest(), recompute(&forward.state).unwrap().digest());
}

#[test]
fn queries_read_and_are_judged_like_operations() {
    let mut chain = Chain::new(Probe::default());
    chain.run(command(&client(1), 1, &[b"wkey"]));
    let query = |bytes| chain.executor.query(&chain.state, bytes).unwrap();
    assert_eq!(query(b"key"), done(b"key"));
    assert_eq!(query(b"panic"), OperationResult::ApplicationFault);
    assert_eq!(query(b"big"), OperationResult::TooLarge { size: limits().answer_bytes as u64 + 1 });
    assert_eq!(query(&[0; crate::limits::KEY_BYTES + 1]), OperationResult::LimitExceeded(Limit::KeyBytes));
}

#[test]
fn a_result_above_the_largest_of_any_genesis_cannot_happen() {
    let parameters = Parameters { max_result_bytes: 1 << 24, ..Parameters::default() };
    let mut chain = Chain::with_limits(Probe::default(), Limits::new(&parameters));
    let reply = chain.run(command(&client(1), 1, &[b"b16777216", b"b16777217"]));
    assert!(matches!(&results(&reply)[..], [OperationResult::Done(_), OperationResult::TooLarge { size: 16_777_217 }]));
}

/// A command of the random histories: who, which number, what.
type Planned = (u8, u64, Vec<Vec<u8>>);

fn operation() -> impl Strategy<Value = Vec<u8>> {
    let key = prop::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        3 => Just(b"c".to_vec()),
        3 => key.clone().prop_map(|key| format!("w{key}").into_bytes()),
        2 => key.clone().prop_map(|key| format!("d{key}").into_bytes()),
        1 => key.prop_map(|key| format!("p{key}").into_bytes()),
        1 => Just(b"b5000".to_vec()),
        1 => Just(b"x".to_vec()),
    ]
}

fn histories() -> impl Strategy<Value = Vec<Vec<Planned>>> {
    let planned = (1..4u8, 1..40u64, prop::collection::vec(operation(), 1..3));
    prop::collection::vec(prop::collection::vec(planned, 0..5), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_gives_one_state_whether_restarted_or_replayed(history in histories()) {
        let mut chain = Chain::new(Probe::default());
        let mut ran: BTreeMap<(u8, u64), Reply> = BTreeMap::new();
        for slot in history {
            let commands: Vec<_> = slot.iter().map(|(seed, sequence, operations)| {
                let operations: Vec<_> = operations.iter().map(Vec::as_slice).collect();
                command(&client(*seed), *sequence, &operations)
            }).collect();
            let base = chain.state.clone();
            let execution = chain.decide(commands);
            let executed = chain.executor.execute(&chain.state, &execution).unwrap();
            chain.state.apply(&executed.changes);

            // Exactly once: the first outcome of an identity is its only one, as long as it is remembered.
            for (planned, (reply, verdict)) in slot.iter().zip(executed.replies.iter().zip(&execution.verdicts)) {
                let identity = (planned.0, planned.1);
                match verdict {
                    Verdict::Run { .. } => prop_assert!(ran.insert(identity, reply.clone().unwrap()).is_none()),
                    Verdict::Duplicate => prop_assert!(reply.is_none() && ran.contains_key(&identity)),
                    Verdict::TooOld | Verdict::Refused => {
                        prop_assert!(!matches!(reply.as_ref().unwrap().outcome, Outcome::Executed(_)));
                    }
                }
            }
            // Exactly the replies within the windows are remembered, and the table can be had back.
            for (key, window) in client_windows(&chain.state).unwrap() {
                let seed = (1..4).find(|seed| client(*seed).client_key() == key).unwrap();
                let inside = ran.iter().filter(|((owner, sequence), _)| *owner == seed && *sequence > window.floor());
                let mut sequences = BTreeSet::new();
                for ((_, sequence), reply) in inside {
                    sequences.insert(*sequence);
                    prop_assert_eq!(cached_reply(&chain.state, &reply.identity()).unwrap().unwrap(), encode(reply));
                }
                prop_assert_eq!(remembered_sequences(&chain.state, seed), sequences);
            }
            prop_assert_eq!(client_windows(&chain.state).unwrap(), chain.table.rows((1..4).map(|seed| client(seed).client_key()).collect()));

            // The accumulator is that of the whole state.
            prop_assert_eq!(&recompute(&chain.state).unwrap(), &chain.executor.meta().state);
            prop_assert_eq!(executed.state_digest.is_some(), execution.checkpoint);

            // A replica that lost this slot's write replays it from what the store says, with the same outcome.
            let stored = Meta::decode(&base.meta().encode()).unwrap();
            let mut replayed = Executor::new(Probe::default(), limits(), stored);
            prop_assert_eq!(&replayed.execute(&base, &execution).unwrap(), &executed);
            // Applying a change twice is applying it once.
            let mut twice = chain.state.clone();
            twice.apply(&executed.changes);
            prop_assert_eq!(&twice, &chain.state);
            // And the chain goes on after a restart.
            let meta = Meta::decode(&chain.state.meta().encode()).unwrap();
            prop_assert_eq!(&meta, chain.executor.meta());
            chain.executor = Executor::new(Probe::default(), limits(), meta);
        }
    }
}

#[test]
fn meta_that_was_not_written_is_refused() {
    let bytes = Meta::default().encode();
    assert_eq!(bytes.len(), 8 + 32 + 2048);
    assert!(Meta::decode(&bytes[1..]).is_err());
    assert!(Meta::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(Meta::decode(&[]).is_err());
}

/// Formats that replicas share: a change here is another chain.
#[test]
fn the_stored_formats_are_frozen() {
    let mut chain = Chain::new(Probe::default());
    let everything: &[&[u8]] = &[b"c", b"pgone", b"b5000", b"v", b"wkept"];
    chain.slot(vec![command(&client(1), 1, everything), command(&client(2), 20, everything)]);
    chain.slot(vec![command(&client(3), 1, &[b"wx"])]);
    let reply = cached_reply(&chain.state, &command(&client(1), 1, everything).identity()).unwrap().unwrap();
    let bytes = sha256("frozen", &[&reply]).to_string();
    assert_eq!(bytes, "b65a8af440c27bd8526d389956db19d1c713ce4478c170617cf050ab869b0fbb");
    assert_eq!(
        chain.executor.meta().state.digest().to_string(),
        "d41a231b123ccf155b194d6c7e6fbd30fe13edee71768b49417592fa1b3e7c15"
    );
}
