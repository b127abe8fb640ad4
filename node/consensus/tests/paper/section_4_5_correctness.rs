//! §4.5: safety and liveness, as far as one test each can show them. (Schedules and random campaigns are elsewhere.)

use super::support::*;
use std::sync::Arc;
use varangian_consensus::{Message, Phase, Slot, View};
use varangian_crypto::ReplicaId;
use varangian_sim::{Cluster, Loss, Options, TimerKind};

/// §4.5.1: "if prepared(m, v, n, i) is true, prepared(m', v, n, j) is false for any non-faulty replica j and any m' != m": an equivocating primary
/// splits the backups two to one, and then one to one to one.
#[test]
fn an_equivocating_primary_prepares_at_most_one_batch() {
    for split in [[0, 0, 1], [0, 1, 1], [0, 1, 2]] {
        let mut cluster = cluster();
        cluster.mark_byzantine(0);
        for (backup, batch_of) in (1..4).zip(split) {
            let body = batch(&cluster, batch_of, 1);
            let vote = hand(&cluster, 0).pre_prepare(0, 1, *body.digest());
            cluster.inject(0, backup, vote);
            cluster.inject(0, backup, Message::Batch { slot: Slot(1), batch: body });
        }
        // The liar's own core is silent; the harness checks that no two digests are prepared or executed.
        cluster.drop_when(|packet| packet.to.0 == 0);
        cluster.deliver_all();
        assert!(cluster.run_until(|cluster| (1..4).all(|id| cluster.replica(id).view() > View(0)), 3000));
        assert!((1..4).any(|id| cluster.evidence(id).iter().any(|proof| proof.accused() == ReplicaId(0))), "{split:?}");
    }
}

/// §4.5.1: "the view-change protocol ensures that non-faulty replicas also agree on the sequence number of requests that commit locally in different views at
/// different replicas": one replica alone decides in view 0; all the others decide the same in view 1.
#[test]
fn what_one_replica_decided_all_decide() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.drop_when(|packet| (is(packet, "commit") && packet.to.0 != 3) || is(packet, "status"));
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    assert_eq!((cluster.executed(3), cluster.executed(1)), (Slot(1), Slot(0)));
    // The one that decided is cut off, the primary is silent for a while: r0, r1 and r2 know nothing of the decision.
    cluster.clear_rules();
    cluster.isolate(3);
    for id in 0..3 {
        cluster.submit(id, &command).ok();
    }
    let rule = cluster.drop_when(|packet| packet.from.0 == 0 && !is(packet, "view-change"));
    cluster.fire_timer(1, TimerKind::Command);
    cluster.fire_timer(2, TimerKind::Command);
    cluster.deliver_all();
    cluster.remove_rule(rule);
    assert!(cluster.run_until(|cluster| (0..3).all(|id| cluster.executed(id) == Slot(1)), 3000));
    assert_eq!(cluster.replica(1).view(), View(1));
    assert_eq!(cluster.batch_at(1, 1), cluster.batch_at(3, 1));
}

/// §4.5.2: "to avoid starting a view change too soon, a replica that multicasts a view-change message for view v+1 waits for 2f+1 view-change messages for view v+1
/// and then starts its timer to expire after some time T. If the timer expires before it receives a valid new-view ... it starts the view change for view v+2 but this
/// time it will wait 2T".
#[test]
fn the_wait_for_a_new_view_starts_with_a_quorum_and_doubles() {
    let mut cluster = Cluster::new(&Options { n: 7, ..Options::default() });
    // r0 and r1 are the two that may fail: views 0 and 1 have no primary.
    for id in [0, 1] {
        cluster.crash(id, Loss::POWER);
    }
    let command = cluster.setup.command(0, 1, &["x"]);
    for id in 2..7 {
        cluster.submit(id, &command).unwrap();
    }
    cluster.drop_in_flight(|_| true);
    cluster.skip_to(1000);
    for id in 2..7 {
        assert!(cluster.fire_timer(id, TimerKind::Command));
    }
    assert!((2..7).all(|id| cluster.replica(id).phase() == Phase::Changing));
    assert_eq!(cluster.timer(2, TimerKind::NewView), None, "alone with its own");
    cluster.deliver_all();
    assert_eq!(cluster.timer(2, TimerKind::NewView), Some(3000), "view 0 failed: T is 2 seconds");
    cluster.run_for(2000);
    assert!((2..7).all(|id| cluster.replica(id).view() == View(2)));
    assert!((2..7).all(|id| cluster.executed(id) == Slot(1)), "r2 leads view 2");
}

/// §4.5.2: "if a replica receives a set of f+1 valid view-change messages from other replicas for views greater than its current view, it sends a view-change ..., even
/// if its timer has not expired": and f never move it.
#[test]
fn f_plus_1_are_joined_and_f_are_not() {
    let mut cluster = cluster();
    cluster.mark_byzantine(3);
    let lone = hand(&cluster, 3).view_change(40, None, vec![]);
    cluster.inject_to_all(3, &lone);
    cluster.deliver_all();
    assert!((0..3).all(|id| cluster.replica(id).view() == View(0)), "one liar in the far future moves nobody");
    fill(&mut cluster, 0, 0, [1]);
    let waiting = cluster.setup.command(1, 1, &["x"]);
    cluster.submit(1, &waiting).unwrap();
    cluster.drop_in_flight(|_| true);
    cluster.fire_timer(1, TimerKind::Command);
    deliver(&mut cluster, &["view-change"]);
    // r0 and r2 have view 1 and view 40 before them: two ask for view 1 or more, only one for more than that.
    assert!([0, 2].iter().all(|id| cluster.replica(*id).view() == View(1)));
}

/// §4.5.2: "faulty replicas are unable to impede progress by forcing frequent view changes": f of them ask all the time, for ever higher views.
#[test]
fn f_replicas_cannot_force_view_changes() {
    let mut cluster = cluster();
    cluster.mark_byzantine(3);
    for round in 1..=6 {
        let storm = hand(&cluster, 3).view_change(round * 5, None, vec![]);
        cluster.inject_to_all(3, &storm);
        fill(&mut cluster, 0, 0, [round]);
    }
    assert!((0..3).all(|id| cluster.replica(id).view() == View(0) && cluster.executed(id) == Slot(6)));
}

/// protocol.md, "View change": "after an outage of more than f of any length the cluster moves again within a bounded time" (Besu once backed off for 4096 s):
/// the time-out has a cap, and alone a replica goes nowhere.
#[test]
fn after_a_long_outage_the_cluster_moves_again_soon() {
    let mut cluster = cluster();
    cluster.crash(2, Loss::POWER);
    cluster.crash(3, Loss::POWER);
    let command = cluster.setup.command(0, 1, &["x"]);
    for id in [0, 1] {
        cluster.submit(id, &command).unwrap();
    }
    cluster.run_for(300_000);
    assert_eq!(cluster.executed(1), Slot(0));
    let view = cluster.replica(1).view();
    assert!(view <= View(1), "two of four do not run away through the views, to {view}");
    cluster.restart(2);
    cluster.restart(3);
    let back = cluster.now();
    assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 20_000));
    assert!(cluster.now() - back <= 32_000, "it took {} ms", cluster.now() - back);
}

/// §4.5.2, "liveness": whichever f are silent, commands commit; and whoever leads, the views come round to an honest one.
#[test]
fn whichever_f_are_silent_commands_commit() {
    for (n, silent) in [(4, vec![0]), (4, vec![1]), (4, vec![3]), (7, vec![0, 1]), (7, vec![0, 6]), (10, vec![0, 1, 2])]
    {
        let mut cluster = Cluster::new(&Options { n, ..Options::default() });
        for id in &silent {
            cluster.crash(*id, Loss::POWER);
        }
        for sequence in 1..=2 {
            let command = cluster.setup.command(0, sequence, &["x"]);
            cluster.submit_to_all(&command);
            let accepted = cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 50_000);
            assert!(accepted, "n = {n}, {silent:?} silent");
        }
    }
}

/// protocol.md, "Model": all replicas at once may crash and restart from their intact disks without losing an acknowledged command.
#[test]
fn power_loss_of_all_loses_no_acknowledged_command() {
    let mut cluster = cluster();
    let commands: Vec<_> = (1..=3).map(|sequence| cluster.setup.command(0, sequence, &["x"])).collect();
    for command in &commands {
        cluster.submit(0, command).unwrap();
        assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 1000));
    }
    let before: Vec<_> = commands.iter().map(|command| cluster.accepted(&command.identity()).unwrap()).collect();
    for id in 0..4 {
        cluster.crash(id, Loss::POWER);
    }
    let lost: Vec<_> = (0..4).map(|id| cluster.disk(id).executed().len()).collect();
    assert!(lost.iter().any(|executed| *executed < 3), "otherwise this shows nothing: {lost:?}");
    for id in 0..4 {
        cluster.restart(id);
    }
    cluster.run_for(1000);
    for (command, answer) in commands.iter().zip(before) {
        assert!((0..4).all(|id| cluster.disk(id).answer(&command.identity()) == Some(answer.clone())));
    }
}

/// An honest primary in a synchronous run is never deposed, whatever the load (faults.md, invariant 21).
#[test]
fn a_synchronous_run_has_no_view_change() {
    let mut cluster = cluster();
    let mut sequences = [0_u64; 3];
    for round in 0..40_u16 {
        let client = u8::try_from(round % 3).unwrap();
        sequences[usize::from(client)] += 1;
        let command = cluster.setup.command(client, sequences[usize::from(client)], &["x"]);
        cluster.submit(round % 4, &command).unwrap();
        if round % 5 == 4 {
            cluster.run_for(50);
        }
    }
    cluster.run_for(5000);
    assert!(cluster.is_settled());
    assert!((0..4).all(|id| cluster.replica(id).view() == View(0)));
    let ran = cluster.disk(0).executed().iter().map(|done| done.answers.len()).sum::<usize>();
    assert_eq!(ran, 40);
}

/// A body that only a liar ever had is never voted for, and harms nobody: the slot is filled otherwise.
#[test]
fn a_digest_without_a_body_delays_and_harms_nothing() {
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    let body = Arc::clone(&batch(&cluster, 0, 1));
    let vote = hand(&cluster, 0).pre_prepare(0, 1, *body.digest());
    cluster.inject_to_all(0, &vote);
    cluster.drop_when(|packet| packet.to.0 == 0 || packet.from.0 == 0);
    cluster.deliver_all();
    let command = cluster.setup.command(1, 1, &["x"]);
    for id in 1..4 {
        cluster.submit(id, &command).unwrap();
    }
    assert!(cluster.run_until(|cluster| (1..4).all(|id| cluster.executed(id) == Slot(1)), 5000));
    assert_eq!(cluster.checks.ran(&command.identity()), Some(Slot(1)));
}

/// §4.5.2: a replica that asked for a view alone waits there. When others really need it (one more is gone), they ask too, and the views go on with it.
#[test]
fn a_replica_that_asked_alone_is_not_lost() {
    let mut cluster = cluster();
    let lonely = cluster.setup.command(1, 1, &["x"]);
    cluster.submit(2, &lonely).unwrap();
    cluster.drop_in_flight(|_| true);
    cluster.fire_timer(2, TimerKind::Command);
    fill(&mut cluster, 0, 0, 1..=5);
    assert_eq!((cluster.replica(2).view(), cluster.replica(2).phase()), (View(1), Phase::Changing));
    assert_eq!(
        (cluster.executed(2), cluster.replica(2).stable_slot()),
        (Slot(5), Slot(4)),
        "it follows, and signs checkpoints"
    );
    cluster.crash(3, Loss::POWER);
    let command = cluster.setup.command(0, 6, &["x"]);
    cluster.submit_to_all(&command);
    assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 5000));
    assert!(cluster.run_until(|cluster| cluster.accepted(&lonely.identity()).is_some(), 5000));
}

/// protocol.md, "View change": `T` doubles per failed view and "halves after each 2T spent in one view with progress and no expiry".
#[test]
fn the_time_out_halves_again_while_all_is_well() {
    let mut cluster = Cluster::new(&Options { n: 7, ..Options::default() });
    for id in [0, 1] {
        cluster.crash(id, Loss::POWER);
    }
    // The time-out that a command which r3 hands on now gets.
    let mut sequence = 0;
    let mut time_out = |cluster: &mut Cluster| {
        sequence += 1;
        let command = cluster.setup.command(1, sequence, &["x"]);
        let start = cluster.now();
        cluster.submit(3, &command).unwrap();
        let due = cluster.timer(3, TimerKind::Command).unwrap();
        cluster.run_for(1);
        assert!(cluster.accepted(&command.identity()).is_some());
        due - start
    };
    let first = cluster.setup.command(0, 1, &["x"]);
    cluster.submit_to_all(&first);
    assert!(cluster.run_until(|cluster| cluster.accepted(&first.identity()).is_some(), 20_000));
    assert_eq!(cluster.replica(3).view(), View(2), "two views had no primary");
    cluster.run_for(4100);
    let mut seen = vec![time_out(&mut cluster)];
    for _ in 0..3 {
        cluster.run_for(9000);
        seen.push(time_out(&mut cluster));
    }
    assert_eq!(seen, [4000, 4000, 2000, 1000]);
}
