//! What every other crate trusts: digests, keys, signatures, the one codec, quorums and the genesis.
//!
//! No input or output, no clock, no randomness: `no_std` with `alloc`. Bytes from outside become values by [`decode`], signed values become
//! [`Verified`] ones by [`Verify::verify`], and only this crate builds a [`Verified`].
//!
//! Reading order:
//!
//! - [`codec`]: canonical bytes of a value and back; bounded collections.
//! - [`digest`]: SHA-256 and BLAKE3 over parts, both injective and domain-separated.
//! - [`keys`]: signing keys, three kinds of public keys, which encodings are refused and why.
//! - [`domain`]: what stands in front of every signed message.
//! - [`quorum`]: the arithmetic of `n`, `f`, quorum and primary. Nowhere else.
//! - [`parameters`], [`genesis`]: the numbers and members of a chain, validated together.
//! - [`committee`]: who may sign in one epoch.
//! - [`cache`]: signatures that were found good before.
//! - [`signed`]: statements of replicas, their signatures, the [`Verified`] door.
//! - [`certificate`]: equal statements of a quorum.
//! - [`client_signature`]: commands of clients, alone and in batches.
//! - `simulation`: signatures of simulated chains.
//! - [`state_digest`]: an incremental digest of a set of entries.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod cache;
pub mod certificate;
pub mod client_signature;
pub mod codec;
pub mod committee;
pub mod digest;
pub mod domain;
pub mod genesis;
pub mod keys;
pub mod parameters;
pub mod quorum;
pub mod seeded;
pub mod signed;
pub mod state_digest;

mod error;
mod hexadecimal;
mod simulation;

pub use cache::SignatureCache;
pub use certificate::{QuorumCertificate, check_signatures};
pub use client_signature::{sign_client, sign_subscription, verify_client, verify_clients, verify_subscription};
pub use codec::{Bounded, BoundedBytes, decode, encode};
pub use committee::Committee;
pub use digest::{BodyHasher, Digest, blake3, sha256};
pub use domain::{Context, Domain, message};
pub use error::{CodecError, GenesisError, KeyError, VerifyError};
pub use genesis::{Clients, Genesis, Member};
pub use keys::{ClientKey, NetworkKey, ReplicaKey, Signature, SigningKey};
pub use parameters::Parameters;
pub use quorum::{MAX_REPLICAS, Quorums, ReplicaId};
pub use signed::{Signed, Signer, Statement, Verified, Verify};
pub use state_digest::StateDigest;

#[cfg(test)]
mod frozen;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;
