//! Golden transcripts: scripts in `testdata/`, with every message that they cause. They are read by people who learn the protocol, and
//! checked here. `REWRITE=1 cargo test -p varangian-consensus --test core transcripts` writes what happens now; then read the difference.
//!
//! | command | meaning |
//! |-|-|
//! | `cluster n=4` | new replicas r0, r1, ... with empty disks; r0 leads view 0; a checkpoint every 4 slots, a window of 8 |
//! | `command client=a sequence=1 to=(0,1)` | a client sends its signed command to these replicas; `operations=64`: that many in one |
//! | `deliver` | delivers all messages and what comes of them; `quiet`: shows no single messages; `type=`, `from=`, `to=`: only such |
//! | `drop type= from= to=` | loses such messages, those under way and all to come, until `lift` |
//! | `timeout replica=1 timer=command` | a timer runs out (`command`, `new-view`, `status`); all others are late |
//! | `run ms=200` | time passes |
//! | `crash replica=0`, `restart replica=0` | power loss; start from what the disk holds; `crash ... lands`: just after its sync |
//! | `hold replica=1` / `release replica=1` | its disk does not finish a write until released |
//! | `isolate replica=0` / `heal` | cuts it off / connects all again |
//! | `equivocate replica=0 slot=1 client=b sequence=1 to=3` | a faulty primary signs a second pre-prepare and tells only some |
//! | `status` | where everybody stands |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use datadriven::{TestCase, walk};
use std::collections::BTreeSet;
use std::sync::Arc;
use varangian_consensus::{Batch, Ignored, Message, Phase, PrePrepare, Slot};
use varangian_sim::{Cluster, Event, Fate, Loss, Options, Packet, TimerKind};

/// Which messages a command is about; what is not named may be anything.
#[derive(Clone, Debug)]
struct Which {
    kinds: Option<Vec<String>>,
    from: Option<Vec<u16>>,
    to: Option<Vec<u16>>,
}

impl Which {
    fn take(case: &mut TestCase) -> Self {
        Self {
            kinds: case.try_take_args("type").unwrap(),
            from: case.try_take_args("from").unwrap(),
            to: case.try_take_args("to").unwrap(),
        }
    }

    fn matches(&self, packet: &Packet) -> bool {
        let among = |list: &Option<Vec<u16>>, id: u16| list.as_ref().is_none_or(|list| list.contains(&id));
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| *kind == packet.message.name()))
            && among(&self.from, packet.from.0)
            && among(&self.to, packet.to.0)
    }
}

/// One script's cluster.
struct Script {
    cluster: Cluster,
}

impl Script {
    fn run(&mut self, case: &mut TestCase) -> String {
        let directive = case.directive.clone();
        let mut answer = match directive.as_str() {
            "cluster" => {
                let n = case.try_take_arg("n").unwrap().unwrap_or(4);
                self.cluster = Cluster::new(&Options { n, ..Options::default() });
                String::new()
            }
            "command" => self.command(case),
            "deliver" => self.deliver(case),
            "drop" => {
                let which = Which::take(case);
                let under_way = self.cluster.drop_in_flight(|packet| which.matches(packet));
                self.cluster.drop_when(move |packet| which.matches(packet));
                format!("{under_way} under way are lost\n")
            }
            "lift" => {
                self.cluster.clear_rules();
                String::new()
            }
            "timeout" => self.timeout(case),
            "run" => {
                let milliseconds = case.take_arg("ms").unwrap();
                self.cluster.run_for(milliseconds);
                String::new()
            }
            "crash" => {
                let loss = if case.take_flag("lands").unwrap() { Loss::AFTER_SYNC } else { Loss::POWER };
                self.cluster.crash(case.take_arg("replica").unwrap(), loss);
                String::new()
            }
            "restart" => {
                self.cluster.restart(case.take_arg("replica").unwrap());
                String::new()
            }
            "hold" => {
                self.cluster.hold_commits(case.take_arg("replica").unwrap(), true);
                String::new()
            }
            "release" => {
                self.cluster.hold_commits(case.take_arg("replica").unwrap(), false);
                String::new()
            }
            "isolate" => {
                self.cluster.isolate(case.take_arg("replica").unwrap());
                String::new()
            }
            "heal" => {
                self.cluster.heal();
                String::new()
            }
            "equivocate" => self.equivocate(case),
            "status" => self.status(),
            unknown => panic!("unknown command {unknown}"),
        };
        let quiet = case.take_flag("quiet").unwrap();
        case.expect_empty().unwrap();
        answer += &self.told(quiet);
        if answer.is_empty() { "ok\n".into() } else { answer }
    }

    fn command(&mut self, case: &mut TestCase) -> String {
        let client: char = case.take_arg("client").unwrap();
        let sequence = case.take_arg("sequence").unwrap();
        let operations = vec!["an operation"; case.try_take_arg("operations").unwrap().unwrap_or(1)];
        let command = self.cluster.setup.command(client as u8 - b'a', sequence, &operations);
        let to: Vec<u16> = case.take_args("to").unwrap();
        let mut answer = String::new();
        for to in to {
            if let Err(ignored) = self.cluster.submit(to, &command) {
                answer += &format!("r{to} does not take it: {ignored}\n");
            }
        }
        answer
    }

    fn deliver(&mut self, case: &mut TestCase) -> String {
        let which = Which::take(case);
        loop {
            let place = self.cluster.in_flight().position(|packet| which.matches(packet));
            let Some(place) = place else { break };
            assert!(self.cluster.deliver_at(place), "scripts pause nobody");
        }
        let left = self.cluster.in_flight().count();
        if left > 0 { format!("({left} others are under way)\n") } else { String::new() }
    }

    fn timeout(&mut self, case: &mut TestCase) -> String {
        let kind = match case.take_arg::<String>("timer").unwrap().as_str() {
            "command" => TimerKind::Command,
            "new-view" => TimerKind::NewView,
            "status" => TimerKind::Status,
            unknown => panic!("no timer is called {unknown}"),
        };
        let replicas: Vec<u16> = case.take_args("replica").unwrap();
        let mut answer = String::new();
        for id in replicas {
            self.cluster.skip_to(self.cluster.timer(id, kind).unwrap_or(0));
            if !self.cluster.fire_timer(id, kind) {
                answer += &format!("r{id} has no such timer running\n");
            }
        }
        answer
    }

    fn equivocate(&mut self, case: &mut TestCase) -> String {
        let (id, slot): (u16, u64) = (case.take_arg("replica").unwrap(), case.take_arg("slot").unwrap());
        let client: char = case.take_arg("client").unwrap();
        let sequence = case.take_arg("sequence").unwrap();
        self.cluster.mark_byzantine(id);
        let command = self.cluster.setup.command(client as u8 - b'a', sequence, &["an operation"]);
        let batch = Arc::new(Batch::new(vec![command]).unwrap());
        let signer = self.cluster.setup.signer(varangian_crypto::ReplicaId(id)).clone();
        let view = self.cluster.replica(id).view();
        let pre_prepare = signer.sign(PrePrepare { view, slot: Slot(slot), digest: *batch.digest() }).into_inner();
        let to: Vec<u16> = case.take_args("to").unwrap();
        // Instead of the honest core's pre-prepare and batch for that slot, which those receivers never see.
        let victims: BTreeSet<u16> = to.iter().copied().collect();
        self.cluster.drop_in_flight(|packet| {
            let lie_about = match &packet.message {
                Message::PrePrepare(signed) => signed.statement.slot == Slot(slot),
                Message::Batch { slot: about, .. } => *about == Slot(slot),
                _ => false,
            };
            lie_about && packet.from.0 == id && victims.contains(&packet.to.0)
        });
        // A liar does not listen to what proves it one.
        let liar = varangian_crypto::ReplicaId(id);
        self.cluster.drop_when(move |packet| {
            packet.to == liar && matches!(&packet.message, Message::PrePrepare(signed) if signed.signer == liar)
        });
        for to in to {
            self.cluster.inject(id, to, Message::PrePrepare(pre_prepare.clone()));
            self.cluster.inject(id, to, Message::Batch { slot: Slot(slot), batch: batch.clone() });
        }
        String::new()
    }

    fn status(&self) -> String {
        let mut answer = String::new();
        for id in self.cluster.ids() {
            answer += &if self.cluster.is_up(id.0) {
                let replica = self.cluster.replica(id.0);
                let phase = if replica.phase() == Phase::Active { "active in" } else { "asks for" };
                let (view, stable, executed) = (replica.view(), replica.stable_slot(), replica.executed());
                let pool = replica.pool().len();
                format!("{id} {phase} view={view} executed={executed} stable={stable} commands-waiting={pool}\n")
            } else {
                format!("{id} is down\n")
            };
        }
        answer
    }

    /// What happened since the last command.
    fn told(&mut self, quiet: bool) -> String {
        let mut told = String::new();
        for event in self.cluster.take_events() {
            let show = match &event {
                Event::Sent(_, fate) => !quiet && matches!(fate, Fate::Drop | Fate::Hold),
                // Ignored as known already: the third of two messages that were enough.
                Event::Delivered(_, outcome) => !quiet && *outcome != Err(Ignored::Duplicate),
                Event::Persisted(..) | Event::Lost(..) => !quiet,
                _ => true,
            };
            if show {
                told += &event.describe(&self.cluster.setup);
                told.push('\n');
            }
        }
        told
    }
}

#[test]
fn transcripts() {
    walk("tests/testdata", |file| {
        let mut script = Script { cluster: Cluster::new(&Options::default()) };
        file.run(|case| script.run(case));
    });
}
