//! The genesis: the members, clients and parameters of a chain. Its digest is the chain id, so whoever has another genesis is on another chain.
//!
//! People read and write it as JSON; replicas hash its canonical bytes. Addresses are not in it: they move.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use borsh::io::{Error, ErrorKind, Read};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::quorum::MIN_REPLICAS;
use crate::{
    ClientKey, Digest, GenesisError, MAX_REPLICAS, NetworkKey, Parameters, Quorums, ReplicaId, ReplicaKey, encode,
    sha256,
};

/// Longest name of a chain or replica, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// One replica of the genesis.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its place in the list.
    pub id: ReplicaId,
    /// What people call it.
    pub name: String,
    /// The key of its statements.
    pub consensus_key: ReplicaKey,
    /// The key of its connections.
    pub network_key: NetworkKey,
}

/// Who may be a client.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Clients {
    /// These and nobody else.
    AllowList(Vec<ClientKey>),
    /// Whoever comes first, up to a number that all replicas share.
    Open {
        /// Clients admitted at most.
        maximum: u32,
    },
}

impl Clients {
    /// Clients that can be admitted.
    #[must_use]
    pub fn maximum(&self) -> u64 {
        match self {
            Self::AllowList(keys) => keys.len() as u64,
            Self::Open { maximum } => u64::from(*maximum),
        }
    }
}

/// What is written in a file, before anything is known about it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    #[serde(default)]
    parameters: Parameters,
    replicas: Vec<Member>,
    clients: Clients,
}

/// A valid genesis: however it came to be, its numbers and members fit together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Genesis {
    raw: Raw,
    quorums: Quorums,
    chain_id: Digest,
}

impl Genesis {
    /// A genesis of parts. The order of an allow-list does not matter.
    ///
    /// # Errors
    /// The first thing that does not fit, with what to change.
    pub fn new(
        name: String,
        parameters: Parameters,
        replicas: Vec<Member>,
        clients: Clients,
    ) -> Result<Self, GenesisError> {
        Self::from_raw(Raw { name, parameters, replicas, clients })
    }

    /// Reads the JSON form; unknown fields are errors, parameters that are not named have their defaults.
    ///
    /// # Errors
    /// [`GenesisError::Json`] with line and column, or the first thing that does not fit.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        let raw = serde_json::from_str(text).map_err(|error| GenesisError::Json(error.to_string()))?;
        Self::from_raw(raw)
    }

    /// The JSON form, with every parameter.
    #[must_use]
    #[expect(clippy::expect_used, reason = "strings, integers and enums of them always have a JSON form")]
    pub fn to_json_pretty(&self) -> String {
        serde_json::to_string_pretty(&self.raw).expect("a genesis has a JSON form")
    }

    /// SHA-256 of the canonical bytes.
    #[must_use]
    pub const fn chain_id(&self) -> Digest {
        self.chain_id
    }

    /// The chain's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.raw.name
    }

    /// The parameters.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.raw.parameters
    }

    /// The replicas, in the order of their ids.
    #[must_use]
    pub fn replicas(&self) -> &[Member] {
        &self.raw.replicas
    }

    /// One replica; `None` if the id is out of range.
    #[must_use]
    pub fn replica(&self, id: ReplicaId) -> Option<&Member> {
        self.raw.replicas.get(id.index())
    }

    /// Who may be a client; an allow-list is sorted.
    #[must_use]
    pub const fn clients(&self) -> &Clients {
        &self.raw.clients
    }

    /// The sizes that follow from the number of replicas.
    #[must_use]
    pub const fn quorums(&self) -> Quorums {
        self.quorums
    }

    /// Bytes that remembered replies can come to, all clients together.
    #[must_use]
    pub fn reply_memory_bytes(&self) -> u64 {
        self.raw.parameters.reply_memory_bytes(self.raw.clients.maximum())
    }

    fn from_raw(mut raw: Raw) -> Result<Self, GenesisError> {
        check_name("chain", &raw.name)?;
        let quorums = check_replicas(&raw.replicas)?;
        raw.parameters.validate(quorums, raw.clients.maximum())?;
        if let Clients::AllowList(keys) = &mut raw.clients {
            keys.sort_unstable();
            if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(GenesisError::DuplicateClient { key: pair[0].to_string() });
            }
        }
        let chain_id = sha256("varangian/1/genesis", &[&encode(&raw)]);
        Ok(Self { raw, quorums, chain_id })
    }
}

impl BorshSerialize for Genesis {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        BorshSerialize::serialize(&self.raw, writer)
    }
}

impl BorshDeserialize for Genesis {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let raw = Raw::deserialize_reader(reader)?;
        let refuse = |error: String| Error::new(ErrorKind::InvalidData, error);
        if let Clients::AllowList(keys) = &raw.clients
            && !keys.is_sorted()
        {
            return Err(refuse("the allow-list is not sorted".to_string()));
        }
        Self::from_raw(raw).map_err(|error| refuse(error.to_string()))
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), GenesisError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(GenesisError::Name { what, name: name.to_string(), maximum: MAX_NAME_BYTES });
    }
    Ok(())
}

/// Their number, order, names and keys.
fn check_replicas(replicas: &[Member]) -> Result<Quorums, GenesisError> {
    let out_of_range = GenesisError::Replicas { found: replicas.len(), minimum: MIN_REPLICAS, maximum: MAX_REPLICAS };
    if replicas.len() > MAX_REPLICAS {
        return Err(out_of_range);
    }
    let n = u16::try_from(replicas.len()).map_err(|_| out_of_range.clone())?;
    let quorums = Quorums::new(n).ok_or(out_of_range)?;
    let mut names = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (expected, member) in (0..n).zip(replicas) {
        if member.id.0 != expected {
            return Err(GenesisError::ReplicaOrder { expected, found: member.id.0 });
        }
        check_name("replica", &member.name)?;
        if let Some(first) = names.insert(&member.name, expected) {
            return Err(GenesisError::DuplicateName { first, second: expected });
        }
        for key in [member.consensus_key.as_bytes(), member.network_key.as_bytes()] {
            if let Some(first) = keys.insert(key, expected) {
                return Err(GenesisError::DuplicateKey { first, second: expected });
            }
        }
    }
    Ok(quorums)
}

#[cfg(test)]
mod tests;
