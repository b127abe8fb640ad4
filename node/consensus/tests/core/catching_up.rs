//! A replica that fell behind under load: what it costs its peers, and that it gets on at the pace of its requests, not of its timers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{Lone, World};
use std::collections::BTreeSet;
use varangian_consensus::message::Status;
use varangian_consensus::{Effect, Message, Slot, Timer, View};
use varangian_crypto::{Bounded, ReplicaId};

fn status_timer(timer: &Timer) -> bool {
    matches!(timer, Timer::Status(_))
}

fn requests(lone: &Lone<'_>) -> Vec<(ReplicaId, u64, u64)> {
    let asked = lone.effects.iter().filter_map(|effect| match effect {
        Effect::Send(source, Message::FetchDecided { from, to }) => Some((*source, from.0, to.0)),
        _ => None,
    });
    asked.collect()
}

/// Everything of the slot but the last COMMIT is heard by r1 from its peers; its own votes come back.
fn vote_on(lone: &mut Lone<'_>, slot: u64) {
    let world = lone.world;
    let batch = world.batch(0, slot);
    let digest = *batch.digest();
    lone.hear(0, Message::PrePrepare(world.pre_prepare(0, slot, digest))).unwrap();
    lone.hear(0, Message::Batch { slot: Slot(slot), batch }).unwrap();
    lone.hear(2, Message::Prepare(world.prepare(2, 0, slot, digest))).unwrap();
}

/// And the COMMITs.
fn commit(lone: &mut Lone<'_>, slot: u64) {
    let world = lone.world;
    let digest = *world.batch(0, slot).digest();
    for signer in [0, 2] {
        lone.hear(signer, Message::Commit(world.commit(signer, 0, slot, digest))).unwrap();
    }
}

/// A status, and what it is answered with.
fn answers(lone: &mut Lone<'_>, stable: u64, executed: u64) -> Vec<Message> {
    let mark = lone.effects.len();
    lone.now += 1000;
    let status = Status {
        view: View(0),
        active: true,
        stable: Slot(stable),
        executed: Slot(executed),
        slots: Bounded::default(),
        view_changes: Bounded::default(),
    };
    lone.hear(3, Message::Status(status)).unwrap();
    lone.sent_to(mark).filter(|(to, _)| *to == ReplicaId(3)).map(|(_, message)| message.clone()).collect()
}

/// Slots that a request asked for come by votes too. Whichever way the last one came, the next request follows at once.
#[test]
fn the_next_request_follows_however_the_last_slot_came() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    let target = *world.batch(0, 6).digest();
    lone.hear(2, Message::Committed(world.committed_without(1, 0, 6, target))).unwrap();
    assert_eq!(requests(&lone), [(ReplicaId(2), 1, 2)]);
    lone.decide(2, 0, 1, Some(world.batch(0, 1))).unwrap();
    vote_on(&mut lone, 2);
    commit(&mut lone, 2);
    assert_eq!(lone.executed.slot, Slot(2));
    assert_eq!(requests(&lone), [(ReplicaId(2), 1, 2), (ReplicaId(2), 3, 4)]);
}

/// Status timers run out until `until`.
fn tick_until(lone: &mut Lone<'_>, until: u64) {
    while lone.now + lone.world.config(1).status_interval() <= until {
        lone.fire(status_timer).unwrap();
    }
}

/// Asks r2 for slots 1 and 2, after a certificate for slot 6 that all others signed.
fn laggard(world: &World) -> Lone<'_> {
    let mut lone = Lone::new(world, 1);
    lone.hear(2, Message::Committed(world.committed_without(1, 0, 6, *world.batch(0, 6).digest()))).unwrap();
    assert_eq!(requests(&lone), [(ReplicaId(2), 1, 2)]);
    lone
}

/// A source that brings nothing for half a time-out is left for another, not earlier: the answer may be waiting behind others.
#[test]
fn a_mute_source_is_left() {
    let world = World::new(4);
    let mut lone = laggard(&world);
    tick_until(&mut lone, 400);
    assert_eq!(requests(&lone).len(), 1);
    // What others bring does not speak for it.
    lone.decide(3, 0, 1, Some(world.batch(0, 1))).unwrap();
    assert_eq!(lone.executed.slot, Slot(1));
    tick_until(&mut lone, 600);
    assert_eq!(requests(&lone)[1..], [(ReplicaId(3), 2, 3)]);
}

/// A source that brings something is kept,
#[test]
fn a_source_that_serves_is_kept() {
    let world = World::new(4);
    let mut lone = laggard(&world);
    tick_until(&mut lone, 400);
    lone.decide(2, 0, 1, Some(world.batch(0, 1))).unwrap();
    tick_until(&mut lone, 800);
    lone.decide(2, 0, 2, Some(world.batch(0, 2))).unwrap();
    assert_eq!(requests(&lone)[1..], [(ReplicaId(2), 3, 4)]);
}

/// but not for longer than a time-out over all its requests: a malicious one might bring slot after slot just in time, and hold a
/// laggard, and the quorum that needs it, for as long as it likes.
#[test]
fn a_source_that_trickles_is_left() {
    let world = World::new(4);
    let mut lone = laggard(&world);
    for (until, slot) in [(400, 1), (800, 2)] {
        tick_until(&mut lone, until);
        lone.decide(2, 0, slot, Some(world.batch(0, slot))).unwrap();
    }
    tick_until(&mut lone, 1000);
    assert_eq!(requests(&lone)[2..], [(ReplicaId(3), 3, 4)]);
}

/// One that says again and again that it no longer holds them, and shows again what there is to ask for, does not make itself the source.
#[test]
fn a_source_cannot_call_for_itself() {
    let world = World::new(4);
    let mut lone = laggard(&world);
    for _ in 0..3 {
        let _unsolicited = lone.hear(2, Message::Pruned { oldest: Slot(100) });
        let _known = lone.hear(2, Message::Committed(world.committed_without(1, 0, 6, *world.batch(0, 6).digest())));
    }
    let sources: Vec<u16> = requests(&lone).iter().map(|(source, ..)| source.0).collect();
    assert_eq!(sources, [2, 3]);
}

/// Who says COMMIT need never hear of the decision. Where the only one who has was none of them, he is asked like them.
#[test]
fn who_has_it_is_asked_though_he_did_not_sign() {
    let world = World::new(7);
    let mut lone = Lone::new(&world, 1);
    let certificate = world.committed_by(&[0, 2, 3, 4, 5], 0, 6, *world.batch(0, 6).digest());
    lone.hear(6, Message::Committed(certificate)).unwrap();
    tick_until(&mut lone, 5000);
    let asked: BTreeSet<u16> = requests(&lone).iter().map(|(source, ..)| source.0).collect();
    assert_eq!(asked, BTreeSet::from([0, 2, 3, 4, 5, 6]));
}

/// Bodies are asked for in the order in which they are needed, a pipeline of them at a time: more would come after they were of use.
#[test]
fn bodies_are_asked_for_a_pipeline_at_a_time() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    for slot in 1..=6 {
        lone.hear(0, Message::PrePrepare(world.pre_prepare(0, slot, *world.batch(0, slot).digest()))).unwrap();
    }
    let mark = lone.effects.len();
    lone.fire(status_timer).unwrap();
    let asked: Vec<u64> = lone
        .sent_to(mark)
        .filter_map(|(_, message)| match message {
            Message::FetchBatch { slot, .. } => Some(slot.0),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [1, 2]);
}

/// Of slots that are decided here, a certificate says everything: three votes of each, from every peer, would cost the laggard more
/// than the slots themselves.
#[test]
fn a_laggard_is_told_no_votes_of_decided_slots() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    for slot in 1..=3 {
        vote_on(&mut lone, slot);
        commit(&mut lone, slot);
    }
    vote_on(&mut lone, 4);
    assert_eq!(lone.executed.slot, Slot(3));
    let said = answers(&mut lone, 0, 0);
    let votes: Vec<(View, Slot)> = said
        .iter()
        .filter_map(|message| match message {
            Message::PrePrepare(vote) => Some((vote.statement.view, vote.statement.slot)),
            Message::Prepare(vote) => Some((vote.statement.view, vote.statement.slot)),
            Message::Commit(vote) => Some((vote.statement.view, vote.statement.slot)),
            _ => None,
        })
        .collect();
    assert_eq!(votes, [(View(0), Slot(4)); 3]);
    let certificates = said
        .iter()
        .filter(|message| matches!(message, Message::Committed(certificate) if certificate.statement.slot == Slot(3)));
    assert_eq!(certificates.count(), 1, "{said:?}");
}

/// Votes beyond the laggard's window would be refused there: they are not sent.
#[test]
fn a_laggard_is_told_no_votes_beyond_its_window() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    let window = world.config(1).window;
    for slot in 1..=4 {
        vote_on(&mut lone, slot);
        commit(&mut lone, slot);
    }
    let checkpoint = world.checkpoint(4, lone.executed.history);
    lone.hear(0, Message::Stable(world.stable(checkpoint))).unwrap();
    for slot in 5..=window + 2 {
        vote_on(&mut lone, slot);
    }
    let said = answers(&mut lone, 0, 4);
    let highest = said.iter().filter_map(|message| match message {
        Message::PrePrepare(vote) => Some(vote.statement.slot.0),
        Message::Prepare(vote) => Some(vote.statement.slot.0),
        Message::Commit(vote) => Some(vote.statement.slot.0),
        _ => None,
    });
    assert_eq!(highest.max(), Some(window));
    assert!(said.iter().any(|message| matches!(message, Message::Stable(_))), "what moves its window: {said:?}");
}

/// Those who know the body may know of no decision, and wait for the vote of the one who does: it must not wait for them.
#[test]
fn a_body_is_asked_for_also_where_the_decision_is_known() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    let digest = *world.batch(0, 1).digest();
    lone.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, digest))).unwrap();
    for signer in [0, 2, 3] {
        lone.hear(signer, Message::Commit(world.commit(signer, 0, 1, digest))).unwrap();
    }
    let mark = lone.effects.len();
    lone.fire(status_timer).unwrap();
    let asks = lone.sent_to(mark).filter(|(_, message)| matches!(message, Message::FetchBatch { slot: Slot(1), .. }));
    assert_eq!(asks.count(), 1);
    lone.hear(2, Message::Batch { slot: Slot(1), batch: world.batch(0, 1) }).unwrap();
    assert_eq!(lone.executed.slot, Slot(1));
}

/// The same where the decision alone is known, by somebody who then goes mute.
#[test]
fn a_body_is_asked_for_where_nothing_but_the_decision_is_known() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 1);
    lone.hear(2, Message::Committed(world.committed_without(1, 0, 1, *world.batch(0, 1).digest()))).unwrap();
    let mark = lone.effects.len();
    for _ in 0..3 {
        lone.fire(status_timer).unwrap();
    }
    let asks = lone.sent_to(mark).filter(|(_, message)| matches!(message, Message::FetchBatch { slot: Slot(1), .. }));
    let asked: BTreeSet<ReplicaId> = asks.map(|(to, _)| to).collect();
    assert_eq!(asked, BTreeSet::from([0, 2, 3].map(ReplicaId)));
}
