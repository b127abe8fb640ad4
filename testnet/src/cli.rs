//! The command line `varangian-testnet`.

use crate::scenario::command as scenario;
use crate::{bench, control, demo, replica, robustness, up};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use varangian_sim::adversary::ATTACKS;

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
    /// Measure
    Bench(bench::BenchArgs),
    /// Measure what one faulty replica can take from everybody else
    Robustness(robustness::RobustnessArgs),
    /// List the attacks
    Attacks,
    /// Simulate many networks under faults and attacks, each decided by a seed
    Sim(varangian_sim::cli::SimArgs),
    /// Run one malicious replica
    #[command(hide = true)]
    Replica(replica::ReplicaArgs),
}

/// Runs the command line and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
            Command::Bench(args) => bench::run(args).await,
            Command::Robustness(args) => robustness::run(args).await,
            Command::Attacks => {
                scenario::write_out(&attacks())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Sim(args) => Ok(varangian_sim::cli::run(&args)),
            Command::Replica(args) => replica::run(args).await,
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The list of attacks for people.
fn attacks() -> String {
    let mut text = String::new();
    for kind in &ATTACKS {
        let provable = if kind.provable() { kind.evidence.join(", or ") } else { "not provable".to_owned() };
        text.push_str(&format!(
            "{:<20} {}\n{:<20} held off by: {} ({provable})\n",
            kind.name, kind.description, "", kind.defence
        ));
    }
    text.push_str("\ntriggers: NAME@view=2..5  NAME@slot=10..20  NAME@p=0.3,seed=7  NAME@never\n");
    text
}
