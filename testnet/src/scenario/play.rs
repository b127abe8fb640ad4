//! A whole run: a new network, the load, the show, the verdict.
//!
//! - `outcome`: what is said of it; `expected`: what the scenario expects of it besides the three judgements.

mod expected;
mod outcome;

use super::format::{Only, Safety, Scenario, profile};
use super::show::Show;
use crate::judge::{Case, Turn, judge};
use crate::layout::NetworkDir;
use crate::links::Links;
use crate::load::{self, LoadError, Progress};
use crate::memory::high_water_kib;
use crate::replica::ON_SIGNAL;
use crate::signals::until_told_to_end;
use crate::testnet::{Strikes, Testnet};
use crate::timeline::Watcher;
use anyhow::{Context as _, anyhow, bail};
use expected::Seen;
use indicatif::{ProgressBar, ProgressStyle};
use outcome::Left;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use varangian_crypto::{Parameters, ReplicaId};
use varangian_links::Schedule;

pub use outcome::Outcome;

/// Plays a scenario on a new network in `dir`. Gives the network too, its processes stopped. A signal to end ends the processes first.
///
/// # Errors
/// If there can be no verdict: the network does not start, the load breaks down, a store cannot be read, a signal comes.
pub async fn play(scenario: &Scenario, dir: &NetworkDir, quiet: bool) -> anyhow::Result<(Outcome, Testnet)> {
    if scenario.only == Some(Only::Sim) {
        bail!("scenario {} is for the simulator alone: play it with --sim", scenario.name);
    }
    until_told_to_end(play_to_its_end(scenario, dir, quiet)).await
}

async fn play_to_its_end(scenario: &Scenario, dir: &NetworkDir, quiet: bool) -> anyhow::Result<(Outcome, Testnet)> {
    let clean = match scenario.expect.throughput {
        None => None,
        Some(_) => {
            let (outcome, _) = play_one(&scenario.clean(), &dir.beside("clean"), quiet).await?;
            if !outcome.passed {
                bail!("the clean run before it is not as it should be:\n{outcome}");
            }
            Some(outcome.verdict.figures)
        }
    };
    let (mut outcome, net) = play_one(scenario, dir, quiet).await?;
    if let (Some(clean), Some(floor)) = (clean, scenario.expect.throughput) {
        let share = outcome.verdict.figures.rate() / clean.rate();
        outcome.against_clean = Some(share);
        if share < floor {
            outcome.missed.push(format!("at least {:.0} % of the clean run's operations", floor * 100.0));
            outcome.passed = false;
        }
    }
    outcome.report(scenario)?.write(dir)?;
    Ok((outcome, net))
}

/// One run. Without a verdict it leaves a report all the same, which says why there is none.
async fn play_one(scenario: &Scenario, dir: &NetworkDir, quiet: bool) -> anyhow::Result<(Outcome, Testnet)> {
    set_aside(dir)?;
    dir.create(scenario.replicas, Parameters::default())?;
    let mut left = Left::default();
    match play_on(&scenario.drawn()?, dir, quiet, &mut left).await {
        Ok(played) => Ok(played),
        Err(error) => match left.report(scenario, &error)?.write(dir) {
            Ok(()) => Err(error),
            Err(unwritten) => Err(error.context(format!("and no report of it: {unwritten:#}"))),
        },
    }
}

async fn play_on(
    scenario: &Scenario,
    dir: &NetworkDir,
    quiet: bool,
    left: &mut Left,
) -> anyhow::Result<(Outcome, Testnet)> {
    let sleepers = scenario.sleepers();
    let attacks: BTreeMap<u16, String> = scenario
        .attacks
        .iter()
        .map(|(replica, attack)| {
            let waits = if sleepers.contains(replica) { ON_SIGNAL } else { "" };
            (replica.0.0, format!("{waits}{attack}"))
        })
        .collect();
    let mut net = Testnet::new(dir.clone(), &attacks)?;
    if let Some(profile) = scenario.profile()? {
        net.link(Links::new(profile, scenario.seed));
    }
    if !scenario.twins_for.is_empty() {
        net.twin(scenario.twins_for.iter().map(|replica| replica.0).collect())?;
    }
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message(format!("starting {} replicas", scenario.replicas));
    net.start().await?;
    let network = net.network()?;
    let mut show = Show::new(net, &network, bar.clone(), quiet, scenario.seed)?;
    show.tell(&introduction(scenario));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let watcher = Watcher::start(&network, show.began(), Some(acknowledged.clone()))?;

    let journals = dir.root().join("journals");
    let (stop, stopped) = watch::channel(false);
    let plan = scenario.load();
    let keys = load::fresh_keys(plan.clients)?;
    let loading: JoinHandle<Result<load::Report, LoadError>> = tokio::spawn({
        let (bar, journals) = (bar.clone(), journals.clone());
        let tell = move |progress: Progress| {
            acknowledged.store(progress.operations, Relaxed);
            draw(&bar, &progress);
        };
        async move { load::run(&network, keys, &plan, Some(&journals), stopped, tell).await }
    });
    show.tell(&format!("{} clients send signed puts, reads and adds", scenario.load.clients));
    let mut missed = Vec::new();
    // A step that does not come about ends the show, and what was done until then is judged all the same.
    missed.extend(perform(&mut show, scenario).await.err());
    missed.extend(show.end_all().await.err());
    if scenario.timing.is_some() {
        // A run is finite: what the model has held back arrives now.
        missed.extend(become_perfect(&mut show).err());
    }
    stop.send_replace(true);
    let loaded = loading.await.context("the load ended").and_then(|loaded| Ok(loaded?));
    let mut settled = None;
    if loaded.is_ok() && missed.is_empty() && scenario.expect.safety == Safety::Holds {
        show.tell("load over: every outcome that was unknown is known now");
        match show.settle().await {
            Ok(view) => settled = view,
            Err(error) => missed.push(error),
        }
    }
    let timeline = watcher.stop().await;
    let Show { mut net, happened, damaged, turns, .. } = show;
    let timeline = timeline.believing(&net.honest());
    *left = Left { happened: happened.clone(), timeline: timeline.clone() };
    let honest: Vec<_> = net.honest().into_iter().filter(|id| !damaged.contains(id)).collect();
    if scenario.expect.safety == Safety::Holds {
        for id in &honest {
            let said = net.said(*id)?;
            missed.extend(said.borrow().alarms.iter().map(|alarm| anyhow!("{id} raised an alarm: {alarm}")));
        }
    }
    let memory_mib = memory_mib(&net, &honest).unwrap_or_else(|error| {
        missed.push(error);
        None
    });
    // One that does not end in order is killed: it is told, and what is on the disks is judged.
    missed.extend(net.stop().await.err());
    let strikes = net.strikes().await?;
    missed.extend(idle(&strikes).map(|idle| anyhow!(idle)));
    bar.finish_and_clear();
    let report = loaded?;

    let expect = &scenario.expect;
    let case = Case {
        genesis: net.genesis().clone(),
        homes: net.ids().into_iter().map(|id| (id, dir.home(id).root().to_owned(), honest.contains(&id))).collect(),
        journals,
        expect_accused: expect.accused.iter().map(|replica| replica.0).collect(),
        may_accuse: expect.may_be_accused.iter().map(|replica| replica.0).collect(),
        max_gap: if expect.liveness { Duration::from_secs(expect.max_gap) } else { Duration::MAX },
        turns: on_clock(report.began, turns),
        recovers_within: expect.recovers_within.map(Duration::from_secs),
        load: (0, u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX)),
        allow_unresolved: !expect.liveness,
        seed: scenario.seed,
    };
    let (verdict, evidence) = tokio::task::spawn_blocking(move || judge(&case)).await.context("the judge")??;
    fs::write(dir.root().join("evidence.json"), evidence.to_json()?).context("evidence.json")?;
    let seen = Seen {
        verdict: &verdict,
        f: net.genesis().quorums().f(),
        highest_view: timeline.highest_view().max(settled),
        memory_mib,
        behind: report.behind,
    };
    let mut missed: Vec<String> = missed.iter().map(|error| format!("{error:#}")).collect();
    missed.extend(seen.missed(expect));
    let outcome = Outcome {
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        passed: seen.is_as_expected(expect) && missed.is_empty(),
        verdict,
        missed,
        against_clean: None,
        memory_mib,
        strikes,
        happened,
        timeline,
    };
    Ok((outcome, net))
}

/// What begins with the load, and then the steps.
async fn perform(show: &mut Show, scenario: &Scenario) -> anyhow::Result<()> {
    show.know(&scenario.menaces)?;
    for name in scenario.at_once() {
        show.begin(name)?;
    }
    if let Some(timing) = scenario.timing {
        show.net.links()?.follow(Schedule { seed: timing.seed ^ scenario.seed, ..timing })?;
        // That a bound holds from some time on is something that is given back then.
        show.turns.extend(timing.stabilises().map(|after| (Instant::now() + after, Turn::GivenBack)));
        show.tell(&format!("links are {} from here on, with a bound of {} ms", timing.model, timing.bound_ms));
    }
    show.play(&scenario.step).await
}

fn become_perfect(show: &mut Show) -> anyhow::Result<()> {
    show.net.links()?.become_like(profile("perfect")?)
}

/// The most memory that the process of a replica among these which runs ever had resident.
fn memory_mib(net: &Testnet, ids: &[ReplicaId]) -> anyhow::Result<Option<u64>> {
    let pids = ids.iter().filter_map(|id| net.pid(*id));
    let kib = pids.map(high_water_kib).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(kib.into_iter().max().map(|kib| kib.div_ceil(1024)))
}

/// On the journals' clock, in the order of time.
fn on_clock(began: Instant, turns: Vec<(Instant, Turn)>) -> Vec<(u64, Turn)> {
    let ms = |at: Instant| u64::try_from(at.saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX);
    let mut turns: Vec<_> = turns.into_iter().map(|(at, turn)| (ms(at), turn)).collect();
    turns.sort_by_key(|(at, _)| *at);
    turns
}

/// Attacks that never struck: they say nothing about a defence.
pub(super) fn idle(strikes: &Strikes) -> impl Iterator<Item = String> {
    each(strikes)
        .filter(|(.., count)| *count == 0)
        .map(|(id, attack, _)| format!("{id} was to be malicious by {attack}, and did nothing"))
}

/// How often each of the others did.
pub(super) fn struck(strikes: &Strikes) -> impl Iterator<Item = String> {
    each(strikes)
        .filter(|(.., count)| *count > 0)
        .map(|(id, attack, count)| format!("{id} by {attack}: {count} strikes"))
}

fn each(strikes: &Strikes) -> impl Iterator<Item = (ReplicaId, &String, u64)> {
    strikes.iter().flat_map(|(id, attacks)| attacks.iter().map(|(attack, count)| (*id, attack, *count)))
}

fn introduction(scenario: &Scenario) -> String {
    let sleepers = scenario.sleepers();
    let malicious: Vec<String> = scenario
        .attacks
        .iter()
        .map(|(replica, attack)| {
            let when = if sleepers.contains(replica) { " and behaves for now" } else { "" };
            format!("; {} is malicious ({attack}){when}", replica.0)
        })
        .collect();
    let twins = if scenario.twins_for.is_empty() { "" } else { "; r0 runs twice, with one key" };
    let links = scenario.links.as_ref().map(|name| format!(" over {name} links")).unwrap_or_default();
    format!(
        "{} replicas are up: separate processes, QUIC between them{links}, RocksDB under each{}{twins}",
        scenario.replicas,
        malicious.concat()
    )
}

/// An earlier network in the place of this one is kept, once.
fn set_aside(dir: &NetworkDir) -> anyhow::Result<()> {
    if let Some(running) = dir.running()? {
        let root = dir.root().display();
        bail!(
            "a network runs in {root} (process {}); `varangian-testnet down --network {root}` ends it",
            running.supervisor
        );
    }
    if !dir.root().exists() {
        return Ok(());
    }
    if !dir.exists() {
        bail!("{} exists and is no network; name another directory with --network", dir.root().display());
    }
    let previous = dir.beside("previous");
    let place = previous.root();
    if previous.exists() {
        fs::remove_dir_all(place).with_context(|| place.display().to_string())?;
    }
    fs::rename(dir.root(), place).with_context(|| format!("{} is in the way of an earlier network", place.display()))
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    let seconds = progress.elapsed.as_secs_f64().max(0.001);
    bar.set_message(format!(
        "{:5.1} s  {} acknowledged ({:.0}/s)  silent for {:.1} s",
        seconds,
        progress.operations,
        progress.operations as f64 / seconds,
        progress.silence.as_secs_f64()
    ));
}
