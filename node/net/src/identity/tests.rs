#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn identity(seed: u8) -> Identity {
    Identity::new(&SigningKey::from_seed([seed; 32])).unwrap()
}

#[test]
fn what_tls_presents_is_the_key_that_the_signer_signs_with() {
    let secret = SigningKey::from_seed([7; 32]);
    let identity = Identity::new(&secret).unwrap();
    let signer_says = identity.certified.key.public_key().unwrap();
    assert_eq!(identity.certified.cert[0].as_ref(), signer_says.as_ref());
    assert_eq!(key_of(&identity.certified.cert[0]), Some(secret.network_key()));
}

#[test]
fn only_an_ed25519_key_is_read_from_a_key_info() {
    let good = spki(&SigningKey::from_seed([7; 32]).network_key());
    assert!(key_of(&good).is_some());
    let mut longer = good.to_vec();
    longer.push(0);
    assert_eq!(key_of(&CertificateDer::from(longer)), None);
    assert_eq!(key_of(&CertificateDer::from(&good[..43])), None);
    let mut x25519 = good.to_vec();
    x25519[8] = 0x6e;
    assert_eq!(key_of(&CertificateDer::from(x25519)), None);
    let mut small_order = good[..12].to_vec();
    small_order.extend_from_slice(&[0; 32]);
    assert_eq!(key_of(&CertificateDer::from(small_order)), None);
}

#[test]
fn derived_keys_outlive_a_restart_and_are_apart() {
    let derive = |seed, role, purpose: &[u8]| identity(seed).derive(role, purpose).unwrap();
    let key = derive(1, Role::Replica, b"stateless reset");
    assert_eq!(key, derive(1, Role::Replica, b"stateless reset"));
    assert_ne!(key, derive(2, Role::Replica, b"stateless reset"));
    assert_ne!(key, derive(1, Role::Client, b"stateless reset"), "no endpoint gives away tokens of the other");
    assert_ne!(key, derive(1, Role::Replica, b"connection id"));
}

#[test]
fn the_secret_is_not_printed() {
    let text = format!("{:?}", identity(9));
    assert!(!text.contains("0909") && !text.contains("9, 9"), "{text}");
}
