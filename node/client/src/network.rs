//! What a client must know of a network: its genesis, and where the replicas are.
//!
//! A network directory holds `genesis.json` and `peers.toml`. The genesis is what is trusted: it has the replicas' keys. Addresses are not; a wrong
//! one leads to somebody who cannot prove a replica's key.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use varangian_crypto::{Committee, Genesis, GenesisError, NetworkKey, ReplicaId};

/// Name of the genesis in a network directory.
pub const GENESIS_FILE: &str = "genesis.json";
/// Name of the addresses in a network directory.
pub const PEERS_FILE: &str = "peers.toml";

/// A genesis and an address for each replica of it.
#[derive(Clone, Debug)]
pub struct Network {
    genesis: Genesis,
    committee: Committee,
    addresses: Vec<SocketAddr>,
}

/// Why a network cannot be used.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}: {source}; name the network's directory with --network")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The genesis is not one.
    #[error("{path}: {source}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GenesisError,
    },
    /// The addresses are not readable.
    #[error("{path}: {reason}")]
    Peers {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        reason: String,
    },
    /// The addresses do not fit the genesis.
    #[error("{reason}; correct peers.toml")]
    Addresses {
        /// What does not fit.
        reason: String,
    },
}

/// The text form of the addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Peers {
    #[serde(default)]
    replica: Vec<Peer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Peer {
    id: ReplicaId,
    /// The endpoint for other replicas: of no use to a client, but it must be an address.
    #[serde(rename = "replica")]
    _replica: Option<SocketAddr>,
    client: SocketAddr,
}

impl Network {
    /// Reads `genesis.json` and `peers.toml` of a network directory.
    ///
    /// # Errors
    /// [`NetworkError`], naming the file.
    pub fn load(directory: impl AsRef<Path>) -> Result<Self, NetworkError> {
        let directory = directory.as_ref();
        let (path, text) = read(directory, GENESIS_FILE)?;
        let genesis = Genesis::from_json(&text).map_err(|source| NetworkError::Genesis { path, source })?;
        let (path, text) = read(directory, PEERS_FILE)?;
        let peers = addresses(&text).map_err(|reason| NetworkError::Peers { path, reason })?;
        Self::new(genesis, peers)
    }

    /// Of parts: the client endpoint of every replica.
    ///
    /// # Errors
    /// [`NetworkError::Addresses`] unless each replica of the genesis has exactly one address, and nobody else has.
    pub fn new(
        genesis: Genesis,
        addresses: impl IntoIterator<Item = (ReplicaId, SocketAddr)>,
    ) -> Result<Self, NetworkError> {
        let unfit = |reason| Err(NetworkError::Addresses { reason });
        let mut places = BTreeMap::new();
        for (id, address) in addresses {
            if !genesis.quorums().contains(id) {
                return unfit(format!(
                    "{id} has an address, but the genesis has only {} replicas",
                    genesis.quorums().n()
                ));
            }
            if places.insert(id, address).is_some() {
                return unfit(format!("{id} has two addresses"));
            }
        }
        if let Some(id) = genesis.quorums().replicas().find(|id| !places.contains_key(id)) {
            return unfit(format!("{id} has no address"));
        }
        let addresses: Vec<_> = places.into_values().collect();
        Ok(Self { committee: Committee::new(&genesis), genesis, addresses })
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Its committee.
    #[must_use]
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }

    /// The client endpoints, in the order of the replicas.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Id, address and pinned key of each replica.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = (ReplicaId, SocketAddr, NetworkKey)> + '_ {
        self.genesis
            .replicas()
            .iter()
            .zip(&self.addresses)
            .map(|(member, address)| (member.id, *address, member.network_key))
    }
}

/// The `client` addresses in the text of a `peers.toml`.
fn addresses(text: &str) -> Result<Vec<(ReplicaId, SocketAddr)>, String> {
    let peers: Peers = toml::from_str(text).map_err(|error| error.to_string())?;
    Ok(peers.replica.into_iter().map(|peer| (peer.id, peer.client)).collect())
}

fn read(directory: &Path, name: &str) -> Result<(PathBuf, String), NetworkError> {
    let path = directory.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(NetworkError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests;
