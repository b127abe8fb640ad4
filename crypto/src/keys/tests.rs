#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::format;
use alloc::string::ToString;

use crate::testing::key;
use crate::{ClientKey, KeyError, ReplicaKey, SigningKey};

/// RFC 8032 §7.1, first test: the seed gives this public key, and this signature of the empty message.
#[test]
fn agrees_with_rfc_8032() {
    let seed: [u8; 32] =
        crate::hexadecimal::parse("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let key = SigningKey::from_seed(seed);
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(key.replica_key().to_string(), public);
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    assert_eq!(key.sign(b"").to_string(), signature);
    assert_eq!(*key.to_seed(), seed);
}

#[test]
fn a_signing_key_is_never_printed() {
    let key = key(0x5a);
    let printed = format!("{key:?}");
    assert!(!printed.contains(&"5a".repeat(4)), "{printed}");
    assert!(!printed.contains("90, 90"), "{printed}");
    assert!(printed.contains(&key.replica_key().to_string()), "{printed}");
}

#[test]
fn signing_keys_are_equal_by_their_public_half() {
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
}

#[test]
fn text_and_json_validate_the_key() {
    let good = key(3).client_key();
    assert_eq!(good.to_string().parse(), Ok(good));
    assert_eq!(serde_json::from_str::<ClientKey>(&format!("\"{good}\"")).unwrap(), good);
    assert_eq!("00".repeat(32).parse::<ReplicaKey>(), Err(KeyError::SmallOrder));
    let error = serde_json::from_str::<ReplicaKey>(&format!("\"{}\"", "00".repeat(32))).unwrap_err();
    assert!(error.to_string().contains("small order"), "{error}");
}
