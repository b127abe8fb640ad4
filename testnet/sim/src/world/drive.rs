//! What happens inside of replicas: turns, steps, starts.

use super::queue::{Happening, Inside};
use super::{Doing, Held, Probe, World};
use crate::adversary::{Adversary, Plan as Attacks};
use crate::checks::{Invariant, Violation};
use crate::cluster::io::NodeIo;
use varangian_consensus::{Delivery, Identity, Ignored, Input, Phase};
use varangian_runner::Runner;

/// Inputs of one turn.
const TURN: usize = 256;

impl World<'_> {
    /// An input for a replica's next turn.
    pub(super) fn give(&mut self, node: usize, input: Input) {
        let at = &mut self.nodes[node];
        if !at.lives() {
            return;
        }
        at.inbox.push_back(input);
        self.turn_soon(node);
    }

    pub(super) fn turn_soon(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        if !at.turn_due {
            at.turn_due = true;
            let delay = at.machine.turn;
            self.soon(node, delay, Inside::Turn);
        }
    }

    pub(super) fn soon(&mut self, node: usize, delay: u64, what: Inside) {
        let life = self.nodes[node].life;
        self.queue.after(delay, Happening::Inside { node, life, what });
    }

    pub(super) fn inside(&mut self, node: usize, life: u32, what: Inside) -> Held {
        let at = &mut self.nodes[node];
        if at.life != life || !at.lives() {
            return Ok(());
        }
        if at.paused {
            at.missed.push(what);
            return Ok(());
        }
        match what {
            Inside::Turn => {
                at.turn_due = false;
                self.turn(node)
            }
            Inside::Synced => self.synced(node),
            Inside::Marked => self.marked(node),
            Inside::Worked => self.worked(node),
            Inside::Timer(kind, timer) => {
                if at.timers.get(&kind) == Some(&timer) {
                    at.timers.remove(&kind);
                    self.tell(|world| format!("{} timer {}", world.name(node), format!("{kind:?}").to_lowercase()));
                    self.step(node, Input::Timeout(timer))?;
                    self.after_steps(node)?;
                }
                Ok(())
            }
            Inside::Own(delivery) => {
                let from = at.id;
                self.give(node, Input::Message { from, delivery: *delivery });
                Ok(())
            }
        }
    }

    pub(super) fn start(&mut self, node: usize) -> Held {
        let at = &mut self.nodes[node];
        let config = (self.run.configure)(self.setup.config(at.id));
        let mut io = Adversary::honest(NodeIo::default());
        if !at.asleep {
            Attacks::from(at.attacks.clone()).corrupt(&mut io, self.setup.signer(at.id), &self.setup.committee);
        }
        let (prefix, records) = (at.disk.prefix(), at.disk.records());
        let now = at.clock(self.queue.now());
        let id = at.id;
        match Runner::start(config, now, prefix, records, io) {
            Ok(runner) => {
                let at = &mut self.nodes[node];
                self.checks.restarted(id, runner.replica(), at.disk.stable_slot())?;
                at.runner = Some(runner);
                if at.is_changing() {
                    self.probes.hit(Probe::RestartInViewChange);
                }
                self.after_steps(node)
            }
            Err(error) => {
                let text = format!("{id} does not start from an intact disk: {error}");
                Err(Violation { invariant: Invariant::Contiguous, text })
            }
        }
    }

    fn turn(&mut self, node: usize) -> Held {
        for _ in 0..TURN {
            let Some(input) = self.nodes[node].inbox.pop_front() else { break };
            self.step(node, input)?;
        }
        if !self.nodes[node].inbox.is_empty() {
            self.turn_soon(node);
        }
        self.after_steps(node)
    }

    /// One step of the core; its effects wait for [`World::after_steps`].
    fn step(&mut self, node: usize, input: Input) -> Held {
        let now = self.nodes[node].clock(self.queue.now());
        let from_client = if let Input::Command(command) = &input { Some(command.identity()) } else { None };
        self.notice_input(node, &input);
        let at = &mut self.nodes[node];
        let Some(runner) = at.runner.as_mut() else { return Ok(()) };
        self.steps += 1;
        let outcome = runner.step(now, input);
        self.doing = Doing::Invariants;
        runner.replica().invariants();
        self.doing = Doing::Running;
        self.checks.stepped(at.id, runner.replica(), runner.waiting())?;
        self.hash.add(outcome.is_ok().into());
        if let Err(ignored) = outcome {
            self.notice_ignored(ignored, from_client);
        }
        self.observe(node);
        Ok(())
    }

    /// Runs the effects, and does what they ask for.
    pub(super) fn after_steps(&mut self, node: usize) -> Held {
        if let Some(runner) = self.nodes[node].runner.as_mut() {
            runner.run();
        }
        while let Some(runner) = self.nodes[node].runner.as_mut() {
            let Some(act) = runner.io().inner().acts.pop_front() else { break };
            self.act(node, act)?;
        }
        Ok(())
    }

    /// What a client is told, if the core takes nothing.
    fn notice_ignored(&mut self, ignored: Ignored, from_client: Option<Identity>) {
        match (ignored, from_client) {
            (Ignored::Busy, _) => self.probes.hit(Probe::Busy),
            (Ignored::TooOld, Some(_)) => self.probes.hit(Probe::TooOldRefused),
            (Ignored::OutOfWindow, None) => self.probes.hit(Probe::OutOfWindow),
            _ => {}
        }
    }

    /// Looks for rare states in what arrives.
    fn notice_input(&mut self, node: usize, input: &Input) {
        let Input::Message { from, delivery } = input else { return };
        let own = *from == self.nodes[node].id;
        let probe = match delivery {
            Delivery::NewView(_)
                if !own
                    && self.nodes[node].runner.as_ref().is_some_and(|at| at.replica().phase() == Phase::Changing) =>
            {
                Probe::NewViewReceived
            }
            Delivery::InvalidBatch { .. } => Probe::InvalidBatch,
            Delivery::Invalid(_) => Probe::InvalidViewMessage,
            Delivery::Stable(_) => Probe::StableByCertificate,
            Delivery::Committed(_) => Probe::DecidedByCertificate,
            _ => return,
        };
        self.probes.hit(probe);
    }
}
