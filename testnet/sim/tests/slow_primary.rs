//! What slow and unfair primaries do to the throughput of clients that wait for answers: a simulated minute beside the same one without the attack. And that nobody
//! honest is deposed for a shortfall, whatever the load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use varangian_crypto::Parameters;
use varangian_sim::adversary::Attack;
use varangian_sim::world::plan::{Act, Evil, How, Machine, Network, Rest, Stalls, What};
use varangian_sim::world::{Outcome, Plan, Probe, Run, run};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Four replicas; clients with up to four commands on their way each.
#[derive(Clone, Copy)]
struct Setting {
    /// Delay of all links, and as much again at random.
    delay: u64,
    base_timeout: u64,
    loss: u64,
    /// Of the one disk that all share.
    stalls: Stalls,
    batch_operations: u32,
    /// What backups may have armed.
    armed: u32,
    clients: u8,
    commands: u64,
    /// Of a hundred commands, so many go to all replicas at once, not only when no answer comes.
    to_all: u64,
    /// When a command is there to be sent, by its number.
    at: fn(u64) -> u64,
    /// Its operations, by its number.
    operations: fn(u64) -> u8,
}

/// More than can be served in a minute is there from the beginning.
const BUSY: Setting = Setting {
    delay: 20_000,
    base_timeout: 2000,
    loss: 0,
    stalls: Stalls { every: 0, during: 0 },
    batch_operations: 256,
    armed: 4,
    clients: 4,
    commands: 5500,
    to_all: 12,
    at: |_| SECOND / 10,
    operations: |_| 1,
};

/// Commands that fill a batch.
const FULL: u8 = 200;

impl Setting {
    fn plan(&self, attack: Option<&str>) -> Plan {
        let machine = Machine { tick: 1_000_000, sync: 1000, stalls: self.stalls, execute: 200, sign: 50, turn: 100 };
        let evil = |name| Evil { replica: 0, how: How::Attack(Attack::parse(name).unwrap()) };
        let adversaries: Vec<Evil> = attack.into_iter().map(evil).collect();
        let act = |number: u64| Act {
            at: (self.at)(number),
            client: (number % u64::from(self.clients)) as u8,
            what: What::Command {
                gap: 0,
                operations: (self.operations)(number),
                bytes: if (self.operations)(number) > 1 { 0 } else { 16 },
                to_all: (number.wrapping_mul(0x9e37_79b9) >> 16) % 100 < self.to_all,
            },
        };
        Plan {
            script: None,
            seed: 1,
            n: 4,
            parameters: Parameters {
                checkpoint_interval: 16,
                window: 64,
                pipeline_depth: 4,
                max_batch_bytes: 1 << 14,
                max_batch_operations: self.batch_operations,
                max_command_bytes: 1 << 12,
                client_window: 16,
                armed_commands: self.armed,
                client_pool_commands: 4,
                pool_bytes: 1 << 18,
                base_timeout_ms: self.base_timeout,
                max_timeout_ms: self.base_timeout * 16,
                ..Parameters::default()
            },
            real_signatures: false,
            honest_clients: self.clients,
            clients: self.clients,
            calm: false,
            network: Network {
                delays: vec![vec![self.delay; 4]; 4],
                loss: self.loss,
                link: 1024,
                inbox: 4096,
                ..Network::default()
            },
            nodes: vec![machine; 4],
            core: (adversaries.len()..4).collect(),
            rest: (0..adversaries.len()).map(|node| (node, Rest::Runs)).collect(),
            adversaries,
            commands: (0..self.commands).map(act).collect(),
            faults: Vec::new(),
            heal_at: MINUTE,
            tail: 1,
        }
    }

    fn run(&self, attack: Option<&str>) -> Outcome {
        let outcome = run(&self.plan(attack), Run::default());
        assert_eq!(outcome.violation, None, "{attack:?}");
        outcome
    }
}

/// A debug build is slow: it plays the first of them only.
fn played<T>(all: &[T], in_debug: usize) -> &[T] {
    if cfg!(debug_assertions) { &all[..in_debug] } else { all }
}

#[test]
fn a_slow_or_unfair_primary_costs_three_tenths_of_a_minute_at_most() {
    let attacks = [
        "slow",
        "slow-edge",
        "starve",
        "slow@slot=300..",
        "slow-edge@slot=300..",
        "slow@p=0.3,seed=1",
        "slow-some",
        "small-batches",
        "censor",
        "late",
    ];
    for to_all in played(&[BUSY.to_all, 0], 1) {
        let setting = Setting { to_all: *to_all, ..BUSY };
        let clean = setting.run(None).acknowledged_in_faults;
        assert!(clean < setting.commands, "the clients were idle at the end");
        for attack in played(&attacks, 2) {
            let attacked = setting.run(Some(attack));
            let percent = attacked.acknowledged_in_faults * 100 / clean;
            println!("{to_all} {attack}: {percent} %, {} views", attacked.views);
            assert!(percent >= 70, "{attack}: {percent} % of {clean} commands, {} views", attacked.views);
            let deposed = attacked.probes.of(Probe::ShortfallDeposed) > 0;
            assert!(deposed || !attack.starts_with("slow") || *attack == "slow-some", "{attack}: by a time-out");
        }
    }
}

#[test]
fn nobody_honest_is_deposed_whatever_the_load() {
    let light = Setting { commands: 200, to_all: 100, at: |number| number * 300_000, ..BUSY };
    let near =
        Setting { delay: 500, base_timeout: 500, commands: 6000, at: |number| number * 5000, to_all: 100, ..BUSY };
    let full = Setting { base_timeout: 1000, batch_operations: FULL.into(), armed: 64, to_all: 100, ..BUSY };
    let settings = [
        ("light", light),
        ("one client", Setting { clients: 1, commands: 300, to_all: 100, ..BUSY }),
        ("heavy", Setting { clients: 12, commands: 6000, to_all: 100, ..BUSY }),
        ("more than batches hold", Setting { clients: 12, commands: 3000, batch_operations: 2, to_all: 50, ..BUSY }),
        ("bursts", Setting { commands: 2000, at: |number| number / 100 * 3 * SECOND, ..BUSY }),
        (
            "falling",
            Setting {
                commands: 2500,
                at: |number| if number < 2400 { 0 } else { number % 100 * SECOND * 3 / 5 },
                to_all: 100,
                ..BUSY
            },
        ),
        (
            "rising",
            Setting {
                commands: 2500,
                at: |number| if number < 100 { number * 300_000 } else { MINUTE / 2 },
                to_all: 100,
                ..BUSY
            },
        ),
        ("loss", Setting { loss: 10_000, commands: 1500, ..BUSY }),
        ("much loss", Setting { loss: 50_000, commands: 1500, ..BUSY }),
        ("far apart", Setting { delay: 75_000, base_timeout: 4000, commands: 1500, to_all: 100, ..BUSY }),
        ("near", near),
        ("commands that fill a batch", Setting { clients: 24, commands: 1000, operations: |_| FULL, ..full }),
        ("heavier", Setting { commands: 3600, operations: |number| if number < 3000 { 1 } else { FULL }, ..full }),
        ("lighter", Setting { commands: 3600, operations: |number| if number < 600 { FULL } else { 1 }, ..full }),
        (
            "mixed",
            Setting {
                clients: 12,
                commands: 2000,
                operations: |number| if number % 7 == 0 { FULL } else { 1 },
                ..full
            },
        ),
        (
            "halves",
            Setting {
                clients: 12,
                commands: 1000,
                operations: |number| if number % 2 == 0 { FULL / 2 + 1 } else { 1 },
                ..full
            },
        ),
        // As a flood of clients made it, on a machine with one disk for all replicas.
        ("a disk that stalls", Setting { stalls: Stalls { every: SECOND / 2, during: SECOND / 5 }, ..near }),
    ];
    let mut wrong = Vec::new();
    for (name, setting) in played(&settings, 3) {
        let outcome = setting.run(None);
        // Where one message in twenty is lost for good, time-outs run out too, and it takes a view to see that this is normal.
        let most = if setting.loss > 10_000 { 2 } else { 0 };
        let shortfalls = outcome.probes.of(Probe::ShortfallDeposed);
        let told = format!(
            "{name}: {} views, {shortfalls} for a shortfall, {} commands",
            outcome.views, outcome.acknowledged_in_faults
        );
        println!("{told}");
        let calm = outcome.views <= most && (most > 0 || shortfalls == 0);
        if !calm || outcome.acknowledged_in_faults * 10 <= setting.commands * 8 {
            wrong.push(told);
        }
    }
    assert_eq!(wrong, [""; 0]);
}
