#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::vec::Vec;

use proptest::prelude::*;

use crate::StateDigest;

type Entry = (Vec<u8>, Vec<u8>, Vec<u8>);
type Borrowed = (&'static [u8], &'static [u8], &'static [u8]);

fn set(entries: &[Entry]) -> StateDigest {
    let mut set = StateDigest::new();
    for (namespace, key, value) in entries {
        set.add(namespace, key, value);
    }
    set
}

fn of(entries: &[Borrowed]) -> StateDigest {
    let mut set = StateDigest::new();
    for (namespace, key, value) in entries {
        set.add(namespace, key, value);
    }
    set
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..5);
    prop::collection::btree_map((bytes(), bytes()), bytes(), 0..12)
        .prop_map(|map| map.into_iter().map(|((namespace, key), value)| (namespace, key, value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_does_not_matter(shuffled in entries().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))) {
        prop_assert_eq!(set(&shuffled.0), set(&shuffled.1));
    }

    #[test]
    fn removing_undoes_adding(all in entries(), at in any::<prop::sample::Index>()) {
        prop_assume!(!all.is_empty());
        let mut rest = all.clone();
        let (namespace, key, value) = rest.remove(at.index(all.len()));
        let mut whole = set(&all);
        prop_assert_ne!(whole.digest(), set(&rest).digest());
        whole.remove(&namespace, &key, &value);
        prop_assert_eq!(whole, set(&rest));
    }

    #[test]
    fn stored_lanes_give_the_same_set(all in entries()) {
        let whole = set(&all);
        prop_assert_eq!(StateDigest::from_bytes(&whole.to_bytes()), whole);
    }
}

#[test]
fn moving_bytes_within_an_entry_changes_the_digest() {
    let shapes: [&[Borrowed]; 7] = [
        &[(b"n", b"ab", b"c")],
        &[(b"n", b"a", b"bc")],
        &[(b"na", b"b", b"c")],
        &[(b"n", b"c", b"ab")],
        &[(b"ab", b"n", b"c")],
        &[(b"n", b"ab", b"")],
        &[(b"n", b"ab", b"c\0")],
    ];
    for (place, left) in shapes.iter().enumerate() {
        for right in &shapes[place + 1..] {
            assert_ne!(of(left).digest(), of(right).digest());
        }
    }
}

#[test]
fn exchanging_namespaces_or_values_of_two_entries_changes_the_digest() {
    let plain = of(&[(b"n", b"a", b"1"), (b"m", b"b", b"2")]);
    let namespaces = of(&[(b"m", b"a", b"1"), (b"n", b"b", b"2")]);
    let values = of(&[(b"n", b"a", b"2"), (b"m", b"b", b"1")]);
    assert_ne!(plain.digest(), namespaces.digest());
    assert_ne!(plain.digest(), values.digest());
    assert_ne!(namespaces.digest(), values.digest());
}

#[test]
fn the_empty_set_is_what_remains_after_everything_is_removed() {
    let mut set = of(&[(b"n", b"a", b"1")]);
    assert_ne!(set, StateDigest::new());
    set.remove(b"n", b"a", b"1");
    assert_eq!(set, StateDigest::default());
}
