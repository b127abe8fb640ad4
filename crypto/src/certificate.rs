//! Quorum certificates: equal statements of distinct signers, checked by who they are and never by how many messages came.

use crate::seeded::{Bug, seeded};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::signed::signing_bytes;
use crate::{
    Bounded, Committee, Domain, MAX_REPLICAS, Quorums, ReplicaId, Signature, Signed, Statement, Verified, Verify,
    VerifyError,
};

/// One statement signed by exactly a quorum, in ascending order of signers. Transferable: the committee alone is needed to check it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct QuorumCertificate<S> {
    /// What all of them state.
    pub statement: S,
    /// Who, and by which signature.
    pub signatures: Bounded<(ReplicaId, Signature), MAX_REPLICAS>,
}

impl<S> QuorumCertificate<S> {
    /// A certificate of the `q` signers with the smallest ids, a signer's first vote counting; `None` if there are fewer. Not checked: see [`Verify::verify`].
    #[must_use]
    pub fn from_votes(
        statement: S,
        votes: impl IntoIterator<Item = (ReplicaId, Signature)>,
        quorums: Quorums,
    ) -> Option<Self> {
        let signatures = lowest(votes, quorums.quorum())?;
        Some(Self { statement, signatures })
    }

    /// The signers, ascending.
    pub fn signers(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.signatures.iter().map(|(id, _)| *id)
    }
}

impl<S: Statement + Clone + PartialEq> QuorumCertificate<S> {
    /// The same from votes that are verified already, so the certificate is too. `None` if fewer than a quorum state `statement`; other statements are passed over.
    #[must_use]
    pub fn from_verified<'a>(
        statement: &S,
        votes: impl IntoIterator<Item = &'a Verified<Signed<S>>>,
        quorums: Quorums,
    ) -> Option<Verified<Self>>
    where
        S: 'a,
    {
        let equal =
            votes.into_iter().filter(|vote| vote.statement == *statement).map(|vote| (vote.signer, vote.signature));
        Self::from_votes(statement.clone(), equal, quorums).map(Verified::trust)
    }
}

impl<S: Statement> Verify for QuorumCertificate<S> {
    fn check(&self, committee: &Committee) -> Result<(), VerifyError> {
        if seeded(Bug::DecidedUnchecked) && S::DOMAIN == Domain::Commit {
            return Ok(());
        }
        check_signatures(&self.statement, &self.signatures, committee.quorums().quorum(), committee)
    }
}

/// Checks exactly `expected` signatures of one statement: signers in range and strictly ascending, each signature good, the statement's rules kept by each signer.
/// For certificates of another size too, such as the `q - 1` PREPAREs beside a PRE-PREPARE.
///
/// # Errors
/// The first thing that is wrong; the cheap things are looked at first.
pub fn check_signatures<S: Statement>(
    statement: &S,
    signatures: &[(ReplicaId, Signature)],
    expected: usize,
    committee: &Committee,
) -> Result<(), VerifyError> {
    if signatures.len() != expected {
        return Err(VerifyError::NotAQuorum);
    }
    if !signatures
        .is_sorted_by(|(left, _), (right, _)| left < right || (seeded(Bug::DuplicateSigners) && left == right))
    {
        return Err(VerifyError::Unordered);
    }
    let message = signing_bytes(committee.context(), statement);
    for (signer, signature) in signatures {
        committee.verify_signature(*signer, &message, signature)?;
        statement.check(*signer, committee)?;
    }
    Ok(())
}

/// The `count` votes of the smallest ids; `None` if there are fewer distinct ones.
fn lowest(
    votes: impl IntoIterator<Item = (ReplicaId, Signature)>,
    count: usize,
) -> Option<Bounded<(ReplicaId, Signature), MAX_REPLICAS>> {
    let mut distinct = BTreeMap::new();
    for (signer, signature) in votes {
        distinct.entry(signer).or_insert(signature);
    }
    if distinct.len() < count {
        return None;
    }
    let signatures: Vec<_> = distinct.into_iter().take(count).collect();
    Bounded::try_from(signatures).ok()
}

#[cfg(test)]
mod tests;
