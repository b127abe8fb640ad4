//! Where state is read from: bytes by key, in byte order.

use bytes::Bytes;
use thiserror::Error;

/// A part of the replicated state with keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// What the application writes.
    Application,
    /// The client table's rows and the remembered replies.
    Client,
}

impl Space {
    /// Every space, in order.
    pub const ALL: [Self; 2] = [Self::Application, Self::Client];

    /// The namespace of its entries in the state's digest. Frozen.
    #[must_use]
    pub const fn namespace(self) -> &'static [u8] {
        match self {
            Self::Application => b"application",
            Self::Client => b"client",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Application => 0,
            Self::Client => 1,
        }
    }
}

/// How much one page of a scan may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Most entries.
    pub entries: usize,
    /// Most bytes of keys and values; the first entry is there even if it is larger.
    pub bytes: usize,
}

/// The state below cannot be read: the disk failed, not the application. Fatal for the replica.
#[derive(Debug, Error)]
#[error("the state cannot be read: {0}; stop this replica and check its disk")]
pub struct StateError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StateError {
    /// What the store says.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// The state as it is after the last executed slot. It does not change while it is borrowed.
pub trait StateReader {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StateError`] if it cannot be read.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// The first entries in byte order whose key begins with `prefix` and is greater than `after`: at most `limit.entries`, and no more than
    /// `limit.bytes` of keys and values, but at least one if there is one. No entry is the end.
    ///
    /// # Errors
    /// [`StateError`] if they cannot be read.
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: PageLimit,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError>;
}
