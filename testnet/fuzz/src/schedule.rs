//! Bytes as a schedule of faults for a cluster: its checks panic when safety is broken.

use varangian_consensus::Command;
use varangian_sim::adversary::{ATTACKS, Attack};
use varangian_sim::{Cluster, Loss, Options, TimerKind};

/// Bytes of a schedule that are looked at.
const LONGEST: usize = 600;
/// Commands of a run: no more than one client's share of a pool, so that asking once more is enough.
const MOST: usize = 8;
/// Steps in which a healed cluster must have answered everything.
const PATIENCE: usize = 40_000;

/// The first byte chooses who is faulty and how, each following pair of bytes one thing that happens. At the end everything heals but the
/// faulty replica, and every command is answered.
pub fn cluster(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let mut options = Options::default();
    options.parameters.max_batch_operations = 2;
    let mut run = Run { cluster: Cluster::new(&options), faulty: None, sent: Vec::new() };
    if let Some(kind) = ATTACKS.get(usize::from(first >> 2)) {
        let id = u16::from(first & 3);
        let attack = Attack::parse(&format!("{}@p=0.5,seed={first}", kind.name)).expect("a known attack");
        run.cluster.corrupt(id, &attack);
        run.faulty = Some(id);
    }
    for pair in rest[..rest.len().min(LONGEST)].chunks_exact(2) {
        run.happen(pair[0], pair[1]);
    }
    run.heal();
    !run.sent.is_empty()
}

struct Run {
    cluster: Cluster,
    faulty: Option<u16>,
    sent: Vec<Command>,
}

impl Run {
    fn happen(&mut self, what: u8, detail: u8) {
        let id = u16::from(detail & 3);
        let place = usize::from(detail);
        let up = self.cluster.is_up(id);
        match what % 16 {
            0..=4 => {
                let waiting = self.cluster.in_flight().count();
                if waiting > 0 {
                    self.cluster.deliver_at(place % waiting);
                }
            }
            5 => {
                for _ in 0..detail {
                    self.cluster.deliver_one();
                }
            }
            6 => {
                let mut count = 0_u8;
                self.cluster.drop_in_flight(|_| {
                    count = count.wrapping_add(1);
                    count & 7 == detail & 7
                });
            }
            7 => {
                self.cluster.fire_timer(id, TimerKind::Command);
            }
            8 => {
                self.cluster.fire_timer(id, TimerKind::NewView);
            }
            9 => {
                self.cluster.fire_timer(id, TimerKind::Status);
            }
            10 if self.sent.len() < MOST => self.submit(detail),
            11 if up => {
                let losses = [Loss::POWER, Loss::KILL, Loss::AFTER_SYNC];
                self.cluster.crash(id, losses[place / 4 % 3]);
            }
            12 if !up => self.cluster.restart(id),
            13 => match detail >> 6 {
                0 => self.cluster.heal(),
                1 => self.cluster.isolate(id),
                _ => self.cluster.partition(&[&[0, 1], &[2, 3]]),
            },
            14 => match detail >> 5 {
                0 | 1 => self.cluster.hold_commits(id, true),
                2 => self.cluster.hold_commits(id, false),
                3 => {
                    self.cluster.release_commit(id);
                }
                4 => self.cluster.hold_own_votes(id, true),
                5 => self.cluster.hold_own_votes(id, false),
                6 => self.cluster.hold_executions(id, true),
                _ => self.cluster.hold_executions(id, false),
            },
            15 => self.cluster.advance(u64::from(detail) * 10),
            _ => {}
        }
    }

    /// A client sends its next command to some replicas.
    fn submit(&mut self, detail: u8) {
        let client = detail >> 4 & 1;
        let sequence = self.sent.len() as u64 + 1;
        let command = self.cluster.setup.command(client, sequence, &["add"]);
        for id in 0..4 {
            if detail >> id & 1 == 1 && self.cluster.is_up(id) {
                // It may have stopped, if it is the faulty one.
                self.cluster.submit(id, &command).ok();
            }
        }
        self.sent.push(command);
    }

    fn heal(&mut self) {
        for id in 0..4 {
            if !self.cluster.is_up(id) {
                self.cluster.restart(id);
            }
            self.cluster.hold_commits(id, false);
            self.cluster.hold_own_votes(id, false);
            self.cluster.hold_executions(id, false);
        }
        self.cluster.heal();
        for command in &self.sent {
            for id in (0..4).filter(|id| Some(*id) != self.faulty) {
                // Clients ask again; it may be known, or answered again.
                self.cluster.submit(id, command).ok();
            }
        }
        let sent = self.sent.clone();
        let answered = |cluster: &Cluster| sent.iter().all(|one| cluster.accepted(&one.identity()).is_some());
        assert!(self.cluster.run_until(answered, PATIENCE), "healed, and a command is not answered");
    }
}
