//! The command line `varangian-testnet`.

use crate::menace;
use crate::scenario::command as scenario;
use crate::{bench, catalogue, control, demo, judge, replica, robustness, up};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A whole Varangian network on this machine, with malicious peers in it.
#[derive(Debug, Parser)]
#[command(name = "varangian-testnet", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a network and keep it up
    Up(up::UpArgs),
    /// End a running network
    Down(up::DownArgs),
    /// Show where each replica stands
    Status(up::StatusArgs),
    #[command(flatten)]
    Control(control::Control),
    /// Show it all: load, a killed primary, an attack, a verdict
    Demo(demo::DemoArgs),
    /// Play scenarios: attacks, faults, a load, and what must hold
    Scenario(scenario::ScenarioArgs),
    /// Judge a network that is down, by what its replicas have stored
    Judge(judge::command::JudgeArgs),
    /// Measure
    Bench(bench::BenchArgs),
    /// Measure what one faulty replica can take from everybody else
    Robustness(robustness::RobustnessArgs),
    /// Let a malicious client or a wire flood loose on a running network
    Menace(menace::command::MenaceArgs),
    /// List the attacks, menaces and faults
    Attacks,
    /// Simulate many networks under faults and attacks, each decided by a seed
    Sim(varangian_sim::cli::SimArgs),
    /// Burn processor time
    #[command(hide = true)]
    Burn(robustness::burner::BurnArgs),
    /// Run one malicious replica
    #[command(hide = true)]
    Replica(replica::ReplicaArgs),
}

/// Runs the command line and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A replica writes a log of its own.
    if !matches!(arguments.command, Command::Replica(_)) {
        tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Up(args) => up::up(args).await,
            Command::Down(args) => up::down(args).await,
            Command::Status(args) => up::status(args).await,
            Command::Control(control) => control::run(control).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Scenario(args) => scenario::run(args).await,
            Command::Judge(args) => judge::command::run(&args),
            Command::Bench(args) => bench::run(args).await,
            Command::Robustness(args) => robustness::run(args).await,
            Command::Menace(args) => menace::command::run(args).await,
            Command::Attacks => {
                scenario::write_out(&catalogue::list())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Sim(args) => Ok(varangian_sim::cli::run(&args)),
            Command::Burn(args) => robustness::burner::burn(&args),
            Command::Replica(args) => replica::run(args).await,
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
