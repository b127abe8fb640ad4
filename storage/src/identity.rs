//! The marker that says whose store a directory is.

use std::fmt;
use std::path::Path;

use varangian_crypto::{Digest, ReplicaId};

use crate::checksum::crc32c;
use crate::error::StoreError;
use crate::layout::Layout;

/// The version of everything this crate writes. Another version is refused, not guessed at.
const FORMAT: &str = "varangian store 1";

/// Longest marker that is read, in bytes. A real one has about a hundred.
const MAX_MARKER: u64 = 1024;

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The chain that the replica belongs to: the digest of its genesis.
    pub chain_id: Digest,
    /// The replica on that chain.
    pub replica: ReplicaId,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "replica {} of chain {}", self.replica.0, self.chain_id)
    }
}

impl Identity {
    /// The marker's text: three lines and their CRC-32C.
    fn marker(&self) -> String {
        let text = format!("{FORMAT}\nchain {}\nreplica {}\n", self.chain_id, self.replica.0);
        let crc = crc32c(text.as_bytes());
        format!("{text}crc32c {crc:08x}\n")
    }

    /// Writes the marker, durably. Last step of creating a store.
    pub(crate) fn write(&self, layout: &Layout) -> Result<(), StoreError> {
        layout.write_durably(&layout.identity(), self.marker().as_bytes())
    }

    /// Checks that the directory holds a store of this identity.
    pub(crate) fn check(&self, layout: &Layout) -> Result<(), StoreError> {
        let path = layout.identity();
        let text = match read_marker(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { dir: layout.dir().to_path_buf() });
            }
            other => other.map_err(StoreError::io("reading", &path))?,
        };
        if text == self.marker() {
            return Ok(());
        }
        let Some(found) = parse(&text) else {
            let detail = format!("it is not the marker of a `{FORMAT}`");
            return Err(StoreError::Corrupt { file: path, detail });
        };
        Err(StoreError::Foreign { dir: layout.dir().to_path_buf(), found, wanted: *self })
    }
}

fn read_marker(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_MARKER).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The identity in a marker, if the marker is whole.
fn parse(text: &str) -> Option<Identity> {
    let mut lines = text.lines();
    (lines.next()? == FORMAT).then_some(())?;
    let chain_id = lines.next()?.strip_prefix("chain ")?.parse().ok()?;
    let replica = lines.next()?.strip_prefix("replica ")?.parse().ok()?;
    let identity = Identity { chain_id, replica: ReplicaId(replica) };
    (identity.marker() == text).then_some(identity)
}
