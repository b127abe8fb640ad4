//! The command line `varangian-testnet`.

use crate::menace::{self, MENACES};
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
    /// Let a malicious client or a wire flood loose on a running network
    Menace(menace::command::MenaceArgs),
    /// List the attacks, menaces and faults
    Attacks,
    /// Simulate many networks under faults and attacks, each decided by a seed
    Sim(varangian_sim::cli::SimArgs),
    /// Burn processor time
    #[command(hide = true)]
    Burn(robustness::floods::BurnArgs),
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
            Command::Menace(args) => menace::command::run(args).await,
            Command::Attacks => {
                scenario::write_out(&attacks())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Sim(args) => Ok(varangian_sim::cli::run(&args)),
            Command::Burn(args) => robustness::floods::burn(&args),
            Command::Replica(args) => replica::run(args).await,
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Faults that are neither a replica's lies nor a client's: which steps or keys of a scenario play them, with their rows.
const FAULTS: [(&str, &[u8], &str, &str); 9] = [
    (
        "links, shape, cut, partition",
        &[20],
        "loss, duplication, reordering, one-way and long partitions, flapping links",
        "state is told again, not events",
    ),
    ("timing", &[20], "synchronous, partially synchronous and asynchronous links", "safety never depends on time"),
    ("kill, restart", &[24, 30], "crashes, rolling restarts", "own durable votes are told again to self and peers"),
    ("power-loss", &[22, 24], "crashes that lose what was not synced, of all at once too", "durable before sent"),
    ("pause, resume", &[30], "replicas that stand still with open connections", "a timer per pending command"),
    (
        "fill-disk, corrupt, wipe-disk",
        &[22, 23],
        "full, rotten, rolled back and empty disks",
        "checksums and a high-water mark of votes; refuse, keep as evidence",
    ),
    ("twins-for", &[1, 10], "one key in two replicas", "a replica that meets its own unknown vote stops"),
    ("more than f under [attacks]", &[18], "a fork", "none; at least f + 1 are proved guilty, and nobody else"),
    ("away past log pruning", &[15, 25], "not played: comes with snapshot transfer", "needs-snapshot is an alarm"),
];

/// The list of attacks for people.
fn attacks() -> String {
    let rows = |rows: &[u8]| rows.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::from("MALICIOUS REPLICAS (under [attacks], `up --malicious`, `attack`)\n");
    for kind in &ATTACKS {
        let provable = if kind.provable() { kind.evidence.join(", or ") } else { "not provable".to_owned() };
        text.push_str(&format!(
            "{:<24} {} [{}]\n{:<24} held off by: {} ({provable})\n",
            kind.name,
            kind.description,
            rows(kind.rows),
            "",
            kind.defence
        ));
    }
    for (head, clients) in [
        ("MALICIOUS CLIENTS (under [menaces], `menace`)", true),
        ("OUTSIDERS ON THE WIRE (under [menaces], `menace`)", false),
    ] {
        text.push_str(&format!("\n{head}\n"));
        for kind in MENACES.iter().filter(|kind| kind.client == clients) {
            text.push_str(&format!(
                "{:<24} {} [{}], {} a second\n{:<24} held off by: {}\n",
                kind.name,
                kind.description,
                rows(kind.rows),
                kind.rate,
                "",
                kind.defence
            ));
        }
    }
    text.push_str("\nFAULTS (steps and keys of scenarios)\n");
    for (name, numbers, what, defence) in FAULTS {
        text.push_str(&format!("{name:<30} {what} [{}]\n{:<30} held off by: {defence}\n", rows(numbers), ""));
    }
    text.push_str(
        "\ntriggers: NAME@view=2..5  NAME@slot=10..20  NAME@p=0.3,seed=7  NAME@never; several attacks of one replica: A+B@TRIGGER; a menace's rate: NAME,rate=N\nIn brackets: rows of the table of attacks. Clocks that run wrong (21) are the simulator's: `scenario run NAME --sim`.\n",
    );
    text
}
