//! What malicious clients and wire floods take from honest clients, beside what it would take to burn as much processor time.
//!
//! Whoever floods a machine that replicas share takes processor time from them on the sending side already. So each menace stands beside a run in
//! which neutral processes burn what the menace costs in all, in the rhythm in which it acts: the sender's time, and what replicas spend on it that have nothing
//! else to do.
//!
//! Beside honest clients the sum rises by less than that: who waits shares a slot with more others, and two cores have no third one to give. A second neutral run burns
//! this difference alone, and so flatters nobody.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;
use tokio::process::{Child, Command};

use super::{burner, median};
use crate::bench::row::{self, Row};
use crate::bench::usage::Usage;
use crate::load::Load;
use crate::load::operations::Mix;
use crate::memory::high_water_kib;
use crate::menace::{MENACES, Spec};
use crate::testnet::Testnet;
use crate::up::spinner;

/// For every replica's word on where it stands, when all is over.
const ANSWERS: Duration = Duration::from_secs(10);

/// For what replicas spend on nothing.
const IDLE: Duration = Duration::from_secs(2);

/// No menace outlives this, whatever becomes of who started it.
const LONGEST: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug, Args)]
pub struct FloodsArgs {
    /// Menaces, `NAME,rate=N` as elsewhere [default: each of the list at its own rate]
    menaces: Vec<String>,
    /// Runs of each
    #[arg(long, default_value_t = 3, value_parser = super::at_least_one)]
    pairs: usize,
    /// Seconds of each run
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Operations per second that honest clients ask for
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// As JSON, a line for each menace
    #[arg(long)]
    json: bool,
}

/// One run.
struct Run {
    row: Row,
    /// Processor seconds per second: of the replicas, and of the menace or the burners.
    replicas: f64,
    others: f64,
    /// The largest that a replica's resident memory ever was, in MiB.
    memory: f64,
}

/// A menace's run, one without it, and two with burners in its place.
struct Pair {
    clean: Run,
    attacked: Run,
    /// Burners have what it costs alone.
    neutral: Run,
    /// Burners have what the sum rose by.
    marginal: Run,
    /// What it costs alone, in cores.
    cores: f64,
    /// What the sum rose by, in cores.
    added: f64,
    /// The view at its end.
    view: u64,
}

#[derive(Debug, Serialize)]
struct Line {
    menace: String,
    rate: u32,
    /// Cores that it costs where nobody else asks for anything; of the pairs the median, here and below.
    cores: f64,
    /// Cores that replicas and it had more of than the replicas without it.
    added: f64,
    clean_p99_ms: f64,
    p99_ms: f64,
    neutral_p99_ms: f64,
    /// `p99_ms` over that beside burners of `cores`.
    over_neutral: f64,
    /// The same beside burners of `added`.
    over_added: f64,
    memory_mib: f64,
    /// Views left in all of its runs.
    view_changes: u64,
}

/// Runs `robustness floods`.
///
/// # Errors
/// If a network does not come up or falls.
pub async fn run(args: &FloodsArgs) -> anyhow::Result<()> {
    let specs: Vec<Spec> = if args.menaces.is_empty() {
        MENACES.iter().map(|kind| Spec::parse(kind.name)).collect::<Result<_, _>>()?
    } else {
        args.menaces.iter().map(|text| Spec::parse(text)).collect::<Result<_, _>>()?
    };
    let bar = spinner("");
    if !args.json {
        println!(
            "| menace | a second | cores alone | cores added | p99 clean | p99 beside a neutral burner | p99 | over neutral | over one of what it adds | memory of a replica | views left |\n|-|-|-|-|-|-|-|-|-|-|-|"
        );
    }
    for spec in specs {
        let mut runs = Vec::new();
        for pair in 0..args.pairs {
            bar.set_message(format!("{spec}: {} of {}", pair + 1, args.pairs));
            let (clean, _) = measure(args, None, Vec::new()).await?;
            let (attacked, view) = measure(args, Some((spec, pair as u64)), Vec::new()).await?;
            let cores = cost(args, spec, pair as u64).await?;
            let added = (attacked.replicas - clean.replicas).max(0.0) + attacked.others;
            let burn = |cores| burner::start(cores, Duration::from_secs(1) / spec.rate().max(1));
            let (neutral, _) = measure(args, None, burn(cores)?).await?;
            let (marginal, _) = measure(args, None, burn(added)?).await?;
            runs.push(Pair { clean, attacked, neutral, marginal, cores, added, view });
        }
        let of = |what: fn(&Pair) -> f64| median(runs.iter().map(what).collect());
        let line = Line {
            menace: spec.kind().name.to_owned(),
            rate: spec.rate(),
            cores: of(|pair| pair.cores),
            added: of(|pair| pair.added),
            clean_p99_ms: of(|pair| pair.clean.row.p99_ms),
            p99_ms: of(|pair| pair.attacked.row.p99_ms),
            neutral_p99_ms: of(|pair| pair.neutral.row.p99_ms),
            over_neutral: of(|pair| pair.attacked.row.p99_ms / pair.neutral.row.p99_ms),
            over_added: of(|pair| pair.attacked.row.p99_ms / pair.marginal.row.p99_ms),
            memory_mib: runs.iter().map(|pair| pair.attacked.memory).fold(0.0, f64::max),
            view_changes: runs.iter().map(|pair| pair.view).sum(),
        };
        bar.suspend(|| line.print(args.json))?;
    }
    bar.finish_and_clear();
    Ok(())
}

impl Line {
    fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!(
                "| {} | {} | {:.2} | {:.2} | {:.0} ms | {:.0} ms | {:.0} ms | {:.2} | {:.2} | {:.0} MiB | {} |",
                self.menace,
                self.rate,
                self.cores,
                self.added,
                self.clean_p99_ms,
                self.neutral_p99_ms,
                self.p99_ms,
                self.over_neutral,
                self.over_added,
                self.memory_mib,
                self.view_changes
            );
        }
        Ok(())
    }
}

/// A process of its own, as the burners are: what a menace takes from honest clients, it does not take from inside of theirs. Dropped, it is killed.
fn start(network: &Path, spec: Spec, seed: u64) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("where this program is")?;
    let mut command = Command::new(program);
    command.arg("menace").arg(spec.to_string()).arg("--network").arg(network);
    command.args(["--seed", &seed.to_string(), "--seconds", &LONGEST.as_secs().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().context("starting the menace")
}

/// What a menace costs in all, in cores, where nobody else asks for anything.
async fn cost(args: &FloodsArgs, spec: Spec, seed: u64) -> anyhow::Result<f64> {
    let (mut net, _files) = Testnet::scratch(&BTreeMap::new()).await?;
    let replicas: Vec<u32> = net.ids().into_iter().filter_map(|id| net.pid(id)).collect();
    let idle = cores(&replicas, IDLE).await?;
    let menace = start(net.dir().root(), spec, seed)?;
    let all: Vec<u32> = replicas.into_iter().chain(menace.id()).collect();
    let cores = cores(&all, Duration::from_secs(args.seconds)).await.context("the menace ended before its time")?;
    drop(menace);
    net.stop().await?;
    Ok((cores - idle).max(0.0))
}

/// Processor seconds per second of these processes, over so long.
async fn cores(pids: &[u32], time: Duration) -> anyhow::Result<f64> {
    let (before, began) = (Usage::of(pids)?, Instant::now());
    tokio::time::sleep(time).await;
    Ok((Usage::of(pids)? - before).cpu.as_secs_f64() / began.elapsed().as_secs_f64())
}

/// One run on a network of its own, with a menace, or with burners, or alone; and the view at its end.
async fn measure(args: &FloodsArgs, menace: Option<(Spec, u64)>, burners: Vec<Child>) -> anyhow::Result<(Run, u64)> {
    let (mut net, _files) = Testnet::scratch(&BTreeMap::new()).await?;
    let pids: Vec<u32> = net.ids().into_iter().filter_map(|id| net.pid(id)).collect();
    let network = net.network()?;
    let menace = menace.map(|(spec, seed)| start(net.dir().root(), spec, seed)).transpose()?;
    let load = Load {
        clients: 8,
        in_flight: 64,
        value_bytes: 128,
        rate: Some(args.rate),
        mix: Mix::puts(),
        warmup: Duration::from_secs(1),
        ..Load::default()
    };
    let others: Vec<u32> = menace.iter().chain(&burners).filter_map(Child::id).collect();
    let before = (Usage::of(&pids)?, Usage::of(&others)?);
    let began = Instant::now();
    let row = row::measure(&network, &pids, &load, Duration::from_secs(args.seconds)).await?;
    let after = (Usage::of(&pids)?, Usage::of(&others).context("the menace ended before its time")?);
    let seconds = began.elapsed().as_secs_f64();
    let statuses = varangian::cli::status::ask_all(&network, ANSWERS).await?;
    let views: Vec<u64> = statuses.iter().filter_map(|(_, answer)| answer.as_ref().ok()).map(|row| row.view).collect();
    ensure!(views.len() == statuses.len(), "{} of {} replicas say which view they are in", views.len(), statuses.len());
    let view = views.into_iter().max().unwrap_or_default();
    drop(burners);
    drop(menace);
    let memory = pids.iter().map(|pid| high_water_kib(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
    net.stop().await?;
    let run = Run {
        row,
        replicas: (after.0 - before.0).cpu.as_secs_f64() / seconds,
        others: (after.1 - before.1).cpu.as_secs_f64() / seconds,
        memory: mib(memory.into_iter().max().unwrap_or_default()),
    };
    Ok((run, view))
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes are far below 2^52")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
