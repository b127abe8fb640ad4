//! Damaged tables, manifests and marks.

use std::fs;

use super::*;
use crate::StoreError;

/// A closed store with everything in tables.
fn in_tables() -> (TempDir, PathBuf) {
    let (home, dir) = create();
    let store = open(&dir);
    for number in 1..=20 {
        let mut commit = body(number, noise(number, 20_000));
        commit.puts = vec![(Key::new(1, [number]), noise(number, 300))];
        store.commit(commit).unwrap();
        let mut execution = execution(number, &number.to_be_bytes(), Bytes::new());
        execution.body = crate::Body::Stored;
        store.execute(execution).unwrap();
    }
    drop(store);
    // Opening moves what is in the log into tables. With the background work at an end, no file is left that is not in use.
    let store = open(&dir);
    store.compact().unwrap();
    store.db.cancel_all_background_work(true);
    let used: Vec<String> = store.db.live_files().unwrap().into_iter().map(|table| table.name).collect();
    drop(store);
    for table in files(&dir, ".sst") {
        let name = format!("/{}", table.file_name().unwrap().to_str().unwrap());
        if !used.contains(&name) {
            fs::remove_file(table).unwrap();
        }
    }
    (home, dir)
}

/// The error of opening a store, or of verifying it.
fn found_damage(dir: &Path) -> StoreError {
    match Store::open(dir, &identity(), Options::default()) {
        Err(error) => error,
        Ok((store, _)) => store.verify().unwrap_err(),
    }
}

#[test]
fn a_flipped_byte_in_any_table_is_found_and_the_file_is_named() {
    let (_home, dir) = in_tables();
    let tables = files(&dir, ".sst");
    assert!(tables.len() >= 7, "a table for each family: {tables:?}");
    for table in tables {
        let length = fs::metadata(&table).unwrap().len() as usize;
        // A data block, and the footer that leads to the index.
        for at in [3, length - 20] {
            let (_home, copied) = copy(&dir);
            flip(&copied.join(table.strip_prefix(&dir).unwrap()), at);
            match found_damage(&copied) {
                StoreError::Corrupt { file, .. } => assert_eq!(file.file_name(), table.file_name(), "byte {at}"),
                error => panic!("{}, byte {at}: {error}", table.display()),
            }
        }
    }
}

#[test]
fn a_read_of_a_damaged_body_is_an_error_and_not_an_absence() {
    let (_home, dir) = in_tables();
    let table = files(&dir, ".sst").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    flip(&table, 10_000);
    let store = open(&dir);
    assert!(
        matches!(store.batch(1, &digest(1)), Err(StoreError::Corrupt { file, .. }) if file.file_name() == table.file_name())
    );
    assert!(store.batches_above(0).any(|item| matches!(item, Err(StoreError::Corrupt { .. }))));
    assert!(matches!(store.committed(1, u64::MAX), Err(StoreError::Corrupt { .. })));
    assert!(matches!(store.verify(), Err(StoreError::Corrupt { .. })));
}

/// A block that is in the cache was whole when it was read. `verify` looks at the disk.
#[test]
fn verify_reads_the_disk_and_not_the_cache() {
    let (_home, dir) = in_tables();
    let store = open(&dir);
    // No table may go in favour of a merged one while this looks at them.
    store.db.cancel_all_background_work(true);
    for number in 1..=20 {
        store.view().unwrap().get(crate::Table::State, &u64::to_be_bytes(number)).unwrap().unwrap();
    }
    for table in store.db.live_files().unwrap() {
        let table = dir.join("db").join(table.name.trim_start_matches('/'));
        let bytes = fs::read(&table).unwrap();
        let mut damaged = bytes.clone();
        damaged[3] ^= 1;
        // In place: the database has the file open.
        overwrite(&table, &damaged);
        assert!(matches!(store.verify(), Err(StoreError::Corrupt { .. })), "{}", table.display());
        overwrite(&table, &bytes);
    }
    store.verify().unwrap();
}

fn overwrite(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, 0).unwrap();
}

#[test]
fn a_missing_table_or_manifest_is_damage() {
    let (_home, dir) = in_tables();
    let mut victims = files(&dir, ".sst");
    victims.push(dir.join("db/CURRENT"));
    victims.extend(
        contents(&dir)
            .into_keys()
            .filter(|path| path.to_str().unwrap().contains("MANIFEST"))
            .map(|path| dir.join(path)),
    );
    for victim in victims {
        let (_home, copied) = copy(&dir);
        let victim = copied.join(victim.strip_prefix(&dir).unwrap());
        fs::remove_file(&victim).unwrap();
        let before = contents(&copied);
        match refused(&copied) {
            StoreError::Corrupt { file, .. } => assert_eq!(file.file_name(), victim.file_name()),
            error => panic!("{}: {error}", victim.display()),
        }
        assert_eq!(contents(&copied), before);
    }
}

#[test]
fn an_empty_database_beside_a_mark_is_lost_votes() {
    let (_home, dir) = in_tables();
    let (_other, empty) = create();
    for part in ["db", "log"] {
        fs::remove_dir_all(dir.join(part)).unwrap();
        fs::rename(empty.join(part), dir.join(part)).unwrap();
    }
    assert!(matches!(refused(&dir), StoreError::LostVotes { mark: 20, found: crate::Found::Turn(0) }));
}

#[test]
fn one_torn_mark_leaves_the_other_and_two_are_refused() {
    let (_home, dir) = create();
    let store = open(&dir);
    for number in 1..=3 {
        store.commit(put(Key::new(1, [number]), b"vote")).unwrap();
    }
    drop(store);
    let mark = dir.join("votes.mark");
    assert_eq!(fs::metadata(&mark).unwrap().len(), 8192);
    let bytes = fs::read(&mark).unwrap();
    // Opening wrote the mark of turn 0 to the second slot, so odd turns are in the first.
    for (slot, other) in [(0, 2), (4096, 3)] {
        for at in [0, 8, 20, 28, 35] {
            fs::write(&mark, &bytes).unwrap();
            flip(&mark, slot + at);
            assert_eq!(Store::synced_in(&dir).unwrap().turn, other, "slot at {slot}, byte {at}");
        }
        let opened = Store::open(&dir, &identity(), Options::default()).unwrap().1;
        assert_eq!((opened.turn, opened.mark), (3, other));
        assert_eq!(Store::synced_in(&dir).unwrap().turn, 3);
    }
    fs::write(&mark, &bytes).unwrap();
    flip(&mark, 0);
    flip(&mark, 4096);
    assert!(matches!(refused(&dir), StoreError::Corrupt { file, .. } if file == mark));
    fs::write(&mark, &bytes[..4]).unwrap();
    assert!(matches!(refused(&dir), StoreError::Corrupt { file, .. } if file == mark));
    fs::remove_file(&mark).unwrap();
    assert!(matches!(refused(&dir), StoreError::Corrupt { file, .. } if file == mark));
}

/// A torn mark must not be followed by a write over the only whole one.
#[test]
fn the_next_mark_goes_over_the_torn_one() {
    let (_home, dir) = create();
    let store = open(&dir);
    for number in 1..=3 {
        store.commit(put(Key::new(1, [number]), b"vote")).unwrap();
    }
    drop(store);
    let mark = dir.join("votes.mark");
    flip(&mark, 0); // turn 3 is torn, turn 2 is whole
    open(&dir);
    flip(&mark, 0);
    assert_eq!(Store::synced_in(&dir).unwrap().turn, 2, "turn 2 is where it was");
}
