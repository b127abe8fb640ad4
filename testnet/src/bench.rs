//! `varangian-testnet bench`: figures of a network on this machine, beside what the machine itself can do.
//!
//! Nothing here is a test: there is no bound on any figure. Replicas and clients share the machine's cores, so the figures are those of the whole
//! arrangement, not of one replica.
//!
//! - [`machine`]: signatures, hashes and syncs of this machine alone.
//! - [`usage`]: what processes cost.
//! - [`row`]: one measured load.

pub mod machine;
pub mod row;
pub mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::signals::until_told_to_end;
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;
use varangian_client::Network;
use varangian_crypto::{Clients, Parameters};

use crate::layout::NetworkDir;
use crate::load::Load;
use crate::load::operations::Mix;
use crate::testnet::Testnet;
use crate::up::spinner;
use machine::Machine;
use row::Row;

/// Bundles of the default run: each operation signed by itself, and a bundle under one signature.
const BUNDLES: [usize; 2] = [1, 64];

/// Measures acknowledged operations per second, latencies and costs.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian-testnet bench\n  varangian-testnet bench --bundle 64 --clients 16 --duration 30\n  varangian-testnet bench --open --rate 500 --bundle 1\n\nA closed loop shows what the network takes at most; an open one, how long a command takes at a given rate, counted from when it was due."
)]
pub struct BenchArgs {
    /// Use the running network of this directory instead of a new one
    #[arg(long, value_name = "DIR", conflicts_with_all = ["replicas", "dir"])]
    network: Option<PathBuf>,
    /// Replicas of the new network
    #[arg(short = 'n', long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=128))]
    replicas: u16,
    /// Where the new network's files are made, and removed again: the disk that is measured [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Clients, each with a key of its own
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Commands that each client has on their way at most
    #[arg(long, default_value_t = 8, value_name = "COMMANDS")]
    in_flight: usize,
    /// Operations under one signature; given several times, measured one after the other [default: 1 and 64]
    #[arg(long, value_name = "OPERATIONS")]
    bundle: Vec<usize>,
    /// Bytes of each value
    #[arg(long, default_value_t = 512, value_name = "BYTES")]
    value_bytes: usize,
    /// Seconds measured per row
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// Seconds before that are not
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    warmup: u64,
    /// Closed loop: a client sends when it has been answered (the default without --rate)
    #[arg(long, conflicts_with_all = ["open", "rate"])]
    closed: bool,
    /// Open loop: commands are due at random moments, whether or not others were answered
    #[arg(long, requires = "rate")]
    open: bool,
    /// Operations per second over all clients; means --open
    #[arg(long, value_name = "OPERATIONS")]
    rate: Option<f64>,
    /// Of keys, values and due times
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Figures {
    replicas: usize,
    clients: usize,
    in_flight: usize,
    value_bytes: usize,
    rate: Option<f64>,
    machine: Machine,
    rows: Vec<Row>,
}

/// The network of a row.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Target {
    /// Made for it. Dropped in this order: the processes are killed, then their files removed.
    Own { net: Testnet, _files: TempDir },
    /// Somebody else's.
    Running { network: Network, pids: Vec<u32> },
}

/// Runs `bench`.
///
/// # Errors
/// If the network does not come up or falls, or the settings do not fit it.
pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let figures = until_told_to_end(measure(&args)).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        print!("{}", figures.text());
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &BenchArgs) -> anyhow::Result<Figures> {
    let bar = spinner("measuring the machine's own signatures, hashes and syncs");
    let disk = args.scratch()?;
    let machine = tokio::task::spawn_blocking(move || Machine::measure(disk.path())).await??;
    let mut rows = Vec::new();
    let mut replicas = 0;
    for load in args.loads() {
        bar.set_message(format!("bundles of {}: starting", load.bundle));
        let mut target = args.target().await?;
        let network = target.network()?;
        replicas = network.addresses().len();
        bar.set_message(format!("bundles of {}: {} s", load.bundle, args.warmup + args.duration));
        let row = row::measure(&network, &target.pids(), &load, Duration::from_secs(args.duration)).await;
        // What the replicas say is the better explanation, if one has fallen.
        target.end().await?;
        rows.push(row.with_context(|| format!("bundles of {}", load.bundle))?);
    }
    bar.finish_and_clear();
    let BenchArgs { clients, in_flight, value_bytes, .. } = *args;
    Ok(Figures { replicas, clients, in_flight, value_bytes, rate: args.rate(), machine, rows })
}

impl BenchArgs {
    /// One load per row.
    fn loads(&self) -> Vec<Load> {
        let bundles = if self.bundle.is_empty() { BUNDLES.to_vec() } else { self.bundle.clone() };
        let load = |bundle| Load {
            clients: self.clients,
            in_flight: self.in_flight,
            bundle,
            value_bytes: self.value_bytes,
            rate: self.rate(),
            mix: Mix::puts(),
            seed: self.seed,
            warmup: Duration::from_secs(self.warmup),
            ..Load::default()
        };
        bundles.into_iter().map(load).collect()
    }

    /// `None`: closed loop.
    fn rate(&self) -> Option<f64> {
        let open = self.open || !self.closed;
        self.rate.filter(|_| open)
    }

    /// A directory on the disk that is measured; removed when dropped.
    fn scratch(&self) -> anyhow::Result<TempDir> {
        let parent = match (&self.network, &self.dir) {
            (Some(dir), _) | (None, Some(dir)) => dir.clone(),
            (None, None) => std::env::temp_dir(),
        };
        let made = tempfile::Builder::new().prefix("varangian-bench-").tempdir_in(&parent);
        made.with_context(|| format!("making a directory in {}", parent.display()))
    }

    async fn target(&self) -> anyhow::Result<Target> {
        if let Some(root) = &self.network {
            return Target::running(&NetworkDir::new(root));
        }
        let files = self.scratch()?;
        let dir = NetworkDir::new(files.path().join("network"));
        dir.create(self.replicas, Parameters::default())?;
        let mut net = Testnet::new(dir, &std::collections::BTreeMap::new())?;
        net.start().await?;
        Ok(Target::Own { net, _files: files })
    }
}

impl Target {
    fn running(dir: &NetworkDir) -> anyhow::Result<Self> {
        let root = dir.root().display();
        let running = dir
            .running()?
            .with_context(|| format!("no network runs in {root}: `varangian-testnet up --network {root}`"))?;
        if !matches!(dir.genesis()?.clients(), Clients::Open { .. }) {
            bail!(
                "the genesis in {root} lists its clients, and the load's keys are fresh ones: use a network that is open to clients"
            );
        }
        let pids = running.replicas.values().filter_map(|replica| replica.pid).collect();
        Ok(Self::Running { network: Network::load(dir.root())?, pids })
    }

    fn network(&self) -> anyhow::Result<Network> {
        match self {
            Self::Own { net, .. } => net.network(),
            Self::Running { network, .. } => Ok(network.clone()),
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Own { net, .. } => net.ids().into_iter().filter_map(|id| net.pid(id)).collect(),
            Self::Running { pids, .. } => pids.clone(),
        }
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        let Self::Own { net, .. } = self else { return Ok(()) };
        let fallen: Vec<_> = net.fallen().into_iter().map(|(id, status)| format!("{id}: {status}")).collect();
        let stopped = net.stop().await;
        if !fallen.is_empty() {
            bail!(
                "replicas ended during the load ({}); run `varangian-testnet up` and look at their logs",
                fallen.join("; ")
            );
        }
        stopped
    }
}

impl Figures {
    fn text(&self) -> String {
        let how = match self.rate {
            Some(rate) => format!("open loop, {rate} operations/s due"),
            None => format!("closed loop, {} commands in flight each", self.in_flight),
        };
        let head = format!(
            "{} replicas and {} clients on one machine, {}-byte values, {how}\n",
            self.replicas, self.clients, self.value_bytes
        );
        format!("{head}\n{}\n{}", row::table(&self.rows), self.machine.text())
    }
}

#[cfg(test)]
mod tests;
