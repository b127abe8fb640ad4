//! `sim scoreboard`: the figures of the simulator on one page, as `docs/scoreboard.md` has them.

use crate::adversary::{ATTACKS, Kind};
use crate::campaign::Campaign;
use crate::scoreboard::{Score, plans};
use crate::world::{Plan, Probe, Run, run as run_plan};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// A campaign, every attack against the same runs without it, and the bugs on purpose if this build has them. Markdown.
#[derive(Args, Clone, Debug)]
pub struct ScoreboardArgs {
    /// Seeds of the campaign.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub seeds: u64,
    /// Runs of each attack.
    #[arg(long, default_value_t = 60, value_name = "K")]
    pub runs: u64,
    /// Threads; all cores by default.
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
}

/// Runs it. Fails if anything did not hold.
#[must_use]
pub fn run(arguments: &ScoreboardArgs) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1);
    let bar = ProgressBar::new(arguments.seeds + arguments.runs * ATTACKS.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message("campaign");
    let campaign = campaign(arguments.seeds, jobs, &bar);
    let mut scores = Vec::new();
    for kind in &ATTACKS {
        bar.set_message(kind.name);
        scores.push((kind, score(kind, arguments.runs, jobs, &bar)));
    }
    bar.finish_and_clear();
    print_campaign(&campaign);
    print_storage(&campaign);
    print_attacks(&scores);
    #[cfg(feature = "seeded-bugs")]
    let seen = super::sensitivity::print_markdown(jobs);
    #[cfg(not(feature = "seeded-bugs"))]
    let seen = true;
    let held = scores.iter().all(|(_, score)| score.unsafe_runs + score.stalled == 0);
    if campaign.holds() && held && seen { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Calls `one` with 0, 1, 2 ... below `count` on all threads, and merges what they come to.
fn on_all<T: Send>(
    count: u64,
    jobs: usize,
    merge: impl Fn(&mut T, T) + Sync,
    one: impl Fn(u64) -> T + Sync,
) -> Option<T> {
    let next = AtomicU64::new(0);
    let total: Mutex<Option<T>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Relaxed);
                    if place >= count {
                        break;
                    }
                    let part = one(place);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match total.as_mut() {
                        Some(total) => merge(total, part),
                        None => *total = Some(part),
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn campaign(seeds: u64, jobs: usize, bar: &ProgressBar) -> Campaign {
    let one = |seed| {
        let mut campaign = Campaign::default();
        campaign.add(seed, &run_plan(&Plan::draw(seed), Run::default()));
        bar.inc(1);
        campaign
    };
    on_all(seeds, jobs, Campaign::merge, one).unwrap_or_default()
}

fn score(kind: &Kind, runs: u64, jobs: usize, bar: &ProgressBar) -> Score {
    let pairs: Vec<_> = (0..).filter_map(|seed| plans(seed, kind)).take(usize::try_from(runs).unwrap_or(0)).collect();
    let one = |place: u64| {
        let mut score = Score::default();
        if let Some((plan, clean)) = usize::try_from(place).ok().and_then(|place| pairs.get(place)) {
            score.add(plan, &run_plan(plan, Run::default()), &run_plan(clean, Run::default()));
        }
        bar.inc(1);
        score
    };
    on_all(runs, jobs, |total: &mut Score, part| total.merge(&part), one).unwrap_or_default()
}

fn print_campaign(campaign: &Campaign) {
    println!("## Campaign\n\n| | |\n|-|-|");
    println!("| seeds | {} |", campaign.seeds);
    println!("| distinct event hashes | {} |", campaign.hashes.len());
    println!("| simulated hours | {} |", tenths(campaign.time, 3_600_000_000));
    println!("| inputs of cores | {} |", campaign.steps);
    println!("| slots agreed on | {} |", campaign.slots);
    println!("| commands acknowledged | {} |", campaign.acknowledged);
    println!("| crashes | {} |", campaign.crashes);
    println!("| rare states met | {} of {} |", Probe::ALL.len() - campaign.missed().len(), Probe::ALL.len());
    println!(
        "| runs in which an invariant did not hold | {} |\n",
        among(campaign.violations.len() as u64, campaign.seeds)
    );
}

fn print_storage(campaign: &Campaign) {
    println!("## Storage\n\n| | times |\n|-|-|");
    for probe in [
        Probe::CrashBetweenPersistAndSend,
        Probe::CrashBetweenSyncAndMark,
        Probe::CommitLandedUnheard,
        Probe::CommitLost,
        Probe::LostTail,
        Probe::TornTail,
        Probe::PowerLossOfAll,
        Probe::StartRefused,
    ] {
        println!("| {} | {} |", probe.text(), campaign.probes.of(probe));
    }
    println!();
}

fn print_attacks(scores: &[(&Kind, Score)]) {
    println!("## Attacks\n");
    println!(
        "Each run beside the same one in which the attack never strikes. *Effective*: it went otherwise. *Wait*: what clients waited for"
    );
    println!(
        "answers, faults included, against the other run. *Recovery*: the longest time from the end of faults until all was answered and at rest.\n"
    );
    println!("| attack | rows | runs | effective | unsafe | stalled | acknowledged | lost | wait | recovery |");
    println!("|-|-|-|-|-|-|-|-|-|-|");
    for (kind, score) in scores {
        let rows: Vec<_> = kind.rows.iter().map(ToString::to_string).collect();
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} % | {} s |",
            kind.name,
            rows.join(", "),
            score.runs,
            score.effective,
            score.unsafe_runs,
            score.stalled,
            score.acknowledged,
            score.lost,
            score.wait_percent(),
            tenths(score.recovery, 1_000_000)
        );
    }
    let all = scores.iter().fold(Score::default(), |mut all, (_, score)| {
        all.merge(score);
        all
    });
    println!("\nUnsafe or stalled, all attacks together: {}.\n", among(all.unsafe_runs + all.stalled, all.runs));
}

/// None among many is not never: the rule of three.
fn among(count: u64, all: u64) -> String {
    if count > 0 || all == 0 {
        return format!("{count} of {all}");
    }
    let millionths = 3_000_000 / all;
    format!("0 of {all}: at most {}.{:04} % at 95 % confidence", millionths / 10_000, millionths % 10_000)
}

fn tenths(value: u64, unit: u64) -> String {
    let tenths = value.saturating_mul(10) / unit;
    format!("{}.{}", tenths / 10, tenths % 10)
}
