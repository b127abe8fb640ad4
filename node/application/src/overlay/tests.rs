//! The overlay against a plain map.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::testing::state_of;
use proptest::prelude::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Act {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Savepoint,
    Rollback,
    Get(Vec<u8>),
    Scan(Vec<u8>, Option<Vec<u8>>, usize),
}

/// Few letters, so that keys meet, shadow and prefix each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, b'a', b'b', 255]), 0..4)
}

fn step() -> impl Strategy<Value = Act> {
    let value = prop::collection::vec(any::<u8>(), 0..3);
    prop_oneof![
        3 => (key(), value).prop_map(|(key, value)| Act::Put(key, value)),
        2 => key().prop_map(Act::Delete),
        1 => Just(Act::Savepoint),
        1 => Just(Act::Rollback),
        1 => key().prop_map(Act::Get),
        3 => (key(), prop::option::of(key()), 1..6usize).prop_map(|(prefix, after, page)| Act::Scan(prefix, after, page)),
    ]
}

fn scan_all(
    overlay: &Overlay,
    base: &dyn StateReader,
    prefix: &[u8],
    after: Option<&[u8]>,
    entries: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    // Few bytes, so that pages end by either.
    let mut scan = overlay.scan(base, Space::Application, prefix, after, PageLimit { entries, bytes: 6 });
    let mut entries = Vec::new();
    while let Some(step) = scan.next().unwrap() {
        if let Step::Entry(key, value) = step {
            entries.push((key.to_vec(), value.to_vec()));
        }
    }
    entries
}

fn model_scan(model: &Model, prefix: &[u8], after: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let wanted = |key: &[u8]| key.starts_with(prefix) && after.is_none_or(|after| key > after);
    model.iter().filter(|(key, _)| wanted(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

proptest! {
    #[test]
    fn reads_scans_and_savepoints_are_those_of_a_map(
        base in prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 0..3), 0..20),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let state = state_of(base.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
        let mut overlay = Overlay::default();
        let mut model = base;
        let mut savepoints: Vec<(Savepoint, Model)> = Vec::new();
        for step in steps {
            match step {
                Act::Put(key, value) => {
                    overlay.set(Space::Application, key.clone().into(), Some(value.clone().into()));
                    model.insert(key, value);
                }
                Act::Delete(key) => {
                    overlay.set(Space::Application, key.clone().into(), None);
                    model.remove(&key);
                }
                Act::Savepoint => savepoints.push((overlay.savepoint(), model.clone())),
                Act::Rollback => if let Some((savepoint, before)) = savepoints.pop() {
                    overlay.rollback(savepoint);
                    model = before;
                }
                Act::Get(key) => {
                    let found = overlay.get(&state, Space::Application, &key).unwrap();
                    prop_assert_eq!(found.as_deref(), model.get(&key).map(Vec::as_slice));
                }
                Act::Scan(prefix, after, page) => {
                    let found = scan_all(&overlay, &state, &prefix, after.as_deref(), page);
                    prop_assert_eq!(found, model_scan(&model, &prefix, after.as_deref()));
                }
            }
        }
        // Not a trace is left of what was rolled back: neither values nor deletions.
        while let Some((savepoint, before)) = savepoints.pop() {
            overlay.rollback(savepoint);
            prop_assert_eq!(scan_all(&overlay, &state, b"", None, 2), model_scan(&before, b"", None));
        }
    }
}

#[test]
fn the_spaces_do_not_see_each_other() {
    let state = state_of([]);
    let mut overlay = Overlay::default();
    overlay.set(Space::Client, Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")));
    assert_eq!(overlay.get(&state, Space::Application, b"k").unwrap(), None);
    assert!(scan_all(&overlay, &state, b"", None, 1).is_empty());
    assert_eq!(overlay.get(&state, Space::Client, b"k").unwrap().as_deref(), Some(&b"v"[..]));
}

#[test]
fn a_settled_write_survives_an_earlier_savepoint_of_nothing() {
    let state = state_of([]);
    let mut overlay = Overlay::default();
    overlay.set(Space::Application, Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")));
    overlay.settle();
    let savepoint = overlay.savepoint();
    overlay.set(Space::Application, Bytes::from_static(b"k"), None);
    overlay.rollback(savepoint);
    assert_eq!(overlay.get(&state, Space::Application, b"k").unwrap().as_deref(), Some(&b"v"[..]));
}
