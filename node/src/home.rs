//! A replica's home directory.
//!
//! ```text
//! config.toml  genesis.json  peers.toml  keys/consensus.key  keys/network.key  data/
//! ```

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use varangian_client::identity::{self, IdentityError};
use varangian_crypto::{Committee, Genesis, GenesisError, ReplicaId, Signer, SigningKey, VerifyError};
use varangian_storage::{Identity, Store, StoreError};

/// Paths in a home directory.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

/// Why a home is of no use.
#[derive(Debug, Error)]
pub enum HomeError {
    /// It is not there.
    #[error("{0} is not a replica's home: it has no genesis.json; make one with `varangian init`")]
    Missing(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key file.
    #[error(transparent)]
    Key(#[from] IdentityError),
    /// The genesis.
    #[error("{path}: {source}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GenesisError,
    },
    /// The consensus key is not in the genesis.
    #[error(
        "the key in {0} is not any replica's consensus key in this genesis: wrong home, wrong genesis, or the key was replaced"
    )]
    NotAMember(PathBuf),
    /// The network key is another than the genesis lists for this replica.
    #[error("the key in {path} is not the network key that this genesis lists for {id}")]
    NetworkKey {
        /// The key file.
        path: PathBuf,
        /// The replica.
        id: ReplicaId,
    },
    /// There is one already, with another genesis.
    #[error("{0} exists and is another genesis: this home belongs to another chain")]
    OtherGenesis(PathBuf),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signer.
    #[error("the genesis does not list this replica's key: {0}")]
    Signer(#[from] VerifyError),
}

/// What a replica is, from its home.
#[derive(Debug)]
pub struct Member {
    /// Its number.
    pub id: ReplicaId,
    /// The chain.
    pub genesis: Genesis,
    /// Who may sign.
    pub committee: Committee,
    /// Its own hand.
    pub signer: Signer,
    /// The key of its connections.
    pub network_key: SigningKey,
}

impl Home {
    /// The home at `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// `genesis.json`.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.json")
    }

    /// `peers.toml`.
    #[must_use]
    pub fn peers(&self) -> PathBuf {
        self.root.join("peers.toml")
    }

    /// `keys/consensus.key`.
    #[must_use]
    pub fn consensus_key(&self) -> PathBuf {
        self.root.join("keys").join("consensus.key")
    }

    /// `keys/network.key`.
    #[must_use]
    pub fn network_key(&self) -> PathBuf {
        self.root.join("keys").join("network.key")
    }

    /// `data/`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Makes the directories and, where they are missing, fresh keys; gives consensus and network key.
    ///
    /// # Errors
    /// [`HomeError`]; keys that exist are kept.
    pub fn make_keys(&self) -> Result<(SigningKey, SigningKey), HomeError> {
        let keys_dir = self.root.join("keys");
        self.in_dir(&keys_dir, |dir| fs::DirBuilder::new().recursive(true).mode(0o700).create(dir))?;
        self.in_dir(&self.root, |dir| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)))?;
        let consensus = identity::load_or_create(self.consensus_key())?;
        let network = identity::load_or_create(self.network_key())?;
        self.in_dir(&keys_dir, |dir| fs::File::open(dir)?.sync_all())?;
        Ok((consensus, network))
    }

    /// Makes this the home of the replica whose keys it holds: writes the genesis, creates the store.
    ///
    /// # Errors
    /// [`HomeError`], also if there is a store already or the genesis does not list the keys.
    pub fn init(&self, genesis: &Genesis) -> Result<ReplicaId, HomeError> {
        self.make_keys()?;
        let path = self.genesis();
        if path.exists() {
            if self.read_genesis()?.chain_id() != genesis.chain_id() {
                return Err(HomeError::OtherGenesis(path));
            }
        } else {
            let text = genesis.to_json_pretty();
            fs::write(&path, text).map_err(|source| HomeError::Io { path, source })?;
        }
        let member = self.load()?;
        Store::create(&self.data(), &member.store_identity())?;
        Ok(member.id)
    }

    /// What this home's replica is.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn load(&self) -> Result<Member, HomeError> {
        if !self.genesis().exists() {
            return Err(HomeError::Missing(self.root.clone()));
        }
        let genesis = self.read_genesis()?;
        let committee = Committee::new(&genesis);
        let consensus = identity::load(self.consensus_key())?;
        let network_key = identity::load(self.network_key())?;
        let own = genesis.replicas().iter().find(|replica| replica.consensus_key == consensus.replica_key());
        let own = own.ok_or_else(|| HomeError::NotAMember(self.consensus_key()))?;
        let id = own.id;
        if own.network_key != network_key.network_key() {
            return Err(HomeError::NetworkKey { path: self.network_key(), id });
        }
        let signer = Signer::new(id, consensus, &committee)?;
        Ok(Member { id, genesis, committee, signer, network_key })
    }

    fn read_genesis(&self) -> Result<Genesis, HomeError> {
        let path = self.genesis();
        let text = fs::read_to_string(&path).map_err(|source| HomeError::Io { path: path.clone(), source })?;
        Genesis::from_json(&text).map_err(|source| HomeError::Genesis { path, source })
    }

    fn in_dir(&self, dir: &Path, action: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), HomeError> {
        action(dir).map_err(|source| HomeError::Io { path: dir.to_owned(), source })
    }
}

impl Member {
    /// Whose store it must be.
    #[must_use]
    pub fn store_identity(&self) -> Identity {
        Identity { chain_id: self.genesis.chain_id(), replica: self.id }
    }
}
