//! The formats of wire and disk, frozen: digests over the bytes of fixed values of everything that is sent or stored. It goes red on
//! purpose: a change here is another chain, and old stores become unreadable. Do not update a constant without a new format version.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{World, digest};
use std::sync::Arc;
use varangian_consensus::evidence::{Body, Conflict};
use varangian_consensus::{
    Admission, Batch, Checkpoint, ClientTable, Evidence, Message, NULL_BATCH, NewViewDraft, PrePrepare, Progress, Slot,
    Status, View,
};
use varangian_crypto::{Bounded, ReplicaId, encode, sha256};

fn check(frozen: &[(&str, Vec<u8>, &str)]) {
    let hash = |bytes: &[u8]| sha256("frozen", &[bytes]).to_string();
    let changed: Vec<_> = frozen
        .iter()
        .filter(|(_, bytes, expected)| hash(bytes) != *expected)
        .map(|(name, bytes, _)| (*name, hash(bytes)))
        .collect();
    assert!(changed.is_empty(), "changed: {changed:#?}");
}

fn frame(message: &Message) -> Vec<u8> {
    let encoded = message.encode();
    [encoded.head.as_ref(), encoded.body.as_ref()].concat()
}

fn batch(world: &World) -> Arc<Batch> {
    let commands = vec![world.command(0, 1).into_inner(), world.command_of(1, u64::MAX, &[b"", b"two"]).into_inner()];
    Arc::new(Batch::new(commands).unwrap())
}

#[test]
fn messages() {
    let world = World::new(4);
    let batch = batch(&world);
    let checkpoint = Checkpoint { slot: Slot(4), history: digest(1), state: digest(2) };
    let stable = world.stable(checkpoint);
    let changes = vec![
        world.view_change(
            0,
            2,
            Some(stable.clone()),
            vec![world.prepared(0, 5, digest(5)), world.prepared(1, 7, NULL_BATCH)],
        ),
        world.view_change(1, 2, None, Vec::new()),
        world.view_change(3, 2, None, Vec::new()),
    ];
    let new_view = world.new_view(2, changes.clone());
    let status = Status {
        view: View(3),
        active: true,
        stable: Slot(4),
        executed: Slot(6),
        slots: Bounded::try_from(vec![
            Progress::Nothing,
            Progress::PrePrepared,
            Progress::Prepared,
            Progress::Committed,
        ])
        .unwrap(),
        view_changes: Bounded::try_from(vec![ReplicaId(0), ReplicaId(2)]).unwrap(),
    };
    let command = world.command_of(1, 9, &[b"a", b"bc"]).into_inner();
    check(&[
        (
            "pre-prepare",
            frame(&Message::PrePrepare(world.pre_prepare(1, 2, digest(3)))),
            "1e28d54249b6eafe24b753cf291218eadd873a2c5ffaf098a22012a676a5c657",
        ),
        (
            "prepare",
            frame(&Message::Prepare(world.prepare(2, 1, 2, digest(3)))),
            "fe8def1215eb499ddccb46c360628d3b716fdfc807d2b74929368b0d6e61e9f9",
        ),
        (
            "commit",
            frame(&Message::Commit(world.commit(3, 1, 2, digest(3)))),
            "bbc684ba3697c72d6cb58f2998f13a132ed801bfbf6499757dfe797c7def1638",
        ),
        (
            "checkpoint",
            frame(&Message::Checkpoint(world.signer(2).sign(checkpoint).into_inner())),
            "6af7072ba056c4582f7e8a5c9fef497d911576f9754e8323486d471b7fa179ea",
        ),
        (
            "view-change",
            frame(&Message::ViewChange(Box::new(changes[0].clone()))),
            "157b8be9c766d73e86d1ae49bc5beb7564197fc26bea10653774fa48eebdd749",
        ),
        (
            "new-view",
            frame(&Message::NewView(Box::new(new_view))),
            "190f856eef3c5b3956dab9d718c639f226e6096bcc47ff506946bef1f5db6b1a",
        ),
        (
            "committed",
            frame(&Message::Committed(world.committed(1, 2, digest(3)))),
            "cd60907ee1e7dcf12f27517d98c2d0454359703fe3122c4faf604508d2fa1986",
        ),
        ("stable", frame(&Message::Stable(stable)), "763603d9f169731723c3471dbf088d8872bcc72137e7d970c36df6a9cfea36be"),
        ("status", frame(&Message::Status(status)), "820ba019a65c288597ac999ce296c8137a3473fe2c55ba9632343e8f5937427c"),
        (
            "fetch-batch",
            frame(&Message::FetchBatch { slot: Slot(2), digest: digest(3) }),
            "217fde1b347653f3e258f072693ef4e767b6b6f3d8bacfe414b35433259217f0",
        ),
        (
            "fetch-decided",
            frame(&Message::FetchDecided { from: Slot(2), to: Slot(0x0102) }),
            "e081f48049ba50ce47589c8a053bf7a15e9d3d2b32317d0a8f6ab4241595f653",
        ),
        (
            "pruned",
            frame(&Message::Pruned { oldest: Slot(0x0304) }),
            "d4e7103afdbee55df5b358a24b76dc497f9d3520d75f23f57d2f61e2cf723049",
        ),
        (
            "command",
            frame(&Message::Command(command)),
            "1b96c6415322d890380cc562ae0ff513fb19df4eaaa8144af9faf5a29eb20645",
        ),
        (
            "batch",
            frame(&Message::Batch { slot: Slot(2), batch: batch.clone() }),
            "c2e926984e10c277b1dbb2c30ac535a3372ae301deb0b84300cf65a309cf942d",
        ),
        (
            "decided",
            frame(&Message::Decided { certificate: world.committed(0, 2, *batch.digest()), batch: Some(batch) }),
            "9fb529776967833ffc2be37bec756e930d57407b640defaaa84f6901e80a2b5d",
        ),
        (
            "decided null",
            frame(&Message::Decided { certificate: world.committed(0, 2, NULL_BATCH), batch: None }),
            "9dccaadc4d3a5bbb0b9fb500c8d1ca0ae6607bebb1e5d3ad47933c20d78ae6b2",
        ),
    ]);
}

#[test]
fn records() {
    let world = World::new(4);
    let batch = batch(&world);
    let checkpoint = Checkpoint { slot: Slot(4), history: digest(1), state: digest(2) };
    let changes = vec![world.view_change(0, 2, None, vec![world.prepared(0, 1, digest(5))])];
    let pre_prepare = PrePrepare { view: View(2), slot: Slot(1), digest: digest(5) };
    let draft = NewViewDraft { view: View(2), view_changes: changes.clone(), order: vec![pre_prepare] };
    let mut table = ClientTable::new(Admission::Open(1), 100, []);
    for sequence in [5, 1, 103] {
        table.turn(&varangian_consensus::Identity { client: world.clients[0].client_key(), sequence });
    }
    let row = table.rows(vec![world.clients[0].client_key()])[0].1.clone();
    check(&[
        ("pre-prepare", encode(&pre_prepare), "10dc5298e88d2cd542aebd271e7baa35865c62eea934b4439968d137fa94fc34"),
        (
            "accepted",
            encode(&world.pre_prepare(2, 1, digest(5))),
            "e2bbc5aa5842e8ba3fe98ea9ddf4e3d4aea5ff59acdcbe2618859eaf284b6437",
        ),
        (
            "prepared",
            encode(&world.prepared(1, 2, digest(3))),
            "084e2f1e1780f8753b867ff2ef9b29fcaaaca84bcbdc9b67a0446256526b771a",
        ),
        (
            "view change",
            encode(&changes[0].statement),
            "addf6540a35ef6a4ef3ba806da9c5decd96c6d56801ee36b2fd1c813dd24f312",
        ),
        ("draft", encode(&draft), "702377756f871ce22a7e32803f219b16cf800931fdcf8ca8a8c94e8fa7ae1d32"),
        (
            "new view",
            encode(&world.new_view_with(2, changes, vec![world.pre_prepare(2, 1, digest(5))])),
            "c8941a2958b9f6c471239307ce5b8a14ab76d5bc1a5cd77413447fd01974c723",
        ),
        ("checkpoint", encode(&checkpoint), "f95ebc718c0b096eacb9f05c91db418674303e972c587008388b495963d8d2e2"),
        (
            "stable",
            encode(&world.stable(checkpoint)),
            "bdb946bb90a43dc6838f8e723c94164fea481eeb8343403a75c6e3028c978fea",
        ),
        (
            "commit certificate",
            encode(&world.committed(1, 2, digest(3))),
            "9a0c885d8aee340a61086ed46dbe09bff89e869a046261c34a1de3db11685a87",
        ),
        ("client window", encode(&row), "56f276680e8b90a83aa621db7fd896a8b86a6905b71d4a2e03c42a9131ac537c"),
        ("body", batch.encoded().to_vec(), "d49b287b07bce34cdf0288d91bd93321cc815ff66a40cef82a03827fc1210a96"),
    ]);
}

#[test]
fn evidence() {
    let world = World::new(4);
    let checkpoint = |number| {
        world.signer(2).sign(Checkpoint { slot: Slot(4), history: digest(1), state: digest(number) }).into_inner()
    };
    let change = |view| world.view_change(1, view, None, Vec::new());
    let new_view = |order| world.new_view_with(2, vec![change(2)], order);
    let all = [
        Evidence::PrePrepares(Conflict {
            first: world.pre_prepare(0, 1, digest(1)),
            second: world.pre_prepare(0, 1, digest(2)),
        }),
        Evidence::Prepares(Conflict {
            first: world.prepare(1, 0, 1, digest(1)),
            second: world.prepare(1, 0, 1, digest(2)),
        }),
        Evidence::Commits(Conflict {
            first: world.commit(1, 0, 1, digest(1)),
            second: world.commit(1, 0, 1, digest(2)),
        }),
        Evidence::Checkpoints(Conflict { first: checkpoint(1), second: checkpoint(2) }),
        Evidence::ViewChanges(Box::new(Conflict {
            first: change(1),
            second: world.view_change(1, 1, None, vec![world.prepared(0, 1, digest(1))]),
        })),
        Evidence::NewViews(Box::new(Conflict {
            first: new_view(Vec::new()),
            second: new_view(vec![world.pre_prepare(2, 1, NULL_BATCH)]),
        })),
        Evidence::InvalidViewChange(Box::new(change(0))),
        Evidence::InvalidNewView(Box::new(new_view(Vec::new()))),
        Evidence::InvalidBatch {
            pre_prepare: world.pre_prepare(0, 1, *batch(&world).digest()),
            body: Body(batch(&world)),
        },
        Evidence::HiddenCertificate { commit: world.commit(1, 0, 1, digest(1)), view_change: Box::new(change(1)) },
    ];
    let frozen = [
        "ba8f0417b9ffa5f8be4409be82adeaad485f00f8bc5c7ff17e353d077e7749ee",
        "f3bed64ec7979e0f53d77f46bef01b485b3e8641cb3699973970c769c88f0919",
        "f47f530a66194bbd61d05d0831a2188300b6c6ba424bce75b8e534fb3ccc15cb",
        "4944c976a4d2137a8a22a4240a71b03516a8391902ef2ad4d2e4bb31ce96c3a2",
        "f39cd06c42c82a27ef40cff12b0f2ae943c71bb96e4eb1573e2c0cb2dd4dc956",
        "007b837c84d49494d6e6308ab46fb1a43c038160b44c55795be129a2c9e75523",
        "169d7a7dfd9f6125b6b54707ea19cf8af56dabf882102711a41499b82efc2c23",
        "3e07181077af218e13477e3754e709c38533cbf0c4d8482b6c2afd9ec2189614",
        "9428ef28c74fcea0cff9d6144d0422ba552ce50806ef9b5ba6b93f427418af6a",
        "39de8095c55fd99152c1aa584cd120ab51fd4e2bc782d6fe3d9fbbe46095b9ba",
    ];
    let rows: Vec<_> =
        all.iter().zip(frozen).map(|(evidence, expected)| (evidence.kind(), encode(evidence), expected)).collect();
    check(&rows);
}

/// What things are called: digests that are signed, chained or compared.
#[test]
fn names() {
    let world = World::new(4);
    let batch = batch(&world);
    let mut lone = crate::properties_support::Lone::new(&world, 3);
    lone.decide(1, 0, 1, Some(batch.clone())).unwrap();
    let one = *lone.replica.history();
    lone.decide(1, 0, 2, None).unwrap();
    check(&[
        (
            "command",
            batch.commands()[0].digest().as_bytes().to_vec(),
            "32ffa16020a47a379c45e5ae84367a05583b51b8301f96bcc9f922254786d8ac",
        ),
        (
            "batch",
            batch.digest().as_bytes().to_vec(),
            "bc07d1e0461fb4317bdfec1cda9e4f918b9db9806e2c0e66d6a0d81fee165f27",
        ),
        (
            "null batch",
            NULL_BATCH.as_bytes().to_vec(),
            "2579f9b5e89548567cd7e4e0f300d7125489308b15550ea14f924fa4428d6efa",
        ),
        (
            "history of one batch",
            one.as_bytes().to_vec(),
            "b32e639db32a72316b59aa93baf1164ffa020162176871ccc5fc46757728cf59",
        ),
        (
            "history with a null batch",
            lone.replica.history().as_bytes().to_vec(),
            "4bb6af495c85d2dff12fa7ee76bda0610e1d685a2537fbcb9989c79c91206b20",
        ),
    ]);
}
