#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;

use varangian_crypto::SigningKey;

use super::*;

fn client(seed: u8) -> ClientKey {
    SigningKey::from_seed([seed; 32]).client_key()
}

fn done(text: &[u8]) -> OperationResult {
    OperationResult::Done(text.try_into().unwrap())
}

/// A journal of one client with one committed command, and its file.
fn one_command(directory: &Path) -> PathBuf {
    let mut journal = Journal::create(directory, &client(1)).unwrap();
    journal.sent(1, 12, &[b"put".as_slice()]).unwrap();
    journal.done(1, 20, &Outcome::Committed { slot: 7, results: vec![done(b"ok")] }).unwrap();
    journal.path
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The reason for which the only journal of a directory is refused.
fn refused(directory: &Path) -> (usize, String) {
    match read_all(directory) {
        Err(JournalError::Malformed { line, reason, .. }) => (line, reason),
        other => panic!("read as {other:?}"),
    }
}

#[test]
fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(directory.path(), &client(1)).unwrap();
    let operations = [b"first".to_vec(), b"second".to_vec()];
    let results = vec![done(b"ok"), OperationResult::ApplicationFault];
    let committed = Outcome::Committed { slot: 7, results };
    let rejected = Outcome::Rejected { reason: "not \"admitted\"\n".into() };
    journal.sent(1, 12, &operations).unwrap();
    journal.sent(2, 13, &operations[..1]).unwrap();
    journal.done(2, 13, &rejected).unwrap();
    journal.done(1, 20, &committed).unwrap();
    journal.sent(3, 21, &operations[..1]).unwrap();
    journal.done(3, 90, &Outcome::Unknown).unwrap();
    journal.sent(4, 91, &operations[..1]).unwrap();
    drop(Journal::create(directory.path(), &client(2)).unwrap());

    let journals = read_all(directory.path()).unwrap();
    assert!(journals[0].client < journals[1].client, "in the order of the keys");
    let [first, second] = [1, 2].map(|seed| journals.iter().find(|journal| journal.client == client(seed)).unwrap());
    let entry = |sent_ms, operations: &[Vec<u8>], end| Entry { sent_ms, operations: operations.to_vec(), end };
    let expected = BTreeMap::from([
        (1, entry(12, &operations, Some((20, committed)))),
        (2, entry(13, &operations[..1], Some((13, rejected)))),
        (3, entry(21, &operations[..1], Some((90, Outcome::Unknown)))),
        (4, entry(91, &operations[..1], None)),
    ]);
    assert_eq!(first.commands, expected);
    assert!(!first.torn);
    assert!(second.commands.is_empty());
}

#[test]
fn the_text_is_the_agreed_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = one_command(directory.path());
    assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{}.jsonl", client(1)));
    let text = "{\"sequence\":1,\"sent_ms\":12,\"operations\":[\"707574\"]}\n\
                {\"sequence\":1,\"done_ms\":20,\"outcome\":\"committed\",\"slot\":7,\"results\":[\"00020000006f6b\"]}\n";
    assert_eq!(fs::read_to_string(path).unwrap(), text);
}

#[test]
fn a_torn_last_line_is_told_and_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = one_command(directory.path());
    let whole = read_all(directory.path()).unwrap().remove(0);
    assert!(!whole.torn);
    let sent = r#"{"sequence":2,"sent_ms":30,"operations":["00"]}"#;
    for cut in 1..=sent.len() {
        append(&path, &sent[..cut]);
        let torn = read_all(directory.path()).unwrap().remove(0);
        assert!(torn.torn, "cut at {cut}");
        assert_eq!(torn.commands, whole.commands, "cut at {cut}");
        let written = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(written - cut as u64).unwrap();
    }
}

#[test]
fn a_torn_line_in_the_middle_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = one_command(directory.path());
    append(&path, "{\"sequence\":2,\"sent\n{\"sequence\":2,\"sent_ms\":30,\"operations\":[]}\n");
    assert_eq!(refused(directory.path()).0, 3);
}

#[test]
fn lines_that_contradict_each_other_are_refused() {
    let cases = [
        ("{\"sequence\":1,\"sent_ms\":30,\"operations\":[]}\n", "was sent before"),
        ("{\"sequence\":2,\"done_ms\":30,\"outcome\":\"unknown\"}\n", "was never sent"),
        ("{\"sequence\":1,\"done_ms\":30,\"outcome\":\"unknown\"}\n", "has an outcome already"),
        ("{\"sequence\":1,\"done_ms\":11,\"outcome\":\"unknown\"}\n", "before it was sent"),
        ("{\"sequence\":1,\"done_ms\":30,\"outcome\":\"lost\"}\n", "did not match"),
        ("{\"sequence\":2,\"sent_ms\":30,\"operations\":[\"0\"]}\n", "Odd number"),
    ];
    for (line, reason) in cases {
        let directory = tempfile::tempdir().unwrap();
        append(&one_command(directory.path()), line);
        let (number, found) = refused(directory.path());
        assert_eq!(number, 3, "{line}");
        assert!(found.contains(reason), "{line}: {found}");
    }
}

#[test]
fn results_must_be_as_many_as_operations_and_canonical() {
    for results in [r#"[]"#, r#"["01","01"]"#, r#"["0102"]"#, r#"["ff"]"#] {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(directory.path(), &client(1)).unwrap();
        journal.sent(1, 12, &[b"put".as_slice()]).unwrap();
        append(
            &journal.path,
            &format!("{{\"sequence\":1,\"done_ms\":20,\"outcome\":\"committed\",\"slot\":7,\"results\":{results}}}\n"),
        );
        assert_eq!(refused(directory.path()).0, 2, "{results}");
    }
}

#[test]
fn an_outcome_may_follow_an_unknown_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(directory.path(), &client(1)).unwrap();
    let outcome = Outcome::Committed { slot: 9, results: vec![done(b"")] };
    journal.sent(1, 12, &[b"put".as_slice()]).unwrap();
    journal.done(1, 20, &Outcome::Unknown).unwrap();
    journal.done(1, 30, &outcome).unwrap();
    let read = read_all(directory.path()).unwrap().remove(0);
    assert_eq!(read.commands[&1].end, Some((30, outcome)));
}

#[test]
fn a_client_has_one_journal_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = one_command(directory.path());
    let before = fs::read(&path).unwrap();
    assert!(matches!(Journal::create(directory.path(), &client(1)), Err(JournalError::Io { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_journal_is_named_after_a_client() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "not a journal").unwrap();
    assert!(read_all(directory.path()).unwrap().is_empty());
    fs::write(directory.path().join("somebody.jsonl"), "").unwrap();
    assert!(matches!(read_all(directory.path()), Err(JournalError::Name(_))));
}
