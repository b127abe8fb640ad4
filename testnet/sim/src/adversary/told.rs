//! What a client is told of its command.
//!
//! Replies are made by the application behind the shell and are not signed: a client believes `f + 1` that are equal. So a behaviour does not get them
//! in its hands; it says what becomes of them, and whoever sends replies (a cluster, a world, the desk of a process) does it.

use varangian_consensus::{Identity, Millis};
use varangian_crypto::{Digest, sha256};

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// It is sent.
    #[default]
    Truth,
    /// Another result is sent: [`false_result`].
    Lie,
    /// It is sent after so long.
    Late(Millis),
    /// It is not sent.
    Nothing,
}

/// What liars say that a command came to: the same, however often and whoever says it, so `f` of them agree. It is known before the truth is.
#[must_use]
pub fn false_result(identity: &Identity) -> Digest {
    sha256("varangian false result", &[identity.client.as_bytes(), &identity.sequence.to_le_bytes()])
}
