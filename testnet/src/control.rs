//! The live controls of a running network: the steps of a scenario, taken one at a time while it runs.
//!
//! Whoever supervises the network listens on a socket beside its files. A request is one line of JSON, `{"step": {"kill": "r0"}}` or `"report"`; so is the answer.

use crate::damage::Damage;
use crate::layout::NetworkDir;
use crate::report::Report;
use crate::scenario::format::{Assault, Corruption, Group as Whole, Replica, Shaping, Step, Ways, Who};
use crate::scenario::show::Show;
use crate::timeline::Watcher;
use crate::up::NetworkArg;
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use varangian_links::Shape;
use varangian_sim::adversary::Plan;

/// For a request to be written, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request at most.
const LONGEST_REQUEST: u64 = 64 << 10;

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

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Step(Step),
    Report,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    /// What came about.
    happened: Vec<String>,
    error: Option<String>,
    report: Option<Report>,
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

/// The socket of a network that is being supervised. Dropped, it is gone.
#[derive(Debug)]
pub struct Socket {
    asked: mpsc::Receiver<Asked>,
    path: PathBuf,
    _listening: JoinSet<()>,
}

/// Somebody who wants something, and waits for the answer.
#[derive(Debug)]
pub struct Asked {
    request: Request,
    stream: UnixStream,
}

fn path(dir: &NetworkDir) -> PathBuf {
    dir.root().join("control.sock")
}

impl Socket {
    /// Begins to listen.
    ///
    /// # Errors
    /// If there can be no socket.
    pub fn bind(dir: &NetworkDir) -> anyhow::Result<Self> {
        let path = path(dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("an old control socket");
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
        let (ask, asked) = mpsc::channel(1);
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, ask));
        Ok(Self { asked, path, _listening: listening })
    }

    /// The next one who wants something. May be cancelled.
    pub async fn asked(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            // The listener has ended and has said why: nobody can ask any more, and the network goes on.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket is gone already");
        }
    }
}

/// Hears each who connects by itself: one that says nothing holds up nobody.
async fn listen(listener: UnixListener, ask: mpsc::Sender<Asked>) {
    let mut hearing = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let ask = ask.clone();
                    hearing.spawn(async move {
                        if let Err(error) = hear(stream, ask).await {
                            eprintln!("a control command was not understood: {error:#}");
                        }
                    });
                }
                Err(error) => return eprintln!("live control has ended: {error}"),
            },
            Some(heard) = hearing.join_next() => {
                if let Err(error) = heard {
                    eprintln!("a control command was not heard: {error}");
                }
            }
        }
    }
}

/// Reads one request and hands it on; says what is wrong with it otherwise.
async fn hear(mut stream: UnixStream, ask: mpsc::Sender<Asked>) -> anyhow::Result<()> {
    let mut line = String::new();
    let mut bounded = BufReader::new(&mut stream).take(LONGEST_REQUEST);
    timeout(PATIENCE, bounded.read_line(&mut line)).await.context("nothing is asked for")??;
    match serde_json::from_str(&line) {
        Ok(request) => ask.send(Asked { request, stream }).await.map_err(|_| anyhow!("the network has ended")),
        Err(error) => {
            let error = Some(format!("this is no request: {error}"));
            answer(&mut stream, &Answer { error, ..Answer::default() }).await
        }
    }
}

async fn answer(stream: &mut UnixStream, answer: &Answer) -> anyhow::Result<()> {
    let mut text = serde_json::to_string(answer)?;
    text.push('\n');
    timeout(PATIENCE, stream.write_all(text.as_bytes())).await.context("nobody takes the answer")??;
    Ok(())
}

impl Asked {
    /// Does what is asked for. One who goes away meanwhile is told of in the supervisor's terminal.
    pub async fn serve(mut self, show: &mut Show, watcher: &Watcher) {
        let mut said = Answer::default();
        match self.request {
            Request::Report => said.report = Some(show.report(watcher.seen())),
            Request::Step(step) => {
                let before = show.happened.len();
                let replicas = show.net.genesis().quorums().n();
                let done = match step.check(u16::try_from(replicas).unwrap_or(u16::MAX)) {
                    Ok(()) => show.take(&step).await,
                    Err(error) => Err(error.into()),
                };
                said.error = done.err().map(|error| format!("{error:#}"));
                said.happened = show.happened.iter().skip(before).map(|happening| happening.what.clone()).collect();
            }
        }
        if let Err(error) = answer(&mut self.stream, &said).await {
            eprintln!("a control command is not answered: {error:#}");
        }
    }
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
            }) => {
                let like_that =
                    Shape { latency_ms, jitter_ms, loss, duplicate, reorder, bandwidth_mbit, ..Shape::PERFECT };
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

async fn ask(dir: &NetworkDir, request: &Request) -> anyhow::Result<Answer> {
    if dir.running()?.is_none() {
        bail!("no network runs in {}; start one with `varangian-testnet up`", dir.root().display());
    }
    let path = path(dir);
    let mut stream = UnixStream::connect(&path).await.with_context(|| {
        format!("{}: the network there is not under live control: `up` and `demo --keep` put one there", path.display())
    })?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    serde_json::from_str(&line).context("the supervisor has ended")
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

    /// One that says nothing, one that says nonsense, and one that wants something: each gets what is due to it, in whatever order they came.
    #[tokio::test]
    async fn nobody_is_held_up_by_somebody_silent() {
        let files = tempfile::tempdir().unwrap();
        let dir = NetworkDir::new(files.path());
        let mut socket = Socket::bind(&dir).unwrap();
        let connect = || UnixStream::connect(path(&dir));
        let _silent = connect().await.unwrap();
        let mut nonsense = connect().await.unwrap();
        nonsense.write_all(b"{\"step\": \"dance\"}\n").await.unwrap();
        let mut line = String::new();
        BufReader::new(&mut nonsense).read_line(&mut line).await.unwrap();
        let said: Answer = serde_json::from_str(&line).unwrap();
        assert!(said.error.unwrap().contains("this is no request"), "{line}");
        let mut report = connect().await.unwrap();
        report.write_all(b"\"report\"\n").await.unwrap();
        assert!(matches!(socket.asked().await.request, Request::Report));
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
