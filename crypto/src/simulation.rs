//! Signatures of simulated chains: a keyed hash in the place of ed25519, so that a simulator's time goes into the protocol.
//!
//! A chain is simulated if its epoch is the last number there is. Epochs count membership changes from 0, and only
//! [`Committee::simulated`](crate::Committee::simulated), which the feature `simulation` alone compiles, makes one of that epoch: without the feature
//! everything here is dead code, with it no genesis of a real chain gets here.
//!
//! A signature is a hash of the public key and the message that only this crate computes, so within a process only the holder of a
//! [`SigningKey`](crate::SigningKey) signs: what was not signed is refused like any forgery. Outside of a simulation it proves nothing.

use crate::{Context, Signature, VerifyError, sha256};

/// The epoch of simulated chains.
pub(crate) const EPOCH: u64 = u64::MAX;

/// Whether signatures of this chain and epoch are simulated.
pub(crate) const fn is_simulated(context: &Context) -> bool {
    cfg!(feature = "simulation") && context.epoch == EPOCH
}

pub(crate) fn sign(public: &[u8; 32], message: &[u8]) -> Signature {
    let digest = sha256("varangian simulated signature 1", &[public, message]);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(digest.as_bytes());
    Signature::from_bytes(bytes)
}

pub(crate) fn verify(public: &[u8; 32], message: &[u8], signature: &Signature) -> Result<(), VerifyError> {
    if sign(public, message) == *signature { Ok(()) } else { Err(VerifyError::BadSignature) }
}

#[cfg(all(test, feature = "simulation"))]
mod tests;
