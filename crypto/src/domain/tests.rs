#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{Context, Domain, message, sha256};

#[test]
fn tags_are_ascii_unique_and_none_begins_another() {
    for (place, left) in Domain::ALL.into_iter().enumerate() {
        assert!(left.tag().is_ascii());
        assert_eq!(left.tag().iter().position(|&byte| byte == b';'), Some(left.tag().len() - 1));
        for (other, right) in Domain::ALL.into_iter().enumerate() {
            assert_eq!(left.tag().starts_with(right.tag()), place == other, "{left:?} {right:?}");
        }
    }
}

/// A match without a wildcard, so a new domain cannot be forgotten in `ALL`.
#[test]
fn all_names_every_domain() {
    for (place, domain) in Domain::ALL.into_iter().enumerate() {
        let expected = match domain {
            Domain::PrePrepare => 0,
            Domain::Prepare => 1,
            Domain::Commit => 2,
            Domain::Checkpoint => 3,
            Domain::ViewChange => 4,
            Domain::NewView => 5,
            Domain::Command => 6,
            Domain::Subscribe => 7,
        };
        assert_eq!(place, expected);
    }
    assert_eq!(Domain::ALL.len(), 8);
}

#[test]
fn a_message_is_tag_chain_epoch_body() {
    let context = Context { chain_id: sha256("chain", &[]), epoch: 0x0102 };
    let bytes = message(Domain::Commit, &context, b"body");
    let (tag, rest) = bytes.split_at(Domain::Commit.tag().len());
    assert_eq!(tag, b"varangian/1/commit;");
    assert_eq!(&rest[..32], context.chain_id.as_bytes());
    assert_eq!(&rest[32..40], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&rest[40..], b"body");
}
