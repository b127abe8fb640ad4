//! `varangian-testnet scenario run --sim` and `scenario all --sim`.

use super::super::command::write_out;
use super::super::format::Scenario;
use super::super::shipped;
use super::NotSimulated;
use super::verdict::{Simulated, simulate};
use crate::layout::NetworkDir;
use crate::report::Report;
use anyhow::{Context as _, bail};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread::{available_parallelism, scope};

/// How one is played.
#[derive(Debug)]
pub struct Manner {
    /// Under so many seeds from its own on, up to the first that is not as expected.
    pub seeds: Option<u64>,
    /// Tells everything in words.
    pub trace: bool,
    /// The outcome as JSON.
    pub json: bool,
    /// Where a report is left: of many seeds, on the one that is not as expected.
    pub report: Option<PathBuf>,
}

/// Plays one, under its seed or so many from that on. `what`: how it was named.
///
/// # Errors
/// If it cannot be simulated.
pub fn run(scenario: &Scenario, what: &str, manner: &Manner) -> anyhow::Result<ExitCode> {
    keep_panics_quiet();
    if let Some(count) = manner.seeds {
        return many(scenario, what, count, manner);
    }
    let simulated = simulate(scenario, manner.trace)?;
    for line in &simulated.trace {
        write_out(&format!("{line}\n"))?;
    }
    tell(&simulated, manner.json)?;
    leave_report(&simulated, scenario, manner)?;
    Ok(if simulated.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays all that come with the program and can be simulated.
///
/// # Errors
/// If one is not as it should be.
pub fn all(json: bool) -> anyhow::Result<ExitCode> {
    keep_panics_quiet();
    let scenarios: Vec<Scenario> = shipped::names().map(|name| shipped::find(&name)).collect::<Result<_, _>>()?;
    let outcomes = over_cores(scenarios.len() as u64, |place| {
        let scenario = usize::try_from(place).ok().and_then(|place| scenarios.get(place));
        (scenario.map(|scenario| simulate(scenario, false)), true)
    });
    let (mut table, mut refused, mut failed) = (String::new(), String::new(), 0);
    for (scenario, outcome) in scenarios.iter().zip(outcomes.into_iter().filter_map(|(_, outcome)| outcome)) {
        match outcome {
            Ok(simulated) => {
                failed += usize::from(!simulated.passed);
                let word = if simulated.passed { "ok" } else { "FAIL" };
                table.push_str(&format!("{:<34} {word:<4} {}\n", scenario.name, simulated.line()));
                if json {
                    write_out(&format!("{}\n", serde_json::to_string(&simulated)?))?;
                } else if !simulated.passed {
                    println!("== {}", scenario.name);
                    tell(&simulated, false)?;
                }
            }
            Err(error @ (NotSimulated::Menaces | NotSimulated::Step { .. } | NotSimulated::Unseen(_))) => {
                refused.push_str(&format!("{:<34} -    {error}\n", scenario.name));
            }
            Err(error @ (NotSimulated::Scenario(_) | NotSimulated::Attack(_) | NotSimulated::Draw(_))) => {
                failed += 1;
                table.push_str(&format!("{:<34} FAIL {error}\n", scenario.name));
            }
        }
    }
    if json {
        eprint!("{table}{refused}");
    } else {
        write_out(&format!("{table}{refused}"))?;
    }
    if failed > 0 {
        bail!("{failed} of {} scenarios are not as they should be", scenarios.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// Plays one under many seeds, and tells the first that is not as expected.
fn many(scenario: &Scenario, what: &str, count: u64, manner: &Manner) -> anyhow::Result<ExitCode> {
    let json = manner.json;
    // What cannot be simulated cannot be under any seed.
    super::plan(scenario)?;
    let of_seed = |place: u64| {
        let scenario = Scenario { seed: scenario.seed.wrapping_add(place), ..scenario.clone() };
        let outcome: Result<Simulated, NotSimulated> = simulate(&scenario, false);
        let passed = outcome.as_ref().is_ok_and(|simulated| simulated.passed);
        (outcome, passed)
    };
    let outcomes = over_cores(count, of_seed);
    let mut gaps = Vec::new();
    for (place, outcome) in &outcomes {
        let simulated = match outcome {
            Ok(simulated) if simulated.passed => {
                gaps.push(simulated.worst_gap_ms);
                continue;
            }
            Ok(simulated) => simulated,
            Err(error) => bail!("{error}"),
        };
        tell(simulated, json)?;
        leave_report(simulated, scenario, manner)?;
        let said = format!("seed {} is not as expected, {place} before it were", simulated.seed);
        let repeat = format!("repeat: varangian-testnet scenario run {what} --sim --seed {}", simulated.seed);
        eprintln!("{said}\n{repeat}");
        return Ok(ExitCode::FAILURE);
    }
    gaps.sort_unstable();
    let (half, worst) = (gaps.get(gaps.len() / 2).copied(), gaps.last().copied());
    let (half, worst) = (half.unwrap_or_default(), worst.unwrap_or_default());
    if json {
        let (name, seed) = (&scenario.name, scenario.seed);
        println!(
            "{}",
            serde_json::json!({ "scenario": name, "seed": seed, "seeds": count, "passed": true, "gap_p50_ms": half, "gap_worst_ms": worst })
        );
    } else {
        println!(
            "{}: as expected under {count} seeds from {} on; worst gap {half} ms under half of them, {worst} ms under any",
            scenario.name, scenario.seed
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Does numbered work on all cores, in order of the numbers, and begins no more once something did not go well. What was done, by its number; all below the
/// first that did not go well is there.
fn over_cores<T: Send>(count: u64, work: impl Fn(u64) -> (T, bool) + Sync) -> Vec<(u64, T)> {
    let (next, stop, done) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Vec::new()));
    scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= count {
                        break;
                    }
                    let (result, went_well) = work(number);
                    if !went_well {
                        stop.store(true, Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done
}

fn tell(simulated: &Simulated, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(write_out(&format!("{}\n", serde_json::to_string(simulated)?))?);
    }
    let mut text = String::new();
    for happening in &simulated.happened {
        let (seconds, tenths) = (happening.at_ms / 1000, happening.at_ms / 100 % 10);
        text.push_str(&format!("[{seconds:3}.{tenths} s] {}\n", happening.what));
    }
    write_out(&format!("{text}\n{simulated}\n"))?;
    Ok(())
}

fn leave_report(simulated: &Simulated, scenario: &Scenario, manner: &Manner) -> anyhow::Result<()> {
    let Some(path) = &manner.report else { return Ok(()) };
    fs::create_dir_all(path).with_context(|| path.display().to_string())?;
    let dir = NetworkDir::new(path);
    simulated.report(scenario)?.write(&dir)?;
    eprintln!("the whole of it: {}", Report::page_of(&dir).display());
    Ok(())
}

/// What panics in a run is a violation, and is told as one.
fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}
