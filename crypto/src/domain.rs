//! What stands in front of every signed message: a tag for its type, the chain and the epoch. A signature made for one type, chain or epoch means
//! nothing for another.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Digest;

/// The type of a signed message. Tags are frozen: a changed tag is another chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// PRE-PREPARE of a primary.
    PrePrepare,
    /// PREPARE of a backup.
    Prepare,
    /// COMMIT of a replica.
    Commit,
    /// CHECKPOINT of a replica.
    Checkpoint,
    /// VIEW-CHANGE of a replica.
    ViewChange,
    /// NEW-VIEW of a primary.
    NewView,
    /// A client's command.
    Command,
    /// A client's claim to the replies that its key is owed.
    Subscribe,
}

impl Domain {
    /// Every domain, for tests and tools.
    pub const ALL: [Self; 8] = [
        Self::PrePrepare,
        Self::Prepare,
        Self::Commit,
        Self::Checkpoint,
        Self::ViewChange,
        Self::NewView,
        Self::Command,
        Self::Subscribe,
    ];

    /// The tag: ASCII; none is the beginning of another, because `;` ends each and stands nowhere else in one.
    #[must_use]
    pub const fn tag(self) -> &'static [u8] {
        match self {
            Self::PrePrepare => b"varangian/1/pre-prepare;",
            Self::Prepare => b"varangian/1/prepare;",
            Self::Commit => b"varangian/1/commit;",
            Self::Checkpoint => b"varangian/1/checkpoint;",
            Self::ViewChange => b"varangian/1/view-change;",
            Self::NewView => b"varangian/1/new-view;",
            Self::Command => b"varangian/1/command;",
            Self::Subscribe => b"varangian/1/subscribe;",
        }
    }
}

/// The chain and its epoch: what a signature is bound to besides its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Context {
    /// SHA-256 of the canonical genesis.
    pub chain_id: Digest,
    /// Membership changes so far.
    pub epoch: u64,
}

/// The bytes that are signed: `tag || chain id || epoch (u64, little-endian) || body`.
#[must_use]
pub fn message(domain: Domain, context: &Context, body: &[u8]) -> Vec<u8> {
    let mut bytes = prefix(domain, context, body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// [`message`] without its body, with room for `body_bytes` more.
pub(crate) fn prefix(domain: Domain, context: &Context, body_bytes: usize) -> Vec<u8> {
    let tag = domain.tag();
    let mut bytes = Vec::with_capacity(tag.len() + 32 + 8 + body_bytes);
    bytes.extend_from_slice(tag);
    bytes.extend_from_slice(context.chain_id.as_bytes());
    bytes.extend_from_slice(&context.epoch.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests;
