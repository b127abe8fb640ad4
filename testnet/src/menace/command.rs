//! `varangian-testnet menace`: malicious clients and wire floods against a network that runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::{Menace, Spec, Target};
use crate::control;
use crate::layout::NetworkDir;
use crate::up::NetworkArg;

/// Lets a malicious client or a wire flood loose on a running network of this machine.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian-testnet menace flood --seconds 10\n  varangian-testnet menace 'gaps@p=0.5,rate=20' --json\n\n`varangian-testnet attacks` lists them. Ctrl-C ends it earlier."
)]
pub struct MenaceArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// NAME, NAME@TRIGGER, either with `,rate=N` (acts per second at most)
    #[arg(value_parser = Spec::parse)]
    menace: Spec,
    /// For how long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Of what it chooses [default: another each time]
    #[arg(long)]
    seed: Option<u64>,
    /// What it came to, as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// If no network of this machine is there.
pub async fn run(args: MenaceArgs) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let seed = args.seed.map_or_else(any_seed, Ok)?;
    let menace = Menace::start(&Target::load(&args.network.network)?, args.menace, seed)?;
    let dir = args.network.dir();
    remark(&dir, format!("the menace {} begins, {} times a second at most", args.menace, args.menace.rate())).await;
    if !args.json {
        println!("{}, {} times a second at most, for {} s", args.menace, args.menace.rate(), args.seconds);
    }
    tokio::select! {
        () = sleep(Duration::from_secs(args.seconds)) => {}
        _ = interrupt.recv() => {}
    }
    let counters = menace.stop().await;
    remark(&dir, format!("the menace {} ends", args.menace)).await;
    println!(
        "{}",
        if args.json { serde_json::to_string(&counters)? } else { serde_json::to_string_pretty(&counters)? }
    );
    Ok(ExitCode::SUCCESS)
}

/// The network is there all the same if nobody keeps a report of it.
async fn remark(dir: &NetworkDir, what: String) {
    if let Err(error) = control::remark(dir, what).await {
        eprintln!("in no report: {error:#}");
    }
}

fn any_seed() -> anyhow::Result<u64> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).context("a seed")?;
    Ok(u64::from_le_bytes(seed))
}
