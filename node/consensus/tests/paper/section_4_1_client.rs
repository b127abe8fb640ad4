//! §4.1: the client.

use super::support::*;
use varangian_consensus::{Ignored, Verdict};
use varangian_crypto::ReplicaId;
use varangian_sim::{Loss, TimerKind};

/// §4.1: "A client requests the execution of an operation by sending a REQUEST to the primary", and "waits for f+1 replies with valid signatures
/// from different replicas, and with the same t and r, before accepting the result".
#[test]
fn a_result_is_accepted_on_f_plus_1_equal_replies() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    // Only r0 hears enough COMMITs to execute.
    cluster.drop_when(|packet| is(packet, "commit") && packet.to.0 != 0);
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    assert_eq!(cluster.replies(&command.identity()).len(), 1);
    assert_eq!(cluster.accepted(&command.identity()), None, "one reply can be a lie");
    cluster.clear_rules();
    cluster.run_for(1000);
    assert_eq!(cluster.replies(&command.identity()).len(), 4);
    assert_eq!(cluster.accepted(&command.identity()).unwrap().slot.0, 1);
}

/// §4.1: "If the client does not receive replies soon enough, it broadcasts the request to all replicas. If the request has already
/// been processed, the replicas simply re-send the reply; replicas remember the last reply message they sent to each client."
#[test]
fn a_retry_gets_the_original_reply_and_does_not_run_again() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(0, &command).unwrap();
    cluster.deliver_all();
    let first = cluster.accepted(&command.identity()).unwrap();
    fill(&mut cluster, 0, 1, [1]);
    for id in 0..4 {
        cluster.submit(id, &command).unwrap();
    }
    assert_eq!(cluster.in_flight().count(), 0, "nobody orders it again");
    assert_eq!(cluster.accepted(&command.identity()).unwrap(), first);
    let repeated =
        cluster.take_events().into_iter().filter(|event| matches!(event, varangian_sim::Event::Repeated(..))).count();
    assert_eq!(repeated, 4);
}

/// §4.1: "Otherwise, if the replica is not the primary, it relays the request to the primary."
#[test]
fn a_backup_relays_a_command_to_the_primary() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(2, &command).unwrap();
    assert_eq!(under_way(&cluster, 0, "command").len(), 1);
    assert_eq!(cluster.in_flight().count(), 1, "to the primary alone");
    cluster.deliver_all();
    assert!(cluster.accepted(&command.identity()).is_some());
}

/// §4.1: "If the primary does not multicast the request to the group, it will eventually be suspected to be faulty by enough replicas to
/// cause a view change."
#[test]
fn a_primary_that_does_not_order_a_command_is_deposed() {
    let mut cluster = cluster();
    cluster.crash(0, Loss::POWER);
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit_to_all(&command);
    assert!(cluster.run_until(|cluster| cluster.accepted(&command.identity()).is_some(), 2000));
    assert!((1..4).all(|id| cluster.replica(id).view().0 == 1), "one view change was enough");
}

/// The same for a primary that is alive and starves one client: the timer is for that very command, and progress of others does not
/// reset it (protocol.md, "Commands and exactly-once").
#[test]
fn a_primary_that_starves_one_client_is_deposed_in_spite_of_progress() {
    let mut cluster = cluster();
    let starved = cluster.setup.command(1, 1, &["x"]);
    let victim = starved.clone();
    cluster.mark_byzantine(0);
    cluster.drop_when(move |packet| {
        packet.to.0 == 0
            && matches!(&packet.message, varangian_consensus::Message::Command(command) if *command == victim)
    });
    for id in 1..4 {
        cluster.submit(id, &starved).unwrap();
    }
    let mut sequence = 0;
    while cluster.accepted(&starved.identity()).is_none() {
        sequence += 1;
        assert!(sequence < 40, "a starved command is ordered in the end");
        let other = cluster.setup.command(0, sequence, &["x"]);
        let primary = cluster.replica(1).view().0 % 4;
        cluster.submit(u16::try_from(primary).unwrap(), &other).unwrap();
        cluster.run_for(100);
    }
    assert_eq!(cluster.replica(1).view().0, 1);
    assert!(cluster.now() <= 2000, "within the time-out and what a view change takes, not {} ms", cluster.now());
}

/// §4.1: timestamps "ensure exactly-once semantics". Two commands of one client with one sequence: one of them runs, the same one everywhere.
#[test]
fn two_commands_with_one_sequence_run_as_one() {
    let mut cluster = cluster();
    let first = cluster.setup.command(0, 7, &["pay once"]);
    let second = cluster.setup.command(0, 7, &["pay twice"]);
    cluster.submit(0, &first).unwrap();
    for id in 1..4 {
        cluster.submit(id, &second).unwrap();
    }
    cluster.run_for(3000);
    assert!(cluster.is_settled());
    assert_eq!(cluster.executed(0).0, 1);
    assert_eq!(cluster.replies(&first.identity()).len(), 4, "whoever asks gets the outcome of the one that ran");
    assert_eq!(cluster.replica(0).view().0, 0, "no honest primary is deposed for it");
}

/// The same, where a faulty primary orders both: the second has its slot and does not run.
#[test]
fn a_command_that_is_ordered_twice_runs_once() {
    let mut cluster = cluster();
    cluster.mark_byzantine(0);
    let again = batch(&cluster, 0, 1);
    fill(&mut cluster, 0, 0, [1]);
    let forged = hand(&cluster, 0).pre_prepare(0, 2, *again.digest());
    cluster.inject_to_all(0, &forged);
    cluster.inject_to_all(0, &varangian_consensus::Message::Batch { slot: varangian_consensus::Slot(2), batch: again });
    cluster.deliver_all();
    assert_eq!(cluster.executed(1).0, 2);
    let verdicts: Vec<_> = cluster.disk(1).executed()[1].answers.iter().map(|(_, verdict, _)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::Duplicate]);
    assert_eq!(cluster.disk(1).executed()[0].state, cluster.disk(1).executed()[1].state);
}

/// protocol.md, "Commands and exactly-once": a sequence far above slides the window; below the floor the answer is `TooOld`, which means *unknown*.
#[test]
fn a_sequence_below_the_window_is_too_old() {
    let mut cluster = cluster();
    fill(&mut cluster, 0, 0, [100]);
    for (sequence, outcome) in [(84, Err(Ignored::TooOld)), (85, Ok(())), (100, Ok(()))] {
        let command = cluster.setup.command(0, sequence, &["x"]);
        assert_eq!(cluster.submit(0, &command), outcome, "sequence {sequence}");
    }
    cluster.deliver_all();
    assert_eq!(cluster.executed(0).0, 2, "85 was skipped before and runs now; 100 does not run again");
}

/// protocol.md: a client that the genesis does not list is refused before anything is done for it.
#[test]
fn an_unknown_client_is_refused() {
    use varangian_consensus::{Command, Input};
    use varangian_crypto::{SigningKey, Verify};
    let mut cluster = cluster();
    let stranger = SigningKey::from_seed([250; 32]);
    let command = Command::sign(&stranger, cluster.setup.committee.context(), 1, &["x"]).unwrap();
    let command = command.verify(&cluster.setup.committee).unwrap();
    assert_eq!(cluster.input(0, Input::Command(command)), Err(Ignored::UnknownClient));
}

/// §4.1 relies on requests reaching the primary. One that a lossy link swallowed is sent again with the status exchange, long before
/// the time-out: no honest primary is deposed for a lost message.
#[test]
fn a_relayed_command_that_is_lost_is_relayed_again() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    cluster.submit(1, &command).unwrap();
    assert_eq!(cluster.drop_in_flight(|packet| is(packet, "command")), 1);
    cluster.run_for(900);
    assert!(cluster.accepted(&command.identity()).is_some());
    assert_eq!(cluster.replica(1).view().0, 0);
}

/// The same for a primary that restarts: its pool is memory, and the backups that relayed still wait for it.
#[test]
fn a_restarted_primary_gets_the_commands_again() {
    let mut cluster = cluster();
    let command = cluster.setup.command(0, 1, &["x"]);
    let other = cluster.setup.command(1, 1, &["x"]);
    cluster.hold_commits(0, true);
    cluster.submit(1, &command).unwrap();
    cluster.submit(1, &other).unwrap();
    cluster.deliver_all();
    cluster.crash(0, Loss::POWER);
    cluster.restart(0);
    cluster.deliver_all();
    assert_eq!(cluster.now(), 0, "they come with the connection, both of them");
    assert!(cluster.accepted(&other.identity()).is_some());
    cluster.run_for(900);
    assert!(cluster.accepted(&command.identity()).is_some());
    assert!(cluster.ids().iter().all(|id| cluster.replica(id.0).view().0 == 0));
    assert_eq!(cluster.timer(1, TimerKind::Command).map_or(0, |due| due / 1000), 1, "the timer was not reset");
    assert_eq!(cluster.checks.ran(&command.identity()).map(|slot| slot.0), Some(1));
    assert!(cluster.replies(&command.identity()).contains_key(&ReplicaId(3)));
}
