//! A restart depends on what is on disk and on nothing else: not on the order of records, nor on how often it happens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::rng::{Rng, Seed};
use varangian_consensus::{Effect, Record, Replica};
use varangian_crypto::ReplicaId;
use varangian_sim::{Cluster, Fate, Options, TimerKind};

/// A cluster somewhere in the middle of things: batches, view changes, losses.
fn somewhere(seed: u64) -> Cluster {
    let mut rng = Rng::new(seed);
    let mut cluster = Cluster::new(&Options::default());
    let mut dice = Rng::new(seed ^ 99);
    cluster.add_rule(move |_| dice.percent(15).then_some(Fate::Drop));
    for sequence in 1..=12 {
        let command = cluster.setup.command((sequence % 3) as u8, sequence, &["x"]);
        for id in 0..4 {
            // Known already from a batch.
            cluster.submit(id, &command).ok();
        }
        for _ in 0..rng.below(60) {
            cluster.deliver_one();
        }
        if rng.percent(25) {
            for id in 1..4 {
                cluster.fire_timer(id, TimerKind::Command);
            }
        }
        if rng.percent(40) {
            cluster.run_for(400);
        }
    }
    cluster
}

fn recover(cluster: &Cluster, id: u16, records: Vec<Record>) -> (Replica, Vec<Effect>) {
    let (config, prefix) = (cluster.setup.config(ReplicaId(id)), cluster.disk(id).prefix());
    let mut effects = Vec::new();
    let replica = Replica::recover(config, 77, prefix, records, &mut effects).unwrap();
    replica.invariants();
    (replica, effects)
}

#[test]
fn records_come_in_any_order() {
    let (mut views, mut prepared) = (0, 0);
    for seed in 0..40 {
        let _seed = Seed("records in any order", seed);
        let cluster = somewhere(seed);
        let mut rng = Rng::new(seed ^ 1);
        for id in 0..4 {
            let records = cluster.disk(id).records();
            let (expected, said) = recover(&cluster, id, records.clone());
            views += expected.view().0;
            prepared += records.iter().filter(|record| matches!(record, Record::Prepared(_))).count();
            for _ in 0..4 {
                let mut shuffled = records.clone();
                for at in (1..shuffled.len()).rev() {
                    shuffled.swap(at, rng.index(at + 1));
                }
                // A store may have kept what is outdated, too.
                let again = shuffled.first().cloned();
                shuffled.extend(again);
                let (replica, effects) = recover(&cluster, id, shuffled);
                assert!(replica == expected, "r{id} depends on the order of its records");
                assert_eq!(effects, said);
            }
        }
    }
    assert!(views > 20 && prepared > 100, "the runs got nowhere: {views} views, {prepared} certificates");
}

/// What a restart writes adds nothing: another restart comes to the same replica, and says the same.
#[test]
fn a_restart_after_a_restart_is_the_same() {
    for seed in 0..40 {
        let _seed = Seed("a restart after a restart", seed);
        let cluster = somewhere(seed);
        for id in 0..4 {
            let records = cluster.disk(id).records();
            let (once, said) = recover(&cluster, id, records.clone());
            let written = said.iter().filter_map(|effect| match effect {
                Effect::Persist(record) => Some(record.clone()),
                _ => None,
            });
            let (twice, said_again) = recover(&cluster, id, records.into_iter().chain(written).collect());
            assert_eq!((once.view(), once.phase(), once.executed()), (twice.view(), twice.phase(), twice.executed()));
            let votes = |effects: &[Effect]| -> Vec<Effect> {
                effects.iter().filter(|effect| matches!(effect, Effect::Vote(_))).cloned().collect()
            };
            assert_eq!(votes(&said), votes(&said_again), "r{id} says something else the second time");
        }
    }
}
