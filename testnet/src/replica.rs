//! `varangian-testnet replica`: a replica that misbehaves on purpose, as a process of its own.
//!
//! It is the production process with an adversary between the core and its shell, and a [`clerk`] between it and its clients. With `--on-signal` it is
//! honest until SIGUSR1. On its standard output it tells, beside what every replica tells, how often it struck: at the first strike, then from time to
//! time.

mod clerk;

use crate::said::Line;
use clap::Args;
use clerk::FalseClerk;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use varangian::cli::start::{StartArgs, prepare, report};
use varangian::desk::Desk;
use varangian::event::Events;
use varangian::home::Member;
use varangian::process;
use varangian::shell::Shell;
use varangian_consensus::{Alarm, Delivery, Evidence, Execution, Identity, Message, Millis, Record, Slot, Timer, Vote};
use varangian_crypto::{Committee, Digest, ReplicaId, Signer};
use varangian_runner::{Io, Token};
use varangian_sim::adversary::{Adversary, Plan, Strikes};

/// Runs one malicious replica.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian-testnet replica --home .varangian/r3 --attack equivocate\n  varangian-testnet replica --home .varangian/r3 --attack 'silent@view=2..5'\n\n`varangian-testnet attacks` lists the attacks."
)]
pub struct ReplicaArgs {
    #[command(flatten)]
    start: StartArgs,
    /// What it does: NAME or NAME@TRIGGER, several joined by `+`; with a leading `signal:` it is honest until SIGUSR1
    #[arg(long)]
    attack: String,
}

/// How a command line says that the attack waits for SIGUSR1.
pub const ON_SIGNAL: &str = "signal:";

/// Between two lines about strikes, unless another attack strikes for the first time.
const QUIET: Duration = Duration::from_millis(500);

/// An honest replica's shell that turns on a signal.
struct Turncoat {
    inner: Adversary<Shell>,
    clerk: Arc<FalseClerk>,
    waiting: Option<(Plan, Signer, Committee)>,
    called: Arc<AtomicBool>,
    tally: Tally,
    json: bool,
}

/// What was told of each attack, and when.
#[derive(Default)]
struct Tally {
    attacks: Vec<String>,
    told: Vec<u64>,
    at: Option<Instant>,
}

impl Tally {
    /// Of these attacks nothing was told yet.
    fn of(plan: &Plan) -> Self {
        let attacks: Vec<String> = plan.attacks().iter().map(ToString::to_string).collect();
        Self { told: vec![0; attacks.len()], attacks, at: None }
    }

    /// What is to be told now, if anything is.
    fn news(&mut self, counts: Vec<u64>) -> Option<BTreeMap<String, u64>> {
        let first = counts.iter().zip(&self.told).any(|(now, told)| *told == 0 && *now > 0);
        if counts == self.told || (!first && self.at.is_some_and(|at| at.elapsed() < QUIET)) {
            return None;
        }
        self.told.clone_from(&counts);
        self.at = Some(Instant::now());
        Some(self.attacks.iter().cloned().zip(counts).collect())
    }
}

impl Turncoat {
    /// Does something, and tells what came of it.
    fn act(&mut self, act: impl FnOnce(&mut Adversary<Shell>)) {
        act(self.side());
        if self.tally.attacks.is_empty() {
            return;
        }
        // The same attacks, at peers and at clients.
        let counts = self.inner.strikes().map(Strikes::total).zip(self.clerk.strikes());
        if let Some(strikes) = self.tally.news(counts.map(|(peers, clients)| peers + clients).collect())
            && let Err(error) = tell(strikes, self.json)
        {
            tracing::warn!(%error, "standard output is gone");
        }
    }

    fn side(&mut self) -> &mut Adversary<Shell> {
        if self.waiting.is_some()
            && self.called.load(Relaxed)
            && let Some((attack, signer, committee)) = self.waiting.take()
        {
            tracing::warn!(%attack, "from here on this replica is malicious");
            attack.corrupt(&mut self.inner, &signer, &committee);
            self.tally = Tally::of(&attack);
        }
        &mut self.inner
    }
}

fn tell(strikes: BTreeMap<String, u64>, json: bool) -> io::Result<()> {
    let line = if json {
        serde_json::to_string(&Line::Struck { strikes })?
    } else {
        let each: Vec<String> = strikes.iter().map(|(attack, count)| format!("{attack} {count}")).collect();
        format!("strikes so far: {}", each.join(", "))
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

impl Io for Turncoat {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        self.clerk.persisting(&records);
        self.act(|side| side.persist(records, token));
    }
    fn vote(&mut self, vote: Vote) {
        self.act(|side| side.vote(vote));
    }
    fn deliver(&mut self, delivery: Delivery) {
        self.act(|side| side.deliver(delivery));
    }
    fn broadcast(&mut self, message: Message) {
        self.act(|side| side.broadcast(message));
    }
    fn send(&mut self, to: ReplicaId, message: Message) {
        self.act(|side| side.send(to, message));
    }
    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        self.act(|side| side.send_batch(to, slot, digest));
    }
    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.act(|side| side.send_decided(to, first, last));
    }
    fn execute(&mut self, execution: Execution) {
        self.act(|side| side.execute(execution));
    }
    fn reply(&mut self, identity: Identity) {
        self.act(|side| side.reply(identity));
    }
    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.act(|side| side.set_timer(timer, after));
    }
    fn accuse(&mut self, evidence: Evidence) {
        self.act(|side| side.accuse(evidence));
    }
    fn alarm(&mut self, alarm: Alarm) {
        self.act(|side| side.alarm(alarm));
    }
}

/// Runs it.
///
/// # Errors
/// If the attack is none, or signals cannot be heard.
pub async fn run(args: ReplicaArgs) -> anyhow::Result<ExitCode> {
    let (text, at_once) = match args.attack.strip_prefix(ON_SIGNAL) {
        Some(text) => (text, false),
        None => (args.attack.as_str(), true),
    };
    let attack = Plan::parse(text)?;
    let (home, settings) = match prepare(&args.start) {
        Ok(prepared) => prepared,
        Err(code) => return Ok(code),
    };
    let called = Arc::new(AtomicBool::new(at_once));
    let mut signals = signal(SignalKind::user_defined1())?;
    let flag = called.clone();
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            flag.store(true, Relaxed);
        }
    });
    let json = args.start.json;
    let (plan, asked) = (attack.clone(), called.clone());
    let clerk = |desk: Arc<Desk>, member: &Member| Arc::new(FalseClerk::new(desk, &plan, member, asked));
    let wrap = |shell: Shell, clerk: Arc<FalseClerk>, member: &Member| Turncoat {
        inner: Adversary::honest(shell),
        clerk,
        waiting: Some((attack, member.signer.clone(), member.committee.clone())),
        called,
        tally: Tally::default(),
        json,
    };
    let events = Events::new(json);
    Ok(report(process::run_wrapped(&home, &settings, events, clerk, wrap, |turncoat| turncoat.inner.inner()).await))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Plan, Tally};

    /// The first strike of each attack is told at once, more of them later.
    #[test]
    fn strikes_are_told_at_a_bounded_rate() {
        let mut tally = Tally::of(&Plan::parse("silent + late@view=2").unwrap());
        assert_eq!(tally.news(vec![0, 0]), None);
        let told = tally.news(vec![1, 0]);
        assert!(told.is_some_and(|told| told["silent"] == 1 && told["late@view=2..3"] == 0));
        assert_eq!(tally.news(vec![2, 0]), None);
        assert!(tally.news(vec![2, 1]).is_some_and(|told| told["silent"] == 2));
    }
}
