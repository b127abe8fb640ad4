//! `varangian-testnet demo`: signed commands through real replicas, one of them malicious, with a verdict that can say no.
//!
//! 1. Four replicas start; the last is malicious, and behaves until step 5.
//! 2. Concurrent signed clients load them: puts, and adds that would show any double execution.
//! 3. The primary is killed (SIGKILL) in mid-load; the others go on; it is restarted and catches up.
//! 4. Primaries are paused in turn, so that the views move on until the malicious one leads.
//! 5. It attacks: equivocates whenever it is primary. The others prove it and move on.
//! 6. The load ends; unknown outcomes are resolved by sending the same bytes again; everybody stops.
//! 7. The verdict, from outside: by the replicas' stores and the clients' journals.
//!
//! At no moment are more than `f` replicas faulty: each is well again before the next one falls.

use crate::judge::{Case, judge};
use crate::layout::NetworkDir;
use crate::load::operations::Mix;
use crate::load::{self, Load, Progress, Report};
use crate::replica::ON_SIGNAL;
use crate::testnet::Testnet;
use crate::up::{self, NetworkArg};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};
use varangian::cli::status::ask_all;
use varangian_client::Network;
use varangian_client::protocol::ReplicaStatus;
use varangian_crypto::{Parameters, ReplicaId};

/// Between two looks at where the replicas stand.
const LOOK: Duration = Duration::from_millis(50);
/// For one replica's answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// For each step to come about.
const STEP: Duration = Duration::from_secs(60);

/// Shows it all: load, a killed primary, an attack, a verdict. Exit code 0 only if safety, liveness and evidence are as they must be.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian-testnet demo\n  varangian-testnet demo --calm 10 --json\n  varangian-testnet demo --keep        # leaves the network up\n\nThe network's files are left behind; an earlier demo's network is kept as DIR.previous."
)]
pub struct DemoArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// Concurrent clients
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Seconds of undisturbed load before, between and after the faults
    #[arg(long, default_value_t = 3)]
    calm: u64,
    /// Longest time without an acknowledgement, in seconds
    #[arg(long, default_value_t = 10)]
    max_gap: u64,
    /// Seed of the load
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// After the verdict, start the network again and leave it up
    #[arg(long)]
    keep: bool,
    /// The verdict as JSON
    #[arg(long)]
    json: bool,
}

/// The show and what it needs.
struct Show {
    net: Testnet,
    network: Network,
    bar: ProgressBar,
    began: Instant,
    calm: Duration,
    quiet: bool,
    /// Whether the malicious replica was told to attack.
    attacked: bool,
}

/// Runs it.
///
/// # Errors
/// If a step does not come about, after the verdict on what was done until then. A verdict that says no is no error but an exit code.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let dir = args.network.dir();
    set_aside(&dir)?;
    dir.create(4, Parameters::default())?;
    let villain = ReplicaId(3);
    let attacks = BTreeMap::from([(villain.0, format!("{ON_SIGNAL}equivocate"))]);
    let mut net = Testnet::new(dir.clone(), &attacks)?;
    let began = Instant::now();
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("starting 4 replicas");
    net.start().await?;
    let network = net.network()?;
    let calm = Duration::from_secs(args.calm);
    let mut show = Show { net, network, bar, began, calm, quiet: args.json, attacked: false };
    show.tell("4 replicas are up: separate processes, QUIC between them, RocksDB under each; r3 is malicious and behaves for now");

    let journals = dir.root().join("journals");
    let (stop, stopped) = watch::channel(false);
    let plan = Load {
        clients: args.clients,
        in_flight: 8,
        bundle: 1,
        value_bytes: 128,
        mix: Mix { add_percent: 40, ..Mix::default() },
        seed: args.seed,
        resolve_deadline: Duration::from_secs(30),
        ..Load::default()
    };
    let keys = load::fresh_keys(args.clients)?;
    let loading: JoinHandle<Result<Report, load::LoadError>> = tokio::spawn({
        let (network, bar, journals) = (show.network.clone(), show.bar.clone(), journals.clone());
        async move { load::run(&network, keys, &plan, Some(&journals), stopped, |progress| draw(&bar, &progress)).await }
    });
    show.tell(&format!("{} clients send signed puts and adds", args.clients));
    let played = show.play(villain).await;
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
    show.net.stop().await?;
    show.bar.finish_and_clear();

    let homes = show.net.ids().into_iter().map(|id| (id, dir.home(id).root().to_owned(), id != villain)).collect();
    let case = Case {
        genesis: show.net.genesis().clone(),
        homes,
        journals,
        expect_accused: BTreeSet::from_iter(show.attacked.then_some(villain)),
        max_gap: Duration::from_secs(args.max_gap),
        load: (0, u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX)),
        allow_unresolved: false,
    };
    let verdict = tokio::task::spawn_blocking(move || judge(&case)).await.context("the judge")??;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdict)?);
    } else {
        println!("\n{verdict}");
        println!("seed {}", args.seed);
    }
    played?;
    let code = if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.keep {
        show.net.start().await?;
        up::print_ready(&show.net, &attacks);
        let supervised = up::supervise(&mut show.net, false).await;
        show.net.stop().await?;
        supervised?;
    }
    Ok(code)
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

impl Show {
    /// Steps 2 to 5.
    async fn play(&mut self, villain: ReplicaId) -> anyhow::Result<()> {
        let n = u64::try_from(self.net.ids().len())?;
        sleep(self.calm).await;

        let view = self.view().await?;
        let first = self.primary(view);
        self.net.kill(first).await?;
        self.tell(&format!("{first}, primary of view {view}, is killed in mid-load"));
        let mut view = self.reach_view(view + 1, &[first]).await?;
        self.tell(&format!("view {view}: {} leads", self.primary(view)));
        sleep(self.calm).await;
        self.net.restart(first).await?;
        self.caught_up(first).await?;
        self.tell(&format!("{first} is restarted from its disk and has caught up"));

        while self.primary(view) != villain {
            let primary = self.primary(view);
            self.net.pause(primary)?;
            view = self.reach_view(view + 1, &[primary]).await?;
            self.net.resume(primary)?;
            self.caught_up(primary).await?;
            self.tell(&format!("{primary} was paused and goes on; view {view}: {} leads", self.primary(view)));
            if view > 16 * n {
                bail!("the views move past {villain} every time");
            }
        }
        sleep(self.calm).await;
        self.net.signal(villain, Signal::USR1)?;
        self.attacked = true;
        self.tell(&format!(
            "{villain} leads and attacks: it tells half of the backups one batch and the other half another"
        ));
        view = self.reach_view(view + 1, &[villain]).await?;
        self.tell(&format!("view {view}: {} leads; the load goes on", self.primary(view)));
        sleep(self.calm).await;
        Ok(())
    }

    /// All honest replicas have executed the same.
    async fn settle(&self) -> anyhow::Result<()> {
        let honest = self.net.honest();
        self.until("the honest replicas have executed the same", |rows| {
            let executed: Vec<u64> =
                rows.iter().filter(|row| honest.contains(&ReplicaId(row.replica))).map(|row| row.executed).collect();
            executed.len() == honest.len() && executed.windows(2).all(|pair| pair[0] == pair[1])
        })
        .await?;
        Ok(())
    }

    /// The view that a quorum is active in.
    async fn view(&self) -> anyhow::Result<u64> {
        self.reach_view(0, &[]).await
    }

    /// Waits until a quorum of replicas, `without` some, is active in one view that is at least `least`.
    async fn reach_view(&self, least: u64, without: &[ReplicaId]) -> anyhow::Result<u64> {
        let quorum = self.net.genesis().quorums().quorum();
        let agreed = |rows: &[ReplicaStatus]| {
            let mut views: BTreeMap<u64, usize> = BTreeMap::new();
            for row in rows.iter().filter(|row| row.active && !without.contains(&ReplicaId(row.replica))) {
                *views.entry(row.view).or_default() += 1;
            }
            views.into_iter().rev().find(|(view, count)| *view >= least && *count >= quorum).map(|(view, _)| view)
        };
        let rows =
            self.until(&format!("a quorum is in view {least} or a later one"), |rows| agreed(rows).is_some()).await?;
        agreed(&rows).ok_or_else(|| anyhow!("the views changed meanwhile"))
    }

    /// Waits until a replica has executed what the others had when it was asked first.
    async fn caught_up(&self, id: ReplicaId) -> anyhow::Result<()> {
        let rows = self.until("replicas answer", |rows| !rows.is_empty()).await?;
        let goal = rows.iter().map(|row| row.executed).max().unwrap_or(0);
        self.until(&format!("{id} has caught up to slot {goal}"), |rows| {
            rows.iter().any(|row| row.replica == id.0 && row.executed >= goal && !row.behind && row.active)
        })
        .await?;
        Ok(())
    }

    /// Asks all replicas again and again until their answers suffice.
    async fn until(&self, what: &str, enough: impl Fn(&[ReplicaStatus]) -> bool) -> anyhow::Result<Vec<ReplicaStatus>> {
        let waiting = async {
            let mut look = interval(LOOK);
            loop {
                let answers = ask_all(&self.network, PATIENCE).await?;
                let rows: Vec<ReplicaStatus> = answers.into_iter().filter_map(|(_, answer)| answer.ok()).collect();
                if enough(&rows) {
                    return Ok(rows);
                }
                look.tick().await;
            }
        };
        match timeout(STEP, waiting).await {
            Ok(rows) => rows,
            Err(_) => bail!(
                "{} s have passed and it is still not so that {what}; logs are in {}",
                STEP.as_secs(),
                self.net.dir().root().display()
            ),
        }
    }

    fn primary(&self, view: u64) -> ReplicaId {
        self.net.genesis().quorums().primary(view)
    }

    fn tell(&self, what: &str) {
        let line = format!("[{:5.1} s] {what}", self.began.elapsed().as_secs_f64());
        if self.quiet {
            eprintln!("{line}");
        } else {
            self.bar.suspend(|| println!("{line}"));
        }
    }
}
