//! A run that one seed decides: production [`Runner`]s among simulated networks, disks, clocks and clients.
//!
//! - [`plan`]: everything about a run that a person would call a decision, as data; [`fault`]: what befalls replicas and network.
//! - [`script`]: what is done as time goes on; `play`: how it is done.
//! - [`draw`]: where numbers come from.
//! - `queue`: what happens when. `node`: a replica, its disk and its clock. `net`: links and connections.
//! - `drive`: what happens inside of replicas. `acts`: what they ask for, done. `befall`: faults; `edge`: one of them. `clients`: commands and replies.
//! - `healthy`: the liveness phase.
//! - [`probes`]: rare states, and how often a run met them.
//!
//! **Two phases.** In the safety phase everything in the plan goes wrong; [`checks`](crate::checks) look at every step from outside. Then faults end, a core of
//! replicas is healthy, and what is pending must be answered within a bound; see [`healthy`].
//!
//! **What the disk model promises** is what the store does. A group commit is atomic, and synced before it is marked. Executions are written in
//! order into the same log, and synced by the next group commit. Power loss keeps a prefix of what was not synced: the log is read up to the first write
//! that is torn or lost, whatever behind it reached the disk. A commit that was synced stays; if its mark did not, nothing of it was
//! acknowledged and it binds all the same. A replica whose synced records are damaged, or end below the mark, does not start again.

pub mod draw;
pub mod fault;
pub mod plan;
pub mod probes;
pub mod script;

mod acts;
mod befall;
mod clients;
mod deeds;
mod draw_plan;
mod drive;
mod edge;
mod healthy;
mod net;
mod node;
mod play;
mod queue;
mod stand;

pub use plan::Plan;
pub use probes::{Probe, Probes};

use crate::checks::{Checks, Held, Invariant, Violation, ensure};
use crate::cluster::network::Wire;
use crate::cluster::setup::{Options, Setup};
use clients::Clients;
use draw::EventHash;
use net::Net;
use node::Node;
use plan::{How, Rest};
use play::Play;
use queue::{Happening, Queue};
use script::Played;
use std::panic::{AssertUnwindSafe, catch_unwind};
use varangian_consensus::Config;
use varangian_crypto::{Quorums, ReplicaId};

/// Simulated time: millionths of a second since the beginning.
pub type Micros = u64;

/// Steps that a run may take: more means that messages breed.
const MAX_STEPS: u64 = 3_000_000;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// A hash over everything that happened: equal for equal plans.
    pub hash: EventHash,
    /// Inputs that cores took or ignored.
    pub steps: u64,
    /// Simulated time.
    pub time: Micros,
    /// How often rare states were met.
    pub probes: Probes,
    /// Commands that clients hold to be done.
    pub acknowledged: u64,
    /// Of these, before faults ended.
    pub acknowledged_in_faults: u64,
    /// How long clients waited for them, added up.
    pub waited: Micros,
    /// Slots agreed on.
    pub slots: u64,
    /// The highest view that an honest replica was in.
    pub views: u64,
    /// Crashes of all kinds.
    pub crashes: u64,
    /// Everything that happened in words, if that was asked for.
    pub trace: Vec<String>,
    /// What its script came to, if it had one.
    pub played: Option<Played>,
}

/// How to run a plan.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Tell everything in words.
    pub trace: bool,
    /// Changes every replica's configuration: for bugs on purpose.
    pub configure: fn(Config) -> Config,
    /// How many equal replies a client believes: another number than `f + 1` is a bug on purpose.
    pub believes: fn(Quorums) -> usize,
}

impl Default for Run {
    fn default() -> Self {
        Self { trace: false, configure: |config| config, believes: Quorums::weak }
    }
}

/// What is being done, for telling what a panic means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Running,
    /// A replica looks at its own state.
    Invariants,
}

/// See the module.
pub struct World<'a> {
    plan: &'a Plan,
    run: Run,
    setup: Setup,
    checks: Checks,
    queue: Queue,
    nodes: Vec<Node>,
    net: Net,
    wire: Wire,
    clients: Clients,
    probes: Probes,
    hash: EventHash,
    steps: u64,
    crashes: u64,
    waited: Micros,
    acknowledged_in_faults: u64,
    /// Highest view of an honest replica.
    views: u64,
    phase: healthy::Phase,
    core: Vec<usize>,
    rest: Vec<(usize, Rest)>,
    play: Option<Play>,
    edge: Option<edge::AtTheEdge>,
    doing: Doing,
    trace: Vec<String>,
}

/// Runs a plan to its end, or to its first violation.
#[must_use]
pub fn run(plan: &Plan, run: Run) -> Outcome {
    let mut world = match catch_unwind(|| World::new(plan, run)) {
        Ok(world) => world,
        Err(panic) => {
            let text = format!("the simulator itself: {}", said(panic.as_ref()));
            return Outcome {
                violation: Some(Violation { invariant: Invariant::NoPanic, text }),
                hash: EventHash(0),
                steps: 0,
                time: 0,
                probes: Probes::default(),
                acknowledged: 0,
                acknowledged_in_faults: 0,
                waited: 0,
                slots: 0,
                views: 0,
                crashes: 0,
                trace: Vec::new(),
                played: None,
            };
        }
    };
    let held = catch_unwind(AssertUnwindSafe(|| world.go()));
    let held = held.unwrap_or_else(|panic| {
        let invariant = if world.doing == Doing::Invariants { Invariant::Bounded } else { Invariant::NoPanic };
        Err(Violation { invariant, text: said(panic.as_ref()) })
    });
    world.outcome(held)
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".into())
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, run: Run) -> Self {
        let setup = Setup::new(&Options {
            n: plan.n,
            clients: plan.clients,
            parameters: plan.parameters.clone(),
            simulated_signatures: !plan.real_signatures,
        });
        let mut checks = Checks::new(&setup);
        checks.byzantine = plan.byzantine();
        let mut nodes: Vec<_> = (0..plan.n).map(|id| Node::new(ReplicaId(id), plan.nodes[usize::from(id)])).collect();
        for evil in &plan.adversaries {
            let node = usize::from(evil.replica);
            match evil.how {
                How::Attack(attack) => {
                    nodes[node].attacks.push(attack);
                    nodes[node].asleep =
                        plan.script.as_ref().is_some_and(|script| script.asleep.contains(&evil.replica));
                }
                How::Garbles(rate) => nodes[node].garbles = rate,
                How::Twins { second } => {
                    let mut twin = Node::new(ReplicaId(evil.replica), plan.nodes[node]);
                    twin.hears = second;
                    nodes[node].hears = !second;
                    nodes.push(twin);
                }
            }
        }
        let mut world = Self {
            net: Net::new(nodes.len()),
            clients: Clients::new(plan),
            plan,
            run,
            setup,
            checks,
            queue: Queue::default(),
            nodes,
            wire: Wire::default(),
            probes: Probes::default(),
            hash: EventHash(plan.seed),
            steps: 0,
            crashes: 0,
            waited: 0,
            acknowledged_in_faults: 0,
            views: 0,
            phase: healthy::Phase::Safety,
            core: plan.core.clone(),
            rest: plan.rest.clone(),
            play: None,
            edge: None,
            doing: Doing::Running,
            trace: Vec::new(),
        };
        for (place, (at, _)) in plan.faults.iter().enumerate() {
            world.queue.push(*at, Happening::Fault(place));
        }
        for (place, act) in plan.commands.iter().enumerate() {
            world.queue.push(act.at, Happening::Act(place));
        }
        match &plan.script {
            None => world.queue.push(plan.heal_at, Happening::Heal),
            Some(script) => world.raise_curtain(script),
        }
        world
    }

    fn go(&mut self) -> Held {
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for one in 0..self.nodes.len() {
            for other in one + 1..self.nodes.len() {
                self.connect_later(one, other);
            }
        }
        while self.phase != healthy::Phase::Over {
            let Some(happening) = self.queue.pop() else { break };
            self.hash.add(self.queue.now());
            self.happen(happening)?;
            ensure(self.steps < self.most_steps(), Invariant::NoPanic, || {
                format!("{} steps, and no end: messages breed messages", self.steps)
            })?;
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Held {
        match happening {
            Happening::Arrives(packet) => self.arrive(packet),
            Happening::Connect { one, other } => self.connect(one, other),
            Happening::Unclog { from, to } => self.unclog(from, to),
            Happening::Inside { node, life, what } => self.inside(node, life, what),
            Happening::Crash { node, life, power, down } => self.crash_of(node, life, power, down),
            Happening::Restart { node, life } => self.restart(node, life),
            Happening::Resume { node, life } => self.resume(node, life),
            Happening::Heals { from, to, both_ways } => self.end_partition(from, to, both_ways),
            Happening::Fault(place) => self.befall(place),
            Happening::EdgeEnds(place) => self.end_edge(place),
            Happening::Clogs { from, during } => self.clog_all_of(from, during),
            Happening::Act(place) => self.act_of_client(place),
            Happening::Request { client, node, command } => self.request(client, node, &command),
            Happening::Reply { replica, view, identity, answer } => {
                self.reply_arrives(replica, view, identity, &answer)
            }
            Happening::Retry { client, sequence, attempt } => self.retry(client, sequence, attempt),
            Happening::Heal => self.heal(),
            Happening::Look => self.look(),
            Happening::Cue => self.advance(),
            Happening::Weather(place) => self.weather(place),
            Happening::Next { client } => {
                self.send_next(client);
                Ok(())
            }
        }
    }

    /// Whether a replica's promises bind it: the checks hold it to them.
    fn is_honest(&self, node: usize) -> bool {
        !self.checks.byzantine.contains(&self.nodes[node].id)
    }

    fn now(&self) -> Micros {
        self.queue.now()
    }

    /// A line of the story.
    fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.run.trace {
            let line = format!("{:>12}  {}", fault::seconds(self.now()), line(self));
            self.trace.push(line);
        }
    }

    fn outcome(mut self, held: Held) -> Outcome {
        let played = self.played(held.is_ok());
        Outcome {
            violation: held.err(),
            hash: self.hash,
            steps: self.steps,
            time: self.queue.now(),
            probes: self.probes,
            acknowledged: self.checks.acknowledged() as u64,
            acknowledged_in_faults: self.acknowledged_in_faults,
            waited: self.waited,
            slots: self.checks.last().0,
            views: self.views,
            crashes: self.crashes,
            trace: self.trace,
            played,
        }
    }
}
