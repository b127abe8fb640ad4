//! Malicious clients and floods on the wire against a network of real processes. Needs the programs beside the tests, which cargo builds with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::time::Duration;

use tokio::sync::watch;
use varangian_client::protocol::ReplicaStatus;
use varangian_crypto::Parameters;
use varangian_testnet::judge::{Case, judge};
use varangian_testnet::layout::NetworkDir;
use varangian_testnet::load::operations::Mix;
use varangian_testnet::load::{self, Load};
use varangian_testnet::menace::{Counters, MENACES, Menace, Spec, Target};
use varangian_testnet::testnet::Testnet;

/// Waits for events of the network itself are bounded by this; nothing is measured.
const BOUND: Duration = Duration::from_secs(60);
/// Longer than a command takes on a machine whose processors are wanted elsewhere: what changes the view then is a command that never runs.
const PATIENT_MS: u64 = 10_000;
/// Bytes of one process, over all menaces: eight times what it begins with.
const MOST_MEMORY: u64 = 160 << 20;
/// Operations that the honest clients still want done once all is over.
const AFTERWARDS: u64 = 40;

/// What each menace is run for, and what must have come of it then.
fn enough(name: &str, counters: &Counters) -> bool {
    let (acts, met) = (counters.acts, |reason: &str| counters.count(reason));
    match name {
        "bad-signatures" => acts >= 180 && met("invalid") >= 300,
        // Of eight edges five run, on all four replicas; one is invalid on all, and two keys are no keys, which ends the connection.
        "mixed-order-signatures" => {
            acts >= 80 && counters.accepted >= 200 && met("invalid") >= 40 && met("dismissed") >= 10
        }
        "partial" => acts >= 60 && counters.accepted >= 50,
        "gaps" => acts >= 64 && counters.accepted >= 60 && met("too old") >= 20,
        "replay" => acts >= 400 && counters.accepted >= 400,
        "retries" => acts >= 3000 && counters.bytes_sent >= 500_000,
        "two-faced" => acts >= 60 && counters.accepted >= 100,
        "flood" => acts >= 1500 && counters.accepted >= 500 && met("busy") >= 1,
        "many-keys" => acts >= 600 && counters.accepted >= 500,
        "huge" => acts >= 20 && counters.accepted >= 8 && met("invalid") >= 8 && met("rules") >= 4,
        "scans" => acts >= 8 && counters.accepted >= 150,
        "heavy" => acts >= 8 && counters.accepted >= 200,
        "slow-reader" => acts >= 4 && met("too slow") >= 2,
        "malformed" => acts >= 60 && met("dismissed") >= 10 && met("handshake refused") >= 5,
        "oversized" => acts >= 16 && met("rules") >= 2 && met("handshake refused") >= 2,
        "slow-writer" => acts >= 20 && met("deadline") >= 5 && met("handshake refused") >= 5,
        "streams" => acts >= 20 && met("handshake refused") >= 5 && counters.streams >= 10,
        "connections" => acts >= 250 && met("deadline") >= 5 && met("handshake refused") >= 10,
        "handshakes" => acts >= 400 && counters.answered.contains_key("datagram"),
        other => panic!("{other} is not asked for anything"),
    }
}

/// Every replica's word, all at once.
async fn status(net: &Testnet) -> Vec<ReplicaStatus> {
    let asked = varangian::cli::status::ask_all(&net.network().unwrap(), BOUND).await.unwrap();
    asked.into_iter().map(|(id, answer)| answer.unwrap_or_else(|error| panic!("{id}: {error}"))).collect()
}

/// Bytes that the replicas' processes have in memory.
fn resident(net: &Testnet) -> Vec<u64> {
    let of = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    net.ids().into_iter().map(|id| of(net.pid(id).unwrap())).collect()
}

/// A counter of messages in each replica's metrics.
fn messages(net: &Testnet, counter: &str) -> Vec<u64> {
    let addresses =
        net.dir().running().unwrap().unwrap().replicas.into_values().map(|replica| replica.metrics.unwrap());
    let of = |address| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(counter));
        value.map_or(0, |value| value.trim().parse().unwrap())
    };
    addresses.map(of).collect()
}

async fn run(target: &Target, name: &str, seed: u64) -> Menace {
    let menace = Menace::start(target, Spec::parse(name).unwrap(), seed).unwrap();
    let reached = menace.reached(|counters| enough(name, counters));
    if tokio::time::timeout(BOUND, reached).await.is_err() {
        panic!("{name} comes to nothing: {:#?}", menace.counters());
    }
    menace
}

/// Nineteen menaces, one after the other, with honest clients at work: nobody is accused, no view changes, no process dies, and all that was promised
/// to the honest clients is there.
#[tokio::test(flavor = "multi_thread")]
async fn menaces_move_neither_view_nor_store_nor_process() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    dir.create(4, Parameters { base_timeout_ms: PATIENT_MS, ..Parameters::default() }).unwrap();
    let mut net = Testnet::new(dir.clone(), &BTreeMap::new()).unwrap();
    net.start().await.unwrap();
    let pids: Vec<_> = net.ids().into_iter().map(|id| net.pid(id).unwrap()).collect();
    let before: Vec<_> = status(&net).await.iter().map(|status| status.view).collect();

    let journals = scratch.path().join("journals");
    let (stop, stopped) = watch::channel(false);
    let (told, mut acknowledged) = watch::channel(0_u64);
    let (network, plan) = (
        net.network().unwrap(),
        Load {
            clients: 2,
            in_flight: 1,
            value_bytes: 64,
            mix: Mix { add_percent: 50, ..Mix::default() },
            resolve_deadline: BOUND,
            rate: Some(50.0),
            ..Load::default()
        },
    );
    let loading = tokio::spawn({
        let journals = journals.clone();
        async move {
            let tell = |progress: load::Progress| {
                told.send_replace(progress.operations);
            };
            load::run(&network, load::fresh_keys(2).unwrap(), &plan, Some(&journals), stopped, tell).await.unwrap()
        }
    });

    let target = Target::load(dir.root()).unwrap();
    let began = std::time::Instant::now();
    // The slow writer has a deadline of ten seconds to meet: it writes while the others are at work.
    let slow = Menace::start(&target, Spec::parse("slow-writer").unwrap(), 99).unwrap();
    for (seed, kind) in MENACES.iter().enumerate().filter(|(_, kind)| kind.name != "slow-writer") {
        let counters = run(&target, kind.name, seed as u64).await.stop().await;
        println!(
            "{:.1} s, {} honest operations, {:?} MiB\n  {}: {counters:?}",
            began.elapsed().as_secs_f64(),
            *acknowledged.borrow(),
            resident(&net).iter().map(|bytes| bytes >> 20).collect::<Vec<_>>(),
            kind.name
        );
        let views: Vec<_> = status(&net).await.iter().map(|status| status.view).collect();
        assert_eq!(views, before, "{} changes the view", kind.name);
        assert_eq!(net.fallen(), [], "{} ends a process", kind.name);
        if kind.name == "heavy" {
            // The first primary names to all others what they have from its clients.
            let outlines = messages(&net, "varangian_messages_received_total{kind=\"outline\"}");
            assert!(outlines.iter().skip(1).all(|count| *count > 0), "{outlines:?}");
        }
    }
    let reached = slow.reached(|counters| enough("slow-writer", counters));
    if tokio::time::timeout(BOUND, reached).await.is_err() {
        panic!("slow-writer comes to nothing: {:#?}", slow.counters());
    }
    println!("  slow-writer: {:?}", slow.stop().await);

    // View and slot are learnt from the replicas.
    for (text, strikes) in [("gaps@view=0", true), ("gaps@view=1..", false), ("gaps@slot=1..,rate=100", true)] {
        let menace = Menace::start(&target, Spec::parse(text).unwrap(), 1000).unwrap();
        let done = menace.reached(|counters| if strikes { counters.acts >= 8 } else { counters.honest >= 50 });
        tokio::time::timeout(BOUND, done).await.expect("it acts as it is told");
        assert_eq!(menace.stop().await.acts > 0, strikes, "{text}");
    }

    let goal = *acknowledged.borrow() + AFTERWARDS;
    let on = acknowledged.wait_for(|operations| *operations >= goal);
    tokio::time::timeout(BOUND, on).await.expect("the network goes on").unwrap();
    let memory = resident(&net);
    assert!(memory.iter().all(|bytes| *bytes < MOST_MEMORY), "{memory:?}");
    stop.send_replace(true);
    let report = loading.await.unwrap();
    settle(&net).await;
    let after = status(&net).await;
    assert_eq!(after.iter().map(|status| status.view).collect::<Vec<_>>(), before, "the view has changed");
    assert!(after.iter().all(|status| status.active && status.accused.is_empty()), "{after:?}");
    assert_eq!(net.ids().into_iter().map(|id| net.pid(id).unwrap()).collect::<Vec<_>>(), pids);
    net.stop().await.unwrap();

    let case = Case {
        genesis: net.genesis().clone(),
        homes: net.ids().into_iter().map(|id| (id, net.dir().home(id).root().to_owned(), true)).collect(),
        journals,
        expect_accused: BTreeSet::new(),
        may_accuse: BTreeSet::new(),
        max_gap: 2 * Duration::from_millis(PATIENT_MS),
        turns: Vec::new(),
        recovers_within: None,
        load: (0, u64::try_from(report.elapsed.as_millis()).unwrap()),
        allow_unresolved: false,
        seed: 0,
    };
    let (verdict, _) = judge(&case).unwrap();
    println!("{verdict}");
    assert!(verdict.passed(), "{verdict}");
}

/// Waits until all have executed the same and no command waits anywhere.
async fn settle(net: &Testnet) {
    let settled = async {
        loop {
            let all = status(net).await;
            let same = all.windows(2).all(|pair| pair[0].executed == pair[1].executed);
            if same && all.iter().all(|status| status.waiting == 0) {
                return;
            }
        }
    };
    if tokio::time::timeout(BOUND, settled).await.is_err() {
        panic!("the replicas do not come to rest: {:?}", status(net).await);
    }
}
