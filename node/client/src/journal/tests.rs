#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::testing::{committee, key};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command as Process, Stdio};
use varangian_crypto::Parameters;

/// Where a child process finds the journal that it shares with its parent.
const CHILD: &str = "VARANGIAN_JOURNAL_TEST";
const COMMANDS: usize = 40;

fn open(path: &Path) -> Journal {
    Journal::open(path, &committee(Parameters::default()), key(0)).unwrap()
}

fn operation(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

async fn use_numbers(journal: &Journal) -> Vec<Sequence> {
    let mut used = Vec::new();
    for number in 0..COMMANDS {
        let begun = journal.begin(operation(&number.to_string())).await.unwrap();
        used.push(begun.command.sequence());
        begun.finish();
    }
    used
}

#[tokio::test]
async fn a_command_is_on_disk_before_it_is_handed_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/journal");
    let journal = open(&path);
    let begun = journal.begin(operation("hello")).await.unwrap();
    let log = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|extension| extension == "log")).last().unwrap();
    let bytes = std::fs::read(log).unwrap();
    let wanted = begun.command.encoded();
    assert!(bytes.windows(wanted.len()).any(|window| window == wanted));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    begun.finish();
    journal.close().await.unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["lock", "reserved"]);
}

#[tokio::test]
async fn a_crash_after_writing_down_leaves_the_command_for_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let begun = journal.begin(operation("sent")).await.unwrap();
    let command = begun.command.clone();
    drop(begun);
    journal.close().await.unwrap();
    let next = open(directory.path());
    assert_eq!(next.unfinished(), 1);
    assert_eq!(next.adopt().await.unwrap(), std::slice::from_ref(&command));
    next.finish(command.sequence()).unwrap();
    assert_eq!(next.adopt().await.unwrap(), []);
    assert!(next.begin(operation("next")).await.unwrap().command.sequence() > command.sequence());
}

#[tokio::test]
async fn a_begin_that_nobody_waits_for_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    for _ in 0..20 {
        let begin = journal.begin(operation("dropped"));
        tokio::select! {
            biased;
            begun = begin => begun.unwrap().finish(),
            () = std::future::ready(()) => {}
        }
    }
    // Behind all of them in the queue.
    journal.begin(operation("kept")).await.unwrap().finish();
    assert_eq!(journal.adopt().await.unwrap(), []);
}

#[tokio::test]
async fn a_journal_of_another_client_or_chain_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().await.unwrap();
    let refused =
        |parameters, key| Journal::open(directory.path(), &committee(parameters), key).err().unwrap().to_string();
    let other = refused(Parameters::default(), key(1));
    assert!(other.contains("another client's key") && other.contains("reserved"), "{other}");
    let elsewhere = refused(Parameters { window: 512, ..Parameters::default() }, key(0));
    assert!(elsewhere.contains("another chain"), "{elsewhere}");
}

#[tokio::test]
async fn a_journal_in_the_place_of_a_lost_one_begins_above_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let journal = open(&path);
    let before = use_numbers(&journal).await;
    journal.close().await.unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let after = use_numbers(&open(&path)).await;
    assert!(after[0] > before[COMMANDS - 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_with_journals_of_their_own_share_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let path = directory.path().to_owned();
        tasks.spawn(async move { use_numbers(&open(&path)).await });
    }
    let mut all = BTreeSet::new();
    while let Some(used) = tasks.join_next().await {
        used.unwrap().into_iter().for_each(|sequence| assert!(all.insert(sequence), "{sequence} twice"));
    }
    assert_eq!(all.len(), 4 * COMMANDS);
}

/// Runs in a process of its own, started by the next test; alone it does nothing.
#[tokio::test]
async fn child() {
    if let Some(path) = std::env::var_os(CHILD) {
        for sequence in use_numbers(&open(Path::new(&path))).await {
            println!("used {sequence}.");
        }
    }
}

#[tokio::test]
async fn processes_share_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..3)
        .map(|_| {
            Process::new(std::env::current_exe().unwrap())
                .args(["journal::tests::child", "--exact", "--nocapture"])
                .env(CHILD, directory.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut all: BTreeSet<_> = use_numbers(&open(directory.path())).await.into_iter().collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        for part in text.split("used ").skip(1) {
            let sequence: Sequence = part.split('.').next().unwrap().parse().unwrap();
            assert!(all.insert(sequence), "{sequence} twice");
        }
    }
    assert_eq!(all.len(), 4 * COMMANDS);
}
