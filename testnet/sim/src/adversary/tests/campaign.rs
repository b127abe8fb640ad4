//! Random runs: any adversaries, up to `f` of them, over a network that loses, duplicates and reorders, among replicas that crash and restart. Then the network heals, and everything that a client asked for must come through at every honest replica.
//!
//! `SEEDS=first..end` runs other seeds than the usual ones; a failure names its seed.

use super::cluster::{cluster, proved, settle};
use crate::adversary::{ATTACKS, Attack};
use crate::cluster::{Cluster, Fate, Loss};
use std::collections::BTreeSet;
use varangian_consensus::{Command, Ignored};

/// Steps before the network heals.
const STEPS: u64 = 500;

/// Xorshift: what a seed means never changes.
#[derive(Clone)]
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}

pub(super) struct Run {
    pub cluster: Cluster,
    random: Random,
    honest: Vec<u16>,
    pending: Vec<Command>,
}

impl Run {
    fn new(seed: u64) -> (Self, Vec<(u16, String)>) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let n = random.pick(&[4, 4, 4, 7]);
        let mut attacks: Vec<(u16, String)> = Vec::new();
        while attacks.len() < usize::from(n - 1) / 3 {
            let id = u16::try_from(random.below(n.into())).unwrap();
            let name = ATTACKS[usize::try_from(random.below(ATTACKS.len() as u64)).unwrap()].name;
            let trigger = random.pick(&["always", "always", "view=0..2", "slot=2..6", "p=0.5"]);
            let seeded = if trigger.starts_with('p') { format!("{trigger},seed={seed}") } else { trigger.to_owned() };
            if attacks.iter().all(|(other, _)| *other != id) {
                attacks.push((id, format!("{name}@{seeded}")));
            }
        }
        let plan: Vec<(u16, &str)> = attacks.iter().map(|(id, attack)| (*id, attack.as_str())).collect();
        let run = Self { random, ..Self::under(seed, n, &plan) };
        (run, attacks)
    }

    /// These attacks, and whatever else `seed` brings.
    pub fn under(seed: u64, n: u16, attacks: &[(u16, &str)]) -> Self {
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let cluster = cluster(n, attacks);
        let honest = cluster.honest();
        Self { cluster, random, honest, pending: Vec::new() }
    }

    pub fn disturb(&mut self) {
        let (loss, twice) = (self.random.below(12), self.random.below(6));
        let mut random = self.random.clone();
        self.cluster.add_rule(move |_| match random.below(100) {
            drawn if drawn < loss => Some(Fate::Drop),
            drawn if drawn < loss + twice => Some(Fate::Duplicate),
            _ => None,
        });
        for _ in 0..STEPS {
            match self.random.below(100) {
                0..=2 => self.submit(),
                3 => self.crash(),
                4..=8 => self.fire(),
                _ => self.deliver(),
            }
        }
    }

    /// A new command to some replicas.
    fn submit(&mut self) {
        let (client, sequence) = (self.pending.len() % 3, self.pending.len() / 3 + 1);
        if sequence > 6 {
            return;
        }
        let command = self.cluster.setup.command(u8::try_from(client).unwrap(), sequence as u64, &["x"]);
        for id in self.cluster.ids() {
            if self.random.below(3) > 0 {
                let outcome = self.cluster.submit(id.0, &command);
                assert!(matches!(outcome, Ok(()) | Err(Ignored::Stopped)), "{id} refuses: {outcome:?}");
            }
        }
        self.pending.push(command);
    }

    fn crash(&mut self) {
        let id = self.random.pick(&self.cluster.ids()).0;
        let loss = self.random.pick(&[Loss::POWER, Loss::KILL, Loss::AFTER_SYNC]);
        self.cluster.crash(id, loss);
        self.cluster.restart(id);
    }

    fn fire(&mut self) {
        if let Some((due, ..)) = self.cluster.next_timer() {
            self.cluster.advance(due.saturating_sub(self.cluster.now()));
        }
    }

    fn deliver(&mut self) {
        let waiting = self.cluster.in_flight().count() as u64;
        if waiting == 0 {
            self.fire();
        } else {
            let place = usize::try_from(self.random.below(waiting)).unwrap();
            assert!(self.cluster.deliver_at(place));
        }
    }

    /// The network is well again, and every client sends again what it has no answer to.
    pub fn heal(&mut self) {
        self.cluster.clear_rules();
        for command in &self.pending {
            for id in &self.honest {
                let outcome = self.cluster.submit(*id, command);
                assert!(matches!(outcome, Ok(()) | Err(Ignored::Duplicate)), "r{id} refuses: {outcome:?}");
            }
        }
        let pending: Vec<_> = self.pending.iter().map(Command::identity).collect();
        settle(&mut self.cluster, &pending);
    }
}

#[test]
fn whatever_f_adversaries_do_every_command_comes_through_and_nobody_honest_is_accused() {
    let seeds: Vec<u64> = match std::env::var("SEEDS") {
        Ok(range) => {
            let (first, end) = range.split_once("..").expect("SEEDS=first..end");
            (first.parse().expect("a number")..end.parse().expect("a number")).collect()
        }
        Err(_) => (1..=12).collect(),
    };
    let mut proofs = 0;
    for seed in seeds {
        let (mut run, attacks) = Run::new(seed);
        println!("seed {seed}: {attacks:?}");
        run.disturb();
        run.heal();
        let culprits: BTreeSet<u16> = attacks
            .iter()
            .filter(|(_, attack)| Attack::parse(attack).unwrap().kind().possible().next().is_some())
            .map(|(id, _)| *id)
            .collect();
        let proved = proved(&run.cluster);
        assert!(proved.is_subset(&culprits), "{proved:?} are proved faulty, {culprits:?} did what can be proved");
        proofs += proved.len();
    }
    assert!(proofs > 0, "no run has proved anything");
}
