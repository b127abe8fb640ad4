//! Everything that a peer or a client can make grow, and where it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{Lone, World, digest, small};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use varangian_consensus::pool::{Pool, Role, Source};
use varangian_consensus::vote::{MAX_REPLICAS, MAX_WINDOW};
use varangian_consensus::{Batch, Command, Effect, Ignored, Message, Phase, Record, Slot, View};
use varangian_crypto::{
    Clients, Digest, Genesis, GenesisError, Parameters, ReplicaId, SignatureCache, Verify, VerifyError,
};

fn evidence_on_disk(lone: &Lone<'_>) -> usize {
    lone.effects.iter().filter(|effect| matches!(effect, Effect::Persist(Record::Evidence(_)))).count()
}

/// A VIEW-CHANGE without its certificates would be a forgotten promise. So no genesis may have a window that the messages cannot hold.
#[test]
fn no_genesis_outgrows_the_messages() {
    let world = World::new(4);
    let with = |parameters: Parameters| {
        Genesis::new("big".into(), parameters, world.genesis.replicas().to_vec(), Clients::Open { maximum: 1 })
    };
    let big = Parameters { max_frame_bytes: 1 << 30, ..Parameters::default() };
    for window in [MAX_WINDOW as u64 + 1, 2 * MAX_WINDOW as u64, 1 << 32, u64::MAX] {
        assert!(with(Parameters { window, ..big.clone() }).is_err(), "a window of {window} fits no VIEW-CHANGE");
    }
    for window in [4096, 8192, 100_000, 1 << 19, 1 << 20] {
        let fits = window <= MAX_WINDOW as u64;
        let outcome = with(Parameters { window, ..big.clone() });
        assert!(fits || matches!(outcome, Err(GenesisError::Range { .. })), "a window of {window} fits no VIEW-CHANGE");
    }
    assert_eq!(MAX_REPLICAS, varangian_crypto::MAX_REPLICAS);
}

/// One who misbehaves without end is accused, not recorded without end.
#[test]
fn endless_misbehaviour_leaves_bounded_evidence() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    for view in 1..=300 {
        // Each one signed, each one invalid, each one of another view.
        let bad = world.view_change(3, view, None, vec![world.prepared(view, 1, digest(1))]);
        let _known_or_new = lone.hear(3, Message::ViewChange(Box::new(bad)));
    }
    let recorded = evidence_on_disk(&lone);
    assert!((1..=64).contains(&recorded), "{recorded} records of one replica's evidence");
    // Somebody else's is recorded still.
    let other = world.view_change(2, 1, None, vec![world.prepared(1, 1, digest(1))]);
    lone.hear(2, Message::ViewChange(Box::new(other))).unwrap();
    assert_eq!(evidence_on_disk(&lone), recorded + 1);
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(0), Phase::Active));
}

/// The same misbehaviour shown again, after a restart too, is not recorded again.
#[test]
fn known_evidence_is_not_recorded_again_after_a_restart() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    let one = world.prepare(2, 0, 1, digest(1));
    let two = world.prepare(2, 0, 1, digest(2));
    lone.hear(2, Message::Prepare(one.clone())).unwrap();
    lone.hear(2, Message::Prepare(two.clone())).unwrap();
    assert_eq!(evidence_on_disk(&lone), 1);
    let mut again = Lone::restart(&world, 1, lone.executed.clone(), lone.records());
    again.hear(2, Message::Prepare(one)).unwrap();
    again.hear(2, Message::Prepare(two)).unwrap();
    assert_eq!(evidence_on_disk(&again), 0);
}

/// Open admission is open for a number of clients, and the pool has no more places than that.
#[test]
fn an_open_pool_holds_no_more_clients_than_will_be_admitted() {
    let world = World::with(4, small(), 40, Some(10));
    let config = world.config(1);
    let mut pool = Pool::default();
    let outcomes: Vec<_> = (0..40)
        .map(|client| pool.insert(world.command(client, 1).into_inner(), Source::Client, Role::Backup, &config).is_ok())
        .collect();
    let admitted = outcomes.iter().filter(|admitted| **admitted).count();
    assert!(admitted >= 10, "each client that may be admitted has a place");
    assert!(admitted <= 10 + 4, "{admitted} places for 10 clients");
    // A place that frees is there for the next.
    pool.remove(&world.command(0, 1).identity());
    pool.insert(world.command(39, 1).into_inner(), Source::Client, Role::Backup, &config).unwrap();
}

/// The primary sends bodies ahead of their pre-prepares; a faulty one cannot fill the memory with them.
#[test]
fn bodies_that_nobody_named_are_few() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    let mut held = 0;
    for slot in 1..=20 {
        for sequence in 1..=10 {
            let batch = world.batch(0, sequence * 100 + slot);
            held += usize::from(lone.hear(0, Message::Batch { slot: Slot(slot), batch }).is_ok());
        }
    }
    let reach = 2 * world.config(1).pipeline as usize;
    assert_eq!(held, 4 * reach, "four per slot, as far as the pipeline reaches twice");
    // Nobody else's are held at all.
    assert_eq!(lone.hear(2, Message::Batch { slot: Slot(1), batch: world.batch(1, 1) }), Err(Ignored::Unsolicited));
}

/// Of votes for far slots one number per signer is kept, the highest; far views leave one vote per sender and kind.
#[test]
fn votes_leave_traces_only_inside_the_window() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    for signer in [0, 2, 3] {
        lone.hear(signer, Message::Commit(world.commit(signer, 0, u64::MAX, digest(1)))).unwrap();
    }
    let before = lone.replica.clone();
    for slot in [0, 9, 10, 1000, u64::MAX] {
        let expected = if slot == 0 { Ignored::Stale } else { Ignored::OutOfWindow };
        for view in [0, 1, u64::MAX] {
            for signer in [2, 3] {
                if world.primary(view) != signer {
                    let vote = world.prepare(signer, view, slot, digest(1));
                    assert_eq!(lone.hear(signer, Message::Prepare(vote)), Err(expected));
                }
                let vote = world.commit(signer, view, slot, digest(1));
                assert_eq!(lone.hear(signer, Message::Commit(vote)), Err(expected));
            }
            assert_eq!(lone.hear(0, Message::PrePrepare(world.pre_prepare(view, slot, digest(1)))), Err(expected));
        }
    }
    assert!(before == lone.replica);
    // A flood of views: the last is the highest, and nothing else is held.
    let mut only = Lone::new(&world, 1);
    for view in (1..200).filter(|view| world.primary(*view) != 2) {
        lone.hear(2, Message::Prepare(world.prepare(2, view, 1, digest(view)))).unwrap();
    }
    only.hear(2, Message::Prepare(world.prepare(2, 199, 1, digest(199)))).unwrap();
    let (mut one, mut other) = (format!("{:?}", lone.replica), format!("{:?}", only.replica));
    // Timers apart, which count generations.
    for text in [&mut one, &mut other] {
        text.truncate(text.find("pacing").unwrap());
    }
    assert_eq!(one, other);
}

/// Slots decided by certificates are held one window beyond what is executed.
#[test]
fn decided_slots_are_held_within_a_window() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    for slot in 2..=100 {
        let outcome = lone.hear(0, Message::Committed(world.committed_without(1, 0, slot, digest(slot))));
        assert_eq!(outcome.is_ok(), slot <= world.config(1).window, "slot {slot}");
    }
    let body: Arc<Batch> = world.batch(0, 1);
    lone.decide(0, 0, 1, Some(body)).unwrap();
    assert_eq!(lone.executed.slot, Slot(1));
}

/// A decided slot is sent to a peer once, and again when an honest one would have asked somebody else.
#[test]
fn decided_slots_are_not_sent_again_at_once() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    let ask = |from, to| Message::FetchDecided { from: Slot(from), to: Slot(to) };
    lone.decide(0, 0, 1, Some(world.batch(0, 1))).unwrap();
    assert_eq!(lone.hear(2, ask(1, 9)), Ok(()));
    assert_eq!(lone.hear(2, ask(1, 9)), Err(Ignored::TooSoon));
    assert_eq!(lone.hear(3, ask(1, 9)), Ok(()), "another peer has its own share");
    lone.decide(0, 0, 2, Some(world.batch(0, 2))).unwrap();
    assert_eq!(lone.hear(2, ask(1, 9)), Ok(()), "the new one alone");
    assert_eq!(lone.hear(2, ask(2, 9)), Err(Ignored::TooSoon));
    lone.now += world.config(1).base_timeout / 2;
    assert_eq!(lone.hear(2, ask(1, 9)), Ok(()), "what was sent may be lost");
    let sent: Vec<_> = lone
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::SendDecided { to: ReplicaId(2), from, last } => Some((from.0, last.0)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [(1, 1), (2, 2), (1, 2)]);
}

/// A question of a few bytes costs at most a window of bodies per status interval.
#[test]
fn one_peer_cannot_ask_for_more_than_a_window_of_bodies_per_interval() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    let batch = world.batch(0, 1);
    lone.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, *batch.digest()))).unwrap();
    lone.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    let ask = Message::FetchBatch { slot: Slot(1), digest: *batch.digest() };
    let mut sent = 0;
    while lone.hear(2, ask.clone()) == Ok(()) {
        sent += 1;
        assert!(sent <= world.config(1).window, "{sent} bodies for one peer");
    }
    assert_eq!((sent, lone.hear(2, ask.clone())), (world.config(1).window, Err(Ignored::TooSoon)));
    lone.now += world.config(1).status_interval();
    assert_eq!(lone.hear(2, ask), Ok(()));
}

#[derive(Debug, Default)]
struct Memory(Mutex<(BTreeSet<Digest>, usize)>);

impl SignatureCache for Memory {
    fn knows(&self, proof: &Digest) -> bool {
        self.0.lock().unwrap().0.contains(proof)
    }

    fn learn(&self, proof: Digest) {
        let mut held = self.0.lock().unwrap();
        held.0.insert(proof);
        held.1 += 1;
    }
}

/// A command comes from its client, from backups, and in a batch: its signature is verified once, and what is known of one command says nothing of others.
#[test]
fn a_command_is_verified_once() {
    let world = World::new(4);
    let memory = Arc::new(Memory::default());
    let committee = world.committee.clone().with_client_cache(memory.clone());
    let learned = || memory.0.lock().unwrap().1;
    let (known, other) = (world.command(0, 1).into_inner(), world.command(0, 2).into_inner());
    for _ in 0..3 {
        assert_eq!(known.check(&committee), Ok(()));
        assert_eq!(learned(), 1);
    }
    // Beside a known one, too.
    let forged = forged(&known, &other);
    assert_eq!(Command::decode(forged.clone().into()).unwrap().check(&committee), Err(VerifyError::BadSignature));
    let beside = world.command(1, 1).into_inner();
    assert_eq!((beside.check(&committee), learned()), (Ok(()), 2));
    let batch = Batch::decode([beside.encoded(), forged.as_slice()].concat().into()).unwrap();
    assert_eq!(batch.check(&committee), Err(VerifyError::BadSignature));
    assert_eq!(learned(), 2);
    // What is known is not checked again in a batch: told that it knows the command, though not the batch, this one takes a bad signature.
    let committee = world.committee.clone().with_client_cache(Arc::new(KnowsTheSecond::default()));
    assert_eq!(Batch::decode(forged.into()).unwrap().check(&committee), Ok(()));
}

/// Says of the second thing that it is asked for that it was found good.
#[derive(Debug, Default)]
struct KnowsTheSecond(AtomicUsize);

impl SignatureCache for KnowsTheSecond {
    fn knows(&self, _: &Digest) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 1
    }

    fn learn(&self, _: Digest) {}
}

/// A command under the signature of another one.
fn forged(command: &Command, other: &Command) -> Vec<u8> {
    let mut bytes = command.encoded().to_vec();
    let at = bytes.windows(64).position(|bytes| bytes == command.signature().as_bytes()).unwrap();
    bytes[at..at + 64].copy_from_slice(other.signature().as_bytes());
    bytes
}

/// A body comes from several peers; its signatures are verified once. A bad one is never taken for good.
#[test]
fn a_body_is_verified_once() {
    let world = World::new(4);
    let memory = Arc::new(Memory::default());
    let committee = world.committee.clone().with_client_cache(memory.clone());
    let learned = || memory.0.lock().unwrap().1;
    let good = world.batch(0, 1);
    for _ in 0..3 {
        assert_eq!(good.check(&committee), Ok(()));
        assert_eq!(learned(), 1);
    }
    let (command, other) = (world.command(0, 1).into_inner(), world.command(0, 2).into_inner());
    let bad = Batch::decode(forged(&command, &other).into()).unwrap();
    for _ in 0..3 {
        assert_eq!(bad.check(&committee), Err(VerifyError::BadSignature));
        assert_eq!(learned(), 1);
    }
}
