//! What a network looks like on disk.
//!
//! ```text
//! genesis.json  peers.toml  network.json  r0/ r1/ …  clients/NAME/key
//! ```
//!
//! Everything is made here from fresh keys; nothing is written by hand.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use varangian::home::Home;
use varangian_client::identity;
use varangian_crypto::{ClientKey, Clients, Genesis, Member, Parameters, ReplicaId};

/// Clients that a local network admits: whoever has a key.
const MAX_CLIENTS: u32 = 10_000;

/// Paths of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkDir {
    root: PathBuf,
}

/// What `network.json` says of a running network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The process that supervises it; it ends the replicas when it ends.
    pub supervisor: u32,
    /// When that process started, in the kernel's ticks since boot: a process number alone may have been given away again.
    pub supervisor_started: u64,
    /// The replicas.
    pub replicas: BTreeMap<u16, RunningReplica>,
}

/// One replica of a running network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningReplica {
    /// Its process; none while it is down.
    pub pid: Option<u32>,
    /// Its metrics.
    pub metrics: Option<SocketAddr>,
    /// What it does wrong, if it is malicious.
    pub attack: Option<String>,
}

impl NetworkDir {
    /// The network at `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Another network's place, beside this one.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        let mut path = self.root.clone().into_os_string();
        path.push(".");
        path.push(name);
        Self::new(path)
    }

    /// `peers.toml`, as clients use it.
    #[must_use]
    pub fn peers(&self) -> PathBuf {
        self.root.join("peers.toml")
    }

    /// `network.json`.
    #[must_use]
    pub fn running_file(&self) -> PathBuf {
        self.root.join("network.json")
    }

    /// A replica's home.
    #[must_use]
    pub fn home(&self, id: ReplicaId) -> Home {
        Home::new(self.root.join(id.to_string()))
    }

    /// Makes a second home for a replica, with the same keys and an empty store of its own.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn twin(&self, id: ReplicaId, genesis: &Genesis) -> anyhow::Result<PathBuf> {
        let (first, second) = (self.home(id), Home::new(self.root.join(format!("{id}-twin"))));
        let keys = second.root().join("keys");
        fs::create_dir_all(&keys).with_context(|| keys.display().to_string())?;
        for entry in fs::read_dir(first.root().join("keys"))? {
            let entry = entry?;
            fs::copy(entry.path(), keys.join(entry.file_name()))?;
        }
        second.init(genesis)?;
        Ok(second.root().to_owned())
    }

    /// A replica's log.
    #[must_use]
    pub fn log(&self, id: ReplicaId) -> PathBuf {
        self.root.join(id.to_string()).join("replica.log")
    }

    /// Replicas that were malicious once, or whose disks were damaged: what these hold proves nothing of honest ones.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn distrusted(&self) -> anyhow::Result<BTreeSet<ReplicaId>> {
        let path = self.distrusted_file();
        match fs::read_to_string(&path) {
            Ok(text) => {
                let ids: BTreeSet<u16> = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
                Ok(ids.into_iter().map(ReplicaId).collect())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Remembers that these are not to be trusted any more.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn distrust(&self, ids: impl IntoIterator<Item = ReplicaId>) -> anyhow::Result<()> {
        let path = self.distrusted_file();
        let before = self.distrusted()?;
        let all: BTreeSet<ReplicaId> = before.iter().copied().chain(ids).collect();
        if all == before {
            return Ok(());
        }
        let ids: Vec<u16> = all.iter().map(|id| id.0).collect();
        fs::write(&path, serde_json::to_vec(&ids)?).with_context(|| path.display().to_string())
    }

    fn distrusted_file(&self) -> PathBuf {
        self.root.join("distrusted.json")
    }

    /// Where a copy of a replica's disk is kept.
    #[must_use]
    pub fn saved(&self, id: ReplicaId) -> PathBuf {
        self.root.join(id.to_string()).join("saved")
    }

    /// A client's directory.
    #[must_use]
    pub fn client(&self, name: &str) -> PathBuf {
        self.root.join("clients").join(name)
    }

    /// Whether there is a network.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.root.join("genesis.json").exists()
    }

    /// Makes a network of `n` replicas: keys, genesis, homes, and the client `default`.
    ///
    /// # Errors
    /// If there is one already, or a file cannot be written.
    pub fn create(&self, n: u16, parameters: Parameters) -> anyhow::Result<Genesis> {
        if self.exists() {
            bail!("{} holds a network already; use it, or name another directory with --network", self.root.display());
        }
        fs::create_dir_all(&self.root).with_context(|| self.root.display().to_string())?;
        let mut members = Vec::new();
        for id in (0..n).map(ReplicaId) {
            let (consensus, network) = self.home(id).make_keys()?;
            members.push(Member {
                id,
                name: id.to_string(),
                consensus_key: consensus.replica_key(),
                network_key: network.network_key(),
            });
        }
        let genesis = Genesis::new("testnet".into(), parameters, members, Clients::Open { maximum: MAX_CLIENTS })?;
        for id in (0..n).map(ReplicaId) {
            self.home(id).init(&genesis)?;
        }
        self.make_client("default")?;
        // Last: without it the directory is no network.
        let path = self.root.join("genesis.json");
        fs::write(&path, genesis.to_json_pretty()).with_context(|| path.display().to_string())?;
        Ok(genesis)
    }

    /// The genesis of an existing network.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn genesis(&self) -> anyhow::Result<Genesis> {
        let path = self.root.join("genesis.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{}: make a network with `varangian-testnet up`", path.display()))?;
        Genesis::from_json(&text).with_context(|| path.display().to_string())
    }

    /// Makes a client's key where it is missing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn make_client(&self, name: &str) -> anyhow::Result<ClientKey> {
        let dir = self.client(name);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let key = identity::load_or_create(dir.join("key"))?;
        Ok(key.client_key())
    }

    /// The running network, if its supervisor is alive.
    ///
    /// # Errors
    /// If `network.json` is there and cannot be read.
    pub fn running(&self) -> anyhow::Result<Option<Running>> {
        let path = self.running_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let running: Running = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let alive = process_start(running.supervisor) == Some(running.supervisor_started);
        Ok(alive.then_some(running))
    }

    /// Says who runs; in one step, so that a reader sees all of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_running(&self, running: &Running) -> anyhow::Result<()> {
        let path = self.running_file();
        let new = path.with_extension("json.new");
        let text = serde_json::to_string_pretty(running)?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).with_context(|| path.display().to_string())
    }

    /// Nobody runs any more.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn set_stopped(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.running_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The address of its own that a replica has on this machine, so that limits per address mean something.
#[must_use]
pub const fn loopback(id: ReplicaId) -> IpAddr {
    let [high, low] = id.0.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 77, high, low.wrapping_add(1)))
}

/// When a process started, in the kernel's ticks since boot; `None` if there is none of that number, or it has ended and its parent has not asked how.
#[must_use]
pub fn process_start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, may hold spaces; the state is the first after it, field 22 the twentieth.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
