//! Schedules that one replica can be put through alone, everybody else being played with real keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{Lone, World, digest};
use std::collections::BTreeSet;
use varangian_consensus::{
    Alarm, Effect, Executed, Ignored, Input, Message, NULL_BATCH, Phase, PrePrepare, Record, Slot, Timer, View, Vote,
};
use varangian_crypto::{Bounded, ReplicaId};

const fn command_timer(timer: &Timer) -> bool {
    matches!(timer, Timer::Command(_))
}

const fn status_timer(timer: &Timer) -> bool {
    matches!(timer, Timer::Status(_))
}

/// A replica that asks for view 1 and waits for its NEW-VIEW.
fn changing<'a>(world: &'a World, id: u16) -> Lone<'a> {
    let mut lone = Lone::new(world, id);
    lone.client(world.command(0, 1)).unwrap();
    lone.fire(command_timer).unwrap();
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(1), Phase::Changing));
    lone
}

/// All lose power after the state of a checkpoint's slot was written and before the CHECKPOINT was: it must be signed after the
/// restart, or the checkpoint never becomes stable and the window closes for good.
#[test]
fn a_checkpoint_whose_record_was_lost_is_signed_after_the_restart() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    for slot in 1..=3 {
        lone.decide(1, 0, slot, Some(world.batch(0, slot))).unwrap();
    }
    lone.executes = false;
    lone.decide(1, 0, 4, Some(world.batch(0, 4))).unwrap();
    assert_eq!((lone.executed.slot, lone.replica.executed()), (Slot(4), Slot(3)));
    let (executed, records) = (lone.executed.clone(), lone.records());
    assert!(!records.iter().any(|record| matches!(record, Record::Checkpoint(_))), "the record is lost");

    let again = Lone::restart(&world, 3, executed, records);
    let due = world.checkpoint(4, *again.replica.history());
    let at = |wanted: &Effect| again.effects.iter().position(|effect| effect == wanted);
    let persisted =
        at(&Effect::Persist(Record::Checkpoint(due))).expect("the checkpoint is persisted after the restart");
    let voted = at(&Effect::Vote(Vote::Checkpoint(due))).expect("and signed");
    assert!(persisted < voted);

    // Once signed it is not signed anew, only said again.
    let (executed, records) = (again.executed.clone(), again.records());
    let third = Lone::restart(&world, 3, executed, records);
    assert!(!third.effects.contains(&Effect::Persist(Record::Checkpoint(due))));
    assert!(third.effects.contains(&Effect::Vote(Vote::Checkpoint(due))));
}

/// One who runs ahead of its window by decided slots keeps bodies out of the window on disk: after a restart they must not count
/// as votes in flight.
#[test]
fn bodies_of_slots_that_were_caught_up_beyond_the_window_survive_a_restart_quietly() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    for slot in 1..=12 {
        lone.decide(1, 0, slot, Some(world.batch(0, slot))).unwrap();
    }
    assert_eq!((lone.replica.executed(), lone.replica.stable_slot()), (Slot(12), Slot(0)));
    let mut records = lone.records();
    records.retain(|record| !matches!(record, Record::Stable(_)));
    let again = Lone::restart(&world, 3, lone.executed.clone(), records);
    assert_eq!(again.replica.executed(), Slot(12));
}

/// A checkpoint that was signed while it lay beyond the own window is still offered to who lacks it, once the window reaches it.
#[test]
fn a_checkpoint_signed_ahead_of_the_own_window_is_not_lost() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let mut histories = Vec::new();
    for slot in 1..=12 {
        lone.decide(1, 0, slot, Some(world.batch(0, slot))).unwrap();
        histories.push(*lone.replica.history());
    }
    let stable = world.stable(world.checkpoint(8, histories[7]));
    lone.hear(1, Message::Stable(stable)).unwrap();
    assert_eq!(lone.replica.stable_slot(), Slot(8));
    // Peer 2 stands at 8 and lacks the CHECKPOINT at 12.
    let mark = lone.effects.len();
    let status = varangian_consensus::Status {
        view: View(0),
        active: true,
        stable: Slot(8),
        executed: Slot(12),
        slots: Bounded::default(),
        view_changes: Bounded::default(),
    };
    lone.hear(2, Message::Status(status)).unwrap();
    let offered = lone.sent_to(mark).any(|(to, message)| {
        to == ReplicaId(2) && matches!(message, Message::Checkpoint(signed) if signed.statement.slot == Slot(12))
    });
    assert!(offered, "the CHECKPOINT at 12 is never said again");
}

/// A faulty backup signs a NEW-VIEW for somebody else's view. It is evidence against the signer, and nothing else: otherwise one
/// replica could make every view fail.
#[test]
fn a_new_view_of_one_who_is_not_its_primary_fails_no_view() {
    let world = World::new(4);
    let mut lone = changing(&world, 2);
    let mut forged = world.new_view(1, (0..3).map(|id| world.view_change(id, 1, None, Vec::new())).collect()).statement;
    for view in [1, 2, 5] {
        forged.view = View(view);
        let signed = world.signer(3).sign(forged.clone()).into_inner();
        lone.hear(3, Message::NewView(Box::new(signed))).unwrap();
        assert_eq!(
            (lone.replica.view(), lone.replica.phase()),
            (View(1), Phase::Changing),
            "after the forgery for view {view}"
        );
    }
    let accused: BTreeSet<_> = lone
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Accuse(evidence) => Some(evidence.accused()),
            _ => None,
        })
        .collect();
    assert_eq!(accused, BTreeSet::from([ReplicaId(3)]));
}

/// An invalid NEW-VIEW of the view's own primary fails the view at once (§4.4).
#[test]
fn an_invalid_new_view_of_the_views_primary_fails_it_at_once() {
    let world = World::new(4);
    let mut lone = changing(&world, 2);
    let view_changes: Vec<_> = [0, 1, 3].map(|id| world.view_change(id, 1, None, Vec::new())).to_vec();
    let unasked = vec![world.pre_prepare(1, 1, digest(1))];
    let invalid = world.new_view_with(1, view_changes, unasked);
    lone.hear(1, Message::NewView(Box::new(invalid))).unwrap();
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(2), Phase::Changing));
}

/// A certificate with one signer twice, and one with a signature of another view's vote: the NEW-VIEW that rests on it proves its
/// primary faulty, and what is claimed is not carried.
#[test]
fn a_certificate_with_one_signer_twice_proves_the_primary_faulty() {
    let world = World::new(4);
    let mut twice = world.prepared(0, 1, digest(1));
    let first = twice.prepares[0];
    twice.prepares = Bounded::try_from(vec![first, first]).unwrap();
    let mut stale = world.prepared(0, 1, digest(1));
    let other = world.prepare(stale.prepares[1].0.0, 2, 1, digest(1));
    stale.prepares = Bounded::try_from(vec![first, (other.signer, other.signature)]).unwrap();
    for certificate in [twice, stale] {
        let mut lone = changing(&world, 2);
        let mut view_changes = [0, 1, 3].map(|id| world.view_change(id, 1, None, Vec::new())).to_vec();
        view_changes[2] = world.view_change(3, 1, None, vec![certificate]);
        // On its own it accuses replica 3.
        lone.hear(3, Message::ViewChange(Box::new(view_changes[2].clone()))).unwrap();
        let signed = world.new_view_with(1, view_changes, vec![world.pre_prepare(1, 1, digest(1))]);
        lone.hear(1, Message::NewView(Box::new(signed))).unwrap();
        assert_eq!(lone.replica.view(), View(2));
        let accused: Vec<_> = lone
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Accuse(evidence) => Some((evidence.accused(), evidence.kind())),
                _ => None,
            })
            .collect();
        assert_eq!(accused, [(ReplicaId(3), "an invalid view change"), (ReplicaId(1), "an invalid new view")]);
    }
}

/// Two valid NEW-VIEWs for one view: the first is kept, the second is evidence, and the view fails.
#[test]
fn two_new_views_for_one_view_prove_its_primary_faulty() {
    let world = World::new(4);
    let mut lone = changing(&world, 2);
    let prepared = world.prepared(0, 1, digest(1));
    let change =
        |id: u16, with: bool| world.view_change(id, 1, None, if with { vec![prepared.clone()] } else { Vec::new() });
    let one = world.new_view(1, vec![change(0, false), change(1, false), change(3, false)]);
    let two = world.new_view(1, vec![change(0, true), change(1, false), change(3, false)]);
    lone.hear(1, Message::NewView(Box::new(one))).unwrap();
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(1), Phase::Active));
    lone.hear(3, Message::NewView(Box::new(two))).unwrap();
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(2), Phase::Changing));
    let kinds: Vec<_> = lone
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Accuse(evidence) => Some((evidence.accused(), evidence.kind())),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [(ReplicaId(1), "two new views for one view")]);
}

/// A source that stays mute delays a laggard, nothing more: every signer of the proof is asked in turn, whatever their number.
#[test]
fn sources_of_decided_slots_rotate_over_every_signer() {
    for n in [4, 7, 10, 13] {
        let world = World::new(n);
        let quorum = world.quorum() as u16;
        // With and without this replica among the signers, so that both even and odd numbers of sources occur.
        for own in [true, false] {
            let id = if own { 0 } else { n - 1 };
            let known = Record::Prepared(world.prepared(0, 2, digest(2)));
            let mut lone = Lone::restart(&world, id, Executed::default(), vec![known]);
            let signers: Vec<u16> = (0..quorum).collect();
            let certificate = world.committed_by(&signers, 0, 2, digest(2));
            lone.hear(1, Message::Committed(certificate)).unwrap();
            let mark = lone.effects.len();
            let patience = world.config(id).base_timeout / world.config(id).status_interval();
            for _ in 0..2 * patience * u64::from(n) {
                lone.fire(status_timer).unwrap();
            }
            let asks = lone.sent_to(mark).filter(|(_, message)| matches!(message, Message::FetchDecided { .. }));
            let asked: BTreeSet<u16> = asks.map(|(to, _)| to.0).collect();
            let expected: BTreeSet<u16> = signers.iter().copied().filter(|signer| *signer != id).collect();
            assert_eq!(asked, expected, "n = {n}");
        }
    }
}

/// The same for a body that is needed to vote: everybody who voted for it is asked in turn.
#[test]
fn sources_of_bodies_rotate_over_every_voter() {
    for n in [4, 7, 10, 13] {
        let world = World::new(n);
        let mut lone = Lone::new(&world, n - 1);
        lone.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, digest(1)))).unwrap();
        // One voter more, one less: even and odd numbers of sources.
        for voters in [n - 3, n - 2] {
            for voter in 1..=voters {
                let _again = lone.hear(voter, Message::Prepare(world.prepare(voter, 0, 1, digest(1))));
            }
            let mark = lone.effects.len();
            for _ in 0..2 * n {
                lone.fire(status_timer).unwrap();
            }
            let asks = lone.sent_to(mark).filter(|(_, message)| matches!(message, Message::FetchBatch { .. }));
            let asked: BTreeSet<u16> = asks.map(|(to, _)| to.0).collect();
            assert_eq!(asked, (0..=voters).collect(), "n = {n}");
        }
    }
}

/// A client's later command slides its window past one that a backup has armed: that one has its outcome now, so its timer must not
/// depose a primary that rightly refuses it.
#[test]
fn a_command_that_became_too_old_deposes_nobody() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 2);
    let (width, slot) = (world.config(2).client_window, 1);
    lone.client(world.command(0, 1)).unwrap();
    assert_eq!(lone.replica.pool().armed(), 1);
    lone.decide(1, 0, slot, Some(world.batch(0, width + 1))).unwrap();
    assert_eq!(lone.client(world.command(0, 1)), Err(Ignored::TooOld));
    assert_eq!(lone.replica.pool().len(), 0, "its outcome is decided");
    let _stale_or_not = lone.fire(command_timer);
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(0), Phase::Active));
}

/// The same with the last place of an open admission taken by another client.
#[test]
fn a_command_of_a_client_that_came_too_late_deposes_nobody() {
    let world = World::with(4, crate::properties_support::small(), 4, Some(1));
    let mut lone = Lone::new(&world, 2);
    lone.client(world.command(0, 1)).unwrap();
    lone.decide(1, 0, 1, Some(world.batch(1, 1))).unwrap();
    assert_eq!(lone.client(world.command(0, 1)), Err(Ignored::UnknownClient));
    assert_eq!(lone.replica.pool().len(), 0, "its outcome is decided");
    let _stale_or_not = lone.fire(command_timer);
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(0), Phase::Active));
}

/// A replica whose state is not what a quorum agreed on casts no vote from that moment on, not in the same step either.
#[test]
fn a_diverged_replica_votes_no_more_even_in_the_step_that_shows_it() {
    let world = World::new(4);
    let mut lone = changing(&world, 2);
    for slot in 1..=4 {
        lone.decide(1, 0, slot, Some(world.batch(1, slot))).unwrap();
    }
    let mut other = world.checkpoint(4, *lone.replica.history());
    other.state = digest(9);
    let stable = world.stable(other);
    let batch = world.batch(1, 5);
    let prepared = world.prepared(0, 5, NULL_BATCH);
    let change = |id: u16| world.view_change(id, 1, Some(stable.clone()), vec![prepared.clone()]);
    let signed = world.new_view(1, vec![change(0), change(1), change(3)]);
    assert_eq!(signed.statement.pre_prepares.len(), 1);
    let mark = lone.effects.len();
    lone.hear(1, Message::NewView(Box::new(signed))).unwrap();
    assert!(matches!(lone.replica.stopped(), Some(Alarm::Diverged { .. })));
    let votes: Vec<_> = lone.since(mark).iter().filter(|effect| matches!(effect, Effect::Vote(_))).collect();
    assert!(votes.is_empty(), "it still votes: {votes:?}");
    assert_eq!(lone.decide(1, 0, 5, Some(batch)), Err(Ignored::Stopped));
}

/// Two valid commit certificates for one slot prove more than `f` faults: stop, and never run one's body under the other's name.
#[test]
fn two_decisions_for_one_slot_stop_the_replica() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let (one, two) = (world.batch(0, 1), world.batch(1, 1));
    // Slot 2's body is missing, and then another decision for it comes with a body.
    let certificate = world.committed(0, 1, *one.digest());
    lone.hear(1, Message::Committed(certificate)).unwrap();
    let outcome = lone.decide(2, 0, 1, Some(two));
    assert_eq!(outcome, Ok(()));
    assert_eq!(lone.replica.stopped(), Some(&Alarm::TooManyFaults { slot: Slot(1), view: View(0) }));
    assert_eq!(lone.executed.slot, Slot(0), "nothing was run");
}

/// The same digest decided in two views is one decision.
#[test]
fn a_slot_decided_again_in_a_later_view_is_no_contradiction() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let batch = world.batch(0, 1);
    lone.hear(1, Message::Committed(world.committed(0, 1, *batch.digest()))).unwrap();
    lone.decide(2, 3, 1, Some(batch)).unwrap();
    assert_eq!((lone.replica.stopped(), lone.executed.slot), (None, Slot(1)));
}

/// Prepared in view 0, entered view 1, and not prepared again: its VIEW-CHANGE for view 2 carries it still, with a crash in between and
/// without.
#[test]
fn what_was_prepared_is_in_the_view_change_after_a_new_view_and_a_crash() {
    for crash in [false, true] {
        carries_on(crash);
    }
}

fn carries_on(crash: bool) {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let batch = world.batch(0, 1);
    let certificate = world.prepared(0, 1, *batch.digest());
    lone.client(world.command(1, 1)).unwrap();
    lone.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    lone.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, *batch.digest()))).unwrap();
    lone.hear(1, Message::Prepare(world.prepare(1, 0, 1, *batch.digest()))).unwrap();
    assert!(lone.effects.contains(&Effect::Vote(Vote::Commit(certificate.pre_prepare.commit()))));
    let prepared = lone.records().into_iter().find_map(|record| match record {
        Record::Prepared(certificate) => Some(certificate),
        _ => None,
    });
    let prepared = prepared.expect("its certificate is on disk");

    lone.fire(command_timer).unwrap();
    // Its own VIEW-CHANGE is not in V: view 1 begins with nothing carried over.
    let view_changes = (0..3).map(|id| world.view_change(id, 1, None, Vec::new())).collect();
    lone.hear(1, Message::NewView(Box::new(world.new_view(1, view_changes)))).unwrap();
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(1), Phase::Active));

    let mut again = if crash { Lone::restart(&world, 3, Executed::default(), lone.records()) } else { lone };
    assert_eq!((again.replica.view(), again.replica.phase()), (View(1), Phase::Active));
    for id in [0, 1] {
        again.hear(id, Message::ViewChange(Box::new(world.view_change(id, 2, None, Vec::new())))).unwrap();
    }
    let carried = again.effects.iter().find_map(|effect| match effect {
        Effect::Vote(Vote::ViewChange(promise)) if promise.view == View(2) => Some(promise.clone()),
        _ => None,
    });
    let carried = carried.expect("it joins the f + 1");
    assert_eq!(carried.prepared.to_vec(), vec![prepared]);
}

/// After a promise for a view nothing below it is voted for, also not by one who restarts.
#[test]
fn a_promise_outlives_a_restart() {
    let world = World::new(4);
    let lone = changing(&world, 3);
    let mut again = Lone::restart(&world, 3, Executed::default(), lone.records());
    assert_eq!((again.replica.view(), again.replica.phase()), (View(1), Phase::Changing));
    let batch = world.batch(0, 1);
    let mark = again.effects.len();
    again.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    again.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, *batch.digest()))).unwrap();
    for id in [1, 2] {
        again.hear(id, Message::Prepare(world.prepare(id, 0, 1, *batch.digest()))).unwrap();
    }
    assert!(!again.since(mark).iter().any(|effect| matches!(effect, Effect::Vote(_))));
}

/// The disk that is shown a vote of its own that it does not know is not the disk that signed it.
#[test]
fn a_rolled_back_disk_stops_voting_when_it_sees_its_own_later_vote() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let own = world.prepare(3, 0, 1, digest(1));
    lone.hear(1, Message::Prepare(own)).unwrap();
    assert_eq!(lone.replica.stopped(), Some(&Alarm::ForeignVote { slot: Slot(1), view: View(0) }));
}

/// So is a disk that is shown a decision with a COMMIT of its own whose prepared certificate it does not hold: while it catches up that is all that it is
/// shown. One that holds it goes on, after a restart too.
#[test]
fn a_rolled_back_disk_stops_voting_when_it_sees_its_own_commit_in_a_decision() {
    let world = World::new(4);
    let batch = world.batch(0, 1);
    let held = || vec![Record::Prepared(world.prepared(0, 1, *batch.digest()))];
    for (records, view, stops) in [(Vec::new(), 0, true), (held(), 2, true), (held(), 0, false)] {
        let certificate = || world.committed_by(&[0, 1, 3], view, 1, *batch.digest());
        let body = || Some(batch.clone());
        for message in
            [Message::Committed(certificate()), Message::Decided { certificate: certificate(), batch: body() }]
        {
            let mut lone = Lone::restart(&world, 3, Executed::default(), records.clone());
            lone.hear(1, message.clone()).unwrap();
            let alarm = Alarm::ForeignVote { slot: Slot(1), view: View(view) };
            assert_eq!(lone.replica.stopped(), stops.then_some(&alarm));
            assert_eq!(lone.records().contains(&Record::Stopped(alarm)), stops);
            let mut other = Lone::new(&world, 2);
            other.hear(1, message).unwrap();
            assert_eq!(other.replica.stopped(), None);
        }
    }
}

/// A primary's own pre-prepares come back to it after a restart without a false alarm, NEW-VIEW's included.
#[test]
fn own_votes_come_back_from_peers_without_alarm() {
    let world = World::new(4);
    let mut lone = changing(&world, 1);
    let prepared = world.prepared(0, 1, digest(1));
    let own = lone.effects.iter().find_map(|effect| match effect {
        Effect::Vote(Vote::ViewChange(promise)) => Some(promise.as_ref().clone()),
        _ => None,
    });
    let own = world.signer(1).sign(own.unwrap()).into_inner();
    let signed = world.new_view(
        1,
        vec![own, world.view_change(2, 1, None, vec![prepared]), world.view_change(3, 1, None, Vec::new())],
    );
    let carried = signed.statement.pre_prepares[0].clone();
    lone.hear(1, Message::NewView(Box::new(signed))).unwrap();
    let vote = PrePrepare { view: View(1), slot: Slot(1), digest: digest(1) };
    assert_eq!(carried.statement, vote);
    assert_eq!(lone.hear(2, Message::PrePrepare(carried.clone())), Err(Ignored::Duplicate));
    let mut again = Lone::restart(&world, 1, Executed::default(), lone.records());
    assert_eq!(again.replica.phase(), Phase::Active);
    assert_eq!(again.hear(2, Message::PrePrepare(carried)), Err(Ignored::Duplicate));
    assert_eq!(again.replica.stopped(), None);
}

/// Slots that were executed by catching up are voted for again in a later view, for those who lack them.
#[test]
fn a_slot_that_was_caught_up_is_voted_for_again_when_a_new_view_carries_it() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let batch = world.batch(0, 1);
    lone.decide(1, 0, 1, Some(batch.clone())).unwrap();
    assert_eq!(lone.executed.slot, Slot(1));
    let prepared = world.prepared(0, 1, *batch.digest());
    let view_changes = (0..3).map(|id| world.view_change(id, 1, None, vec![prepared.clone()])).collect();
    lone.hear(1, Message::NewView(Box::new(world.new_view(1, view_changes)))).unwrap();
    let due = PrePrepare { view: View(1), slot: Slot(1), digest: *batch.digest() }.prepare();
    assert!(lone.effects.contains(&Effect::Vote(Vote::Prepare(due))));
    assert_eq!(lone.executed.slot, Slot(1), "and not executed again");
}

/// `T` doubles with every view that fails, up to its cap, and halves after each `2T` in one view with progress (§4.4).
#[test]
fn the_time_out_doubles_up_to_its_cap_and_halves_with_progress() {
    let world = World::new(4);
    let (base, cap) = (world.config(3).base_timeout, world.config(3).max_timeout);
    let mut lone = Lone::new(&world, 3);
    let mut sequence = 1;
    let mut armed_for = |lone: &mut Lone<'_>| {
        sequence += 1;
        let mark = lone.effects.len();
        lone.client(world.command(1, sequence)).unwrap();
        let set = lone.since(mark).iter().find_map(|effect| match effect {
            Effect::SetTimer(Timer::Command(_), after) => Some(*after),
            _ => None,
        });
        lone.decide(0, 0, lone.executed.slot.0 + 1, Some(world.batch(1, sequence))).unwrap();
        // The timer of a command that is done runs out, and the next one is set anew.
        lone.fire(command_timer).unwrap();
        set.expect("the command is armed")
    };
    assert_eq!(armed_for(&mut lone), base);
    let mut expected = base;
    for view in [1, 2, 4, 5, 6, 8] {
        let changes = [0, 1, 2].map(|id| world.view_change(id, view, None, Vec::new())).to_vec();
        for change in &changes[..2] {
            lone.hear(change.signer.0, Message::ViewChange(Box::new(change.clone()))).unwrap();
        }
        assert_eq!((lone.replica.view(), lone.replica.phase()), (View(view), Phase::Changing));
        lone.hear(world.primary(view), Message::NewView(Box::new(world.new_view(view, changes)))).unwrap();
        expected = (expected * 2).min(cap);
    }
    assert_eq!(expected, cap);
    // Each time some time passes, and a command is ordered.
    let mut seen = vec![armed_for(&mut lone)];
    assert_eq!(seen, [cap]);
    while seen.last() != Some(&base) {
        assert!(seen.len() < 40, "it does not come down: {seen:?}");
        seen.push(armed_for(&mut lone));
    }
    seen.dedup();
    assert_eq!(seen, [16_000, 8_000, 4_000, 2_000, 1_000]);
}

/// Replica 2 in view 1 by a NEW-VIEW of the others that stands on checkpoint `4 * interval` and carries what was prepared.
fn in_view_1<'a>(
    world: &'a World,
    interval: u64,
    prepared: Vec<varangian_consensus::PreparedCertificate>,
    before: &[Message],
) -> Lone<'a> {
    let mut lone = changing(world, 2);
    for message in before {
        lone.hear(1, message.clone()).unwrap();
    }
    let stable = (interval > 0).then(|| world.stable(world.checkpoint(4 * interval, digest(interval))));
    let changes = [0, 1, 3].map(|id| world.view_change(id, 1, stable.clone(), prepared.clone())).to_vec();
    lone.hear(1, Message::NewView(Box::new(world.new_view(1, changes)))).unwrap();
    assert_eq!((lone.replica.view(), lone.replica.phase()), (View(1), Phase::Active));
    lone
}

fn prepares(lone: &Lone<'_>, view: u64) -> Vec<(u64, varangian_crypto::Digest)> {
    let votes = lone.effects.iter().filter_map(|effect| match effect {
        Effect::Vote(Vote::Prepare(vote)) if vote.view == View(view) => Some((vote.slot.0, vote.digest)),
        _ => None,
    });
    votes.collect()
}

/// Outside of a NEW-VIEW there are no null batches.
#[test]
fn a_null_batch_is_pre_prepared_by_new_views_only() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 2);
    let null = |view| Message::PrePrepare(world.pre_prepare(view, 1, NULL_BATCH));
    assert_eq!(lone.hear(0, null(0)), Err(Ignored::Unsolicited));
    // Neither when it overtakes the NEW-VIEW.
    let mut lone = in_view_1(&world, 0, Vec::new(), &[null(1)]);
    assert_eq!(prepares(&lone, 1), []);
    assert_eq!(lone.hear(1, null(1)), Err(Ignored::Unsolicited));
    // The slot is free for a batch.
    let batch = world.batch(0, 9);
    lone.hear(1, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    lone.hear(1, Message::PrePrepare(world.pre_prepare(1, 1, *batch.digest()))).unwrap();
    assert_eq!(prepares(&lone, 1), [(1, *batch.digest())]);
}

/// What a NEW-VIEW settled is settled: nothing else is voted for up to its `max`, nor below its checkpoint, whenever it was said.
#[test]
fn slots_that_a_new_view_settled_are_not_given_away_again() {
    let world = World::new(4);
    let other = |slot| Message::PrePrepare(world.pre_prepare(1, slot, digest(77)));
    let carried = vec![world.prepared(0, 6, digest(6))];
    // Slots 3 and 5 are given away before the NEW-VIEW comes; it stands on checkpoint 4 and carries 5 (null) and 6.
    let mut lone = in_view_1(&world, 1, carried, &[other(3), other(5)]);
    for slot in [1, 2, 3, 4] {
        assert_eq!(lone.hear(1, other(slot)), Err(Ignored::Unsolicited), "slot {slot}");
    }
    let voted = prepares(&lone, 1);
    assert_eq!(voted, [(5, NULL_BATCH)], "6 waits for its body");
    let accused: Vec<_> = lone.effects.iter().filter(|effect| matches!(effect, Effect::Accuse(_))).collect();
    assert_eq!(accused.len(), 1, "slot 5 was given away twice: {accused:?}");
}

/// A NEW-VIEW may carry more than the own window holds: the rest is voted for when the window moves there.
#[test]
fn what_a_new_view_carries_beyond_the_window_is_voted_for_when_the_window_moves() {
    let world = World::new(4);
    let mut lone = changing(&world, 2);
    let mut source = Lone::new(&world, 3);
    for slot in 1..=4 {
        source.decide(1, 0, slot, Some(world.batch(1, slot))).unwrap();
    }
    let stable = world.stable(world.checkpoint(4, *source.replica.history()));
    let carried = vec![world.prepared(0, 12, NULL_BATCH)];
    let changes = [0, 1, 3].map(|id| world.view_change(id, 1, Some(stable.clone()), carried.clone())).to_vec();
    lone.hear(1, Message::NewView(Box::new(world.new_view(1, changes)))).unwrap();
    assert!(lone.replica.is_behind());
    assert_eq!(prepares(&lone, 1).iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [5, 6, 7, 8]);
    for slot in 1..=4 {
        lone.decide(3, 0, slot, Some(world.batch(1, slot))).unwrap();
    }
    assert_eq!(lone.replica.stable_slot(), Slot(4));
    assert_eq!(prepares(&lone, 1).iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10, 11, 12]);
}

/// Commands of a batch that a NEW-VIEW does not carry wait for their order again, and somebody watches them.
#[test]
fn commands_of_a_batch_that_lost_its_slot_wait_again() {
    let world = World::new(4);
    let batch = world.batch(3, 5);
    let mut lone = changing(&world, 2);
    lone.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).unwrap();
    assert_eq!(lone.replica.pool().len(), 1, "it came with a batch only");
    let changes = [0, 1, 3].map(|id| world.view_change(id, 1, None, Vec::new())).to_vec();
    let mark = lone.effects.len();
    lone.hear(1, Message::NewView(Box::new(world.new_view(1, changes)))).unwrap();
    assert_eq!((lone.replica.pool().len(), lone.replica.pool().armed()), (2, 2));
    let handed: BTreeSet<_> = lone
        .sent_to(mark)
        .filter_map(|(to, message)| match message {
            Message::Command(command) => Some((to, command.identity())),
            _ => None,
        })
        .collect();
    assert!(handed.contains(&(ReplicaId(1), batch.commands()[0].identity())), "{handed:?}");
}

/// A primary that crashed after it wrote its NEW-VIEW sends that very one again and never drafts another for the same view.
#[test]
fn a_drafted_new_view_is_the_only_one_after_a_restart() {
    use varangian_consensus::{Input, Replica};
    let world = World::new(4);
    let mut lone = changing(&world, 1);
    lone.hear(2, Message::ViewChange(Box::new(world.view_change(2, 1, None, Vec::new())))).unwrap();
    lone.hear(3, Message::ViewChange(Box::new(world.view_change(3, 1, None, Vec::new())))).unwrap();
    let mut records = lone.records();
    let draft = records.iter().find_map(|record| match record {
        Record::Drafted(draft) => Some(draft.clone()),
        _ => None,
    });
    let draft = draft.expect("it leads view 1");
    // Power fails before it accepts its own NEW-VIEW.
    records.retain(|record| !matches!(record, Record::NewView(_)));
    let mut effects = Vec::new();
    let mut replica = Replica::recover(world.config(1), 0, Executed::default(), records, &mut effects).unwrap();
    assert_eq!((replica.view(), replica.phase()), (View(1), Phase::Changing));
    assert!(effects.contains(&Effect::Vote(Vote::NewView(draft))), "the same again");
    // Before that comes back it hears other VIEW-CHANGEs, its own among them.
    let own = effects.iter().find_map(|effect| match effect {
        Effect::Vote(Vote::ViewChange(promise)) => Some(world.signer(1).sign(promise.as_ref().clone()).into_inner()),
        _ => None,
    });
    effects.clear();
    for change in [
        own.unwrap(),
        world.view_change(0, 1, None, vec![world.prepared(0, 1, digest(1))]),
        world.view_change(3, 1, None, Vec::new()),
    ] {
        let from = change.signer;
        let delivery = world.delivery(Message::ViewChange(Box::new(change)));
        replica.step(0, Input::Message { from, delivery }, &mut effects).unwrap();
    }
    assert!(
        !effects.iter().any(|effect| matches!(effect, Effect::Vote(Vote::NewView(_)))),
        "a second NEW-VIEW for view 1"
    );
}

/// One who saw its own foreign vote and is started again must not vote as if nothing had been: that would make an equivocator of it.
#[test]
fn a_stop_for_a_foreign_vote_outlives_a_restart() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    lone.hear(1, Message::Prepare(world.prepare(3, 0, 1, digest(1)))).unwrap();
    assert!(lone.replica.stopped().is_some());
    let mut again = Lone::restart(&world, 3, lone.executed.clone(), lone.records());
    let batch = world.batch(0, 1);
    again.hear(0, Message::Batch { slot: Slot(1), batch: batch.clone() }).ok();
    again.hear(0, Message::PrePrepare(world.pre_prepare(0, 1, *batch.digest()))).ok();
    let votes = again.effects.iter().filter(|effect| matches!(effect, Effect::Vote(_))).count();
    assert_eq!(votes, 0, "it signs a second PREPARE for view 0, slot 1");
}

/// Whoever said COMMIT and then asks for a view without the certificate that it must hold is proved faulty, whichever came first; whoever shows the
/// certificate, a later one, or a checkpoint that passed the slot is not.
#[test]
fn a_view_change_that_hides_a_certificate_convicts_its_signer() {
    let world = World::new(4);
    let accused = |lone: &Lone<'_>| -> Vec<(ReplicaId, &str)> {
        let accusations = lone.effects.iter().filter_map(|effect| match effect {
            Effect::Accuse(evidence) => Some((evidence.accused(), evidence.kind())),
            _ => None,
        });
        accusations.collect()
    };
    let guilty = vec![(ReplicaId(2), "a view change that hides a certificate")];
    let commit = Message::Commit(world.commit(2, 0, 1, digest(1)));
    let asks = |prepared| Message::ViewChange(Box::new(world.view_change(2, 1, None, prepared)));

    let mut lone = Lone::new(&world, 3);
    lone.hear(2, commit.clone()).unwrap();
    lone.hear(2, asks(vec![world.prepared(0, 2, digest(1))])).unwrap();
    assert_eq!(accused(&lone), guilty, "the vote first");

    let mut lone = Lone::new(&world, 3);
    lone.hear(2, asks(Vec::new())).unwrap();
    lone.hear(2, commit.clone()).unwrap();
    assert_eq!(accused(&lone), guilty, "the view change first");

    // Only the NEW-VIEW shows it.
    let shown = [1, 2, 3].map(|id| world.view_change(id, 1, None, Vec::new()));
    let mut own = changing(&world, 3);
    own.hear(2, commit.clone()).unwrap();
    own.hear(1, Message::NewView(Box::new(world.new_view(1, shown.to_vec())))).unwrap();
    assert_eq!(accused(&own), guilty, "inside a NEW-VIEW");

    let mut lone = Lone::new(&world, 3);
    lone.hear(2, commit.clone()).unwrap();
    lone.hear(2, asks(vec![world.prepared(0, 1, digest(1))])).unwrap();
    assert_eq!(accused(&lone), vec![], "it shows what it holds");

    let passed = world.stable(world.checkpoint(4, digest(9)));
    let mut lone = Lone::new(&world, 3);
    lone.hear(2, commit).unwrap();
    lone.hear(2, Message::ViewChange(Box::new(world.view_change(2, 1, Some(passed), Vec::new())))).unwrap();
    assert_eq!(accused(&lone), vec![], "a checkpoint passed the slot");
}

/// Votes beyond the window are not held. If they were the last ones for a while, nothing would ever tell the one behind that there is more: an honest replica
/// among those who cast them is reason enough to ask, `f` liars are not.
#[test]
fn votes_beyond_the_window_are_a_reason_to_ask() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let far = lone.replica.config().window + 1;
    let asks = |lone: &Lone<'_>| {
        let status = |effect: &Effect| matches!(effect, Effect::SetTimer(timer, _) if status_timer(timer));
        lone.effects.iter().any(status)
    };
    lone.hear(1, Message::Commit(world.commit(1, 0, far + 90, digest(1)))).unwrap();
    assert_eq!(lone.hear(1, Message::Commit(world.commit(1, 0, far, digest(1)))), Err(Ignored::OutOfWindow), "no news");
    assert!(!asks(&lone), "one may lie");
    lone.hear(2, Message::Commit(world.commit(2, 0, far, digest(1)))).unwrap();
    assert!(asks(&lone));
    lone.fire(status_timer).unwrap();
    assert!(lone.effects.iter().any(|effect| matches!(effect, Effect::Broadcast(Message::Status(_)))));

    for slot in 1..=far {
        lone.decide(1, 0, slot, Some(world.batch(0, slot))).unwrap();
        if slot + 1 == far {
            let due = world.checkpoint(slot, *lone.replica.history());
            lone.hear(1, Message::Stable(world.stable(due))).unwrap();
        }
    }
    let mark = lone.effects.len();
    lone.fire(status_timer).unwrap();
    assert_eq!(lone.since(mark), [], "and asks no more once it is there");
}

/// The time of the watched command runs out, and just before that these peers say where they stand.
fn run_out(lone: &mut Lone<'_>, peers: &[u16], say: impl Fn(&Lone<'_>) -> Message) {
    let set = lone.effects.iter().rev().find_map(|effect| match effect {
        Effect::SetTimer(timer @ Timer::Command(_), after) => Some((*timer, *after)),
        _ => None,
    });
    let (timer, after) = set.unwrap();
    lone.now += after;
    for peer in peers {
        let said = say(lone);
        lone.hear(*peer, said).unwrap();
    }
    lone.step(Input::Timeout(timer)).unwrap();
}

/// Everybody falls silent just after it has armed a command: when its time runs out, nobody is there any more.
#[test]
fn one_who_hears_nobody_from_one_moment_on_gives_nobody_up() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    lone.client(world.command(0, 1)).unwrap();
    lone.now += 10;
    for peer in 0..3 {
        let status = lone.replica.status();
        lone.hear(peer, Message::Status(status)).unwrap();
    }
    for _ in 0..5 {
        run_out(&mut lone, &[], |lone| Message::Status(lone.replica.status()));
        assert_eq!(lone.replica.phase(), Phase::Active);
    }
}

/// It hears its client and one peer, as if two of four were away: alone in the next view it would be missing in this one when they are back.
#[test]
fn one_who_hears_too_few_gives_nobody_up() {
    let world = World::new(4);
    let mut lone = Lone::new(&world, 3);
    let own = |lone: &Lone<'_>| Message::Status(lone.replica.status());
    lone.client(world.command(0, 1)).unwrap();
    for _ in 0..5 {
        run_out(&mut lone, &[1], own);
        assert_eq!(lone.replica.phase(), Phase::Active);
    }
    for phase in [Phase::Active, Phase::Changing] {
        run_out(&mut lone, &[1, 2], own);
        assert_eq!(lone.replica.phase(), phase, "a quorum is there, and has a whole time-out to order what waits");
    }
    assert_eq!(lone.replica.view(), View(1));
}

/// A replica that was away catches up while the others go on. If its commands' time ran out meanwhile it would ask for the next view alone, and vote
/// no more until the others leave theirs. Of those who say that they are further one must be honest, and a gap that a primary leaves is no excuse.
#[test]
fn one_who_catches_up_gives_nobody_up() {
    let world = World::new(4);
    let status = |executed: u64| {
        Message::Status(varangian_consensus::Status {
            view: View(0),
            active: true,
            stable: Slot(0),
            executed: Slot(executed),
            slots: Bounded::default(),
            view_changes: Bounded::default(),
        })
    };
    let far = world.config(3).pipeline + 1;
    let armed = |world| {
        let mut lone = Lone::new(world, 3);
        lone.client(world.command(0, 1)).unwrap();
        lone
    };
    let mut lone = armed(&world);
    run_out(&mut lone, &[1, 2], |_| status(far));
    assert_eq!(lone.replica.phase(), Phase::Active, "it is behind");
    for slot in 1..=far {
        lone.decide(1, 0, slot, Some(world.batch(1, slot))).unwrap();
    }
    lone.fire(command_timer).unwrap();
    assert_eq!(lone.replica.phase(), Phase::Changing, "it has caught up, and the command still waits");

    let mut lone = armed(&world);
    lone.hear(1, status(u64::MAX)).unwrap();
    lone.hear(2, status(far - 1)).unwrap();
    lone.fire(command_timer).unwrap();
    assert_eq!(lone.replica.phase(), Phase::Changing, "one may lie, and a pipeline is no distance");

    let mut lone = armed(&world);
    for slot in 2..=far + 1 {
        lone.hear(1, Message::Committed(world.committed(0, slot, digest(slot)))).unwrap();
    }
    lone.fire(command_timer).unwrap();
    assert_eq!(lone.replica.phase(), Phase::Changing, "nobody has executed anything: the primary leaves a gap");
}
