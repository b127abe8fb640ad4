//! What counts as a strike: what peers get otherwise than from an honest replica.

use super::recorder::{adversary, batch, propose, setup};
use crate::adversary::ATTACKS;
use crate::cluster::Setup;
use varangian_consensus::{Checkpoint, Commit, Message, NewViewDraft, Prepare, Slot, Timer, View, ViewChange, Vote};
use varangian_crypto::{Bounded, Digest, ReplicaId};
use varangian_runner::Io;

const DIGEST: Digest = Digest::from_bytes([7; 32]);

/// Everything that a core says, in view 1 and slot 5, by its primary r1.
fn speak<I: Io>(io: &mut I, setup: &Setup) {
    propose(io, 1, 5, &batch(setup, 2));
    let commit = Commit { view: View(1), slot: Slot(5), digest: DIGEST };
    io.vote(Vote::Prepare(Prepare { view: View(1), slot: Slot(5), digest: DIGEST }));
    io.vote(Vote::Commit(commit));
    io.vote(Vote::Checkpoint(Checkpoint { slot: Slot(128), history: DIGEST, state: DIGEST }));
    io.vote(Vote::ViewChange(Box::new(ViewChange { view: View(5), stable: None, prepared: Bounded::new() })));
    io.vote(Vote::NewView(Box::new(NewViewDraft { view: View(5), view_changes: Vec::new(), order: Vec::new() })));
    io.send(ReplicaId(2), Message::Commit(setup.signer(ReplicaId(1)).sign(commit).into_inner()));
    io.send_batch(ReplicaId(3), Slot(5), DIGEST);
    io.send_decided(ReplicaId(3), Slot(1), Slot(5));
    io.set_timer(Timer::Status(1), 50);
}

#[test]
fn nothing_strikes_where_its_trigger_does_not() {
    let setup = setup(4);
    for kind in &ATTACKS {
        for trigger in ["never", "view=9..", "slot=1000.."] {
            let mut io = adversary(&setup, 1, &format!("{}@{trigger}", kind.name));
            io.set_timer(Timer::Status(1), 50);
            propose(&mut io, 1, 5, &batch(&setup, 2));
            io.send_batch(ReplicaId(3), Slot(5), DIGEST);
            let strikes: u64 = io.strikes().map(super::super::Strikes::total).sum();
            assert_eq!(strikes, 0, "{}@{trigger}: {:?}", kind.name, io.strikes().collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_is_kept_back_changed_or_added_is_a_strike() {
    let setup = setup(4);
    for (attack, struck) in [
        ("silent", &["pre-prepare", "commit", "new-view"][..]),
        ("withhold", &["prepare", "commit"]),
        ("withhold-partly", &["prepare", "commit"]),
        ("double-vote", &["prepare", "commit"]),
        ("other-chain", &["pre-prepare", "prepare", "commit", "checkpoint", "view-change", "new-view"]),
        ("wrong-checkpoint", &["checkpoint"]),
        ("split-checkpoint", &["checkpoint"]),
        ("false-prepared", &["view-change"]),
        ("false-stable", &["view-change"]),
        ("wrong-answers", &["batch", "decided"]),
        ("false-pruned", &["batch", "decided", "tick"]),
        ("fast-clock", &["timer"]),
        ("slow-clock", &["timer"]),
        ("bodiless", &["batch", "decided"]),
        ("view-storm", &["pre-prepare", "tick"]),
    ] {
        let mut io = adversary(&setup, 1, attack);
        speak(&mut io, &setup);
        let strikes: Vec<_> = io.strikes().collect();
        let [strikes] = strikes.as_slice() else { panic!("{strikes:?}") };
        for name in struck {
            assert!(strikes.at(name) > 0, "{attack} did not strike at {name}: {strikes:?}");
        }
    }
}

/// Whoever hides what it never had tells the truth to everybody, if one by one.
#[test]
fn a_lie_that_is_the_truth_is_no_strike() {
    let setup = setup(4);
    for attack in ["hide-prepared", "hide-all", "prepare-own"] {
        let mut io = adversary(&setup, 2, attack);
        io.vote(Vote::ViewChange(Box::new(ViewChange { view: View(1), stable: None, prepared: Bounded::new() })));
        assert!(io.strikes().all(|strikes| strikes.total() == 0), "{attack}: {:?}", io.strikes().collect::<Vec<_>>());
    }
}

/// Of several each is told apart, and sees what the one before lets through.
#[test]
fn each_of_several_has_strikes_of_its_own() {
    let setup = setup(4);
    let mut io = crate::adversary::Adversary::honest(super::recorder::Recorder::default());
    let plan = crate::adversary::Plan::parse("bodiless + double-vote@slot=9..").unwrap();
    plan.corrupt(&mut io, setup.signer(ReplicaId(1)), &setup.committee);
    propose(&mut io, 1, 5, &batch(&setup, 2));
    io.vote(Vote::Commit(Commit { view: View(1), slot: Slot(5), digest: DIGEST }));
    assert_eq!(io.strikes().map(|strikes| strikes.total() > 0).collect::<Vec<_>>(), [true, false]);
}
