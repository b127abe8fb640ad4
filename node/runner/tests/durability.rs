//! Durable before sent, in the one place that knows it: every call of a runner is held against what its core wanted, with disks that
//! are slow, that fail, and that crash after every group commit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod durability_support;

use durability_support::mutants::{DoesNotWait, Flaw, Forgets, Mutant, Overtakes, Reorders, SendsFirst, Sound};
use durability_support::world::World;
use durability_support::{Drive, Fault, Net, Shell, proved};
use varangian_consensus::{Input, Message, Slot};
use varangian_crypto::ReplicaId;
use varangian_runner::{Runner, Token};

/// Commands, a view change under load, more commands up to two checkpoints.
fn run<D: Drive>(net: &mut Net<'_, D>) {
    for sequence in 1..=3 {
        net.submit(0, sequence);
        net.submit(1, sequence);
        net.run();
    }
    // The primary falls silent, and time runs out for a command.
    net.mute = Some(0);
    net.submit(2, 1);
    net.run();
    for _ in 0..2 {
        net.fire(0);
        net.run();
    }
    net.mute = None;
    net.fire(2);
    net.run();
    for sequence in 4..=9 {
        net.submit(0, sequence);
        net.run();
    }
}

/// Time passes for those who lack something.
fn settle<D: Drive>(net: &mut Net<'_, D>, n: u16) {
    for _ in 0..12 {
        net.fire(2);
        net.run();
    }
    for sequence in 20..=21 {
        net.submit(3, sequence);
        net.run();
        net.fire(2);
        net.run();
        net.fire(0);
        net.run();
        net.fire(2);
        net.run();
        net.fire(2);
        net.run();
    }
    let alive: Vec<u16> = (0..n).filter(|id| !net.is_halted(*id)).collect();
    let executed: Vec<Slot> = alive.iter().map(|id| net.executed(*id)).collect();
    assert!(executed.windows(2).all(|pair| pair[0] == pair[1]), "they do not meet: {executed:?}");
}

#[test]
fn nothing_leaves_before_its_records_are_durable() {
    let world = World::new(4);
    for delay in [false, true] {
        let mut net: Net<'_, Runner<Shell>> = Net::new(&world);
        net.delay = delay;
        run(&mut net);
        settle(&mut net, 4);
        assert_eq!(net.violations, [""; 0]);
        assert!(net.executed(0) >= Slot(8), "the run got nowhere");
        for id in 0..4 {
            assert!(net.shell(id).is_idle(), "r{id} still waits for something");
        }
    }
}

/// While a disk is busy everything that comes queues up, and one sync covers all of it.
#[test]
fn a_group_commit_gathers_what_queues_up_behind_a_slow_one() {
    let world = World::new(4);
    let mut runner = Runner::start(world.config(1), 0, Default::default(), [], Recorder::default()).unwrap();
    for slot in 1..=8 {
        let batch = world.batch(0, slot);
        let messages = [
            Message::PrePrepare(world.pre_prepare(0, slot, *batch.digest())),
            Message::Batch { slot: Slot(slot), batch },
        ];
        for message in messages {
            let delivery = proved(message, &world);
            // Bodies are taken with their pre-prepares.
            runner.step(0, Input::Message { from: ReplicaId(0), delivery }).unwrap();
            runner.run();
        }
    }
    assert_eq!(runner.io().sizes, [2], "a body and a vote are under way, nothing else");
    let before = runner.io().votes;
    runner.persisted(Token(1));
    assert_eq!(runner.io().votes, before + 1, "the first PREPARE, and none of those behind the next group");
    assert_eq!(runner.io().sizes, [2, 14], "seven bodies and seven votes in one group");
    runner.persisted(Token(2));
    assert_eq!((runner.io().votes, runner.waiting()), (before + 8, 0));
}

/// At every group commit of every replica: the disk fails, or power does before or after.
#[test]
fn every_group_commit_fails_once() {
    let world = World::new(4);
    let mut calm: Net<'_, Runner<Shell>> = Net::new(&world);
    run(&mut calm);
    let counts: Vec<u64> = (0..4).map(|id| calm.groups(id)).collect();
    assert!(calm.view(0).0 > 0, "the run has a view change");
    assert!(counts.iter().all(|count| *count > 5));
    let (mut visited, mut points) = (0, 0);
    for id in 0..4_u16 {
        for at in 1..=counts[usize::from(id)] {
            for fault in [Fault::Fails, Fault::CrashBefore, Fault::CrashAfter] {
                let mut net: Net<'_, Runner<Shell>> = Net::new(&world);
                (net.fault, net.delay) = (Some((id, at, fault)), at % 2 == 0);
                run(&mut net);
                settle(&mut net, 4);
                assert_eq!(net.violations, [""; 0], "r{id} at its group {at}: {fault:?}");
                visited += net.visited;
                points += 1;
                if fault == Fault::Fails && net.visited > 0 {
                    assert!(net.is_halted(id));
                }
            }
        }
    }
    println!("{visited} of {points} crash points visited");
    assert!(visited > 150 && visited * 10 >= points * 9, "too few of the crash points were visited");
}

/// Nothing at all leaves behind a group commit that fails.
#[test]
fn a_failed_group_commit_is_the_last_thing_a_runner_does() {
    let world = World::new(4);
    let mut runner = Runner::start(world.config(0), 0, Default::default(), [], Recorder::default()).unwrap();
    for sequence in 1..=3 {
        runner.step(0, Input::Command(world.command(0, sequence))).unwrap();
        runner.run();
    }
    let (before, waiting) = (runner.io().calls, runner.waiting());
    assert_eq!(runner.io().groups, [Token(1)], "one group commit, and it is never reported");
    assert!(waiting > 0);
    for sequence in 4..=6 {
        // Busy at the end.
        runner.step(0, Input::Command(world.command(1, sequence))).ok();
        runner.run();
    }
    for wrong in [Token(0), Token(2), Token(u64::MAX)] {
        runner.persisted(wrong);
    }
    assert_eq!(
        (runner.io().calls, runner.io().groups.len()),
        (before, 1),
        "something left behind a failed group commit"
    );
    // Were it reported after all, everything would follow in order, once.
    runner.persisted(Token(1));
    let after = runner.io().calls;
    assert!(after > before);
    runner.persisted(Token(1));
    assert_eq!(runner.io().calls, after, "a token counts once");
}

/// Counts.
#[derive(Debug, Default)]
struct Recorder {
    groups: Vec<Token>,
    sizes: Vec<usize>,
    votes: u64,
    calls: u64,
}

impl varangian_runner::Io for Recorder {
    fn persist(&mut self, records: Vec<varangian_consensus::Record>, token: Token) {
        self.groups.push(token);
        self.sizes.push(records.len());
    }
    fn vote(&mut self, _: varangian_consensus::Vote) {
        self.votes += 1;
        self.calls += 1;
    }
    fn deliver(&mut self, _: varangian_consensus::Delivery) {
        self.calls += 1;
    }
    fn broadcast(&mut self, _: varangian_consensus::Message) {
        self.calls += 1;
    }
    fn send(&mut self, _: varangian_crypto::ReplicaId, _: varangian_consensus::Message) {
        self.calls += 1;
    }
    fn send_batch(&mut self, _: varangian_crypto::ReplicaId, _: Slot, _: varangian_crypto::Digest) {
        self.calls += 1;
    }
    fn send_decided(&mut self, _: varangian_crypto::ReplicaId, _: Slot, _: Slot) {
        self.calls += 1;
    }
    fn execute(&mut self, _: varangian_consensus::Execution) {
        self.calls += 1;
    }
    fn reply(&mut self, _: varangian_consensus::Identity) {
        self.calls += 1;
    }
    fn set_timer(&mut self, _: varangian_consensus::Timer, _: u64) {
        self.calls += 1;
    }
    fn accuse(&mut self, _: varangian_consensus::Evidence) {
        self.calls += 1;
    }
    fn alarm(&mut self, _: varangian_consensus::Alarm) {
        self.calls += 1;
    }
}

fn violations<F: Flaw>() -> Vec<String> {
    let world = World::new(4);
    let mut net: Net<'_, Mutant<F>> = Net::new(&world);
    net.delay = true;
    run(&mut net);
    net.violations
}

/// The check is able to fail: each broken runner is caught, for its own reason, and the sound copy is not.
#[test]
fn broken_runners_are_caught() {
    assert_eq!(violations::<Sound>(), [""; 0]);
    let caught = |found: Vec<String>, word: &str| {
        assert!(found.iter().any(|violation| violation.contains(word)), "not caught: {:?}", found.first());
    };
    caught(violations::<SendsFirst>(), "is durable");
    caught(violations::<DoesNotWait>(), "is durable");
    caught(violations::<Overtakes>(), "is durable");
    caught(violations::<Reorders>(), "out of order");
    caught(violations::<Forgets>(), "another record");
}
