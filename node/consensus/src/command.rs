//! A client's signed command: the unit of exactly-once.
//!
//! On the wire, in batches and on disk a command is one slice, decoded in place, never copied:
//!
//! | bytes | what |
//! |-|-|
//! | 32 | client's public key |
//! | 8 | sequence, little endian |
//! | 64 | signature |
//! | 4 | number of operations, little endian, at least 1 |
//! | 4 + len each | operations: length, bytes |
//!
//! The digest (BLAKE3) covers key, sequence and operations; the signature covers the digest. So a body is hashed once,
//! and that one digest serves the signature, the batch and the pools.

use crate::types::Sequence;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::hash::{Hash, Hasher};
use thiserror::Error;
use varangian_crypto::{
    ClientKey, Committee, Context, Digest, Signature, SigningKey, Verify, VerifyError, blake3, sign_client,
    verify_client,
};

/// What [`Committee::once`] remembers of a command.
const SIGNED: &str = "signature of a command";
const KEY_BYTES: usize = 32;
const SEQUENCE_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 64;
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = KEY_BYTES + SEQUENCE_BYTES + SIGNATURE_BYTES + LENGTH_BYTES;
/// Where a command's signature begins.
pub const SIGNATURE_AT: usize = KEY_BYTES + SEQUENCE_BYTES;
/// Where a command's operations begin: their number, behind the signature.
pub const OPERATIONS_AT: usize = SIGNATURE_AT + SIGNATURE_BYTES;

/// Why bytes are not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The bytes end before the command does.
    #[error("the command ends after {0} bytes")]
    Truncated(usize),
    /// The client's public key is not one.
    #[error("the client's key is not a valid public key")]
    Key,
    /// A command without operations asks for nothing.
    #[error("the command has no operations")]
    Empty,
    /// Bytes follow the command.
    #[error("{0} bytes follow the command")]
    Trailing(usize),
}

/// A signed bundle of operations by one client (the paper's REQUEST, §4.1). Its identity is (client, sequence);
/// its content is named by its digest.
#[derive(Clone, Debug)]
pub struct Command {
    client: ClientKey,
    sequence: Sequence,
    operations: u32,
    digest: Digest,
    signature: Signature,
    encoded: Bytes,
}

impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.signature == other.signature
    }
}

impl Eq for Command {}

impl Hash for Command {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
        self.signature.hash(state);
    }
}

impl Command {
    /// Signs a bundle of operations as (`key`, `sequence`).
    ///
    /// # Errors
    /// [`CommandError::Empty`] without operations.
    pub fn sign<O: AsRef<[u8]>>(
        key: &SigningKey,
        context: &Context,
        sequence: Sequence,
        operations: &[O],
    ) -> Result<Self, CommandError> {
        let client = key.client_key();
        let mut encoded = Vec::with_capacity(
            HEADER_BYTES + operations.iter().map(|o| LENGTH_BYTES + o.as_ref().len()).sum::<usize>(),
        );
        encoded.extend_from_slice(client.as_bytes());
        encoded.extend_from_slice(&sequence.to_le_bytes());
        encoded.extend_from_slice(&[0; SIGNATURE_BYTES]);
        let count = u32::try_from(operations.len()).unwrap_or(u32::MAX);
        encoded.extend_from_slice(&count.to_le_bytes());
        for operation in operations {
            let operation = operation.as_ref();
            encoded.extend_from_slice(&u32::try_from(operation.len()).unwrap_or(u32::MAX).to_le_bytes());
            encoded.extend_from_slice(operation);
        }
        let digest = digest(&encoded);
        let signature = sign_client(key, context, &digest);
        if let Some(place) = encoded.get_mut(SIGNATURE_AT..OPERATIONS_AT) {
            place.copy_from_slice(signature.as_bytes());
        }
        Self::decode(Bytes::from(encoded))
    }

    /// Decodes exactly one command.
    ///
    /// # Errors
    /// [`CommandError`] if the bytes are not one command and nothing else.
    pub fn decode(bytes: Bytes) -> Result<Self, CommandError> {
        let mut rest = bytes;
        let command = Self::read(&mut rest)?;
        if rest.is_empty() { Ok(command) } else { Err(CommandError::Trailing(rest.len())) }
    }

    /// Takes one command off the front of `bytes`, without copying.
    ///
    /// # Errors
    /// [`CommandError`] if the front is not a command; `bytes` is then unchanged.
    pub fn read(bytes: &mut Bytes) -> Result<Self, CommandError> {
        let mut rest = bytes.clone();
        let truncated = CommandError::Truncated(bytes.len());
        if rest.len() < HEADER_BYTES {
            return Err(truncated);
        }
        let mut key = [0; KEY_BYTES];
        rest.copy_to_slice(&mut key);
        let client = ClientKey::from_bytes(key).map_err(|_| CommandError::Key)?;
        let sequence = rest.get_u64_le();
        let mut signature = [0; SIGNATURE_BYTES];
        rest.copy_to_slice(&mut signature);
        let operations = rest.get_u32_le();
        if operations == 0 {
            return Err(CommandError::Empty);
        }
        for _ in 0..operations {
            if rest.len() < LENGTH_BYTES {
                return Err(truncated);
            }
            let length = rest.get_u32_le() as usize;
            if rest.len() < length {
                return Err(truncated);
            }
            rest.advance(length);
        }
        let encoded = bytes.split_to(bytes.len() - rest.len());
        let digest = digest(&encoded);
        Ok(Self { client, sequence, operations, digest, signature: Signature::from_bytes(signature), encoded })
    }

    /// The same command, its bytes those at the front of `bytes`, which are taken off.
    pub(crate) fn moved(self, bytes: &mut Bytes) -> Self {
        let encoded = bytes.split_to(self.encoded.len());
        debug_assert_eq!(encoded, self.encoded, "the same bytes elsewhere");
        Self { encoded, ..self }
    }

    /// The same command in bytes of its own: whatever it came in need not be kept for it.
    pub(crate) fn apart(self) -> Self {
        let encoded = Bytes::copy_from_slice(&self.encoded);
        Self { encoded, ..self }
    }

    /// Who signed it.
    #[must_use]
    pub const fn client(&self) -> ClientKey {
        self.client
    }

    /// The client's number for it.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// What exactly-once is about: at most one command per identity ever runs.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        Identity { client: self.client, sequence: self.sequence }
    }

    /// Names the content: key, sequence, operations; not the signature.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The client's signature over the digest.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// How many operations it bundles; at least 1.
    #[must_use]
    pub const fn operation_count(&self) -> u32 {
        self.operations
    }

    /// The operations, in the order in which they run.
    pub fn operations(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = self.encoded.slice(HEADER_BYTES..);
        (0..self.operations).map(move |_| {
            let length = rest.get_u32_le() as usize;
            rest.split_to(length)
        })
    }

    /// The whole command as it is sent, stored and batched.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// What is valid is a pure function of the bytes and the genesis parameters: sizes and counts here, then the signature.
    pub(crate) fn check_size(&self, committee: &Committee) -> Result<(), VerifyError> {
        let parameters = committee.parameters();
        if self.encoded.len() as u64 > u64::from(parameters.max_command_bytes) {
            return Err(VerifyError::Invalid("the command is larger than max_command_bytes"));
        }
        if self.operations > parameters.max_batch_operations {
            return Err(VerifyError::Invalid("the command has more operations than max_batch_operations"));
        }
        Ok(())
    }

    /// Whether its signature was found good before, as far as is remembered.
    pub(crate) fn is_known(&self, committee: &Committee) -> bool {
        committee.knows(SIGNED, &self.signed())
    }

    /// All that its signature's check depends on: the digest covers the client.
    const fn signed(&self) -> [&[u8]; 2] {
        [self.digest.as_bytes(), self.signature.as_bytes()]
    }
}

impl Verify for Command {
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        self.check_size(committee)?;
        // It comes from its client, from each backup that hands it on, and in a batch.
        committee.once(SIGNED, &self.signed(), || {
            verify_client(committee.context(), &self.client, &self.digest, &self.signature)
        })
    }
}

/// Names a command for exactly-once: pools, timers and the client table are keyed by it, never by a command's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The client's public key.
    pub client: ClientKey,
    /// The client's number.
    pub sequence: Sequence,
}

/// Covers all but the signature. `encoded` is at least a header long.
fn digest(encoded: &[u8]) -> Digest {
    let (front, rest) = encoded.split_at(SIGNATURE_AT);
    let (_, operations) = rest.split_at(SIGNATURE_BYTES);
    blake3("varangian command 1", &[front, operations])
}
