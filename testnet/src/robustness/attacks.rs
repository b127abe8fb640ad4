//! Throughput with one malicious replica of four over throughput with none.
//!
//! All replicas share one machine, so what the attacker itself computes is missing to the others: how much that is stands beside its share. So does how often it struck:
//! who only lies where it leads, or where views change, has nothing to strike at as a backup while nobody is deposed; for those there is [`Role::Next`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use varangian_crypto::ReplicaId;
use varangian_sim::adversary::{ATTACKS, Kind, Plan};

use super::looker::Looker;
use super::{at_least_one, median, steady};
use crate::bench::row::{self, Row};
use crate::bench::usage::Usage;
use crate::load::Load;
use crate::testnet::Testnet;
use crate::up::spinner;

/// Runs with an attack between two without.
const BETWEEN: usize = 4;
/// Slots that are executed before the first primary stands still: certificates to lie about.
const AT_WORK: u64 = 32;

/// See the module.
#[derive(Debug, Args)]
pub struct AttacksArgs {
    /// Attacks, `NAME@TRIGGER` and joined by `+` as elsewhere [default: each of the list; with `--role next` those that are about view changes]
    attacks: Vec<String>,
    /// Who attacks
    #[arg(long, value_enum, default_value = "backup")]
    role: Role,
    /// Runs of each attack
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
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

/// Who attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// One that does not lead, and would be the last to
    Backup,
    /// The first primary, from the first command on
    Primary,
    /// The one that leads after the first: in every run, clean ones too, the first primary stands still until others ask for the next view
    Next,
}

/// One run.
struct Run {
    row: Row,
    /// Cores that the attacker used beyond what the others did on average.
    excess: f64,
    /// How often the attack struck; of several joined, the one that did so least.
    strikes: u64,
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
    /// Cores that the attacker used beyond what an honest replica did, the median.
    excess_cores: f64,
    /// How often it struck, in the order of the pairs.
    strikes: Vec<u64>,
}

impl Role {
    const fn replica(self) -> u16 {
        match self {
            Self::Backup => 3,
            Self::Primary => 0,
            Self::Next => 1,
        }
    }

    /// The attacks that have something to strike at.
    fn attacks(self) -> impl Iterator<Item = String> {
        let apt = move |kind: &&Kind| self != Self::Next || kind.is_about_view_changes();
        ATTACKS.iter().filter(apt).map(|kind| kind.name.to_owned())
    }

    /// Seconds of work that are not measured. Whoever leads is measured from the beginning: what it costs to be rid of it is part of the figure.
    fn warmup(self, seconds: u64) -> Duration {
        Duration::from_secs(if self == Self::Backup { seconds } else { 0 })
    }
}

/// Runs `robustness attacks`.
///
/// # Errors
/// If a network does not come up or falls.
pub async fn run(args: &AttacksArgs) -> anyhow::Result<()> {
    let attacks: Vec<String> =
        if args.attacks.is_empty() { args.role.attacks().collect() } else { args.attacks.clone() };
    for attack in &attacks {
        Plan::parse(attack)?;
    }
    let bar = spinner("");
    let mut rows: BTreeMap<&str, Vec<(f64, Run)>> = BTreeMap::new();
    for pair in 0..args.pairs {
        let mut before = measure(args, None).await?;
        for group in attacks.chunks(BETWEEN) {
            let mut attacked = Vec::new();
            for attack in group {
                bar.set_message(format!("round {} of {}: {attack}", pair + 1, args.pairs));
                attacked.push((attack, measure(args, Some(attack)).await.with_context(|| attack.clone())?));
            }
            let after = measure(args, None).await?;
            let clean = f64::midpoint(before.row.operations_per_second, after.row.operations_per_second);
            for (attack, run) in attacked {
                rows.entry(attack).or_default().push((run.row.operations_per_second / clean, run));
            }
            before = after;
        }
    }
    bar.finish_and_clear();
    if !args.json {
        println!(
            "| attack | median share of the clean run | pairs | ops/s | worst gap | cores above an honest one | strikes |\n|-|-|-|-|-|-|-|"
        );
    }
    for attack in &attacks {
        let line = Line::new(attack, rows.remove(attack.as_str()).unwrap_or_default());
        if args.json {
            println!("{}", serde_json::to_string(&line)?);
        } else {
            let pairs: Vec<String> = line.shares.iter().map(|share| format!("{share:.2}")).collect();
            let strikes: Vec<String> = line.strikes.iter().map(u64::to_string).collect();
            println!(
                "| {} | {:.2} | {} | {:.0} | {:.0} ms | {:.2} | {} |",
                line.attack,
                line.median,
                pairs.join(" "),
                line.operations_per_second,
                line.worst_gap_ms,
                line.excess_cores,
                strikes.join(" ")
            );
        }
    }
    Ok(())
}

impl Line {
    fn new(attack: &str, rows: Vec<(f64, Run)>) -> Self {
        let of = |what: fn(&Run) -> f64| median(rows.iter().map(|(_, run)| what(run)).collect());
        Self {
            attack: attack.to_owned(),
            median: median(rows.iter().map(|(share, _)| *share).collect()),
            operations_per_second: of(|run| run.row.operations_per_second),
            worst_gap_ms: of(|run| run.row.worst_gap_ms),
            excess_cores: of(|run| run.excess),
            strikes: rows.iter().map(|(_, run)| run.strikes).collect(),
            shares: rows.into_iter().map(|(share, _)| share).collect(),
        }
    }
}

/// One run on a network of its own, attacked from its first command on or not.
async fn measure(args: &AttacksArgs, attack: Option<&String>) -> anyhow::Result<Run> {
    let attacks = attack.map(|attack| (args.role.replica(), attack.clone())).into_iter().collect();
    let (mut net, _files) = Testnet::scratch(&attacks).await?;
    let load = Load { warmup: args.role.warmup(args.warmup), ..steady() };
    let pids: Vec<u32> = net.ids().into_iter().filter_map(|id| net.pid(id)).collect();
    let cores = || -> anyhow::Result<Vec<Usage>> { pids.iter().map(|pid| Usage::of(&[*pid])).collect() };
    let (began, before) = (Instant::now(), cores()?);
    let network = net.network()?;
    let working = row::measure(&network, &pids, &load, Duration::from_secs(args.seconds));
    let row = match args.role {
        Role::Next => tokio::try_join!(working, change_views(&mut net))?.0,
        Role::Backup | Role::Primary => working.await?,
    };
    let (seconds, after) = (began.elapsed().as_secs_f64(), cores()?);
    net.stop().await?;
    let strikes = net.strikes().await?.into_values().flat_map(BTreeMap::into_values).min().unwrap_or(0);
    let used: Vec<f64> =
        before.into_iter().zip(after).map(|(before, after)| (after - before).cpu.as_secs_f64() / seconds).collect();
    let excess = excess(&used, usize::from(args.role.replica()));
    Ok(Run { row, excess, strikes })
}

/// The first primary stands still until somebody asks for the next view, and goes on: with it there are enough to change views, whatever the attacker does.
async fn change_views(net: &mut Testnet) -> anyhow::Result<()> {
    const FIRST: ReplicaId = ReplicaId(0);
    let looker = Looker::new(&net.network()?)?;
    looker.until(|rows| rows.len() == net.ids().len() && rows.iter().all(|row| row.executed >= AT_WORK)).await?;
    net.pause(FIRST)?;
    let asked = looker.until(|rows| rows.iter().any(|row| row.replica > Role::Next.replica() && row.view > 0)).await;
    net.resume(FIRST)?;
    asked.map(drop)
}

/// What one uses beyond the others' mean.
#[expect(clippy::cast_precision_loss, reason = "replicas are few")]
fn excess(used: &[f64], one: usize) -> f64 {
    let own = used.get(one).copied().unwrap_or(f64::NAN);
    own - (used.iter().sum::<f64>() - own) / (used.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Role, excess};
    use varangian_sim::adversary::ATTACKS;

    #[test]
    fn what_one_uses_stands_beside_the_others_mean() {
        assert!((excess(&[0.2, 0.3, 0.4, 0.9], 3) - 0.6).abs() < 1e-9);
        assert!((excess(&[0.2, 0.2], 0)).abs() < 1e-9);
    }

    #[test]
    fn who_leads_next_plays_what_is_about_view_changes() {
        let [backup, primary, next] =
            [Role::Backup, Role::Primary, Role::Next].map(|role| role.attacks().collect::<Vec<_>>());
        assert_eq!((backup.len(), primary.len()), (ATTACKS.len(), ATTACKS.len()));
        for name in ["hide-prepared", "drop-slot", "pre-empt"] {
            assert!(next.contains(&name.to_owned()), "{name}");
        }
        assert!(!next.contains(&"slow".to_owned()));
    }
}
