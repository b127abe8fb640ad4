//! Who may sign in one epoch of a chain.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::cache::{CacheSlot, SignatureCache};
use crate::keys::ReplicaVerifier;
use crate::{
    Context, Digest, Genesis, KeyError, Parameters, Quorums, ReplicaId, ReplicaKey, Signature, VerifyError, sha256,
    simulation,
};

/// The members of one epoch, with everything that a signature check needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Committee {
    context: Context,
    quorums: Quorums,
    keys: Vec<ReplicaKey>,
    verifiers: Vec<ReplicaVerifier>,
    parameters: Parameters,
    cache: CacheSlot,
    client_cache: CacheSlot,
}

impl Committee {
    /// The committee of epoch 0.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let keys: Vec<_> = genesis.replicas().iter().map(|member| member.consensus_key).collect();
        Self {
            context: Context { chain_id: genesis.chain_id(), epoch: 0 },
            quorums: genesis.quorums(),
            verifiers: verifiers(&keys),
            keys,
            parameters: genesis.parameters().clone(),
            cache: CacheSlot::default(),
            client_cache: CacheSlot::default(),
        }
    }

    /// A committee whose signatures are simulated: cheap, and unforgeable only within one process. See the module `simulation`.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn simulated(genesis: &Genesis) -> Self {
        let mut committee = Self::new(genesis);
        committee.context.epoch = simulation::EPOCH;
        committee
    }

    /// The same committee, which remembers good signatures of replicas in `cache`.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<dyn SignatureCache>) -> Self {
        self.cache = CacheSlot(Some(cache));
        self
    }

    /// The same committee, which remembers in `cache` what [`Committee::once`] checks: of clients, whose flood must not drive out what replicas signed.
    #[must_use]
    pub fn with_client_cache(mut self, cache: Arc<dyn SignatureCache>) -> Self {
        self.client_cache = CacheSlot(Some(cache));
        self
    }

    /// The same members under another epoch, for tests of what an epoch separates.
    #[cfg(test)]
    pub(crate) fn with_epoch(mut self, epoch: u64) -> Self {
        self.context.epoch = epoch;
        self
    }

    /// Chain and epoch: what every signature here is bound to.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The sizes that follow from the number of members.
    #[must_use]
    pub const fn quorums(&self) -> Quorums {
        self.quorums
    }

    /// The parameters of the genesis.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// A member's key; `None` if `id` is out of range.
    #[must_use]
    pub fn key(&self, id: ReplicaId) -> Option<&ReplicaKey> {
        self.keys.get(id.index())
    }

    /// The primary of `view` (§4.1).
    #[must_use]
    pub const fn primary(&self, view: u64) -> ReplicaId {
        self.quorums.primary(view)
    }

    /// The one check of a replica's signature over bytes that [`crate::message`] built.
    ///
    /// # Errors
    /// [`VerifyError::UnknownSigner`] or [`VerifyError::BadSignature`].
    pub fn verify_signature(
        &self,
        signer: ReplicaId,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), VerifyError> {
        let verifier = self.verifiers.get(signer.index()).ok_or(VerifyError::UnknownSigner)?;
        if simulation::is_simulated(&self.context) {
            let key = self.keys.get(signer.index()).ok_or(VerifyError::UnknownSigner)?;
            return simulation::verify(key.as_bytes(), message, signature);
        }
        let parts = [&signer.0.to_le_bytes()[..], message, signature.as_bytes()];
        remember(&self.cache, || sha256("varangian good signature 1", &parts), || verifier.verify(message, signature))
    }

    /// Does a check that depends on this committee, `what` it is and `parts` alone; not again while the cache knows that it went well.
    ///
    /// # Errors
    /// The check's.
    pub fn once<E>(&self, what: &str, parts: &[&[u8]], check: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        remember(&self.client_cache, || self.name(what, parts), check)
    }

    /// Whether [`Committee::once`] has found this good, as far as is remembered.
    #[must_use]
    pub fn knows(&self, what: &str, parts: &[&[u8]]) -> bool {
        self.client_cache.0.as_ref().is_some_and(|cache| cache.knows(&self.name(what, parts)))
    }

    /// Names a check of [`Committee::once`]: in a domain of its own, so whatever is checked there can teach nothing about signatures of replicas.
    fn name(&self, what: &str, parts: &[&[u8]]) -> Digest {
        let (chain, epoch) = (self.context.chain_id, self.context.epoch.to_le_bytes());
        sha256("varangian checked once 1", &[&[what.as_bytes(), chain.as_bytes(), &epoch], parts].concat())
    }
}

fn remember<E>(
    cache: &CacheSlot,
    proof: impl FnOnce() -> Digest,
    check: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let Some(cache) = &cache.0 else { return check() };
    let proof = proof();
    if !cache.knows(&proof) {
        check()?;
        cache.learn(proof);
    }
    Ok(())
}

#[expect(clippy::expect_used, reason = "a ReplicaKey exists only validated")]
fn verifiers(keys: &[ReplicaKey]) -> Vec<ReplicaVerifier> {
    let verifiers: Result<_, KeyError> = keys.iter().map(ReplicaVerifier::new).collect();
    verifiers.expect("validated keys")
}

#[cfg(test)]
mod tests;
