//! One encoding per value and one value per encoding; bytes of any kind never panic; a changed bit proves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{World, digest};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use proptest::prelude::*;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};
use varangian_consensus::evidence::{Body, Conflict};
use varangian_consensus::{
    Batch, Checkpoint, ClientTable, ClientWindow, Command, Delivery, Evidence, Message, NULL_BATCH, NewView,
    NewViewDraft, PreparedCertificate, Progress, Slot, StableCheckpoint, Status, View, ViewChange,
};
use varangian_crypto::{Bounded, ReplicaId, Signed, Verify, decode, encode};

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(4));

fn whole(message: &Message) -> Bytes {
    let encoded = message.encode();
    Bytes::from([encoded.head.as_ref(), encoded.body.as_ref()].concat())
}

fn batch() -> Arc<Batch> {
    let commands =
        [(0, 1), (1, u64::MAX), (0, 3)].map(|(client, sequence)| WORLD.command(client, sequence).into_inner());
    Arc::new(
        Batch::new([commands.to_vec(), vec![WORLD.command_of(2, 1, &[b"", b"two"]).into_inner()]].concat()).unwrap(),
    )
}

fn stable(slot: u64) -> StableCheckpoint {
    WORLD.stable(Checkpoint { slot: Slot(slot), history: digest(slot), state: digest(slot + 1) })
}

fn view_change(signer: u16, view: u64) -> Signed<ViewChange> {
    WORLD.view_change(
        signer,
        view,
        Some(stable(4)),
        vec![WORLD.prepared(0, 5, digest(5)), WORLD.prepared(1, 8, NULL_BATCH)],
    )
}

fn new_view() -> Signed<NewView> {
    WORLD.new_view(2, vec![view_change(0, 2), view_change(1, 2), WORLD.view_change(3, 2, None, Vec::new())])
}

/// At least one of every kind of message.
static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let checkpoint = Checkpoint { slot: Slot(8), history: digest(1), state: digest(2) };
    let batch = batch();
    vec![
        Message::PrePrepare(WORLD.pre_prepare(0, 1, digest(1))),
        Message::Prepare(WORLD.prepare(1, 0, 1, digest(1))),
        Message::Commit(WORLD.commit(3, 7, u64::MAX, NULL_BATCH)),
        Message::Checkpoint(WORLD.signer(2).sign(checkpoint).into_inner()),
        Message::ViewChange(Box::new(view_change(1, 2))),
        Message::NewView(Box::new(new_view())),
        Message::Committed(WORLD.committed(1, 3, digest(3))),
        Message::Stable(stable(8)),
        Message::Status(Status {
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
        }),
        Message::FetchBatch { slot: Slot(3), digest: digest(3) },
        Message::FetchDecided { from: Slot(1), to: Slot(u64::MAX) },
        Message::Pruned { oldest: Slot(77) },
        Message::Command(WORLD.command_of(1, 9, &[b"a", b"", &[7; 300]]).into_inner()),
        Message::Batch { slot: Slot(2), batch: batch.clone() },
        Message::Decided { certificate: WORLD.committed(0, 2, *batch.digest()), batch: Some(batch) },
        Message::Decided { certificate: WORLD.committed(0, 3, NULL_BATCH), batch: None },
    ]
});

fn evidence() -> Vec<Evidence> {
    let checkpoint = |number| {
        WORLD.signer(2).sign(Checkpoint { slot: Slot(4), history: digest(1), state: digest(number) }).into_inner()
    };
    vec![
        Evidence::PrePrepares(Conflict {
            first: WORLD.pre_prepare(0, 1, digest(1)),
            second: WORLD.pre_prepare(0, 1, digest(2)),
        }),
        Evidence::Prepares(Conflict {
            first: WORLD.prepare(1, 0, 1, digest(1)),
            second: WORLD.prepare(1, 0, 1, digest(2)),
        }),
        Evidence::Commits(Conflict {
            first: WORLD.commit(1, 0, 1, digest(1)),
            second: WORLD.commit(1, 0, 1, digest(2)),
        }),
        Evidence::Checkpoints(Conflict { first: checkpoint(1), second: checkpoint(2) }),
        Evidence::ViewChanges(Box::new(Conflict {
            first: view_change(1, 2),
            second: WORLD.view_change(1, 2, None, Vec::new()),
        })),
        Evidence::NewViews(Box::new(Conflict {
            first: new_view(),
            second: WORLD.new_view_with(2, Vec::new(), Vec::new()),
        })),
        Evidence::InvalidViewChange(Box::new(WORLD.view_change(1, 1, None, vec![WORLD.prepared(1, 1, digest(1))]))),
        Evidence::InvalidNewView(Box::new(WORLD.new_view_with(2, Vec::new(), Vec::new()))),
        Evidence::InvalidBatch { pre_prepare: WORLD.pre_prepare(0, 1, *batch().digest()), body: Body(batch()) },
        Evidence::HiddenCertificate {
            commit: WORLD.commit(1, 0, 1, digest(1)),
            view_change: Box::new(WORLD.view_change(1, 1, None, vec![WORLD.prepared(0, 2, digest(1))])),
        },
    ]
}

#[test]
fn every_message_comes_back_from_its_bytes_and_proves_itself() {
    for message in MESSAGES.iter() {
        let bytes = whole(message);
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(message), "{}", message.name());
        let delivery =
            message.clone().verify(&WORLD.committee).unwrap_or_else(|error| panic!("{}: {error}", message.name()));
        assert!(!matches!(delivery, Delivery::Invalid(_) | Delivery::InvalidBatch { .. }), "{}", message.name());
    }
    let kinds: std::collections::BTreeSet<_> = MESSAGES.iter().map(Message::name).collect();
    assert_eq!(kinds.len(), 15, "a kind of message is not covered: {kinds:?}");
    let first: std::collections::BTreeSet<u8> = MESSAGES.iter().map(|message| whole(message)[0]).collect();
    assert_eq!(first, (0..15).collect(), "each kind has its own first byte");
}

#[test]
fn every_proof_of_misbehaviour_comes_back_and_holds() {
    for evidence in evidence() {
        assert_eq!(decode::<Evidence>(&encode(&evidence)).as_ref(), Ok(&evidence), "{}", evidence.kind());
        let holds = evidence.check(&WORLD.committee);
        // The one batch here is valid, so it proves nothing.
        assert_eq!(holds.is_ok(), !matches!(evidence, Evidence::InvalidBatch { .. }), "{}: {holds:?}", evidence.kind());
    }
}

/// Decodes, and if the bytes are accepted, encodes to the very same.
fn bijective<T: BorshSerialize + BorshDeserialize + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes) {
        assert_eq!(encode(&value), bytes, "{value:?}");
    }
}

fn check_message(bytes: Vec<u8>) -> Option<Message> {
    let bytes = Bytes::from(bytes);
    let message = Message::decode(&bytes).ok()?;
    assert_eq!(whole(&message), bytes, "{message:?}");
    Some(message)
}

fn check_record_types(bytes: &[u8]) {
    bijective::<PreparedCertificate>(bytes);
    bijective::<NewViewDraft>(bytes);
    bijective::<ViewChange>(bytes);
    bijective::<Signed<NewView>>(bytes);
    bijective::<Evidence>(bytes);
    bijective::<Checkpoint>(bytes);
    bijective::<StableCheckpoint>(bytes);
    bijective::<ClientWindow>(bytes);
}

/// How bytes are spoilt.
#[derive(Clone, Debug)]
enum Spoil {
    Flip(usize, u8),
    Cut(usize),
    Append(Vec<u8>),
    Insert(usize, u8),
    Remove(usize),
    Copy(usize, usize, usize),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let place = any::<usize>();
    prop_oneof![
        6 => (place, 1..=255_u8).prop_map(|(at, mask)| Spoil::Flip(at, mask)),
        1 => place.prop_map(Spoil::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..5).prop_map(Spoil::Append),
        1 => (place, any::<u8>()).prop_map(|(at, byte)| Spoil::Insert(at, byte)),
        1 => place.prop_map(Spoil::Remove),
        1 => (place, place, 1..100_usize).prop_map(|(from, to, length)| Spoil::Copy(from, to, length)),
    ]
}

fn apply(mut bytes: Vec<u8>, spoil: &Spoil) -> Vec<u8> {
    let length = bytes.len();
    if length == 0 {
        return bytes;
    }
    match spoil {
        Spoil::Flip(at, mask) => bytes[at % length] ^= mask,
        Spoil::Cut(at) => bytes.truncate(at % length),
        Spoil::Append(tail) => bytes.extend(tail),
        Spoil::Insert(at, byte) => bytes.insert(at % length, *byte),
        Spoil::Remove(at) => {
            bytes.remove(at % length);
        }
        Spoil::Copy(from, to, count) => {
            let (from, to) = (from % length, to % length);
            let count = (*count).min(length - from).min(length - to);
            bytes.copy_within(from..from + count, to);
        }
    }
    bytes
}

/// Two commands of one client and sequence, equal or not: no honest pool holds both, so whoever proposes them is proved faulty.
#[test]
fn a_batch_names_a_command_once() {
    let one = WORLD.command(0, 1).into_inner();
    for second in [one.clone(), WORLD.command_of(0, 1, &[b"another"]).into_inner()] {
        let between = WORLD.command(1, 1).into_inner();
        let batch = Arc::new(Batch::new(vec![one.clone(), between, second]).unwrap());
        assert!(batch.check(&WORLD.committee).is_err());
        let pre_prepare = WORLD.pre_prepare(0, 1, *batch.digest());
        Evidence::InvalidBatch { pre_prepare, body: Body(batch) }.check(&WORLD.committee).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A spoilt message is refused, or is another message with another encoding; and whoever did not sign it is never named by it.
    #[test]
    fn spoilt_messages_prove_nothing_new(which in 0..16_usize, spoils in prop::collection::vec(spoil(), 1..3)) {
        let original = &MESSAGES[which];
        let bytes = spoils.iter().fold(whole(original).to_vec(), apply);
        let changed = bytes != whole(original);
        if let Some(message) = check_message(bytes) && changed {
            let outcome = message.clone().verify(&WORLD.committee);
            let hearsay = matches!(
                message,
                Message::Status(_) | Message::FetchBatch { .. } | Message::FetchDecided { .. } | Message::Pruned { .. }
            );
            let harmless = match &outcome {
                Err(_) | Ok(Delivery::InvalidBatch { .. }) => true,
                // A body for another slot, and whole signed parts in another place, prove what they always proved.
                Ok(Delivery::Batch { batch, .. }) => MESSAGES.iter().any(|known| matches!(known, Message::Batch { batch: one, .. } if one == &**batch)) || batch.check(&WORLD.committee).is_ok(),
                Ok(_) => hearsay,
            };
            prop_assert!(harmless, "{:?} was spoilt to {:?} and accepted", original.name(), message);
        }
    }

    #[test]
    fn any_bytes_are_one_message_or_none(kind in 0..17_u8, tail in prop::collection::vec(any::<u8>(), 0..400)) {
        check_message([vec![kind], tail].concat());
    }

    #[test]
    fn any_bytes_are_one_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_record_types(&bytes);
    }

    #[test]
    fn spoilt_records_have_one_encoding(which in 0..15_usize, spoils in prop::collection::vec(spoil(), 1..3)) {
        let records = records();
        check_record_types(&spoils.iter().fold(records[which % records.len()].clone(), apply));
    }

    /// Bodies are sequences of whole commands and nothing else.
    #[test]
    fn spoilt_bodies_have_one_encoding(spoils in prop::collection::vec(spoil(), 0..3)) {
        let bytes = Bytes::from(spoils.iter().fold(batch().encoded().to_vec(), apply));
        if let Ok(batch) = Batch::decode(bytes.clone()) {
            prop_assert_eq!(batch.encoded(), &bytes);
            let parts: Vec<u8> = batch.commands().iter().flat_map(|command| command.encoded().to_vec()).collect();
            prop_assert_eq!(&Bytes::from(parts), &bytes);
            for command in batch.commands() {
                prop_assert_eq!(&Command::decode(command.encoded().clone()).unwrap(), command);
                prop_assert_eq!(command.operations().count(), command.operation_count() as usize);
            }
            let again = Batch::new(batch.commands().to_vec()).unwrap();
            prop_assert_eq!((again.digest(), again.encoded()), (batch.digest(), &bytes));
        }
    }
}

fn records() -> Vec<Vec<u8>> {
    static RECORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let new_view = new_view();
        let draft = NewViewDraft {
            view: View(2),
            view_changes: new_view.statement.view_changes.to_vec(),
            order: new_view.statement.pre_prepares.iter().map(|signed| signed.statement).collect(),
        };
        let mut table = ClientTable::new(varangian_consensus::Admission::Open(1), 100, []);
        table.turn(&WORLD.command(0, 5).identity());
        let mut records = vec![
            encode(&WORLD.prepared(0, 1, digest(1))),
            encode(&draft),
            encode(&view_change(1, 2).statement),
            encode(&new_view),
            encode(&Checkpoint { slot: Slot(8), history: digest(1), state: digest(2) }),
            encode(&stable(8)),
            encode(&table.rows(vec![WORLD.clients[0].client_key()])[0].1),
        ];
        records.extend(evidence().iter().map(encode));
        records
    });
    RECORDS.clone()
}

/// Lengths that lie are refused before anything is allocated for them.
#[test]
fn lying_lengths_are_refused() {
    let huge = u32::MAX.to_le_bytes();
    let mut decided = vec![14];
    decided.extend_from_slice(&huge);
    decided.extend_from_slice(&[0; 100]);
    assert!(check_message(decided).is_none());
    let mut command = WORLD.command(0, 1).encoded().to_vec();
    command[104..108].copy_from_slice(&huge);
    assert!(Command::decode(command.clone().into()).is_err(), "four billion operations");
    let mut operation = WORLD.command(0, 1).encoded().to_vec();
    operation[108..112].copy_from_slice(&huge);
    assert!(Command::decode(operation.into()).is_err(), "an operation of four gigabytes");
    let mut status = vec![8];
    status.extend_from_slice(&[0; 25]);
    status.extend_from_slice(&huge);
    assert!(check_message(status).is_none(), "four billion slots");
    assert!(check_message(Vec::new()).is_none());
}
