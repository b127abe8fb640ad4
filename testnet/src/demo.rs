//! `varangian-testnet demo`: the scenario `demo`, with settings.
//!
//! Signed commands through four real replicas under load; their primary is killed and comes back; views are moved on until the
//! malicious one leads; it equivocates, is proved faulty and passed over. At no moment are more than `f` replicas faulty: each is
//! well again before the next one falls. The verdict can say no.

use crate::scenario::command::print;
use crate::scenario::format::Step;
use crate::scenario::play::play;
use crate::scenario::shipped;
use crate::scenario::show::Show;
use crate::signals::until_told_to_end;
use crate::up::{self, Ears, NetworkArg};
use clap::Args;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Shows it all: load, a killed primary, an attack, a verdict. Exit code 0 only if safety, liveness and evidence are as they must be.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian-testnet demo\n  varangian-testnet demo --calm 10 --json\n  varangian-testnet demo --keep        # leaves the network up\n\nThe network's files are left behind; an earlier demo's network is kept as DIR.previous. `varangian-testnet scenario show demo` shows its steps."
)]
pub struct DemoArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// Concurrent clients
    #[arg(long)]
    clients: Option<usize>,
    /// Seconds of undisturbed load before, between and after the faults
    #[arg(long)]
    calm: Option<u32>,
    /// Longest time without an acknowledgement, in seconds
    #[arg(long)]
    max_gap: Option<u64>,
    /// Seed of the load
    #[arg(long)]
    seed: Option<u64>,
    /// After the verdict, start the network again and leave it up
    #[arg(long)]
    keep: bool,
    /// The outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// If there can be no verdict. One that says no is no error but an exit code.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = shipped::find("demo")?;
    scenario.load.clients = args.clients.unwrap_or(scenario.load.clients);
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    scenario.expect.max_gap = args.max_gap.unwrap_or(scenario.expect.max_gap);
    for step in &mut scenario.step {
        if let (Step::Wait(seconds), Some(calm)) = (step, args.calm) {
            *seconds = f64::from(calm);
        }
    }
    let (outcome, mut net) = play(&scenario, &args.network.dir(), args.json).await?;
    print(&outcome, args.json)?;
    if args.keep {
        let ears = Ears::open(net.dir())?;
        until_told_to_end(net.start()).await?;
        let attacks: BTreeMap<u16, String> = scenario.attacks.into_iter().map(|(who, how)| (who.0.0, how)).collect();
        up::print_ready(&net, &attacks);
        let network = net.network()?;
        let mut show = Show::new(net, &network, ProgressBar::hidden(), false, scenario.seed)?;
        let supervised = up::supervise(&mut show, ears, false).await;
        show.net.stop().await?;
        supervised?;
    }
    Ok(if outcome.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
