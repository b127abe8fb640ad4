//! An adversary that does not strike is an honest replica, call for call.

use super::recorder::{Call, Recorder, adversary, batch, propose, setup};
use crate::adversary::{ATTACKS, Adversary, Told};
use crate::cluster::Setup;
use varangian_consensus::{
    Alarm, Checkpoint, Commit, Conflict, Delivery, Evidence, Execution, Message, NewView, NewViewDraft, PrePrepare,
    Prepare, Record, Slot, Status, Timer, View, ViewChange, Vote,
};
use varangian_crypto::{Bounded, Digest, QuorumCertificate, ReplicaId, Signed, Statement};
use varangian_runner::{Io, Token};

const OWN: u16 = 1;

fn sign<S: Statement>(setup: &Setup, signer: u16, statement: S) -> Signed<S> {
    setup.signer(ReplicaId(signer)).sign(statement).into_inner()
}

fn votes(view: u64, slot: u64) -> Vec<Vote> {
    let (view, slot, digest) = (View(view), Slot(slot), Digest::from_bytes([7; 32]));
    vec![
        Vote::PrePrepare(PrePrepare { view, slot, digest }),
        Vote::Prepare(Prepare { view, slot, digest }),
        Vote::Commit(Commit { view, slot, digest }),
        Vote::Checkpoint(Checkpoint { slot, history: digest, state: digest }),
        Vote::ViewChange(Box::new(ViewChange { view, stable: None, prepared: Bounded::new() })),
        Vote::NewView(Box::new(NewViewDraft { view, view_changes: Vec::new(), order: Vec::new() })),
    ]
}

/// Every message there is, the signed ones once by this replica and once by another.
fn messages(setup: &Setup, view: u64) -> Vec<Message> {
    let (view, slot, digest) = (View(view), Slot(5), Digest::from_bytes([7; 32]));
    let commit = Commit { view, slot, digest };
    let checkpoint = Checkpoint { slot: Slot(4), history: digest, state: digest };
    let decided = QuorumCertificate { statement: commit, signatures: Bounded::new() };
    let status = Status {
        view,
        active: true,
        stable: Slot(0),
        executed: Slot(0),
        slots: Bounded::new(),
        view_changes: Bounded::new(),
    };
    let batch = batch(setup, 2);
    let mut all = vec![
        Message::Committed(decided.clone()),
        Message::Stable(QuorumCertificate { statement: checkpoint, signatures: Bounded::new() }),
        Message::Status(status),
        Message::FetchBatch { slot, digest },
        Message::FetchDecided { from: slot, to: slot },
        Message::Pruned { oldest: slot },
        Message::Command(setup.command(0, 1, &["x"])),
        Message::Batch { slot, batch: batch.clone() },
        Message::Decided { certificate: decided, batch: Some(batch) },
    ];
    for signer in [OWN, 2] {
        let view_change = ViewChange { view, stable: None, prepared: Bounded::new() };
        let new_view = NewView { view, view_changes: Bounded::new(), pre_prepares: Bounded::new() };
        all.extend([
            Message::PrePrepare(sign(setup, signer, PrePrepare { view, slot, digest })),
            Message::Prepare(sign(setup, signer, Prepare { view, slot, digest })),
            Message::Commit(sign(setup, signer, commit)),
            Message::Checkpoint(sign(setup, signer, checkpoint)),
            Message::ViewChange(Box::new(sign(setup, signer, view_change))),
            Message::NewView(Box::new(sign(setup, signer, new_view))),
        ]);
    }
    all
}

fn evidence(setup: &Setup) -> Evidence {
    let vote = |slot| sign(setup, 2, Commit { view: View(0), slot: Slot(slot), digest: Digest::ZERO });
    Evidence::Commits(Conflict { first: vote(1), second: vote(2) })
}

/// Everything that a runner can ask for, in a view that this replica leads and in one that it does not.
fn everything(setup: &Setup, io: &mut impl Io) {
    let (slot, digest) = (Slot(5), Digest::from_bytes([7; 32]));
    for view in [0, 1] {
        propose(io, view, 5, &batch(setup, 2));
        propose(io, view, 6, &batch(setup, 1));
        for vote in votes(view, 5).into_iter().chain(votes(view, 6)) {
            io.vote(vote);
        }
        for message in messages(setup, view) {
            io.broadcast(message.clone());
            for to in [0, 2, 3] {
                io.send(ReplicaId(to), message.clone());
            }
        }
    }
    let certificate =
        QuorumCertificate { statement: Commit { view: View(0), slot, digest }, signatures: Bounded::new() };
    io.persist(vec![Record::Evidence(evidence(setup))], Token(9));
    io.deliver(Delivery::FetchBatch { slot, digest });
    io.send_batch(ReplicaId(2), slot, digest);
    io.send_batch(ReplicaId(OWN), slot, digest);
    io.send_decided(ReplicaId(2), slot, slot);
    let (verdicts, windows) = (Vec::new(), Vec::new());
    io.execute(Execution { slot, certificate, batch: None, verdicts, windows, history: digest, checkpoint: true });
    io.reply(setup.command(0, 1, &["x"]).identity());
    io.set_timer(Timer::Command(1), 10);
    io.set_timer(Timer::Status(2), 10);
    io.accuse(evidence(setup));
    io.alarm(Alarm::ForeignVote { slot, view: View(0) });
}

/// What clients are told of their commands and of the replica, at the places of [`everything`].
fn told(setup: &Setup, io: &mut Adversary<Recorder>) -> Vec<(Told, usize, bool, bool)> {
    let body = [Record::Batch { slot: Slot(5), batch: batch(setup, 2) }];
    let mut at =
        |view| (io.answer(view, Slot(5)), io.answer_early(view, &body).len(), io.boasts(view), io.hears_clients(view));
    [View(0), View(1)].map(&mut at).into()
}

#[test]
fn an_adversary_that_does_not_strike_is_honest_call_for_call() {
    let setup = setup(4);
    let mut honest = Recorder::default();
    everything(&setup, &mut honest);
    assert!(honest.calls.len() > 150, "{} calls", honest.calls.len());

    let mut uncorrupted = Adversary::honest(Recorder::default());
    everything(&setup, &mut uncorrupted);
    assert_eq!(uncorrupted.inner().calls, honest.calls);
    let truth = told(&setup, &mut uncorrupted);
    assert_eq!(truth, [(Told::Truth, 0, false, true); 2]);

    for kind in &ATTACKS {
        for trigger in ["never", "view=90..", "slot=90..", "p=0,seed=1"] {
            let mut io = adversary(&setup, OWN, &format!("{}@{trigger}", kind.name));
            everything(&setup, &mut io);
            assert!(io.inner().calls == honest.calls, "{}@{trigger} is not honest", kind.name);
            assert_eq!(told(&setup, &mut io), truth, "{}@{trigger}", kind.name);
        }
        let mut io = adversary(&setup, OWN, kind.name);
        everything(&setup, &mut io);
        let differs = io.inner().calls != honest.calls || told(&setup, &mut io) != truth;
        assert!(differs, "{} does nothing", kind.name);
    }
}

/// What an adversary does not say it still counts: the core inside gets every vote that it cast, and each only once.
#[test]
fn the_core_inside_counts_its_own_votes_as_an_honest_one_does() {
    let setup = setup(4);
    let mut honest = Recorder::default();
    everything(&setup, &mut honest);
    for kind in &ATTACKS {
        let mut io = adversary(&setup, OWN, kind.name);
        everything(&setup, &mut io);
        // A body that its peers were told and it was not, it may get beside them.
        let counted = |calls: &[_]| -> Vec<Delivery> {
            let all = super::recorder::counted(&setup, OWN, calls);
            all.into_iter().filter(|delivery| !matches!(delivery, Delivery::Batch { .. })).collect()
        };
        assert!(counted(&io.inner().calls) == counted(&honest.calls), "{} keeps votes from its own core", kind.name);
        // Whose clock runs wrong sets its timers otherwise, and that is all.
        let skewed = kind.rows == [21];
        let is_kept = |call: &&Call| is_inside(call) && !(skewed && matches!(call, Call::SetTimer(..)));
        let kept: Vec<_> = io.inner().calls.iter().filter(is_kept).cloned().collect();
        let due: Vec<_> = honest.calls.iter().filter(is_kept).cloned().collect();
        assert!(kept == due, "{} changes what does not leave the replica", kind.name);
    }
}

const fn is_inside(call: &Call) -> bool {
    match call {
        Call::Vote(_) | Call::Deliver(_) | Call::Broadcast(_) | Call::Send(..) | Call::SendDecided(..) => false,
        Call::SendBatch(to, ..) => to.0 == OWN,
        Call::Persist(..)
        | Call::Execute(_)
        | Call::Reply(_)
        | Call::SetTimer(..)
        | Call::Accuse(_)
        | Call::Alarm(_) => true,
    }
}
