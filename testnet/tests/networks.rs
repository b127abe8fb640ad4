//! Networks of real processes: sizes, refusals, power loss. Needs the programs beside the tests, which cargo builds with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use varangian_crypto::Parameters;
use varangian_testnet::judge::{Case, judge};
use varangian_testnet::layout::NetworkDir;
use varangian_testnet::load::operations::Mix;
use varangian_testnet::load::{self, Load};
use varangian_testnet::power::cut_power;
use varangian_testnet::testnet::Testnet;

/// Waits for an event of the network itself are bounded by this; nothing is measured.
const BOUND: Duration = Duration::from_secs(60);

fn plan(clients: usize) -> Load {
    Load {
        clients,
        in_flight: 4,
        bundle: 1,
        value_bytes: 64,
        mix: Mix { add_percent: 50, ..Mix::default() },
        resolve_deadline: BOUND,
        ..Load::default()
    }
}

/// Loads the network until so many operations are acknowledged, and gives the load's length in milliseconds.
async fn acknowledge(net: &Testnet, journals: &Path, operations: u64) -> u64 {
    let (stop, stopped) = watch::channel(false);
    let keys = load::fresh_keys(4).unwrap();
    let (network, plan) = (net.network().unwrap(), plan(4));
    let report = load::run(&network, keys, &plan, Some(journals), stopped, |progress| {
        if progress.operations >= operations {
            stop.send_replace(true);
        }
    });
    let report = report.await.unwrap();
    assert!(report.operations >= operations);
    u64::try_from(report.elapsed.as_millis()).unwrap()
}

/// Waits until the honest replicas have executed the same, and stops them.
async fn settle_and_stop(net: &mut Testnet) {
    let (network, honest) = (net.network().unwrap(), net.honest());
    let settled = async {
        loop {
            let rows = varangian::cli::status::ask_all(&network, Duration::from_secs(1)).await.unwrap();
            let executed: Vec<_> = rows
                .into_iter()
                .filter(|(id, _)| honest.contains(id))
                .filter_map(|(_, answer)| answer.ok())
                .map(|status| status.executed)
                .collect();
            if executed.len() == honest.len() && executed.windows(2).all(|pair| pair[0] == pair[1]) {
                return;
            }
        }
    };
    tokio::time::timeout(BOUND, settled).await.expect("the honest replicas come to the same slot");
    net.stop().await.unwrap();
}

fn verdict(net: &Testnet, journals: &Path, length: u64) {
    let honest = net.honest();
    let homes =
        net.ids().into_iter().map(|id| (id, net.dir().home(id).root().to_owned(), honest.contains(&id))).collect();
    let case = Case {
        genesis: net.genesis().clone(),
        homes,
        journals: journals.to_owned(),
        expect_accused: BTreeSet::new(),
        may_accuse: BTreeSet::new(),
        max_gap: BOUND,
        turns: Vec::new(),
        recovers_within: None,
        load: (0, length),
        seed: 1,
        allow_unresolved: false,
    };
    let (verdict, _) = judge(&case).unwrap();
    assert!(verdict.passed(), "{verdict}");
}

/// `n` replicas of which `f` are silent whenever they lead: commands commit, and the honest agree.
async fn commits_with_f_silent(n: u16, f: u16) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    dir.create(n, Parameters::default()).unwrap();
    // The first primaries, so that the network has to get past all of them.
    let attacks: BTreeMap<u16, String> = (0..f).map(|id| (id, "silent".to_owned())).collect();
    let mut net = Testnet::new(dir, &attacks).unwrap();
    net.start().await.unwrap();
    let journals = scratch.path().join("journals");
    let length = acknowledge(&net, &journals, 50).await;
    settle_and_stop(&mut net).await;
    verdict(&net, &journals, length);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_replicas_commit_with_one_silent() {
    commits_with_f_silent(4, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_replicas_commit_with_two_silent() {
    commits_with_f_silent(7, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_replicas_commit_with_three_silent() {
    commits_with_f_silent(10, 3).await;
}

/// All four lose power under load, ten times over. After each restart the network goes on by itself, and in the end every acknowledged
/// command is there, exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn all_lose_power_ten_times_under_load() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    dir.create(4, Parameters::default()).unwrap();
    let mut net = Testnet::new(dir, &BTreeMap::new()).unwrap();
    net.start().await.unwrap();
    let journals = scratch.path().join("journals");
    let (stop, stopped) = watch::channel(false);
    let (told, mut acknowledged) = watch::channel(0_u64);
    let network = net.network().unwrap();
    let loading = tokio::spawn({
        let journals = journals.clone();
        async move {
            let keys = load::fresh_keys(4).unwrap();
            let tell = |progress: load::Progress| {
                told.send_replace(progress.operations);
            };
            load::run(&network, keys, &plan(4), Some(&journals), stopped, tell).await.unwrap()
        }
    });
    for round in 0..10_u64 {
        let before = *acknowledged.borrow();
        let goal = before + 40 + 13 * round;
        let on = acknowledged.wait_for(|operations| *operations >= goal);
        tokio::time::timeout(BOUND, on).await.expect("the network goes on by itself").unwrap();
        for id in net.ids() {
            net.kill(id).await.unwrap();
        }
        for id in net.ids() {
            cut_power(&net.dir().home(id).data(), round * 10 + u64::from(id.0)).unwrap();
        }
        net.start().await.unwrap();
        println!("round {round}: power lost at {} acknowledged operations", *acknowledged.borrow());
    }
    let goal = *acknowledged.borrow() + 40;
    let on = acknowledged.wait_for(|operations| *operations >= goal);
    tokio::time::timeout(BOUND, on).await.expect("the network goes on by itself").unwrap();
    stop.send_replace(true);
    let report = loading.await.unwrap();
    settle_and_stop(&mut net).await;
    verdict(&net, &journals, u64::try_from(report.elapsed.as_millis()).unwrap());
}

/// Whoever starts a second network on the same directory is told that one runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_network_is_not_started_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    dir.create(4, Parameters::default()).unwrap();
    let mut net = Testnet::new(dir.clone(), &BTreeMap::new()).unwrap();
    net.start().await.unwrap();
    let refused = Testnet::new(dir.clone(), &BTreeMap::new()).unwrap_err().to_string();
    assert!(refused.contains("runs already"), "{refused}");
    assert!(dir.create(4, Parameters::default()).unwrap_err().to_string().contains("holds a network already"));
    net.stop().await.unwrap();
    assert!(dir.running().unwrap().is_none());
}

/// The program that honest replicas run holds neither malicious code nor a bug on purpose.
#[test]
fn the_replica_program_holds_nothing_malicious() {
    let tests = std::env::current_exe().unwrap();
    let programs = tests.parent().and_then(Path::parent).unwrap();
    let holds = |name: &str, text: &[u8]| {
        let program = fs::read(programs.join(name)).unwrap();
        program.windows(text.len()).any(|window| window == text)
    };
    let attack: &[u8] = b"tells half of the backups one batch and the other half the same in another order";
    for malicious in [attack, b"a lie is not told"] {
        assert!(holds("varangian-testnet", malicious), "the search finds what is there");
        assert!(!holds("varangian", malicious));
    }
    assert!(!holds("varangian", b"VARANGIAN_SEEDED_BUG"));
}

/// Unknown replicas and attacks are refused before anything starts.
#[test]
fn nonsense_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    assert!(Testnet::new(dir.clone(), &BTreeMap::new()).unwrap_err().to_string().contains("make a network"));
    dir.create(4, Parameters::default()).unwrap();
    let attacks = BTreeMap::from([(4, "silent".to_owned())]);
    assert!(Testnet::new(dir, &attacks).unwrap_err().to_string().contains("there is no replica 4"));
    assert!(varangian_testnet::up::malicious("3=equivocat").unwrap_err().contains("equivocate"));
    assert_eq!(varangian_testnet::up::malicious("r2=silent").unwrap().0, 2);
    assert!(varangian_testnet::up::malicious("two=silent").is_err());
}
