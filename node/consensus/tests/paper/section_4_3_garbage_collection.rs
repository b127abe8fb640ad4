//! §4.3: garbage collection: checkpoints, their proofs, the watermarks.

use super::support::*;
use varangian_consensus::{Alarm, Checkpoint, Message, Phase, Slot};
use varangian_crypto::{ReplicaId, Verify};
use varangian_sim::Loss;

/// The checkpoint that honest replicas come to at `slot`.
fn checkpoint_at(cluster: &varangian_sim::Cluster, id: u16, slot: u64) -> Checkpoint {
    let done = &cluster.disk(id).executed()[usize::try_from(slot).unwrap() - 1];
    Checkpoint { slot: Slot(slot), history: done.history, state: done.state }
}

/// §4.3: checkpoints "are generated periodically, when a request with a sequence number divisible by some constant (e.g., 100) is executed".
#[test]
fn every_interval_each_replica_says_what_its_state_is() {
    let mut cluster = cluster();
    cluster.hold_when(|packet| is(packet, "checkpoint"));
    fill(&mut cluster, 0, 0, 1..=3);
    assert_eq!(cluster.held().count(), 0);
    fill(&mut cluster, 0, 0, [4]);
    assert_eq!(cluster.held().count(), 12, "each of four to three others");
    let due = checkpoint_at(&cluster, 0, 4);
    for packet in cluster.held() {
        assert_eq!(packet.message, hand(&cluster, packet.from.0).checkpoint(due), "the same by everybody");
    }
}

/// §4.3: "Each replica collects checkpoint messages in its log until it has 2f+1 of them ... with the same digest d signed by different replicas
/// (including possibly its own such message). These 2f+1 messages are the proof of correctness for the checkpoint": 2f are none.
#[test]
fn a_checkpoint_is_stable_with_2f_plus_1_equal_ones() {
    let mut cluster = cluster();
    cluster.hold_when(|packet| is(packet, "checkpoint"));
    fill(&mut cluster, 0, 0, 1..=4);
    cluster.clear_rules();
    cluster.drop_when(|packet| is(packet, "status"));
    let due = checkpoint_at(&cluster, 0, 4);
    let vote = hand(&cluster, 1).checkpoint(due);
    for carrier in [1, 2, 3, 1] {
        cluster.inject(carrier, 0, vote.clone());
    }
    cluster.deliver_all();
    assert_eq!(cluster.replica(0).stable_slot(), Slot(0), "its own and r1's are 2, however often they come");
    cluster.mark_byzantine(2);
    let wrong = hand(&cluster, 2).checkpoint(Checkpoint { state: digest(9), ..due });
    cluster.inject(2, 0, wrong);
    cluster.deliver_all();
    assert_eq!(cluster.replica(0).stable_slot(), Slot(0), "one for another state does not count");
    let vote = hand(&cluster, 3).checkpoint(due);
    cluster.inject(3, 0, vote);
    cluster.deliver_all();
    assert_eq!(cluster.replica(0).stable_slot(), Slot(4));
}

/// §4.3: "A checkpoint with a proof is called stable and the replica discards all pre-prepare, prepare, and commit messages with sequence number less
/// than or equal to n from its log; it also discards all earlier checkpoints and checkpoint messages."
#[test]
fn what_lies_below_the_stable_checkpoint_is_forgotten() {
    let mut cluster = cluster();
    fill(&mut cluster, 0, 0, 1..=5);
    for id in 0..4 {
        assert_eq!(cluster.replica(id).stable_slot(), Slot(4));
        cluster.replica(id).invariants();
        let slots: Vec<_> = cluster.disk(id).records().iter().filter_map(slot_of).collect();
        assert!(!slots.is_empty() && slots.iter().all(|slot| *slot == Slot(5)), "on disk too, not {slots:?}");
    }
    cluster.mark_byzantine(0);
    let late = hand(&cluster, 0).pre_prepare(0, 4, digest(9));
    cluster.inject(0, 1, late);
    cluster.deliver_all();
    assert!(cluster.evidence(1).is_empty(), "nothing is remembered there, and nothing is held against anybody");
}

fn slot_of(record: &varangian_consensus::Record) -> Option<Slot> {
    use varangian_consensus::Record;
    match record {
        Record::Batch { slot, .. } => Some(*slot),
        Record::Proposed(vote) => Some(vote.slot),
        Record::Accepted(signed) => Some(signed.statement.slot),
        Record::Prepared(certificate) => Some(certificate.pre_prepare.slot),
        _ => None,
    }
}

/// §4.3: "The checkpoint protocol is used to advance the low and high water marks ... h is equal to the sequence number of the last stable checkpoint. The high
/// water mark H = h + k, where k is big enough so that replicas do not stall waiting for a checkpoint to become stable."
#[test]
fn the_watermarks_move_with_the_stable_checkpoint() {
    let mut cluster = cluster();
    fill(&mut cluster, 0, 0, 1..=4);
    cluster.mark_byzantine(0);
    for (slot, known) in [(4, 4), (13, 4), (12, 12)] {
        let vote = hand(&cluster, 0).pre_prepare(0, slot, digest(9));
        cluster.inject(0, 1, vote);
        cluster.deliver_all();
        assert_eq!(cluster.replica(1).highest_known(), Slot(known), "slot {slot}");
    }
}

/// §4.3: a checkpoint that all but one have made stable reaches the one that heard of it too little: the proof is transferable.
#[test]
fn a_stable_checkpoint_is_shown_to_who_lacks_it() {
    let mut cluster = cluster();
    cluster.drop_when(|packet| is(packet, "checkpoint") && packet.to.0 == 3);
    fill(&mut cluster, 0, 0, 1..=4);
    assert_eq!(cluster.replica(3).stable_slot(), Slot(0));
    cluster.run_for(500);
    assert_eq!(cluster.replica(3).stable_slot(), Slot(4));
}

/// §4.3: progress without anybody's checkpoint being lost for good: all CHECKPOINTs of slot 4 are lost once.
#[test]
fn lost_checkpoints_are_said_again() {
    let mut cluster = cluster();
    let rule = cluster.drop_when(|packet| is(packet, "checkpoint"));
    fill(&mut cluster, 0, 0, 1..=4);
    cluster.remove_rule(rule);
    cluster.run_for(500);
    assert!((0..4).all(|id| cluster.replica(id).stable_slot() == Slot(4)));
}

/// §4.3, with protocol.md: a stable checkpoint above what this replica has executed does not move its window ("watermark move lowers last
/// executed", Fabric): it catches up first.
#[test]
fn a_stable_checkpoint_above_the_own_state_moves_nothing_before_catching_up() {
    let mut cluster = cluster();
    cluster.isolate(3);
    fill(&mut cluster, 0, 0, 1..=5);
    let proof = stable(&cluster, checkpoint_at(&cluster, 0, 4), &[0, 1, 2]);
    cluster.heal();
    cluster.drop_in_flight(|_| true);
    cluster.inject(2, 3, Message::Stable(proof));
    assert!(cluster.deliver_one());
    assert!(cluster.replica(3).is_behind());
    assert_eq!((cluster.replica(3).stable_slot(), cluster.executed(3)), (Slot(0), Slot(0)));
    cluster.run_for(500);
    assert!(!cluster.replica(3).is_behind());
    assert_eq!(
        (cluster.replica(3).stable_slot(), cluster.executed(3)),
        (Slot(4), Slot(4)),
        "of slot 5 nobody has told it"
    );
}

/// protocol.md, "Checkpoints": "A replica whose own checkpoint digest differs from the stable one stops voting, raises an alarm".
#[test]
fn a_replica_with_another_state_than_the_quorum_stops() {
    let mut cluster = cluster();
    cluster.hold_when(|packet| is(packet, "checkpoint"));
    fill(&mut cluster, 0, 0, 1..=4);
    cluster.clear_rules();
    for id in [1, 2, 3] {
        cluster.mark_byzantine(id);
    }
    cluster.expect_alarms = true;
    let agreed = Checkpoint { state: digest(9), ..checkpoint_at(&cluster, 0, 4) };
    let proof = stable(&cluster, agreed, &[1, 2, 3]);
    cluster.inject(1, 0, Message::Stable(proof));
    cluster.deliver_all();
    assert!(matches!(cluster.alarms(0), [Alarm::Diverged { slot: Slot(4), .. }]));
    assert!(cluster.replica(0).stopped().is_some());
}

/// protocol.md, "What is durable": "never sign again at or below the highest s signed", restarts included; and what was signed is said again.
#[test]
fn a_checkpoint_is_signed_once() {
    let mut cluster = cluster();
    cluster.hold_when(|packet| is(packet, "checkpoint"));
    fill(&mut cluster, 0, 0, 1..=4);
    cluster.crash(1, Loss::POWER);
    cluster.clear_rules();
    cluster.hold_when(|packet| is(packet, "checkpoint"));
    let before: Vec<_> =
        cluster.held().filter(|packet| packet.from == ReplicaId(1)).map(|packet| packet.message.clone()).collect();
    cluster.restart(1);
    cluster.deliver_all();
    let after: Vec<_> =
        cluster.held().filter(|packet| packet.from == ReplicaId(1)).map(|packet| packet.message.clone()).collect();
    assert_eq!(before.len(), 3);
    assert!(after.len() > before.len() && after.iter().all(|message| *message == before[0]), "the very same bytes");
}

/// §4.3 under power loss: the slot of a checkpoint is executed and synced by a later write, and power fails before the CHECKPOINT itself is on disk. The
/// replica signs it when it is back, or else `f + 1` such crashes would leave a checkpoint without its quorum for good.
#[test]
fn a_checkpoint_whose_signing_a_crash_prevented_is_signed_after_the_restart() {
    let mut cluster = cluster();
    fill(&mut cluster, 0, 0, 1..=3);
    cluster.hold_when(|packet| is(packet, "checkpoint"));
    for id in 0..4 {
        let next = cluster.commits(id) + 3;
        cluster.crash_at_commit(id, next, Loss::KILL);
    }
    fill(&mut cluster, 0, 0, [4]);
    assert!((0..4).all(|id| !cluster.is_up(id) && cluster.disk(id).executed().len() == 4));
    cluster.clear_rules();
    for id in 0..4 {
        cluster.restart(id);
    }
    cluster.run_for(1000);
    assert!((0..4).all(|id| cluster.replica(id).stable_slot() == Slot(4)));
}

/// protocol.md: a checkpoint at a slot that is none is nobody's vote, whoever signs it.
#[test]
fn checkpoints_are_at_multiples_of_the_interval_only() {
    let cluster = cluster();
    for slot in [0, 3, 5] {
        let vote = hand(&cluster, 1).checkpoint(Checkpoint { slot: Slot(slot), history: digest(1), state: digest(2) });
        assert!(vote.verify(&cluster.setup.committee).is_err(), "slot {slot}");
    }
}

/// §4.3: a proof needs distinct signers; one signer twice is no quorum.
#[test]
fn a_certificate_with_one_signer_twice_proves_nothing() {
    let cluster = cluster();
    let due = Checkpoint { slot: Slot(4), history: digest(1), state: digest(2) };
    let good = stable(&cluster, due, &[0, 1, 2]);
    good.check(&cluster.setup.committee).unwrap();
    let mut doubled = good.signatures.clone().into_vec();
    doubled[2] = doubled[1];
    let doubled = varangian_consensus::StableCheckpoint {
        statement: due,
        signatures: varangian_crypto::Bounded::try_from(doubled).unwrap(),
    };
    doubled.check(&cluster.setup.committee).unwrap_err();
}

/// protocol.md: f + 1 peers that no longer hold what this replica needs are an alarm, not silence: until there is snapshot transfer it says so.
#[test]
fn a_replica_that_is_behind_what_peers_retain_says_so() {
    let mut cluster = cluster();
    cluster.expect_alarms = true;
    cluster.isolate(3);
    fill(&mut cluster, 0, 0, 1..=9);
    for id in 0..3 {
        cluster.disk_mut(id).forget_decided_below(Slot(6));
    }
    cluster.heal();
    cluster.run_for(2000);
    assert!(matches!(cluster.alarms(3).first(), Some(Alarm::NeedsSnapshot { needed: Slot(1), oldest: Slot(6) })));
    assert_eq!(cluster.executed(3), Slot(0));
    assert_eq!(cluster.replica(3).phase(), Phase::Active, "it waits for help; it does not depose anybody");
}

/// protocol.md: "Genesis validation refuses numbers that do not fit together". Where the window is no multiple of the interval, slots above its last checkpoint could be
/// executed, and power loss could take that checkpoint's signatures from `f + 1` replicas: the window would stay shut.
#[test]
fn a_window_ends_with_a_checkpoint() {
    use varangian_crypto::{Clients, Genesis, GenesisError, Parameters};
    let cluster = cluster();
    let genesis = |window| {
        let parameters = Parameters { window, ..cluster.setup.genesis.parameters().clone() };
        let members = cluster.setup.genesis.replicas().to_vec();
        Genesis::new("window".into(), parameters, members, Clients::Open { maximum: 1 })
    };
    assert!(matches!(genesis(9), Err(GenesisError::WindowAndInterval { .. })));
    genesis(12).unwrap();
}
