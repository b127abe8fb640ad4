//! Each checker is fed one false fact among true ones, and says which invariant it breaks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use varangian_consensus::{
    Batch, Checkpoint, Command, Commit, CommitCertificate, Conflict, Evidence, NULL_BATCH, NewViewDraft, PrePrepare,
    Prepare, PreparedCertificate, Record, Slot, StableCheckpoint, Verdict, View, ViewChange, Vote,
};
use varangian_crypto::{Bounded, Digest, QuorumCertificate, ReplicaId, Statement};
use varangian_sim::checks::{Checks, Held};
use varangian_sim::cluster::{Answer, ExecutedSlot, Setup};
use varangian_sim::{Cluster, Invariant, Options};

const R0: ReplicaId = ReplicaId(0);
const R1: ReplicaId = ReplicaId(1);

/// A cluster that executed slots 1 and 2, and checkers that know what is on its disks.
fn scene() -> (Cluster, Checks) {
    let mut cluster = Cluster::new(&Options::default());
    for sequence in 1..=2 {
        let command = cluster.setup.command(0, sequence, &["put color blue"]);
        cluster.submit(0, &command).unwrap();
        cluster.deliver_all();
    }
    let mut checks = Checks::new(&cluster.setup);
    for id in 0..4 {
        checks.written(ReplicaId(id), &cluster.disk(id).records()).unwrap();
    }
    (cluster, checks)
}

fn done(cluster: &Cluster, slot: usize) -> ExecutedSlot {
    cluster.disk(0).executed()[slot - 1].clone()
}

#[track_caller]
fn breaks(held: Held, invariant: Invariant) {
    assert_eq!(held.expect_err("the checker says nothing").invariant, invariant);
}

fn certificate<S: Statement + Clone + PartialEq>(setup: &Setup, statement: &S) -> QuorumCertificate<S> {
    let votes = (0..3).map(|id| setup.signer(ReplicaId(id)).sign(statement.clone()).into_inner());
    let votes: Vec<_> = votes.map(|signed| (signed.signer, signed.signature)).collect();
    QuorumCertificate::from_votes(statement.clone(), votes, setup.committee.quorums()).unwrap()
}

fn prepared(setup: &Setup, view: u64, slot: u64, digest: Digest) -> PreparedCertificate {
    let pre_prepare = PrePrepare { view: View(view), slot: Slot(slot), digest };
    let primary = setup.committee.primary(view);
    let backups = (0..4).map(ReplicaId).filter(|id| *id != primary).take(2);
    let backups = backups.map(|id| (id, setup.signer(id).sign(pre_prepare.prepare()).signature));
    PreparedCertificate {
        pre_prepare,
        primary_signature: setup.signer(primary).sign(pre_prepare).signature,
        prepares: Bounded::try_from(backups.collect::<Vec<_>>()).unwrap(),
    }
}

/// Slot 1 with another command in it, decided by valid signatures.
fn other_slot_1(cluster: &Cluster, command: Command) -> ExecutedSlot {
    let identity = command.identity();
    let batch = Batch::new(vec![command]).unwrap();
    let commit = Commit { view: View(0), slot: Slot(1), digest: *batch.digest() };
    let certificate: CommitCertificate = certificate(&cluster.setup, &commit);
    let answers = vec![(identity, Verdict::Run { floor: 0 }, Answer { slot: Slot(1), result: None })];
    ExecutedSlot { certificate, batch: Some(Arc::new(batch)), answers, ..done(cluster, 1) }
}

#[test]
fn the_truth_breaks_nothing() {
    let (cluster, mut checks) = scene();
    for id in 0..4 {
        checks.executed(ReplicaId(id), Slot(1), &done(&cluster, 1)).unwrap();
        checks.executed(ReplicaId(id), Slot(2), &done(&cluster, 2)).unwrap();
        checks.stepped(ReplicaId(id), cluster.replica(id), 0).unwrap();
    }
    assert_eq!(checks.last(), Slot(2));
}

#[test]
fn two_batches_in_one_slot() {
    let (cluster, mut checks) = scene();
    checks.executed(R0, Slot(1), &done(&cluster, 1)).unwrap();
    let other = other_slot_1(&cluster, cluster.setup.command(1, 1, &["another"]));
    breaks(checks.executed(R1, Slot(1), &other), Invariant::OneBatchPerSlot);
}

#[test]
fn another_history() {
    let (cluster, mut checks) = scene();
    let other = ExecutedSlot { history: Digest::ZERO, ..done(&cluster, 1) };
    breaks(checks.executed(R0, Slot(1), &other), Invariant::OneBatchPerSlot);
}

#[test]
fn two_prepared_digests() {
    let (cluster, mut checks) = scene();
    let record = |slot| Record::Prepared(prepared(&cluster.setup, 0, 3, *done(&cluster, slot).batch.unwrap().digest()));
    checks.written(R0, &[record(1)]).unwrap();
    breaks(checks.written(R1, &[record(2)]), Invariant::OnePreparedDigest);
}

#[test]
fn prepared_against_a_decision() {
    let (cluster, mut checks) = scene();
    checks.executed(R0, Slot(1), &done(&cluster, 1)).unwrap();
    let record = Record::Prepared(prepared(&cluster.setup, 1, 1, Digest::ZERO));
    breaks(checks.written(R1, &[record]), Invariant::CommittedStays);
}

#[test]
fn decided_against_what_was_prepared_later() {
    let (cluster, mut checks) = scene();
    checks.written(R1, &[Record::Prepared(prepared(&cluster.setup, 1, 1, Digest::ZERO))]).unwrap();
    breaks(checks.executed(R0, Slot(1), &done(&cluster, 1)), Invariant::CommittedStays);
}

fn accept(cluster: &Cluster, view: u64, slot: u64, digest: Digest) -> (Record, Vote) {
    let pre_prepare = PrePrepare { view: View(view), slot: Slot(slot), digest };
    let primary = cluster.setup.committee.primary(view);
    let signed = cluster.setup.signer(primary).sign(pre_prepare).into_inner();
    let prepare = Prepare { view: View(view), slot: Slot(slot), digest };
    (Record::Accepted(signed), Vote::Prepare(prepare))
}

#[test]
fn two_votes_for_one_place() {
    let (cluster, mut checks) = scene();
    let body = |slot, digest| Record::Batch { slot: Slot(slot), batch: done(&cluster, digest).batch.unwrap() };
    let digest = |slot| *done(&cluster, slot).batch.unwrap().digest();
    let (first, second) = (accept(&cluster, 0, 3, digest(1)), accept(&cluster, 0, 3, digest(2)));
    checks.written(R1, &[first.0, second.0, body(3, 1), body(3, 2)]).unwrap();
    checks.voted(R1, &first.1).unwrap();
    checks.voted(R1, &first.1).unwrap();
    breaks(checks.voted(R1, &second.1), Invariant::OneVotePerPlace);
}

#[test]
fn a_vote_below_a_promise() {
    let (cluster, mut checks) = scene();
    let (record, vote) = accept(&cluster, 0, 3, Digest::ZERO);
    let promise = Box::new(ViewChange { view: View(2), stable: None, prepared: Bounded::default() });
    checks.written(R1, &[record, Record::ViewChange(promise.clone())]).unwrap();
    checks.voted(R1, &Vote::ViewChange(promise)).unwrap();
    breaks(checks.voted(R1, &vote), Invariant::OneVotePerPlace);
}

#[test]
fn a_vote_that_is_not_on_disk() {
    let (cluster, mut checks) = scene();
    let digest = *done(&cluster, 1).batch.unwrap().digest();
    let (record, vote) = accept(&cluster, 0, 3, digest);
    breaks(checks.voted(R1, &vote), Invariant::DurableBeforeSent);
    // The vote alone is not enough: its body must be there too.
    checks.written(R1, &[record]).unwrap();
    breaks(checks.voted(R1, &vote), Invariant::DurableBeforeSent);
    let checkpoint = Checkpoint { slot: Slot(4), history: Digest::ZERO, state: Digest::ZERO };
    breaks(checks.voted(R1, &Vote::Checkpoint(checkpoint)), Invariant::DurableBeforeSent);
    let promise = ViewChange { view: View(1), stable: None, prepared: Bounded::default() };
    breaks(checks.voted(R1, &Vote::ViewChange(Box::new(promise))), Invariant::DurableBeforeSent);
}

#[test]
fn a_vote_in_a_view_whose_new_view_is_not_on_disk() {
    let (cluster, mut checks) = scene();
    let (record, vote) = accept(&cluster, 2, 3, Digest::ZERO);
    checks.written(R1, &[record]).unwrap();
    breaks(checks.voted(R1, &vote), Invariant::DurableBeforeSent);
}

#[test]
fn a_decision_that_no_disk_backs() {
    let (cluster, _) = scene();
    let mut checks = Checks::new(&cluster.setup);
    breaks(checks.executed(R0, Slot(1), &done(&cluster, 1)), Invariant::DurableBeforeSent);
}

#[test]
fn a_slot_that_was_left_out() {
    let (cluster, mut checks) = scene();
    breaks(checks.executed(R0, Slot(2), &done(&cluster, 2)), Invariant::Contiguous);
}

#[test]
fn another_state() {
    let (cluster, mut checks) = scene();
    let other = ExecutedSlot { state: Digest::ZERO, ..done(&cluster, 1) };
    breaks(checks.executed(R0, Slot(1), &other), Invariant::EqualState);
}

#[test]
fn a_stable_checkpoint_of_another_state() {
    let (cluster, mut checks) = scene();
    let statement = Checkpoint { slot: Slot(4), history: Digest::ZERO, state: Digest::ZERO };
    let stable: StableCheckpoint = certificate(&cluster.setup, &statement);
    breaks(checks.written(R0, &[Record::Stable(stable)]), Invariant::EqualState);
}

#[test]
fn a_command_that_runs_again() {
    let (cluster, mut checks) = scene();
    let mut other = done(&cluster, 1);
    other.answers[0].1 = Verdict::Duplicate;
    breaks(checks.executed(R0, Slot(1), &other), Invariant::ExactlyOnce);
}

#[test]
fn a_retry_that_gets_another_reply() {
    let (cluster, mut checks) = scene();
    let (identity, _, answer) = done(&cluster, 1).answers[0].clone();
    checks.replied(R0, identity, &answer).unwrap();
    breaks(checks.replied(R0, identity, &Answer { slot: Slot(2), ..answer }), Invariant::ExactlyOnce);
}

#[test]
fn a_replica_that_goes_back() {
    let (cluster, mut checks) = scene();
    checks.stepped(R0, cluster.replica(0), 0).unwrap();
    let fresh = Cluster::new(&Options::default());
    breaks(checks.stepped(R0, fresh.replica(0), 0), Invariant::Monotonic);
    breaks(checks.restarted(R0, fresh.replica(0), Slot(4)), Invariant::Monotonic);
}

#[test]
fn a_certificate_with_one_signer_too_few_or_twice() {
    let (cluster, mut checks) = scene();
    let digest = *done(&cluster, 1).batch.unwrap().digest();
    let good = prepared(&cluster.setup, 0, 3, digest);
    let one = good.prepares.first().copied().unwrap();
    for signers in [vec![one], vec![one, one]] {
        let bad = PreparedCertificate { prepares: Bounded::try_from(signers).unwrap(), ..good.clone() };
        breaks(checks.written(R0, &[Record::Prepared(bad)]), Invariant::ValidCertificates);
    }
    let unsigned = PreparedCertificate { primary_signature: one.1, ..good };
    breaks(checks.written(R0, &[Record::Prepared(unsigned)]), Invariant::ValidCertificates);
}

#[test]
fn a_slot_executed_by_the_certificate_of_another() {
    let (cluster, mut checks) = scene();
    let other = ExecutedSlot { certificate: done(&cluster, 2).certificate, ..done(&cluster, 1) };
    breaks(checks.executed(R0, Slot(1), &other), Invariant::ValidCertificates);
}

#[test]
fn a_new_view_that_carries_over_something_else() {
    let (cluster, mut checks) = scene();
    let change = |prepared: Vec<_>| ViewChange { view: View(1), stable: None, prepared: prepared.try_into().unwrap() };
    let held = prepared(&cluster.setup, 0, 1, *done(&cluster, 1).batch.unwrap().digest());
    let signed = |id, change| cluster.setup.signer(ReplicaId(id)).sign(change).into_inner();
    let view_changes = vec![signed(0, change(vec![held])), signed(1, change(vec![])), signed(2, change(vec![]))];
    let order = vec![PrePrepare { view: View(1), slot: Slot(1), digest: Digest::ZERO }];
    let draft = NewViewDraft { view: View(1), view_changes, order };
    breaks(checks.voted(R1, &Vote::NewView(Box::new(draft))), Invariant::OrderIsTheOracles);
}

#[test]
fn an_acknowledged_command_that_is_gone() {
    let (cluster, mut checks) = scene();
    checks.executed(R0, Slot(1), &done(&cluster, 1)).unwrap();
    let (identity, _, answer) = done(&cluster, 1).answers[0].clone();
    checks.invoked(identity, 1);
    checks.accepted(identity, &answer, 2).unwrap();
    checks.must_survive(R0, |identity| cluster.disk(0).answer(identity)).unwrap();
    breaks(checks.must_survive(R0, |_| None), Invariant::NothingAcknowledgedIsLost);
}

#[test]
fn a_reply_that_is_not_the_logs_and_one_out_of_real_time() {
    let (cluster, mut checks) = scene();
    for slot in 1..=2 {
        checks.executed(R0, Slot(slot), &done(&cluster, slot as usize)).unwrap();
    }
    let (first, _, early) = done(&cluster, 1).answers[0].clone();
    let (second, _, late) = done(&cluster, 2).answers[0].clone();
    breaks(checks.accepted(first, &late, 5), Invariant::Linearizable);
    // The command of slot 2 returns before that of slot 1 is invoked.
    checks.invoked(second, 1);
    checks.accepted(second, &late, 2).unwrap();
    checks.invoked(first, 3);
    breaks(checks.accepted(first, &early, 4), Invariant::Linearizable);
}

#[test]
fn a_command_that_its_client_did_not_sign() {
    let (cluster, mut checks) = scene();
    let command = cluster.setup.command(1, 1, &["another"]);
    let mut bytes = command.encoded().to_vec();
    bytes[60] ^= 1;
    let forged = Command::decode(bytes.into()).unwrap();
    let other = other_slot_1(&cluster, forged);
    breaks(checks.executed(R0, Slot(1), &other), Invariant::SignedByItsClient);
}

#[test]
fn a_queue_without_a_bound() {
    let (cluster, mut checks) = scene();
    breaks(checks.stepped(R0, cluster.replica(0), usize::MAX), Invariant::Bounded);
}

#[test]
fn evidence_against_somebody_honest_or_that_proves_nothing() {
    let (cluster, mut checks) = scene();
    let vote =
        |slot| PrePrepare { view: View(0), slot: Slot(3), digest: *done(&cluster, slot).batch.unwrap().digest() };
    let signed = |slot| cluster.setup.signer(R0).sign(vote(slot)).into_inner();
    let proof = Evidence::PrePrepares(Conflict { first: signed(1), second: signed(2) });
    breaks(checks.accused(R1, &proof), Invariant::EvidenceIsJust);
    checks.byzantine.insert(R0);
    checks.accused(R1, &proof).unwrap();
    let nothing = Evidence::PrePrepares(Conflict { first: signed(1), second: signed(1) });
    breaks(checks.accused(R1, &nothing), Invariant::EvidenceIsJust);
}

#[test]
fn a_certified_body_that_too_few_have() {
    let (cluster, mut checks) = scene();
    let record = |slot, digest| [Record::Prepared(prepared(&cluster.setup, 0, slot, digest))];
    let digest = |slot| *done(&cluster, slot).batch.unwrap().digest();
    let disks = |ids: std::ops::Range<u16>| ids.map(|id| (ReplicaId(id), cluster.disk(id)));
    checks.retrievable(&record(1, digest(1)), disks(0..4), 0).unwrap();
    checks.retrievable(&record(1, digest(1)), disks(0..2), 0).unwrap();
    // Of one only, of nobody, in another slot than it was voted for in.
    breaks(checks.retrievable(&record(1, digest(1)), disks(0..1), 0), Invariant::BodiesRetrievable);
    breaks(checks.retrievable(&record(1, Digest::from_bytes([7; 32])), disks(0..4), 0), Invariant::BodiesRetrievable);
    breaks(checks.retrievable(&record(2, digest(1)), disks(0..4), 0), Invariant::BodiesRetrievable);
    // What a liar has does not count.
    checks.byzantine.insert(R1);
    breaks(checks.retrievable(&record(1, digest(1)), disks(0..2), 0), Invariant::BodiesRetrievable);
    checks.retrievable(&record(1, digest(1)), disks(0..3), 0).unwrap();
    // A quorum that lost a disk and has a liar is one honest disk.
    checks.retrievable(&record(1, digest(1)), disks(0..2), 1).unwrap();
    // The null batch has no body.
    checks.retrievable(&record(3, NULL_BATCH), disks(0..0), 0).unwrap();
}
