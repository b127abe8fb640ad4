//! An ordered batch of commands: what one slot agrees on.
//!
//! A body is the commands' bytes one after the other, kept as one large value and shared by reference.
//! Its digest covers each command's digest and signature in order, so the same commands in another order, or with another
//! signature, are another batch; the commands' bytes themselves are hashed only once, by the commands.

use crate::command::{Command, CommandError};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;
use core::hash::{Hash, Hasher};
use thiserror::Error;
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Committee, Digest, Verify, VerifyError, blake3, verify_clients};

/// The digest of the null batch (§4.4): executes as nothing, uses its slot. No batch has it, for nobody can find a
/// preimage of zero.
pub const NULL_BATCH: Digest = Digest::ZERO;

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Nothing in it. The empty batch has no body: see [`NULL_BATCH`].
    #[error("the batch is empty")]
    Empty,
    /// One of its commands is malformed.
    #[error("command {index} of the batch: {error}")]
    Command {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        error: CommandError,
    },
}

/// Commands in the order in which they run.
#[derive(Clone, Debug)]
pub struct Batch {
    digest: Digest,
    commands: Vec<Command>,
    encoded: Bytes,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Batch {}

impl Hash for Batch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl Batch {
    /// Orders `commands` into a batch; `None` if there are none.
    #[must_use]
    pub fn new(commands: Vec<Command>) -> Option<Self> {
        if commands.is_empty() {
            return None;
        }
        let mut body = Vec::with_capacity(commands.iter().map(|command| command.encoded().len()).sum());
        for command in &commands {
            body.extend_from_slice(command.encoded());
        }
        let encoded = Bytes::from(body);
        // Whatever they came in need not be kept for them.
        let mut rest = encoded.clone();
        let commands: Vec<_> = commands.into_iter().map(|command| command.moved(&mut rest)).collect();
        Some(Self { digest: digest(&commands), commands, encoded })
    }

    /// Decodes a body in place.
    ///
    /// # Errors
    /// [`BatchError`] if it is not a sequence of at least one command and nothing else.
    pub fn decode(encoded: Bytes) -> Result<Self, BatchError> {
        let mut rest = encoded.clone();
        let mut commands = Vec::new();
        while !rest.is_empty() {
            let index = commands.len();
            commands.push(Command::read(&mut rest).map_err(|error| BatchError::Command { index, error })?);
        }
        if commands.is_empty() {
            return Err(BatchError::Empty);
        }
        Ok(Self { digest: digest(&commands), commands, encoded })
    }

    /// Names the batch: its commands, their signatures and their order.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The commands in order; at least one.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The body as it is sent and stored.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Operations of all its commands.
    #[must_use]
    pub fn operation_count(&self) -> u64 {
        self.commands.iter().map(|command| u64::from(command.operation_count())).sum()
    }
}

impl Verify for Batch {
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        let parameters = committee.parameters();
        if self.encoded.len() as u64 > u64::from(parameters.max_batch_bytes) {
            return Err(VerifyError::Invalid("the batch is larger than max_batch_bytes"));
        }
        if self.operation_count() > u64::from(parameters.max_batch_operations) {
            return Err(VerifyError::Invalid("the batch has more operations than max_batch_operations"));
        }
        // A pool holds each identity once. All but one of them would only cost work when they are executed.
        let identities: BTreeSet<_> = self.commands.iter().map(Command::identity).collect();
        if identities.len() < self.commands.len() {
            return Err(VerifyError::Invalid("the batch has two commands of one client and sequence"));
        }
        for command in &self.commands {
            command.check_size(committee)?;
        }
        if seeded(Bug::ClientUnchecked) {
            return Ok(());
        }
        // A body may come from several peers; its digest covers everything that was signed, and the signatures.
        committee.once("signatures of a batch", &[self.digest.as_bytes()], || {
            let unknown = self.commands.iter().filter(|command| !command.is_known(committee));
            let signed: Vec<_> =
                unknown.map(|command| (command.client(), *command.digest(), *command.signature())).collect();
            verify_clients(committee.context(), &signed)
        })
    }
}

fn digest(commands: &[Command]) -> Digest {
    let mut parts = Vec::with_capacity(commands.len() * 2);
    for command in commands {
        parts.push(command.digest().as_bytes().as_slice());
        parts.push(command.signature().as_bytes().as_slice());
    }
    if seeded(Bug::OrderUnbound) {
        parts.sort_unstable();
    }
    blake3("varangian batch 1", &parts)
}
