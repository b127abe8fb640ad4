//! Executions, views, committed slots and pruning.

use super::*;
use crate::{Limit, StoreError, Table};

const ALL: Limit = Limit { entries: usize::MAX, bytes: usize::MAX };

#[test]
fn slots_are_executed_in_order_and_nothing_else_is() {
    let (_home, dir) = create();
    let store = open(&dir);
    for slot in [0, 2, u64::MAX] {
        let error = store.execute(execution(slot, b"key", noise(1, 1))).unwrap_err();
        assert!(matches!(error, StoreError::Gap { expected: 1, slot: given } if given == slot), "{error}");
    }
    store.execute(execution(1, b"key", noise(1, 1))).unwrap();
    assert!(matches!(store.execute(execution(1, b"key", noise(1, 1))), Err(StoreError::Gap { expected: 2, .. })));
    assert_eq!(store.last_executed(), 1);
    drop(store);
    let store = open(&dir);
    assert!(matches!(store.execute(execution(1, b"key", noise(1, 1))), Err(StoreError::Gap { expected: 2, .. })));
    store.execute(execution(2, b"key", noise(2, 1))).unwrap();
}

#[test]
fn a_body_that_is_not_stored_stops_the_execution_and_changes_nothing() {
    let (_home, dir) = create();
    let store = open(&dir);
    store.commit(body(2, noise(2, 10))).unwrap();
    let mut wanted = execution(1, b"key", Bytes::new());
    wanted.body = Body::Stored;
    assert!(matches!(store.execute(wanted.clone()), Err(StoreError::MissingBody { slot: 1, .. })));
    assert_eq!((store.last_executed(), store.view().unwrap().get(Table::State, b"key").unwrap()), (0, None));
    store.commit(body(1, noise(1, 10))).unwrap();
    store.execute(wanted).unwrap();
    assert_eq!(store.committed(1, u64::MAX).unwrap()[0].body, Some(noise(1, 10)));
}

#[test]
fn a_view_stays_as_it_was() {
    let (_home, dir) = create();
    let store = open(&dir);
    store.execute(execution(1, b"key", noise(1, 1))).unwrap();
    let view = store.view().unwrap();
    let mut second = execution(2, b"new", noise(2, 1));
    second.state.push((b"key".to_vec(), None));
    store.execute(second).unwrap();

    let one = 1u64.to_be_bytes().to_vec();
    let two = 2u64.to_be_bytes().to_vec();
    assert_eq!(view.slot(), 1);
    assert_eq!(view.get(Table::State, b"key").unwrap(), Some(one.clone()));
    assert_eq!(view.scan_prefix(Table::State, b"", None, ALL).unwrap(), [(b"key".to_vec(), one.clone())]);
    assert_eq!(view.get(Table::Clients, b"client").unwrap(), Some(one));
    let now = store.view().unwrap();
    assert_eq!((now.slot(), now.get(Table::State, b"key").unwrap()), (2, None));
    assert_eq!(now.scan_prefix(Table::State, b"", None, ALL).unwrap(), [(b"new".to_vec(), two.clone())]);
    assert_eq!(now.get(Table::Meta, b"slot").unwrap(), Some(two));
}

#[test]
fn scans_page_through_a_prefix_and_stay_within_their_limit() {
    let (_home, dir) = create();
    let store = open(&dir);
    let mut slot = execution(1, b"b", noise(1, 1));
    slot.state =
        ["a", "b", "b1", "b2", "b3", "b\u{7f}", "c"].map(|key| (key.as_bytes().to_vec(), Some(vec![1; 10]))).to_vec();
    store.execute(slot).unwrap();
    let view = store.view().unwrap();
    let page = |after: Option<&str>, limit| {
        let pairs = view.scan_prefix(Table::State, b"b", after.map(str::as_bytes), limit).unwrap();
        pairs.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, ALL), ["b", "b1", "b2", "b3", "b\u{7f}"]);
    assert_eq!(page(Some("a"), ALL), page(None, ALL));
    assert_eq!(page(Some("b"), ALL), ["b1", "b2", "b3", "b\u{7f}"]);
    assert_eq!(page(Some("b15"), Limit { entries: 2, ..ALL }), ["b2", "b3"]);
    assert_eq!(page(Some("c"), ALL), Vec::<String>::new());
    assert_eq!(page(None, Limit { entries: 0, ..ALL }), Vec::<String>::new());
    assert_eq!(page(None, Limit { bytes: 24, ..ALL }), ["b", "b1"], "11 and 12 bytes");
    assert_eq!(page(None, Limit { bytes: 22, ..ALL }), ["b"]);
    assert_eq!(page(None, Limit { bytes: 1, ..ALL }), ["b"], "the first comes in any case");
}

#[test]
fn committed_slots_come_in_order_within_a_limit() {
    let (_home, dir) = create();
    let store = open(&dir);
    for slot in 1..=5 {
        let mut execution = execution(slot, b"key", noise(slot, 100));
        if slot == 3 {
            execution.body = Body::None;
        }
        store.execute(execution).unwrap();
    }
    let slots = |from, limit| store.committed(from, limit).unwrap().iter().map(|slot| slot.slot).collect::<Vec<_>>();
    assert_eq!(slots(1, u64::MAX), [1, 2, 3, 4, 5]);
    assert_eq!(slots(2, 278), [2, 3], "100 and 0 bytes, certificates of 40, and 49 for each");
    assert_eq!(slots(2, 277), [2]);
    assert_eq!(slots(4, 0), [4], "the first comes in any case");
    assert_eq!(slots(6, u64::MAX), [0; 0]);
    assert_eq!(slots(0, u64::MAX), [0; 0]);
    assert_eq!(store.certificate(2).unwrap(), Some(noise(2, 40)));
    assert_eq!(store.certificate(6).unwrap(), None);
    let third = &store.committed(3, 0).unwrap()[0];
    assert_eq!((third.batch, &third.body, &third.certificate), (digest(3), &None, &noise(3, 40)));
}

#[test]
fn pruning_drops_bodies_that_lost_their_slot_and_no_other() {
    let (_home, dir) = create();
    let store = open(&dir);
    let other = |slot| digest(100 + slot);
    for slot in 1..=4 {
        store.commit(body(slot, noise(slot, 10))).unwrap();
        store.commit(Commit { batches: vec![(slot, other(slot), noise(slot, 20))], ..Commit::default() }).unwrap();
    }
    for slot in 1..=3 {
        let mut execution = execution(slot, b"key", Bytes::new());
        execution.body = Body::Stored;
        store.execute(execution).unwrap();
    }
    let has =
        |store: &Store| (1..=4).map(|slot| store.batch(slot, &other(slot)).unwrap().is_some()).collect::<Vec<_>>();
    let before = store.synced().unwrap().turn;
    assert_eq!(store.prune(2, u64::MAX).unwrap().losing, 2);
    // What allows files to go is on disk, and the mark says so.
    let synced = Store::synced_in(&dir).unwrap();
    assert_eq!(synced.turn, before + 1);
    assert_eq!(synced.bytes, std::fs::metadata(&synced.log).unwrap().len());
    assert_eq!(has(&store), [false, false, true, true]);
    // A stable checkpoint ahead of this replica: nobody here knows yet which digest won slot 4.
    assert_eq!(store.prune(4, u64::MAX).unwrap().losing, 1);
    assert_eq!(has(&store), [false, false, false, true]);
    let before = store.stats().turns;
    assert_eq!(store.prune(4, u64::MAX).unwrap(), crate::Pruned::default());
    assert_eq!(store.stats().turns, before, "nothing to do is not a turn");
    drop(store);
    let store = open(&dir);
    assert_eq!(has(&store), [false, false, false, true]);
    assert_eq!(store.committed(1, u64::MAX).unwrap().len(), 3);
    store.verify().unwrap();
}

/// Two mebibytes of slots against a budget of a quarter: what is served fits, and so does the disk.
#[test]
fn committed_slots_stay_within_their_budget() {
    const BUDGET: u64 = 256 * 1024;
    let (_home, dir) = create();
    let mut store = Store::open(&dir, &identity(), tiny()).unwrap().0;
    for slot in 1..=200 {
        store.execute(execution(slot, b"key", noise(slot, 10_000))).unwrap();
        if slot % 10 == 0 {
            let stable = slot - 4;
            store.prune(stable, BUDGET).unwrap();
            let oldest = store.oldest_committed();
            let kept = store.committed(oldest, u64::MAX).unwrap();
            assert_eq!(kept.iter().map(|slot| slot.slot).collect::<Vec<_>>(), (oldest..=slot).collect::<Vec<_>>());
            let size = |slot: &&crate::Committed| (slot.body.as_ref().unwrap().len() + slot.certificate.len()) as u64;
            let stable_bytes: u64 = kept.iter().filter(|kept| kept.slot <= stable).map(|slot| size(&slot)).sum();
            assert!(stable_bytes <= BUDGET, "{stable_bytes} bytes at slot {slot}");
            assert!(slot < 40 || stable_bytes > BUDGET / 2, "{stable_bytes} bytes at slot {slot}");
            assert_eq!(store.committed(oldest - 1, u64::MAX).unwrap(), []);
            assert_eq!(store.certificate(oldest - 1).unwrap(), None);
        }
        if slot % 70 == 0 {
            let oldest = store.oldest_committed();
            drop(store);
            store = Store::open(&dir, &identity(), tiny()).unwrap().0;
            assert_eq!(store.oldest_committed(), oldest);
        }
    }
    store.verify().unwrap();
    drop(store);
    let on_disk: usize = contents(&dir.join("db")).values().map(Vec::len).sum();
    assert!(on_disk < 4 * BUDGET as usize, "{on_disk} bytes on disk");
}

#[test]
fn a_budget_of_nothing_keeps_what_is_not_stable() {
    let (_home, dir) = create();
    let store = open(&dir);
    assert_eq!(store.prune(10, 0).unwrap(), crate::Pruned::default());
    for slot in 1..=3 {
        store.execute(execution(slot, b"key", noise(slot, 10))).unwrap();
    }
    assert_eq!(store.prune(2, 0).unwrap().slots, 2);
    assert_eq!((store.oldest_committed(), store.committed(3, 0).unwrap().len()), (3, 1));
    assert_eq!(store.prune(9, 0).unwrap().slots, 1);
    assert_eq!((store.oldest_committed(), store.last_executed()), (4, 3));
    store.execute(execution(4, b"key", noise(4, 10))).unwrap();
    assert_eq!(store.committed(4, 0).unwrap().len(), 1);
    drop(store);
    assert_eq!(open(&dir).committed(4, 0).unwrap().len(), 1);
}

/// Everything stable is dropped, files and all, up to the last executed slot. The store still knows where it stands.
#[test]
fn a_store_that_keeps_no_history_opens_again() {
    let (_home, dir) = create();
    let mut store = Store::open(&dir, &identity(), tiny()).unwrap().0;
    for slot in 1..=100 {
        store.execute(execution(slot, b"key", noise(slot, 10_000))).unwrap();
        if slot % 10 == 0 {
            // Opening moves the log into tables; this makes them old ones, which pruning can drop.
            drop(store);
            store = Store::open(&dir, &identity(), tiny()).unwrap().0;
            store.compact().unwrap();
            store.prune(slot, 0).unwrap();
            drop(store);
            store = Store::open(&dir, &identity(), tiny()).unwrap().0;
            assert_eq!((store.last_executed(), store.oldest_committed()), (slot, slot + 1));
        }
    }
}

/// Why bodies are ordinary values: they arrive in order, and compaction moves tables of them without rewriting.
#[test]
fn bodies_in_order_are_not_rewritten() {
    let (_home, dir) = create();
    let options = Options { memtable_bytes: 1 << 20, table_bytes: 1 << 20, ..Options::default() };
    let store = Store::open(&dir, &identity(), options).unwrap().0;
    for slot in 1..=400 {
        store.commit(body(slot, noise(slot, 64 * 1024))).unwrap();
        let mut execution = execution(slot, b"key", Bytes::new());
        execution.body = Body::Stored;
        store.execute(execution).unwrap();
        if slot % 50 == 0 {
            store.prune(slot, 8 << 20).unwrap();
        }
    }
    let stats = store.stats();
    assert!(stats.flushed_bytes > 20 << 20, "{stats:?}");
    assert!(stats.compacted_bytes < stats.flushed_bytes / 4, "{stats:?}");
}
