//! Decoders: no bytes make them panic, and what they accept has no other encoding.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::LazyLock;
use varangian_client::protocol::{ReplyFrame, Request, Response};
use varangian_consensus::{
    Batch, Checkpoint, ClientWindow, Command, Commit, CommitCertificate, Encoded, Evidence, Glance, NewView,
    NewViewDraft, Note, PrePrepare, Prepare, PreparedCertificate, StableCheckpoint, Status, ViewChange, Wire,
};
use varangian_crypto::{Committee, Genesis, Signed, Verify, decode, encode};
use varangian_sim::Options;
use varangian_sim::cluster::Setup;

/// Whoever takes part: seeds are signed by these, so that what is accepted can also be verified.
pub(crate) static SETUP: LazyLock<Setup> = LazyLock::new(|| Setup::new(&Options::default()));

fn committee() -> &'static Committee {
    &SETUP.committee
}

fn whole(encoded: &Encoded) -> Vec<u8> {
    [encoded.head.as_ref(), encoded.body.as_ref()].concat()
}

/// Decodes, and if the bytes are accepted, encodes to the very same.
fn bijective<T: BorshSerialize + BorshDeserialize + Debug>(bytes: &[u8]) -> Option<T> {
    let value = decode::<T>(bytes).ok()?;
    assert_eq!(encode(&value), bytes, "another encoding of {value:?}");
    Some(value)
}

/// What replicas say to each other, and its proofs.
pub fn message(bytes: &[u8]) -> bool {
    let Ok(wire) = Wire::decode(&Bytes::copy_from_slice(bytes)) else { return false };
    assert_eq!(whole(&wire.encode()), bytes, "another encoding of {wire:?}");
    match wire {
        // Whether it is proved or not: no panic.
        Wire::Message(message) => drop(message.verify(committee())),
        Wire::Note(Note::Outline { slot, .. }) => assert_eq!(Wire::glance(bytes), Glance::Body(slot)),
        Wire::Note(_) => {}
    }
    true
}

/// What is signed or stored: the first byte chooses the type.
pub fn statement(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else { return false };
    match kind {
        0 => bijective::<Signed<PrePrepare>>(bytes).is_some(),
        1 => bijective::<Signed<Prepare>>(bytes).is_some(),
        2 => bijective::<Signed<Commit>>(bytes).is_some(),
        3 => bijective::<Signed<Checkpoint>>(bytes).is_some(),
        4 => bijective::<Signed<ViewChange>>(bytes).is_some(),
        5 => bijective::<Signed<NewView>>(bytes).is_some(),
        6 => bijective::<PreparedCertificate>(bytes).is_some(),
        7 => bijective::<CommitCertificate>(bytes).is_some(),
        8 => bijective::<StableCheckpoint>(bytes).is_some(),
        9 => bijective::<NewViewDraft>(bytes).is_some(),
        10 => bijective::<ClientWindow>(bytes).is_some(),
        11 => bijective::<Status>(bytes).is_some(),
        _ => false,
    }
}

/// A client's command.
pub fn command(bytes: &[u8]) -> bool {
    let Ok(command) = Command::decode(Bytes::copy_from_slice(bytes)) else { return false };
    assert_eq!(command.encoded().as_ref(), bytes);
    assert_eq!(command.operations().count(), command.operation_count() as usize);
    command.verify(committee()).ok();
    true
}

/// A batch's body.
pub fn batch(bytes: &[u8]) -> bool {
    let Ok(batch) = Batch::decode(Bytes::copy_from_slice(bytes)) else { return false };
    assert_eq!(batch.encoded().as_ref(), bytes);
    let again = Batch::new(batch.commands().to_vec()).expect("it has commands");
    assert_eq!((again.digest(), again.encoded()), (batch.digest(), batch.encoded()), "another batch of its commands");
    batch.verify(committee()).ok();
    true
}

/// A proof of misbehaviour.
pub fn evidence(bytes: &[u8]) -> bool {
    let Some(evidence) = bijective::<Evidence>(bytes) else { return false };
    // Whether it proves anything or not: no panic.
    evidence.check(committee()).ok();
    true
}

/// A genesis in canonical bytes.
pub fn genesis(bytes: &[u8]) -> bool {
    let Some(genesis) = bijective::<Genesis>(bytes) else { return false };
    assert_eq!(Genesis::from_json(&genesis.to_json_pretty()).as_ref(), Ok(&genesis), "its JSON form says otherwise");
    true
}

/// A genesis as people write it.
pub fn genesis_json(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(genesis) = Genesis::from_json(text) else { return false };
    assert_eq!(decode::<Genesis>(&encode(&genesis)).as_ref(), Ok(&genesis), "its canonical bytes say otherwise");
    true
}

/// What clients send.
pub fn request(bytes: &[u8]) -> bool {
    let Ok(request) = Request::decode(&Bytes::copy_from_slice(bytes)) else { return false };
    assert_eq!(whole(&request.encode()), bytes, "another encoding of {request:?}");
    true
}

/// What replicas answer clients. The short look at a reply sees what the long one does.
pub fn response(bytes: &[u8]) -> bool {
    let frame = Bytes::copy_from_slice(bytes);
    let peeked = ReplyFrame::peek(&frame);
    let Some(response) = bijective::<Response>(bytes) else { return false };
    match (response, peeked) {
        (Response::Reply { reply, view }, Some(peeked)) => {
            assert_eq!(peeked.client(), reply.client.as_bytes());
            assert_eq!((peeked.sequence(), peeked.view()), (reply.sequence, view));
            assert_eq!(peeked.reply().as_ref(), encode(&reply));
        }
        (Response::Reply { reply, .. }, None) => panic!("no short look at {reply:?}"),
        (other, Some(_)) => panic!("a short look takes {other:?} for a reply"),
        (_, None) => {}
    }
    true
}
