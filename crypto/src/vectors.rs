//! Keys and signatures at the edges of ed25519, and what each predicate answers: the classes of "Taming the many EdDSAs" (ePrint 2020/1244), each
//! built for this crate's own signing bytes, so that every public path can be walked.
//!
//! All are signatures of the digest `00 01 … 1f` as a command, on the chain `11 … 11` in epoch 7. "T" below is a point of order 8.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod table;

use alloc::vec::Vec;

use crate::keys::ReplicaVerifier;
use crate::testing::key;
use crate::*;

use table::VECTORS;

struct Vector {
    name: &'static str,
    key: &'static str,
    signature: &'static str,
    /// What parsing the key answers, whatever kind of key it shall be.
    parsed: Result<(), KeyError>,
    /// Whether the predicate of replicas accepts.
    replica: bool,
    /// Whether the predicate of clients accepts.
    client: bool,
}

fn context() -> Context {
    Context { chain_id: Digest::from_bytes([0x11; 32]), epoch: 7 }
}

fn digest() -> Digest {
    Digest::from_bytes(core::array::from_fn(|at| at as u8))
}

/// The answers of every path of clients: alone, in a batch of one, and first, in the middle and last among valid ones.
fn client_answers(key: ClientKey, signature: Signature) -> Vec<bool> {
    let item = (key, digest(), signature);
    let valid = |number| {
        let key = testing::key(number);
        (key.client_key(), digest(), sign_client(&key, &context(), &digest()))
    };
    let single = verify_client(&context(), &key, &digest(), &signature).is_ok();
    let alone = verify_clients(&context(), &[item]).is_ok();
    let twice = verify_clients(&context(), &[item, item]).is_ok();
    let among = (0..3).map(|place| {
        let mut items = [valid(1), valid(2), valid(3)];
        items[place] = item;
        verify_clients(&context(), &items).is_ok()
    });
    let combined = client_signature::batch_holds(&context(), &[item]);
    [single, alone, twice, combined].into_iter().chain(among).collect()
}

/// The answer of every path of replicas: directly, and in a committee that has this key.
fn replica_answers(key: &ReplicaKey, signature: &Signature) -> Vec<bool> {
    let bytes = message(Domain::Command, &context(), digest().as_bytes());
    let direct = ReplicaVerifier::new(key).unwrap().verify(&bytes, signature).is_ok();
    let mut members = testing::members(4);
    members[2].consensus_key = *key;
    let genesis = Genesis::new("vectors".into(), Parameters::default(), members, Clients::Open { maximum: 1 }).unwrap();
    let committee = Committee::new(&genesis);
    let member = committee.verify_signature(ReplicaId(2), &bytes, signature).is_ok();
    [direct, member].to_vec()
}

#[test]
fn every_path_answers_what_the_table_says() {
    for vector in VECTORS {
        let signature: Signature = vector.signature.parse().unwrap();
        assert_eq!(vector.key.parse::<ReplicaKey>().map(drop), vector.parsed, "{}", vector.name);
        assert_eq!(vector.key.parse::<NetworkKey>().map(drop), vector.parsed, "{}", vector.name);
        assert_eq!(vector.key.parse::<ClientKey>().map(drop), vector.parsed, "{}", vector.name);
        if let (Ok(replica), Ok(client)) = (vector.key.parse(), vector.key.parse()) {
            for answer in replica_answers(&replica, &signature) {
                assert_eq!(answer, vector.replica, "replicas: {}", vector.name);
            }
            for answer in client_answers(client, signature) {
                assert_eq!(answer, vector.client, "clients: {}", vector.name);
            }
        } else {
            assert!(!vector.replica && !vector.client, "{}", vector.name);
        }
    }
}

/// The table would prove nothing if a class were missing from it.
#[test]
fn the_table_tells_the_predicates_apart() {
    let count = |test: fn(&&Vector) -> bool| VECTORS.iter().filter(test).count();
    assert_eq!(VECTORS.len(), 69);
    assert_eq!(count(|vector| vector.parsed == Err(KeyError::SmallOrder)), 14);
    assert_eq!(count(|vector| vector.parsed == Err(KeyError::NonCanonical)), 20);
    assert_eq!(count(|vector| vector.parsed == Err(KeyError::NotOnCurve)), 1);
    assert_eq!(count(|vector| vector.replica && vector.client), 3);
    assert_eq!(count(|vector| !vector.replica && vector.client), 21);
    assert_eq!(count(|vector| vector.replica && !vector.client), 0);
}

/// Both predicates accept what this crate itself signs, so no path refuses everything.
#[test]
fn honest_signatures_pass_every_path() {
    let key = key(9);
    let signature = sign_client(&key, &context(), &digest());
    assert!(client_answers(key.client_key(), signature).iter().all(|answer| *answer));
    assert!(replica_answers(&key.replica_key(), &signature).iter().all(|answer| *answer));
}
