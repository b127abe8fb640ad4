//! Schedules that broke other implementations, and those that every PBFT must survive, each by name: production runners over a network
//! and disks that the test controls. The harness checks agreement, promises, durability and evidence after everything that happens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use varangian_consensus::order::new_view_order;
use varangian_consensus::{Command, Message, NewView, Phase, PrePrepare, Record, Slot, View};
use varangian_crypto::{Bounded, ReplicaId};
use varangian_sim::cluster::Packet;
use varangian_sim::{Cluster, Event, Loss, Options, TimerKind};

const STEPS: usize = 20_000;

fn cluster() -> Cluster {
    Cluster::new(&Options::default())
}

/// A fresh command of client `a`.
fn command(cluster: &Cluster, sequence: u64) -> Command {
    cluster.setup.command(0, sequence, &[&format!("operation {sequence}")])
}

/// Everybody gets the command; it is answered.
fn commit(cluster: &mut Cluster, sequence: u64) {
    let command = command(cluster, sequence);
    cluster.submit_to_all(&command);
    assert!(
        cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), STEPS),
        "command {sequence} is not answered"
    );
}

/// After all faults: the cluster commits again, and honest replicas come to the same state.
fn heal(cluster: &mut Cluster, sequence: u64) {
    cluster.clear_rules();
    cluster.release_held();
    cluster.heal();
    for id in cluster.ids() {
        cluster.crash_at_commit(id.0, u64::MAX, Loss::POWER);
        if !cluster.is_up(id.0) {
            cluster.restart(id.0);
        }
    }
    commit(cluster, sequence);
    assert!(cluster.run_until(Cluster::is_settled, STEPS), "replicas do not settle");
    let states: Vec<_> = cluster.honest().iter().map(|id| cluster.disk(*id).state()).collect();
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "states differ");
}

fn is(name: &'static str) -> impl Fn(&Packet) -> bool {
    move |packet| packet.message.name() == name
}

/// The view and digest of the prepared certificate that a replica has on disk for a slot.
fn prepared(cluster: &Cluster, id: u16, slot: u64) -> Option<(View, varangian_crypto::Digest)> {
    let found = cluster.disk(id).records().into_iter().find_map(|record| match record {
        Record::Prepared(certificate) if certificate.pre_prepare.slot == Slot(slot) => Some(certificate.pre_prepare),
        _ => None,
    });
    found.map(|pre_prepare| (pre_prepare.view, pre_prepare.digest))
}

/// The command timer runs out as often as it takes: one that was set for a command that is done says nothing.
fn give_up(cluster: &mut Cluster, id: u16) {
    let view = cluster.replica(id).view();
    for _ in 0..5 {
        if cluster.replica(id).view() > view {
            return;
        }
        cluster.fire_timer(id, TimerKind::Command);
    }
    assert!(cluster.replica(id).view() > view, "r{id} waits for nothing");
}

fn entered(cluster: &Cluster, id: u16, view: u64) -> bool {
    cluster.replica(id).view() == View(view) && cluster.replica(id).phase() == Phase::Active
}

/// Prepared in view 0 and decided by one alone; NEW-VIEW 1 carries it; all crash before they prepare it again; view 2 must carry it.
/// Whoever clears its certificates on a NEW-VIEW forks here.
#[test]
fn prepared_in_v_then_new_view_then_crash_then_v_plus_2_carries_it() {
    carried_to_view_2(true);
}

/// The same without the crash: what is in memory must be what is on disk.
#[test]
fn prepared_in_v_then_new_view_then_v_plus_2_carries_it() {
    carried_to_view_2(false);
}

fn carried_to_view_2(crash: bool) {
    let mut cluster = cluster();
    let one = command(&cluster, 1);
    // COMMITs reach replica 3 only, and it tells nobody.
    cluster.drop_when(|packet| is("commit")(packet) && packet.to != ReplicaId(3));
    cluster.drop_when(|packet| packet.from == ReplicaId(3) && packet.message.name() != "prepare");
    cluster.submit_to_all(&one);
    cluster.deliver_all();
    assert_eq!((cluster.executed(3), cluster.executed(0)), (Slot(1), Slot(0)));
    let decided = cluster.batch_at(3, 1).unwrap();
    for id in 0..3 {
        assert_eq!(prepared(&cluster, id, 1), Some((View(0), decided)), "r{id}");
    }
    // Replica 3 is gone. View 1 begins, and nobody's vote in it gets through.
    cluster.crash(3, Loss::POWER);
    cluster.clear_rules();
    cluster.drop_when(|packet| is("prepare")(packet) || is("commit")(packet));
    for id in 1..3 {
        cluster.fire_timer(id, TimerKind::Command);
    }
    cluster.deliver_all();
    for id in 0..3 {
        assert!(entered(&cluster, id, 1), "r{id}");
        assert_eq!(prepared(&cluster, id, 1), Some((View(0), decided)), "r{id}: a NEW-VIEW clears no certificate");
    }
    // They go on to view 2 with what they hold, replica 3 still missing.
    for id in 0..3 {
        if crash {
            cluster.crash(id, Loss::POWER);
            cluster.restart(id);
        }
        assert!(entered(&cluster, id, 1), "r{id} knows the view that it entered");
    }
    let two = command(&cluster, 2);
    for id in [0, 2] {
        cluster.submit(id, &two).unwrap();
        give_up(&mut cluster, id);
    }
    // Nothing of view 1 comes to anything, so view 2 stands on what was prepared in view 0.
    cluster.clear_rules();
    cluster.deliver_all();
    assert!((0..3).all(|id| cluster.replica(id).view() == View(2)));
    assert!(cluster.run_until(|cluster| cluster.executed(2) >= Slot(1), STEPS));
    assert_eq!(cluster.batch_at(2, 1), Some(decided), "what was decided in view 0 is decided in every later view");
    heal(&mut cluster, 3);
}

/// The last COMMIT and the command's time-out meet in one turn, in both orders.
#[test]
fn a_commit_quorum_and_the_time_out_in_one_step() {
    for time_out_first in [false, true] {
        let mut cluster = cluster();
        let one = command(&cluster, 1);
        cluster.hold_when(is("commit"));
        cluster.submit_to_all(&one);
        cluster.deliver_all();
        if time_out_first {
            cluster.fire_timer(2, TimerKind::Command);
            assert_eq!(cluster.replica(2).phase(), Phase::Changing);
        }
        cluster.clear_rules();
        cluster.release_held();
        cluster.deliver_all();
        if !time_out_first {
            cluster.fire_timer(2, TimerKind::Command);
        }
        cluster.deliver_all();
        assert_eq!(cluster.executed(2), Slot(1), "the decision counts, whatever view is asked for");
        // Its command is done: alone it moves nobody, and it catches up with the others.
        for id in [0, 1, 3] {
            assert_eq!(cluster.replica(id).view(), View(0));
        }
        assert_eq!(cluster.replica(2).view(), View(u64::from(time_out_first)));
        heal(&mut cluster, 2);
    }
}

/// A time-out that comes after the block that it should have stopped stops nothing (Besu).
#[test]
fn a_time_out_after_its_command_was_executed_is_nothing() {
    let mut cluster = cluster();
    let one = command(&cluster, 1);
    cluster.submit_to_all(&one);
    cluster.deliver_all();
    assert!(cluster.accepted(&one.identity()).is_some());
    for id in 1..4 {
        cluster.fire_timer(id, TimerKind::Command);
        cluster.deliver_all();
        assert!(entered(&cluster, id, 0), "r{id} deposes a primary that ordered its command");
    }
}

/// All crash right after persisting their votes, before a single one is sent: own votes come back to the own tallies (commonware #4275).
#[test]
fn all_crash_right_after_persisting_their_votes() {
    for kind in ["prepare", "commit"] {
        let mut cluster = cluster();
        cluster.drop_when(is(kind));
        let one = command(&cluster, 1);
        cluster.submit_to_all(&one);
        cluster.deliver_all();
        let votes = |cluster: &Cluster, id| cluster.disk(id).records().len();
        for id in 0..4 {
            assert!(votes(&cluster, id) > 0, "r{id} wrote nothing");
            cluster.crash(id, Loss::POWER);
        }
        cluster.clear_rules();
        for id in 0..4 {
            cluster.restart(id);
        }
        // Nobody submits anything again.
        assert!(
            cluster.run_until(|cluster| (0..4).all(|id| cluster.executed(id) == Slot(1)), STEPS),
            "{kind}s that are on every disk decide the slot"
        );
        assert!((0..4).all(|id| entered(&cluster, id, 0)), "and nobody needs another view for it");
        heal(&mut cluster, 2);
    }
}

/// A replica's group commit lands and power fails before anything that waited for it: at every commit of a short run, for everybody at
/// once.
#[test]
fn all_lose_power_at_each_of_their_group_commits() {
    let mut points = 0;
    for at in 1.. {
        let mut cluster = cluster();
        for id in 0..4 {
            let loss = if id % 2 == 0 { Loss::AFTER_SYNC } else { Loss::POWER };
            cluster.crash_at_commit(id, at, loss);
        }
        for sequence in 1..=6 {
            let next = command(&cluster, sequence);
            for id in 0..4 {
                if cluster.is_up(id) {
                    let _busy_or_known = cluster.submit(id, &next);
                }
            }
            cluster.deliver_all();
        }
        let down = (0..4).filter(|id| !cluster.is_up(*id)).count();
        if down == 0 {
            break;
        }
        points += down;
        heal(&mut cluster, 7);
    }
    println!("{points} crashes at group commits");
    assert!(points > 30, "{points} crash points are too few");
}

/// A replica has executed, and has a stable checkpoint, beyond what the NEW-VIEW stands on: it goes back nowhere.
#[test]
fn a_replica_that_is_ahead_of_min_goes_back_nowhere() {
    let mut cluster = cluster();
    for sequence in 1..=3 {
        commit(&mut cluster, sequence);
    }
    // Replica 3 alone learns that checkpoint 4 is stable.
    cluster.drop_when(|packet| is("checkpoint")(packet) && packet.to != ReplicaId(3));
    cluster.drop_when(is("stable"));
    commit(&mut cluster, 4);
    cluster.deliver_all();
    assert_eq!(cluster.replica(3).stable_slot(), Slot(4));
    assert_eq!(cluster.replica(0).stable_slot(), Slot(0));
    // View 1 stands on the VIEW-CHANGEs of 0, 1 and 2: min is genesis.
    let five = command(&cluster, 5);
    cluster.crash(0, Loss::KILL);
    cluster.restart(0);
    cluster.drop_when(|packet| is("view-change")(packet) && packet.from == ReplicaId(3));
    cluster.drop_when(is("pre-prepare"));
    cluster.submit_to_all(&five);
    cluster.deliver_all();
    for id in 1..3 {
        give_up(&mut cluster, id);
    }
    cluster.deliver_all();
    let new_view = cluster.disk(3).records().into_iter().find_map(|record| match record {
        Record::NewView(signed) => Some(signed),
        _ => None,
    });
    let new_view = new_view.expect("it entered view 1");
    assert!(new_view.statement.view_changes.iter().all(|signed| signed.statement.stable.is_none()), "min is genesis");
    let carried: Vec<_> = new_view.statement.pre_prepares.iter().map(|vote| vote.statement.slot.0).collect();
    assert_eq!(&carried[..4], [1, 2, 3, 4]);
    assert!(cluster.replica(3).stable_slot() >= Slot(4) && cluster.executed(3) >= Slot(4), "nothing goes back");
    cluster.clear_rules();
    assert!(cluster.run_until(|cluster| cluster.accepted(&five.identity()).is_some(), STEPS));
    heal(&mut cluster, 6);
}

/// A checkpoint becomes stable while a view change is under way, and in the very step in which the NEW-VIEW arrives.
#[test]
fn a_checkpoint_that_lands_during_a_view_change() {
    let mut cluster = cluster();
    for sequence in 1..=3 {
        commit(&mut cluster, sequence);
    }
    cluster.hold_when(is("checkpoint"));
    commit(&mut cluster, 4);
    let five = command(&cluster, 5);
    let hold = cluster.hold_when(|packet| is("pre-prepare")(packet) || is("prepare")(packet) || is("new-view")(packet));
    cluster.submit_to_all(&five);
    cluster.deliver_all();
    for id in 1..3 {
        give_up(&mut cluster, id);
    }
    cluster.deliver_all();
    assert!((0..4).filter(|id| cluster.replica(*id).phase() == Phase::Changing).count() >= 3);
    assert!((0..4).all(|id| cluster.replica(id).stable_slot() == Slot(0)));
    cluster.remove_rule(hold);
    cluster.clear_rules();
    // The CHECKPOINTs were sent first, so they land between VIEW-CHANGE and NEW-VIEW.
    cluster.release_held();
    assert!(cluster.run_until(|cluster| cluster.accepted(&five.identity()).is_some(), STEPS));
    assert!(cluster.run_until(|cluster| (0..4).all(|id| cluster.replica(id).stable_slot() == Slot(4)), STEPS));
    heal(&mut cluster, 6);
}

/// Checkpoints in V differ (Fabric 0.6 changed views for ever): the highest proved one is the floor, and who lacks it catches up.
#[test]
fn stable_checkpoints_in_v_differ() {
    let mut cluster = cluster();
    cluster.isolate(2);
    for sequence in 1..=4 {
        let next = command(&cluster, sequence);
        for id in [0, 1, 3] {
            cluster.submit(id, &next).unwrap();
        }
        cluster.deliver_all();
    }
    assert_eq!((cluster.replica(1).stable_slot(), cluster.replica(2).stable_slot()), (Slot(4), Slot(0)));
    // Replica 2 comes back, and replica 0 goes before it could tell it anything.
    cluster.crash(0, Loss::POWER);
    cluster.drop_when(|packet| {
        packet.to == ReplicaId(2) && matches!(packet.message.name(), "stable" | "committed" | "decided")
    });
    cluster.heal();
    let five = command(&cluster, 5);
    for id in 1..4 {
        cluster.submit(id, &five).unwrap();
    }
    for id in 1..3 {
        give_up(&mut cluster, id);
    }
    cluster.deliver_all();
    assert!(cluster.replica(2).is_behind(), "V proves that it is behind");
    cluster.clear_rules();
    assert!(cluster.run_until(|cluster| cluster.accepted(&five.identity()).is_some(), STEPS));
    assert!((1..4).all(|id| cluster.replica(id).view() == View(1)), "one view change is enough");
    heal(&mut cluster, 6);
}

/// A certificate that exists and is in nobody's VIEW-CHANGE of V: its batch cannot have been decided, and null takes its slot; who
/// holds it does not disturb that.
#[test]
fn a_certificate_hidden_outside_v() {
    let mut cluster = cluster();
    let one = command(&cluster, 1);
    // Only replica 3 gets the PREPAREs, so it alone is prepared; then a second slot is prepared by all but it.
    cluster.drop_when(|packet| is("prepare")(packet) && packet.to != ReplicaId(3));
    cluster.drop_when(is("commit"));
    for id in 0..3 {
        cluster.submit(id, &one).unwrap();
    }
    cluster.deliver_all();
    assert!(prepared(&cluster, 3, 1).is_some() && prepared(&cluster, 1, 1).is_none());
    cluster.isolate(3);
    for id in 1..3 {
        cluster.fire_timer(id, TimerKind::Command);
    }
    cluster.clear_rules();
    assert!(cluster.run_until(|cluster| cluster.accepted(&one.identity()).is_some(), STEPS));
    assert!(entered(&cluster, 1, 1));
    cluster.heal();
    assert!(cluster.run_until(|cluster| cluster.executed(3) == cluster.executed(1), STEPS));
    assert_eq!(cluster.batch_at(3, 1), cluster.batch_at(1, 1));
    heal(&mut cluster, 2);
}

/// The new primary shows each half another V: two valid NEW-VIEWs for one view. Nothing forks, it is named, and the view fails.
#[test]
fn two_new_views_for_one_view() {
    let mut cluster = cluster();
    cluster.mark_byzantine(1);
    let one = command(&cluster, 1);
    cluster.drop_when(|packet| is("commit")(packet) || (is("prepare")(packet) && packet.to != ReplicaId(2)));
    cluster.submit_to_all(&one);
    cluster.deliver_all();
    let digest = prepared(&cluster, 2, 1).expect("replica 2 alone is prepared").1;
    cluster.clear_rules();
    // What the core of replica 1 would say is lost; its VIEW-CHANGE is kept.
    cluster.drop_when(|packet| is("new-view")(packet) && packet.from == ReplicaId(1));
    for id in 2..4 {
        cluster.fire_timer(id, TimerKind::Command);
    }
    cluster.deliver_all();
    let mut changes: Vec<_> = cluster
        .events()
        .filter_map(|event| match event {
            Event::Sent(Packet { message: Message::ViewChange(signed), .. }, _) => Some(signed.as_ref().clone()),
            _ => None,
        })
        .collect();
    changes.sort_by_key(|signed| signed.signer);
    changes.dedup();
    assert_eq!(changes.len(), 4);
    let signer = cluster.setup.signer(ReplicaId(1)).clone();
    let with = |left_out: usize| {
        let mut shown = changes.clone();
        shown.remove(left_out);
        let order = new_view_order(shown.iter().map(|signed| &signed.statement), 8).unwrap();
        let votes = order.slots.iter().map(|(slot, digest)| PrePrepare { view: View(1), slot: *slot, digest: *digest });
        let votes: Vec<_> = votes.map(|vote| signer.sign(vote).into_inner()).collect();
        let statement = NewView {
            view: View(1),
            view_changes: Bounded::try_from(shown).unwrap(),
            pre_prepares: Bounded::try_from(votes).unwrap(),
        };
        Message::NewView(Box::new(signer.sign(statement).into_inner()))
    };
    let (carries, hides) = (with(0), with(2));
    assert_ne!(carries, hides);
    cluster.clear_rules();
    cluster.inject(1, 0, carries.clone());
    cluster.inject(1, 2, carries);
    cluster.inject(1, 3, hides.clone());
    cluster.deliver_all();
    assert!(entered(&cluster, 0, 1) && entered(&cluster, 2, 1) && entered(&cluster, 3, 1));
    // Whoever hears of the other one can prove it, and goes on to view 2.
    assert!(cluster.run_until(|cluster| cluster.accepted(&one.identity()).is_some(), STEPS));
    assert!(
        cluster
            .batch_at(0, 1)
            .is_none_or(|executed| executed == digest || cluster.checks.agreed()[&Slot(1)] == executed)
    );
    // Replica 3 shows replica 0 what it was told.
    cluster.inject(3, 0, hides);
    heal(&mut cluster, 2);
    let accused: Vec<_> =
        [0, 2, 3].iter().flat_map(|id| cluster.evidence(*id)).map(|proof| (proof.accused(), proof.kind())).collect();
    assert!(!accused.is_empty() && accused.iter().all(|(who, _)| *who == ReplicaId(1)), "{accused:?}");
}

/// The primary of a new view waits for its own VIEW-CHANGE to be durable: what it has prepared itself is in V, always.
#[test]
fn the_new_primarys_own_view_change_is_in_v() {
    let mut cluster = cluster();
    let one = command(&cluster, 1);
    cluster.drop_when(|packet| is("commit")(packet) || is("pre-prepare")(packet));
    cluster.submit_to_all(&one);
    cluster.deliver_all();
    cluster.hold_own_votes(1, true);
    for id in [2, 3] {
        give_up(&mut cluster, id);
    }
    cluster.deliver_all();
    assert_eq!((cluster.replica(1).view(), cluster.replica(1).phase()), (View(1), Phase::Changing));
    let drafted =
        |cluster: &Cluster| cluster.disk(1).records().iter().any(|record| matches!(record, Record::Drafted(_)));
    assert!(!drafted(&cluster), "it has the VIEW-CHANGEs of all others, and not its own");
    cluster.hold_own_votes(1, false);
    assert!(drafted(&cluster));
    heal(&mut cluster, 2);
}
