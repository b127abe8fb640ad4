//! Replicas that are honest among themselves and not to clients.

use super::cluster::{cluster, highest_view, proved, settle};
use super::recorder::{adversary, batch, setup};
use crate::adversary::Told;
use crate::adversary::told::false_result;
use crate::cluster::Answer;
use std::collections::BTreeSet;
use varangian_consensus::{Identity, Message, Record, Slot, View};
use varangian_crypto::ReplicaId;

/// The result that this replica tells the command's client, if it tells any.
fn result(cluster: &crate::Cluster, id: u16, identity: &Identity) -> Option<Answer> {
    cluster.replies(identity).get(&ReplicaId(id)).cloned()
}

#[test]
fn each_treats_replies_in_its_own_way_where_it_strikes() {
    let setup = setup(4);
    let timeout = setup.genesis.parameters().base_timeout_ms;
    let body = [Record::Batch { slot: Slot(5), batch: batch(&setup, 2) }];
    for (attack, told, early) in
        [("wrong-replies", Told::Lie, 2), ("late-replies", Told::Late(timeout), 0), ("no-replies", Told::Nothing, 0)]
    {
        let mut io = adversary(&setup, 1, &format!("{attack}@slot=5"));
        let at = |slot| (View(0), Slot(slot));
        assert_eq!([at(4), at(5)].map(|(view, slot)| io.answer(view, slot)), [Told::Truth, told], "{attack}");
        assert_eq!(io.answer_early(View(0), &body).len(), early, "{attack}");
        assert!(!io.boasts(View(0)), "{attack}");
    }
    let mut io = adversary(&setup, 1, "wrong-status@view=1");
    assert_eq!([0, 1, 2].map(|view| io.boasts(View(view))), [false, true, false]);
    assert_eq!(io.answer(View(1), Slot(5)), Told::Truth);
    let mut io = adversary(&setup, 1, "deaf@view=1");
    assert_eq!([0, 1, 2].map(|view| io.hears_clients(View(view))), [true, false, true]);
}

/// Of several attacks the first that keeps the truth back decides, as with all that a replica says.
#[test]
fn the_first_that_has_its_way_decides_what_a_client_is_told() {
    let setup = setup(4);
    let mut io = adversary(&setup, 1, "no-replies@slot=2");
    assert_eq!(io.answer(View(0), Slot(1)), Told::Truth);
    let plan = crate::adversary::Plan::parse("no-replies@slot=2+wrong-replies").unwrap();
    plan.corrupt(&mut io, setup.signer(ReplicaId(1)), &setup.committee);
    assert_eq!([1, 2].map(|slot| io.answer(View(0), Slot(slot))), [Told::Lie, Told::Nothing]);
}

/// `f` liars agree on their lie, it comes before the truth, and the client believes the truth.
#[test]
fn f_equal_lies_are_not_believed_although_they_come_first() {
    for liars in [&[0, 3][..], &[1, 6], &[4, 5]] {
        let mut cluster = cluster(7, &[(liars[0], "wrong-replies"), (liars[1], "wrong-replies")]);
        let commits = cluster.hold_when(|packet| matches!(packet.message, Message::Commit(_)));
        let command = cluster.setup.command(0, 1, &["x"]);
        let identity = command.identity();
        cluster.submit_to_all(&command);
        cluster.deliver_all();
        let lie = Answer { slot: Slot(1), result: Some(false_result(&identity)) };
        let said: BTreeSet<u16> = cluster.replies(&identity).keys().map(|id| id.0).collect();
        assert_eq!(said, liars.iter().copied().collect(), "nothing is decided, and liars have answered");
        assert!(liars.iter().all(|id| result(&cluster, *id, &identity).as_ref() == Some(&lie)));
        assert_eq!(cluster.accepted(&identity), None);

        cluster.remove_rule(commits);
        cluster.release_held();
        settle(&mut cluster, &[identity]);
        let accepted = cluster.accepted(&identity).unwrap();
        assert_ne!(accepted, lie);
        assert_eq!(Some(accepted), cluster.disk(2).answer(&identity));
        // A retry gets the same lie.
        cluster.submit(liars[0], &command).ok();
        cluster.deliver_all();
        assert_eq!(result(&cluster, liars[0], &identity), Some(lie));
        assert_eq!((highest_view(&cluster), proved(&cluster)), (0, BTreeSet::new()), "a reply is no evidence");
    }
}

/// The limit of what can be promised, and proof that the test above would see a lie that is believed.
#[test]
fn more_than_f_equal_lies_are_believed() {
    let mut cluster = cluster(4, &[(0, "wrong-replies"), (3, "wrong-replies")]);
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit_to_all(&command);
    cluster.deliver_all();
    let accepted = cluster.accepted(&command.identity()).unwrap();
    assert_eq!(accepted.result, Some(false_result(&command.identity())));
    assert_ne!(Some(accepted), cluster.disk(1).answer(&command.identity()));
}

/// Whoever leads: the others answer, at once.
#[test]
fn a_replica_that_is_late_or_silent_to_clients_holds_up_none() {
    for id in [0, 3] {
        let mut cluster = cluster(4, &[(id, "late-replies")]);
        let command = cluster.setup.command(0, 1, &["x"]);
        let identity = command.identity();
        cluster.submit_to_all(&command);
        cluster.deliver_all();
        assert!(cluster.accepted(&identity).is_some());
        let late = cluster.setup.genesis.parameters().base_timeout_ms;
        cluster.run_for(late - 1);
        assert_eq!((cluster.now(), result(&cluster, id, &identity)), (late - 1, None));
        cluster.run_for(1);
        assert_eq!(result(&cluster, id, &identity), cluster.accepted(&identity));

        let mut cluster = super::cluster::cluster(4, &[(id, "no-replies")]);
        cluster.submit_to_all(&command);
        cluster.run_for(10 * late);
        assert!(cluster.accepted(&identity).is_some());
        assert_eq!(result(&cluster, id, &identity), None);
        assert_eq!((highest_view(&cluster), proved(&cluster)), (0, BTreeSet::new()));
    }
}

/// It knows of nothing that it alone was sent, orders what others hand it, and stays in power.
#[test]
fn a_deaf_primary_orders_what_backups_hand_it() {
    let mut cluster = cluster(4, &[(0, "deaf")]);
    let command = cluster.setup.command(0, 1, &["x"]);
    let identity = command.identity();
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    assert_eq!((cluster.executed(0), cluster.replica(0).pool().len()), (Slot(0), 0));
    cluster.submit_to_all(&command);
    settle(&mut cluster, &[identity]);
    assert!(result(&cluster, 0, &identity).is_some(), "it answers what it has not heard");
    assert_eq!((highest_view(&cluster), proved(&cluster)), (0, BTreeSet::new()));
}
