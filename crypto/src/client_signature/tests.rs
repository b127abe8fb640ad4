#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::vec::Vec;

use crate::testing::key;
use crate::*;

fn context() -> Context {
    Context { chain_id: sha256("chain", &[]), epoch: 0 }
}

/// Signed commands of three clients, several each.
fn commands(count: u8) -> Vec<(ClientKey, Digest, Signature)> {
    (0..count)
        .map(|number| {
            let key = key(1 + number % 3);
            let digest = blake3("command", &[&[number]]);
            (key.client_key(), digest, sign_client(&key, &context(), &digest))
        })
        .collect()
}

#[test]
fn what_a_client_signs_verifies_alone_and_together() {
    let all = commands(9);
    for (key, digest, signature) in &all {
        assert_eq!(verify_client(&context(), key, digest, signature), Ok(()));
    }
    assert!(super::batch_holds(&context(), &all));
    assert!(super::batch_holds(&context(), &[]));
    assert_eq!(verify_clients(&context(), &all), Ok(()));
    assert_eq!(verify_clients(&context(), &[]), Ok(()));
}

#[test]
fn a_bad_one_is_found_wherever_it_stands() {
    for bad in 0..9 {
        let mut all = commands(9);
        all[bad].1 = blake3("another command", &[]);
        assert!(!super::batch_holds(&context(), &all));
        assert_eq!(verify_clients(&context(), &all), Err(VerifyError::BadSignature));
        all[8].2 = Signature::from_bytes([7; 64]);
        assert_eq!(verify_clients(&context(), &all), Err(VerifyError::BadSignature));
    }
}

/// Two signatures whose errors cancel in a sum without random coefficients.
#[test]
fn errors_that_cancel_each_other_are_found() {
    let mut all = commands(2);
    let add = |signature: &Signature, amount: i16| {
        let mut bytes = *signature.as_bytes();
        bytes[32] = u8::try_from(i16::from(bytes[32]) + amount).unwrap();
        Signature::from_bytes(bytes)
    };
    assert!(all[0].2.as_bytes()[32] < 255 && all[1].2.as_bytes()[32] > 0);
    all[0].2 = add(&all[0].2, 1);
    all[1].2 = add(&all[1].2, -1);
    assert!(!super::batch_holds(&context(), &all));
    assert_eq!(verify_clients(&context(), &all), Err(VerifyError::BadSignature));
}

#[test]
fn a_clients_signature_means_nothing_on_another_chain_or_epoch() {
    let all = commands(1);
    let (key, digest, signature) = &all[0];
    let chain = Context { chain_id: sha256("another chain", &[]), ..context() };
    let epoch = Context { epoch: 1, ..context() };
    for foreign in [chain, epoch] {
        assert_eq!(verify_client(&foreign, key, digest, signature), Err(VerifyError::BadSignature));
        assert_eq!(verify_clients(&foreign, &all), Err(VerifyError::BadSignature));
    }
}

#[test]
fn a_command_and_a_subscription_cannot_stand_for_each_other() {
    let (client, digest) = (key(1), blake3("either", &[]));
    let command = sign_client(&client, &context(), &digest);
    let subscription = sign_subscription(&client, &context(), &digest);
    let public = client.client_key();
    assert_eq!(verify_subscription(&context(), &public, &digest, &subscription), Ok(()));
    assert_eq!(verify_subscription(&context(), &public, &digest, &command), Err(VerifyError::BadSignature));
    assert_eq!(verify_client(&context(), &public, &digest, &subscription), Err(VerifyError::BadSignature));
}
