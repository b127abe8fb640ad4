//! The processes of a network: start, kill, pause, restart, stop. Readiness is an event of the processes themselves.
//!
//! - `process`: one of them.

mod process;

use crate::layout::{NetworkDir, Running, RunningReplica, process_start};
use crate::links::Links;
use crate::programs::Programs;
use crate::said::Said;
use anyhow::{Context as _, anyhow, bail};
use process::Replica;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::timeout;
use varangian::home::Home;
use varangian::peers::{PeerAddress, PeersFile};
use varangian_client::Network;
use varangian_crypto::{Genesis, Parameters, ReplicaId};

/// Time for a process to open its store and bind its sockets.
const START: Duration = Duration::from_secs(60);
/// Time for a process to stop in order.
const STOP: Duration = Duration::from_secs(20);

/// How often each attack of each malicious replica struck.
pub type Strikes = BTreeMap<ReplicaId, BTreeMap<String, u64>>;

/// A network's processes. Dropped, they are killed.
#[derive(Debug)]
pub struct Testnet {
    dir: NetworkDir,
    genesis: Genesis,
    programs: Programs,
    replicas: Vec<Replica>,
    settings: Vec<String>,
    /// None: they reach each other directly.
    links: Option<Links>,
    /// The second copy of a replica that runs twice, and who hears that one.
    twin: Option<(Replica, BTreeSet<ReplicaId>)>,
}

impl Testnet {
    /// The processes of the network in `dir`, none started yet. `attacks` says who is malicious, and how.
    ///
    /// # Errors
    /// If the network cannot be read, runs already, or the programs are missing.
    pub fn new(dir: NetworkDir, attacks: &BTreeMap<u16, String>) -> anyhow::Result<Self> {
        let genesis = dir.genesis()?;
        if let Some(running) = dir.running()? {
            bail!(
                "the network in {} runs already (process {}); `varangian-testnet down --network {}` ends it",
                dir.root().display(),
                running.supervisor,
                dir.root().display()
            );
        }
        let n = genesis.replicas().len();
        if let Some(id) = attacks.keys().find(|id| usize::from(**id) >= n) {
            bail!("there is no replica {id}: this network has {n}");
        }
        dir.distrust(attacks.keys().map(|id| ReplicaId(*id)))?;
        let distrusted = dir.distrusted()?;
        let replica = |id: ReplicaId| {
            let mut replica = Replica::new(id, dir.home(id).root().to_owned(), attacks.get(&id.0).cloned());
            replica.was_malicious = distrusted.contains(&id);
            replica
        };
        let replicas = genesis.quorums().replicas().map(replica).collect();
        Ok(Self { dir, genesis, programs: Programs::find()?, replicas, settings: Vec::new(), links: None, twin: None })
    }

    /// Four replicas on a new network with files of its own, which are gone when the directory is dropped, up and connected.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn scratch(attacks: &BTreeMap<u16, String>) -> anyhow::Result<(Self, TempDir)> {
        let files = tempfile::Builder::new().prefix("varangian-").tempdir()?;
        let dir = NetworkDir::new(files.path().join("network"));
        dir.create(4, Parameters::default())?;
        let mut net = Self::new(dir, attacks)?;
        net.start().await?;
        Ok((net, files))
    }

    /// Adds a setting (`section.key=value`) for every replica started from now on.
    pub fn set(&mut self, setting: impl Into<String>) {
        self.settings.push(setting.into());
    }

    /// Puts shaped links between the replicas. Before the first start.
    pub fn link(&mut self, links: Links) {
        self.links = Some(links);
    }

    /// Lets the first replica run twice with one key, honest both times: the second copy is linked to `hearers`, the first to the others. Before
    /// the first start. It is the first one because that one dials everybody, and each copy can be told whom.
    ///
    /// # Errors
    /// If the second home cannot be made.
    pub fn twin(&mut self, hearers: BTreeSet<ReplicaId>) -> anyhow::Result<()> {
        let first = self.replicas.first_mut().ok_or_else(|| anyhow!("a network without replicas"))?;
        let home = self.dir.twin(first.id, &self.genesis)?;
        first.was_malicious = true;
        self.dir.distrust([first.id])?;
        self.twin = Some((Replica::new(first.id, home, None), hearers));
        Ok(())
    }

    /// The links between the replicas.
    ///
    /// # Errors
    /// If they reach each other directly.
    pub fn links(&mut self) -> anyhow::Result<&mut Links> {
        self.links.as_mut().ok_or_else(|| anyhow!("the replicas reach each other directly, there is no link to change; `varangian-testnet up --links perfect` puts some there"))
    }

    /// Starts every replica and waits until each is connected to a quorum.
    ///
    /// # Errors
    /// If one does not come up, with the end of its log.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let ids = self.ids();
        if let Some((twin, _)) = &mut self.twin {
            twin.launch(&self.dir, &self.programs, &self.settings)?;
            let listens = timeout(START, twin.said.wait_for(|said| said.listening.is_some())).await;
            listens.context("the second copy does not come up")?.context("the second copy has ended")?;
        }
        self.restart(&ids).await?;
        // A copy that is linked to a few is connected to no quorum, nor need it be.
        let twin = self.twin.as_ref().map(|(twin, _)| twin.id);
        for id in ids.into_iter().filter(|id| Some(*id) != twin) {
            self.wait(id, "is connected to a quorum", |said| said.ready).await?;
        }
        Ok(())
    }

    /// Starts replicas that are down, each where it was before, and waits until each listens. If one of them runs, none is started.
    ///
    /// # Errors
    /// If one runs already, or does not come up, with the end of its log.
    pub async fn restart(&mut self, ids: &[ReplicaId]) -> anyhow::Result<()> {
        if let Some(id) = ids.iter().find(|id| self.pid(**id).is_some()) {
            bail!("{id} runs already");
        }
        for id in ids {
            self.launch(*id)?;
        }
        for id in ids {
            self.wait(*id, "listens", |said| said.listening.is_some()).await?;
        }
        self.publish().await?;
        self.record()
    }

    /// Starts a replica again as a malicious one, or as an honest one. Once malicious, its disk is never taken for an honest one's.
    ///
    /// # Errors
    /// If it does not end or come up.
    pub async fn turn(&mut self, id: ReplicaId, attack: Option<String>) -> anyhow::Result<()> {
        if self.pid(id).is_some() {
            self.signal(id, Signal::TERM)?;
            if self.replica(id)?.paused {
                self.resume(id)?;
            }
            let status = self.ended(id, STOP).await?;
            if !status.success() {
                bail!("{id} ended with {status}{}", self.tail(id));
            }
        }
        let replica = self.replica(id)?;
        replica.was_malicious |= replica.attack.is_some() || attack.is_some();
        replica.attack = attack;
        if replica.was_malicious {
            self.dir.distrust([id])?;
        }
        self.restart(&[id]).await
    }

    /// Whether there are links to change.
    #[must_use]
    pub const fn is_linked(&self) -> bool {
        self.links.is_some()
    }

    /// Kills a replica on the spot (SIGKILL).
    ///
    /// # Errors
    /// If it cannot be killed, does not run, or has ended by itself.
    pub async fn kill(&mut self, id: ReplicaId) -> anyhow::Result<()> {
        let replica = self.replica(id)?;
        let mut child = replica.child.take().ok_or_else(|| anyhow!("{id} does not run"))?;
        replica.paused = false;
        // One that has ended already takes a signal, too, as long as nobody has asked how it ended.
        let ended = child.try_wait().with_context(|| format!("looking at {id}"))?;
        child.kill().await.with_context(|| format!("killing {id}"))?;
        self.record()?;
        match ended {
            None => Ok(()),
            Some(status) => bail!("{id} had ended by itself: {status}{}", self.tail(id)),
        }
    }

    /// Stops a replica's process in its tracks (SIGSTOP): it neither ends nor does anything.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&mut self, id: ReplicaId) -> anyhow::Result<()> {
        self.signal(id, Signal::STOP)?;
        self.replica(id)?.paused = true;
        Ok(())
    }

    /// Lets a paused replica go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&mut self, id: ReplicaId) -> anyhow::Result<()> {
        self.signal(id, Signal::CONT)?;
        self.replica(id)?.paused = false;
        Ok(())
    }

    /// Lets a replica's files grow no more, as on a full disk.
    ///
    /// # Errors
    /// If it does not run.
    pub fn fill_disk(&mut self, id: ReplicaId) -> anyhow::Result<()> {
        let pid = self.pid(id).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.ok_or_else(|| anyhow!("{id} does not run"))?;
        let nothing = Rlimit { current: Some(0), maximum: Some(0) };
        prlimit(Some(pid), Resource::Fsize, nothing).with_context(|| format!("limiting {id}"))?;
        Ok(())
    }

    /// Starts a replica that must refuse to run, and waits for its end.
    ///
    /// # Errors
    /// If it runs.
    pub async fn refuses(&mut self, id: ReplicaId) -> anyhow::Result<ExitStatus> {
        self.launch(id)?;
        let said = self.wait(id, "listens", |said| said.listening.is_some()).await;
        if said.is_ok() {
            bail!("{id} runs, and was to refuse");
        }
        self.ended(id, STOP).await
    }

    /// Waits until a replica's process ends by itself.
    ///
    /// # Errors
    /// If it does not within that time.
    pub async fn ended(&mut self, id: ReplicaId, patience: Duration) -> anyhow::Result<ExitStatus> {
        let replica = self.replica(id)?;
        let mut child = replica.child.take().ok_or_else(|| anyhow!("{id} does not run"))?;
        match timeout(patience, child.wait()).await {
            Ok(status) => {
                replica.paused = false;
                self.record()?;
                status.with_context(|| format!("waiting for {id}"))
            }
            Err(_) => {
                replica.child = Some(child);
                bail!("{id} still runs after {} s", patience.as_secs())
            }
        }
    }

    /// The last line of a replica's log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn last_words(&self, id: ReplicaId) -> anyhow::Result<String> {
        let path = self.dir.log(id);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.lines().next_back().unwrap_or("nothing").to_owned())
    }

    /// Sends a signal to a replica's process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&mut self, id: ReplicaId, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid(id).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.ok_or_else(|| anyhow!("{id} does not run"))?;
        kill_process(pid, signal).with_context(|| format!("signalling {id}"))
    }

    /// Stops all replicas in order and waits for their end.
    ///
    /// # Errors
    /// If one does not end in order; it is killed then.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        for id in self.ids() {
            // One that has ended since cannot be signalled; how it ended is told below.
            if self.pid(id).is_some() {
                self.signal(id, Signal::TERM)?;
                if self.replica(id)?.paused {
                    self.resume(id)?;
                }
            }
        }
        for id in self.ids() {
            let replica = self.replica(id)?;
            let Some(mut child) = replica.child.take() else { continue };
            match timeout(STOP, child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => failures.push(format!("{id} ended with {status}{}", self.tail(id))),
                Ok(Err(error)) => failures.push(format!("{id}: {error}")),
                Err(_) => {
                    child.kill().await.with_context(|| format!("killing {id}"))?;
                    failures.push(format!(
                        "{id} did not end within {} s and was killed{}",
                        STOP.as_secs(),
                        self.tail(id)
                    ));
                }
            }
        }
        if let Some((twin, _)) = &mut self.twin
            && let Some(mut child) = twin.child.take()
        {
            // It may have stopped voting for having met itself; how it ends says nothing.
            child.kill().await.context("killing the second copy")?;
        }
        self.dir.set_stopped()?;
        if failures.is_empty() { Ok(()) } else { Err(anyhow!(failures.join("\n"))) }
    }

    /// Waits until a replica has said what is asked for.
    ///
    /// # Errors
    /// If it ends before, or takes too long.
    pub async fn wait(&self, id: ReplicaId, what: &str, enough: impl Fn(&Said) -> bool) -> anyhow::Result<Said> {
        let mut said = self.said(id)?;
        let waited = timeout(START, said.wait_for(|said| said.ended || enough(said))).await;
        match waited {
            Ok(Ok(said)) if enough(&said) => Ok(said.clone()),
            Ok(_) => bail!("{id} ended before it {what}{}", self.tail(id)),
            Err(_) => bail!("{id} did not say within {} s that it {what}{}", START.as_secs(), self.tail(id)),
        }
    }

    /// What a replica says, as it says it.
    ///
    /// # Errors
    /// If there is no such replica.
    pub fn said(&self, id: ReplicaId) -> anyhow::Result<watch::Receiver<Said>> {
        let replica = self.replicas.get(id.index()).ok_or_else(|| anyhow!("there is no replica {id}"))?;
        Ok(replica.said.clone())
    }

    /// The replicas whose processes have ended by themselves, with their exit status.
    pub fn fallen(&mut self) -> Vec<(ReplicaId, ExitStatus)> {
        let mut fallen = Vec::new();
        for replica in &mut self.replicas {
            if let Some(child) = &mut replica.child
                && let Ok(Some(status)) = child.try_wait()
            {
                replica.child = None;
                replica.paused = false;
                fallen.push((replica.id, status));
            }
        }
        fallen
    }

    /// The network as clients see it.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub fn network(&self) -> anyhow::Result<Network> {
        Ok(Network::load(self.dir.root())?)
    }

    /// Its directory.
    #[must_use]
    pub const fn dir(&self) -> &NetworkDir {
        &self.dir
    }

    /// Its genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// All replicas.
    #[must_use]
    pub fn ids(&self) -> Vec<ReplicaId> {
        self.replicas.iter().map(|replica| replica.id).collect()
    }

    /// The replicas that have never run an attack, and whose disks were never damaged when an earlier supervisor had them.
    #[must_use]
    pub fn honest(&self) -> Vec<ReplicaId> {
        self.replicas.iter().filter(|replica| !replica.was_malicious).map(|replica| replica.id).collect()
    }

    /// How often each attack of each replica that ran under one did what an honest replica would not. After the end of their processes.
    ///
    /// # Errors
    /// If a process is gone and what it said does not end.
    pub async fn strikes(&mut self) -> anyhow::Result<Strikes> {
        let mut strikes = Strikes::new();
        for replica in self.replicas.iter_mut().filter(|replica| replica.was_malicious) {
            strikes.insert(replica.id, replica.strikes().await?);
        }
        Ok(strikes)
    }

    /// A replica's process, while it runs.
    #[must_use]
    pub fn pid(&self, id: ReplicaId) -> Option<u32> {
        self.replicas.get(id.index()).and_then(|replica| replica.child.as_ref()).and_then(Child::id)
    }

    fn replica(&mut self, id: ReplicaId) -> anyhow::Result<&mut Replica> {
        self.replicas.get_mut(id.index()).ok_or_else(|| anyhow!("there is no replica {id}"))
    }

    fn launch(&mut self, id: ReplicaId) -> anyhow::Result<()> {
        let replica = self.replicas.get_mut(id.index()).ok_or_else(|| anyhow!("there is no replica {id}"))?;
        replica.launch(&self.dir, &self.programs, &self.settings)
    }

    /// Tells everybody where everybody is: replicas by way of the links, clients directly.
    async fn publish(&mut self) -> anyhow::Result<()> {
        for replica in &mut self.replicas {
            if let Some(listening) = replica.said.borrow().listening {
                replica.address = Some(listening);
            }
        }
        let known = self.replicas.iter().filter_map(|replica| {
            let listening = replica.address?;
            Some(PeerAddress { id: replica.id.0, replica: listening.replica_address, client: listening.client_address })
        });
        let peers = PeersFile { replica: known.collect() };
        for id in self.ids() {
            let mut seen = peers.clone();
            if let Some(links) = &mut self.links {
                for peer in seen.replica.iter_mut().filter(|peer| peer.id > id.0) {
                    peer.replica = links.address(id, ReplicaId(peer.id), peer.replica).await?;
                }
            }
            if let Some((twin, hearers)) = &self.twin
                && id == twin.id
            {
                let heard = |peer: &PeerAddress| hearers.contains(&ReplicaId(peer.id));
                PeersFile { replica: seen.replica.iter().copied().filter(heard).collect() }
                    .store(&Home::new(&twin.home).peers())?;
                seen.replica.retain(|peer| !heard(peer));
            }
            let path = self.dir.home(id).peers();
            if !PeersFile::load(&path).is_ok_and(|written| written == seen) {
                seen.store(&path)?;
                if self.pid(id).is_some() {
                    self.signal(id, Signal::HUP)?;
                }
            }
        }
        peers.store(&self.dir.peers())?;
        Ok(())
    }

    /// Writes down who runs.
    fn record(&self) -> anyhow::Result<()> {
        let replicas = self.replicas.iter().map(|replica| {
            let running = RunningReplica {
                pid: replica.child.as_ref().and_then(Child::id),
                metrics: replica.address.map(|listening| listening.metrics_address),
                attack: replica.attack.clone(),
            };
            (replica.id.0, running)
        });
        let supervisor = std::process::id();
        let supervisor_started = process_start(supervisor).unwrap_or(0);
        self.dir.set_running(&Running { supervisor, supervisor_started, replicas: replicas.collect() })
    }

    /// The end of a replica's log, for an error.
    #[must_use]
    pub fn tail(&self, id: ReplicaId) -> String {
        let path = self.dir.log(id);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let lines: Vec<&str> = text.lines().collect();
                let last = lines.iter().skip(lines.len().saturating_sub(8));
                format!("; the end of {}:\n  {}", path.display(), last.copied().collect::<Vec<_>>().join("\n  "))
            }
            Err(error) => format!("; its log {} cannot be read: {error}", path.display()),
        }
    }
}
