//! The format, frozen: digests over the bytes of fixed values of every public type. A change here is another chain: old stores, signatures and
//! receipts become unreadable. It goes red on purpose; do not update a constant without a new format version.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::testing::{committee, genesis, key, members, vote};
use crate::*;

/// Plain SHA-256, without this crate's own framing, so that any other tool can compute it.
fn plain(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

fn check(frozen: &[(&str, Vec<u8>, &str)]) {
    let changed: Vec<_> = frozen
        .iter()
        .filter(|(_, bytes, expected)| plain(bytes) != *expected)
        .map(|(name, bytes, _)| (*name, plain(bytes)))
        .collect();
    assert!(changed.is_empty(), "changed: {changed:#?}");
}

#[test]
fn digests() {
    let parts: [&[u8]; 3] = [b"one", b"", b"three"];
    assert_eq!(
        sha256("frozen", &parts).to_string(),
        "53211c867b8f338b811f4d66dfa667cdff41f62ec9abd5c05bafd7604b43001b"
    );
    assert_eq!(
        blake3("frozen", &parts).to_string(),
        "660afe2154d6a1f4c2f29cafde2c71f361eb69f99255222a3572a34a8d492ead"
    );
    let mut set = StateDigest::new();
    set.add(b"kv", b"key", b"value");
    set.add(b"kv", b"other", b"");
    assert_eq!(plain(&set.to_bytes()), "8412cc7fb5ff72cd3b04b04ef785d8c74660183b6a148575c4e472211356e7da");
    assert_eq!(set.digest().to_string(), "b1d9ebb6d2da113e32a83a5e879eb49b4c04dba85c92b85e19179b1f9b9a8bd1");
    assert_eq!(
        StateDigest::new().digest().to_string(),
        "c7d515305f35ec6d29a67f19d1f32ca3a74082eb9740154184c4ab8e80bab742"
    );
}

#[test]
fn encodings() {
    let (committee, signers) = committee("frozen", 4);
    let signed = signers[0].sign(vote()).into_inner();
    let votes: Vec<_> = signers[..3].iter().map(|signer| signer.sign(vote())).collect();
    let certificate = QuorumCertificate::from_verified(&vote(), &votes, committee.quorums()).unwrap();
    let genesis = genesis("frozen", 4);
    check(&[
        ("digest", encode(&vote().digest), "bfab6a22bc0d0fa312111ff1f446d692c063abc8d007cba0a18bb18c6ef3a2f4"),
        ("replica id", encode(&ReplicaId(0x0102)), "25dfd29c09617dcc9852281c030e5b3037a338a4712a42a21c907f259c6412a0"),
        (
            "replica key",
            encode(&key(1).replica_key()),
            "34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e",
        ),
        (
            "network key",
            encode(&key(1).network_key()),
            "34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e",
        ),
        (
            "client key",
            encode(&key(1).client_key()),
            "34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e",
        ),
        ("signature", encode(&signed.signature), "7145f15b610878feff7d4c7b1d9899f226889e55de19b5903bbdc4d69fa3bda1"),
        ("context", encode(committee.context()), "9271815400dd3d40f62149d730c2af0d0ea125cea1634a39f435e9dbcc5cf94b"),
        ("statement", encode(&vote()), "33719b6ee41deb780704c9f489e41f879ea3dbecf4f99ff2d6ae80c3a279df62"),
        ("signed", encode(&signed), "ce92397808d2b7c63fc067fbada62329f2680754fa408fbd1a6b4cbf81342746"),
        ("certificate", encode(&*certificate), "11fba84bfa2666b5bde749355e6a2d06453fbd9e3b6847701f8a84bb5abdf751"),
        (
            "bounded",
            encode(&Bounded::<u16, 4>::try_from([1, 2, 3].to_vec()).unwrap()),
            "38d365089fe0c8ceba1d41c31309bcc672f1c1ad755d695da1dad3685ff84185",
        ),
        (
            "bounded bytes",
            encode(&BoundedBytes::<4>::try_from(&b"abc"[..]).unwrap()),
            "3da9865b43fa2ec490f78da9db16acd5638704dbce5cc7b3df2e3c7a23addf19",
        ),
        (
            "parameters",
            encode(&Parameters::default()),
            "8d2851c13c6a5ef6e2b963c70d918773ea8b1b3d0354f66c32ca434477185ba9",
        ),
        ("member", encode(&members(4)[2]), "7923f0a2fbbe74a806dd0a8b47bf2c99b396f307317ad2d4d718760d3b65b312"),
        ("allow-list", encode(genesis.clients()), "45bc3a7107692e8b0af4c0e44712300b20ee6cb404c0034d1726ac9f48a395e0"),
        (
            "open",
            encode(&Clients::Open { maximum: 0x0102_0304 }),
            "a823a807143bb443a3d56b975b5d67eecb4ce39cfd09f7af5cdbcb262a90b701",
        ),
        ("genesis", encode(&genesis), "271d46cfb4cb1492629d97791573f1852af0fd887d7a96636169f0f547cbc11a"),
        (
            "chain id",
            genesis.chain_id().as_bytes().to_vec(),
            "159b88150c77a67658fcc1e5aa2446d184e037dc169e4aaec0c32ade6cfe9c52",
        ),
        (
            "genesis as json",
            genesis.to_json_pretty().into_bytes(),
            "93a20e1c859b27a9a6b66f0e71df6edc86b34dba533efc135fcc130db3b098ce",
        ),
    ]);
}

#[test]
fn signing_bytes() {
    let context = Context { chain_id: Digest::from_bytes([0x11; 32]), epoch: 7 };
    let frozen = Domain::ALL.map(|domain| message(domain, &context, b"body"));
    let expected = [
        "7b651e744e49dc3192a05d25612150fa401b7f542070670ae8117c2c2856b62a",
        "a956e9ab5d0cdd2541246efcee50e8d0992ca0b4d970a5c90e52840776dce297",
        "9753d2927341095ec7277ee9269a20beb2559b4ed1fcccb886c7de2e749b481a",
        "991cd21d7741a4a906e717f072068c97b15b16c0b2510fb3d950733879748396",
        "28e23a98fa5745aeb822e2cfcd8bfd0da45b364e4b08ca614d47d813cca201cd",
        "2c0ea5509db487e5e6d52c519c6b7224ca38f76b2f04a29623fd32fd8eddc676",
        "8910da0f8caca5c06ec8d7f9d54cb31a9c2f7faf8e722608dcff78a2b9099a52",
        "7ec2e696da13001fcef5fb8e95d1ee7816986c249f23714b7fc993c02c41d72e",
    ];
    let names = Domain::ALL.map(Domain::tag).map(|tag| core::str::from_utf8(tag).unwrap());
    let all: Vec<_> = (0..8).map(|at| (names[at], frozen[at].clone(), expected[at])).collect();
    check(&all);
    let digest = Digest::from_bytes([0x22; 32]);
    check(&[
        (
            "a command's signature",
            sign_client(&key(1), &context, &digest).as_bytes().to_vec(),
            "a9a7958181fc15904434ce6d1abb5cf50c933cd35c75ed9101e15b71953bfe22",
        ),
        (
            "a subscription's",
            sign_subscription(&key(1), &context, &digest).as_bytes().to_vec(),
            "25c8ff055151bab19768671a1afdd61a9c026fbac0421c433680ca9838d3400f",
        ),
    ]);
}
