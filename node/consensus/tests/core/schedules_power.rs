//! Power loss between every pair of persists: a short run with one view change and a checkpoint, once for every group commit of every
//! replica and every way in which power can fail there. After it everything that was acknowledged is there, and the cluster goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use varangian_consensus::{Command, Identity};
use varangian_sim::{Cluster, Loss, Options, TimerKind};

const STEPS: usize = 50_000;
const LOSSES: [Loss; 3] = [Loss::POWER, Loss::KILL, Loss::AFTER_SYNC];

fn command(cluster: &Cluster, sequence: u64) -> Command {
    cluster.setup.command(0, sequence, &["x"])
}

fn submit(cluster: &mut Cluster, sequence: u64) {
    let command = command(cluster, sequence);
    for id in cluster.honest() {
        // Known already where an earlier try reached it.
        cluster.submit(id, &command).ok();
    }
}

fn restart_all(cluster: &mut Cluster) -> usize {
    let down: Vec<_> = cluster.ids().into_iter().filter(|id| !cluster.is_up(id.0)).collect();
    for id in &down {
        cluster.restart(id.0);
    }
    down.len()
}

/// The run: two commands, a view change with a prepared batch, more commands up to a checkpoint. Whoever crashes starts again between
/// two of its parts.
fn run(cluster: &mut Cluster) -> usize {
    let mut crashes = 0;
    for sequence in 1..=2 {
        submit(cluster, sequence);
        cluster.deliver_all();
        crashes += restart_all(cluster);
    }
    let rule = cluster.drop_when(|packet| packet.message.name() == "commit");
    submit(cluster, 3);
    cluster.deliver_all();
    for _ in 0..3 {
        for id in cluster.honest() {
            if cluster.replica(id).view().0 == 0 {
                cluster.fire_timer(id, TimerKind::Command);
            }
        }
    }
    cluster.remove_rule(rule);
    cluster.deliver_all();
    crashes += restart_all(cluster);
    for sequence in 4..=6 {
        submit(cluster, sequence);
        cluster.deliver_all();
        crashes += restart_all(cluster);
    }
    crashes
}

/// Everything is answered, once; what was answered before is still what it was.
fn settle(cluster: &mut Cluster, what: &str) {
    for id in cluster.ids() {
        cluster.crash_at_commit(id.0, u64::MAX, Loss::POWER);
    }
    restart_all(cluster);
    let identities: Vec<Identity> = (1..=7).map(|sequence| command(cluster, sequence).identity()).collect();
    let before: Vec<_> = identities.iter().map(|identity| cluster.accepted(identity)).collect();
    for _ in 0..20 {
        for sequence in 1..=7 {
            submit(cluster, sequence);
        }
        cluster.run_for(2000);
        if identities.iter().all(|identity| cluster.accepted(identity).is_some()) {
            break;
        }
    }
    for (identity, before) in identities.iter().zip(before) {
        let after = cluster.accepted(identity);
        assert!(after.is_some(), "{what}: {identity:?} is not answered");
        assert!(before.is_none() || before == after, "{what}: {identity:?} was answered otherwise before");
    }
    assert!(cluster.run_until(Cluster::is_settled, STEPS), "{what}: replicas do not settle");
    let states: BTreeSet<_> = (0..4).map(|id| cluster.disk(id).state()).collect();
    assert_eq!(states.len(), 1, "{what}: states differ");
}

#[test]
fn power_fails_at_every_group_commit_of_every_replica() {
    let mut calm = Cluster::new(&Options::default());
    assert_eq!(run(&mut calm), 0);
    assert!((0..4).all(|id| calm.replica(id).view().0 == 1), "the run has one view change");
    assert!((0..4).all(|id| calm.replica(id).stable_slot().0 > 0), "and a stable checkpoint");
    let (mut points, mut visited) = (0, 0);
    for id in 0..4 {
        for at in 1..=calm.commits(id) {
            for loss in LOSSES {
                let mut cluster = Cluster::new(&Options::default());
                cluster.crash_at_commit(id, at, loss);
                let crashes = run(&mut cluster);
                visited += usize::from(crashes > 0);
                points += 1;
                settle(&mut cluster, &format!("r{id} at its commit {at}, {loss:?}"));
            }
        }
    }
    println!("{visited} of {points} crash points visited");
    assert!(visited == points && points > 60, "{visited} of {points} crash points visited");
}

/// The same with everybody's power failing at the same number of group commits.
#[test]
fn power_fails_at_every_group_commit_for_all_at_once() {
    let mut points = 0;
    for loss in LOSSES {
        for at in 1.. {
            let mut cluster = Cluster::new(&Options::default());
            for id in 0..4 {
                cluster.crash_at_commit(id, at, loss);
            }
            if run(&mut cluster) == 0 {
                break;
            }
            points += 1;
            settle(&mut cluster, &format!("all at their commit {at}, {loss:?}"));
        }
    }
    println!("{points} crash points of all at once visited");
    assert!(points > 20);
}

/// And twice: power fails again while the restart is under way.
#[test]
fn power_fails_again_right_after_the_restart() {
    let mut points = 0;
    for at in 1..=12 {
        for again in 1..=3 {
            let mut cluster = Cluster::new(&Options::default());
            for id in 0..4 {
                cluster.crash_at_commit(id, at, Loss::AFTER_SYNC);
            }
            run(&mut cluster);
            for id in 0..4 {
                let next = cluster.commits(id) + again;
                cluster.crash_at_commit(id, next, Loss::POWER);
            }
            submit(&mut cluster, 7);
            cluster.deliver_all();
            points += restart_all(&mut cluster);
            settle(&mut cluster, &format!("all at their commit {at} and {again} later"));
        }
    }
    println!("{points} second crashes");
    assert!(points > 20);
}

/// All lose power after they executed a checkpoint's slot and before its CHECKPOINT was written: it becomes stable all the same.
#[test]
fn a_checkpoint_that_all_executed_and_nobody_wrote_becomes_stable() {
    for round in [1, 2] {
        let mut cluster = Cluster::new(&Options::default());
        for sequence in 1..=3 {
            submit(&mut cluster, sequence);
            cluster.deliver_all();
        }
        for id in 0..4 {
            cluster.hold_executions(id, true);
        }
        submit(&mut cluster, 4);
        cluster.deliver_all();
        for id in 0..4 {
            cluster.hold_commits(id, true);
        }
        for id in 0..4 {
            cluster.release_execution(id);
            assert_eq!(cluster.executed(id).0, 4);
        }
        for id in 0..4 {
            cluster.crash(id, Loss::KILL);
        }
        if round == 2 {
            // And again at once.
            for id in 0..4 {
                let next = cluster.commits(id) + 1;
                cluster.crash_at_commit(id, next, Loss::POWER);
                cluster.restart(id);
            }
        }
        restart_all(&mut cluster);
        assert!(cluster.run_until(|cluster| (0..4).all(|id| cluster.replica(id).stable_slot().0 == 4), STEPS));
        settle(&mut cluster, "after the checkpoint");
    }
}
