//! `varangian-testnet up`, `down` and `status`: a network that stays up for a person to use.
//!
//! `up` supervises the replicas in the foreground. The other commands find it by `network.json`; the live controls speak to it, see `control`.

use crate::control::Socket;
use crate::layout::{NetworkDir, process_start};
use crate::links::Links;
use crate::scenario::format::{Replica, profile};
use crate::scenario::show::Show;
use crate::signals::until_told_to_end;
use crate::testnet::Testnet;
use crate::timeline::Watcher;
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use varangian::cli::status::{ask_all, json, table};
use varangian_crypto::{Parameters, Quorums};
use varangian_links::Profile;
use varangian_sim::adversary::Plan;

/// How often `status` asks anew.
const REFRESH: Duration = Duration::from_millis(500);
/// How often `up` looks whether a replica has ended by itself.
const LOOK: Duration = Duration::from_millis(250);
/// Time for `down`.
const DOWN: Duration = Duration::from_secs(60);

/// Where the network is.
#[derive(Clone, Debug, Args)]
pub struct NetworkArg {
    /// The network's directory
    #[arg(long, env = "VARANGIAN_NETWORK", default_value = ".varangian", value_name = "DIR")]
    pub network: PathBuf,
}

impl NetworkArg {
    /// Its paths.
    #[must_use]
    pub fn dir(&self) -> NetworkDir {
        NetworkDir::new(&self.network)
    }
}

/// Starts a network on this machine and keeps it up until Ctrl-C or `down`. An existing one goes on where it was.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian-testnet up\n  varangian-testnet up -n 7 --malicious 6=equivocate --malicious 5=silent\n\nThen, from a second terminal:\n  varangian kv put color blue\n  varangian-testnet status"
)]
pub struct UpArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// Replicas of a new network
    #[arg(short, long, default_value_t = 4)]
    n: u16,
    /// A malicious replica: ID=ATTACK or ID=ATTACK@TRIGGER; `varangian-testnet attacks` lists them
    #[arg(long, value_name = "ID=ATTACK", value_parser = malicious)]
    malicious: Vec<(u16, String)>,
    /// What lies between the replicas: perfect, lan, wan-3-regions, wan-5-continents, lossy, satellite. Left out, they reach each other
    /// directly, and links cannot be cut or shaped
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    links: Option<&'static Profile>,
    /// Decides what is random about the links
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A setting of every replica
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Events as JSON lines
    #[arg(long)]
    json: bool,
}

/// Ends a running network in order.
#[derive(Debug, Args)]
pub struct DownArgs {
    #[command(flatten)]
    network: NetworkArg,
}

/// Shows where each replica stands, live on a terminal.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// Once, then end
    #[arg(long)]
    once: bool,
    /// Once, as a JSON array
    #[arg(long)]
    json: bool,
}

/// Reads `ID=ATTACK`.
///
/// # Errors
/// What is wrong with it.
pub fn malicious(text: &str) -> Result<(u16, String), String> {
    let (id, attack) = text.split_once('=').ok_or("a malicious replica is ID=ATTACK, such as 3=equivocate")?;
    let Replica(id) = id.parse()?;
    let plain = attack.strip_prefix(crate::replica::ON_SIGNAL).unwrap_or(attack);
    Plan::parse(plain).map_err(|error| error.to_string())?;
    Ok((id.0, attack.to_owned()))
}

/// A spinner on a terminal, nothing elsewhere.
#[must_use]
pub fn spinner(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {msg} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.set_message(message.into());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Runs `up`.
///
/// # Errors
/// If the network cannot be made or started.
pub async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let dir = args.network.dir();
    let attacks: BTreeMap<u16, String> = args.malicious.into_iter().collect();
    if !dir.exists() {
        dir.create(args.n, Parameters::default())?;
    }
    let mut net = Testnet::new(dir, &attacks)?;
    for setting in args.set {
        net.set(setting);
    }
    if let Some(profile) = args.links {
        net.link(Links::new(profile, args.seed));
    }
    let quorums = net.genesis().quorums();
    warn_above_f(quorums, attacks.len());
    let ears = Ears::open(net.dir())?;
    let bar = spinner(format!("starting {} replicas", quorums.n()));
    until_told_to_end(net.start()).await?;
    bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::json!({ "event": "ready", "network": net.dir().root(), "replicas": quorums.n() }));
    } else {
        print_ready(&net, &attacks);
    }
    let network = net.network()?;
    let mut show = Show::new(net, &network, ProgressBar::hidden(), args.json, args.seed)?;
    let outcome = supervise(&mut show, ears, args.json).await;
    let stopped = show.net.stop().await;
    outcome.and(stopped)?;
    Ok(ExitCode::SUCCESS)
}

/// More than `f` malicious replicas: safety is lost on purpose, which may be what is wanted.
pub fn warn_above_f(quorums: Quorums, malicious: usize) {
    if malicious > quorums.f() {
        eprintln!(
            "warning: {malicious} malicious replicas of {}, but only {} are tolerated: neither safety nor liveness is promised",
            quorums.n(),
            quorums.f()
        );
    }
}

/// Says how to use a network that is up.
pub fn print_ready(net: &Testnet, attacks: &BTreeMap<u16, String>) {
    let root = net.dir().root().display();
    println!("{} replicas are up and connected to a quorum; their files are in {root}", net.ids().len());
    for (id, attack) in attacks {
        println!("  r{id} is malicious: {attack}");
    }
    let option = if net.dir().root() == std::path::Path::new(".varangian") {
        String::new()
    } else {
        format!(" --network {root}")
    };
    println!(
        "from a second terminal:\n  varangian kv{option} put color blue\n  varangian-testnet status{option}\n  varangian-testnet kill{option} r0"
    );
    println!("Ctrl-C here, or `varangian-testnet down{option}`, ends it; its state stays");
}

/// How a supervisor is reached: by live controls, and by signals to end. There before the network is said to be up: nobody can come too early.
#[derive(Debug)]
pub struct Ears {
    socket: Socket,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Ears {
    /// From here on nothing is missed.
    ///
    /// # Errors
    /// If the control socket cannot be had.
    pub fn open(dir: &NetworkDir) -> anyhow::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { socket: Socket::bind(dir)?, terminate, interrupt })
    }
}

/// Keeps the network up until it is told to end, and does meanwhile what live controls ask for.
///
/// # Errors
/// If nobody can watch it, or there can be no report.
pub async fn supervise(show: &mut Show, ears: Ears, json: bool) -> anyhow::Result<()> {
    let Ears { mut socket, mut terminate, mut interrupt } = ears;
    let watcher = Watcher::start(&show.net.network()?, show.began(), None)?;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // A step may take a minute: whoever wants an end does not wait for it.
            asked = socket.asked() => tokio::select! {
                () = asked.serve(show, &watcher) => {}
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            },
            _ = look.tick() => for (id, status) in show.net.fallen() {
                if json {
                    println!("{}", serde_json::json!({ "event": "fallen", "replica": id.0, "status": status.to_string() }));
                } else {
                    let log = show.net.dir().log(id);
                    show.tell(&format!("{id} has ended by itself: {status}; see {}; `varangian-testnet restart {id}` starts it again", log.display()));
                }
                show.fell(id);
            }
        }
    }
    let report = show.report(watcher.stop().await);
    report.write(show.net.dir())
}

/// Runs `down`.
///
/// # Errors
/// If no network runs, or it does not end.
pub async fn down(args: DownArgs) -> anyhow::Result<ExitCode> {
    let dir = args.network.dir();
    let Some(running) = dir.running()? else {
        bail!("no network runs in {}", dir.root().display());
    };
    let pid = Pid::from_raw(running.supervisor.cast_signed()).ok_or_else(|| anyhow!("no such process"))?;
    kill_process(pid, Signal::TERM).context("ending the supervisor")?;
    let bar = spinner("ending the network");
    let ended = tokio::time::timeout(DOWN, async {
        let mut look = tokio::time::interval(LOOK);
        while process_start(running.supervisor) == Some(running.supervisor_started) {
            look.tick().await;
        }
    });
    let ended = ended.await;
    bar.finish_and_clear();
    ended.map_err(|_| anyhow!("process {} has not ended within {} s", running.supervisor, DOWN.as_secs()))?;
    println!("the network in {} has ended; its state stays", dir.root().display());
    Ok(ExitCode::SUCCESS)
}

/// Runs `status`.
///
/// # Errors
/// If the network's files cannot be read.
pub async fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let network = varangian_client::Network::load(&args.network.network)?;
    let patience = Duration::from_secs(1);
    let live = !args.once && !args.json && std::io::stdout().is_terminal();
    let mut look = tokio::time::interval(REFRESH);
    loop {
        let answers = ask_all(&network, patience).await?;
        if args.json {
            println!("{}", json(&answers));
        } else {
            if live {
                // Clear the screen and go to its top.
                print!("\x1b[2J\x1b[H");
            }
            print!("{}", table(&answers));
        }
        if !live {
            let answered = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
            let enough = answered >= network.committee().quorums().quorum();
            return Ok(if enough { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        println!("\nCtrl-C ends");
        look.tick().await;
    }
}
