//! `sim sensitivity`: every bug on purpose, and how fast a campaign sees it.

use crate::sensitivity::{Finding, Run};
use crate::world::{self, Plan};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use varangian_crypto::seeded::{Bug, Path, seed};

/// Switches on one bug on purpose after the other, and says how many seeds it takes until an invariant shows it.
#[derive(Args, Clone, Debug)]
pub struct SensitivityArgs {
    /// Only these bugs.
    #[arg(long, value_name = "NAME", value_parser = named)]
    pub bug: Vec<Bug>,
    /// Catches of each bug, for the median.
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub catches: usize,
    /// Seeds for each bug at most.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub limit: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub first: u64,
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
    /// Threads; all cores by default.
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
}

fn named(name: &str) -> Result<Bug, String> {
    Bug::named(name).ok_or_else(|| {
        let all: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("there is no bug {name:?}; there are: {}", all.join(", "))
    })
}

/// Runs it. Fails if a bug is never caught.
#[must_use]
pub fn run(arguments: &SensitivityArgs) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let bugs = if arguments.bug.is_empty() { Bug::ALL.to_vec() } else { arguments.bug.clone() };
    let bar = if arguments.json { ProgressBar::hidden() } else { ProgressBar::new(bugs.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} bugs, {msg}, {eta} left") {
        bar.set_style(style);
    }
    if !arguments.json {
        bar.println(row("bug", "needs", "caught by", "median", "seeds"));
    }
    let mut findings = Vec::new();
    for bug in bugs {
        bar.set_message(bug.name());
        let finding = find(bug, arguments);
        if !arguments.json {
            bar.suspend(|| println!("{}", line(&finding)));
        }
        findings.push(finding);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let caught = findings.iter().filter(|finding| finding.is_caught()).count();
    let strayed: Vec<_> =
        findings.iter().filter(|finding| !finding.as_described).map(|finding| finding.bug.name()).collect();
    let mut medians: Vec<_> = findings.iter().filter_map(Finding::median).collect();
    medians.sort_unstable();
    if arguments.json {
        println!("{}", findings.iter().map(object).collect::<serde_json::Value>());
    } else {
        let through = |path: Path| findings.iter().filter(|finding| finding.bug.paths().contains(&path)).count();
        println!(
            "{caught} of {} bugs caught, the median one after {} seeds; {} need a view change, {} a restart",
            findings.len(),
            medians.get(medians.len() / 2).copied().unwrap_or(0),
            through(Path::ViewChange),
            through(Path::Restart)
        );
        if !strayed.is_empty() {
            println!("caught without what they are said to need: {}", strayed.join(", "));
        }
    }
    if caught == findings.len() && strayed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All bugs, as a table of the scoreboard. Whether all were caught.
pub(super) fn print_markdown(jobs: usize) -> bool {
    let arguments =
        SensitivityArgs { bug: Vec::new(), catches: 5, limit: 2000, first: 0, json: false, jobs: Some(jobs) };
    println!("## Bugs on purpose\n\n| bug | needs | median seeds | caught by |\n|-|-|-|-|");
    let (mut caught, mut medians) = (0, Vec::new());
    for bug in Bug::ALL {
        let finding = find(*bug, &arguments);
        let by: Vec<_> = finding.by().iter().map(ToString::to_string).collect();
        let median = finding.median().map_or_else(|| "not caught".to_owned(), |median| median.to_string());
        println!("| {}: {} | {} | {median} | {} |", bug.name(), bug.description(), needs(*bug), by.join(", "));
        caught += usize::from(finding.is_caught());
        medians.extend(finding.median());
    }
    medians.sort_unstable();
    let median = medians.get(medians.len() / 2).copied().unwrap_or(0);
    println!("\n{caught} of {} caught; the median bug after {median} seeds.", Bug::ALL.len());
    caught == Bug::ALL.len()
}

/// Seeds in order on all threads, until enough of them have caught it.
fn find(bug: Bug, arguments: &SensitivityArgs) -> Finding {
    seed(Some(bug));
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1);
    let (next, caught) = (AtomicU64::new(0), AtomicUsize::new(0));
    let runs = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while caught.load(Relaxed) < arguments.catches {
                    let place = next.fetch_add(1, Relaxed);
                    if place >= arguments.limit {
                        break;
                    }
                    let plan = Plan::draw(arguments.first.saturating_add(place));
                    let run = Run::from(&world::run(&plan, world::Run::default()));
                    caught.fetch_add(usize::from(run.invariant.is_some()), Relaxed);
                    runs.lock().unwrap_or_else(PoisonError::into_inner).insert(place, run);
                }
            });
        }
    });
    seed(None);
    // Every seed that was begun is done: no place is missing.
    let runs: Vec<Run> = runs.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect();
    Finding::new(bug, &runs, arguments.catches)
}

fn row(bug: &str, needs: &str, by: &str, median: &str, seeds: &str) -> String {
    format!("{bug:<28} {needs:<22} {median:>6} {seeds:>6}  {by}")
}

fn line(finding: &Finding) -> String {
    let by: Vec<_> = finding.by().iter().map(ToString::to_string).collect();
    let by = if by.is_empty() { "NOT CAUGHT".to_owned() } else { by.join(", ") };
    let median = finding.median().map_or_else(|| "-".to_owned(), |median| median.to_string());
    row(finding.bug.name(), &needs(finding.bug), &by, &median, &finding.seeds.to_string())
}

fn needs(bug: Bug) -> String {
    let words = bug.paths().iter().map(|path| match path {
        Path::Normal => "",
        Path::ViewChange => "view change",
        Path::Restart => "restart",
    });
    words.collect::<Vec<_>>().join(", ")
}

fn object(finding: &Finding) -> serde_json::Value {
    json!({
        "bug": finding.bug.name(),
        "description": finding.bug.description(),
        "needs": needs(finding.bug),
        "caught": finding.is_caught(),
        "median_seeds": finding.median(),
        "seeds": finding.seeds,
        "invariants": finding.by().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
