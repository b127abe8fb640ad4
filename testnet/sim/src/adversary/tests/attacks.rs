//! What single attacks come to among honest replicas: who is deposed and who is not, what commits, and where safety ends.

use super::cluster::{cluster, hiding, highest_view, kinds, proved, run_rounds, run_rounds_from, settle};
use crate::adversary::ATTACKS;
use crate::cluster::{Cluster, TimerKind};
use std::collections::BTreeSet;
use varangian_consensus::{Command, Message, Phase};
use varangian_crypto::ReplicaId;

/// Attacks that cost a primary its view, in a calm network under commands of several clients.
const DEPOSED: [&str; 22] = [
    "silent",
    "slow",
    "slow-edge",
    "small-batches",
    "equivocate",
    "equivocate-other",
    "equivocate-one",
    "censor",
    "starve",
    "bad-signature",
    "huge",
    "twice",
    "out-of-window",
    "null-proposal",
    "bodiless",
    "bodiless-partly",
    "dark",
    "dark-then-mute",
    "late",
    "collude",
    "amnesia",
    "crash",
];

#[test]
fn nothing_that_a_backup_does_deposes_an_honest_primary() {
    for kind in &ATTACKS {
        let mut cluster = cluster(4, &[(3, kind.name)]);
        run_rounds(&mut cluster, 4);
        assert_eq!(highest_view(&cluster), 0, "{}", kind.name);
        assert!(cluster.disk(0).stable_slot().0 > 0, "{}: no checkpoint is ever stable", kind.name);
    }
}

#[test]
fn a_primary_is_deposed_for_what_hinders_commands_and_for_nothing_else() {
    let deposed = |name: &str| {
        let mut cluster = cluster(4, &[(0, name)]);
        run_rounds(&mut cluster, 12);
        highest_view(&cluster) > 0
    };
    let found: Vec<&str> = ATTACKS.iter().map(|kind| kind.name).filter(|name| deposed(name)).collect();
    assert_eq!(found, DEPOSED);
}

/// Without any time-out: the body or the two pre-prepares are proof enough.
#[test]
fn a_proof_ends_the_view_at_once() {
    for (attack, kind) in [
        ("bad-signature", "a pre-prepare for an invalid batch"),
        ("huge", "a pre-prepare for an invalid batch"),
        ("equivocate-one", "two pre-prepares for one slot"),
        ("equivocate-other", "two pre-prepares for one slot"),
    ] {
        let mut cluster = cluster(4, &[(0, attack)]);
        let commands: Vec<_> = (0..3).map(|client| cluster.setup.command(client, 1, &["x"])).collect();
        for command in &commands {
            cluster.submit_to_all(command);
        }
        cluster.deliver_all();
        assert_eq!((cluster.now(), highest_view(&cluster)), (0, 1), "{attack}");
        assert_eq!((proved(&cluster), kinds(&cluster)), (BTreeSet::from([0]), BTreeSet::from([kind])), "{attack}");
        for command in &commands {
            assert!(cluster.accepted(&command.identity()).is_some(), "{attack}: the next primary orders it");
        }
    }
}

/// Nobody votes for it, and that ends the view, not a proof.
#[test]
fn what_no_primary_may_propose_gets_no_vote() {
    for attack in ["null-proposal", "out-of-window", "bodiless", "bad-signature", "huge"] {
        let mut cluster = cluster(4, &[(0, attack)]);
        let of_view_0 = |message: &Message| match message {
            Message::Prepare(vote) => vote.statement.view.0 == 0,
            Message::Commit(vote) => vote.statement.view.0 == 0,
            _ => false,
        };
        let votes = cluster.hold_when(move |packet| of_view_0(&packet.message));
        let command = cluster.setup.command(0, 1, &["x"]);
        cluster.submit_to_all(&command);
        cluster.deliver_all();
        let honest = cluster.held().filter(|packet| packet.from.0 != 0).count();
        assert_eq!(honest, 0, "{attack}: somebody voted for it");
        cluster.release_held();
        cluster.remove_rule(votes);
        settle(&mut cluster, &[command.identity()]);
        assert_eq!(highest_view(&cluster), 1, "{attack}");
    }
}

fn accepted_after(cluster: &mut Cluster, command: &Command) -> u64 {
    let began = cluster.now();
    cluster.submit_to_all(command);
    assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 10_000));
    cluster.now() - began
}

/// Long before a time-out runs out, and nothing is proved.
#[test]
fn a_slow_primary_is_deposed() {
    let mut cluster = cluster(4, &[(0, "slow")]);
    let mut slowest = 0;
    for sequence in 1.. {
        let command = cluster.setup.command(0, sequence, &["x"]);
        slowest = slowest.max(accepted_after(&mut cluster, &command));
        settle(&mut cluster, &[command.identity()]);
        if highest_view(&cluster) > 0 {
            break;
        }
        assert!(sequence < 50, "it stays in power");
    }
    let timeout = cluster.setup.genesis.parameters().base_timeout_ms;
    assert!((timeout / 5..timeout).contains(&slowest), "{slowest} ms, with a time-out of {timeout}");
    assert_eq!((highest_view(&cluster), proved(&cluster)), (1, BTreeSet::new()));
    // The next primary takes no time at all.
    let command = cluster.setup.command(1, 1, &["x"]);
    assert_eq!(accepted_after(&mut cluster, &command), 0);
}

#[test]
fn a_censored_client_is_served_by_the_next_primary_and_the_others_meanwhile() {
    let mut cluster = cluster(4, &[(0, "censor")]);
    let first = cluster.setup.command(0, 1, &["the victim is known by its first command"]);
    assert_eq!(accepted_after(&mut cluster, &first), 0);
    let censored = cluster.setup.command(0, 2, &["x"]);
    cluster.submit_to_all(&censored);
    for sequence in 1..=3 {
        let other = cluster.setup.command(1, sequence, &["y"]);
        assert_eq!(accepted_after(&mut cluster, &other), 0, "others are served as if nothing were");
    }
    assert_eq!((cluster.accepted(&censored.identity()), highest_view(&cluster)), (None, 0));
    settle(&mut cluster, &[censored.identity()]);
    assert_eq!((highest_view(&cluster), proved(&cluster)), (1, BTreeSet::new()));
    assert!(cluster.now() <= 2 * cluster.setup.genesis.parameters().base_timeout_ms);
}

/// While the accomplices work the two in the dark are not needed; then they are, and must have caught up.
#[test]
fn those_kept_in_the_dark_are_there_when_the_colluders_go_mute() {
    let mut cluster = cluster(7, &[(1, "dark-then-mute"), (2, "dark-then-mute")]);
    run_rounds(&mut cluster, 8);
    let after = cluster.executed(0);
    assert!(after.0 > cluster.setup.genesis.parameters().window, "only {after} slots: they are not mute yet");
    let said_before = cluster.take_events().len();
    assert!(said_before > 0);
    let command = cluster.setup.command(0, 17, &["after"]);
    accepted_after(&mut cluster, &command);
    settle(&mut cluster, &[command.identity()]);
    let from_mute = cluster.take_events().into_iter().filter(
        |event| matches!(event, crate::cluster::Event::Sent(packet, _) if packet.from.0 == 1 || packet.from.0 == 2),
    );
    assert_eq!(from_mute.count(), 0, "they are mute");
}

/// One replica was away for more slots than a pipeline; of its three sources one is bad, and it finds the others.
#[test]
fn a_bad_source_delays_a_laggard_by_a_few_questions_at_most() {
    for source in 0..3 {
        for attack in
            ["wrong-answers", "no-answers", "false-pruned", "stale-answers", "bodiless", "late", "omit", "crash"]
        {
            let mut cluster = cluster(4, &[(source, &format!("{attack}@never"))]);
            cluster.isolate(3);
            for sequence in 1..=7 {
                let command = cluster.setup.command(0, sequence, &["x"]);
                for id in 0..3 {
                    cluster.submit(id, &command).unwrap();
                }
                assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 10_000));
            }
            cluster.run_for(10);
            cluster.corrupt(source, &attack.parse().unwrap());
            let began = cluster.now();
            cluster.heal();
            let command = cluster.setup.command(1, 1, &["and on it goes"]);
            cluster.submit_to_all(&command);
            settle(&mut cluster, &[command.identity()]);
            assert!(cluster.executed(3).0 >= 8);
            let took = cluster.now() - began;
            assert!(took <= 6000, "r{source} {attack}: {took} ms");
            assert_eq!(proved(&cluster), BTreeSet::new());
        }
    }
}

/// Nothing far away is held: what a replica knows of ends with its window.
#[test]
fn the_far_future_takes_no_room() {
    for attack in ["far-future", "forge", "other-chain", "view-storm", "replay"] {
        for id in [0, 3] {
            let mut cluster = cluster(4, &[(id, attack)]);
            run_rounds(&mut cluster, 4);
            let window = cluster.setup.genesis.parameters().window;
            for honest in cluster.honest() {
                let replica = cluster.replica(honest);
                assert!(replica.highest_known().since(replica.stable_slot()) <= window, "r{id} {attack}");
                assert!(replica.status().view_changes.len() <= 1, "r{id} {attack}");
            }
            assert_eq!((highest_view(&cluster), proved(&cluster)), (0, BTreeSet::new()), "r{id} {attack}");
        }
    }
}

/// One COMMIT certificate, known to r0 alone, which then is away: the liar's view change is needed, and it says that it knows nothing.
#[test]
fn what_committed_survives_a_liar_in_every_quorum_that_is_left() {
    for attack in ["hide-prepared", "hide-all", "false-prepared", "false-stable", "huge-max", "two-view-changes"] {
        let mut cluster = cluster(4, &[(3, attack)]);
        let rule = cluster.drop_when(|packet| matches!(packet.message, Message::Commit(_)) && packet.to.0 != 0);
        let command = cluster.setup.command(0, 1, &["x"]);
        cluster.submit_to_all(&command);
        cluster.deliver_all();
        assert_eq!((0..4).map(|id| cluster.executed(id).0).collect::<Vec<_>>(), [1, 0, 0, 0]);
        cluster.remove_rule(rule);
        cluster.isolate(0);
        for id in [1, 2, 3] {
            cluster.fire_timer(id, TimerKind::Command);
        }
        let valid = !matches!(attack, "false-prepared" | "false-stable" | "huge-max");
        cluster.run_for(50);
        // A proved liar's does not count. (One that is quoted stops its author's core, so no slot commits before r0 is back.)
        let entered = (cluster.replica(1).view().0, cluster.replica(1).phase());
        assert_eq!(entered, (1, if valid { Phase::Active } else { Phase::Changing }), "{attack}");
        cluster.heal();
        settle(&mut cluster, &[command.identity()]);
        let first = cluster.batch_at(0, 1);
        assert!((1..3).all(|id| cluster.batch_at(id, 1) == first), "{attack}");
        let command = cluster.setup.command(1, 1, &["and on it goes"]);
        for id in cluster.honest() {
            cluster.submit(id, &command).unwrap();
        }
        settle(&mut cluster, &[command.identity()]);
    }
}

/// The colluders' side of a split: the honest cannot hear each other, so that nothing but the votes decides.
fn split(n: u16, colluders: &[u16]) -> Cluster {
    let attacks: Vec<_> = colluders.iter().map(|id| (*id, "collude")).collect();
    let mut cluster = cluster(n, &attacks);
    // The first command is told to all alike: it is what makes the next one another batch.
    let command = cluster.setup.command(0, 9, &["x"]);
    cluster.submit_to_all(&command);
    cluster.deliver_all();
    let colluders: BTreeSet<_> = colluders.iter().map(|id| ReplicaId(*id)).collect();
    cluster.drop_when(move |packet| !colluders.contains(&packet.from) && !colluders.contains(&packet.to));
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit_to_all(&command);
    cluster.deliver_all();
    cluster
}

#[test]
fn f_colluders_split_nobody() {
    for (n, colluders) in [(4, &[0][..]), (7, &[0, 3]), (7, &[0, 6]), (10, &[0, 1, 5])] {
        let mut cluster = split(n, colluders);
        cluster.clear_rules();
        run_rounds_from(&mut cluster, 1, 3);
        assert!(proved(&cluster).contains(&0), "{colluders:?} of {n}");
        assert!(proved(&cluster).iter().all(|id| colluders.contains(id)));
    }
}

/// More than `f`: the limit of what can be promised, and proof that these tests would see a fork.
#[test]
#[should_panic(expected = "one prepared digest per view and slot")]
fn more_than_f_colluders_of_four_split_the_honest() {
    split(4, &[0, 2]);
}

/// See above.
#[test]
#[should_panic(expected = "one prepared digest per view and slot")]
fn more_than_f_colluders_of_seven_split_the_honest() {
    split(7, &[0, 2, 5]);
}

/// One slot is decided everywhere; then r0 is heard no more, and the others ask for view 1 and enter it.
fn change_view(cluster: &mut Cluster) {
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit_to_all(&command);
    cluster.deliver_all();
    cluster.isolate(0);
    let command = cluster.setup.command(0, 2, &["x"]);
    cluster.submit_to_all(&command);
    let entered = |cluster: &Cluster| {
        let there = |id| (cluster.replica(id).view().0, cluster.replica(id).phase()) == (1, Phase::Active);
        there(1) && there(3)
    };
    assert!(cluster.run_until(entered, 10_000));
    cluster.deliver_all();
}

/// The protocol's words: a COMMIT beside a later VIEW-CHANGE whose `C` and `P` know nothing of that slot cannot both be honest.
#[test]
fn a_view_change_that_hides_what_was_committed_to_is_proof() {
    for attack in ["hide-prepared", "hide-all"] {
        let mut cluster = cluster(4, &[(2, attack)]);
        change_view(&mut cluster);
        assert_eq!(hiding(&cluster), BTreeSet::from([2]), "{attack}");
    }
}

/// The protocol's words: a message inside a NEW-VIEW is judged by itself, and where it differs from the one that is held, that accuses its signer.
#[test]
fn a_view_change_that_is_quoted_otherwise_than_it_was_said_is_proof() {
    let mut cluster = cluster(4, &[]);
    // r2 tells r1, who is to lead, that it knows nothing, and r3 the truth.
    let signer = cluster.setup.signer(ReplicaId(2)).clone();
    cluster.mask(2, move |to, message| match &message {
        Message::ViewChange(own) if to.0 == 1 && own.signer.0 == 2 => {
            let nothing = crate::adversary::lying_view_changer::nothing(own.statement.view);
            vec![(to, Message::ViewChange(Box::new(signer.sign(nothing).into_inner())))]
        }
        _ => vec![(to, message)],
    });
    change_view(&mut cluster);
    assert_eq!(proved(&cluster), BTreeSet::from([2]));
}

/// Between them the backups hear nothing of each other's PREPAREs: each has the primary's pre-prepare, the primary's PREPARE and its own.
#[test]
fn a_primary_that_prepares_too_is_one_of_a_quorum_and_not_two() {
    let mut cluster = cluster(4, &[(0, "prepare-own")]);
    let rule = cluster.drop_when(|packet| matches!(packet.message, Message::Prepare(_)) && packet.from.0 != 0);
    let commits = cluster.hold_when(|packet| matches!(packet.message, Message::Commit(_)));
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit_to_all(&command);
    cluster.deliver_all();
    assert_eq!(cluster.held().count(), 0, "somebody has prepared");
    cluster.remove_rule(rule);
    cluster.remove_rule(commits);
    settle(&mut cluster, &[command.identity()]);
}

#[test]
fn what_a_new_view_settles_is_settled_whatever_came_before_it() {
    let mut cluster = cluster(4, &[(1, "pre-empt")]);
    change_view(&mut cluster);
    let first = cluster.batch_at(0, 1);
    cluster.heal();
    let command = cluster.setup.command(1, 1, &["and on it goes"]);
    cluster.submit_to_all(&command);
    settle(&mut cluster, &[command.identity()]);
    assert!((0..4).all(|id| cluster.batch_at(id, 1) == first));
    assert_eq!(proved(&cluster), BTreeSet::from([1]));
}

/// Who was away is told another; the others show it what they were told.
#[test]
fn one_who_recants_is_proved_and_deposed() {
    let mut cluster = cluster(4, &[(0, "recant")]);
    // What makes the next one another batch.
    let command = cluster.setup.command(0, 9, &["x"]);
    cluster.submit_to_all(&command);
    settle(&mut cluster, &[command.identity()]);
    cluster.isolate(3);
    let votes = cluster.drop_when(|packet| matches!(packet.message, Message::Commit(_)));
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit_to_all(&command);
    cluster.deliver_all();
    cluster.heal();
    cluster.remove_rule(votes);
    settle(&mut cluster, &[command.identity()]);
    assert_eq!((proved(&cluster), highest_view(&cluster)), (BTreeSet::from([0]), 1));
}

/// No proposal comes for half a time-out. By its own clock that is too late, and it asks for the next view; but nobody comes along, and the others need it not.
#[test]
fn who_is_hasty_asks_for_a_view_alone() {
    for (attack, view) in [("fast-clock", 1), ("fast-clock@never", 0)] {
        let mut cluster = cluster(4, &[(3, attack)]);
        let proposals = cluster.hold_when(|packet| matches!(packet.message, Message::PrePrepare(_)));
        let command = cluster.setup.command(0, 1, &["x"]);
        cluster.submit_to_all(&command);
        cluster.run_for(cluster.setup.genesis.parameters().base_timeout_ms / 2);
        assert_eq!(cluster.replica(3).view().0, view, "{attack}");
        cluster.remove_rule(proposals);
        cluster.release_held();
        settle(&mut cluster, &[command.identity()]);
        run_rounds_from(&mut cluster, 1, 4);
        assert_eq!((highest_view(&cluster), proved(&cluster)), (0, BTreeSet::new()), "{attack}");
    }
}

/// Without it there is no quorum, and by its own clock there is no hurry.
#[test]
fn who_is_late_comes_along_to_the_next_view() {
    let mut cluster = cluster(4, &[(3, "slow-clock")]);
    cluster.isolate(0);
    let command = cluster.setup.command(0, 1, &["x"]);
    let ordered = accepted_after(&mut cluster, &command);
    let timeout = cluster.setup.genesis.parameters().base_timeout_ms;
    assert!(ordered < 2 * timeout, "{ordered} ms, with a time-out of {timeout}");
    assert_eq!(highest_view(&cluster), 1);
    cluster.heal();
    settle(&mut cluster, &[command.identity()]);
}
