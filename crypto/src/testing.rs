//! What the tests of this crate share: a committee whose keys come from small numbers, and statements.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::*;

pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([number; 32])
}

pub(crate) fn members(n: u16) -> Vec<Member> {
    (0..n)
        .map(|id| Member {
            id: ReplicaId(id),
            name: format!("replica-{id}"),
            consensus_key: key(1 + id as u8).replica_key(),
            network_key: key(101 + id as u8).network_key(),
        })
        .collect()
}

pub(crate) fn genesis(name: &str, n: u16) -> Genesis {
    let clients = Clients::AllowList([key(201).client_key(), key(202).client_key()].to_vec());
    Genesis::new(name.to_string(), Parameters::default(), members(n), clients).unwrap()
}

pub(crate) fn committee(name: &str, n: u16) -> (Committee, Vec<Signer>) {
    let committee = Committee::new(&genesis(name, n));
    let signers = (0..n).map(|id| Signer::new(ReplicaId(id), key(1 + id as u8), &committee).unwrap()).collect();
    (committee, signers)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub(crate) struct Vote {
    pub(crate) view: u64,
    pub(crate) slot: u64,
    pub(crate) digest: Digest,
}

/// A backup's vote: the primary sends none.
impl Statement for Vote {
    const DOMAIN: Domain = Domain::Prepare;

    fn check(&self, signer: ReplicaId, committee: &Committee) -> Result<(), VerifyError> {
        if signer == committee.primary(self.view) {
            return Err(VerifyError::Invalid("the primary sends no PREPARE"));
        }
        Ok(())
    }
}

/// The same bytes as a [`Vote`], in another domain, signed by the primary alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub(crate) struct Proposal(pub(crate) Vote);

impl Statement for Proposal {
    const DOMAIN: Domain = Domain::PrePrepare;

    fn check(&self, signer: ReplicaId, committee: &Committee) -> Result<(), VerifyError> {
        if signer == committee.primary(self.0.view) {
            return Ok(());
        }
        Err(VerifyError::NotPrimary)
    }
}

/// In view 3 of four replicas, the backups are 0, 1 and 2.
pub(crate) fn vote() -> Vote {
    Vote { view: 3, slot: 17, digest: sha256("test", &[b"batch"]) }
}
