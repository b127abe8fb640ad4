//! Throughput with one malicious replica of four over throughput with none.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use varangian_sim::adversary::{ATTACKS, Kind, Plan};

use super::{at_least_one, median, steady};
use crate::bench::row::{self, Row};
use crate::load::Load;
use crate::testnet::Testnet;
use crate::up::spinner;

/// Runs with an attack between two without.
const BETWEEN: usize = 4;
/// See the module.
#[derive(Debug, Args)]
pub struct AttacksArgs {
    /// Attacks, `NAME@TRIGGER` and joined by `+` as elsewhere [default: each of the list]
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

impl Role {
    const fn replica(self) -> u16 {
        match self {
            Self::Backup => 3,
            Self::Primary => 0,
        }
    }

    fn attack(self, kind: &Kind) -> String {
        if self == Self::Primary && kind.is_about_view_changes() {
            format!("{}+silent@view=0", kind.name)
        } else {
            kind.name.to_owned()
        }
    }
}

/// Runs `robustness attacks`.
///
/// # Errors
/// If a network does not come up or falls.
pub async fn run(args: &AttacksArgs) -> anyhow::Result<()> {
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

/// One run on a network of its own, attacked from its first command on or not.
async fn measure(args: &AttacksArgs, attack: Option<&String>) -> anyhow::Result<Row> {
    let attacks = attack.map(|attack| (args.role.replica(), attack.clone())).into_iter().collect();
    let (mut net, _files) = Testnet::scratch(&attacks).await?;
    // As primary it is measured from the beginning: what it costs to be rid of it is part of the figure.
    let warmup = if args.role == Role::Primary { 0 } else { args.warmup };
    let load = Load { warmup: Duration::from_secs(warmup), ..steady() };
    let pids: Vec<u32> = net.ids().into_iter().filter_map(|id| net.pid(id)).collect();
    let row = row::measure(&net.network()?, &pids, &load, Duration::from_secs(args.seconds)).await?;
    net.stop().await?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Role;
    use varangian_sim::adversary::{ATTACKS, Plan};

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
