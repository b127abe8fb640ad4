//! Each behaviour by itself: who hears what.

use super::recorder::{Call, adversary, batch, commands, counted, heard, propose, setup, spare};
use crate::adversary::Adversary;
use crate::cluster::{Options, Setup};
use std::collections::BTreeSet;
use std::sync::Arc;
use varangian_consensus::{
    Batch, Commit, Delivery, Message, NewView, NewViewDraft, PrePrepare, Prepare, Record, Slot, View, Vote,
};
use varangian_crypto::{Bounded, Digest, ReplicaId, Verify};
use varangian_runner::{Io, Token};

const DIGEST: Digest = Digest::from_bytes([7; 32]);

fn prepare(view: u64, slot: u64) -> Prepare {
    Prepare { view: View(view), slot: Slot(slot), digest: DIGEST }
}

fn commit(view: u64, slot: u64) -> Commit {
    Commit { view: View(view), slot: Slot(slot), digest: DIGEST }
}

fn take(io: &mut Adversary<super::recorder::Recorder>) -> Vec<Call> {
    std::mem::take(&mut io.inner().calls)
}

fn names(messages: &[Message]) -> Vec<&'static str> {
    messages.iter().map(Message::name).collect()
}

fn new_view(setup: &Setup, view: u64) -> Message {
    let new_view = NewView { view: View(view), view_changes: Bounded::new(), pre_prepares: Bounded::new() };
    Message::NewView(Box::new(setup.signer(setup.committee.primary(view)).sign(new_view).into_inner()))
}

#[test]
fn a_silent_primary_tells_nobody_what_it_proposes() {
    let setup = setup(4);
    let mut io = adversary(&setup, 1, "silent");
    let proposal = propose(&mut io, 1, 5, &batch(&setup, 2));
    io.vote(Vote::Commit(commit(1, 5)));
    io.vote(Vote::NewView(Box::new(NewViewDraft { view: View(5), view_changes: Vec::new(), order: Vec::new() })));
    let calls = take(&mut io);
    for peer in [0, 2, 3] {
        assert_eq!(names(&heard(&setup, 1, peer, &calls)), [""; 0]);
    }
    let counted = counted(&setup, 1, &calls);
    assert!(matches!(&counted[0], Delivery::PrePrepare(signed) if signed.statement == proposal));
    assert!(matches!((&counted[1], &counted[2]), (Delivery::Commit(_), Delivery::NewView(_))));

    // Asked again, it stays silent: what it kept back, and no more than that.
    let own = setup.signer(ReplicaId(1));
    for message in [
        Message::PrePrepare(own.sign(proposal).into_inner()),
        Message::Commit(own.sign(commit(1, 5)).into_inner()),
        Message::Commit(own.sign(commit(0, 5)).into_inner()),
        Message::PrePrepare(setup.signer(ReplicaId(0)).sign(PrePrepare { view: View(0), ..proposal }).into_inner()),
        Message::FetchBatch { slot: Slot(5), digest: DIGEST },
        new_view(&setup, 1),
        new_view(&setup, 0),
    ] {
        io.send(ReplicaId(2), message);
    }
    let calls = take(&mut io);
    assert_eq!(names(&heard(&setup, 1, 2, &calls)), ["commit", "pre-prepare", "fetch-batch", "new-view"]);

    // In the views of others it votes, and hands on bodies, also the one that it kept back before.
    io.vote(Vote::Prepare(prepare(0, 5)));
    io.vote(Vote::Commit(commit(0, 5)));
    io.broadcast(Message::Batch { slot: Slot(5), batch: batch(&setup, 2) });
    let calls = take(&mut io);
    assert_eq!(names(&heard(&setup, 1, 3, &calls)), ["prepare", "commit", "batch"]);
}

/// Both stories of a proposal: every backup hears exactly one, complete, valid and the same however often it asks.
fn check_stories(setup: &Setup, n: u16, view: u64, slot: u64, body: &Arc<Batch>) -> (Vec<u16>, Vec<u16>) {
    let primary = u16::try_from(view).unwrap() % n;
    let mut io = adversary(setup, primary, "equivocate");
    let proposal = propose(&mut io, view, slot, body);
    io.vote(Vote::Commit(proposal.commit()));
    let calls = take(&mut io);
    let mut sides = (Vec::new(), Vec::new());
    for peer in (0..n).filter(|peer| *peer != primary) {
        let messages = heard(setup, primary, peer, &calls);
        assert_eq!(names(&messages), ["pre-prepare", "batch", "commit"]);
        let digests: BTreeSet<Digest> = messages.iter().map(told_digest).collect();
        assert_eq!(digests.len(), 1, "r{peer} is told one story");
        for message in &messages {
            message.clone().verify(&setup.committee).unwrap();
        }
        if digests.contains(body.digest()) { &mut sides.0 } else { &mut sides.1 }.push(peer);

        // The core would resend the first story.
        let own = setup.signer(ReplicaId(primary));
        io.send(ReplicaId(peer), Message::PrePrepare(own.sign(proposal).into_inner()));
        io.send(ReplicaId(peer), Message::Commit(own.sign(proposal.commit()).into_inner()));
        let again: BTreeSet<Digest> = heard(setup, primary, peer, &take(&mut io)).iter().map(told_digest).collect();
        assert_eq!(again, digests, "r{peer} is told the same story again");
    }
    let counted = counted(setup, primary, &calls);
    assert!(matches!(&counted[0], Delivery::PrePrepare(signed) if signed.statement == proposal));
    assert!(matches!(&counted[1], Delivery::Commit(signed) if signed.statement == proposal.commit()));
    assert_eq!(counted.len(), 2, "the own core knows the first story alone");
    sides
}

fn is_first(messages: &[Message], proposal: &PrePrepare) -> bool {
    messages.iter().any(|message| matches!(message, Message::PrePrepare(signed) if signed.statement == *proposal))
}

fn told_digest(message: &Message) -> Digest {
    match message {
        Message::PrePrepare(signed) => signed.statement.digest,
        Message::Commit(signed) => signed.statement.digest,
        Message::Batch { batch, .. } => *batch.digest(),
        other => panic!("an equivocator says {}", other.name()),
    }
}

#[test]
fn an_equivocator_tells_every_backup_one_of_two_stories() {
    for (n, smaller) in [(4, 1), (7, 3)] {
        let setup = setup(n);
        for view in [0, u64::from(n) - 1] {
            for count in [1, 3] {
                let (first, second) = check_stories(&setup, n, view, 1, &batch(&setup, count));
                assert_eq!((first.len() + second.len(), second.len()), (usize::from(n) - 1, smaller));
                let (first, second) = check_stories(&setup, n, view, 2, &batch(&setup, count));
                assert_eq!((first.len() + second.len(), first.len()), (usize::from(n) - 1, smaller));
            }
        }
    }
}

/// The commands of the second story of this batch, as the last backup of r0 hears it in slot 1.
fn retold(setup: &Setup, body: &Arc<Batch>) -> Vec<Arc<Batch>> {
    let mut io = adversary(setup, 0, "equivocate");
    propose(&mut io, 0, 1, body);
    let heard = heard(setup, 0, 3, &take(&mut io));
    heard
        .into_iter()
        .filter_map(|message| if let Message::Batch { batch, .. } = message { Some(batch) } else { None })
        .collect()
}

#[test]
fn the_second_story_is_the_same_commands_in_another_order_or_one_behind_a_spare() {
    let setup = setup(4);
    let three = commands(&setup, 3);
    let mut reversed = three.clone();
    reversed.reverse();
    assert_eq!(retold(&setup, &batch(&setup, 3))[0].commands(), reversed);

    let one = three[0].clone();
    let single = batch(&setup, 1);
    let other = retold(&setup, &single);
    assert_eq!(other[0].commands(), [spare(&setup), one]);
    assert_eq!(retold(&setup, &other[0]), [single], "and the other way round");
    let spare = Arc::new(Batch::new(vec![spare(&setup)]).unwrap());
    assert_eq!(retold(&setup, &spare), std::slice::from_ref(&spare), "it has no other story itself");
}

/// Nobody votes for an invalid body, so where there is no second valid one the truth is told to all.
#[test]
fn a_full_batch_that_cannot_be_told_otherwise_is_told_honestly() {
    let mut options = Options::default();
    options.parameters.max_batch_operations = 2;
    let setup = Setup::new(&options);
    let pair = Arc::new(Batch::new(vec![setup.command(0, 1, &["x", "y"])]).unwrap());
    assert_eq!(retold(&setup, &pair), std::slice::from_ref(&pair));
    let single = Arc::new(Batch::new(vec![setup.command(0, 1, &["x"])]).unwrap());
    assert_ne!(retold(&setup, &single), std::slice::from_ref(&single));

    options.parameters.max_batch_bytes = 1024;
    options.parameters.max_command_bytes = 1024;
    let setup = Setup::new(&options);
    let long = Arc::new(Batch::new(vec![setup.command(0, 1, &["x".repeat(850).as_str()])]).unwrap());
    assert_eq!(retold(&setup, &long), std::slice::from_ref(&long));
}

/// A group commit may cover several proposals; each is told apart. After a restart the first side hears its
/// story again, and the second, whose story is forgotten, hears nothing that contradicts it.
#[test]
fn an_equivocator_keeps_its_proposals_apart() {
    let setup = setup(4);
    let mut io = adversary(&setup, 0, "equivocate@slot=2..4");
    let bodies: Vec<Arc<Batch>> = (1..=3).map(|count| batch(&setup, count)).collect();
    let proposals: Vec<PrePrepare> = bodies
        .iter()
        .zip(1..)
        .map(|(body, slot)| PrePrepare { view: View(0), slot: Slot(slot), digest: *body.digest() })
        .collect();
    let records = bodies.iter().zip(&proposals).flat_map(|(body, proposal)| {
        [Record::Batch { slot: proposal.slot, batch: body.clone() }, Record::Proposed(*proposal)]
    });
    io.persist(records.collect(), Token(1));
    for (body, proposal) in bodies.iter().zip(&proposals) {
        io.vote(Vote::PrePrepare(*proposal));
        io.broadcast(Message::Batch { slot: proposal.slot, batch: body.clone() });
    }
    let calls = take(&mut io);
    let told = |peer| -> Vec<(u64, bool)> {
        heard(&setup, 0, peer, &calls)
            .iter()
            .filter_map(|message| match message {
                Message::PrePrepare(signed) => Some(signed.statement),
                _ => None,
            })
            .map(|told| (told.slot.0, proposals.contains(&told)))
            .collect()
    };
    assert_eq!(told(1), [(1, true), (2, true), (3, true)]);
    assert_eq!(told(2), [(1, true), (2, false), (3, true)]);
    assert_eq!(told(3), [(1, true), (2, false), (3, false)]);

    io.vote(Vote::PrePrepare(proposals[1]));
    let calls = take(&mut io);
    assert!(is_first(&heard(&setup, 0, 1, &calls), &proposals[1]));
    let mut restarted = adversary(&setup, 0, "equivocate@slot=2..4");
    restarted.vote(Vote::PrePrepare(proposals[0]));
    restarted.vote(Vote::PrePrepare(proposals[1]));
    restarted.send(ReplicaId(3), Message::PrePrepare(setup.signer(ReplicaId(0)).sign(proposals[1]).into_inner()));
    let calls = take(&mut restarted);
    assert_eq!(names(&heard(&setup, 0, 1, &calls)), ["pre-prepare"; 2]);
    assert_eq!(
        names(&heard(&setup, 0, 3, &calls)),
        ["pre-prepare"],
        "it heard a second story of slot 2, and no more of it"
    );
}

#[test]
fn a_withholder_lets_nobody_or_the_chosen_hear_its_votes() {
    let setup = setup(7);
    // r5's peers in the order of the ring: 6, 0, 1, 2, 3, 4; f + 1 = 3.
    for (attack, hearers) in [("withhold", vec![]), ("withhold-partly", vec![6, 0, 1])] {
        let mut io = adversary(&setup, 5, attack);
        io.vote(Vote::Prepare(prepare(0, 1)));
        io.vote(Vote::Commit(commit(0, 1)));
        let told = take(&mut io);
        assert_eq!(counted(&setup, 5, &told).len(), 2);
        let own = setup.signer(ReplicaId(5));
        for peer in (0..7).filter(|peer| *peer != 5) {
            let expected: &[&str] = if hearers.contains(&peer) { &["prepare", "commit"] } else { &[] };
            assert_eq!(names(&heard(&setup, 5, peer, &told)), expected, "{attack} r{peer}");
            io.send(ReplicaId(peer), Message::Prepare(own.sign(prepare(0, 1)).into_inner()));
            io.send(ReplicaId(peer), Message::Commit(own.sign(commit(0, 1)).into_inner()));
            assert_eq!(names(&heard(&setup, 5, peer, &take(&mut io))), expected, "{attack} r{peer} asks again");
        }
        // What is not its vote it hands on, and it leads honestly.
        io.send(ReplicaId(2), Message::Commit(setup.signer(ReplicaId(0)).sign(commit(0, 1)).into_inner()));
        propose(&mut io, 5, 9, &batch(&setup, 1));
        assert_eq!(names(&heard(&setup, 5, 2, &take(&mut io))), ["commit", "pre-prepare", "batch"]);
    }
}

#[test]
fn a_double_voter_tells_all_both_votes_in_both_orders() {
    let setup = setup(4);
    let mut io = adversary(&setup, 3, "double-vote");
    io.vote(Vote::Prepare(prepare(0, 1)));
    let calls = take(&mut io);
    assert!(
        matches!(counted(&setup, 3, &calls).as_slice(), [Delivery::Prepare(own)] if own.statement == prepare(0, 1))
    );
    let mut truth_first = Vec::new();
    for peer in [0, 1, 2] {
        let votes: Vec<Prepare> = heard(&setup, 3, peer, &calls)
            .into_iter()
            .map(|message| match message {
                Message::Prepare(signed) => {
                    signed.check(&setup.committee).unwrap();
                    signed.statement
                }
                other => panic!("{}", other.name()),
            })
            .collect();
        let [first, second] = votes.as_slice() else { panic!("r{peer} hears {votes:?}") };
        assert_eq!((first.view, first.slot), (second.view, second.slot));
        assert_ne!(first.digest, second.digest);
        assert!(votes.contains(&prepare(0, 1)));
        truth_first.push(*first == prepare(0, 1));
    }
    assert!(truth_first.contains(&true) && truth_first.contains(&false), "{truth_first:?}");

    io.vote(Vote::Commit(commit(0, 1)));
    let calls = take(&mut io);
    assert_eq!(names(&heard(&setup, 3, 1, &calls)), ["commit", "commit"]);
    io.vote(Vote::PrePrepare(PrePrepare { view: View(3), slot: Slot(1), digest: DIGEST }));
    assert_eq!(names(&heard(&setup, 3, 1, &take(&mut io))), ["pre-prepare"]);
}
