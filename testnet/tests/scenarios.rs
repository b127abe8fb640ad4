//! Scenarios on real processes. Needs the programs beside the tests, which cargo builds with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use tokio::sync::Mutex;
use varangian_testnet::layout::NetworkDir;
use varangian_testnet::report::Report;
use varangian_testnet::scenario::format::{Replica, Scenario};
use varangian_testnet::scenario::play::{Outcome, play};
use varangian_testnet::scenario::shipped;

/// They are played one after the other: where a machine becomes slow all at once, replicas may give up a primary for it, and that says nothing of the scenario.
static STAGE: Mutex<()> = Mutex::const_new(());

async fn outcome(scenario: &Scenario) -> Outcome {
    let _alone = STAGE.lock().await;
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    let (outcome, _) = play(scenario, &dir, true).await.unwrap_or_else(|error| panic!("{}: {error:#}", scenario.name));
    outcome
}

async fn comes_out(name: &str) {
    let outcome = outcome(&shipped::find(name).unwrap()).await;
    assert!(outcome.passed, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_crashes_and_comes_back() {
    comes_out("crash-of-a-backup").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_four_lose_power() {
    comes_out("power-loss-beyond-f").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malicious_primary_equivocates() {
    comes_out("attack-equivocate").await;
}

/// As many as may lie tell each client the same lie first, and one of them lies to the harness too.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_seven_lie_to_clients() {
    comes_out("two-lie-to-clients").await;
}

/// A verdict can say no: nobody can be proved silent.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_proved_faulty_is_missed() {
    let mut scenario = shipped::find("attack-silent").unwrap();
    scenario.expect.accused = scenario.attacks.keys().copied().collect();
    assert_eq!(scenario.expect.accused.len(), 1);
    let outcome = outcome(&scenario).await;
    assert!(!outcome.passed);
    assert!(outcome.verdict.safety.findings.is_empty() && outcome.verdict.liveness.findings.is_empty(), "{outcome}");
    assert!(!outcome.verdict.evidence.findings.is_empty());
}

/// An attack that never strikes says nothing about the defence; one that does is told even of a replica that was killed.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_malicious_and_does_nothing_is_missed() {
    let text = "name = \"idle\"\nabout = \"\"\nattacks.r3 = \"withhold + late@slot=9000000..\"\n[[step]]\nwait = 1\n[[step]]\nkill = \"r3\"\n";
    let outcome = outcome(&Scenario::parse(text).unwrap()).await;
    assert!(!outcome.passed && outcome.verdict.passed(), "{outcome}");
    assert_eq!(outcome.missed, ["r3 was to be malicious by late@slot=9000000.., and did nothing"], "{outcome}");
    let [attacks] = outcome.strikes.values().collect::<Vec<_>>()[..] else { panic!("{outcome}") };
    assert!(attacks["withhold"] > 0, "{outcome}");
}

/// A step that does not come about is told, and what was done until then is judged.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_cannot_be_done_ends_the_show_with_a_verdict() {
    let text = "name = \"wrong\"\nabout = \"\"\n[[step]]\nwait = 1\n[[step]]\nrestart = \"r1\"\n";
    let outcome = outcome(&Scenario::parse(text).unwrap()).await;
    assert!(!outcome.passed);
    assert!(outcome.missed.iter().any(|missed| missed.contains("r1 runs already")), "{outcome}");
    assert!(outcome.verdict.passed(), "{outcome}");
    let first = Replica::try_from("r0".to_owned()).unwrap();
    assert!(!outcome.verdict.evidence.proofs.contains_key(&first.0));
}

/// Where there is nobody whose word counts, there is no verdict, and what happened is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_verdict_leaves_a_report() {
    let nobody: String = (0..4).map(|id| format!("attacks.r{id} = \"silent@view=900..\"\n")).collect();
    let text = format!("name = \"nobody\"\nabout = \"\"\n{nobody}[[step]]\nwait = 1\n");
    let scratch = tempfile::tempdir().unwrap();
    let dir = NetworkDir::new(scratch.path().join("network"));
    let _alone = STAGE.lock().await;
    let Err(error) = play(&Scenario::parse(&text).unwrap(), &dir, true).await else { panic!("nobody is honest") };
    assert!(error.to_string().contains("no replica of this network is honest"), "{error:#}");
    let report = Report::read(&dir).unwrap();
    assert_eq!(report.passed, Some(false));
    assert!(report.remarks[0].starts_with("NO VERDICT: ") && report.remarks[0].contains("is honest"), "{report:?}");
    assert!(report.happened.iter().any(|happening| happening.what.contains("clients send")), "{report:?}");
    assert!(!report.timeline.samples.is_empty());
}
