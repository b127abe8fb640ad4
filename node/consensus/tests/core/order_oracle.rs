//! `O` against a second implementation by another algorithm, taken from the paper's words (§4.4):
//!
//! > The primary determines the sequence number *min-s* of the latest stable checkpoint in V and the highest sequence number *max-s*
//! > in a prepare message in V. The primary creates a new pre-prepare message for view v+1 for each sequence number n between min-s
//! > and max-s. There are two cases: (1) there is at least one set in the P component of some view-change message in V with sequence
//! > number n, or (2) there is no such set. In the first case, the primary creates a new message `PRE-PREPARE, v+1, n, d`, where d is
//! > the request digest in the pre-prepare message for sequence number n with the highest view number in V. In the second case, it
//! > creates a new pre-prepare message `PRE-PREPARE, v+1, n, d-null`.

#![allow(clippy::type_complexity, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{World, digest};
use proptest::prelude::*;
use varangian_consensus::order::{NewViewOrder, OrderError, new_view_order};
use varangian_consensus::{
    Checkpoint, NULL_BATCH, PrePrepare, PreparedCertificate, Slot, StableCheckpoint, View, ViewChange,
};
use varangian_crypto::{Bounded, Digest, Signature};
use varangian_sim::checks::order::oracle;

const WINDOW: u64 = 8;
const INTERVAL: u64 = 4;

fn compare(changes: &[ViewChange]) -> Result<NewViewOrder, OrderError> {
    let computed = new_view_order(changes.iter(), WINDOW);
    match (oracle(changes.iter()), &computed) {
        (Ok(expected), Ok(order)) => {
            assert_eq!(order.slots, expected);
            let last = expected.last().map_or(order.min(), |(slot, _)| *slot);
            assert_eq!(order.next_free(), last.next().max(order.min().next()));
        }
        (Err(forks), Err(OrderError::Fork { slot, view })) => {
            assert!(forks.contains(&(*slot, *view)), "no fork at {slot}/{view}")
        }
        (expected, computed) => panic!("the oracle says {expected:?}, the core {computed:?}"),
    }
    computed
}

/// `O` looks at statements only; signatures are checked before.
fn certificate(view: u64, slot: u64, digest: Digest) -> PreparedCertificate {
    PreparedCertificate {
        pre_prepare: PrePrepare { view: View(view), slot: Slot(slot), digest },
        primary_signature: Signature::from_bytes([0; 64]),
        prepares: Bounded::default(),
    }
}

fn stable(interval: u64) -> Option<StableCheckpoint> {
    let statement = Checkpoint { slot: Slot(interval * INTERVAL), history: digest(interval), state: digest(interval) };
    (interval > 0).then(|| StableCheckpoint { statement, signatures: Bounded::default() })
}

fn change(interval: u64, prepared: &[(u64, u64, Digest)]) -> ViewChange {
    let mut prepared: Vec<_> = prepared.to_vec();
    prepared.sort_unstable_by_key(|(_, slot, _)| *slot);
    let prepared: Vec<_> = prepared.into_iter().map(|(view, slot, digest)| certificate(view, slot, digest)).collect();
    ViewChange { view: View(9), stable: stable(interval), prepared: Bounded::try_from(prepared).unwrap() }
}

/// Per place above the own checkpoint: nothing, or a view and one of three digests, null among them.
fn arbitrary_change() -> impl Strategy<Value = (u64, Vec<Option<(u64, u8)>>)> {
    (0..4_u64, prop::collection::vec(prop::option::of((0..4_u64, 0..3_u8)), WINDOW as usize))
}

fn named(choice: u8) -> Digest {
    if choice == 0 { NULL_BATCH } else { digest(choice.into()) }
}

fn build(changes: Vec<(u64, Vec<Option<(u64, u8)>>)>, digest_of: impl Fn(u64, u64, u8) -> Digest) -> Vec<ViewChange> {
    let one = |(interval, places): (u64, Vec<Option<(u64, u8)>>)| {
        let slots = places.into_iter().enumerate().filter_map(|(place, held)| {
            let slot = interval * INTERVAL + 1 + place as u64;
            held.map(|(view, choice)| (view, slot, digest_of(view, slot, choice)))
        });
        change(interval, &slots.collect::<Vec<_>>())
    };
    changes.into_iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// As honest quorums make them: one digest per view and slot.
    #[test]
    fn equals_the_oracle_where_certificates_agree(
        changes in prop::collection::vec(arbitrary_change(), 1..6),
        table in prop::collection::vec(0..3_u8, 4 * 24),
    ) {
        let changes = build(changes, |view, slot, _| named(table[(view * 24 + slot) as usize % table.len()]));
        prop_assert!(compare(&changes).is_ok());
    }

    /// Anything at all, contradictions included.
    #[test]
    fn equals_the_oracle_where_certificates_contradict_each_other(changes in prop::collection::vec(arbitrary_change(), 1..6)) {
        let _fork_or_order = compare(&build(changes, |_, _, choice| named(choice)));
    }

    /// It does not matter who says what, nor in which order: `O` is a function of the set.
    #[test]
    fn is_a_function_of_the_set(changes in prop::collection::vec(arbitrary_change(), 2..6), turn in 0..6_usize) {
        let mut changes = build(changes, |view, slot, _| named(((view + slot) % 3) as u8));
        let before = compare(&changes).unwrap();
        let turn = turn % changes.len();
        changes.rotate_left(turn);
        changes.push(changes[0].clone());
        prop_assert_eq!(compare(&changes).unwrap(), before);
    }
}

#[test]
fn nothing_prepared_carries_nothing_over() {
    let order = compare(&[change(0, &[]), change(0, &[])]).unwrap();
    assert_eq!((order.slots.len(), order.min(), order.next_free()), (0, Slot(0), Slot(1)));
    let order = compare(&[change(0, &[]), change(2, &[])]).unwrap();
    assert_eq!((order.slots.len(), order.min(), order.next_free()), (0, Slot(8), Slot(9)));
}

/// A null that was prepared in a higher view beats a batch of a lower one: the batch cannot have committed.
#[test]
fn a_null_of_a_higher_view_beats_a_batch_of_a_lower_one() {
    let order = compare(&[change(0, &[(1, 1, digest(1))]), change(0, &[(2, 1, NULL_BATCH)])]).unwrap();
    assert_eq!(order.slots, [(Slot(1), NULL_BATCH)]);
    let order = compare(&[change(0, &[(3, 1, digest(1))]), change(0, &[(2, 1, NULL_BATCH)])]).unwrap();
    assert_eq!(order.slots, [(Slot(1), digest(1))]);
}

/// Gaps are filled with null batches, and the highest checkpoint cuts off what is below it, whoever proves it.
#[test]
fn the_highest_checkpoint_is_the_floor_and_gaps_are_null() {
    let low = change(0, &[(0, 1, digest(1)), (0, 4, digest(4)), (0, 5, digest(5)), (0, 8, digest(8))]);
    let high = change(1, &[]);
    let order = compare(&[low.clone(), high]).unwrap();
    assert_eq!(
        order.slots,
        [(Slot(5), digest(5)), (Slot(6), NULL_BATCH), (Slot(7), NULL_BATCH), (Slot(8), digest(8)),]
    );
    assert_eq!(order.next_free(), Slot(9));
    // All that is prepared lies at or below the checkpoint.
    let order = compare(&[low, change(2, &[])]).unwrap();
    assert_eq!((order.slots.len(), order.next_free()), (0, Slot(9)));
}

/// Both ends of the window.
#[test]
fn the_first_and_the_last_slot_of_the_window_are_carried() {
    let order = compare(&[change(1, &[(0, 5, digest(5)), (0, 12, digest(12))])]).unwrap();
    assert_eq!(order.slots.first(), Some(&(Slot(5), digest(5))));
    assert_eq!(order.slots.last(), Some(&(Slot(12), digest(12))));
    assert_eq!(order.slots.len() as u64, WINDOW);
}

#[test]
fn two_batches_prepared_in_one_view_and_slot_are_a_fork() {
    let fork = compare(&[change(0, &[(1, 3, digest(1))]), change(0, &[(1, 3, NULL_BATCH)])]);
    assert_eq!(fork, Err(OrderError::Fork { slot: Slot(3), view: View(1) }));
}

/// With real signatures: what the core accepts as a NEW-VIEW is exactly what the oracle says, and nothing near it.
#[test]
fn a_new_view_is_valid_exactly_if_its_order_is_the_oracles() {
    use varangian_crypto::Verify;
    let world = World::new(4);
    let changes = vec![
        world.view_change(0, 3, None, vec![world.prepared(0, 1, digest(1)), world.prepared(0, 3, digest(3))]),
        world.view_change(1, 3, None, vec![world.prepared(1, 1, NULL_BATCH)]),
        world.view_change(2, 3, None, vec![world.prepared(2, 3, digest(4))]),
    ];
    let statements: Vec<_> = changes.iter().map(|signed| signed.statement.clone()).collect();
    let expected = oracle(statements.iter()).unwrap();
    assert_eq!(expected, [(Slot(1), NULL_BATCH), (Slot(2), NULL_BATCH), (Slot(3), digest(4))]);
    let signed: Vec<_> = expected.iter().map(|(slot, digest)| world.pre_prepare(3, slot.0, *digest)).collect();
    let valid = |order: Vec<_>| world.new_view_with(3, changes.clone(), order).check(&world.committee).is_ok();
    assert!(valid(signed.clone()));
    assert!(!valid(signed[..2].to_vec()), "one slot short");
    assert!(!valid(signed[1..].to_vec()), "without its first");
    assert!(!valid([signed.clone(), vec![world.pre_prepare(3, 4, NULL_BATCH)]].concat()), "one slot more");
    for place in 0..3 {
        for other in [NULL_BATCH, digest(1), digest(3), digest(4)] {
            let mut changed = signed.clone();
            changed[place] = world.pre_prepare(3, place as u64 + 1, other);
            assert_eq!(valid(changed), other == expected[place].1, "slot {} is {other}", place + 1);
        }
    }
    let mut swapped = signed.clone();
    swapped.swap(0, 1);
    assert!(!valid(swapped), "out of order");
    let mut old = signed;
    old[0] = world.pre_prepare(7, 1, NULL_BATCH);
    assert!(!valid(old), "of another view of the same primary");
}
