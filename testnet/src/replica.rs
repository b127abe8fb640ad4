//! `varangian-testnet replica`: a replica that misbehaves on purpose, as a process of its own.
//!
//! It is the production process with an adversary between the core and its shell, and a [`clerk`] between it and its clients. With `--on-signal` it is
//! honest until SIGUSR1.

mod clerk;

use clap::Args;
use clerk::FalseClerk;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
use varangian_sim::adversary::{Adversary, Plan};

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

/// An honest replica's shell that turns on a signal.
struct Turncoat {
    inner: Adversary<Shell>,
    clerk: Arc<FalseClerk>,
    waiting: Option<(Plan, Signer, Committee)>,
    called: Arc<AtomicBool>,
}

impl Turncoat {
    fn side(&mut self) -> &mut Adversary<Shell> {
        if self.waiting.is_some()
            && self.called.load(Relaxed)
            && let Some((attack, signer, committee)) = self.waiting.take()
        {
            tracing::warn!(%attack, "from here on this replica is malicious");
            attack.corrupt(&mut self.inner, &signer, &committee);
        }
        &mut self.inner
    }
}

impl Io for Turncoat {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        self.clerk.persisting(&records);
        self.side().persist(records, token);
    }
    fn vote(&mut self, vote: Vote) {
        self.side().vote(vote);
    }
    fn deliver(&mut self, delivery: Delivery) {
        self.side().deliver(delivery);
    }
    fn broadcast(&mut self, message: Message) {
        self.side().broadcast(message);
    }
    fn send(&mut self, to: ReplicaId, message: Message) {
        self.side().send(to, message);
    }
    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        self.side().send_batch(to, slot, digest);
    }
    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.side().send_decided(to, first, last);
    }
    fn execute(&mut self, execution: Execution) {
        self.side().execute(execution);
    }
    fn reply(&mut self, identity: Identity) {
        self.side().reply(identity);
    }
    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.side().set_timer(timer, after);
    }
    fn accuse(&mut self, evidence: Evidence) {
        self.side().accuse(evidence);
    }
    fn alarm(&mut self, alarm: Alarm) {
        self.side().alarm(alarm);
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
    let (plan, asked) = (attack.clone(), called.clone());
    let clerk = |desk: Arc<Desk>, member: &Member| Arc::new(FalseClerk::new(desk, &plan, member, asked));
    let wrap = |shell: Shell, clerk: Arc<FalseClerk>, member: &Member| Turncoat {
        inner: Adversary::honest(shell),
        clerk,
        waiting: Some((attack, member.signer.clone(), member.committee.clone())),
        called,
    };
    let events = Events::new(args.start.json);
    Ok(report(process::run_wrapped(&home, &settings, events, clerk, wrap, |turncoat| turncoat.inner.inner()).await))
}
