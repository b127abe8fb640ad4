//! Statements of replicas, their signatures, and [`Verified`], the only door from the outside to the protocol's core.

use alloc::sync::Arc;
use core::ops::Deref;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Committee, Context, Domain, ReplicaId, Signature, SigningKey, VerifyError, domain};

/// What a replica signs: `tag || chain id || epoch || canonical bytes`. It does not hold its signer: the key says who that is.
pub trait Statement: BorshSerialize {
    /// The type's own domain; no two types share one.
    const DOMAIN: Domain;

    /// Rules beyond the signature, such as "the signer is the primary of the view" or nested certificates. Called after the signature was found good.
    ///
    /// # Errors
    /// The rule that is broken.
    fn check(&self, _signer: ReplicaId, _committee: &Committee) -> Result<(), VerifyError> {
        Ok(())
    }
}

/// The bytes that a signature of `statement` covers.
pub(crate) fn signing_bytes<S: Statement>(context: &Context, statement: &S) -> alloc::vec::Vec<u8> {
    let mut bytes = domain::prefix(S::DOMAIN, context, 128);
    append(statement, &mut bytes);
    bytes
}

#[expect(clippy::expect_used, reason = "a Vec never refuses bytes; see codec::encode")]
fn append<S: BorshSerialize>(statement: &S, bytes: &mut alloc::vec::Vec<u8>) {
    borsh::to_writer(bytes, statement).expect("encoding to memory");
}

/// A statement with the signature of the replica that makes it. Unproved until [`Verify::verify`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signed<S> {
    /// What is stated.
    pub statement: S,
    /// Who states it.
    pub signer: ReplicaId,
    /// By which signature.
    pub signature: Signature,
}

/// Something whose proof can be checked against the committee alone.
pub trait Verify: Sized {
    /// Checks every signature and rule.
    ///
    /// # Errors
    /// The first thing that is wrong.
    fn check(&self, committee: &Committee) -> Result<(), VerifyError>;

    /// [`Self::check`], and a value that remembers it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    fn verify(self, committee: &Committee) -> Result<Verified<Self>, VerifyError> {
        self.check(committee)?;
        Ok(Verified(self))
    }
}

impl<S: Statement> Signed<S> {
    /// Whether the signer really signed this, whatever the statement's own rules say of it: what evidence rests on.
    ///
    /// # Errors
    /// [`VerifyError::UnknownSigner`] or [`VerifyError::BadSignature`].
    pub fn check_signature(&self, committee: &Committee) -> Result<(), VerifyError> {
        let message = signing_bytes(committee.context(), &self.statement);
        committee.verify_signature(self.signer, &message, &self.signature)
    }
}

impl<S: Statement> Verify for Signed<S> {
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        self.check_signature(committee)?;
        self.statement.check(self.signer, committee)
    }
}

impl<T: Verify> Verify for Arc<T> {
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        T::check(self, committee)
    }
}

/// A value whose signatures and rules were checked. Only this crate builds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Only for what this crate has just signed or assembled from verified parts.
    pub(crate) const fn trust(value: T) -> Self {
        Self(value)
    }

    /// The value, without the memory of its check.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A replica's hand: its id, its key, and the chain and epoch that it signs for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signer {
    id: ReplicaId,
    key: SigningKey,
    context: Context,
}

impl Signer {
    /// The signer of replica `id`.
    ///
    /// # Errors
    /// [`VerifyError::UnknownSigner`] if the committee does not list this key at `id`: every peer would refuse what it signs.
    pub fn new(id: ReplicaId, key: SigningKey, committee: &Committee) -> Result<Self, VerifyError> {
        if committee.key(id) != Some(&key.replica_key()) {
            return Err(VerifyError::UnknownSigner);
        }
        Ok(Self { id, key, context: *committee.context() })
    }

    /// Who signs.
    #[must_use]
    pub const fn id(&self) -> ReplicaId {
        self.id
    }

    /// The chain and epoch it signs for.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Signs. The statement's own rules are not checked again: whoever makes a statement answers for them.
    #[must_use]
    pub fn sign<S: Statement>(&self, statement: S) -> Verified<Signed<S>> {
        let signature = self.key.sign_in(&self.context, &signing_bytes(&self.context, &statement));
        Verified(Signed { statement, signer: self.id, signature })
    }

    /// What the same key signs on another chain, for adversaries that bring it here. Nothing here is verified by it.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn sign_abroad<S: Statement>(&self, chain_id: crate::Digest, statement: S) -> Signed<S> {
        let context = Context { chain_id, ..self.context };
        Self { context, ..self.clone() }.sign(statement).into_inner()
    }
}

#[cfg(test)]
mod tests;
