//! `sim`: the command line of the simulator, and the only part of this crate that knows threads and true time.

mod report;
mod scoreboard;
#[cfg(feature = "seeded-bugs")]
mod sensitivity;

use crate::campaign::Campaign;
use crate::shrink::{parse_ranges, ranges, shrink};
use crate::world::{Outcome, Plan, Run, run as run_plan};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Runs that shrinking may take.
const SHRINK_RUNS: usize = 400;
/// Failing seeds that are shrunk.
const SHRUNK: usize = 3;

/// Simulates a network of replicas under faults and attacks, many times over; each seed decides everything about its run.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SimArgs {
    /// Something else than a campaign.
    #[command(subcommand)]
    pub other: Option<Other>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub first: u64,
    /// Run seeds for so long, whatever their number.
    #[arg(long, value_name = "M", conflicts_with_all = ["seeds", "seed"])]
    pub minutes: Option<u64>,
    /// Replay this one seed.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "first"])]
    pub seed: Option<u64>,
    /// Leave out decisions of the replayed seed, by number: 3,7-12.
    #[arg(long, value_name = "NUMBERS", requires = "seed")]
    pub without: Option<String>,
    /// Tell the replayed run as a story.
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// The summary as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Threads; all cores by default.
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
}

/// What the simulator can do beside campaigns.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Other {
    /// Would a campaign see a bug? Every bug on purpose, and after how many seeds it is caught
    #[cfg(feature = "seeded-bugs")]
    Sensitivity(sensitivity::SensitivityArgs),
    /// Would a campaign see a bug? Only in a build with bugs on purpose: `make sensitivity`
    #[cfg(not(feature = "seeded-bugs"))]
    Sensitivity(NoBugs),
    /// What each attack comes to, against the same runs without it
    Scoreboard(scoreboard::ScoreboardArgs),
}

/// Whatever else is written.
#[cfg(not(feature = "seeded-bugs"))]
#[derive(Args, Clone, Debug)]
pub struct NoBugs {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs it. Fails if an invariant did not hold, or if a long campaign missed a rare state.
#[must_use]
pub fn run(arguments: &SimArgs) -> ExitCode {
    match &arguments.other {
        None => {}
        Some(Other::Scoreboard(arguments)) => return scoreboard::run(arguments),
        #[cfg(feature = "seeded-bugs")]
        Some(Other::Sensitivity(arguments)) => return sensitivity::run(arguments),
        #[cfg(not(feature = "seeded-bugs"))]
        Some(Other::Sensitivity(NoBugs { .. })) => {
            eprintln!("error: this build has no bugs to switch on; `make sensitivity` makes one that has");
            return ExitCode::from(2);
        }
    }
    // What panics in a run is a violation, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let dropped = match arguments.without.as_deref().map_or(Ok(BTreeSet::new()), parse_ranges) {
        Ok(dropped) => dropped,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match arguments.seed {
        Some(seed) => replay(seed, &dropped, arguments),
        None => campaign(arguments),
    }
}

fn replay(seed: u64, dropped: &BTreeSet<usize>, arguments: &SimArgs) -> ExitCode {
    let original = Plan::draw(seed);
    let plan = original.without(dropped);
    let outcome = run_plan(&plan, Run { trace: arguments.trace, ..Run::default() });
    let mut campaign = Campaign::default();
    campaign.add(seed, &outcome);
    if arguments.json {
        println!("{}", report::json(&campaign, None));
        return code(outcome.violation.is_none());
    }
    println!("seed {seed}: {}", plan.summary());
    for line in Plan::story(&original, dropped) {
        println!("{line}");
    }
    for line in &outcome.trace {
        println!("{line}");
    }
    println!("event hash {:016x}", outcome.hash.0);
    print!("{}", report::text(&campaign, None));
    if let Some(violation) = &outcome.violation {
        println!("VIOLATION of {violation}");
        if dropped.is_empty() {
            tell_shrunk(seed);
        }
    }
    code(outcome.violation.is_none())
}

fn campaign(arguments: &SimArgs) -> ExitCode {
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1);
    let began = Instant::now();
    let bar = match arguments.minutes {
        _ if arguments.json => ProgressBar::hidden(),
        Some(_) => ProgressBar::new_spinner(),
        None => progress(arguments.seeds),
    };
    let next = AtomicU64::new(arguments.first);
    let end = arguments.minutes.map_or_else(|| arguments.first.saturating_add(arguments.seeds), |_| u64::MAX);
    let over = || arguments.minutes.is_some_and(|minutes| began.elapsed().as_secs() >= minutes * 60);
    let total = Mutex::new(Campaign::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut own = Campaign::default();
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= end || over() {
                        break;
                    }
                    let outcome: Outcome = run_plan(&Plan::draw(seed), Run::default());
                    if let Some(violation) = &outcome.violation {
                        bar.println(format!("seed {seed}: VIOLATION of {violation}"));
                    }
                    own.add(seed, &outcome);
                    bar.inc(1);
                }
                total.lock().unwrap_or_else(PoisonError::into_inner).merge(own);
            });
        }
    });
    bar.finish_and_clear();
    let campaign = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    let took = began.elapsed();
    if arguments.json {
        println!("{}", report::json(&campaign, Some(took)));
        return code(campaign.holds());
    }
    print!("{}", report::text(&campaign, Some(took)));
    for (seed, violation) in campaign.violations.iter().take(SHRUNK) {
        println!("\nseed {seed}: VIOLATION of {violation}");
        tell_shrunk(*seed);
    }
    code(campaign.holds())
}

/// One command that repeats the failing run, and what it comes down to.
fn tell_shrunk(seed: u64) {
    let plan = Plan::draw(seed);
    let violation = run_plan(&plan, Run::default()).violation;
    let found = violation.and_then(|violation| shrink(&plan, Run::default(), violation.invariant, SHRINK_RUNS));
    let Some(shrunk) = found else { return };
    let story = Plan::story(&plan, &shrunk.dropped);
    println!(
        "shrunk from {} decisions to {} in {} runs; {}",
        shrunk.decisions,
        story.len(),
        shrunk.runs,
        plan.summary()
    );
    for line in story {
        println!("{line}");
    }
    println!("  => {}", shrunk.violation);
    let sim = command();
    println!("repeat: {sim} --seed {seed} --trace");
    println!("shrunk: {sim} --seed {seed} --without {} --trace", ranges(&shrunk.dropped));
}

/// How this program was called, up to its own options.
fn command() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_else(|| "varangian-sim".into());
    if words.next().as_deref() == Some("sim") { format!("{program} sim") } else { program }
}

fn progress(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left");
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

fn code(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
