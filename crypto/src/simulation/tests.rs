#![allow(clippy::unwrap_used)]

use alloc::string::ToString;

use crate::testing::{genesis, key, vote};
use crate::*;

fn committee() -> Committee {
    Committee::simulated(&genesis("simulated", 4))
}

#[test]
fn what_was_signed_verifies_and_nothing_near_it() {
    let committee = committee();
    let signer = Signer::new(ReplicaId(1), key(2), &committee).unwrap();
    let signed = signer.sign(vote()).into_inner();
    assert_eq!(signed.check(&committee), Ok(()));
    let mut other = signed.clone();
    other.statement.slot += 1;
    assert_eq!(other.check(&committee), Err(VerifyError::BadSignature));
    let mut other = signed.clone();
    other.signer = ReplicaId(2);
    assert_eq!(other.check(&committee), Err(VerifyError::BadSignature));
    let mut bytes = *signed.signature.as_bytes();
    for place in [0, 31, 32, 63] {
        bytes[place] ^= 1;
        let forged = Signed { signature: Signature::from_bytes(bytes), ..signed.clone() };
        assert_eq!(forged.check(&committee), Err(VerifyError::BadSignature), "byte {place}");
        bytes[place] ^= 1;
    }
}

#[test]
fn a_real_chain_and_a_simulated_one_refuse_each_other() {
    let (genesis, simulated) = (genesis("simulated", 4), committee());
    let real = Committee::new(&genesis);
    assert_eq!(real.context().chain_id.to_string(), simulated.context().chain_id.to_string());
    let by = |committee| Signer::new(ReplicaId(1), key(2), committee).unwrap().sign(vote()).into_inner();
    assert!(by(&real).check(&simulated).is_err());
    assert!(by(&simulated).check(&real).is_err());
    assert_eq!(by(&real).check(&real), Ok(()));
}

#[test]
fn clients_alike() {
    let committee = committee();
    let (context, digest, other) = (committee.context(), sha256("test", &[b"a"]), sha256("test", &[b"b"]));
    let (client, signature) = (key(201).client_key(), sign_client(&key(201), context, &digest));
    assert_eq!(verify_client(context, &client, &digest, &signature), Ok(()));
    assert!(verify_client(context, &client, &other, &signature).is_err());
    assert!(verify_client(context, &key(202).client_key(), &digest, &signature).is_err());
    assert_eq!(verify_clients(context, &[(client, digest, signature)]), Ok(()));
    assert_eq!(
        verify_clients(context, &[(client, digest, signature), (client, other, signature)]),
        Err(VerifyError::BadSignature)
    );
}

#[test]
fn what_is_signed_abroad_is_good_there_alone() {
    for chain in [Committee::new, Committee::simulated] {
        let (here, there) = (chain(&genesis("here", 4)), chain(&genesis("there", 4)));
        let signer = Signer::new(ReplicaId(1), key(2), &here).unwrap();
        let signed = signer.sign_abroad(there.context().chain_id, vote());
        assert_eq!(signed.check(&there), Ok(()));
        assert_eq!(signed.check(&here), Err(VerifyError::BadSignature));
    }
}
