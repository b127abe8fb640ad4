//! A message lost once is never lost for good: the first copy of every type of message is dropped, for everybody at once and for each
//! sender and receiver, and the run still commits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use varangian_consensus::Slot;
use varangian_crypto::ReplicaId;
use varangian_sim::cluster::Packet;
use varangian_sim::{Cluster, Loss, Options, TimerKind};

const STEPS: usize = 50_000;

/// All names but `pruned`, which is hearsay about what nobody can serve any more.
const NAMES: [&str; 14] = [
    "pre-prepare",
    "prepare",
    "commit",
    "checkpoint",
    "view-change",
    "new-view",
    "committed",
    "stable",
    "status",
    "fetch-batch",
    "fetch-decided",
    "command",
    "batch",
    "decided",
];

fn submit(cluster: &mut Cluster, sequence: u64) {
    let command = cluster.setup.command(0, sequence, &["x"]);
    for id in cluster.honest() {
        // Known already where an earlier try reached it.
        cluster.submit(id, &command).ok();
    }
}

/// A client: it sends to all, and again when time goes by without an answer.
fn commit(cluster: &mut Cluster, sequence: u64, what: &str) {
    let command = cluster.setup.command(0, sequence, &["x"]);
    for _ in 0..20 {
        submit(cluster, sequence);
        let until = cluster.now() + 5000;
        if cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some() || cluster.now() > until, STEPS)
            && cluster.accepted(&command.identity()).is_some()
        {
            return;
        }
    }
    panic!("{what}: command {sequence} is not answered");
}

/// A run with every type of message in it: the normal case with a lost body, a laggard beyond a checkpoint, a view change, a restart.
fn run(lose: impl FnMut(&Packet) -> bool + 'static, what: &str) -> BTreeSet<(&'static str, ReplicaId, ReplicaId)> {
    let mut cluster = Cluster::new(&Options::default());
    let seen = Rc::new(RefCell::new(BTreeSet::new()));
    let (mut lose, sent) = (lose, seen.clone());
    let mut without_body = BTreeSet::from([ReplicaId(1), ReplicaId(3)]);
    cluster.drop_when(move |packet| {
        let first = sent.borrow_mut().insert((packet.message.name(), packet.from, packet.to));
        // In every run two replicas lose their first body, so that one of them must ask before the slot can be decided.
        let lost = packet.message.name() == "batch" && without_body.remove(&packet.to);
        lost || (first && lose(packet))
    });
    commit(&mut cluster, 1, what);
    commit(&mut cluster, 2, what);
    cluster.run_for(500);
    // Replica 3 misses a stable checkpoint and comes back.
    cluster.isolate(3);
    for sequence in 3..=6 {
        commit(&mut cluster, sequence, what);
    }
    cluster.heal();
    commit(&mut cluster, 7, what);
    // Its primary dies with a batch under way, and comes back.
    let held = cluster.drop_when(|packet| packet.message.name() == "commit");
    submit(&mut cluster, 8);
    cluster.deliver_all();
    cluster.remove_rule(held);
    let primary = cluster.setup.committee.primary(cluster.replica(1).view().0).0;
    cluster.crash(primary, Loss::POWER);
    for id in 0..4 {
        for _ in 0..2 {
            if id != primary {
                cluster.fire_timer(id, TimerKind::Command);
            }
        }
    }
    commit(&mut cluster, 8, what);
    cluster.restart(primary);
    commit(&mut cluster, 9, what);
    assert!(cluster.run_until(Cluster::is_settled, STEPS), "{what}: replicas do not settle");
    assert!(cluster.executed(0) >= Slot(9), "{what}");
    let states: BTreeSet<_> = (0..4).map(|id| cluster.disk(id).state()).collect();
    assert_eq!(states.len(), 1, "{what}: states differ");
    drop(cluster);
    Rc::try_unwrap(seen).expect("the rule is gone").into_inner()
}

#[test]
fn nothing_is_lost_where_nothing_is_lost() {
    let seen = run(|_| false, "no loss");
    let names: BTreeSet<_> = seen.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, NAMES.into_iter().collect(), "the run does not have every type of message");
}

/// The very first message of a type is lost.
#[test]
fn the_first_message_of_each_type_is_lost() {
    for name in NAMES {
        let mut left = 1;
        run(move |packet| packet.message.name() == name && std::mem::take(&mut left) == 1, name);
    }
}

/// Of each type the first between every two replicas is lost.
#[test]
fn the_first_message_of_each_type_is_lost_everywhere() {
    for name in NAMES {
        run(move |packet| packet.message.name() == name, name);
    }
}

/// For each type, sender and receiver, the first message is lost.
#[test]
fn the_first_message_of_each_type_sender_and_receiver_is_lost() {
    let mut hits: BTreeMap<&str, u32> = BTreeMap::new();
    for name in NAMES {
        for from in 0..4 {
            for to in (0..4).filter(|to| *to != from) {
                let hit = Rc::new(RefCell::new(false));
                let noted = hit.clone();
                run(
                    move |packet| {
                        let lost = packet.message.name() == name
                            && (packet.from, packet.to) == (ReplicaId(from), ReplicaId(to));
                        *noted.borrow_mut() |= lost;
                        lost
                    },
                    &format!("{name} from r{from} to r{to}"),
                );
                *hits.entry(name).or_default() += u32::from(*hit.borrow());
            }
        }
    }
    println!("runs in which the message existed and was lost, of 12 each: {hits:?}");
    assert!(NAMES.iter().all(|name| hits[name] > 0), "{hits:?}");
}

/// The first copy of everything is lost, between every two replicas.
#[test]
fn the_first_message_of_all_types_is_lost_everywhere() {
    run(|_| true, "everything");
}
