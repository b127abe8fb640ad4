//! Bugs on purpose are caught: `cargo test --release -p varangian-sim --features seeded-bugs --test sensitivity`, a build by itself.
//! `sim sensitivity` does it for all of them, and more patiently.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "seeded-bugs")]

use varangian_crypto::seeded::{Bug, Path, seed};
use varangian_sim::sensitivity::{Finding, Run};
use varangian_sim::world::{self, Plan};

/// Seeds for each bug; all that are switched on here are caught by far fewer.
const SEEDS: u64 = 150;

/// Those that a short campaign sees. The others want rarer schedules, and more seeds than a test has time for.
const SEEN: &[Bug] = &[
    Bug::WeakQuorum,
    Bug::BodyNotPersisted,
    Bug::PreparedNotPersisted,
    Bug::VoteBeforePersist,
    Bug::NoDedup,
    Bug::ExecutesAcrossGaps,
    Bug::StatusSilent,
    Bug::CertificatesCleared,
    Bug::NewViewNotDurable,
    Bug::ExecutedNotCarried,
    Bug::NextSlotInsideOrder,
    Bug::PromiseBindsLate,
    Bug::NextSlotForgotten,
    Bug::DedupForgotten,
    Bug::StableForgotten,
    Bug::PreparedForgotten,
    Bug::PromiseForgotten,
    Bug::ActiveWithoutNewView,
];

/// One test, for a bug is switched on in the whole process.
#[test]
fn a_short_campaign_sees_most_bugs_on_purpose() {
    // A panic of a run is a violation, and told as one.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let findings: Vec<Finding> = SEEN.iter().map(|bug| find(*bug)).collect();
    std::panic::set_hook(hook);
    for finding in findings {
        let name = finding.bug.name();
        assert!(finding.is_caught(), "{name} is not caught within {SEEDS} seeds");
        assert!(finding.as_described, "{name} is caught without what it needs");
        println!("{name}: {} seeds, {:?}", finding.seeds, finding.by());
    }
    let through = |path: Path| Bug::ALL.iter().filter(|bug| bug.paths().contains(&path)).count();
    assert!(through(Path::ViewChange) >= 8 && through(Path::Restart) >= 8 && Bug::ALL.len() >= 25);
}

fn find(bug: Bug) -> Finding {
    seed(Some(bug));
    let mut runs: Vec<Run> = Vec::new();
    while runs.last().is_none_or(|run| run.invariant.is_none()) && (runs.len() as u64) < SEEDS {
        runs.push(Run::from(&world::run(&Plan::draw(runs.len() as u64), world::Run::default())));
    }
    seed(None);
    Finding::new(bug, &runs, 1)
}
