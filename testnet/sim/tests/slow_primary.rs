//! What a slow or unfair primary can do to the throughput of clients that wait for answers: a simulated minute, beside the same one without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use varangian_crypto::Parameters;
use varangian_sim::adversary::{Attack, Trigger};
use varangian_sim::world::plan::{Act, Evil, How, Machine, Network, Rest, What};
use varangian_sim::world::{Outcome, Plan, Run, run};

const MINUTE: u64 = 60_000_000;

/// Four replicas, `clients` clients with four commands on their way each, all of it at once or not, for a minute.
struct Setting {
    seed: u64,
    delay: u64,
    base: u64,
    clients: u8,
    loss: u64,
    /// Of a hundred commands, so many go to all replicas at once.
    to_all: u64,
    count: u64,
    spread: u64,
}

impl Setting {
    fn plan(&self, attack: Option<(u16, &str)>) -> Plan {
        let n = 4;
        let machine = Machine { tick: 1_000_000, sync: 1000, execute: 200, sign: 50, turn: 100 };
        let delays = vec![vec![self.delay; 4]; 4];
        let adversaries: Vec<Evil> = attack
            .map(|(replica, name)| Evil { replica, how: How::Attack(Attack::parse(name).unwrap()) })
            .into_iter()
            .collect();
        let faulty = |node: &usize| adversaries.iter().any(|evil| usize::from(evil.replica) == *node);
        let what = |number: u64| What::Command {
            gap: 0,
            operations: 1,
            bytes: 16,
            to_all: number.wrapping_mul(2_654_435_761) >> 7 & 127 < self.to_all * 128 / 100,
        };
        let act = |number: u64| Act {
            at: 100_000 + number * self.spread,
            client: (number % u64::from(self.clients)) as u8,
            what: what(number),
        };
        Plan {
            seed: self.seed,
            n,
            parameters: Parameters {
                checkpoint_interval: 16,
                window: 64,
                pipeline_depth: 4,
                max_batch_bytes: 1 << 14,
                max_batch_operations: 256,
                max_command_bytes: 1024,
                client_window: 16,
                armed_commands: 8,
                client_pool_commands: 4,
                pool_bytes: 1 << 16,
                base_timeout_ms: self.base,
                max_timeout_ms: self.base * 16,
                ..Parameters::default()
            },
            real_signatures: false,
            honest_clients: self.clients,
            clients: self.clients,
            calm: false,
            network: Network { delays, loss: self.loss, link: 1024, inbox: 4096, ..Network::default() },
            nodes: vec![machine; 4],
            core: (0..4).filter(|node| !faulty(node)).collect(),
            rest: (0..4).filter(faulty).map(|node| (node, Rest::Runs)).collect(),
            adversaries,
            commands: (0..self.count).map(act).collect(),
            faults: Vec::new(),
            heal_at: MINUTE,
            tail: 1,
        }
    }

    fn run(&self, attack: Option<(u16, &str)>) -> Outcome {
        let outcome = run(&self.plan(attack), Run::default());
        assert_eq!(outcome.violation, None);
        outcome
    }
}

#[test]
fn experiment() {
    let _ = Trigger::Always;
    for (delay, base, count) in [(10_000, 1000, 15_000), (2000, 500, 40_000), (40_000, 4000, 5000)] {
        for to_all in [0, 25, 100] {
            let setting = Setting { seed: 1, delay, base, clients: 4, loss: 0, to_all, count, spread: 0 };
            let clean = setting.run(None);
            print!("{delay} {base} {to_all:>3} clean {:>6} v{}", clean.acknowledged_in_faults, clean.views);
            for attack in ["slow", "silent", "slow@slot=200..", "late"] {
                let attacked = setting.run(Some((0, attack)));
                print!("  | {attack} {:>3}% v{}", attacked.acknowledged_in_faults * 100 / clean.acknowledged_in_faults, attacked.views);
            }
            println!();
        }
    }
}
