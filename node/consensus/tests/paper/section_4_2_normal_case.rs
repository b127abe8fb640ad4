//! §4.2: the normal case.

use super::support::*;
use varangian_consensus::{Message, NULL_BATCH, Progress, Slot};
use varangian_crypto::{ReplicaId, VerifyError};
use varangian_sim::cluster::Event;

/// §4.2: "the primary ... starts a three-phase protocol to atomically multicast the request": pre-prepare, prepare, commit, and then all execute.
#[test]
fn three_phases_decide_a_slot() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    assert_eq!((sent(&cluster, 0, "pre-prepare"), sent(&cluster, 0, "batch"), cluster.in_flight().count()), (3, 3, 6));
    deliver(&mut cluster, &["pre-prepare", "batch"]);
    assert!((1..4).all(|id| sent(&cluster, id, "prepare") == 3), "every backup multicasts its PREPARE");
    assert_eq!(sent(&cluster, 0, "prepare"), 0, "the primary's pre-prepare is its vote");
    deliver(&mut cluster, &["prepare"]);
    assert!((0..4).all(|id| sent(&cluster, id, "commit") == 3));
    deliver(&mut cluster, &["commit"]);
    assert!((0..4).all(|id| cluster.executed(id) == Slot(1)));
    assert_eq!(cluster.in_flight().count(), 0);
}

/// §4.2: a backup accepts a pre-prepare if "the signatures in the request and the pre-prepare message are correct": only the primary of the view can
/// sign one.
#[test]
fn only_the_primary_pre_prepares() {
    let mut cluster = cluster();
    cluster.mark_byzantine(1);
    let forged = hand(&cluster, 1).pre_prepare(0, 1, digest(9));
    cluster.inject(1, 2, forged);
    cluster.deliver_all();
    let refused =
        cluster.take_events().iter().any(|event| matches!(event, Event::Lost(_, why) if why.contains("NotPrimary")));
    assert!(refused);
}

/// §4.2: ... and "d is the digest for m". A body with another digest is not taken for it.
#[test]
fn a_body_counts_only_for_its_own_digest() {
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    let (named, other) = (batch(&cluster, 0, 1), batch(&cluster, 1, 1));
    let forged = hand(&cluster, 0).pre_prepare(0, 1, *named.digest());
    cluster.inject(0, 1, forged);
    cluster.inject(0, 1, Message::Batch { slot: Slot(1), batch: other });
    cluster.deliver_all();
    assert_eq!(cluster.commits(1), 0, "nothing to vote for");
    cluster.inject(0, 1, Message::Batch { slot: Slot(1), batch: named });
    assert!(cluster.deliver_one());
    assert_eq!(sent(&cluster, 1, "prepare"), 3);
}

/// §4.2: ... "it is in view v".
#[test]
fn a_pre_prepare_of_another_view_is_not_accepted() {
    let mut cluster = cluster();
    for id in [0, 1] {
        cluster.mark_byzantine(id);
    }
    let body = batch(&cluster, 0, 1);
    let early = hand(&cluster, 1).pre_prepare(1, 1, *body.digest());
    cluster.inject(1, 2, early);
    cluster.inject(1, 2, Message::Batch { slot: Slot(1), batch: body });
    cluster.deliver_all();
    assert_eq!(cluster.commits(2), 0, "view 1 has not begun");
}

/// §4.2: ... "it has not accepted a pre-prepare message for view v and sequence number n containing a different digest".
#[test]
fn the_first_pre_prepare_of_a_slot_binds() {
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    let (first, second) = (batch(&cluster, 0, 1), batch(&cluster, 1, 1));
    for body in [&first, &second] {
        let forged = hand(&cluster, 0).pre_prepare(0, 1, *body.digest());
        cluster.inject(0, 1, forged);
        cluster.inject(0, 1, Message::Batch { slot: Slot(1), batch: body.clone() });
    }
    deliver(&mut cluster, &["pre-prepare", "batch"]);
    let voted: Vec<_> = under_way(&cluster, 2, "prepare");
    assert_eq!(voted, [hand(&cluster, 1).prepare(0, 1, *first.digest())]);
    assert_eq!(cluster.evidence(1)[0].accused(), ReplicaId(0), "and the second is a proof");
}

/// §4.2: ... "the sequence number in the pre-prepare message is between a low water mark, h, and a high water mark, H". H = h + 8 here.
#[test]
fn pre_prepares_outside_the_watermarks_are_not_accepted() {
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    for slot in [0, 9, u64::MAX, 8] {
        let body = batch(&cluster, 0, slot);
        let forged = hand(&cluster, 0).pre_prepare(0, slot, *body.digest());
        cluster.inject(0, 1, forged);
        cluster.inject(0, 1, Message::Batch { slot: Slot(slot), batch: body });
        cluster.deliver_one();
        cluster.deliver_one();
        // A far body is not stored ahead of anything either: slot 8's is fetched when its turn comes.
        assert_eq!(cluster.replica(1).highest_known(), if slot == 8 { Slot(8) } else { Slot(0) }, "slot {slot}");
    }
}

/// §4.2: a high water mark exists "to prevent a faulty primary from exhausting the space of sequence numbers by selecting a very large
/// one"; an honest primary keeps to it, and to its pipeline.
#[test]
fn the_primary_stays_below_the_high_watermark() {
    let mut cluster = cluster();
    cluster.drop_when(|packet| is(packet, "checkpoint") || is(packet, "stable"));
    for sequence in 1..=12 {
        let command = cluster.setup.command(0, sequence, &["x"]);
        cluster.submit(0, &command).unwrap();
        cluster.deliver_all();
    }
    assert_eq!(cluster.executed(0), Slot(8));
    assert_eq!(cluster.replica(0).pool().len(), 4, "the rest waits");
    cluster.clear_rules();
    cluster.run_for(500);
    assert!(cluster.executed(0) > Slot(8), "with the checkpoints the window moves and the rest follows");
    assert!(cluster.replica(0).pool().is_empty());
}

/// §4.2: "prepared(m, v, n, i) is true iff replica i has inserted in its log ... a pre-prepare ... and 2f prepares from different backups
/// that match the pre-prepare": 2f - 1 are not enough, and one more is.
#[test]
fn prepared_needs_2f_prepares_of_distinct_backups() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.drop_in_flight(|packet| packet.to.0 != 1);
    deliver(&mut cluster, &["pre-prepare", "batch"]);
    cluster.drop_in_flight(|_| true);
    assert_eq!(
        cluster.replica(1).status().slots.to_vec(),
        [Progress::PrePrepared],
        "pre-prepare and its own PREPARE are 2 of 3"
    );
    cluster.mark_byzantine(2);
    let vote = hand(&cluster, 2).prepare(0, 1, *batch(&cluster, 0, 1).digest());
    cluster.inject(2, 1, vote);
    assert!(cluster.deliver_one());
    assert_eq!(cluster.replica(1).status().slots.to_vec(), [Progress::Prepared]);
    assert_eq!(sent(&cluster, 1, "commit"), 3, "and it multicasts its COMMIT");
}

/// §4.2: "from different backups": the same PREPARE again and again counts once (Besu once counted messages).
#[test]
fn duplicate_prepares_count_once() {
    let mut cluster = cluster();
    cluster.mark_byzantine(2);
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.drop_in_flight(|packet| packet.to.0 != 3);
    deliver(&mut cluster, &["pre-prepare", "batch"]);
    cluster.drop_in_flight(|_| true);
    // r0 holds its own pre-prepare and needs two PREPAREs.
    let vote = hand(&cluster, 2).prepare(0, 1, *batch(&cluster, 0, 1).digest());
    for carrier in [1, 2, 2, 3] {
        cluster.inject(carrier, 0, vote.clone());
    }
    cluster.deliver_all();
    assert_eq!(cluster.commits(0), 1, "only its own proposal was ever written");
    let other = hand(&cluster, 3).prepare(0, 1, *batch(&cluster, 0, 1).digest());
    cluster.inject(3, 0, other);
    cluster.deliver_all();
    assert_eq!(cluster.commits(0), 2, "two distinct ones and the pre-prepare are a quorum");
}

/// A replica's first vote counts, whatever it says afterwards ("an equivocator erases its counted vote", Tari); the second is a proof against it.
#[test]
fn the_first_prepare_of_a_backup_counts_whatever_it_says_later() {
    let mut cluster = cluster();
    cluster.mark_byzantine(2);
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.drop_in_flight(|_| true);
    let right = *batch(&cluster, 0, 1).digest();
    for (voter, digest) in [(2, right), (2, digest(9)), (3, right)] {
        let vote = hand(&cluster, voter).prepare(0, 1, digest);
        cluster.inject(voter, 0, vote);
        assert!(cluster.deliver_one());
    }
    assert_eq!(cluster.replica(0).status().slots.to_vec(), [Progress::Prepared]);
    let proofs: Vec<_> = cluster.evidence(0).iter().map(|proof| (proof.accused(), proof.kind())).collect();
    assert_eq!(proofs, [(ReplicaId(2), "two prepares for one slot")]);
}

/// §4.2: 2f prepares "from different *backups*": the primary's own PREPARE would let it count twice, so nobody takes one.
#[test]
fn a_prepare_of_the_primary_counts_for_nothing() {
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    let forged = hand(&cluster, 0).prepare(0, 1, digest(9));
    assert_eq!(
        forged.clone().verify(&cluster.setup.committee),
        Err(VerifyError::Invalid("a primary sends no PREPARE in its own view"))
    );
    cluster.inject(0, 1, forged);
    cluster.deliver_all();
    assert_eq!(cluster.replica(1).highest_known(), Slot(0));
}

/// §4.2: prepares must "match the pre-prepare": "same view, sequence number, and digest".
#[test]
fn prepares_for_another_digest_or_view_do_not_count() {
    let mut cluster = cluster();
    for id in [2, 3] {
        cluster.mark_byzantine(id);
    }
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.drop_in_flight(|packet| packet.to.0 != 1);
    deliver(&mut cluster, &["pre-prepare", "batch"]);
    cluster.drop_in_flight(|_| true);
    let right = *batch(&cluster, 0, 1).digest();
    for forged in [
        hand(&cluster, 2).prepare(0, 1, digest(9)),
        hand(&cluster, 3).prepare(4, 1, right),
        hand(&cluster, 3).prepare(0, 2, right),
    ] {
        cluster.inject(2, 1, forged);
    }
    cluster.deliver_all();
    let progress = cluster.replica(1).status().slots.to_vec();
    assert_eq!(progress[0], Progress::PrePrepared);
    let vote = hand(&cluster, 3).prepare(0, 1, right);
    cluster.inject(3, 1, vote);
    cluster.deliver_all();
    assert_eq!(cluster.replica(1).status().slots[0], Progress::Prepared);
}

/// §4.2: "committed-local(m, v, n, i) is true iff ... i has accepted 2f + 1 commits (possibly including its own) from different replicas that match":
/// 2f are not enough.
#[test]
fn committed_needs_2f_plus_1_commits_of_distinct_replicas() {
    let mut cluster = cluster();
    cluster.mark_byzantine(2);
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.drop_when(|packet| is(packet, "commit") || is(packet, "status"));
    cluster.deliver_all();
    cluster.clear_rules();
    let right = *batch(&cluster, 0, 1).digest();
    let vote = hand(&cluster, 2).commit(0, 1, right);
    for carrier in [0, 2, 3] {
        cluster.inject(carrier, 1, vote.clone());
    }
    cluster.deliver_all();
    assert_eq!(cluster.executed(1), Slot(0), "its own and r2's are 2, however often they come");
    let wrong = hand(&cluster, 3).commit(0, 1, digest(9));
    cluster.mark_byzantine(3);
    cluster.inject(3, 1, wrong);
    cluster.deliver_all();
    assert_eq!(cluster.executed(1), Slot(0), "nor does one for another digest count");
    let vote = hand(&cluster, 0).commit(0, 1, right);
    cluster.inject(0, 1, vote);
    cluster.deliver_all();
    assert_eq!(cluster.executed(1), Slot(1));
}

/// §4.2: "Each replica i executes the operation requested by m after committed-local(m, v, n, i) is true and i's state reflects the sequential
/// execution of all requests with lower sequence numbers."
#[test]
fn slots_are_decided_in_any_order_and_executed_in_theirs() {
    let mut cluster = cluster();
    let operations = ["x"; 64];
    let (first, second) = (cluster.setup.command(0, 1, &["x"]), cluster.setup.command(1, 1, &operations));
    // Everything about slot 1 that goes to r3 is late.
    cluster.hold_when(|packet| packet.to.0 == 3 && about_slot(packet) == Some(Slot(1)));
    cluster.submit(0, &first).unwrap();
    cluster.submit(0, &second).unwrap();
    cluster.deliver_all();
    assert_eq!(cluster.executed(0), Slot(2), "a full batch does not wait for the slot before");
    assert_eq!(cluster.executed(3), Slot(0));
    assert_eq!(cluster.replica(3).status().slots.to_vec(), [Progress::Nothing, Progress::Committed]);
    cluster.release_held();
    cluster.deliver_all();
    assert_eq!(cluster.executed(3), Slot(2));
}

fn about_slot(packet: &varangian_sim::Packet) -> Option<Slot> {
    match &packet.message {
        Message::PrePrepare(signed) => Some(signed.statement.slot),
        Message::Prepare(signed) => Some(signed.statement.slot),
        Message::Commit(signed) => Some(signed.statement.slot),
        Message::Batch { slot, .. } => Some(*slot),
        _ => None,
    }
}

/// §4.2: "replicas can accept commit messages ... in any order": votes that overtake what they are about are kept.
#[test]
fn votes_that_overtake_the_pre_prepare_count_when_it_comes() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.hold_when(|packet| packet.to.0 == 3 && is(packet, "pre-prepare"));
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    assert_eq!(cluster.commits(3), 1, "r3 executes by the others' COMMITs; it never voted, and writes only the body");
    assert_eq!(cluster.executed(3), Slot(1));
    cluster.release_held();
    cluster.deliver_all();
    assert_eq!(cluster.disk(3).executed().len(), 1);
}

/// §4.2, and protocol.md's "a replica without the body does not vote": nothing that is only a digest is voted for.
#[test]
fn no_vote_without_the_body() {
    let mut cluster = cluster();
    cluster.drop_when(|packet| is(packet, "batch"));
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    assert!((1..4).all(|id| cluster.commits(id) == 0));
    cluster.clear_rules();
    cluster.run_for(500);
    assert!((0..4).all(|id| cluster.executed(id) == Slot(1)), "it is fetched by its digest");
}

/// protocol.md: "Empty batches are illegal outside view changes": a primary cannot give a slot to the null batch.
#[test]
fn a_null_batch_is_not_accepted_outside_a_new_view() {
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    let forged = hand(&cluster, 0).pre_prepare(0, 1, NULL_BATCH);
    cluster.inject_to_all(0, &forged);
    cluster.deliver_all();
    assert!((1..4).all(|id| cluster.commits(id) == 0));
}

/// protocol.md, "Status exchange": a message lost once must never be a permanent stall. Here only the primary knows that there is a slot at all.
#[test]
fn a_pre_prepare_that_nobody_got_is_asked_for() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.drop_in_flight(|_| true);
    cluster.run_for(900);
    assert!(cluster.accepted(&command.identity()).is_some());
    assert_eq!(cluster.replica(1).view().0, 0);
}

/// §4.2: the batch with a command that its client never signed gets no vote, and convicts the primary that pre-prepared it.
#[test]
fn a_batch_with_a_forged_command_is_refused_and_proved() {
    use varangian_consensus::{Batch, Command};
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    // Client b's key under client a's signature: the bytes of the signature are changed.
    let honest = cluster.setup.command(0, 1, &["x"]);
    let mut bytes = honest.encoded().to_vec();
    bytes[50] ^= 1;
    let forged = Command::decode(bytes.into()).unwrap();
    let body = std::sync::Arc::new(Batch::new(vec![forged]).unwrap());
    let vote = hand(&cluster, 0).pre_prepare(0, 1, *body.digest());
    cluster.inject(0, 1, vote.clone());
    cluster.inject(0, 1, Message::Batch { slot: Slot(1), batch: body.clone() });
    // They travel apart, so either may come first.
    cluster.inject(0, 2, Message::Batch { slot: Slot(1), batch: body });
    cluster.inject(0, 2, vote);
    cluster.deliver_all();
    for backup in [1, 2] {
        assert_eq!(cluster.evidence(backup)[0].kind(), "a pre-prepare for an invalid batch");
        assert!(cluster.replica(backup).view().0 >= 1, "r{backup} asks for the next view");
        assert_eq!(sent(&cluster, backup, "prepare"), 0);
    }
}
