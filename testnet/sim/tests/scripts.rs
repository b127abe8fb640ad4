//! Scripts: what is done as time goes on, and what it came to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use varangian_crypto::Parameters;
use varangian_sim::adversary::{Attack, Strikes};
use varangian_sim::world::plan::{Evil, How, Machine, Network, Stalls};
use varangian_sim::world::script::{Deed, Like, Load, Played, Script, Whom};
use varangian_sim::world::{Micros, Outcome, Plan, Run, run};

const SECOND: Micros = 1_000_000;

/// Four replicas beside each other, two clients, and these deeds.
fn plan(deeds: Vec<Deed>) -> Plan {
    let like = Like { delay: 500, jitter: 500, ..Like::default() };
    let parameters = Parameters { checkpoint_interval: 8, window: 16, pipeline_depth: 4, ..Parameters::default() };
    Plan {
        seed: 7,
        n: 4,
        parameters,
        real_signatures: false,
        honest_clients: 2,
        clients: 2,
        calm: false,
        network: Network { delays: vec![vec![500; 4]; 4], link: 1024, inbox: 4096, ..Network::default() },
        nodes: vec![
            Machine { tick: 1_000_000, sync: 1000, stalls: Stalls::default(), execute: 100, sign: 50, turn: 50 };
            4
        ],
        adversaries: Vec::new(),
        commands: Vec::new(),
        faults: Vec::new(),
        heal_at: 0,
        core: Vec::new(),
        rest: Vec::new(),
        tail: 18,
        script: Some(Script {
            deeds,
            patience: 10 * SECOND,
            links: vec![vec![like; 4]; 4],
            weather: Vec::new(),
            load: Load { in_flight: 2, pause: SECOND / 10, operations: 1, bytes: 16 },
            asleep: BTreeSet::new(),
            breaks: false,
        }),
    }
}

fn these(ids: &[u16]) -> Whom {
    Whom::These(ids.to_vec())
}

fn played(plan: &Plan) -> (Outcome, Played) {
    let outcome = run(plan, Run::default());
    assert_eq!(outcome.violation, None);
    let played = outcome.played.clone().expect("a script was played");
    (outcome, played)
}

fn tells(played: &Played, what: &str) -> bool {
    played.story.iter().any(|(_, told)| told.contains(what))
}

#[test]
fn a_script_is_played_and_the_same_again() {
    let plan = plan(vec![
        Deed::Wait(SECOND),
        Deed::Kill(Whom::Primary),
        Deed::NewView,
        Deed::Restart(Whom::Down),
        Deed::CaughtUp,
        Deed::Lead(3),
    ]);
    let (first, story) = played(&plan);
    assert_eq!(story.failed, None);
    assert!(story.lived && tells(&story, "r0 is killed") && tells(&story, "r3 leads"), "{:?}", story.story);
    let (second, again) = played(&plan);
    assert_eq!((first.hash, story.story), (second.hash, again.story));
    let (other, _) = played(&Plan { seed: 8, ..plan });
    assert_ne!(first.hash, other.hash);
}

#[test]
fn without_a_quorum_nothing_is_decided_and_with_one_it_goes_on() {
    for (away, back) in [
        (Deed::PowerLoss(these(&[1, 2])), Deed::Restart(Whom::Down)),
        (Deed::Partition(vec![vec![0, 1]]), Deed::Heal(Whom::All)),
        (Deed::Pause(these(&[2, 3])), Deed::Resume(Whom::Down)),
    ] {
        let deeds = vec![Deed::Wait(SECOND), away, Deed::Wait(20 * SECOND), back, Deed::Progress, Deed::CaughtUp];
        let (_, played) = played(&plan(deeds));
        assert_eq!(played.failed, None);
        let [recovery] = played.recoveries[..] else { panic!("{:?}", played.recoveries) };
        assert!(recovery.stood >= 19 * SECOND && played.gap.0 >= 19 * SECOND, "{recovery:?}");
        assert!(played.lived);
    }
}

/// A standstill that nothing has ended when the next fault comes, or the script is over, has lasted that long at least: nothing hides it.
#[test]
fn what_does_not_recover_is_told_too() {
    let halt = || vec![Deed::Wait(SECOND), Deed::Kill(these(&[1, 2])), Deed::Wait(5 * SECOND)];
    let back = || vec![Deed::Restart(these(&[1])), Deed::Partition(vec![vec![0, 1], vec![2, 3]])];
    let held_up = [halt(), back(), vec![Deed::Wait(4 * SECOND), Deed::Heal(Whom::All)]].concat();
    let (_, first) = played(&plan(held_up));
    assert!(first.recoveries[0].took < SECOND / 10, "{:?}", first.recoveries);

    let one_back =
        vec![Deed::Kill(these(&[0])), Deed::Wait(SECOND), Deed::Restart(these(&[1])), Deed::Wait(4 * SECOND)];
    for end in [vec![Deed::Kill(these(&[3]))], vec![]] {
        let (_, second) = played(&plan([halt(), one_back.clone(), end].concat()));
        assert!(second.recoveries[0].took >= 4 * SECOND, "{:?}", second.recoveries);
    }
}

/// What does not come about ends the script; what was done until then is judged.
#[test]
fn what_does_not_come_about_is_told() {
    let (_, played) = played(&plan(vec![Deed::Wait(SECOND), Deed::Kill(these(&[0, 1])), Deed::Progress]));
    assert!(
        played.failed.as_ref().is_some_and(|why| why.contains("a quorum has executed more")),
        "{:?}",
        played.failed
    );
    assert!(played.lived, "two dead are too many to stay dead");
}

#[test]
fn one_who_is_dead_for_good_stays_dead() {
    let (_, played) = played(&plan(vec![Deed::Wait(SECOND), Deed::Kill(these(&[2])), Deed::Progress]));
    let least = played.executed.values().min().copied().expect("all are there");
    assert!(played.lived && least < *played.executed.values().max().expect("all are there"), "{:?}", played.executed);
}

#[test]
fn a_replica_ends_by_itself_when_its_disk_is_full_and_refuses_one_that_is_damaged() {
    let full = vec![
        Deed::Wait(SECOND),
        Deed::FillDisk(these(&[2])),
        Deed::Progress,
        Deed::Restart(Whom::Down),
        Deed::CaughtUp,
    ];
    let (_, played_full) = played(&plan(full));
    assert_eq!(played_full.failed, None);
    assert!(tells(&played_full, "r2 has ended by itself"));
    for lost in [true, false] {
        let rot = Deed::Rot { whom: Whom::Down, lost };
        let deeds = vec![Deed::Wait(SECOND), Deed::Kill(these(&[2])), rot, Deed::Refused(Whom::Down), Deed::Progress];
        let (_, played) = played(&plan(deeds));
        assert_eq!(played.failed, None);
        assert!(played.lived && !played.executed.contains_key(&varangian_crypto::ReplicaId(2)));
    }
    let intact = vec![Deed::Wait(SECOND), Deed::Kill(these(&[2])), Deed::Refused(Whom::Down)];
    assert!(played(&plan(intact)).1.failed.is_some_and(|why| why.contains("was to refuse")));
}

#[test]
fn one_who_sleeps_is_honest_until_it_strikes() {
    let equivocate = Evil { replica: 0, how: How::Attack(Attack::parse("equivocate").unwrap()) };
    let with = |deeds: Vec<Deed>| {
        let mut plan = plan(deeds);
        plan.adversaries = vec![equivocate.clone()];
        plan.script.as_mut().unwrap().asleep = BTreeSet::from([0]);
        let played = played(&plan).1;
        let strikes: Vec<u64> = played.strikes.values().map(Strikes::total).collect();
        (played.evidence.len(), strikes)
    };
    assert_eq!(with(vec![Deed::Wait(3 * SECOND)]), (0, vec![0]));
    let strike = [Deed::Wait(SECOND), Deed::Strike(these(&[0])), Deed::Wait(2 * SECOND)];
    let (proofs, strikes) = with(strike.to_vec());
    assert!(proofs > 0 && strikes[0] > 0);
    // What it did is not forgotten when it dies.
    let death = [Deed::Kill(these(&[0])), Deed::Progress];
    assert!(with([&strike[..], &death].concat()).1[0] > 0);
}

/// A bandwidth makes packets wait for each other.
#[test]
fn a_narrow_link_takes_its_time() {
    let gap = |nanos_per_byte: u64| {
        let mut plan = plan(vec![Deed::Wait(10 * SECOND)]);
        let like = Like { delay: 500, jitter: 500, nanos_per_byte, queue: 1 << 20, ..Like::default() };
        plan.script.as_mut().unwrap().links = vec![vec![like; 4]; 4];
        let outcome = played(&plan).0;
        outcome.waited / outcome.acknowledged
    };
    assert!(gap(40_000) > 2 * gap(0), "{} {}", gap(40_000), gap(0));
}
