//! Adversaries among honest replicas: what is agreed on, what comes through in the end, and who is proved faulty.
//!
//! The cluster checks after every step that honest replicas agree, vote once, and accuse nobody honest; these tests add what must come of it.

use super::campaign::Random;
use crate::adversary::{ATTACKS, Attack};
use crate::cluster::{Cluster, Fate, Loss, Options, Packet, Setup};
use std::collections::BTreeSet;
use varangian_consensus::{Command, Evidence, Identity, Slot};
use varangian_crypto::{Committee, Genesis, ReplicaId, Verify, decode, encode};

/// Virtual milliseconds after which what was not decided never will be.
const PATIENCE: u64 = 60_000;

pub(super) fn cluster(n: u16, attacks: &[(u16, &str)]) -> Cluster {
    let mut cluster = Cluster::new(&Options { n, ..Options::default() });
    for (id, attack) in attacks {
        cluster.corrupt(*id, &Attack::parse(attack).unwrap());
    }
    cluster
}

/// Two commands of each client at once, so that batches hold several, all sent to every replica as a client does after a time-out.
fn round(setup: &Setup, number: u64) -> Vec<Command> {
    (0..3)
        .flat_map(|client| (1..=2).map(move |step| (client, 2 * number + step)))
        .map(|(client, sequence)| setup.command(client, sequence, &[&format!("put {client} {sequence}")]))
        .collect()
}

/// Every command is executed by every honest replica, exactly once, within a bounded time; all honest replicas come to the same slot.
pub(super) fn run_rounds(cluster: &mut Cluster, rounds: u64) {
    run_rounds_from(cluster, 0, rounds);
}

pub(super) fn run_rounds_from(cluster: &mut Cluster, first: u64, end: u64) {
    for number in first..end {
        let commands = round(&cluster.setup, number);
        for command in &commands {
            cluster.submit_to_all(command);
        }
        let pending: Vec<Identity> = commands.iter().map(Command::identity).collect();
        settle(cluster, &pending);
    }
}

pub(super) fn settle(cluster: &mut Cluster, pending: &[Identity]) {
    let began = cluster.now();
    let done = |cluster: &Cluster| {
        pending.iter().all(|identity| cluster.honest().iter().all(|id| cluster.disk(*id).answer(identity).is_some()))
    };
    cluster.run_until(|cluster| done(cluster) || cluster.now() > began + PATIENCE, 100_000);
    assert!(done(cluster), "after {} ms not all is executed: {:?}", PATIENCE, standing(cluster));
    for identity in pending {
        assert!(cluster.accepted(identity).is_some_and(|answer| answer.result.is_some()));
        assert!(cluster.checks.ran(identity).is_some());
    }
    cluster.run_until(|cluster| cluster.is_settled() || cluster.now() > began + PATIENCE, 100_000);
    assert!(cluster.is_settled(), "honest replicas do not come to the same slot: {:?}", standing(cluster));
}

fn standing(cluster: &Cluster) -> Vec<(u16, u64, Slot)> {
    cluster.honest().into_iter().map(|id| (id, cluster.replica(id).view().0, cluster.executed(id))).collect()
}

/// Whoever signs a COMMIT or a VIEW-CHANGE that its core knows nothing of may be convicted of this beside what it is about: it depends on
/// which slots are open when a view ends. So it is counted apart.
const HIDING: &str = "a view change that hides a certificate";

/// Who is proved faulty by somebody honest. Each proof is read from its bytes and checked with nothing but the genesis.
pub(super) fn proved(cluster: &Cluster) -> BTreeSet<u16> {
    let genesis = Genesis::from_json(&cluster.setup.genesis.to_json_pretty()).unwrap();
    let committee = Committee::new(&genesis);
    let honest = cluster.honest();
    let proofs = honest.iter().flat_map(|id| cluster.disk(*id).evidence());
    proofs
        .filter(|evidence| evidence.kind() != HIDING)
        .map(|evidence| {
            let carried: Evidence = decode(&encode(evidence)).unwrap();
            carried.check(&committee).unwrap();
            assert_eq!(&carried, evidence);
            carried.accused().0
        })
        .collect()
}

pub(super) fn kinds(cluster: &Cluster) -> BTreeSet<&'static str> {
    let all = cluster.honest().into_iter().flat_map(|id| cluster.disk(id).evidence());
    all.map(Evidence::kind).filter(|kind| *kind != HIDING).collect()
}

/// Who asked for a view as if it had never said COMMIT.
pub(super) fn hiding(cluster: &Cluster) -> BTreeSet<u16> {
    let all = cluster.honest().into_iter().flat_map(|id| cluster.disk(id).evidence());
    all.filter(|evidence| evidence.kind() == HIDING).map(|evidence| evidence.accused().0).collect()
}

pub(super) fn highest_view(cluster: &Cluster) -> u64 {
    cluster.honest().iter().map(|id| cluster.replica(*id).view().0).max().unwrap()
}

/// Moves the reign on until `leader` has had its turn, by pausing one primary after the other.
fn let_lead(cluster: &mut Cluster, leader: u16) {
    for view in 0..u64::from(leader) {
        let all_left = |cluster: &Cluster| cluster.honest().iter().all(|id| cluster.replica(*id).view().0 > view);
        if all_left(cluster) {
            continue;
        }
        let primary = u16::try_from(view).unwrap();
        cluster.pause(primary);
        // A sequence above those of all rounds.
        let command = cluster.setup.command(0, 9 + view, &["move on"]);
        for id in cluster.honest() {
            cluster.submit(id, &command).unwrap();
        }
        // With a silent attacker beside the paused one too few are there for anybody to leave: then it is there and proposes nothing.
        if cluster.run_until(all_left, 1000) {
            cluster.resume(primary);
        } else {
            let proposes = move |packet: &Packet| {
                packet.from.0 == primary && matches!(packet.message.name(), "pre-prepare" | "batch")
            };
            let mute = cluster.drop_when(proposes);
            cluster.resume(primary);
            assert!(cluster.run_until(all_left, 10_000), "view {view} never ends");
            cluster.remove_rule(mute);
        }
        settle(cluster, &[command.identity()]);
    }
}

/// What each attack must not hinder, and what it must leave behind: evidence against its author, or none at all.
pub(super) fn survive(n: u16, attacks: &[(u16, &str)]) -> Cluster {
    let mut cluster = cluster(n, attacks);
    let last = attacks.iter().map(|(id, _)| *id).max().unwrap();
    run_rounds(&mut cluster, 1);
    let_lead(&mut cluster, last);
    run_rounds_from(&mut cluster, 1, 4);
    let kind = |attack: &str| Attack::parse(attack).unwrap().kind();
    let culprits: BTreeSet<u16> =
        attacks.iter().filter(|(_, attack)| kind(attack).provable()).map(|(id, _)| *id).collect();
    let suspects = attacks.iter().filter(|(_, attack)| !kind(attack).besides.is_empty()).map(|(id, _)| *id);
    let proved = proved(&cluster);
    assert!(culprits.is_subset(&proved), "{attacks:?}: {proved:?} are proved faulty");
    assert!(
        proved.is_subset(&culprits.iter().copied().chain(suspects).collect()),
        "{attacks:?}: {proved:?} are proved faulty"
    );
    cluster
}

#[test]
fn a_silent_primary_is_passed_over_and_nobody_is_accused() {
    let mut cluster = cluster(4, &[(0, "silent")]);
    run_rounds(&mut cluster, 3);
    assert_eq!(highest_view(&cluster), 1, "one view change, and the next primary stays");
    assert_eq!(proved(&cluster), BTreeSet::new());
}

/// Without any time-out: the honest show each other what they were told, and a proof ends the view.
#[test]
fn an_equivocating_primary_is_proved_and_passed_over_at_once() {
    let mut cluster = cluster(4, &[(0, "equivocate")]);
    for command in round(&cluster.setup, 0) {
        cluster.submit_to_all(&command);
    }
    cluster.deliver_all();
    assert_eq!(cluster.now(), 0);
    for id in 1..4 {
        assert!(cluster.replica(id).view().0 >= 1, "r{id} is still in view 0");
    }
    assert_eq!(proved(&cluster), BTreeSet::from([0]));
    assert_eq!(kinds(&cluster), BTreeSet::from(["two pre-prepares for one slot"]));
    run_rounds(&mut cluster, 3);
    assert_eq!(highest_view(&cluster), 1);
}

/// In odd slots the first story has the larger side, in even ones the second, of which the core inside knows nothing: it catches up.
#[test]
fn either_story_may_win_and_all_come_to_agree() {
    for (slot, commands) in [(3, 1), (2, 2)] {
        let mut cluster = cluster(4, &[(0, &format!("equivocate@slot={slot}"))]);
        for number in 1..=slot {
            let command = cluster.setup.command(0, number, &["x"]);
            cluster.submit_to_all(&command);
            settle(&mut cluster, &[command.identity()]);
        }
        assert_eq!(proved(&cluster), BTreeSet::from([0]), "slot {slot}");
        // A batch of one command is retold with the first one of all in front.
        let done = &cluster.disk(1).executed()[usize::try_from(slot).unwrap() - 1];
        assert_eq!(done.batch.as_ref().unwrap().commands().len(), commands, "slot {slot}");
        assert!(cluster.run_until(|cluster| cluster.batch_at(0, slot) == cluster.batch_at(1, slot), 10_000));
    }
}

#[test]
fn a_withholder_hinders_nobody_and_nobody_is_accused() {
    for attack in ["withhold", "withhold-partly"] {
        for id in [0, 3] {
            let mut cluster = cluster(4, &[(id, attack)]);
            run_rounds(&mut cluster, 2);
            assert_eq!(highest_view(&cluster), 0, "r{id} {attack}: a view change for nothing");
            assert_eq!(proved(&cluster), BTreeSet::new());
        }
    }
}

/// Its votes count once where they count, and it deposes nobody: the fault is its own.
#[test]
fn a_double_voter_is_proved_and_ends_no_view() {
    let mut cluster = cluster(4, &[(3, "double-vote")]);
    run_rounds(&mut cluster, 2);
    assert_eq!(proved(&cluster), BTreeSet::from([3]));
    assert_eq!(kinds(&cluster), BTreeSet::from(["two prepares for one slot", "two commits for one slot"]));
    assert_eq!(highest_view(&cluster), 0);
    for id in 0..3 {
        let accused: BTreeSet<_> = cluster.disk(id).evidence().iter().map(Evidence::accused).collect();
        assert_eq!(accused, BTreeSet::from([ReplicaId(3)]), "r{id}");
    }
}

#[test]
fn each_attack_is_survived_from_a_later_primary() {
    for kind in &ATTACKS {
        let cluster = survive(4, &[(2, kind.name)]);
        assert!(highest_view(&cluster) >= 2, "{} never led", kind.name);
    }
}

#[test]
fn two_of_seven_with_different_plans_are_survived() {
    survive(7, &[(0, "equivocate"), (1, "silent")]);
    survive(7, &[(0, "equivocate"), (4, "double-vote")]);
    survive(7, &[(0, "silent"), (1, "withhold-partly")]);
}

#[test]
fn attacks_that_come_and_go_are_survived() {
    survive(4, &[(0, "equivocate@p=0.5,seed=4")]);
    survive(4, &[(1, "double-vote@slot=2..5")]);
    survive(4, &[(0, "silent@slot=3..")]);
}

/// Lost messages are asked for again, and an equivocator keeps to its stories.
#[test]
fn each_attack_is_survived_over_a_lossy_network() {
    for kind in &ATTACKS {
        let mut cluster = cluster(4, &[(0, kind.name)]);
        // Not every fifth: a loss in step with the exchange of statuses takes the same message every time.
        let mut random = Random(1);
        let rule = cluster.add_rule(move |_| (random.below(5) == 0).then_some(Fate::Drop));
        run_rounds(&mut cluster, 2);
        cluster.remove_rule(rule);
        run_rounds_from(&mut cluster, 2, 3);
        assert!(proved(&cluster).is_subset(&BTreeSet::from([0])));
    }
}

#[test]
fn each_attack_is_survived_across_its_authors_restart() {
    for kind in &ATTACKS {
        let mut cluster = cluster(4, &[(0, kind.name)]);
        for command in round(&cluster.setup, 0) {
            cluster.submit_to_all(&command);
        }
        for _ in 0..5 {
            cluster.deliver_one();
        }
        cluster.crash(0, Loss::POWER);
        cluster.restart(0);
        run_rounds_from(&mut cluster, 0, 2);
        assert_eq!(cluster.alarms(0), [], "{}: its own core has noticed", kind.name);
        assert!(proved(&cluster).is_subset(&BTreeSet::from([0])));
    }
}

/// A committee of adversaries that never strike does what an honest one does, byte for byte and in the same order.
#[test]
fn adversaries_that_never_strike_are_an_honest_committee() {
    let story = |attack: Option<&str>| {
        let attacks: Vec<_> = attack.iter().flat_map(|attack| (0..4).map(move |id| (id, *attack))).collect();
        let mut cluster = cluster(4, &attacks);
        for command in round(&cluster.setup, 0) {
            cluster.submit_to_all(&command);
        }
        cluster.run_for(300);
        cluster.crash(0, Loss::POWER);
        let command = cluster.setup.command(2, 9, &["without r0"]);
        for id in 1..4 {
            cluster.submit(id, &command).unwrap();
        }
        cluster.run_for(3000);
        cluster.restart(0);
        cluster.run_for(1000);
        assert!(cluster.accepted(&command.identity()).is_some());
        format!("{:?}", cluster.take_events())
    };
    let honest = story(None);
    for kind in &ATTACKS {
        assert!(story(Some(&format!("{}@never", kind.name))) == honest, "{}", kind.name);
    }
}
