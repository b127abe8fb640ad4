#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_comes_back_and_belongs_to_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients/default/key");
    let key = create(&path).unwrap();
    assert_eq!(load(&path).unwrap(), key);
    assert_eq!(load_or_create(&path).unwrap(), key);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.len(), FILE_BYTES);
    assert!(text.ends_with('\n'));
    let names: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["key"], "no draft is left");
}

#[test]
fn a_key_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let key = create(&path).unwrap();
    assert!(matches!(create(&path), Err(IdentityError::Exists { .. })));
    assert!(matches!(store(&path, &SigningKey::from_seed([1; 32])), Err(IdentityError::Exists { .. })));
    assert_eq!(load(&path).unwrap(), key);
}

#[test]
fn two_that_create_at_once_get_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_create(&path).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    create(&path).unwrap();
    for mode in [0o644, 0o640, 0o602, 0o601] {
        set_mode(&path, mode);
        let error = load(&path).unwrap_err();
        assert!(matches!(error, IdentityError::Permissions { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    set_mode(&path, 0o400);
    load(&path).unwrap();
}

#[test]
fn what_is_no_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let good = "0a".repeat(32);
    let bad = [
        String::new(),
        good[1..].into(),
        format!("{good}\n\n"),
        format!("{good}0\n"),
        good.to_uppercase(),
        good.replace('a', "g"),
    ];
    for text in bad {
        std::fs::write(&path, &text).unwrap();
        set_mode(&path, 0o600);
        assert!(matches!(load(&path), Err(IdentityError::Malformed { .. })), "{text:?}");
    }
    std::fs::write(&path, &good).unwrap();
    assert_eq!(load(&path).unwrap(), SigningKey::from_seed([10; 32]), "the newline may be missing");
    assert!(matches!(load(directory.path().join("none")), Err(IdentityError::Io { .. })));
}
