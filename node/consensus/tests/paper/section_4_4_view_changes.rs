//! §4.4: view changes.

use super::support::*;
use std::collections::BTreeSet;
use varangian_consensus::{Checkpoint, Delivery, Effect, Input, Message, NULL_BATCH, Phase, Progress, Slot, View};
use varangian_crypto::{Digest, ReplicaId};
use varangian_sim::cluster::Event;
use varangian_sim::{Cluster, Loss, TimerKind};

/// Slot 1 is prepared at all and decided by nobody; then the primary is gone. (The three others could decide it by saying their COMMITs again; in the
/// tests their time-outs come first.)
fn prepared_and_headless() -> (Cluster, Digest) {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    let rule = cluster.drop_when(|packet| is(packet, "commit"));
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    cluster.remove_rule(rule);
    cluster.crash(0, Loss::POWER);
    for id in 1..4 {
        cluster.submit(id, &command).unwrap();
    }
    let digest = *batch(&cluster, 0, 1).digest();
    (cluster, digest)
}

/// The time-outs of r1 and r2 run out.
fn ask_for_view_1(cluster: &mut Cluster) {
    for id in [1, 2] {
        assert!(cluster.fire_timer(id, TimerKind::Command));
    }
}

/// §4.4: "A backup is waiting for a request if it received a valid request and has not executed it. A backup starts a timer when it receives
/// a request and the timer is not already running. It stops the timer when it is no longer waiting to execute the request".
#[test]
fn a_backup_times_a_command_until_it_is_executed() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    assert_eq!(cluster.timer(1, TimerKind::Command), None);
    cluster.submit(1, &command).unwrap();
    assert_eq!(cluster.timer(1, TimerKind::Command), Some(1000));
    cluster.deliver_all();
    assert_eq!(cluster.executed(1), Slot(1));
    // A timer that was set too early to be unset finds nothing to complain about ("time-out handled after the block", Besu).
    cluster.run_for(5000);
    assert_eq!((cluster.replica(1).view(), cluster.replica(1).phase()), (View(0), Phase::Active));
}

/// §4.4: "... but restarts it if at that point it is waiting to execute some other request": each command has its own time.
#[test]
fn the_timer_goes_on_for_the_next_command() {
    let mut cluster = cluster();
    let (first, second) = (cluster.setup.command(0, 1, &["x"]), cluster.setup.command(1, 1, &["x"]));
    cluster.submit(1, &first).unwrap();
    cluster.deliver_all();
    cluster.advance(400);
    cluster.crash(0, Loss::POWER);
    for id in 1..4 {
        cluster.submit(id, &second).unwrap();
    }
    cluster.run_for(999);
    let stands = |cluster: &Cluster| (cluster.replica(1).view(), cluster.replica(1).phase());
    assert_eq!(stands(&cluster), (View(0), Phase::Active), "the first one is done, and the second has 1 ms left");
    cluster.run_for(2);
    assert_eq!(cluster.replica(1).view(), View(1));
}

/// §4.4: "If the timer of backup i expires in view v, the backup starts a view change ... It stops accepting messages (other than checkpoint, view-change,
/// and new-view messages)": it votes no more. (It still counts others' COMMITs: a decided slot is decided.)
#[test]
fn a_replica_that_asks_for_a_view_votes_in_none() {
    let mut cluster = cluster();
    let waiting = cluster.setup.command(1, 1, &["x"]);
    cluster.submit(1, &waiting).unwrap();
    cluster.drop_in_flight(|_| true);
    assert!(cluster.fire_timer(1, TimerKind::Command));
    cluster.drop_in_flight(|_| true);
    let commits = cluster.commits(1);
    fill(&mut cluster, 0, 0, [1]);
    let voted = cluster.take_events().iter().any(|event| {
        matches!(event, Event::Sent(packet, _) if packet.from.0 == 1 && ["prepare", "commit"].contains(&packet.message.name()))
    });
    assert!(!voted);
    assert_eq!(cluster.commits(1), commits + 1, "it writes the body that it executes, and no vote");
    assert_eq!(cluster.executed(1), Slot(1));
}

/// The same where the view asked for has the primary of the view before: r0 leads views 0 and 4.
#[test]
fn a_replica_that_asks_for_a_view_of_the_same_primary_votes_in_none() {
    let mut cluster = cluster();
    for id in [2, 3] {
        cluster.mark_byzantine(id);
        let ask = hand(&cluster, id).view_change(4, None, vec![]);
        cluster.inject(id, 1, ask);
    }
    cluster.deliver_all();
    assert_eq!((cluster.replica(1).view(), cluster.replica(1).phase()), (View(4), Phase::Changing));
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    deliver(&mut cluster, &["pre-prepare", "batch"]);
    assert_eq!((sent(&cluster, 1, "prepare"), sent(&cluster, 2, "prepare")), (0, 3));
}

/// §4.4: the VIEW-CHANGE carries "C ... a set of 2f+1 valid checkpoint messages proving the correctness of s, and P ... a set containing a set P_m for each
/// request m that prepared at i with a sequence number higher than n".
#[test]
fn a_view_change_shows_the_stable_checkpoint_and_what_is_prepared_above() {
    let mut cluster = cluster();
    fill(&mut cluster, 0, 0, 1..=5);
    let waiting = cluster.setup.command(1, 1, &["x"]);
    cluster.submit(2, &waiting).unwrap();
    cluster.drop_in_flight(|_| true);
    cluster.fire_timer(2, TimerKind::Command);
    let shown = under_way(&cluster, 1, "view-change");
    let [Message::ViewChange(shown)] = shown.as_slice() else { panic!("one VIEW-CHANGE, not {shown:?}") };
    assert_eq!((shown.statement.view, shown.statement.stable_slot()), (View(1), Slot(4)));
    let slots: Vec<_> = shown.statement.prepared.iter().map(|proof| proof.pre_prepare.slot).collect();
    assert_eq!(slots, [Slot(5)], "what is executed and not stable belongs to it");
}

/// §4.4: "When the primary p of view v+1 receives 2f valid view-change messages for view v+1 from other replicas, it multicasts a NEW-VIEW": not with fewer,
/// and only the primary of that view.
#[test]
fn the_new_primary_needs_a_quorum_of_view_changes() {
    let (mut cluster, digest) = prepared_and_headless();
    cluster.drop_in_flight(|_| true);
    let rule = cluster.hold_when(|packet| is(packet, "view-change") && packet.from.0 == 3);
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert!(
        (1..4).all(|id| cluster.replica(id).phase() == Phase::Changing),
        "r3 joined the two, and its own was held back"
    );
    cluster.remove_rule(rule);
    cluster.release_held();
    deliver(&mut cluster, &["view-change"]);
    assert_eq!(sent(&cluster, 1, "new-view"), 3);
    let shown = under_way(&cluster, 2, "new-view");
    let [Message::NewView(shown)] = shown.as_slice() else { panic!("one NEW-VIEW") };
    let by: Vec<_> = shown.statement.view_changes.iter().map(|vote| vote.signer.0).collect();
    assert_eq!(by, [1, 2, 3]);
    assert_eq!(shown.statement.pre_prepares.iter().map(|vote| vote.statement.digest).collect::<Vec<_>>(), [digest]);
}

/// §4.4: "The primary creates a new pre-prepare message for view v+1 for each sequence number between min-s and max-s", and "a backup ... multicasts a
/// prepare for each message in O": what could have been decided is decided again, as the same.
#[test]
fn what_was_prepared_is_carried_over_and_decided() {
    let (mut cluster, digest) = prepared_and_headless();
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert!((1..4).all(|id| cluster.executed(id) == Slot(1) && cluster.batch_at(id, 1) == Some(digest)));
    assert_eq!(cluster.disk(1).executed()[0].certificate.statement.view, View(1));
}

/// §4.4: "... there is no such set for n in V: ... creates a new pre-prepare for a special null request; ... a null request goes through the
/// protocol like other requests, but its execution is a no-op". And the command that lost its slot is ordered after it.
#[test]
fn gaps_are_filled_with_null_batches() {
    let mut cluster = cluster();
    let lost = cluster.setup.command(0, 1, &["x"]);
    let kept = cluster.setup.command(1, 1, &["x"; 64]);
    cluster.submit(0, &lost).unwrap();
    cluster.drop_in_flight(|_| true);
    let rule = cluster.drop_when(|packet| is(packet, "commit") || is(packet, "status"));
    cluster.submit(0, &kept).unwrap();
    cluster.deliver_all();
    cluster.remove_rule(rule);
    cluster.crash(0, Loss::POWER);
    for id in 1..4 {
        cluster.submit(id, &lost).unwrap();
    }
    assert!(cluster.run_until(|cluster| (1..4).all(|id| cluster.executed(id) == Slot(3)), 3000));
    assert_eq!(cluster.batch_at(1, 1), Some(NULL_BATCH));
    assert_eq!(cluster.checks.ran(&kept.identity()), Some(Slot(2)));
    assert_eq!(cluster.checks.ran(&lost.identity()), Some(Slot(3)));
}

/// §4.4: O has "the request ... in the pre-prepare ... with the highest view number": a null batch that was prepared in a higher view beats a batch of a
/// lower one. The VIEW-CHANGEs are forged by everybody together: no honest run takes that few messages.
#[test]
fn the_certificate_of_the_highest_view_wins() {
    let mut cluster = cluster();
    for id in 1..4 {
        cluster.mark_byzantine(id);
    }
    let old = *batch(&cluster, 0, 1).digest();
    let lower = prepared(&cluster, 0, 1, old, &[1, 2]);
    let higher = prepared(&cluster, 1, 1, NULL_BATCH, &[0, 3]);
    let votes = vec![
        hand(&cluster, 1).signed_view_change(2, None, vec![lower]),
        hand(&cluster, 2).signed_view_change(2, None, vec![]),
        hand(&cluster, 3).signed_view_change(2, None, vec![higher]),
    ];
    for (order, valid) in [
        (vec![(1, old)], false),
        (vec![], false),
        (vec![(1, NULL_BATCH), (2, old)], false),
        (vec![(1, NULL_BATCH)], true),
    ] {
        let claim = hand(&cluster, 2).new_view(2, votes.clone(), &order);
        let delivery = claim.verify(&cluster.setup.committee).unwrap();
        assert_eq!(matches!(delivery, varangian_consensus::Delivery::NewView(_)), valid, "{order:?}");
    }
}

/// §4.4: "Next, the primary appends the messages in O to its log. If min-s is greater than the sequence number of its latest stable checkpoint, the primary also
/// inserts the proof of stability ... in its log"; a backup does the same. Here the primary of view 1 is the one that was cut off.
#[test]
fn a_new_primary_that_is_behind_takes_the_checkpoint_of_others() {
    let mut cluster = cluster();
    cluster.isolate(1);
    fill(&mut cluster, 0, 0, 1..=5);
    cluster.crash(0, Loss::POWER);
    cluster.heal();
    cluster.drop_in_flight(|_| true);
    let command = cluster.setup.command(1, 1, &["x"]);
    for id in 1..4 {
        cluster.submit(id, &command).unwrap();
    }
    assert!(cluster.run_until(|cluster| (1..4).all(|id| cluster.executed(id) == Slot(6)), 3000));
    assert!((1..4).all(|id| cluster.replica(id).view() == View(1)));
    assert_eq!(cluster.replica(1).stable_slot(), Slot(4));
}

/// §4.4: "A backup accepts a new-view message for view v+1 if it is signed properly, if the view-change messages it contains are valid for view v+1, and if
/// the set O is correct; it verifies the correctness of O by performing a computation similar to the one used by the primary".
#[test]
fn a_wrong_new_view_is_refused_and_proved() {
    let (cluster, digest) = prepared_and_headless();
    let votes = |view: u64| -> Vec<_> {
        (1..4)
            .map(|id| {
                hand(&cluster, id).signed_view_change(view, None, vec![prepared(&cluster, 0, 1, digest, &[1, 2])])
            })
            .collect()
    };
    let other = *batch(&cluster, 1, 1).digest();
    let two = votes(1)[..2].to_vec();
    let mut unordered = votes(1);
    unordered.swap(0, 1);
    let mut twice = votes(1);
    twice[1] = twice[0].clone();
    let mut mixed = votes(1);
    mixed[2] = votes(2)[2].clone();
    let by = |id: u16, votes, order: &[(u64, Digest)]| hand(&cluster, id).new_view(1, votes, order);
    let cases = [
        ("another batch", by(1, votes(1), &[(1, other)])),
        ("nothing carried over", by(1, votes(1), &[])),
        ("a slot too many", by(1, votes(1), &[(1, digest), (2, other)])),
        ("another slot", by(1, votes(1), &[(2, digest)])),
        ("too few view changes", by(1, two, &[(1, digest)])),
        ("out of order", by(1, unordered, &[(1, digest)])),
        ("one signer twice", by(1, twice, &[(1, digest)])),
        ("a view change for another view", by(1, mixed, &[(1, digest)])),
        ("not by the primary", by(2, votes(1), &[(1, digest)])),
    ];
    for (what, claim) in cases {
        let delivery = claim.verify(&cluster.setup.committee).unwrap();
        assert!(matches!(delivery, varangian_consensus::Delivery::Invalid(_)), "{what}");
    }
    let right = by(1, votes(1), &[(1, digest)]).verify(&cluster.setup.committee).unwrap();
    assert!(matches!(right, varangian_consensus::Delivery::NewView(_)));
}

/// protocol.md: "an invalid NEW-VIEW fails its view at once": who waits for that view asks for the next, with the proof in hand.
#[test]
fn an_invalid_new_view_fails_its_view_at_once() {
    let (mut cluster, digest) = prepared_and_headless();
    cluster.mark_byzantine(1);
    let votes = (1..4)
        .map(|id| hand(&cluster, id).signed_view_change(1, None, vec![prepared(&cluster, 0, 1, digest, &[1, 2])]))
        .collect();
    let lie = hand(&cluster, 1).new_view(1, votes, &[]);
    cluster.drop_in_flight(|_| true);
    cluster.fire_timer(2, TimerKind::Command);
    cluster.drop_in_flight(|_| true);
    cluster.inject(1, 2, lie);
    cluster.deliver_one();
    assert_eq!((cluster.replica(2).view(), cluster.replica(2).phase()), (View(2), Phase::Changing));
    assert_eq!(cluster.evidence(2)[0].kind(), "an invalid new view");
}

/// protocol.md: P entries "outside (C, C + window], at views >= the new one, or two for one slot are invalid", and so is a false certificate; whoever signed it is
/// proved faulty.
#[test]
fn an_invalid_view_change_is_refused_and_proved() {
    let mut cluster = cluster();
    cluster.mark_byzantine(3);
    let digest = *batch(&cluster, 0, 1).digest();
    let good = |view, slot| prepared(&cluster, view, slot, digest, &[2, 3]);
    let mut false_one = good(0, 1);
    false_one.pre_prepare.digest = *batch(&cluster, 1, 1).digest();
    let mut small = good(0, 1);
    small.prepares = varangian_crypto::Bounded::try_from(small.prepares.into_vec()[..1].to_vec()).unwrap();
    let mut doubled = good(0, 1).prepares.into_vec();
    doubled[1] = doubled[0];
    let mut twice = good(0, 1);
    twice.prepares = varangian_crypto::Bounded::try_from(doubled).unwrap();
    let with_primary = prepared(&cluster, 0, 1, digest, &[0, 3]);
    let cases = [
        ("slot 0", 1, vec![good(0, 0)]),
        ("above the window", 1, vec![good(0, 9)]),
        ("of the view asked for", 4, vec![good(4, 1)]),
        ("two for one slot", 5, vec![good(0, 1), good(0, 1)]),
        ("out of order", 1, vec![good(0, 2), good(0, 1)]),
        ("a digest that nobody signed", 1, vec![false_one]),
        ("one PREPARE too few", 1, vec![small]),
        ("one signer twice", 1, vec![twice]),
        ("the primary among the backups", 1, vec![with_primary]),
        ("for view 0", 0, vec![]),
    ];
    for (what, view, prepared) in cases {
        let claim = hand(&cluster, 3).view_change(view, None, prepared).verify(&cluster.setup.committee).unwrap();
        assert!(matches!(claim, varangian_consensus::Delivery::Invalid(_)), "{what}");
    }
    let checkpoint = Checkpoint { slot: Slot(4), history: digest, state: digest };
    let low = hand(&cluster, 3).view_change(1, Some(stable(&cluster, checkpoint, &[0, 1, 2])), vec![good(0, 4)]);
    assert!(
        matches!(low.verify(&cluster.setup.committee).unwrap(), varangian_consensus::Delivery::Invalid(_)),
        "below C"
    );
    let right =
        hand(&cluster, 3).view_change(1, None, vec![good(0, 1), good(0, 8)]).verify(&cluster.setup.committee).unwrap();
    assert!(matches!(right, varangian_consensus::Delivery::ViewChange(_)));
}

/// §4.4: "Replicas redo the protocol for messages between min-s and max-s but they avoid re-executing client requests".
#[test]
fn executed_slots_are_voted_for_again_and_not_executed_again() {
    let mut cluster = cluster();
    fill(&mut cluster, 0, 0, 1..=2);
    cluster.crash(0, Loss::POWER);
    let command = cluster.setup.command(1, 1, &["x"]);
    cluster.submit_to_all(&command);
    cluster.take_events();
    assert!(cluster.run_until(|cluster| (1..4).all(|id| cluster.executed(id) == Slot(3)), 2000));
    let events = cluster.take_events();
    let again = |slot: u64| {
        let by = events.iter().filter_map(|event| match event {
            Event::Sent(packet, _) => match &packet.message {
                Message::Commit(signed) if signed.statement.slot == Slot(slot) && signed.statement.view == View(1) => {
                    Some(packet.from.0)
                }
                _ => None,
            },
            _ => None,
        });
        by.collect::<BTreeSet<_>>().len()
    };
    assert_eq!((again(1), again(2)), (3, 3));
    assert!(!events.iter().any(|event| matches!(event, Event::Executed(_, slot, _) if *slot < Slot(3))));
}

/// §4.4: a replica "may be missing some request message m ...; it can obtain missing information from another replica": of the carried batch it has the digest only.
#[test]
fn a_carried_batch_without_its_body_is_fetched() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    // r1, the next primary, and r2 take part; r3 sees nothing of the slot.
    cluster.drop_when(|packet| is(packet, "commit") || packet.to.0 == 3);
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    cluster.clear_rules();
    cluster.crash(0, Loss::POWER);
    for id in 1..4 {
        cluster.submit(id, &command).unwrap();
    }
    let named = *batch(&cluster, 0, 1).digest();
    assert!(cluster.disk(3).batch(Slot(1), &named).is_none());
    assert!(cluster.run_until(|cluster| (1..4).all(|id| cluster.executed(id) == Slot(1)), 3000));
    assert_eq!(cluster.batch_at(3, 1), Some(named));
}

/// §4.4: P holds what prepared in *any* view before. A NEW-VIEW does not clear it: prepared in view 0, carried into view 1 and prepared by nobody
/// there, it is still in every VIEW-CHANGE for view 2.
#[test]
fn what_was_prepared_two_views_ago_is_still_carried() {
    let (mut cluster, digest) = prepared_and_headless();
    cluster.drop_when(|packet| {
        matches!(&packet.message, Message::Prepare(signed) if signed.statement.view == View(1)) || is(packet, "status")
    });
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert!((1..4).all(|id| cluster.replica(id).view() == View(1) && cluster.executed(id) == Slot(0)));
    for id in [2, 3] {
        assert!(cluster.fire_timer(id, TimerKind::Command));
    }
    let shown = under_way(&cluster, 1, "view-change");
    let [Message::ViewChange(second), Message::ViewChange(third)] = shown.as_slice() else {
        panic!("two, not {shown:?}")
    };
    for shown in [second, third] {
        assert_eq!(shown.statement.prepared[0].pre_prepare.view, View(0));
    }
    cluster.deliver_all();
    assert!((1..4).all(|id| cluster.executed(id) == Slot(1) && cluster.batch_at(id, 1) == Some(digest)));
    assert_eq!(cluster.disk(1).executed()[0].certificate.statement.view, View(2));
}

/// The same with a crash of all in between: prepared in view 0, carried into view 1, and before it is prepared there all crash. View 2 must still carry
/// it: a NEW-VIEW does not clear what was prepared.
#[test]
fn prepared_then_new_view_then_crash_is_still_carried() {
    let (mut cluster, digest) = prepared_and_headless();
    // View 1 begins everywhere, and no vote of it is ever delivered.
    cluster.drop_when(|packet| is(packet, "prepare") || is(packet, "commit"));
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert!((1..4).all(|id| cluster.replica(id).view() == View(1) && cluster.replica(id).phase() == Phase::Active));
    for id in 1..4 {
        assert!(cluster.replica(id).status().slots.iter().all(|progress| *progress == Progress::PrePrepared));
        cluster.crash(id, Loss::POWER);
    }
    // r1 stays dead: the others must do it alone, in view 2, from certificates of view 0.
    for id in [0, 2, 3] {
        cluster.restart(id);
    }
    cluster.clear_rules();
    cluster.drop_when(|packet| match &packet.message {
        Message::Prepare(signed) => signed.statement.view < View(2),
        Message::Commit(signed) => signed.statement.view < View(2),
        _ => false,
    });
    cluster.deliver_all();
    let command = cluster.setup.command(0, 1, &["x"]);
    for id in [0, 2, 3] {
        cluster.submit(id, &command).ok();
    }
    assert!(cluster.run_until(|cluster| [0, 2, 3].iter().all(|id| cluster.executed(*id) >= Slot(1)), 3000));
    assert_eq!(cluster.batch_at(2, 1), Some(digest));
    assert!(cluster.replica(2).view() >= View(2));
}

/// protocol.md, "What is durable": the promise never to vote below the view asked for survives a restart.
#[test]
fn a_promise_survives_a_restart() {
    let mut cluster = cluster();
    let waiting = cluster.setup.command(1, 1, &["x"]);
    cluster.submit(1, &waiting).unwrap();
    cluster.drop_in_flight(|_| true);
    cluster.fire_timer(1, TimerKind::Command);
    cluster.crash(1, Loss::POWER);
    cluster.restart(1);
    assert_eq!((cluster.replica(1).view(), cluster.replica(1).phase()), (View(1), Phase::Changing));
    fill(&mut cluster, 0, 0, [1]);
    // The harness checks each vote against the promise; here: it said its VIEW-CHANGE again.
    let said = cluster.take_events();
    assert!(said.iter().any(|event| matches!(event, Event::Delivered(packet, Ok(())) if is(packet, "view-change") && packet.from == ReplicaId(1))));
}

/// protocol.md: votes for a view may overtake its NEW-VIEW; they count when it comes.
#[test]
fn votes_of_a_view_that_overtake_its_new_view_count() {
    let (mut cluster, digest) = prepared_and_headless();
    cluster.hold_when(|packet| is(packet, "new-view") && packet.to.0 == 3);
    cluster.drop_when(|packet| is(packet, "status"));
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert_eq!((cluster.replica(3).view(), cluster.replica(3).phase()), (View(1), Phase::Changing));
    assert_eq!(cluster.executed(1), Slot(0), "two do not decide");
    cluster.release_held();
    cluster.deliver_all();
    assert!((1..4).all(|id| cluster.executed(id) == Slot(1) && cluster.batch_at(id, 1) == Some(digest)));
}

/// protocol.md: "up to its max only O's digests may be pre-prepared": a new primary that first says O and then something else is caught.
#[test]
fn a_new_primary_cannot_contradict_its_new_view() {
    let (mut cluster, digest) = prepared_and_headless();
    cluster.mark_byzantine(1);
    cluster.drop_when(|packet| is(packet, "prepare") || is(packet, "commit"));
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert_eq!((cluster.replica(3).view(), cluster.replica(3).phase()), (View(1), Phase::Active));
    let other = batch(&cluster, 1, 1);
    let lie = hand(&cluster, 1).pre_prepare(1, 1, *other.digest());
    cluster.inject(1, 3, lie);
    cluster.deliver_all();
    assert_eq!(cluster.evidence(3)[0].kind(), "two pre-prepares for one slot");
    assert_ne!(digest, *other.digest());
}

/// The same lie when it overtakes the NEW-VIEW: O's own pre-prepare takes the place, and the other one is the proof ("an equivocator erases its counted vote", Tari).
#[test]
fn a_pre_prepare_that_overtakes_and_contradicts_the_new_view_is_replaced() {
    let (mut cluster, digest) = prepared_and_headless();
    cluster.mark_byzantine(1);
    let other = batch(&cluster, 1, 1);
    let lie = hand(&cluster, 1).pre_prepare(1, 1, *other.digest());
    cluster.inject(1, 3, lie);
    cluster.inject(1, 3, Message::Batch { slot: Slot(1), batch: other });
    cluster.deliver_all();
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert!([2, 3].iter().all(|id| cluster.executed(*id) == Slot(1)));
    assert_eq!(cluster.batch_at(3, 1), Some(digest));
    assert_eq!(cluster.evidence(3)[0].accused(), ReplicaId(1));
}

/// The view in progress is not disturbed by a replica that asks for a view that has begun, nor by one that asks for it late: it gets the NEW-VIEW.
#[test]
fn old_view_traffic_is_answered_with_the_new_view() {
    let (mut cluster, _) = prepared_and_headless();
    cluster.drop_when(|packet| is(packet, "new-view") && packet.to.0 == 3);
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert_eq!((cluster.replica(2).phase(), cluster.replica(3).phase()), (Phase::Active, Phase::Changing));
    cluster.clear_rules();
    cluster.run_for(1000);
    assert_eq!((cluster.replica(3).view(), cluster.replica(3).phase()), (View(1), Phase::Active));
    assert!((1..4).all(|id| cluster.executed(id) == Slot(1)));
}

/// protocol.md, "Recovery": a vote under its own key that its disk does not know stops a replica. A NEW-VIEW that it drafted is known, though: a peer that shows it a
/// pre-prepare out of it, before its own NEW-VIEW has come back to it, tells it nothing strange. (Here r1 restarts in between, and r3 is malicious.)
#[test]
fn a_new_primary_knows_the_pre_prepares_of_the_new_view_that_it_drafted() {
    let (mut cluster, digest) = prepared_and_headless();
    cluster.mark_byzantine(3);
    ask_for_view_1(&mut cluster);
    // r1's NEW-VIEW goes out, and power fails before r1 has entered the view itself: its second commit after the draft's.
    let commits = cluster.commits(1);
    cluster.crash_at_commit(1, commits + 2, Loss::POWER);
    cluster.deliver_all();
    assert!(!cluster.is_up(1));
    assert_eq!(cluster.replica(2).view(), View(1));
    cluster.hold_own_votes(1, true);
    cluster.restart(1);
    let own = hand(&cluster, 1).pre_prepare(1, 1, digest);
    cluster.inject(3, 1, own);
    cluster.deliver_all();
    assert_eq!(cluster.alarms(1), []);
    cluster.hold_own_votes(1, false);
    cluster.run_for(2000);
    assert!((1..4).all(|id| cluster.executed(id) == Slot(1) && cluster.batch_at(id, 1) == Some(digest)));
}

/// faults.md, "Sync and view change deliver one decision twice" (SmartBFT): a decided slot whose execution takes its time is still under way when the view changes.
#[test]
fn an_execution_that_outlasts_a_view_change_happens_once() {
    let mut cluster = cluster();
    cluster.hold_executions(2, true);
    fill(&mut cluster, 0, 0, 1..=3);
    cluster.crash(0, Loss::POWER);
    let command = cluster.setup.command(1, 1, &["x"]);
    for id in 1..4 {
        cluster.submit(id, &command).unwrap();
    }
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    assert_eq!((cluster.executed(1), cluster.executed(2)), (Slot(4), Slot(0)));
    cluster.hold_executions(2, false);
    cluster.run_for(1000);
    assert_eq!(cluster.disk(2).executed().len(), 4);
    assert!((1..4).all(|id| cluster.replica(id).stable_slot() == Slot(4)));
}

/// Who is not in the view yet gets its NEW-VIEW when it says so, but not with each status: it is large, and takes time to check. A receiver that is
/// busy checking would otherwise be sent more than it can ever check.
#[test]
fn what_is_large_about_a_view_is_not_sent_with_every_status() {
    let behind = cluster().replica(0).status();
    let (mut cluster, _) = prepared_and_headless();
    ask_for_view_1(&mut cluster);
    cluster.deliver_all();
    let mut replica = cluster.replica(1).clone();
    assert_eq!((replica.view(), replica.phase()), (View(1), Phase::Active));
    let (interval, timeout) = (replica.config().status_interval(), replica.config().base_timeout);
    let mut sent = Vec::new();
    for now in (0..=2 * timeout).step_by(interval as usize) {
        let mut effects = Vec::new();
        let status = Input::Message { from: ReplicaId(0), delivery: Delivery::Status(behind.clone()) };
        let now = 1_000_000 + now;
        replica.step(now, status, &mut effects).unwrap();
        let large = |effect: &Effect| matches!(effect, Effect::Send(ReplicaId(0), Message::NewView(_)));
        sent.extend(effects.iter().filter(|effect| large(effect)).map(|_| now - 1_000_000));
    }
    assert_eq!(sent, [0, timeout, 2 * timeout]);
}
