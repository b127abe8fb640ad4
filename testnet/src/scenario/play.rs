//! A whole run: a new network, the load, the show, the verdict.

use super::format::{Only, Safety, Scenario, profile};
use super::show::Show;
use crate::judge::{Case, Verdict, judge};
use crate::layout::NetworkDir;
use crate::links::Links;
use crate::load::{self, LoadError, Progress};
use crate::replica::ON_SIGNAL;
use crate::report::{Happening, Report};
use crate::signals::until_told_to_end;
use crate::testnet::{Strikes, Testnet};
use crate::timeline::{Timeline, Watcher};
use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use varangian_crypto::{Parameters, ReplicaId};
use varangian_links::Schedule;

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Whether everything was as the scenario expects.
    pub passed: bool,
    /// What was judged, from outside.
    pub verdict: Verdict,
    /// What the scenario expects besides, and did not come about.
    pub missed: Vec<String>,
    /// Acknowledged operations per second over those of the clean run, where the scenario asks for that.
    pub against_clean: Option<f64>,
    /// How often each attack did what an honest replica would not; of a replica that was killed, as far as it came to tell.
    pub strikes: Strikes,
    /// What happened, and when.
    pub happened: Vec<Happening>,
    /// What was seen over time. In the report alone: it is long.
    #[serde(skip)]
    pub timeline: Timeline,
}

impl Outcome {
    /// As a report.
    ///
    /// # Errors
    /// If the scenario cannot be written down.
    pub fn report(&self, scenario: &Scenario) -> Result<Report, toml::ser::Error> {
        let verdict = &self.verdict;
        let mut remarks = vec![verdict.figures.to_string()];
        remarks.extend(struck(&self.strikes));
        remarks.extend(self.against_clean.map(|share| format!("{:.0} % of the clean run's operations", share * 100.0)));
        remarks.extend(self.missed.iter().map(|missed| format!("NOT AS EXPECTED: {missed}")));
        Ok(Report {
            title: self.scenario.clone(),
            about: scenario.about.clone(),
            seed: Some(self.seed),
            passed: Some(self.passed),
            judgements: verdict.judgements(),
            remarks,
            happened: self.happened.clone(),
            timeline: self.timeline.clone(),
            file: Some(toml::to_string(scenario)?),
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict)?;
        if let Some(share) = self.against_clean {
            writeln!(f, "{:.0} % of the clean run's operations", share * 100.0)?;
        }
        struck(&self.strikes).try_for_each(|struck| writeln!(f, "{struck}"))?;
        for missed in &self.missed {
            writeln!(f, "NOT AS EXPECTED: {missed}")?;
        }
        write!(f, "{}, seed {}", if self.passed { "as expected" } else { "FAIL" }, self.seed)
    }
}

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

async fn play_one(scenario: &Scenario, dir: &NetworkDir, quiet: bool) -> anyhow::Result<(Outcome, Testnet)> {
    set_aside(dir)?;
    dir.create(scenario.replicas, Parameters::default())?;
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
    let mut show = Show::new(net, network.clone(), bar.clone(), quiet, scenario.seed);
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
    show.know(&scenario.menaces)?;
    for name in scenario.at_once() {
        show.begin(name)?;
    }
    if let Some(timing) = scenario.timing {
        show.net.links()?.follow(Schedule { seed: timing.seed ^ scenario.seed, ..timing })?;
        show.tell(&format!("links are {} from here on, with a bound of {} ms", timing.model, timing.bound_ms));
    }
    let mut missed = Vec::new();
    // A step that does not come about ends the show, and what was done until then is judged all the same.
    missed.extend(show.play(&scenario.step).await.err());
    missed.extend(show.end_all().await.err());
    if scenario.timing.is_some() {
        // A run is finite: what the model has held back arrives now.
        show.net.links()?.become_like(profile("perfect")?)?;
    }
    stop.send_replace(true);
    let report = loading.await.context("the load ended")??;
    let mut settled = None;
    if missed.is_empty() && scenario.expect.safety == Safety::Holds {
        show.tell("load over: every outcome that was unknown is known now");
        match show.settle().await {
            Ok(view) => settled = view,
            Err(error) => missed.push(error),
        }
    }
    let timeline = watcher.stop().await;
    let Show { mut net, happened, damaged, .. } = show;
    let honest: Vec<_> = net.honest().into_iter().filter(|id| !damaged.contains(id)).collect();
    if scenario.expect.safety == Safety::Holds {
        for id in &honest {
            let said = net.said(*id)?;
            missed.extend(said.borrow().alarms.iter().map(|alarm| anyhow!("{id} raised an alarm: {alarm}")));
        }
    }
    // One that does not end in order is killed: it is told, and what is on the disks is judged.
    missed.extend(net.stop().await.err());
    let strikes = net.strikes().await?;
    missed.extend(idle(&strikes).map(|idle| anyhow!(idle)));
    bar.finish_and_clear();

    let expect = &scenario.expect;
    let case = Case {
        genesis: net.genesis().clone(),
        homes: net.ids().into_iter().map(|id| (id, dir.home(id).root().to_owned(), honest.contains(&id))).collect(),
        journals,
        expect_accused: expect.accused.iter().map(|replica| replica.0).collect(),
        may_accuse: expect.may_be_accused.iter().map(|replica| replica.0).collect(),
        max_gap: if expect.liveness { Duration::from_secs(expect.max_gap) } else { Duration::MAX },
        load: (0, u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX)),
        allow_unresolved: !expect.liveness,
        seed: scenario.seed,
    };
    let (verdict, evidence) = tokio::task::spawn_blocking(move || judge(&case)).await.context("the judge")??;
    fs::write(dir.root().join("evidence.json"), evidence.to_json()?).context("evidence.json")?;
    let mut missed: Vec<String> = missed.iter().map(|error| format!("{error:#}")).collect();
    let as_expected = match expect.safety {
        Safety::Holds => verdict.passed(),
        Safety::Broken => {
            let culprits = verdict.evidence.culprits().len();
            if verdict.evidence.fork.is_none() {
                missed.push("safety broken: the honest agree".into());
            }
            if culprits <= net.genesis().quorums().f() {
                missed.push(format!("more than f proved faulty: {culprits} are"));
            }
            verdict.evidence.findings.is_empty()
        }
    };
    if let Some(most) = expect.view_changes {
        match timeline.highest_view().max(settled) {
            None => missed.push(format!("at most {most} view changes: no replica ever said which view it is in")),
            Some(view) if view > most => {
                missed.push(format!("at most {most} view changes: a replica has come to view {view}"));
            }
            Some(_) => {}
        }
    }
    let outcome = Outcome {
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        passed: as_expected && missed.is_empty(),
        verdict,
        missed,
        against_clean: None,
        strikes,
        happened,
        timeline,
    };
    Ok((outcome, net))
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
