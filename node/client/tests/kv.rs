//! The command line `kv`, as a process of its own, against replicas on loopback: what it prints and how it exits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod replicas;

use std::path::PathBuf;
use std::process::Stdio;

use replicas::{Behaviour, Replicas};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

struct Network {
    replicas: Replicas,
    directory: TempDir,
}

/// Addresses that lead nowhere, as long as they are not undone.
struct Nowhere {
    peers: PathBuf,
    good: String,
}

impl Nowhere {
    fn undo(self) {
        std::fs::write(self.peers, self.good).unwrap();
    }
}

struct Output {
    code: i32,
    out: String,
    err: String,
}

impl Network {
    async fn start(behaviours: Vec<Behaviour>) -> Self {
        let replicas = Replicas::start(behaviours).await;
        let directory = tempfile::tempdir().unwrap();
        replicas.write_network(directory.path());
        Self { replicas, directory }
    }

    /// Every replica has another one's address, and so the wrong key.
    fn unreachable(&self) -> Nowhere {
        let peers = self.directory.path().join("peers.toml");
        let good = std::fs::read_to_string(&peers).unwrap();
        let one = |text: &str, id: usize| text.replace(&format!("id = {id}\n"), &format!("id: {}\n", (id + 1) % 4));
        let swapped = (0..4).fold(good.clone(), |text, id| one(&text, id)).replace("id: ", "id = ");
        std::fs::write(&peers, swapped).unwrap();
        Nowhere { peers, good }
    }

    async fn kv(&self, line: &[&str]) -> Output {
        self.kv_with(line, "").await
    }

    async fn kv_with(&self, line: &[&str], input: &str) -> Output {
        let mut child = Command::new(program())
            .args(line)
            .env("VARANGIAN_NETWORK", self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Output { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    async fn json(&self, line: &[&str]) -> (i32, Value) {
        let output = self.kv(&[line, &["--json"]].concat()).await;
        let value =
            serde_json::from_str(&output.out).unwrap_or_else(|error| panic!("{error}: {}{}", output.out, output.err));
        (output.code, value)
    }
}

/// Built with the tests: the same code that `varangian kv` runs, without the database.
fn program() -> PathBuf {
    let path = std::env::current_exe().unwrap();
    let program = path.parent().unwrap().parent().unwrap().join("examples/kv");
    assert!(program.exists(), "build it first: cargo build -p varangian-client --example kv");
    program
}

#[tokio::test]
async fn what_is_put_is_got_and_results_alone_are_on_stdout() {
    let network = Network::start(vec![Behaviour::Honest; 4]).await;
    let put = network.kv(&["put", "greeting", "hello"]).await;
    assert_eq!(put.code, 0, "{}", put.err);
    let by = put.err.strip_prefix("✔ committed in slot 1 by ").and_then(|rest| rest.strip_suffix(" of 4\n"));
    assert!(by.is_some_and(|by| ["2", "3", "4"].contains(&by)), "{}", put.err);
    assert_eq!(put.out, "done (there was no value before)\n");
    let get = network.kv(&["get", "greeting"]).await;
    assert_eq!((get.code, get.out.as_str()), (0, "hello\n"));
    let (code, json) = network.json(&["get", "greeting", "none"]).await;
    assert_eq!(code, 0);
    assert_eq!(json["outcome"], "committed");
    assert_eq!(json["slot"], 3);
    assert_eq!(json["results"], serde_json::json!([{"value": "hello"}, {"value": null}]));
}

#[tokio::test]
async fn bundles_counters_scans_and_transactions() {
    let network = Network::start(vec![Behaviour::Honest; 4]).await;
    let (code, json) = network.json(&["put", "--bundle", "a=1", "b=2", "c=3"]).await;
    assert_eq!((code, json["results"].as_array().unwrap().len()), (0, 3));
    assert_eq!(network.replicas.world().executions.len(), 1, "one command, one signature");
    assert_eq!(network.kv(&["add", "a", "-5"]).await.out, "-4\n");
    assert_eq!(network.kv(&["scan", "--after", "a"]).await.out, "b = 2\nc = 3\n");
    let swapped = network.kv(&["cas", "b", "--expect", "2", "two"]).await;
    assert_eq!((swapped.code, swapped.out.as_str()), (0, "swapped\n"));
    let not = network.kv(&["cas", "b", "--absent", "2"]).await;
    assert_eq!((not.code, not.out.as_str()), (1, "not swapped: it holds two\n"));
    assert!(not.err.ends_with("✘ not swapped: another value is there\n"), "{}", not.err);
    let text = r#"{"if": [{"equals": ["b", "two"]}], "then": [{"delete": "b"}, {"get": "b"}], "else": [{"get": "b"}]}"#;
    let held = network.kv_with(&["txn", "-"], text).await;
    assert_eq!(held.code, 0, "{}", held.err);
    let not = network.kv_with(&["txn", "-"], text).await;
    assert_eq!((not.code, not.out.as_str()), (1, "conditions did not hold\n(absent)\n"));
    let bad = network.kv(&["add", "c", "9223372036854775807"]).await;
    assert_eq!(bad.code, 1);
    assert!(bad.out.contains("outside -2^63 to 2^63-1"), "{}", bad.out);
}

#[tokio::test]
async fn an_unknown_outcome_is_4_and_retry_tells_it() {
    let network =
        Network::start(vec![Behaviour::Honest, Behaviour::Silent, Behaviour::Silent, Behaviour::Silent]).await;
    let unknown = network.kv(&["add", "n", "1", "--timeout", "3"]).await;
    assert_eq!(unknown.code, 4, "{}", unknown.err);
    assert!(unknown.err.starts_with("? unknown: ") && unknown.err.contains("varangian kv retry"), "{}", unknown.err);
    (1..4).for_each(|replica| network.replicas.behave(replica, Behaviour::Honest));
    let next = network.kv(&["add", "n", "1"]).await;
    assert_eq!((next.code, next.out.as_str()), (0, "2\n"));
    assert!(next.err.contains("1 earlier commands of this client have no known outcome"), "{}", next.err);
    let nowhere = network.unreachable();
    let (code, json) = network.json(&["retry", "--timeout", "1"]).await;
    assert_eq!((code, &json["outcome"]), (4, &"unknown".into()), "{json}");
    assert!(json["reason"].as_str().unwrap().contains("no replica was reached"), "{json}");
    nowhere.undo();
    let (code, json) = network.json(&["retry"]).await;
    assert_eq!((code, &json["outcome"], &json["results"][0]["counter"]), (0, &"committed".into(), &1.into()));
    assert!(json["sequence"].is_u64());
    let nothing = network.kv(&["retry"]).await;
    assert_eq!(nothing.code, 0);
    assert!(nothing.err.contains("nothing to retry"), "{}", nothing.err);
    assert!(network.replicas.world().executions.values().all(|times| *times == 1));
}

#[tokio::test]
async fn nobody_there_is_5_and_nonsense_is_2() {
    let network = Network::start(vec![Behaviour::Honest; 4]).await;
    let nowhere = network.unreachable();
    let (code, json) = network.json(&["get", "k", "--timeout", "2"]).await;
    assert_eq!((code, &json["outcome"]), (5, &"unavailable".into()), "{json}");
    nowhere.undo();

    assert_eq!(network.kv(&["get"]).await.code, 2);
    assert_eq!(network.kv(&["put", "k"]).await.code, 2);
    let stranger = network.kv(&["get", "k", "--client", "other"]).await;
    assert_eq!(stranger.code, 2);
    assert!(stranger.err.contains("choose one with --client: default"), "{}", stranger.err);
    let lost = network.kv(&["get", "k", "--network", "/nonexistent"]).await;
    assert_eq!(lost.code, 2);
    assert!(lost.err.contains("/nonexistent/genesis.json"), "{}", lost.err);
    assert!(network.replicas.world().executions.is_empty());
}

#[tokio::test]
async fn invocations_at_the_same_time_do_not_collide() {
    let network = std::sync::Arc::new(Network::start(vec![Behaviour::Honest; 4]).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let network = std::sync::Arc::clone(&network);
        tasks.spawn(async move { network.kv(&["add", "n", "1"]).await });
    }
    while let Some(ended) = tasks.join_next().await {
        let output = ended.unwrap();
        assert_eq!(output.code, 0, "{}", output.err);
    }
    assert_eq!(network.kv(&["get", "n"]).await.out, "8\n");
}
