//! One replica's process, and what it has said.

use super::STOP;
use crate::layout::{NetworkDir, loopback};
use crate::programs::Programs;
use crate::replica::ON_SIGNAL;
use crate::said::{Listening, Said, listen};
use anyhow::{Context as _, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use varangian_crypto::ReplicaId;
use varangian_sim::adversary::Plan;

/// One replica of the network.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) home: PathBuf,
    pub(super) attack: Option<String>,
    pub(super) was_malicious: bool,
    /// Where it listened first: it listens there again after a restart.
    pub(super) address: Option<Listening>,
    pub(super) child: Option<Child>,
    pub(super) said: watch::Receiver<Said>,
    /// What it said when it ran before, a process each.
    pub(super) said_before: Vec<watch::Receiver<Said>>,
    /// Attacks under which it was started.
    pub(super) attacks: BTreeSet<String>,
    pub(super) paused: bool,
}

impl Replica {
    /// Starts its process.
    ///
    /// # Errors
    /// If it runs already, or cannot be started.
    pub(super) fn launch(&mut self, dir: &NetworkDir, programs: &Programs, settings: &[String]) -> anyhow::Result<()> {
        let id = self.id;
        if self.child.is_some() {
            bail!("{id} runs already");
        }
        let mut command = match &self.attack {
            None => {
                let mut command = Command::new(&programs.honest);
                command.arg("start");
                command
            }
            Some(attack) => {
                let mut command = Command::new(&programs.malicious);
                command.args(["replica", "--attack", attack]);
                command
            }
        };
        command.arg("--json").arg("--home").arg(&self.home);
        for (key, address) in self.addresses() {
            command.arg("--set").arg(format!("network.{key}={address}"));
        }
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        let path = dir.log(id);
        let log =
            OpenOptions::new().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        // A Ctrl-C at the terminal is for the supervisor, which then stops the replicas in order.
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("starting {id}"))?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("{id} has no standard output"))?;
        let (say, said) = watch::channel(Said::default());
        tokio::spawn(listen(stdout, say));
        self.child = Some(child);
        self.said_before.push(std::mem::replace(&mut self.said, said));
        if let Some(attack) = &self.attack {
            let plan = Plan::parse(attack.strip_prefix(ON_SIGNAL).unwrap_or(attack))?;
            self.attacks.extend(plan.attacks().iter().map(ToString::to_string));
        }
        Ok(())
    }

    /// How often each of its attacks struck, by what all its processes said.
    pub(super) async fn strikes(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut strikes: BTreeMap<String, u64> = self.attacks.iter().map(|attack| (attack.clone(), 0)).collect();
        if strikes.is_empty() {
            return Ok(strikes);
        }
        for said in self.said_before.iter_mut().chain([&mut self.said]) {
            // What a process said last may still be on its way when it is gone.
            if timeout(STOP, said.wait_for(|said| said.ended)).await.is_err() {
                bail!("what {} says does not end", self.id);
            }
            for (attack, count) in &said.borrow().strikes {
                *strikes.entry(attack.clone()).or_default() += count;
            }
        }
        Ok(strikes)
    }

    /// Not started yet.
    pub(super) fn new(id: ReplicaId, home: PathBuf, attack: Option<String>) -> Self {
        // Nobody will speak on this one: it is replaced at the first start.
        let (_, said) = watch::channel(Said::default());
        Self {
            id,
            home,
            was_malicious: false,
            attack,
            address: None,
            child: None,
            said,
            said_before: Vec::new(),
            attacks: BTreeSet::new(),
            paused: false,
        }
    }

    /// Where it is to listen: an address of its own; the ports are free ones at first, later the same again.
    fn addresses(&self) -> [(&'static str, SocketAddr); 3] {
        let free = SocketAddr::new(loopback(self.id), 0);
        let again = self.address;
        [
            ("replica_address", again.map_or(free, |listening| listening.replica_address)),
            ("client_address", again.map_or(free, |listening| listening.client_address)),
            ("metrics_address", again.map_or(free, |listening| listening.metrics_address)),
        ]
    }
}
