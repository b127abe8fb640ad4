//! A whole run: a new network, the load, the show, the verdict.

use super::format::Scenario;
use super::show::{Happening, Show};
use crate::judge::{Case, JudgeError, Verdict, export_evidence, judge};
use crate::layout::NetworkDir;
use crate::links::Links;
use crate::load::{self, LoadError, Progress, Report};
use crate::replica::ON_SIGNAL;
use crate::testnet::Testnet;
use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use varangian_crypto::Parameters;

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// What was judged, from outside.
    pub verdict: Verdict,
    /// The step that did not come about, if one did not.
    pub missed: Option<String>,
    /// What happened, and when.
    pub happened: Vec<Happening>,
}

impl Outcome {
    /// Whether everything was as it should be.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.missed.is_none() && self.verdict.passed()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict)?;
        if let Some(missed) = &self.missed {
            writeln!(f, "NOT PLAYED TO ITS END: {missed}")?;
        }
        write!(f, "seed {}", self.seed)
    }
}

/// Plays a scenario on a new network in `dir`. Gives the network too, its processes stopped.
///
/// # Errors
/// If there can be no verdict: the network does not start, the load breaks down, a store cannot be read.
pub async fn play(scenario: &Scenario, dir: &NetworkDir, quiet: bool) -> anyhow::Result<(Outcome, Testnet)> {
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
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message(format!("starting {} replicas", scenario.replicas));
    net.start().await?;
    let network = net.network()?;
    let mut show = Show::new(net, network.clone(), bar.clone(), quiet, scenario.seed);
    show.tell(&introduction(scenario));

    let journals = dir.root().join("journals");
    let (stop, stopped) = watch::channel(false);
    let plan = scenario.load();
    let keys = load::fresh_keys(plan.clients)?;
    let loading: JoinHandle<Result<Report, LoadError>> = tokio::spawn({
        let (bar, journals) = (bar.clone(), journals.clone());
        async move { load::run(&network, keys, &plan, Some(&journals), stopped, |progress| draw(&bar, &progress)).await }
    });
    show.tell(&format!("{} clients send signed puts, reads and adds", scenario.load.clients));
    let played = show.play(&scenario.step).await;
    stop.send_replace(true);
    let report = loading.await.context("the load ended")??;
    // A step that does not come about ends the show, and what was done until then is judged all the same.
    let played = match played {
        Ok(()) => {
            show.tell("load over: every outcome that was unknown is known now");
            show.settle().await
        }
        missed => missed,
    };
    let Show { mut net, happened, .. } = show;
    // One that does not end in order is killed: it is told, and what is on the disks is judged.
    let played = played.and(net.stop().await);
    bar.finish_and_clear();

    let honest = net.honest();
    let case = Case {
        genesis: net.genesis().clone(),
        homes: net.ids().into_iter().map(|id| (id, dir.home(id).root().to_owned(), honest.contains(&id))).collect(),
        journals,
        expect_accused: scenario.expect.accused.iter().map(|replica| replica.0).collect(),
        may_accuse: scenario.expect.may_be_accused.iter().map(|replica| replica.0).collect(),
        max_gap: Duration::from_secs(scenario.expect.max_gap),
        load: (0, u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX)),
        seed: scenario.seed,
        allow_unresolved: false,
    };
    let judging = move || Ok::<_, JudgeError>((judge(&case)?, export_evidence(&case.homes, &case.genesis)?));
    let (verdict, evidence) = tokio::task::spawn_blocking(judging).await.context("the judge")??;
    fs::write(dir.root().join("evidence.json"), evidence.to_json()?).context("evidence.json")?;
    let missed = played.err().map(|error| format!("{error:#}"));
    Ok((Outcome { scenario: scenario.name.clone(), seed: scenario.seed, verdict, missed, happened }, net))
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
    let links = scenario.links.as_ref().map(|name| format!(" over {name} links")).unwrap_or_default();
    format!(
        "{} replicas are up: separate processes, QUIC between them{links}, RocksDB under each{}",
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
    let previous = dir.root().with_extension("previous");
    if previous.exists() {
        fs::remove_dir_all(&previous).with_context(|| previous.display().to_string())?;
    }
    fs::rename(dir.root(), &previous).with_context(|| previous.display().to_string())
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
