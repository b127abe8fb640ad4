//! The behaviours of the later files, each by itself at the seam: what each peer hears, and whether it proves itself.

use super::recorder::{Call, Recorder, adversary, batch, counted, heard, propose, setup};
use crate::adversary::{Adversary, Plan, Strikes};
use crate::cluster::Setup;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use varangian_consensus::{
    Batch, Checkpoint, Commit, Delivery, Execution, Message, NULL_BATCH, NewViewDraft, PrePrepare, Prepare,
    PreparedCertificate, Progress, Record, Slot, Status, Timer, View, ViewChange, Vote, order::new_view_order,
};
use varangian_crypto::{Bounded, Digest, QuorumCertificate, ReplicaId, Verify, VerifyError};
use varangian_runner::{Io, Token};

const DIGEST: Digest = Digest::from_bytes([7; 32]);

fn prepare(view: u64, slot: u64) -> Vote {
    Vote::Prepare(Prepare { view: View(view), slot: Slot(slot), digest: DIGEST })
}

fn commit(view: u64, slot: u64) -> Commit {
    Commit { view: View(view), slot: Slot(slot), digest: DIGEST }
}

fn checkpoint(slot: u64) -> Checkpoint {
    Checkpoint { slot: Slot(slot), history: DIGEST, state: DIGEST }
}

fn take(io: &mut Adversary<Recorder>) -> Vec<Call> {
    std::mem::take(&mut io.inner().calls)
}

fn hears(setup: &Setup, from: u16, to: u16, io: &mut Adversary<Recorder>) -> Vec<Message> {
    heard(setup, from, to, &take(io))
}

fn names(messages: &[Message]) -> Vec<&'static str> {
    messages.iter().map(Message::name).collect()
}

fn tick(io: &mut Adversary<Recorder>) {
    io.set_timer(Timer::Status(0), 200);
}

fn bodies(messages: &[Message]) -> Vec<Arc<Batch>> {
    let body = |message: &Message| if let Message::Batch { batch, .. } = message { Some(batch.clone()) } else { None };
    messages.iter().filter_map(body).collect()
}

fn proposals(messages: &[Message]) -> Vec<PrePrepare> {
    let told = |message: &Message| match message {
        Message::PrePrepare(signed) => Some(signed.statement),
        _ => None,
    };
    messages.iter().filter_map(told).collect()
}

fn status() -> Message {
    Message::Status(Status {
        view: View(3),
        active: true,
        stable: Slot(4),
        executed: Slot(5),
        slots: Bounded::try_from(vec![Progress::Prepared]).unwrap(),
        view_changes: Bounded::new(),
    })
}

/// The votes of the first `q` replicas.
fn decided(setup: &Setup, slot: u64, body: &Arc<Batch>) -> Execution {
    let statement = Commit { view: View(0), slot: Slot(slot), digest: *body.digest() };
    let votes = (0..3).map(|id| (ReplicaId(id), setup.signer(ReplicaId(id)).sign(statement).signature));
    Execution {
        slot: Slot(slot),
        certificate: QuorumCertificate::from_votes(statement, votes, setup.committee.quorums()).unwrap(),
        batch: Some(body.clone()),
        verdicts: Vec::new(),
        windows: Vec::new(),
        history: DIGEST,
        checkpoint: false,
    }
}

/// A certificate for this slot and view that all have signed.
fn prepared(setup: &Setup, view: u64, slot: u64) -> PreparedCertificate {
    let pre_prepare = PrePrepare { view: View(view), slot: Slot(slot), digest: DIGEST };
    let primary = setup.committee.primary(view);
    let signed = setup.signer(primary).sign(pre_prepare).into_inner();
    let backups = setup.committee.quorums().replicas().filter(|id| *id != primary);
    let votes = backups.map(|id| (id, setup.signer(id).sign(pre_prepare.prepare()).signature));
    PreparedCertificate::from_votes(&signed, votes, setup.committee.quorums().quorum()).unwrap()
}

fn view_change(view: u64, prepared: Vec<PreparedCertificate>) -> ViewChange {
    ViewChange { view: View(view), stable: None, prepared: Bounded::try_from(prepared).unwrap() }
}

/// What r0 tells the last backup for each of these bodies in turn, from slot 1 on.
fn retold(setup: &Setup, attack: &str, said: &[Arc<Batch>]) -> Vec<(PrePrepare, Option<Arc<Batch>>)> {
    let mut io = adversary(setup, 0, attack);
    (1..)
        .zip(said)
        .map(|(slot, body)| {
            let own = propose(&mut io, 0, slot, body);
            let calls = take(&mut io);
            let mine = counted(setup, 0, &calls);
            assert!(
                mine.iter().any(|own_vote| matches!(own_vote, Delivery::PrePrepare(vote) if vote.statement == own))
            );
            let heard = heard(setup, 0, 3, &calls);
            (proposals(&heard)[0], bodies(&heard).pop())
        })
        .collect()
}

fn mixed(setup: &Setup, commands: &[(u8, u64)]) -> Arc<Batch> {
    let commands = commands.iter().map(|(client, sequence)| setup.command(*client, *sequence, &["x"])).collect();
    Arc::new(Batch::new(commands).unwrap())
}

#[test]
fn a_primary_tells_what_the_attack_says() {
    let setup = setup(4);
    let commands = |told: &(PrePrepare, Option<Arc<Batch>>)| told.1.as_ref().unwrap().commands().to_vec();
    let is_valid = |told: &(PrePrepare, Option<Arc<Batch>>)| {
        let batch = told.1.as_ref().unwrap();
        assert_eq!(told.0.digest, *batch.digest());
        batch.check(&setup.committee).is_ok()
    };
    let (three, one) = (batch(&setup, 3), batch(&setup, 1));

    let told = retold(&setup, "equivocate-other", &[three.clone(), one.clone()]);
    assert_eq!(commands(&told[0]), three.commands()[..2]);
    assert_eq!(commands(&told[1]), commands(&told[0]), "the last one again");

    let a = mixed(&setup, &[(0, 1)]);
    let said = [a.clone(), mixed(&setup, &[(0, 2), (1, 1), (2, 1)]), mixed(&setup, &[(0, 3)])];
    let told = retold(&setup, "censor", &said);
    assert_eq!(commands(&told[0]), a.commands(), "it does not know its victim yet");
    assert_eq!(commands(&told[1]), said[1].commands()[1..]);
    assert_eq!(commands(&told[2]), commands(&told[1]), "there is no empty batch");
    assert!(told.iter().all(is_valid));

    let told = retold(&setup, "duplicate", &said);
    assert_eq!(told.iter().map(|told| commands(told).len()).collect::<Vec<_>>(), [1, 1 + 3, 4 + 1]);
    assert!(told.iter().all(is_valid));

    for attack in ["bad-signature", "huge", "twice"] {
        let told = retold(&setup, attack, &[three.clone(), one.clone()]);
        assert!(!told.iter().any(is_valid), "{attack} is valid");
    }
    let (told, body) = retold(&setup, "out-of-window", std::slice::from_ref(&one)).remove(0);
    assert!(told.slot.0 > 1 << 32 && body.is_some());
    let (told, body) = retold(&setup, "null-proposal", std::slice::from_ref(&one)).remove(0);
    assert!(told.digest == NULL_BATCH && told.slot == Slot(1) && body.is_none());
}

#[test]
fn one_victim_or_all_hear_the_other_story() {
    let setup = setup(4);
    for (attack, misled) in [("equivocate-one", vec![3]), ("censor", vec![1, 2, 3]), ("huge", vec![1, 2, 3])] {
        let mut io = adversary(&setup, 0, attack);
        propose(&mut io, 0, 1, &mixed(&setup, &[(0, 1)]));
        take(&mut io);
        let own = propose(&mut io, 0, 2, &mixed(&setup, &[(0, 2), (1, 1)]));
        let calls = take(&mut io);
        let hears_other = |peer: &u16| proposals(&heard(&setup, 0, *peer, &calls)) != [own];
        assert_eq!((1..4).filter(hears_other).collect::<Vec<_>>(), misled, "{attack}");
    }
}

#[test]
fn what_is_late_comes_with_the_ticks_in_order() {
    let setup = setup(4);
    let mut io = adversary(&setup, 0, "slow");
    propose(&mut io, 0, 1, &batch(&setup, 1));
    io.vote(prepare(1, 1));
    io.send(ReplicaId(2), status());
    let calls = take(&mut io);
    assert_eq!(counted(&setup, 0, &calls).len(), 2, "its own core is not late");
    assert_eq!(names(&heard(&setup, 0, 2, &calls)), ["prepare", "status"]);
    tick(&mut io);
    assert_eq!(names(&hears(&setup, 0, 2, &mut io)), [""; 0]);
    tick(&mut io);
    assert_eq!(names(&hears(&setup, 0, 2, &mut io)), ["pre-prepare", "batch"]);

    let mut io = adversary(&setup, 3, "late-votes");
    io.vote(prepare(0, 1));
    io.vote(Vote::Commit(commit(0, 1)));
    io.vote(Vote::Checkpoint(checkpoint(4)));
    assert_eq!(names(&hears(&setup, 3, 1, &mut io)), ["checkpoint"]);
    tick(&mut io);
    tick(&mut io);
    assert_eq!(names(&hears(&setup, 3, 1, &mut io)), [""; 0]);
    tick(&mut io);
    assert_eq!(names(&hears(&setup, 3, 1, &mut io)), ["prepare", "commit"]);

    let mut io = adversary(&setup, 3, "late");
    io.broadcast(status());
    io.send_batch(ReplicaId(1), Slot(1), DIGEST);
    io.send_decided(ReplicaId(1), Slot(1), Slot(2));
    assert_eq!(take(&mut io), []);
    for _ in 0..3 {
        tick(&mut io);
    }
    let calls: Vec<Call> = take(&mut io).into_iter().filter(|call| !matches!(call, Call::SetTimer(..))).collect();
    assert_eq!(calls.len(), 5);
    assert_eq!(calls[3], Call::SendBatch(ReplicaId(1), Slot(1), DIGEST));
    assert_eq!(calls[4], Call::SendDecided(ReplicaId(1), Slot(1), Slot(2)));
}

#[test]
fn a_skewed_clock_changes_how_long_timers_run_and_nothing_else() {
    let setup = setup(4);
    let timers = [Timer::Command(1), Timer::NewView(2), Timer::Status(3)];
    for (attack, due) in
        [("fast-clock", 50), ("slow-clock", 800), ("fast-clock@view=2..", 200), ("slow-clock@slot=1..", 200)]
    {
        let mut io = adversary(&setup, 3, attack);
        for timer in timers {
            io.set_timer(timer, 200);
        }
        assert_eq!(take(&mut io), timers.map(|timer| Call::SetTimer(timer, due)), "{attack}");
        io.vote(prepare(0, 1));
        io.broadcast(status());
        assert_eq!(take(&mut io), [Call::Vote(prepare(0, 1)), Call::Broadcast(status())], "{attack}");
    }
    let mut io = adversary(&setup, 3, "fast-clock");
    io.set_timer(Timer::Command(1), 1);
    assert_eq!(take(&mut io), [Call::SetTimer(Timer::Command(1), 1)], "the shortest there is");
    assert_eq!(io.strikes().map(Strikes::total).sum::<u64>(), 0, "nor is it a strike");

    // Those behind it get its ticks, one for each interval of its own.
    let plan = Plan::parse("fast-clock + late-votes").unwrap();
    plan.corrupt(&mut io, setup.signer(ReplicaId(3)), &setup.committee);
    io.vote(prepare(0, 1));
    take(&mut io);
    for votes in [0, 0, 1] {
        tick(&mut io);
        let calls = take(&mut io);
        assert_eq!(calls[0], Call::SetTimer(Timer::Status(0), 50));
        assert_eq!(heard(&setup, 3, 1, &calls).len(), votes);
    }
}

#[test]
fn bodies_stay_with_their_owner_or_go_to_few() {
    let setup = setup(4);
    for (attack, receivers) in [("bodiless", vec![]), ("bodiless-partly", vec![1])] {
        let mut io = adversary(&setup, 0, attack);
        propose(&mut io, 0, 1, &batch(&setup, 1));
        let calls = take(&mut io);
        for peer in 1..4 {
            let with = receivers.contains(&peer);
            let expected: &[&str] = if with { &["pre-prepare", "batch"] } else { &["pre-prepare"] };
            assert_eq!(names(&heard(&setup, 0, peer, &calls)), expected, "{attack} r{peer}");
            io.send(ReplicaId(peer), Message::Batch { slot: Slot(1), batch: batch(&setup, 1) });
            io.send_batch(ReplicaId(peer), Slot(1), DIGEST);
            io.send_decided(ReplicaId(peer), Slot(1), Slot(1));
            assert_eq!(take(&mut io).len(), if with { 3 } else { 0 }, "{attack} r{peer}");
        }
    }
}

#[test]
fn the_same_few_are_in_the_dark_whoever_keeps_them_there() {
    let setup = setup(7);
    for (id, victims) in [(0, [5, 6]), (3, [5, 6]), (5, [4, 6])] {
        let mut io = adversary(&setup, id, "dark");
        io.vote(Vote::Commit(commit(0, 1)));
        io.broadcast(status());
        let calls = take(&mut io);
        assert_eq!(counted(&setup, id, &calls).len(), 1);
        let left_out: Vec<u16> =
            (0..7).filter(|peer| *peer != id && heard(&setup, id, *peer, &calls).is_empty()).collect();
        assert_eq!(left_out, victims);
    }
    let mut io = adversary(&setup, 0, "dark-then-mute");
    let window = setup.committee.parameters().window;
    for slot in [3, 2 + window] {
        io.vote(Vote::Commit(commit(0, slot)));
        assert_eq!(names(&hears(&setup, 0, 1, &mut io)), ["commit"]);
    }
    io.vote(Vote::Commit(commit(0, 3 + window)));
    io.broadcast(status());
    io.send_batch(ReplicaId(1), Slot(1), DIGEST);
    let calls = take(&mut io);
    assert_eq!(counted(&setup, 0, &calls).len(), 1, "its own core goes on");
    assert_eq!(calls.len(), 1, "and nobody hears anything");
}

#[test]
fn a_crashed_one_is_silent_for_ever_and_an_omitting_one_by_halves() {
    let setup = setup(4);
    let mut io = adversary(&setup, 3, "crash@slot=5..6");
    for (slot, expected) in [(4, 1), (5, 0), (6, 0), (4, 0)] {
        io.vote(prepare(0, slot));
        assert_eq!(hears(&setup, 3, 0, &mut io).len(), expected, "slot {slot}");
    }
    let mut io = adversary(&setup, 3, "omit");
    for slot in 1..=200 {
        io.vote(prepare(0, slot));
        io.send(ReplicaId(0), status());
    }
    let calls = take(&mut io);
    assert_eq!(counted(&setup, 3, &calls).len(), 200);
    for peer in 0..3 {
        let heard = heard(&setup, 3, peer, &calls).len();
        let said = if peer == 0 { 400 } else { 200 };
        assert!((said * 4 / 10..said * 6 / 10).contains(&heard), "r{peer} hears {heard} of {said}");
    }
}

/// All of it is signed, so all of it must be consistent: for one kind and place always the same.
#[test]
fn one_who_speaks_of_the_far_future_never_contradicts_itself() {
    let setup = setup(4);
    let mut io = adversary(&setup, 1, "far-future");
    let mut said: BTreeMap<(&str, View, Slot), Digest> = BTreeMap::new();
    let mut beyond = 0;
    for view in 0..6 {
        for slot in 1..6 {
            io.vote(Vote::Commit(commit(view, slot)));
            if view % 4 != 1 {
                io.vote(prepare(view, slot));
            }
            for message in hears(&setup, 1, 0, &mut io) {
                let (view, slot, digest) = match &message {
                    Message::PrePrepare(vote) => (vote.statement.view, vote.statement.slot, vote.statement.digest),
                    Message::Prepare(vote) => (vote.statement.view, vote.statement.slot, vote.statement.digest),
                    Message::Commit(vote) => (vote.statement.view, vote.statement.slot, vote.statement.digest),
                    Message::Checkpoint(vote) => (View(0), vote.statement.slot, vote.statement.state),
                    _ => continue,
                };
                beyond += u64::from(view.0 > 1 << 32 || slot.0 > 1 << 32);
                assert_eq!(*said.entry((message.name(), view, slot)).or_insert(digest), digest);
                assert!(matches!(message.verify(&setup.committee), Ok(delivery) if !is_invalid(&delivery)));
            }
        }
    }
    assert!(beyond > 200, "{beyond} votes are far away");
}

fn is_invalid(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Invalid(_))
}

#[test]
fn a_forger_proves_nothing_to_anybody() {
    let setup = setup(4);
    for view in [0, 3] {
        let mut io = adversary(&setup, 3, "forge");
        io.vote(Vote::Commit(commit(view, 1)));
        let calls = take(&mut io);
        let messages = heard(&setup, 3, 1, &calls);
        let (own, forged) = messages.split_first().unwrap();
        assert!(own.clone().verify(&setup.committee).is_ok(), "beside the truth");
        let kinds: BTreeSet<_> = forged.iter().map(Message::name).collect();
        assert!(kinds.len() >= 7, "{kinds:?}");
        for message in forged {
            assert!(message.clone().verify(&setup.committee).is_err(), "{message:?} proves itself");
        }
    }
}

#[test]
fn a_replayer_repeats_what_others_signed() {
    let setup = setup(4);
    let mut io = adversary(&setup, 3, "replay");
    io.persist(vec![Record::Prepared(prepared(&setup, 0, 1))], Token(1));
    io.execute(decided(&setup, 1, &batch(&setup, 1)));
    let mut replayed = BTreeMap::new();
    for slot in 2..6 {
        take(&mut io);
        io.vote(Vote::Commit(commit(0, slot)));
        let calls = take(&mut io);
        let messages = heard(&setup, 3, 1, &calls);
        assert!(messages.len() <= 1 + crate::adversary::replayer::BURST, "a storm is bounded");
        for message in messages.into_iter().skip(1) {
            *replayed.entry(message.name()).or_insert(0) += 1;
            assert!(message.verify(&setup.committee).is_ok(), "what is replayed was really said");
        }
    }
    assert!(["prepare", "commit", "committed"].iter().all(|kind| replayed.contains_key(kind)), "{replayed:?}");
}

/// By all but its signature each contradicts what its signer says here.
#[test]
fn what_is_signed_for_another_chain_is_refused_by_its_signature() {
    let setup = setup(4);
    let proposal = PrePrepare { view: View(1), slot: Slot(1), digest: DIGEST };
    let draft = NewViewDraft { view: View(1), view_changes: Vec::new(), order: Vec::new() };
    for vote in [
        Vote::PrePrepare(proposal),
        prepare(2, 1),
        Vote::Commit(commit(1, 1)),
        Vote::Checkpoint(checkpoint(4)),
        Vote::ViewChange(Box::new(view_change(2, vec![prepared(&setup, 0, 1)]))),
        Vote::NewView(Box::new(draft)),
    ] {
        let mut io = adversary(&setup, 1, "other-chain");
        io.vote(vote);
        let calls = take(&mut io);
        assert_eq!(counted(&setup, 1, &calls).len(), 1, "its own core hears of its own chain alone");
        for peer in [0, 2, 3] {
            let [own, foreign] = &heard(&setup, 1, peer, &calls)[..] else { panic!("two votes") };
            assert_eq!((own.name(), own.place()), (foreign.name(), foreign.place()));
            assert_ne!(own, foreign);
            let verdict = foreign.clone().verify(&setup.committee);
            assert!(matches!(verdict, Err(VerifyError::BadSignature)), "{}: {verdict:?}", foreign.name());
        }
    }
}

#[test]
fn a_storm_asks_for_ever_higher_views() {
    let setup = setup(4);
    let mut io = adversary(&setup, 3, "view-storm");
    let mut views = Vec::new();
    for slot in 1..4 {
        io.vote(Vote::Commit(commit(0, slot)));
        tick(&mut io);
        for message in hears(&setup, 3, 1, &mut io) {
            if let Message::ViewChange(signed) = message {
                assert!(signed.check(&setup.committee).is_ok());
                views.push(signed.statement.view);
            }
        }
    }
    assert_eq!(views.len(), 3 * 2 * 4);
    assert!(views.is_sorted_by(|a, b| a < b), "{views:?}");
    // A view that its core may come to it would ask for twice, and otherwise.
    assert!(views[0].0 >= 1 << 32, "{views:?}");
}

#[test]
fn a_lying_view_change_hides_or_invents() {
    let setup = setup(4);
    let truth = view_change(1, vec![prepared(&setup, 0, 1), prepared(&setup, 0, 2)]);
    for (attack, valid) in [
        ("hide-prepared", &[true][..]),
        ("hide-all", &[true]),
        ("false-prepared", &[false]),
        ("false-stable", &[false]),
        ("huge-max", &[false]),
        ("two-view-changes", &[true, true]),
    ] {
        let mut io = adversary(&setup, 3, attack);
        io.vote(Vote::ViewChange(Box::new(truth.clone())));
        let calls = take(&mut io);
        let own = counted(&setup, 3, &calls);
        assert!(matches!(&own[..], [Delivery::ViewChange(vote)] if vote.statement == truth), "{attack}");
        for peer in 0..3 {
            let first = heard(&setup, 3, peer, &calls);
            io.send(
                ReplicaId(peer),
                Message::ViewChange(Box::new(setup.signer(ReplicaId(3)).sign(truth.clone()).into_inner())),
            );
            assert_eq!(hears(&setup, 3, peer, &mut io), first, "{attack}: the same again");
            let claims: Vec<ViewChange> = first
                .iter()
                .map(|message| match message {
                    Message::ViewChange(signed) => signed.statement.clone(),
                    other => panic!("{}", other.name()),
                })
                .collect();
            assert!(claims.iter().filter(|claim| **claim == truth).count() == valid.len() - 1, "{attack}");
            let verdicts: Vec<bool> = first
                .into_iter()
                .map(|message| match message.verify(&setup.committee).unwrap() {
                    Delivery::ViewChange(_) => true,
                    Delivery::Invalid(evidence) => {
                        assert_eq!(evidence.accused(), ReplicaId(3));
                        false
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(verdicts, valid, "{attack}");
        }
    }
}

/// Were its checkpoint's signatures those of a quorum, so would the rest be right.
#[test]
fn a_false_stable_checkpoint_is_wrong_by_its_signatures_alone() {
    let setup = setup(4);
    let mut io = adversary(&setup, 3, "false-stable");
    let truth = view_change(1, vec![prepared(&setup, 0, 2), prepared(&setup, 0, 5)]);
    io.vote(Vote::ViewChange(Box::new(truth.clone())));
    let Some(Message::ViewChange(said)) = hears(&setup, 3, 0, &mut io).pop() else { panic!("a view change") };
    let mut claim = said.statement;
    let stable = claim.stable.take().unwrap();
    assert_eq!((stable.statement.slot, &claim.prepared[..]), (Slot(4), &truth.prepared[1..]));
    assert_eq!(stable.check(&setup.committee), Err(VerifyError::BadSignature));
    let voters = setup.committee.quorums().replicas();
    let votes = voters.map(|id| (id, setup.signer(id).sign(stable.statement).signature));
    claim.stable = Some(QuorumCertificate::from_votes(stable.statement, votes, setup.committee.quorums()).unwrap());
    setup.signer(ReplicaId(3)).sign(claim).check(&setup.committee).unwrap();
}

#[test]
fn a_lying_new_view_is_wrong_or_chosen_or_double() {
    let setup = setup(4);
    // Only the new primary, r1, has prepared slot 2.
    let view_changes: Vec<_> =
        [vec![prepared(&setup, 0, 1)], vec![prepared(&setup, 0, 1), prepared(&setup, 0, 2)], vec![]]
            .into_iter()
            .zip(0..)
            .map(|(prepared, id)| setup.signer(ReplicaId(id)).sign(view_change(1, prepared)).into_inner())
            .collect();
    let implied = new_view_order(view_changes.iter().map(|signed| &signed.statement), 8).unwrap();
    let order: Vec<_> =
        implied.slots.iter().map(|(slot, digest)| PrePrepare { view: View(1), slot: *slot, digest: *digest }).collect();
    assert_eq!(order.len(), 2);
    let truth = NewViewDraft { view: View(1), view_changes, order };
    for (attack, expected) in [
        ("drop-slot", &[(false, 1)][..]),
        ("null-slot", &[(false, 2)]),
        ("chosen-view-changes", &[(true, 1)]),
        ("two-new-views", &[(true, 1), (true, 2)]),
    ] {
        let mut io = adversary(&setup, 1, attack);
        io.vote(Vote::NewView(Box::new(truth.clone())));
        let calls = take(&mut io);
        assert!(
            matches!(&counted(&setup, 1, &calls)[..], [Delivery::NewView(own)] if own.statement.pre_prepares.len() == 2)
        );
        for peer in [0, 2, 3] {
            let mut verdicts = Vec::new();
            for message in heard(&setup, 1, peer, &calls) {
                let Message::NewView(signed) = message.clone() else { panic!("{}", message.name()) };
                let valid = matches!(message.verify(&setup.committee), Ok(Delivery::NewView(_)));
                verdicts.push((valid, signed.statement.pre_prepares.len()));
            }
            verdicts.sort_unstable();
            assert_eq!(verdicts, expected, "{attack}");
        }
    }
    // What it quotes of itself it has said before.
    let mut io = adversary(&setup, 1, "chosen-view-changes");
    io.vote(Vote::ViewChange(Box::new(truth.view_changes[1].statement.clone())));
    let [Message::ViewChange(said)] = &hears(&setup, 1, 0, &mut io)[..] else { panic!("one view change") };
    io.vote(Vote::NewView(Box::new(truth)));
    let [Message::NewView(quoting)] = &hears(&setup, 1, 0, &mut io)[..] else { panic!("one new view") };
    assert_eq!(quoting.statement.view_changes[1], **said);
}

#[test]
fn a_false_checkpoint_goes_to_all_or_some_or_beside_the_true_one() {
    let setup = setup(4);
    let truth = checkpoint(4);
    for (attack, lies) in
        [("wrong-checkpoint", [1, 1, 1]), ("split-checkpoint", [0, 1, 1]), ("two-checkpoints", [1, 1, 1])]
    {
        let mut io = adversary(&setup, 3, attack);
        io.vote(Vote::Checkpoint(truth));
        let calls = take(&mut io);
        assert_eq!(counted(&setup, 3, &calls).len(), 1);
        for (peer, lies) in (0..3).zip(lies) {
            let first = heard(&setup, 3, peer, &calls);
            let told = |message: &Message| matches!(message, Message::Checkpoint(signed) if signed.statement != truth);
            assert_eq!(first.iter().filter(|message| told(message)).count(), lies, "{attack} r{peer}");
            let truths = if attack == "two-checkpoints" { 1 } else { 1 - lies };
            assert_eq!(first.len(), lies + truths, "{attack} r{peer}");
            io.send(ReplicaId(peer), Message::Checkpoint(setup.signer(ReplicaId(3)).sign(truth).into_inner()));
            assert_eq!(hears(&setup, 3, peer, &mut io), first, "{attack} r{peer}: the same again");
        }
    }
}

#[test]
fn a_bad_source_never_gives_what_it_was_asked_for() {
    let setup = setup(4);
    let all: Vec<Arc<Batch>> = (1..=6).map(|count| batch(&setup, count)).collect();
    for attack in ["wrong-answers", "no-answers", "false-pruned", "stale-answers"] {
        let mut io = adversary(&setup, 3, attack);
        for (slot, body) in (1..).zip(&all) {
            io.execute(decided(&setup, slot, body));
        }
        take(&mut io);
        io.send(ReplicaId(1), Message::Batch { slot: Slot(5), batch: all[4].clone() });
        io.send_batch(ReplicaId(1), Slot(5), *all[4].digest());
        io.send_decided(ReplicaId(1), Slot(2), Slot(3));
        let calls = take(&mut io);
        assert!(!calls.iter().any(|call| matches!(call, Call::SendBatch(..) | Call::SendDecided(..))), "{attack}");
        let answers = heard(&setup, 3, 1, &calls);
        assert!(!bodies(&answers).contains(&all[4]), "{attack}");
        let asked = |message: &Message| {
            matches!(message, Message::Decided { certificate, batch }
                if (2..=3).contains(&certificate.statement.slot.0)
                    && batch.as_ref().is_some_and(|batch| *batch.digest() == certificate.statement.digest))
        };
        // The last few are remembered, slot 3 among them: it may say that, but not only that, nor first.
        assert!(answers.first().is_some_and(|first| !asked(first)), "{attack}: {:?}", names(&answers));
        io.broadcast(status());
        let Some(Message::Status(said)) = hears(&setup, 3, 1, &mut io).pop() else { panic!("{attack}: a status") };
        assert_eq!(said.executed, Slot(if attack == "stale-answers" { 0 } else { 5 }), "{attack}");
        tick(&mut io);
        let expected: &[&str] = match attack {
            "no-answers" => &["committed"],
            "false-pruned" => &["pruned"],
            _ => &[],
        };
        assert_eq!(names(&hears(&setup, 3, 1, &mut io)), expected, "{attack}");
    }
}

/// Primary and accomplice, without a word between them, tell each honest backup one story.
#[test]
fn colluders_tell_each_half_what_it_wants_to_hear() {
    let setup = setup(7);
    for count in [1, 3] {
        for slot in [1, 2] {
            let body = batch(&setup, count);
            let mut primary = adversary(&setup, 0, "collude");
            propose(&mut primary, 0, slot, &body);
            let told = take(&mut primary);
            let mut stories = BTreeSet::new();
            for accomplice in 1..7 {
                let mine = heard(&setup, 0, accomplice, &told);
                let (proposal, body) = (proposals(&mine)[0], bodies(&mine).remove(0));
                let mut io = adversary(&setup, accomplice, "collude");
                let signed = setup.signer(ReplicaId(0)).sign(proposal).into_inner();
                let records = vec![Record::Batch { slot: Slot(slot), batch: body }, Record::Accepted(signed)];
                io.persist(records, Token(1));
                io.vote(Vote::Prepare(proposal.prepare()));
                io.vote(Vote::Commit(proposal.commit()));
                let calls = take(&mut io);
                assert_eq!(counted(&setup, accomplice, &calls).len(), 2);
                for peer in (1..7).filter(|peer| *peer != accomplice) {
                    let story = proposals(&heard(&setup, 0, peer, &told))[0];
                    stories.insert(story.digest);
                    let votes = heard(&setup, accomplice, peer, &calls);
                    assert!(
                        matches!(&votes[..], [Message::Prepare(first), Message::Commit(second)]
                            if first.statement == story.prepare() && second.statement == story.commit()),
                        "r{accomplice} tells r{peer} {votes:?}"
                    );
                }
            }
            assert_eq!(stories.len(), 2);
        }
    }
}

#[test]
fn an_amnesiac_votes_anew_where_it_has_voted() {
    let setup = setup(4);
    let mut io = adversary(&setup, 3, "amnesia");
    io.vote(prepare(0, 1));
    io.vote(Vote::Commit(commit(0, 1)));
    assert_eq!(hears(&setup, 3, 0, &mut io).len(), 2, "the first time it tells the truth");
    io.vote(prepare(0, 2));
    let votes: Vec<Prepare> = hears(&setup, 3, 0, &mut io)
        .into_iter()
        .map(|message| match message {
            Message::Prepare(signed) => signed.statement,
            other => panic!("{}", other.name()),
        })
        .collect();
    assert_eq!(votes.iter().map(|vote| vote.slot.0).collect::<Vec<_>>(), [2, 1]);
    assert!(votes[0].digest == DIGEST && votes[1].digest != DIGEST);
}

fn own(setup: &Setup, id: u16, proposal: PrePrepare) -> Message {
    Message::PrePrepare(setup.signer(ReplicaId(id)).sign(proposal).into_inner())
}

#[test]
fn a_preparing_primary_votes_twice_and_nobody_believes_it() {
    let setup = setup(4);
    let mut io = adversary(&setup, 1, "prepare-own@slot=5..7");
    let proposal = propose(&mut io, 1, 5, &batch(&setup, 1));
    let calls = take(&mut io);
    assert_eq!(counted(&setup, 1, &calls).len(), 1, "its own core counts the pre-prepare");
    for peer in [0, 2, 3] {
        let mut messages = heard(&setup, 1, peer, &calls);
        assert_eq!(names(&messages), ["pre-prepare", "prepare", "batch"]);
        let Message::Prepare(second) = &messages[1] else { panic!("a PREPARE") };
        assert_eq!(second.statement, proposal.prepare());
        second.check_signature(&setup.committee).unwrap();
        assert!(messages.remove(1).verify(&setup.committee).is_err(), "one replica counts once");
    }
    let order = (4..8).map(|slot| PrePrepare { view: View(5), slot: Slot(slot), digest: DIGEST }).collect();
    io.vote(Vote::NewView(Box::new(NewViewDraft { view: View(5), view_changes: Vec::new(), order })));
    assert_eq!(names(&hears(&setup, 1, 0, &mut io)), ["new-view", "prepare", "prepare"]);
    io.vote(prepare(0, 5));
    io.vote(Vote::Commit(commit(1, 5)));
    assert_eq!(names(&hears(&setup, 1, 0, &mut io)), ["prepare", "commit"], "elsewhere it is honest");
}

/// In each slot another batch than its NEW-VIEW has: one it knows for the slot, the null batch, or the last that it knows.
#[test]
fn a_preempting_primary_is_ahead_of_its_true_new_view() {
    let setup = setup(4);
    let prepared = |slot| prepared(&setup, 0, slot);
    let view_changes: Vec<_> = [vec![prepared(1), prepared(2), prepared(4)], vec![], vec![]]
        .into_iter()
        .zip(0..)
        .map(|(prepared, id)| setup.signer(ReplicaId(id)).sign(view_change(1, prepared)).into_inner())
        .collect();
    let implied = new_view_order(view_changes.iter().map(|signed| &signed.statement), 8).unwrap();
    let due = |(slot, digest): &(Slot, Digest)| PrePrepare { view: View(1), slot: *slot, digest: *digest };
    let order: Vec<_> = implied.slots.iter().map(due).collect();
    let truth = NewViewDraft { view: View(1), view_changes, order: order.clone() };
    let (one, last) = (batch(&setup, 1), batch(&setup, 2));

    let mut io = adversary(&setup, 1, "pre-empt");
    let body = |slot, batch: &Arc<Batch>| Record::Batch { slot: Slot(slot), batch: batch.clone() };
    io.persist(vec![body(1, &one), body(4, &last)], Token(1));
    take(&mut io);
    io.vote(Vote::NewView(Box::new(truth)));
    let mut calls = take(&mut io);
    assert!(matches!(&counted(&setup, 1, &calls)[..], [Delivery::NewView(_)]), "its own core hears the truth alone");
    assert_eq!(names(&heard(&setup, 1, 0, &calls)), ["pre-prepare"; 4], "and at once");
    tick(&mut io);
    tick(&mut io);
    calls.extend(take(&mut io));
    for peer in [0, 2, 3] {
        let messages = heard(&setup, 1, peer, &calls);
        let mut expected = vec!["pre-prepare"; 4];
        expected.extend(["new-view", "batch", "batch", "batch"]);
        assert_eq!(names(&messages), expected);
        let told = proposals(&messages);
        let digests: Vec<_> = told.iter().map(|told| told.digest).collect();
        // Slot 2 is prepared and no other body of it is known, slot 3 is null.
        assert_eq!(digests, [*one.digest(), NULL_BATCH, *last.digest(), *last.digest()]);
        assert!(told.iter().zip(&order).all(|(told, due)| (told.view, told.slot) == (due.view, due.slot)));
        let new_view = messages[4].clone();
        for message in messages.clone() {
            assert!(!is_invalid(&message.verify(&setup.committee).unwrap()), "each by itself is valid");
        }
        io.send(ReplicaId(peer), new_view);
        assert_eq!(hears(&setup, 1, peer, &mut io), messages, "the same again");
    }
}

#[test]
fn a_recanting_primary_tells_another_story_to_those_who_come_back() {
    let setup = setup(4);
    let body = batch(&setup, 3);
    let mut io = adversary(&setup, 0, "recant@slot=1..3");
    let (first, third) = (propose(&mut io, 0, 1, &body), propose(&mut io, 0, 3, &body));
    let calls = take(&mut io);
    for peer in 1..4 {
        assert_eq!(proposals(&heard(&setup, 0, peer, &calls)), [first, third]);
    }
    io.send(ReplicaId(2), own(&setup, 0, first));
    assert_eq!(hears(&setup, 0, 2, &mut io), [own(&setup, 0, first)], "it was there all the time");
    for (proposal, heard) in [(first, 0), (third, 1)] {
        io.vote(Vote::Commit(proposal.commit()));
        let calls = take(&mut io);
        assert_eq!((counted(&setup, 0, &calls).len(), super::recorder::heard(&setup, 0, 2, &calls).len()), (1, heard));
        io.send(ReplicaId(2), Message::Commit(setup.signer(ReplicaId(0)).sign(proposal.commit()).into_inner()));
        assert_eq!(hears(&setup, 0, 2, &mut io).len(), heard, "nor when it is asked for");
    }
    io.send(ReplicaId(2), status());
    take(&mut io);
    for _ in 0..2 {
        io.send(ReplicaId(2), own(&setup, 0, first));
        let again = hears(&setup, 0, 2, &mut io);
        let (told, other) = (proposals(&again)[0], bodies(&again).remove(0));
        assert_eq!(PrePrepare { digest: first.digest, ..told }, first);
        assert!(told.digest == *other.digest() && told.digest != first.digest);
        assert!(other.check(&setup.committee).is_ok());
    }
    for honest in [own(&setup, 0, third), status(), own(&setup, 0, PrePrepare { view: View(4), ..first })] {
        io.send(ReplicaId(2), honest.clone());
        assert_eq!(hears(&setup, 0, 2, &mut io), [honest], "what it has no other story for");
    }
    let later = propose(&mut io, 0, 2, &body);
    take(&mut io);
    io.send(ReplicaId(2), own(&setup, 0, later));
    assert_eq!(hears(&setup, 0, 2, &mut io), [own(&setup, 0, later)], "proposed since it is there");
    let mut restarted = adversary(&setup, 0, "recant");
    restarted.send(ReplicaId(2), status());
    restarted.send(ReplicaId(2), own(&setup, 0, first));
    assert_eq!(hears(&setup, 0, 2, &mut restarted)[1..], [own(&setup, 0, first)]);
}
