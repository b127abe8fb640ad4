//! Bugs that others had, by name: each is a run here that would show it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{Lone, World, digest};
use std::collections::BTreeSet;
use varangian_consensus::{
    Command, Effect, Executed, Ignored, Input, Message, Phase, Record, RecoverError, Replica, Slot, Status, View, Vote,
};
use varangian_crypto::{Bounded, ReplicaId, Signed, VerifyError};
use varangian_sim::{Cluster, Loss, Options, TimerKind};

const STEPS: usize = 50_000;

fn command(cluster: &Cluster, sequence: u64) -> Command {
    cluster.setup.command(0, sequence, &["x"])
}

fn commit(cluster: &mut Cluster, sequence: u64) {
    let command = command(cluster, sequence);
    cluster.submit_to_all(&command);
    assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), STEPS), "command {sequence}");
}

fn votes(effects: &[Effect]) -> impl Iterator<Item = &Vote> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Vote(vote) => Some(vote),
        _ => None,
    })
}

/// Duplicate PREPAREs counted (Besu): one backup's PREPARE, however often and by whatever connection, is one vote.
#[test]
fn duplicate_prepares_are_one_vote() {
    let world = World::new(7);
    let mut lone = Lone::new(&world, 3);
    let batch = world.batch(0, 1);
    lone.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    lone.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, *batch.digest()))).unwrap();
    let prepare = Message::Prepare(world.prepare(1, 0, 1, *batch.digest()));
    lone.hear(1, prepare.clone()).unwrap();
    for from in [1, 2, 4, 5, 6, 1] {
        assert_eq!(lone.hear(from, prepare.clone()), Err(Ignored::Duplicate));
    }
    assert!(!votes(&lone.effects).any(|vote| matches!(vote, Vote::Commit(_))), "one backup made a quorum");
    // The primary and its own PREPARE make three; two more make the quorum of five.
    for id in [4, 5] {
        assert!(!votes(&lone.effects).any(|vote| matches!(vote, Vote::Commit(_))));
        lone.hear(id, Message::Prepare(world.prepare(id, 0, 1, *batch.digest()))).unwrap();
    }
    assert!(votes(&lone.effects).any(|vote| matches!(vote, Vote::Commit(_))));
}

/// The equivocator erases its counted vote (Tari): the second vote is evidence, and the first goes on counting.
#[test]
fn an_equivocator_cannot_take_back_its_commit() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let batch = world.batch(0, 1);
    lone.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    lone.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, *batch.digest()))).unwrap();
    lone.hear(2, Message::Commit(world.commit(2, 0, 1, *batch.digest()))).unwrap();
    lone.hear(2, Message::Commit(world.commit(2, 0, 1, digest(9)))).unwrap();
    for id in [0, 1] {
        assert_eq!(lone.executed.slot, Slot(0));
        lone.hear(id, Message::Commit(world.commit(id, 0, 1, *batch.digest()))).unwrap();
    }
    assert_eq!(lone.executed.slot, Slot(1));
    let accused = lone.effects.iter().filter_map(|effect| match effect {
        Effect::Accuse(evidence) => Some((evidence.accused(), evidence.kind())),
        _ => None,
    });
    assert_eq!(accused.collect::<Vec<_>>(), [(ReplicaId(2), "two commits for one slot")]);
}

/// A watermark move lowers the last executed slot (Fabric): a stable checkpoint from the past moves nothing back.
#[test]
fn a_late_checkpoint_lowers_nothing() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let mut histories = Vec::new();
    for slot in 1..=11 {
        lone.decide(1, 0, slot, Some(world.batch(0, slot))).unwrap();
        histories.push(*lone.replica.history());
    }
    let (before, history) = (lone.replica.executed(), *lone.replica.history());
    for slot in [8, 4] {
        let certificate = world.stable(world.checkpoint(slot, histories[slot as usize - 1]));
        let outcome = lone.hear(1, Message::Stable(certificate));
        assert_eq!(outcome, if slot == 8 { Ok(()) } else { Err(Ignored::Stale) });
        assert_eq!((lone.replica.stable_slot(), lone.replica.executed()), (Slot(8), before));
        assert_eq!((lone.replica.issued(), *lone.replica.history()), (before, history));
    }
}

/// Catching up and a view change deliver one decision twice (SmartBFT #484).
#[test]
fn one_decision_by_three_ways_is_executed_once() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let batch = world.batch(0, 1);
    lone.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    lone.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, *batch.digest()))).unwrap();
    lone.hear(1, Message::Prepare(world.prepare(1, 0, 1, *batch.digest()))).unwrap();
    lone.hear(1, Message::Committed(world.committed(0, 1, *batch.digest()))).unwrap();
    let prepared = world.prepared(0, 1, *batch.digest());
    let changes = (0..3).map(|id| world.view_change(id, 1, None, vec![prepared.clone()])).collect();
    lone.hear(1, Message::NewView(Box::new(world.new_view(1, changes)))).unwrap();
    for id in 0..3 {
        lone.hear(id, Message::Commit(world.commit(id, 1, 1, *batch.digest()))).unwrap();
    }
    assert_eq!(lone.decide(2, 1, 1, Some(batch)), Err(Ignored::Stale));
    let runs = lone.effects.iter().filter(|effect| matches!(effect, Effect::Execute(_))).count();
    assert_eq!(runs, 1);
}

/// A proposal in flight at the crash of its primary (SmartBFT #538): it is the same proposal after the restart, and nobody forks.
#[test]
fn a_primary_that_crashes_between_writing_and_sending_proposes_the_same() {
    for loss in [Loss::AFTER_SYNC, Loss::POWER] {
        let mut cluster = Cluster::new(&Options::default());
        let one = command(&cluster, 1);
        let at = cluster.commits(0) + 1;
        cluster.crash_at_commit(0, at, loss);
        cluster.submit(0, &one).unwrap();
        assert!(!cluster.is_up(0));
        cluster.deliver_all();
        cluster.restart(0);
        // After the restart it knows other commands only.
        let two = command(&cluster, 2);
        cluster.submit_to_all(&two);
        assert!(cluster.run_until(|cluster| cluster.accepted(&two.identity()).is_some(), STEPS));
        assert_eq!(
            cluster.accepted(&one.identity()).is_some(),
            loss == Loss::AFTER_SYNC,
            "what is on disk is proposed again"
        );
        assert_eq!(cluster.replica(0).view(), View(0));
        commit(&mut cluster, 3);
    }
}

/// Stuck in view change (sawtooth #90, #113, #117): replicas that gave up at different times and ask for different views meet again.
#[test]
fn replicas_that_ask_for_different_views_meet_again() {
    let mut cluster = Cluster::new(&Options::default());
    let one = command(&cluster, 1);
    // Everybody hears clients and nobody hears peers.
    let deaf = cluster.drop_when(|_| true);
    cluster.submit_to_all(&one);
    cluster.run_for(3000);
    assert!((1..4).all(|id| cluster.replica(id).phase() == Phase::Active), "nobody asks alone");
    // Once they are heard they have a whole time-out.
    for phase in [Phase::Active, Phase::Changing] {
        for id in 1..4 {
            cluster.fire_timer(id, TimerKind::Command);
        }
        assert!((1..4).all(|id| cluster.replica(id).phase() == phase));
    }
    // Two of them pass through several views by VIEW-CHANGEs that the others never hear of.
    cluster.remove_rule(deaf);
    let some = cluster.drop_when(|packet| packet.to.0 == 0 || packet.to.0 == 3 || packet.message.name() == "new-view");
    cluster.run_for(60_000);
    let views: BTreeSet<_> = (0..4).map(|id| cluster.replica(id).view()).collect();
    assert!(views.len() > 1, "{views:?}");
    cluster.remove_rule(some);
    let from = cluster.now();
    assert!(cluster.run_until(|cluster| cluster.accepted(&one.identity()).is_some(), STEPS));
    assert!(cluster.now() - from <= 60_000, "it took {} ms", cluster.now() - from);
    commit(&mut cluster, 2);
}

/// A back-off of 4096 s after an outage (Besu #7642): however long too many are away, the cluster moves again within a bounded time.
#[test]
fn an_outage_of_any_length_is_made_good_in_bounded_time() {
    for (away, cut) in [([0, 1], false), ([0, 1], true), ([2, 3], true)] {
        let mut cluster = Cluster::new(&Options::default());
        commit(&mut cluster, 1);
        for id in away {
            if !cut {
                cluster.crash(id, Loss::POWER);
            }
        }
        if cut {
            cluster.partition(&[&away]);
        }
        let two = command(&cluster, 2);
        for id in cluster.honest() {
            cluster.submit(id, &two).unwrap();
        }
        cluster.run_for(3_600_000);
        assert!(cluster.accepted(&two.identity()).is_none());
        for id in away {
            if !cluster.is_up(id) {
                cluster.restart(id);
            }
        }
        cluster.heal();
        let from = cluster.now();
        assert!(cluster.run_until(|cluster| cluster.accepted(&two.identity()).is_some(), STEPS));
        let took = cluster.now() - from;
        println!("{away:?} away for an hour: {took} ms to the first answer");
        assert!(took <= 2 * cluster.setup.genesis.parameters().max_timeout_ms, "it took {took} ms");
        commit(&mut cluster, 3);
    }
}

/// The same where views fail one after the other all the time, so that time-outs grow: the cap holds them.
#[test]
fn an_hour_of_failing_views_is_made_good_in_bounded_time() {
    let mut cluster = Cluster::new(&Options::default());
    commit(&mut cluster, 1);
    let rule = cluster.drop_when(|packet| matches!(packet.message.name(), "new-view" | "prepare"));
    let two = command(&cluster, 2);
    cluster.submit_to_all(&two);
    cluster.run_for(3_600_000);
    let view = cluster.replica(1).view();
    assert!(view > View(20), "views do not fail: {view}");
    cluster.remove_rule(rule);
    let from = cluster.now();
    assert!(cluster.run_until(|cluster| cluster.accepted(&two.identity()).is_some(), STEPS));
    let took = cluster.now() - from;
    println!("after an hour and {view} failed views: {took} ms to the first answer");
    assert!(took <= 2 * cluster.setup.genesis.parameters().max_timeout_ms, "it took {took} ms");
    commit(&mut cluster, 3);
}

/// The application is durable ahead of the journal (commonware #3727), or behind it: both are states that a crash leaves.
#[test]
fn an_application_ahead_of_the_journal_or_behind_it_is_no_trouble() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    for slot in 1..=3 {
        let batch = world.batch(0, slot);
        lone.hear(0, Message::Batch { slot: Slot(slot), batch: batch.clone() }).unwrap();
        lone.hear(0, Message::PrePrepare(world.pre_prepare(0, slot, *batch.digest()))).unwrap();
        for id in [1, 2] {
            // The second one finds the slot prepared already.
            lone.hear(id, Message::Prepare(world.prepare(id, 0, slot, *batch.digest()))).ok();
        }
        for id in [0, 1, 2] {
            lone.hear(id, Message::Commit(world.commit(id, 0, slot, *batch.digest()))).ok();
        }
    }
    assert_eq!(lone.executed.slot, Slot(3));
    let ahead = Lone::restart(&world, 3, lone.executed.clone(), Vec::new());
    assert_eq!((ahead.replica.executed(), ahead.replica.history()), (Slot(3), lone.replica.history()));
    // Behind: all votes, and none of the executions. Its peers' COMMITs decide the slots again.
    let mut behind = Lone::restart(&world, 3, Executed::default(), lone.records());
    assert_eq!(behind.replica.executed(), Slot(0));
    for slot in 1..=3 {
        let named = *world.batch(0, slot).digest();
        for id in [0, 1] {
            behind.hear(id, Message::Commit(world.commit(id, 0, slot, named))).unwrap();
        }
        assert_eq!(behind.replica.executed(), Slot(slot), "its own COMMIT is the third");
    }
    assert_eq!(behind.replica.history(), lone.replica.history());
}

/// State that a stable checkpoint vouches for is gone: that store is not started.
#[test]
fn a_store_that_lost_checkpointed_state_is_refused() {
    let world = World::new(4);
    let stable = world.stable(world.checkpoint(4, digest(1)));
    let outcome = Replica::recover(world.config(3), 0, Executed::default(), [Record::Stable(stable)], &mut Vec::new())
        .map(|_| ());
    assert_eq!(outcome, Err(RecoverError::BelowStable { executed: Slot(0), stable: Slot(4) }));
}

/// A panic on a vote's index (p7mv): a signer, or a connection, that no committee has.
#[test]
fn signers_out_of_range_are_refused() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    for id in [4, 5, 127, 128, u16::MAX] {
        let valid = world.prepare(1, 0, 1, digest(1));
        let signed = Signed { signer: ReplicaId(id), ..valid.clone() };
        let outcome = Message::Prepare(signed).verify(&world.committee).map(|_| ());
        assert_eq!(outcome, Err(VerifyError::UnknownSigner));
        let mut certificate = world.committed(0, 1, digest(1));
        certificate.signatures[2].0 = ReplicaId(id);
        assert!(Message::Committed(certificate).verify(&world.committee).is_err());
        let mut prepared = world.prepared(0, 1, digest(1));
        prepared.prepares[1].0 = ReplicaId(id);
        let change = world.view_change(1, 1, None, vec![prepared]);
        let delivery = Message::ViewChange(Box::new(change)).verify(&world.committee).unwrap();
        lone.step(Input::Message { from: ReplicaId(1), delivery }).ok();
        let delivery = world.delivery(Message::Prepare(valid));
        assert_eq!(lone.step(Input::Message { from: ReplicaId(id), delivery }), Err(Ignored::Unsolicited));
        assert_eq!(lone.step(Input::Connected(ReplicaId(id))), Err(Ignored::Unsolicited));
        assert_eq!(lone.replica.view(), View(0));
    }
}

/// Fields that nobody vouches for (CometBFT, snarkOS): a status may claim anything, and moves nothing.
#[test]
fn a_lying_status_moves_nothing() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    for (at, view, slot) in [(1, u64::MAX, u64::MAX), (2, 5, 1000), (3, 0, 8)] {
        lone.now = at * 10_000;
        let status = Status {
            view: View(view),
            active: true,
            stable: Slot(slot),
            executed: Slot(slot),
            slots: Bounded::try_from(vec![varangian_consensus::Progress::Committed; 8]).unwrap(),
            view_changes: Bounded::try_from((0..4).map(ReplicaId).collect::<Vec<_>>()).unwrap(),
        };
        let mark = lone.effects.len();
        lone.hear(1, Message::Status(status)).unwrap();
        assert_eq!((lone.replica.view(), lone.replica.issued()), (View(0), Slot(0)));
        assert!(!lone.replica.is_behind());
        let asked = lone
            .sent_to(mark)
            .any(|(_, message)| matches!(message, Message::FetchDecided { .. } | Message::FetchBatch { .. }));
        assert!(!asked, "it asks for what nobody proved");
    }
}

/// `f` replicas alone never move anyone, and `f + 1` only as far as one honest one of them asks.
#[test]
fn view_changes_move_a_replica_only_with_an_honest_one_among_them() {
    let world = World::new(7);
    let mut lone = Lone::new(&world, 0);
    for (id, view) in [(1, 9), (2, 4)] {
        lone.hear(id, Message::ViewChange(Box::new(world.view_change(id, view, None, Vec::new())))).unwrap();
        assert_eq!(lone.replica.view(), View(0), "f senders moved it");
    }
    lone.hear(3, Message::ViewChange(Box::new(world.view_change(3, 2, None, Vec::new())))).unwrap();
    assert_eq!(
        (lone.replica.view(), lone.replica.phase()),
        (View(2), Phase::Changing),
        "all three ask for 2 or exceed it"
    );
    lone.hear(3, Message::ViewChange(Box::new(world.view_change(3, 7, None, Vec::new())))).unwrap();
    assert_eq!(lone.replica.view(), View(4), "the highest that f + 1 ask for or exceed");
}

/// An honest primary in a synchronous run is never deposed, however much there is to do.
#[test]
fn an_honest_primary_under_load_is_not_deposed() {
    let mut cluster = Cluster::new(&Options::default());
    let mut open: Vec<(u8, u64)> = (0..3).map(|client| (client, 1)).collect();
    let mut done = 0;
    for round in 0..200 {
        for (client, sequence) in &mut open {
            let command = cluster.setup.command(*client, *sequence, &["x"]);
            if cluster.accepted(&command.identity()).is_some() {
                *sequence += 1;
                done += 1;
            }
            let command = cluster.setup.command(*client, *sequence, &["x"]);
            for id in 0..4 {
                // Known already, or done.
                cluster.submit(id, &command).ok();
            }
        }
        // Time goes by, a fraction of the time-out per round of messages.
        for _ in 0..20 {
            cluster.deliver_one();
        }
        cluster.advance(if round % 10 == 0 { 60 } else { 10 });
    }
    assert!(done > 100, "{done} commands");
    assert!((0..4).all(|id| cluster.replica(id).view() == View(0)), "an honest primary was deposed");
    cluster.deliver_all();
}

/// A timer that nobody set for this, and a late one: `Stale`, nothing else.
#[test]
fn stale_timers_do_nothing() {
    let mut cluster = Cluster::new(&Options::default());
    commit(&mut cluster, 1);
    cluster.deliver_all();
    for id in 0..4 {
        for kind in [TimerKind::Command, TimerKind::NewView, TimerKind::Status] {
            cluster.fire_timer(id, kind);
        }
    }
    cluster.deliver_all();
    assert!((0..4).all(|id| cluster.replica(id).view() == View(0)));
}
