//! Turns: what they write, that they sync, and that a failure is final.

use std::fs;

use super::*;
use crate::layout::Layout;
use crate::{Prune, StoreError};

#[test]
fn a_turn_is_there_after_reopening() {
    let (_home, dir) = create();
    let store = open(&dir);
    assert_eq!(store.commit(put(Key::new(1, [5, 2]), b"vote")).unwrap(), 1);
    let mut second = put(Key::new(2, [9]), b"promise");
    second.deletes = vec![Key::new(1, [5, 2]), Key::new(1, [6])];
    second.batches = vec![(4, digest(4), noise(4, 100)), (5, digest(5), noise(5, 200_000))];
    assert_eq!(store.commit(second).unwrap(), 2);
    drop(store);

    let (store, opened) = Store::open(&dir, &identity(), Options::default()).unwrap();
    assert_eq!((opened.turn, opened.mark, opened.torn), (2, 2, None));
    let expected = Key::new(2, [9]).as_bytes().to_vec();
    assert_eq!(records(&store), BTreeMap::from([(expected, b"promise".to_vec())]));
    assert_eq!(store.record(&Key::new(2, [9])).unwrap().unwrap(), "promise");
    assert_eq!(store.record(&Key::new(2, [8])).unwrap(), None);
    assert_eq!(store.batch(5, &digest(5)).unwrap().unwrap(), noise(5, 200_000));
    assert_eq!(store.batch(5, &digest(4)).unwrap(), None);
    let above = |slot| store.batches_above(slot).map(|item| item.unwrap().0).collect::<Vec<_>>();
    assert_eq!((above(0), above(4), above(5), above(u64::MAX)), (vec![4, 5], vec![5], vec![], vec![]));
    assert_eq!(store.commit(Commit::default()).unwrap(), 3);
}

#[test]
fn keys_sort_by_kind_then_by_number() {
    let keys = [Key::new(1, []), Key::new(1, [1, u64::MAX]), Key::new(1, [2]), Key::new(1, [256]), Key::new(2, [0])];
    assert!(keys.is_sorted());
    assert!(keys.is_sorted_by_key(|key| key.as_bytes().to_vec()));
    assert_eq!(Key::new(7, [1, 2, 3, 4]).as_bytes().len(), 33);
}

#[test]
fn a_prune_takes_its_kinds_up_to_its_slot_and_spares_the_turns_own_records() {
    let (_home, dir) = create();
    let store = open(&dir);
    let all = [(1, 4), (1, 5), (1, 6), (2, 5), (3, 5)];
    let puts = all.iter().map(|(kind, slot)| (Key::new(*kind, [*slot, 1]), Bytes::from("x"))).collect();
    store.commit(Commit { puts, ..Commit::default() }).unwrap();
    let mut commit = put(Key::new(1, [2, 2]), b"stable");
    commit.prune = Some(Prune { kinds: vec![1, 3], slot: 5 });
    store.commit(commit).unwrap();
    let left = [Key::new(1, [2, 2]), Key::new(1, [6, 1]), Key::new(2, [5, 1])];
    assert_eq!(records(&store).into_keys().collect::<Vec<_>>(), left.map(|key| key.as_bytes().to_vec()));
}

/// The promise the whole crate exists for: one sync of the log and one of the mark for a turn, none for an execution.
#[test]
fn a_turn_syncs_once_and_an_execution_never() {
    let (_home, dir) = create();
    let store = open(&dir);
    for turn in 1..=5 {
        let before = store.stats();
        store.commit(put(Key::new(1, [turn]), b"vote")).unwrap();
        let after = store.stats();
        assert_eq!((after.log_syncs, after.turns), (before.log_syncs + 1, before.turns + 1));

        let synced = store.synced().unwrap();
        assert_eq!(synced.turn, turn);
        assert_eq!(synced.bytes, fs::metadata(&synced.log).unwrap().len());
        assert_eq!(Store::synced_in(&dir).unwrap(), synced, "the mark on disk is the turn's");

        store.execute(execution(turn, b"key", noise(turn, 10))).unwrap();
        assert_eq!((store.stats().log_syncs, store.stats().executions), (after.log_syncs, turn));
        assert_eq!(store.synced().unwrap(), synced);
        assert!(fs::metadata(&synced.log).unwrap().len() > synced.bytes, "an execution is in the log, unsynced");
    }
    assert!(store.stats().log_bytes > 0 && store.stats().last_log_sync_micros > 0);
}

#[test]
fn a_body_is_written_once() {
    let (_home, dir) = create();
    let store = open(&dir);
    store.commit(body(1, noise(1, 50_000))).unwrap();
    let written = store.stats().log_bytes;
    store.commit(body(1, noise(1, 50_000))).unwrap();
    assert!(store.stats().log_bytes - written < 1000);
    assert_eq!(store.batch(1, &digest(1)).unwrap().unwrap(), noise(1, 50_000));
}

#[test]
fn a_mark_that_cannot_be_written_is_final() {
    let (_home, dir) = create();
    let store = open(&dir);
    store.commit(put(Key::new(1, [1]), b"sent")).unwrap();
    store.turns.lock().unwrap().mark.break_writes().unwrap();
    let first = store.commit(put(Key::new(1, [2]), b"not sent")).unwrap_err();
    assert!(matches!(first, StoreError::Io { .. }), "{first}");
    assert_refuses(&store, &first);
    // The records reached the disk all the same. They bind: they are found above the mark.
    drop(store);
    let (store, opened) = Store::open(&dir, &identity(), Options::default()).unwrap();
    assert_eq!((opened.turn, opened.mark), (2, 1));
    assert_eq!(Store::synced_in(&dir).unwrap().turn, 2, "opening raises the mark");
    assert_eq!(store.commit(Commit::default()).unwrap(), 3);
}

/// The mark takes its bytes and cannot be synced: nobody knows what is on the disk, so nothing is tried again.
#[test]
fn a_mark_that_cannot_be_synced_is_final() {
    let (_home, dir) = create();
    let store = open(&dir);
    store.commit(put(Key::new(1, [1]), b"sent")).unwrap();
    store.turns.lock().unwrap().mark.break_syncs().unwrap();
    let first = store.commit(put(Key::new(1, [2]), b"not sent")).unwrap_err();
    assert!(first.to_string().starts_with("syncing the high-water mark"), "{first}");
    assert_refuses(&store, &first);
    assert_eq!(Store::synced_in(&dir).unwrap().turn, 1);
}

/// The next log file takes every byte and cannot be synced. The turn is not told as durable, no mark says so, nothing is tried again, and what was
/// durable before is there.
#[test]
fn a_log_that_cannot_be_synced_is_final() {
    let (_home, dir) = create();
    let store = Store::open(&dir, &identity(), tiny()).unwrap().0;
    let newest = contents(&dir).into_keys().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        name.split(|character: char| !character.is_ascii_digit()).find_map(|digits| digits.parse::<u64>().ok())
    });
    let log = Layout::new(&dir).log_file(newest.max().unwrap() + 1);
    std::os::unix::fs::symlink("/dev/null", &log).unwrap();
    let mut durable = 0;
    let first = (1..100).find_map(|number| match store.commit(put(Key::new(1, [number]), &noise(number, 10_000))) {
        Ok(turn) => {
            durable = turn;
            None
        }
        Err(error) => Some(error),
    });
    let first = first.expect("the log is changed within 64 KiB");
    assert!(matches!(&first, StoreError::Database { message, .. } if message.contains("sync")), "{first}");
    assert_refuses(&store, &first);
    assert_eq!(Store::synced_in(&dir).unwrap().turn, durable);
    drop(store);
    fs::remove_file(&log).unwrap();
    let (store, opened) = Store::open(&dir, &identity(), tiny()).unwrap();
    assert_eq!((opened.turn, records(&store).len() as u64), (durable, durable));
}

/// With its log directory gone, RocksDB cannot begin the next log file.
#[test]
fn a_database_that_cannot_be_written_is_final() {
    let (home, dir) = create();
    let store = Store::open(&dir, &identity(), tiny()).unwrap().0;
    fs::rename(dir.join("log"), home.path().join("away")).unwrap();
    let write = |slot| store.execute(execution(slot, b"key", noise(slot, 10_000)));
    let first = (1..100).find_map(|slot| write(slot).err()).unwrap();
    assert!(matches!(first, StoreError::Database { .. }), "{first}");
    assert_refuses(&store, &first);
    fs::rename(home.path().join("away"), dir.join("log")).unwrap();
    assert_refuses(&store, &first);
    drop(store);
    open(&dir);
}

/// Every way to write is refused, with the first failure.
fn assert_refuses(store: &Store, cause: &StoreError) {
    let next = store.last_executed() + 1;
    let writes = [
        store.commit(Commit::default()).err(),
        store.execute(execution(next, b"key", noise(1, 1))).err(),
        store.prune(1, 0).err(),
    ];
    for error in writes {
        match error.unwrap() {
            StoreError::Poisoned { first } => assert_eq!(*first, *cause.to_string()),
            error => panic!("{error}"),
        }
    }
}

/// One thread makes turns while another executes. Both are whole afterwards.
#[test]
fn turns_and_executions_from_two_threads() {
    let (_home, dir) = create();
    let store = Store::open(&dir, &identity(), tiny()).unwrap().0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 1..=100 {
                assert_eq!(store.commit(put(Key::new(1, [turn]), &noise(turn, 2000))).unwrap(), turn);
                let synced = store.synced().unwrap();
                assert_eq!(synced.turn, turn);
            }
        });
        for slot in 1..=200 {
            store.execute(execution(slot, &slot.to_be_bytes(), noise(slot, 1000))).unwrap();
        }
    });
    drop(store);
    let (store, opened) = Store::open(&dir, &identity(), tiny()).unwrap();
    assert_eq!((opened.turn, opened.last_executed, opened.torn), (100, 200, None));
    assert_eq!(records(&store).len(), 100);
    assert_eq!(store.verify().unwrap().last_executed, 200);
}
