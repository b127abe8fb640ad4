//! `peers.toml`: where replicas are, as seen from one dialler. Replaceable while running, never part of the chain.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;
use varangian_crypto::ReplicaId;

/// One replica's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerAddress {
    /// Its number.
    pub id: u16,
    /// Its endpoint for replicas (UDP).
    pub replica: SocketAddr,
    /// Its endpoint for clients (UDP).
    pub client: SocketAddr,
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeersFile {
    /// One table per replica.
    #[serde(default)]
    pub replica: Vec<PeerAddress>,
}

/// Why the file is of no use.
#[derive(Debug, Error)]
pub enum PeersError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {message}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

impl PeersFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`PeersError`], also for a replica listed twice.
    pub fn load(path: &Path) -> Result<Self, PeersError> {
        let text = fs::read_to_string(path).map_err(|source| PeersError::Io { path: path.to_owned(), source })?;
        let malformed = |message: String| PeersError::Malformed { path: path.to_owned(), message };
        let file: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let mut ids: Vec<_> = file.replica.iter().map(|peer| peer.id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(malformed(format!("replica {} is listed twice", pair[0]))),
            None => Ok(file),
        }
    }

    /// Replaces the file in one step: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// [`PeersError::Io`].
    pub fn store(&self, path: &Path) -> Result<(), PeersError> {
        let failed = |source| PeersError::Io { path: path.to_owned(), source };
        let text = toml::to_string(self).map_err(|error| failed(std::io::Error::other(error)))?;
        let new = path.with_extension("toml.new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(failed)
    }

    /// Replica endpoints by id.
    #[must_use]
    pub fn replicas(&self) -> BTreeMap<ReplicaId, SocketAddr> {
        self.replica.iter().map(|peer| (ReplicaId(peer.id), peer.replica)).collect()
    }
}
