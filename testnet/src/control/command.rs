//! The commands of live control.

use super::{Request, ask};
use crate::damage::Damage;
use crate::layout::NetworkDir;
use crate::report::Report;
use crate::scenario::format::{Assault, Corruption, Group as Whole, Replica, Shaping, Step, Ways, Who};
use crate::up::NetworkArg;
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use varangian_links::Shape;
use varangian_sim::adversary::Plan;

/// What can be done to a running network.
#[derive(Debug, Subcommand)]
pub enum Control {
    /// Kill replicas on the spot (SIGKILL)
    Kill(Target),
    /// Kill replicas, and cut their logs as a power loss could
    PowerLoss(Target),
    /// Start replicas that are down
    Restart(Target),
    /// Stop replicas' processes in their tracks (SIGSTOP)
    Pause(Target),
    /// Let paused replicas go on
    Resume(Target),
    /// Turn a replica malicious: it is started again with an attack
    #[command(
        after_help = "Examples:\n  varangian-testnet attack r3 equivocate\n  varangian-testnet attack r3 'silent@view=2..5+double-vote@p=0.3'\n\n`varangian-testnet attacks` lists them; `heal r3` ends it."
    )]
    Attack(AttackArgs),
    /// Links from and to replicas are as in the profile again; whom `attack` turned is started again as an honest replica
    Heal(Target),
    /// Nothing passes between groups of replicas
    #[command(
        after_help = "Examples:\n  varangian-testnet partition r0,r1 r2,r3\n  varangian-testnet partition r0          # from all others"
    )]
    Partition(PartitionArgs),
    /// Make links slow, lossy or cut
    #[command(
        after_help = "Examples:\n  varangian-testnet shape --from r0 --latency-ms 80 --jitter-ms 10\n  varangian-testnet shape --from primary --to r1,r2 --loss 0.2\n  varangian-testnet shape --cut --from r0 --to r3\n  varangian-testnet shape --like wan-3-regions"
    )]
    Shape(ShapeArgs),
    /// Damage the disk of a replica that is down
    Damage(DamageArgs),
    /// Keep a copy of the disks of replicas that are down
    SaveDisk(Target),
    /// Put that copy back: what was stored since is gone
    RestoreDisk(Target),
    /// What has happened to a network, as text or as a page; of one that has ended too
    #[command(
        after_help = "Examples:\n  varangian-testnet report\n  varangian-testnet report --html page.html\n  varangian-testnet report --json"
    )]
    Report(ReportArgs),
}

/// Whom a control is about.
#[derive(Debug, Args)]
pub struct Target {
    #[command(flatten)]
    network: NetworkArg,
    /// r2, `r0,r2`, primary, down or all
    #[arg(value_parser = who)]
    who: Who,
}

/// Who turns malicious, and how.
#[derive(Debug, Args)]
pub struct AttackArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// r2, `r0,r2`, primary or all
    #[arg(value_parser = who)]
    who: Who,
    /// NAME or NAME@TRIGGER, several joined by `+`
    #[arg(value_parser = attack)]
    attack: String,
}

/// Groups of replicas.
#[derive(Debug, Args)]
pub struct PartitionArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// Each group is `r0,r1`; whoever is in none is in a group with the others
    #[arg(required = true, value_parser = group)]
    groups: Vec<Group>,
}

/// Links, and what they become like.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// From whom
    #[arg(long, value_parser = who, default_value = "all")]
    from: Who,
    /// To whom
    #[arg(long, value_parser = who, default_value = "all")]
    to: Who,
    /// All links as in this profile; nothing else is looked at
    #[arg(long, value_name = "PROFILE")]
    like: Option<String>,
    /// Nothing passes
    #[arg(long)]
    cut: bool,
    /// Delay of each datagram
    #[arg(long, default_value_t = 0.0)]
    latency_ms: f64,
    /// At most so much more of it
    #[arg(long, default_value_t = 0.0)]
    jitter_ms: f64,
    /// How many are lost, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// How many come twice, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    duplicate: f64,
    /// How many overtake others, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    reorder: f64,
    /// In megabits per second
    #[arg(long)]
    bandwidth_mbit: Option<f64>,
    /// What may wait for the bandwidth, in KiB; what finds no room is dropped
    #[arg(long, default_value_t = Shape::PERFECT.queue_kib)]
    queue_kib: u32,
}

/// Whose disk, and how.
#[derive(Debug, Args)]
pub struct DamageArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// r2, `r0,r2` or down
    #[arg(value_parser = who)]
    who: Who,
    /// What becomes of it
    #[arg(value_enum)]
    what: Damage,
}

/// A report as what.
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// Write the page into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Replicas of one side.
type Group = Vec<Replica>;

fn group(text: &str) -> Result<Group, String> {
    text.split(',').map(str::parse).collect()
}

/// Reads `r2`, `2`, `r0,r2`, `primary`, `down`, `all`.
fn who(text: &str) -> Result<Who, String> {
    let nobody = |_| format!("`{text}` is nobody: write r2, r0,r2, primary, down or all");
    Ok(match text {
        "primary" => Who::Group(Whole::Primary),
        "down" => Who::Group(Whole::Down),
        "all" => Who::Group(Whole::All),
        several => Who::Several(group(several).map_err(nobody)?),
    })
}

fn attack(text: &str) -> Result<String, String> {
    Plan::parse(text).map(|plan| plan.to_string()).map_err(|error| error.to_string())
}

impl Control {
    /// What is asked for, of which network.
    fn split(self) -> anyhow::Result<(NetworkDir, Step)> {
        let target = |Target { network, who }: Target, step: fn(Who) -> Step| (network.dir(), step(who));
        Ok(match self {
            Self::Kill(args) => target(args, Step::Kill),
            Self::PowerLoss(args) => target(args, Step::PowerLoss),
            Self::Restart(args) => target(args, Step::Restart),
            Self::Pause(args) => target(args, Step::Pause),
            Self::Resume(args) => target(args, Step::Resume),
            Self::Heal(args) => target(args, Step::Heal),
            Self::SaveDisk(args) => target(args, Step::SaveDisk),
            Self::RestoreDisk(args) => target(args, Step::RestoreDisk),
            Self::Attack(AttackArgs { network, who, attack }) => (network.dir(), Step::Attack(Assault { who, attack })),
            Self::Partition(PartitionArgs { network, groups }) => (network.dir(), Step::Partition(groups)),
            Self::Damage(DamageArgs { network, who, what }) => (network.dir(), Step::Corrupt(Corruption { who, what })),
            Self::Shape(ShapeArgs {
                network,
                from,
                to,
                like,
                cut,
                latency_ms,
                jitter_ms,
                loss,
                duplicate,
                reorder,
                bandwidth_mbit,
                queue_kib,
            }) => {
                let like_that =
                    Shape { latency_ms, jitter_ms, loss, duplicate, reorder, bandwidth_mbit, queue_kib, cut: false };
                let step = match like {
                    Some(profile) => Step::Links(profile),
                    None if cut => Step::Cut(Ways { from, to }),
                    None => Step::Shape(Shaping { from, to, like: like_that }),
                };
                (network.dir(), step)
            }
            Self::Report(_) => bail!("a report is no step"),
        })
    }
}

/// Runs a live control.
///
/// # Errors
/// If no network runs, or it cannot be done.
pub async fn run(control: Control) -> anyhow::Result<ExitCode> {
    if let Control::Report(args) = control {
        return report(args).await;
    }
    let (dir, step) = control.split()?;
    let answer = ask(&dir, &Request::Step(step)).await?;
    answer.happened.iter().for_each(|what| println!("{what}"));
    match answer.error {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(anyhow!(error)),
    }
}

async fn report(ReportArgs { network, html, json }: ReportArgs) -> anyhow::Result<ExitCode> {
    let dir = network.dir();
    let report = match dir.running()? {
        Some(_) => ask(&dir, &Request::Report).await?.report.ok_or_else(|| anyhow!("the supervisor has no report"))?,
        None => Report::read(&dir)?,
    };
    if let Some(file) = html {
        std::fs::write(&file, report.page()).with_context(|| file.display().to_string())?;
        println!("{} is written", file.display());
    } else if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::scenario::format::Group;

    #[test]
    fn people_are_named_as_people_do() {
        assert_eq!(who("primary").unwrap(), Who::Group(Group::Primary));
        assert_eq!(who("2").unwrap(), who("r2").unwrap());
        assert_eq!(who("r0,r2").unwrap().to_string(), "r0, r2");
        assert!(who("nobody").unwrap_err().contains("write r2"));
        assert_eq!(group("r0,r1").unwrap().len(), 2);
        assert!(group("r0;r1").is_err());
    }

    #[test]
    fn steps_are_checked_before_they_are_taken() {
        let refused = |step: Step| step.check(4).unwrap_err().to_string();
        assert!(refused(Step::Wait(-1.0)).contains("seconds from 0 to 600"));
        assert!(refused(Step::Kill(who("r9").unwrap())).contains("there are only 4 replicas"));
        assert!(refused(Step::Partition(vec![group("r0,r4").unwrap()])).contains("r4"));
        assert!(Step::Kill(who("r3").unwrap()).check(4).is_ok());
    }
}
