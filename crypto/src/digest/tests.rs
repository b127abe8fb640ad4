#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::string::ToString;

use crate::{BodyHasher, Digest, KeyError, blake3, sha256};

#[test]
fn moving_a_byte_between_parts_changes_both_digests() {
    let splits: [&[&[u8]]; 5] = [&[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[b"", b"abc"]];
    for (place, left) in splits.iter().enumerate() {
        for right in &splits[place + 1..] {
            assert_ne!(sha256("d", left), sha256("d", right));
            assert_ne!(blake3("d", left), blake3("d", right));
        }
    }
}

#[test]
fn a_byte_moved_from_the_domain_to_a_part_changes_the_digest() {
    assert_ne!(sha256("da", &[b"b"]), sha256("d", &[b"ab"]));
    assert_ne!(blake3("da", &[b"b"]), blake3("d", &[b"ab"]));
    assert_ne!(sha256("d", &[b"x"]), sha256("e", &[b"x"]));
    assert_ne!(blake3("d", &[b"x"]), blake3("e", &[b"x"]));
}

#[test]
fn hashing_part_by_part_equals_hashing_at_once() {
    let mut hasher = BodyHasher::new("d");
    hasher.part(b"one");
    hasher.part(b"");
    assert_eq!(hasher.part(b"two").digest(), blake3("d", &[b"one", b"", b"two"]));
}

#[test]
fn hexadecimal_has_one_spelling() {
    let digest = sha256("d", &[]);
    let text = digest.to_string();
    assert_eq!(text.parse(), Ok(digest));
    let refused = Err(KeyError::NotHex { expected: 64 });
    assert_eq!(text.to_uppercase().parse::<Digest>(), refused);
    assert_eq!(text[1..].parse::<Digest>(), refused);
    assert_eq!((text.clone() + "00").parse::<Digest>(), refused);
    assert_eq!(text.replacen(&text[..1], "g", 1).parse::<Digest>(), refused);
}

#[test]
fn json_is_the_hexadecimal_form() {
    let digest = sha256("d", &[]);
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, alloc::format!("\"{digest}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    assert!(serde_json::from_str::<Digest>("\"00\"").is_err());
}
