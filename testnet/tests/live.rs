//! A network that `up` keeps, driven as a person would: every step is a command of its own, and what comes of it is what the commands say. All packets
//! between replicas pass the relays. Needs the programs beside the tests, which cargo builds with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use varangian_client::protocol::ReplicaStatus;
use varangian_testnet::layout::{NetworkDir, Running};
use varangian_testnet::programs::Programs;
use varangian_testnet::report::Report;

/// For each event and each command; nothing is measured.
const BOUND: Duration = Duration::from_secs(60);
/// Exit code of `kv`: the command may or may not run.
const UNKNOWN: i32 = 4;
/// Exit code of `kv`: nobody was reached, nothing was sent.
const UNAVAILABLE: i32 = 5;

/// One network after the other: they would take each other's processor.
static STAGE: Mutex<()> = Mutex::const_new(());

/// A row of `status --json`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Row {
    Up(ReplicaStatus),
    Away { replica: u16, error: String },
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    error: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }
}

/// A network that `up` keeps.
struct Live {
    dir: NetworkDir,
    up: Child,
    /// What `up` says.
    events: Lines<BufReader<ChildStdout>>,
    kv: PathBuf,
    /// What the steps so far said that they did.
    told: Vec<String>,
    files: TempDir,
    _alone: MutexGuard<'static, ()>,
}

async fn testnet(network: &Path, words: &str) -> Said {
    let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
    let mut asked = Command::new(env!("CARGO_BIN_EXE_varangian-testnet"));
    asked.arg(command).arg("--network").arg(network).args(rest.split_whitespace()).kill_on_drop(true);
    Said::of(timeout(BOUND, asked.output()).await.unwrap_or_else(|_| panic!("{words}: no end")).unwrap())
}

/// The processes whose command lines name these files.
fn processes(files: &Path) -> Vec<(Pid, String)> {
    let about = |entry: fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " ");
        line.contains(files.to_str().unwrap()).then_some((pid, line))
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| about(entry.unwrap())).collect()
}

impl Live {
    /// A new network, once `up` says that it is ready.
    async fn up() -> Self {
        let alone = STAGE.lock().await;
        let files = tempfile::Builder::new().prefix("varangian-live-").tempdir().unwrap();
        let dir = NetworkDir::new(files.path().join("network"));
        let nothing = testnet(dir.root(), "kill r0").await;
        assert!(nothing.code == 1 && nothing.error.contains("start one with `varangian-testnet up`"), "{nothing:?}");
        let kv = Programs::find().unwrap().honest;
        let log = fs::File::create(files.path().join("up.log")).unwrap();
        let mut up = Command::new(env!("CARGO_BIN_EXE_varangian-testnet"))
            .args(["up", "--json", "--links", "perfect", "--network"])
            .arg(dir.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let events = BufReader::new(up.stdout.take().unwrap()).lines();
        let mut live = Self { dir, up, events, kv, told: Vec::new(), files, _alone: alone };
        let ready: Value = serde_json::from_str(&live.event().await.expect("it comes up")).unwrap();
        assert_eq!((&ready["event"], &ready["replicas"]), (&"ready".into(), &4.into()), "{ready}");
        assert!(live.socket().exists(), "who is told that it is ready may ask for something");
        assert_eq!(processes(live.files.path()).len(), 5);
        live
    }

    fn socket(&self) -> PathBuf {
        self.dir.root().join("control.sock")
    }

    /// The next line that `up` says; none once it is gone.
    async fn event(&mut self) -> Option<String> {
        timeout(BOUND, self.events.next_line()).await.expect("`up` says something, or ends").unwrap()
    }

    /// Takes a step, which must come about, and gives what it said.
    async fn step(&mut self, words: &str) -> String {
        let said = testnet(self.dir.root(), words).await;
        assert_eq!(said.code, 0, "{words}: {said:?}");
        self.told.extend(said.out.lines().map(str::to_owned));
        said.out
    }

    /// Asks for something that cannot be done: it ends so, and says these words.
    async fn refused(&self, words: &str, code: i32, why: &str) {
        let said = testnet(self.dir.root(), words).await;
        assert!(said.code == code && said.error.contains(why) && said.out.is_empty(), "{words}: {said:?}");
    }

    async fn kv(&self, words: &str) -> Said {
        let mut asked = Command::new(&self.kv);
        asked.args(["kv", "--json", "--network"]).arg(self.dir.root()).args(words.split(' ')).kill_on_drop(true);
        Said::of(timeout(2 * BOUND, asked.output()).await.unwrap_or_else(|_| panic!("{words}: no end")).unwrap())
    }

    /// A command is committed; gives its slot.
    async fn commits(&self, words: &str) -> u64 {
        let said = self.kv(&format!("--timeout 60 {words}")).await;
        assert_eq!(said.code, 0, "{words}: {said:?}");
        let committed: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(committed["outcome"], "committed", "{committed}");
        committed["slot"].as_u64().unwrap()
    }

    /// A command is sent, and its outcome does not become known.
    async fn hangs(&self, words: &str) {
        let began = Instant::now();
        loop {
            let said = self.kv(&format!("--timeout 2 {words}")).await;
            match said.code {
                UNKNOWN => return,
                UNAVAILABLE if began.elapsed() < BOUND => {}
                _ => panic!("{words}: {said:?}"),
            }
        }
    }

    /// Every replica's word, and the exit code.
    async fn status(&self) -> (Vec<Row>, i32) {
        let said = testnet(self.dir.root(), "status --json").await;
        (serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}")), said.code)
    }

    /// Asks where the replicas stand until these answer, and no others, and it is so.
    async fn until(&self, what: &str, who: &[u16], so: impl Fn(&[ReplicaStatus]) -> bool) -> Vec<ReplicaStatus> {
        let began = Instant::now();
        loop {
            let (rows, code) = self.status().await;
            let seen = format!("{rows:#?}");
            let mut answers = Vec::new();
            for row in rows {
                match row {
                    Row::Up(status) => answers.push(status),
                    Row::Away { replica, error } => assert!(replica < 4 && !error.is_empty(), "{seen}"),
                }
            }
            assert_eq!(code, i32::from(answers.len() < 3), "{seen}");
            if answers.iter().map(|status| status.replica).eq(who.iter().copied()) && so(&answers) {
                return answers;
            }
            assert!(began.elapsed() < BOUND, "it does not become so that {what}: {seen}");
        }
    }

    /// All of these have executed the same, up to this slot at least, and nothing waits; gives the slot.
    async fn meet(&self, who: &[u16], least: u64) -> u64 {
        let rows = self.until("they meet", who, |rows| {
            let same =
                rows.windows(2).all(|pair| (pair[0].executed, pair[0].history) == (pair[1].executed, pair[1].history));
            same && rows.iter().all(|row| row.executed >= least && row.waiting == 0 && row.active && !row.behind)
        });
        rows.await[0].executed
    }

    fn running(&self) -> Running {
        self.dir.running().unwrap().expect("`up` runs")
    }

    fn pids(&self) -> Vec<Option<u32>> {
        self.running().replicas.values().map(|replica| replica.pid).collect()
    }

    /// The report of the network that runs.
    async fn report(&self) -> Report {
        let said = testnet(self.dir.root(), "report --json").await;
        assert_eq!(said.code, 0, "{said:?}");
        serde_json::from_str(&said.out).unwrap()
    }

    /// The smoothed round trip from one replica to another in seconds, by its metrics; none while they are not connected.
    fn round_trip(&self, from: u16, to: u16) -> Option<f64> {
        let mut stream = std::net::TcpStream::connect(self.running().replicas[&from].metrics.unwrap()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = format!("varangian_peer_rtt_seconds{{peer=\"r{to}\"}} ");
        assert!(text.contains("# EOF"), "{text}");
        text.lines().find_map(|found| found.strip_prefix(&line)).map(|value| value.parse().unwrap())
    }

    /// Ends it, by `down` or else by Ctrl-C: in order, with all its processes, and what is left tells each step and is judged right.
    async fn end(mut self, down: bool, malicious: &[u16]) -> (Report, Value) {
        if down {
            let said = testnet(self.dir.root(), "down").await;
            assert!(said.code == 0 && said.out.contains("has ended"), "{said:?}");
        } else {
            let up = Pid::from_raw(self.up.id().unwrap().cast_signed()).unwrap();
            kill_process(up, Signal::INT).unwrap();
        }
        assert_eq!(self.event().await, None, "no replica has ended by itself");
        let status = timeout(BOUND, self.up.wait()).await.expect("`up` ends").unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(processes(self.files.path()), []);
        assert!(!self.dir.running_file().exists() && !self.socket().exists());

        let report = Report::read(&self.dir).unwrap();
        let happened: Vec<_> = report.happened.iter().map(|happening| happening.what.clone()).collect();
        assert_eq!(happened, self.told);
        assert!(fs::read_to_string(Report::page_of(&self.dir)).unwrap().contains("</html>"));
        let said = testnet(self.dir.root(), "judge --json").await;
        let verdict: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
        assert!(said.code == 0 && verdict["passed"] == true, "{verdict:#}");
        assert_eq!(verdict["left_out"], serde_json::json!(malicious), "{verdict:#}");
        (report, verdict)
    }
}

impl Drop for Live {
    /// After a failure nobody may be left, and what `up` has said is wanted. It goes first: nobody starts a replica then.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let up = self.up.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let left = up.into_iter().chain(processes(self.files.path()).into_iter().map(|(pid, _)| pid));
        for pid in left {
            let _ = kill_process(pid, Signal::KILL);
        }
        eprintln!("{}", fs::read_to_string(self.files.path().join("up.log")).unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_or_paused_is_missed_until_he_is_given_back() {
    let mut live = Live::up().await;
    let slot = live.commits("put colour blue").await;
    live.meet(&[0, 1, 2, 3], slot).await;
    let before = live.pids();

    let killed = live.step("kill primary").await;
    let victim: u16 =
        killed.strip_prefix('r').and_then(|rest| rest.strip_suffix(" is killed\n")).unwrap().parse().unwrap();
    let others: Vec<u16> = (0..4).filter(|id| *id != victim).collect();
    let slot = live.commits("put colour green").await;
    live.until("the others have moved on", &others, |rows| {
        rows.iter().all(|row| row.executed >= slot && row.primary != victim)
    })
    .await;
    let now = live.pids();
    assert_eq!(now[usize::from(victim)], None);
    assert!(others.iter().all(|id| now[usize::from(*id)] == before[usize::from(*id)]), "{before:?} {now:?}");
    live.refused(&format!("kill r{victim}"), 1, "does not run").await;
    // None of them is started: the one that is down still is, and is known to be.
    live.refused(&format!("restart r{victim},r{}", others[0]), 1, "runs already").await;
    live.step("restart down").await;
    live.meet(&[0, 1, 2, 3], slot).await;
    let now = live.pids();
    assert!(now[usize::from(victim)].is_some() && now[usize::from(victim)] != before[usize::from(victim)]);

    // Two of four cannot decide anything.
    let slot = live.meet(&[0, 1, 2, 3], slot).await;
    live.step("pause r1,r2").await;
    live.hangs("put colour red").await;
    let stuck = live.until("two are missed", &[0, 3], |_| true).await;
    assert!(stuck.iter().all(|row| row.executed == slot), "{stuck:?}");
    assert_eq!(live.pids(), now);
    live.step("resume down").await;
    live.commits("retry").await;
    let slot = live.meet(&[0, 1, 2, 3], slot + 1).await;
    assert_eq!(live.pids(), now);

    // One that stands still is let go on when all is to end.
    live.step("pause r3").await;
    live.until("one is missed", &[0, 1, 2], |rows| rows.iter().all(|row| row.executed == slot)).await;
    let (report, _) = live.end(true, &[]).await;
    assert_eq!(report.happened.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_cut_part_the_network_until_they_are_healed() {
    let mut live = Live::up().await;
    let slot = live.commits("put colour blue").await;
    let slot = live.meet(&[0, 1, 2, 3], slot).await;

    // Neither side is a quorum.
    live.step("partition r0,r1 r2,r3").await;
    live.hangs("put colour green").await;
    let stuck = live.until("all answer", &[0, 1, 2, 3], |_| true).await;
    assert!(stuck.iter().all(|row| row.executed == slot), "{stuck:?}");
    live.step("heal all").await;
    live.commits("retry").await;
    let slot = live.meet(&[0, 1, 2, 3], slot + 1).await;

    // Three are one, without the fourth.
    live.step("shape --cut --from r3").await;
    live.step("shape --cut --to r3").await;
    let next = live.commits("put colour red").await;
    let alone =
        live.until("three go on", &[0, 1, 2, 3], |rows| rows.iter().take(3).all(|row| row.executed >= next)).await;
    assert_eq!(alone[3].executed, slot);
    live.step("heal r3").await;
    live.meet(&[0, 1, 2, 3], next).await;

    // By the profile all links are fast, and one of them is to be slow for a while.
    becomes(&live, false).await;
    live.step("shape --from r1 --to r2 --latency-ms 400").await;
    becomes(&live, true).await;
    live.step("shape --like lan").await;
    becomes(&live, false).await;
    live.end(false, &[]).await;
}

/// Loads the network until the link between r1 and r2 is slow, or is not.
async fn becomes(live: &Live, slow: bool) {
    let began = Instant::now();
    while live.round_trip(1, 2).is_none_or(|seconds| (seconds > 0.1) != slow) {
        assert!(began.elapsed() < BOUND, "a round trip from r1 to r2 takes {:?} s", live.round_trip(1, 2));
        live.commits("add looks 1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_turned_malicious_is_proved_so_by_all_others_and_named_in_the_report() {
    let mut live = Live::up().await;
    let slot = live.commits("put colour blue").await;
    live.meet(&[0, 1, 2, 3], slot).await;

    live.step("attack r3 double-vote").await;
    assert_eq!(live.running().replicas[&3].attack.as_deref(), Some("double-vote"));
    let lies = |live: &Live| processes(live.files.path()).iter().any(|(_, line)| line.contains("--attack double-vote"));
    assert!(lies(&live));
    let proved = |rows: &[ReplicaStatus]| {
        let accused =
            rows.iter().take(3).flat_map(|row| row.accused.iter().map(|(accused, _)| (row.replica, *accused)));
        accused.eq([(0, 3), (1, 3), (2, 3)])
    };
    // What is decided before it is connected again it does not vote for.
    let began = Instant::now();
    let slot = loop {
        let slot = live.commits("put colour green").await;
        if proved(&live.until("all answer", &[0, 1, 2, 3], |_| true).await) {
            break slot;
        }
        assert!(began.elapsed() < BOUND, "it votes twice, and not all others prove it");
    };

    live.step("kill r3").await;
    live.step("heal r3").await;
    assert_eq!(live.step("restart down").await, "", "nobody is down");
    assert_eq!(live.running().replicas[&3].attack, None);
    assert!(!lies(&live));
    let slot = live.commits("put colour red").await.max(slot);
    live.meet(&[0, 1, 2, 3], slot).await;
    let began = Instant::now();
    while live.report().await.timeline.accusations().is_empty() {
        assert!(began.elapsed() < BOUND, "whoever watches sees no proof");
    }
    let page = live.files.path().join("page.html");
    let said = testnet(live.dir.root(), &format!("report --html {}", page.display())).await;
    assert!(said.code == 0 && said.out.contains("is written"), "{said:?}");
    assert!(fs::read_to_string(page).unwrap().contains("r3 is malicious from here on: double-vote"));
    let (report, verdict) = live.end(true, &[3]).await;
    let accused: BTreeSet<u16> = report.timeline.accusations().into_iter().map(|(_, _, accused)| accused).collect();
    assert_eq!(accused, BTreeSet::from([3]));
    let text = report.to_string();
    assert!(
        text.contains("holds a proof against r3") && text.contains("r3 is up again as an honest replica"),
        "{text}"
    );
    let proofs: BTreeMap<String, Value> = serde_json::from_value(verdict["evidence"]["proofs"].clone()).unwrap();
    assert!(proofs.keys().eq(["3"]), "{proofs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_the_network_goes_on() {
    let live = Live::up().await;
    let before = live.pids();
    for (words, why) in [
        ("dance r0", "unrecognized subcommand 'dance'"),
        ("kill nobody", "write r2, r0,r2, primary, down or all"),
        ("kill", "required arguments were not provided"),
        ("attack r3 equivocat", "equivocate"),
        ("attack r3 silent@view=5..2", "view"),
        ("partition r0;r1", "is no replica"),
        ("shape --loss much", "invalid value 'much'"),
        ("damage r1 everything", "possible values"),
    ] {
        live.refused(words, 2, why).await;
    }
    for (words, why) in [
        ("kill r9", "there are only 4 replicas"),
        ("attack r4 silent", "there are only 4 replicas"),
        ("partition r0,r1 r2,r7", "there are only 4 replicas"),
        ("shape --from r0 --loss 2", "loss"),
        ("shape --like nowhere", "there are: perfect, lan"),
        ("restart r0", "r0 runs already"),
        ("damage r1 log", "kill it first"),
        ("up", "runs already"),
        ("judge", "down --network"),
    ] {
        live.refused(words, 1, why).await;
    }
    assert_eq!(live.pids(), before);
    let slot = live.commits("put colour blue").await;
    live.meet(&[0, 1, 2, 3], slot).await;
    live.end(false, &[]).await;
}
