//! `varangian-testnet robustness`: what one faulty replica, or anybody outside, can take from everybody else.
//!
//! Figures, not tests: each stands beside an undisturbed run of the same minutes, because machines drift.
//!
//! - `attacks`: throughput with one malicious replica of four over throughput with none.
//! - `recovery`: from a primary's death to the next commit.
//! - [`floods`]: latencies of honest clients under malicious ones and wire floods.

pub mod floods;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use varangian_client::protocol::ReplicaStatus;
use varangian_client::{Connections, Network, Options};
use varangian_crypto::{Parameters, ReplicaId};
use varangian_sim::adversary::{ATTACKS, Kind, Plan};

use crate::bench::row::{self, Row};
use crate::layout::NetworkDir;
use crate::load::operations::Mix;
use crate::load::{self, Load};
use crate::testnet::Testnet;
use crate::up::spinner;

/// Runs with an attack between two without.
const BETWEEN: usize = 4;
/// Between two looks at where the replicas stand.
const LOOK: Duration = Duration::from_millis(5);
/// For anything of the network to come about.
const PATIENCE: Duration = Duration::from_secs(60);
/// For one replica's answer.
const ANSWER: Duration = Duration::from_millis(200);

/// What one faulty replica can take from everybody else: figures.
#[derive(Debug, Args)]
pub struct RobustnessArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Throughput with one malicious replica of four, over throughput with none
    #[command(
        after_help = "Examples:\n  varangian-testnet robustness attacks\n  varangian-testnet robustness attacks --role primary --seconds 60 --pairs 1 slow late\n\nRuns of each attack and clean runs follow each other; a share is of the clean runs around it, a row the median of the pairs."
    )]
    Attacks(AttacksArgs),
    /// From a primary's death to the next commit
    Recovery(RecoveryArgs),
    /// Latencies of honest clients under malicious ones and wire floods, beside a neutral burner of processor time
    Floods(floods::FloodsArgs),
}

/// See [`What::Attacks`].
#[derive(Debug, Args)]
struct AttacksArgs {
    /// Attacks, `NAME@TRIGGER` and joined by `+` as elsewhere [default: each of the list]
    attacks: Vec<String>,
    /// Who attacks
    #[arg(long, value_enum, default_value = "backup")]
    role: Role,
    /// Runs of each attack
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Seconds measured in each run
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Seconds before that are not
    #[arg(long, default_value_t = 1)]
    warmup: u64,
    /// As JSON, a line for each attack
    #[arg(long)]
    json: bool,
}

/// See [`What::Recovery`].
#[derive(Debug, Args)]
struct RecoveryArgs {
    /// Primaries that are killed, one after the other
    #[arg(long, default_value_t = 20)]
    times: usize,
    /// Seconds of work before each: the time-out, which doubled with the view before, is back where it was
    #[arg(long, default_value_t = 3)]
    calm: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Who attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// One that does not lead, and would be the last to
    Backup,
    /// The first primary, from the first command on; one that lies in view changes is silent in its view, so that there is one
    Primary,
}

/// One attack's figures.
#[derive(Debug, Serialize)]
struct Line {
    attack: String,
    /// Attacked over clean, in the order of the pairs.
    shares: Vec<f64>,
    median: f64,
    /// Acknowledged operations per second under attack, the median.
    operations_per_second: f64,
    /// Longest time without an acknowledgement, in milliseconds, the median.
    worst_gap_ms: f64,
}

/// Runs `robustness`.
///
/// # Errors
/// If a network does not come up or falls.
pub async fn run(args: RobustnessArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Attacks(args) => attacks(&args).await?,
        What::Recovery(args) => recovery(&args).await?,
        What::Floods(args) => floods::run(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of the table of attacks that are about view changes.
const VIEW_CHANGES: [u8; 2] = [12, 13];

impl Role {
    const fn replica(self) -> u16 {
        match self {
            Self::Backup => 3,
            Self::Primary => 0,
        }
    }

    fn attack(self, kind: &Kind) -> String {
        let in_view_changes = kind.rows.iter().any(|row| VIEW_CHANGES.contains(row));
        if self == Self::Primary && in_view_changes {
            format!("{}+silent@view=0", kind.name)
        } else {
            kind.name.to_owned()
        }
    }
}

async fn attacks(args: &AttacksArgs) -> anyhow::Result<()> {
    let attacks: Vec<String> = if args.attacks.is_empty() {
        ATTACKS.iter().map(|kind| args.role.attack(kind)).collect()
    } else {
        args.attacks.clone()
    };
    for attack in &attacks {
        Plan::parse(attack)?;
    }
    let bar = spinner("");
    let mut rows: BTreeMap<&str, Vec<(f64, Row)>> = BTreeMap::new();
    for pair in 0..args.pairs {
        let mut before = measure(args, None).await?;
        for group in attacks.chunks(BETWEEN) {
            let mut attacked = Vec::new();
            for attack in group {
                bar.set_message(format!("round {} of {}: {attack}", pair + 1, args.pairs));
                attacked.push((attack, measure(args, Some(attack)).await.with_context(|| attack.clone())?));
            }
            let after = measure(args, None).await?;
            let clean = f64::midpoint(before.operations_per_second, after.operations_per_second);
            for (attack, row) in attacked {
                rows.entry(attack).or_default().push((row.operations_per_second / clean, row));
            }
            before = after;
        }
    }
    bar.finish_and_clear();
    if !args.json {
        println!("| attack | median share of the clean run | pairs | ops/s | worst gap |\n|-|-|-|-|-|");
    }
    for attack in &attacks {
        let line = Line::new(attack, rows.remove(attack.as_str()).unwrap_or_default());
        if args.json {
            println!("{}", serde_json::to_string(&line)?);
        } else {
            let pairs: Vec<String> = line.shares.iter().map(|share| format!("{share:.2}")).collect();
            println!(
                "| {} | {:.2} | {} | {:.0} | {:.0} ms |",
                line.attack,
                line.median,
                pairs.join(" "),
                line.operations_per_second,
                line.worst_gap_ms
            );
        }
    }
    Ok(())
}

impl Line {
    fn new(attack: &str, rows: Vec<(f64, Row)>) -> Self {
        let of = |what: fn(&Row) -> f64| median(rows.iter().map(|(_, row)| what(row)).collect());
        Self {
            attack: attack.to_owned(),
            median: median(rows.iter().map(|(share, _)| *share).collect()),
            operations_per_second: of(|row| row.operations_per_second),
            worst_gap_ms: of(|row| row.worst_gap_ms),
            shares: rows.into_iter().map(|(share, _)| share).collect(),
        }
    }
}

/// The one in the middle; of none, not a number.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    match (all.len() % 2, all.get(middle.wrapping_sub(1)), all.get(middle)) {
        (0, Some(one), Some(other)) => f64::midpoint(*one, *other),
        (_, _, Some(one)) => *one,
        _ => f64::NAN,
    }
}

/// One run on a network of its own, attacked from its first command on or not.
async fn measure(args: &AttacksArgs, attack: Option<&String>) -> anyhow::Result<Row> {
    let files = tempfile::Builder::new().prefix("varangian-robustness-").tempdir()?;
    let dir = NetworkDir::new(files.path().join("network"));
    dir.create(4, Parameters::default())?;
    let attacks = attack.map(|attack| (args.role.replica(), attack.clone())).into_iter().collect();
    let mut net = Testnet::new(dir, &attacks)?;
    net.start().await?;
    // As primary it is measured from the beginning: what it costs to be rid of it is part of the figure.
    let warmup = if args.role == Role::Primary { 0 } else { args.warmup };
    let load = Load { warmup: Duration::from_secs(warmup), ..steady() };
    let pids: Vec<u32> = net.ids().into_iter().filter_map(|id| net.pid(id)).collect();
    let row = row::measure(&net.network()?, &pids, &load, Duration::from_secs(args.seconds)).await?;
    net.stop().await?;
    Ok(row)
}

fn steady() -> Load {
    Load { clients: 16, in_flight: 8, value_bytes: 512, mix: Mix::puts(), ..Load::default() }
}

async fn recovery(args: &RecoveryArgs) -> anyhow::Result<()> {
    let files = tempfile::Builder::new().prefix("varangian-robustness-").tempdir()?;
    let dir = NetworkDir::new(files.path().join("network"));
    dir.create(4, Parameters::default())?;
    let mut net = Testnet::new(dir, &BTreeMap::new())?;
    net.start().await?;
    let network = net.network()?;
    let (stop, stopped) = watch::channel(false);
    let loading = tokio::spawn({
        let (network, load) = (network.clone(), Load { in_flight: 2, clients: 8, ..steady() });
        async move { load::run(&network, load::fresh_keys(load.clients)?, &load, None, stopped, |_| {}).await }
    });
    let looker = Looker::new(&network)?;
    let bar = spinner("");
    let mut times = Vec::new();
    for time in 0..args.times {
        bar.set_message(format!("primary {} of {}", time + 1, args.times));
        let before = looker.until(|rows| rows.len() == 4 && rows.iter().all(|row| row.active && !row.behind)).await?;
        let view = before.iter().map(|row| row.view).max().unwrap_or_default();
        sleep(Duration::from_secs(args.calm)).await;
        // Everybody is in step and has work before the next one dies.
        let executed = before.iter().map(|row| row.executed).max().unwrap_or_default() + 32;
        looker
            .until(|rows| rows.len() == 4 && rows.iter().all(|row| row.executed > executed && row.view == view))
            .await?;
        let primary = net.genesis().quorums().primary(view);
        let began = Instant::now();
        net.kill(primary).await?;
        let active = looker.until(|rows| rows.iter().any(|row| row.active && row.view > view)).await?;
        let executed = active.iter().map(|row| row.executed).max().unwrap_or_default();
        looker.until(|rows| rows.iter().any(|row| row.view > view && row.executed > executed)).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        net.restart(&[primary]).await?;
    }
    bar.finish_and_clear();
    stop.send_replace(true);
    loading.await??;
    net.stop().await?;
    times.sort_by(f64::total_cmp);
    let (least, most) = (times.first().copied().unwrap_or(f64::NAN), times.last().copied().unwrap_or(f64::NAN));
    let middle = median(times.clone());
    if args.json {
        println!("{}", serde_json::json!({ "median_ms": middle, "all_ms": times }));
    } else {
        println!(
            "from a primary's death to the next commit, of {} times: median {middle:.0} ms, from {least:.0} to {most:.0} ms",
            times.len()
        );
    }
    Ok(())
}

/// Looks at where all replicas stand, each over a connection of its own that stays: one that is dead holds up nobody.
struct Looker {
    stands: watch::Receiver<BTreeMap<ReplicaId, ReplicaStatus>>,
    _looking: JoinSet<()>,
}

impl Looker {
    fn new(network: &Network) -> anyhow::Result<Self> {
        let connections = Connections::open(network, Options { deadline: ANSWER, ..Options::default() })?;
        let (see, stands) = watch::channel(BTreeMap::new());
        let see = Arc::new(see);
        let mut looking = JoinSet::new();
        for id in network.genesis().quorums().replicas() {
            let (connections, see) = (connections.clone(), see.clone());
            looking.spawn(async move {
                loop {
                    match connections.status(id).await {
                        Ok(status) => see.send_modify(|stands| drop(stands.insert(id, status))),
                        Err(_) => see.send_modify(|stands| drop(stands.remove(&id))),
                    }
                    sleep(LOOK).await;
                }
            });
        }
        Ok(Self { stands, _looking: looking })
    }

    async fn until(&self, enough: impl Fn(&[ReplicaStatus]) -> bool) -> anyhow::Result<Vec<ReplicaStatus>> {
        let rows = |stands: &BTreeMap<ReplicaId, ReplicaStatus>| stands.values().cloned().collect::<Vec<_>>();
        let mut stands = self.stands.clone();
        let waiting = timeout(PATIENCE, stands.wait_for(|stands| enough(&rows(stands)))).await;
        match waiting {
            Ok(Ok(stands)) => Ok(rows(&stands)),
            _ => bail!("nothing comes of it within {} s", PATIENCE.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp)]

    use super::{Role, median};
    use varangian_sim::adversary::{ATTACKS, Plan};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    /// Whoever lies in view changes takes care that there is one.
    #[test]
    fn each_attack_can_be_played_in_each_role() {
        for kind in &ATTACKS {
            for role in [Role::Backup, Role::Primary] {
                Plan::parse(&role.attack(kind)).unwrap();
            }
        }
        let storm = ATTACKS.iter().find(|kind| kind.name == "view-storm").unwrap();
        assert_eq!(Role::Primary.attack(storm), "view-storm+silent@view=0");
        assert_eq!(Role::Backup.attack(storm), "view-storm");
    }
}
