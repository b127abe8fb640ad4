#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use proptest::prelude::*;

use crate::testing::{Vote, committee, genesis, key, members, vote};
use crate::*;

/// The property of the codec for one type: what `bytes` decode to, if to anything, encodes to the same bytes.
fn bijective<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = decode::<T>(bytes) {
        prop_assert_eq!(encode(&value), bytes);
    }
    Ok(())
}

/// `value` survives, and every small damage to its bytes is refused or another canonical value.
fn survives<T: BorshSerialize + BorshDeserialize + PartialEq + Debug>(
    value: &T,
    damage: &Damage,
) -> Result<(), TestCaseError> {
    let bytes = encode(value);
    prop_assert_eq!(&decode::<T>(&bytes).unwrap(), value);
    bijective::<T>(&damage.apply(bytes))
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Append(Vec<u8>),
    Insert(prop::sample::Index, u8),
}

impl Damage {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Flip(at, mask) => {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Append(more) => bytes.extend(more),
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        }
        bytes
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Damage::Append),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
    ]
}

fn votes() -> impl Strategy<Value = Vote> {
    (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(view, slot, digest)| Vote {
        view,
        slot,
        digest: Digest::from_bytes(digest),
    })
}

fn signatures() -> impl Strategy<Value = Signature> {
    prop::collection::vec(any::<u8>(), 64).prop_map(|bytes| Signature::from_bytes(bytes.try_into().unwrap()))
}

type Map = BTreeMap<u16, u8>;

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        bijective::<Digest>(&bytes)?;
        bijective::<ReplicaId>(&bytes)?;
        bijective::<ReplicaKey>(&bytes)?;
        bijective::<NetworkKey>(&bytes)?;
        bijective::<ClientKey>(&bytes)?;
        bijective::<Signature>(&bytes)?;
        bijective::<Context>(&bytes)?;
        bijective::<Signed<Vote>>(&bytes)?;
        bijective::<QuorumCertificate<Vote>>(&bytes)?;
        bijective::<Parameters>(&bytes)?;
        bijective::<Member>(&bytes)?;
        bijective::<Clients>(&bytes)?;
        bijective::<Genesis>(&bytes)?;
        bijective::<Bounded<u16, 5>>(&bytes)?;
        bijective::<BoundedBytes<5>>(&bytes)?;
        bijective::<Map>(&bytes)?;
    }

    /// Arbitrary bytes of the right length, so that fixed-size types are reached at all.
    #[test]
    fn arbitrary_keys_are_refused_or_canonical(bytes in any::<[u8; 32]>()) {
        bijective::<Digest>(&bytes)?;
        bijective::<ReplicaKey>(&bytes)?;
        bijective::<NetworkKey>(&bytes)?;
        bijective::<ClientKey>(&bytes)?;
    }

    #[test]
    fn damaged_values_are_refused_or_canonical(
        seed in any::<[u8; 32]>(),
        vote in votes(),
        pairs in prop::collection::vec((any::<u16>(), signatures()), 0..9),
        elements in prop::collection::vec(any::<u16>(), 0..=5),
        map in prop::collection::btree_map(any::<u16>(), any::<u8>(), 0..5),
        damage in damage(),
    ) {
        let signing = SigningKey::from_seed(seed);
        let signature = signing.sign(b"anything");
        survives(&vote.digest, &damage)?;
        survives(&ReplicaId(vote.slot as u16), &damage)?;
        survives(&signing.replica_key(), &damage)?;
        survives(&signing.network_key(), &damage)?;
        survives(&signing.client_key(), &damage)?;
        survives(&signature, &damage)?;
        survives(&Context { chain_id: vote.digest, epoch: vote.view }, &damage)?;
        let signer = ReplicaId(vote.slot as u16);
        survives(&Signed { statement: vote.clone(), signer, signature }, &damage)?;
        let signatures: Vec<_> = pairs.into_iter().map(|(id, signature)| (ReplicaId(id), signature)).collect();
        survives(&QuorumCertificate { statement: vote, signatures: signatures.try_into().unwrap() }, &damage)?;
        let bytes: Vec<u8> = elements.iter().map(|element| *element as u8).collect();
        survives(&Bounded::<u16, 5>::try_from(elements).unwrap(), &damage)?;
        survives(&BoundedBytes::<5>::try_from(bytes).unwrap(), &damage)?;
        survives(&map, &damage)?;
    }

    #[test]
    fn a_damaged_genesis_is_refused_or_canonical(damage in damage()) {
        let genesis = genesis("damage", 4);
        survives(&genesis, &damage)?;
        survives(genesis.parameters(), &damage)?;
        survives(genesis.clients(), &damage)?;
        survives(&Clients::Open { maximum: 9 }, &damage)?;
        survives(&members(4)[3], &damage)?;
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = encode(&vote());
    assert!(decode::<Vote>(&bytes).is_ok());
    bytes.push(0);
    assert!(matches!(decode::<Vote>(&bytes), Err(CodecError::Malformed(_))));
}

/// The feature `de_strict_order` of borsh is relied on: without it both of these are accepted.
#[test]
fn maps_out_of_order_or_with_a_key_twice_are_refused() {
    let map = |entries: &[(u16, u8)]| encode(&entries.to_vec());
    assert_eq!(decode::<Map>(&map(&[(1, 7), (2, 8)])).unwrap(), Map::from([(1, 7), (2, 8)]));
    assert!(decode::<Map>(&map(&[(2, 8), (1, 7)])).is_err());
    assert!(decode::<Map>(&map(&[(1, 7), (1, 7)])).is_err());
}

#[test]
fn a_bound_holds_at_construction_push_and_decoding() {
    let full = Bounded::<u16, 3>::try_from(vec![1, 2, 3]).unwrap();
    let refused = CodecError::TooLong { length: 4, maximum: 3 };
    assert_eq!(full.clone().push(4), Err(refused.clone()));
    assert_eq!(Bounded::<u16, 3>::try_from(vec![1, 2, 3, 4]), Err(refused.clone()));
    assert_eq!(decode::<Bounded<u16, 3>>(&encode(&vec![1u16, 2, 3])), Ok(full));
    let decoded = decode::<Bounded<u16, 3>>(&encode(&vec![1u16, 2, 3, 4]));
    assert_eq!(decoded, Err(CodecError::Malformed(refused.to_string())));
}

#[test]
fn a_bound_in_bytes_holds_at_construction_and_decoding() {
    let refused = CodecError::TooLong { length: 4, maximum: 3 };
    assert_eq!(BoundedBytes::<3>::try_from(&b"abcd"[..]), Err(refused.clone()));
    assert_eq!(BoundedBytes::<3>::try_from(b"abcd".to_vec()), Err(refused.clone()));
    assert_eq!(BoundedBytes::<3>::try_from(Bytes::from_static(b"abcd")), Err(refused.clone()));
    let full = BoundedBytes::<3>::try_from(&b"abc"[..]).unwrap();
    assert_eq!(decode::<BoundedBytes<3>>(&encode(&b"abc".to_vec())), Ok(full));
    let decoded = decode::<BoundedBytes<3>>(&encode(&b"abcd".to_vec()));
    assert_eq!(decoded, Err(CodecError::Malformed(refused.to_string())));
}

/// A claimed length below the bound with nothing behind it: the reader asks for one chunk, not for what was claimed.
#[test]
fn a_claimed_length_allocates_no_more_than_a_chunk() {
    struct Claim(Vec<u8>, usize);
    impl borsh::io::Read for Claim {
        fn read(&mut self, buffer: &mut [u8]) -> borsh::io::Result<usize> {
            self.1 = self.1.max(buffer.len());
            let length = buffer.len().min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }
    let mut claim = Claim((1u32 << 30).to_le_bytes().to_vec(), 0);
    assert!(BoundedBytes::<{ 1 << 30 }>::deserialize_reader(&mut claim).is_err());
    assert_eq!(claim.1, super::CHUNK_BYTES);
}

#[test]
fn bytes_longer_than_a_chunk_survive() {
    let long: Vec<u8> = (0..3 * super::CHUNK_BYTES + 5).map(|at| at as u8).collect();
    let bytes = BoundedBytes::<1_000_000>::try_from(long).unwrap();
    assert_eq!(decode::<BoundedBytes<1_000_000>>(&encode(&bytes)), Ok(bytes));
}

#[test]
fn a_certificate_longer_than_any_committee_is_refused() {
    let (_, signers) = committee("long", 4);
    let signature = signers[0].sign(vote()).into_inner().signature;
    let mut bytes = encode(&vote());
    bytes.extend(encode(&vec![(ReplicaId(0), signature); MAX_REPLICAS + 1]));
    assert!(decode::<QuorumCertificate<Vote>>(&bytes).is_err());
}

#[test]
fn keys_decode_only_validated() {
    assert!(decode::<ClientKey>(key(1).client_key().as_bytes()).is_ok());
    assert!(decode::<ClientKey>(&[0; 32]).is_err());
    assert!(decode::<ReplicaKey>(&[0; 32]).is_err());
    assert!(decode::<NetworkKey>(&[0; 32]).is_err());
}
