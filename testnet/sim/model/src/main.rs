//! `varangian-model`: searches the scenarios and prints what was seen.

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use varangian_model::{Limits, Report, Scenario, scenario, search};

/// Searches all orders in which messages can reach three honest replicas beside a Byzantine primary.
#[derive(Debug, Parser)]
struct Arguments {
    /// One scenario only; else all.
    #[arg(long, value_parser = named)]
    scenario: Option<Scenario>,
    /// Look at this many actions in a row at most; 0 for no limit.
    #[arg(long)]
    depth: Option<u16>,
    /// Stop after so many seconds, each scenario for itself.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Stop at so many MiB of memory.
    #[arg(long, default_value_t = 8192)]
    memory: u64,
    /// Threads of the search.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Leave nothing out but symmetry: every message by itself. Slow; its outcomes must be the same.
    #[arg(long)]
    plain: bool,
    /// Switch on a bug on purpose.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, value_parser = bug, default_value = "weak-quorum")]
    bug: varangian_crypto::seeded::Bug,
    /// One JSON object per scenario and line.
    #[arg(long)]
    json: bool,
}

fn named(name: &str) -> Result<Scenario, String> {
    let names: Vec<_> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
    let found = scenario::ALL.into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| format!("the scenarios are {}", names.join(", ")))
}

#[cfg(feature = "seeded-bugs")]
fn bug(name: &str) -> Result<varangian_crypto::seeded::Bug, String> {
    varangian_crypto::seeded::Bug::named(name).ok_or_else(|| format!("there is no bug {name:?}"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "seeded-bugs")]
    varangian_crypto::seeded::seed(Some(arguments.bug));
    let limits = Limits {
        time: Duration::from_secs(arguments.seconds),
        memory_mib: arguments.memory,
        threads: arguments.threads,
    };
    let scenarios = arguments.scenario.map_or_else(|| scenario::ALL.to_vec(), |scenario| vec![scenario]);
    let mut good = true;
    for mut scenario in scenarios {
        if let Some(depth) = arguments.depth {
            scenario.depth = Some(depth).filter(|depth| *depth > 0);
        }
        scenario.plain = arguments.plain;
        let report: Report = search(scenario, limits);
        good &= report.is_good();
        if arguments.json {
            println!("{}", report.json());
        } else {
            println!("{}", report.text());
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
