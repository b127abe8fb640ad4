//! What a store that cannot be used says, and that it stays as it was.

use std::fs;

use super::*;
use crate::StoreError;

#[test]
fn an_empty_disk_is_not_a_new_replica() {
    let home = TempDir::new().unwrap();
    let absent = home.path().join("absent");
    assert!(matches!(refused(&absent), StoreError::Missing { dir } if dir == absent));
    assert!(!absent.exists());
    assert!(matches!(refused(home.path()), StoreError::Missing { .. }));
    assert_eq!(contents(home.path()), BTreeMap::new());
}

#[test]
fn create_refuses_a_directory_with_anything_in_it() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("note"), "mine").unwrap();
    assert!(matches!(Store::create(home.path(), &identity()), Err(StoreError::NotEmpty { .. })));
    let (_home, dir) = create();
    let before = contents(&dir);
    assert!(matches!(Store::create(&dir, &identity()), Err(StoreError::NotEmpty { .. })));
    assert_eq!(contents(&dir), before);
}

#[test]
fn create_takes_an_empty_directory_and_keeps_others_out() {
    use std::os::unix::fs::PermissionsExt;
    let home = TempDir::new().unwrap();
    Store::create(home.path(), &identity()).unwrap();
    let (_, opened) = Store::open(home.path(), &identity(), Options::default()).unwrap();
    assert_eq!((opened.turn, opened.mark, opened.torn, opened.last_executed), (0, 0, None, 0));
    let (_home, dir) = create();
    for path in [dir.clone(), dir.join("db"), dir.join("log")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_creation_that_was_interrupted_is_no_store() {
    let (_home, dir) = create();
    fs::remove_file(dir.join("identity")).unwrap();
    assert!(matches!(refused(&dir), StoreError::Missing { .. }));
    assert!(matches!(Store::create(&dir, &identity()), Err(StoreError::NotEmpty { .. })));
}

#[test]
fn another_chain_and_another_replica_are_foreign() {
    let (_home, dir) = create();
    let other_chain = Identity { chain_id: Digest::from_bytes([8; 32]), ..identity() };
    let other_replica = Identity { replica: ReplicaId(4), ..identity() };
    for other in [other_chain, other_replica] {
        match Store::open(&dir, &other, Options::default()).unwrap_err() {
            StoreError::Foreign { found, wanted, .. } => assert_eq!((found, wanted), (identity(), other)),
            error => panic!("{error}"),
        }
    }
    open(&dir);
}

#[test]
fn a_damaged_marker_is_damage_and_not_another_replica() {
    let (_home, dir) = create();
    let marker = dir.join("identity");
    let length = fs::read(&marker).unwrap().len();
    for at in 0..length {
        flip(&marker, at);
        assert!(matches!(refused(&dir), StoreError::Corrupt { file, .. } if file == marker), "byte {at}");
        flip(&marker, at);
    }
    open(&dir);
}

#[test]
fn a_store_opens_once() {
    let (_home, dir) = create();
    let store = open(&dir);
    assert!(matches!(refused(&dir), StoreError::Locked { .. }));
    store.commit(put(Key::new(1, [1]), b"still works")).unwrap();
    drop(store);
    assert_eq!(records(&open(&dir)).len(), 1);
}

/// An operator reads these, so they must name the thing and the next step.
#[test]
fn errors_say_what_to_do() {
    let home = TempDir::new().unwrap();
    let missing = refused(&home.path().join("gone")).to_string();
    assert!(
        missing.contains("gone") && missing.contains("varangian init") && missing.contains("must not vote"),
        "{missing}"
    );
    let lost = StoreError::LostVotes { mark: 9, found: crate::Found::Turn(4) }.to_string();
    assert!(lost.contains("turn 9") && lost.contains("end at turn 4") && lost.contains("membership change"), "{lost}");
}
