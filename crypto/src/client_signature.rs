//! Signatures of clients: ZIP 215, by ed25519-zebra, over `tag || chain id || epoch || digest`.
//!
//! The key was validated when it was decoded; the same bytes go to zebra. Every replica and every path answers the same for every signature, or a
//! client alone could make backups refuse what the primary proposed.

use core::convert::Infallible;

use ed25519_zebra::VerificationKeyBytes;
use rand_core::{TryCryptoRng, TryRng};

use crate::{BodyHasher, ClientKey, Context, Digest, Domain, Signature, SigningKey, VerifyError, message, simulation};

/// Signs a command by its digest, which covers the whole command.
#[must_use]
pub fn sign_client(key: &SigningKey, context: &Context, digest: &Digest) -> Signature {
    key.sign_in(context, &message(Domain::Command, context, digest.as_bytes()))
}

/// Signs the claim to a client's replies on one connection, by a digest that covers the connection.
#[must_use]
pub fn sign_subscription(key: &SigningKey, context: &Context, digest: &Digest) -> Signature {
    key.sign_in(context, &message(Domain::Subscribe, context, digest.as_bytes()))
}

/// Checks one command's signature.
///
/// # Errors
/// [`VerifyError::BadSignature`].
pub fn verify_client(
    context: &Context,
    key: &ClientKey,
    digest: &Digest,
    signature: &Signature,
) -> Result<(), VerifyError> {
    verify_single(Domain::Command, context, key, digest, signature)
}

/// Checks the signature of [`sign_subscription`].
///
/// # Errors
/// [`VerifyError::BadSignature`].
pub fn verify_subscription(
    context: &Context,
    key: &ClientKey,
    digest: &Digest,
    signature: &Signature,
) -> Result<(), VerifyError> {
    verify_single(Domain::Subscribe, context, key, digest, signature)
}

/// Checks many commands' signatures as one equation. Which one is bad it does not say: to find out would cost whoever checks four times as much,
/// and whoever sends nothing.
///
/// # Errors
/// [`VerifyError::BadSignature`] if one is bad.
pub fn verify_clients(context: &Context, items: &[(ClientKey, Digest, Signature)]) -> Result<(), VerifyError> {
    if simulation::is_simulated(context) {
        return items.iter().try_for_each(|(key, digest, signature)| verify_client(context, key, digest, signature));
    }
    if batch_holds(context, items) { Ok(()) } else { Err(VerifyError::BadSignature) }
}

/// Whether the random linear combination of all verification equations holds. By ZIP 215 it does if each of them does; if one does not, it does with
/// probability `2^-128`.
pub(crate) fn batch_holds(context: &Context, items: &[(ClientKey, Digest, Signature)]) -> bool {
    let mut batch = ed25519_zebra::batch::Verifier::new();
    let mut seed = BodyHasher::new("varangian 1 batch coefficients");
    seed.part(&message(Domain::Command, context, &[]));
    for (key, digest, signature) in items {
        seed.part(key.as_bytes()).part(digest.as_bytes());
        seed.part(signature.as_bytes());
        let bytes = message(Domain::Command, context, digest.as_bytes());
        let signature = ed25519_zebra::Signature::from_bytes(signature.as_bytes());
        batch.queue((VerificationKeyBytes::from(*key.as_bytes()), signature, bytes.as_slice()));
    }
    batch.verify(Coefficients(seed.reader())).is_ok()
}

/// The coefficients of a batch: BLAKE3's extendable output over everything in it, so that no randomness of the operating system is needed. Whoever
/// wants a bad batch to pass must find, by trying batches, one whose own hash suits it: `2^128` trials.
struct Coefficients(::blake3::OutputReader);

impl TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Coefficients {}

fn verify_single(
    domain: Domain,
    context: &Context,
    key: &ClientKey,
    digest: &Digest,
    signature: &Signature,
) -> Result<(), VerifyError> {
    if simulation::is_simulated(context) {
        return simulation::verify(key.as_bytes(), &message(domain, context, digest.as_bytes()), signature);
    }
    let key = ed25519_zebra::VerificationKey::try_from(*key.as_bytes()).map_err(|_| VerifyError::BadSignature)?;
    let signature = ed25519_zebra::Signature::from_bytes(signature.as_bytes());
    key.verify(&signature, &message(domain, context, digest.as_bytes())).map_err(|_| VerifyError::BadSignature)
}

#[cfg(test)]
mod tests;
