//! The network that a menace is let loose on, and where it comes from.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, ensure};
use varangian::peers::PeersFile;
use varangian_client::{Network, network::PEERS_FILE};
use varangian_crypto::{NetworkKey, ReplicaId};

/// Which endpoint of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The clients'.
    Clients,
    /// The replicas'.
    Replicas,
}

/// A network with both endpoints of every replica.
#[derive(Clone, Debug)]
pub struct Target {
    network: Network,
    replicas: Vec<SocketAddr>,
}

impl Target {
    /// Reads `genesis.json` and `peers.toml` of a network directory.
    ///
    /// # Errors
    /// If one cannot be read, or a replica has no address.
    pub fn load(directory: impl AsRef<Path>) -> anyhow::Result<Self> {
        let directory = directory.as_ref();
        let network = Network::load(directory)?;
        let known = PeersFile::load(&directory.join(PEERS_FILE))?.replicas();
        let address = |id| known.get(&id).copied().with_context(|| format!("{id} has no address in {PEERS_FILE}"));
        let replicas =
            network.genesis().replicas().iter().map(|member| address(member.id)).collect::<Result<_, _>>()?;
        Self::new(network, replicas)
    }

    /// Of parts: the replicas' endpoints, in their order.
    ///
    /// # Errors
    /// Unless there is one for each replica.
    pub fn new(network: Network, replicas: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let n = network.genesis().replicas().len();
        ensure!(replicas.len() == n, "{n} replicas have as many endpoints, not {}", replicas.len());
        Ok(Self { network, replicas })
    }

    /// The network as clients see it.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// All addresses, of both kinds.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.network.addresses().iter().chain(&self.replicas).copied()
    }

    /// How many replicas there are.
    pub(super) fn n(&self) -> u16 {
        u16::try_from(self.replicas.len()).unwrap_or(u16::MAX)
    }

    /// Where a replica's endpoint is, and the key that it proves; none if there is no such replica.
    pub(super) fn endpoint(&self, id: ReplicaId, door: Door) -> Option<(SocketAddr, NetworkKey)> {
        let addresses = match door {
            Door::Clients => self.network.addresses(),
            Door::Replicas => &self.replicas,
        };
        Some((*addresses.get(id.index())?, self.network.genesis().replicas().get(id.index())?.network_key))
    }
}

/// Source addresses of one menace: quotas are per address, so it has several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources(u8);

impl Sources {
    /// How many it floods from.
    pub(super) const COUNT: u8 = 4;

    pub(super) const fn new(menace: u8) -> Self {
        Self(menace)
    }

    /// One of [`Self::COUNT`], with a free port.
    pub(super) fn flooding(self, number: u8) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 79, self.0, 1 + number % Self::COUNT), 0))
    }

    /// The address that only asks for status.
    pub(super) fn observer(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 79, self.0, 254), 0))
    }
}
