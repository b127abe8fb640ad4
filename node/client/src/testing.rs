//! What several unit tests need: a genesis of four replicas with known keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use varangian_crypto::{Clients, Committee, Genesis, Member, Parameters, ReplicaId, SigningKey};

/// A client's key.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([100 + number; 32])
}

/// Four replicas; anybody may be a client.
pub(crate) fn genesis(parameters: Parameters) -> Genesis {
    let member = |id: u8| Member {
        id: ReplicaId(id.into()),
        name: format!("replica {id}"),
        consensus_key: SigningKey::from_seed([id; 32]).replica_key(),
        network_key: SigningKey::from_seed([50 + id; 32]).network_key(),
    };
    Genesis::new("test".into(), parameters, (0..4).map(member).collect(), Clients::Open { maximum: 100 }).unwrap()
}

/// Its committee.
pub(crate) fn committee(parameters: Parameters) -> Committee {
    Committee::new(&genesis(parameters))
}
