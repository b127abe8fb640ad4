//! `varangian-testnet scenario`: list, show, run, all, new.

use super::format::{Only, Scenario};
use super::play::{Outcome, play};
use super::shipped;
use super::sim::command as sim;
use crate::layout::NetworkDir;
use crate::report::Report;
use crate::signals::ToldToEnd;
use crate::up::NetworkArg;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// A commented file to begin with.
const TEMPLATE: &str = include_str!("../../scenarios/template.toml");

/// Plays scenarios: a network, attacks, faults, a load and what must hold, in one file.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    #[command(subcommand)]
    command: ScenarioCommand,
}

#[derive(Debug, Subcommand)]
enum ScenarioCommand {
    /// List the scenarios that come with the program
    List,
    /// Print one's file
    Show {
        /// Its name
        name: String,
    },
    /// Play one on real processes, or in the simulator, and judge it
    #[command(
        after_help = "Examples:\n  varangian-testnet scenario run attack-equivocate\n  varangian-testnet scenario run ./mine.toml --seed 7 --json\n  varangian-testnet scenario run ./mine.toml --sim --seeds 100\n\nExit code 0 only if everything that must hold held."
    )]
    Run {
        /// A name from the list, or a file
        scenario: String,
        /// Another seed than the file's
        #[arg(long)]
        seed: Option<u64>,
        #[command(flatten)]
        network: NetworkArg,
        /// The outcome as JSON
        #[arg(long)]
        json: bool,
        /// In the simulator: simulated time, one seed decides everything
        #[arg(long)]
        sim: bool,
        /// Under so many seeds, up to the first that is not as expected
        #[arg(long, requires = "sim", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        seeds: Option<u64>,
        /// Tell all that the simulated replicas do
        #[arg(long, requires = "sim", conflicts_with_all = ["seeds", "json"])]
        trace: bool,
        /// Leave report.json and report.html there; on real processes they are left in the network's directory
        #[arg(long, requires = "sim", value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// Play all that come with the program, one after the other
    All {
        /// Where their networks are kept
        #[arg(long, default_value = ".varangian-scenarios", value_name = "DIR")]
        dir: PathBuf,
        /// The outcomes as JSON, one per line
        #[arg(long)]
        json: bool,
        /// In the simulator, as many as can be simulated
        #[arg(long)]
        sim: bool,
    },
    /// Write a commented file to begin with
    New {
        /// Where to
        file: PathBuf,
    },
}

/// Does what is asked for.
///
/// # Errors
/// If a file is no scenario, or there can be no verdict. One that says no is no error but an exit code.
pub async fn run(args: ScenarioArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ScenarioCommand::List => {
            let mut text = String::new();
            for name in shipped::names() {
                text.push_str(&format!("{name:<34} {}\n", shipped::find(&name)?.about));
            }
            write_out(&text)?;
        }
        ScenarioCommand::Show { name } => write_out(&toml::to_string(&shipped::find(&name)?)?)?,
        ScenarioCommand::New { file } => {
            let mut new = fs::File::create_new(&file).with_context(|| file.display().to_string())?;
            new.write_all(TEMPLATE.as_bytes()).with_context(|| file.display().to_string())?;
            println!("{} is written; `varangian-testnet scenario run {}` plays it", file.display(), file.display());
        }
        ScenarioCommand::Run { scenario: what, seed, network, json, sim, seeds, trace, report } => {
            let mut scenario = load(&what)?;
            scenario.seed = seed.unwrap_or(scenario.seed);
            if sim {
                return sim::run(&scenario, &what, &sim::Manner { seeds, trace, json, report });
            }
            let (outcome, _) = play(&scenario, &network.dir(), json).await?;
            print(&outcome, json)?;
            if !json {
                println!("the whole of it: {}", Report::page_of(&network.dir()).display());
            }
            return Ok(if outcome.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        ScenarioCommand::All { json, sim: true, .. } => return sim::all(json),
        ScenarioCommand::All { dir, json, sim: false } => return all(&dir, json).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// A shipped one by its name, or a file.
fn load(scenario: &str) -> anyhow::Result<Scenario> {
    let path = Path::new(scenario);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return Scenario::parse(&text).with_context(|| path.display().to_string());
    }
    Ok(shipped::find(scenario)?)
}

async fn all(dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let mut rows: Vec<(String, bool, String)> = Vec::new();
    for name in shipped::names() {
        if shipped::find(&name)?.only == Some(Only::Sim) {
            continue;
        }
        if !json {
            println!("== {name}");
        }
        let began = Instant::now();
        let outcome = play(&shipped::find(&name)?, &NetworkDir::new(dir.join(&name)), json).await;
        let seconds = began.elapsed().as_secs_f64();
        let (passed, line) = match &outcome {
            Ok((outcome, _)) => (outcome.passed, outcome.verdict.line()),
            Err(error) if error.is::<ToldToEnd>() => bail!("told to end, after {} scenarios", rows.len()),
            Err(error) => (false, format!("no verdict: {error:#}")),
        };
        if let Ok((outcome, _)) = &outcome {
            print(outcome, json)?;
        }
        rows.push((name, passed, format!("{line}  {seconds:5.1} s")));
    }
    let told = rows
        .iter()
        .map(|(name, passed, line)| format!("{:<34} {:<4} {line}", name, if *passed { "ok" } else { "FAIL" }));
    let table = told.collect::<Vec<_>>().join("\n");
    if json {
        eprintln!("{table}");
    } else {
        println!("\n{table}");
    }
    let failed = rows.iter().filter(|(_, passed, _)| !passed).count();
    if failed > 0 {
        bail!(
            "{failed} of {} scenarios are not as they should be; their networks are in {}",
            rows.len(),
            dir.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints an outcome for people or machines.
///
/// # Errors
/// None that is expected: an outcome is always JSON.
pub fn print(outcome: &Outcome, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(outcome)?);
    } else {
        println!("\n{outcome}");
    }
    Ok(())
}

/// Writes a text to standard output; a reader that has seen enough, as `head`, is no error.
///
/// # Errors
/// Any other.
pub fn write_out(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
