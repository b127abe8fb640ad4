//! The liveness phase: faults have ended, and a core of replicas, a quorum of them at least, is healthy.
//!
//! Its links are good, its disks intact, none of it lies; all others may be dead, cut off or still faulty. Then
//!
//! - every command of a client that keeps to the rules is answered, and more that come one after the other, until two checkpoints have passed;
//! - the core's replicas come to the same slot and to the same stable checkpoint, and nothing waits in them;
//! - from the moment at which all of the core are active in one view, views change a bounded number of times.
//!
//! **The bound in time.** Let `T` be the time-out's cap on the slowest clock. A view that fails takes `2 T`: a command's time-out and a NEW-VIEW's. Before the core
//! is in one view, as many views may fail as lie between the lowest and the highest that it was in; after that, those of the primaries outside of the core, and
//! those that were begun while the time-out was shorter than it takes to order what waits: it doubles with each. A faulty primary may also order one round of armed commands per
//! time-out without being given up, so each command may cost a `T` more. Whoever is behind asks again every status interval, which is far less.
//!
//! **The bound in views**: those of primaries outside of the core, `n - |core|`; one that was on its way; the doublings from the base to the cap, plus one.

use super::draw::named;
use super::plan::Rest;
use super::queue::Happening;
use super::{Held, Micros, Probe, World};
use crate::checks::{Invariant, ensure};
use varangian_consensus::{Phase as ViewPhase, Slot, View};

/// How often the end is looked for.
const LOOK: Micros = 50_000;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Safety,
    Healthy {
        /// By when all must be answered.
        until: Micros,
        /// The view in which the core came together.
        together: Option<View>,
    },
    Over,
}

impl World<'_> {
    /// Whether a replica of the rest is cut off in the liveness phase.
    pub(super) fn is_cut_off(&self, node: usize) -> bool {
        let is = |rest: &(usize, Rest)| rest.1 == Rest::CutOff && self.nodes[rest.0].id == self.nodes[node].id;
        self.phase != Phase::Safety && self.rest.iter().any(is)
    }

    pub(super) fn heal(&mut self) -> Held {
        self.tell(|world| format!("HEALTHY from here on: {:?}", world.core));
        self.acknowledged_in_faults = self.checks.acknowledged() as u64;
        self.phase = Phase::Healthy { until: 0, together: None };
        let held_back = self.net.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].doom.clear();
            self.nodes[node].full = false;
            let life = self.nodes[node].life;
            self.resume(node, life)?;
        }
        for (node, rest) in &self.rest.clone() {
            let id = self.nodes[*node].id;
            for same in (0..self.nodes.len()).filter(|same| self.nodes[*same].id == id).collect::<Vec<_>>() {
                match rest {
                    Rest::Dead => {
                        self.crash(same, false, 0)?;
                        self.nodes[same].refused = true;
                    }
                    Rest::CutOff => {
                        for peer in (0..self.nodes.len()).filter(|peer| *peer != same).collect::<Vec<_>>() {
                            self.net.block(same, peer);
                            self.net.disconnect(same, peer);
                        }
                    }
                    Rest::Runs => {}
                }
            }
        }
        for (from, to) in held_back {
            self.unclog(from, to)?;
        }
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            self.restart(node, life)?;
            self.connect_to_all(node);
        }
        self.clients.plan_tail(self.plan.tail);
        self.send_planned(0);
        let until = self.now() + self.bound();
        self.phase = Phase::Healthy { until, together: None };
        self.queue.after(LOOK, Happening::Look);
        Ok(())
    }

    /// See the module.
    fn bound(&self) -> Micros {
        let views = self.core.iter().map(|node| self.view_of(*node).0);
        let between = views.clone().max().unwrap_or(0) - views.min().unwrap_or(0);
        let slowest = self.plan.nodes.iter().map(|machine| machine.tick).min().unwrap_or(1_000_000);
        let longest = self.plan.parameters.max_timeout_ms * 1000 * 1_000_000 / slowest;
        let failing = between + self.allowed_view_changes();
        let waiting = self.plan.commands.len() as u64 + u64::from(self.plan.tail);
        longest * (2 * failing + waiting + 4) + 60_000_000
    }

    fn allowed_view_changes(&self) -> u64 {
        let parameters = &self.plan.parameters;
        let doublings = u64::from((parameters.max_timeout_ms / parameters.base_timeout_ms.max(1)).ilog2());
        let outside = u64::from(self.plan.n) - self.core.len() as u64;
        outside + 2 + doublings
    }

    fn view_of(&self, node: usize) -> View {
        self.nodes[node].runner.as_ref().map_or(View(0), |runner| runner.replica().view())
    }

    /// Whether it is over, or too late.
    pub(super) fn look(&mut self) -> Held {
        let Phase::Healthy { until, together } = self.phase else { return Ok(()) };
        let first = self.view_of(self.core[0]);
        let is_together = self.core.iter().all(|node| {
            let replica = self.nodes[*node].runner.as_ref().map(|runner| runner.replica());
            replica.is_some_and(|replica| replica.view() == first && replica.phase() == ViewPhase::Active)
        });
        let together = together.or(is_together.then_some(first));
        self.phase = Phase::Healthy { until, together };
        if let Some(together) = together {
            let highest = self.core.iter().map(|node| self.view_of(*node)).max().unwrap_or(together);
            let (changes, allowed) = (highest.0 - together.0, self.allowed_view_changes());
            ensure(changes <= allowed, Invariant::Answered, || {
                format!(
                    "a healthy core that came together in view {together} is in view {highest}: {allowed} changes are allowed"
                )
            })?;
        }
        if self.clients.unanswered() == 0 && self.undrained().is_none() {
            self.phase = Phase::Over;
            return self.survived();
        }
        ensure(self.now() < until || self.clients.unanswered() == 0, Invariant::Answered, || {
            format!("not answered by a healthy core: {}; {}", self.clients.waiting(), self.stand())
        })?;
        ensure(self.now() < until, Invariant::Drained, || {
            format!("{}; {}", self.undrained().unwrap_or_default(), self.stand())
        })?;
        self.queue.after(LOOK, Happening::Look);
        Ok(())
    }

    /// What keeps the core from being at rest.
    fn undrained(&self) -> Option<String> {
        let interval = self.plan.parameters.checkpoint_interval;
        let mut executed = None;
        for node in &self.core {
            let Some(runner) = &self.nodes[*node].runner else { return Some(format!("r{node} does not run")) };
            let replica = runner.replica();
            let slot = *executed.get_or_insert(replica.executed());
            let stable = Slot(slot.0 / interval * interval);
            if replica.executed() != slot {
                return Some(format!("r{node} executed {}, another {slot}", replica.executed()));
            }
            if replica.stable_slot() != stable {
                return Some(format!("r{node} is stable at {}, not {stable}", replica.stable_slot()));
            }
            if runner.waiting() > 0 || !self.nodes[*node].work.is_empty() || !self.nodes[*node].inbox.is_empty() {
                return Some(format!("r{node} has work to do"));
            }
            let honest = |number: u8| self.setup.client(number).client_key();
            let clients: Vec<_> = (0..self.plan.honest_clients).map(honest).collect();
            if let Some((_, waits)) =
                replica.pool().armed_commands().find(|(_, command)| clients.contains(&command.client()))
            {
                return Some(format!("r{node} has {:?} pooled", waits.identity()));
            }
        }
        None
    }

    /// Where everybody stands, in words.
    pub(super) fn stand(&self) -> String {
        let one = |node: usize| {
            let name = self.name(node);
            let Some(runner) = &self.nodes[node].runner else { return format!("{name} down") };
            let replica = runner.replica();
            format!(
                "{name} view {} {:?} executed {} stable {} pool {}",
                replica.view(),
                replica.phase(),
                replica.executed(),
                replica.stable_slot(),
                replica.pool().len()
            )
        };
        (0..self.nodes.len()).map(one).collect::<Vec<_>>().join(", ")
    }

    /// Nothing that was acknowledged is missing in the core, and calm was calm.
    fn survived(&mut self) -> Held {
        for node in &self.core {
            let at = &self.nodes[*node];
            let answers = at.disk.answers();
            self.checks.must_survive(at.id, |identity| answers.get(identity).map(|answer| (*answer).clone()))?;
        }
        self.probes.hit(Probe::CoreHealed);
        if self.plan.calm {
            ensure(self.views == 0, Invariant::Calm, || {
                format!("nobody is faulty and links are good, but view {} was asked for", self.views)
            })?;
        }
        Ok(())
    }

    /// After a step: what is new about a replica.
    pub(super) fn observe(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let Some(runner) = &at.runner else { return };
        let replica = runner.replica();
        let (view, changing, stable) = (replica.view(), replica.phase() == ViewPhase::Changing, replica.stable_slot());
        let (behind, pool, armed) = (replica.is_behind(), replica.pool().len(), replica.pool().armed());
        let (highest, config) = (replica.highest_known(), replica.config());
        let full = highest >= stable.plus(config.window);
        let pipeline = highest.since(replica.issued()) >= config.pipeline && config.pipeline > 1;
        let waits = armed >= config.armed && pool > armed;
        let seen = std::mem::replace(&mut at.seen.view, view);
        let shortfalls = replica.shortfalls();
        let given_up = shortfalls > std::mem::replace(&mut at.seen.shortfalls, shortfalls);
        let was_changing = std::mem::replace(&mut at.seen.changing, changing);
        let was_stable = std::mem::replace(&mut at.seen.stable, stable);
        let honest = self.is_honest(node);
        if honest {
            self.views = self.views.max(view.0);
        }
        let hits = [
            (full, Probe::WindowFull),
            (pipeline, Probe::PipelineFull),
            (waits, Probe::CommandsWaitUnarmed),
            (behind, Probe::Behind),
            (stable > was_stable && changing, Probe::StableInViewChange),
            (given_up, Probe::ShortfallDeposed),
            (view.0 > seen.0 + 1, Probe::ViewsSkipped),
            (was_changing && !changing, Probe::ViewEntered),
            (was_changing && changing && view > seen, Probe::ViewChangeFailed),
        ];
        for (met, probe) in hits {
            if met {
                self.probes.hit(probe);
            }
        }
        if (view, changing) != (seen, was_changing) {
            self.hash.add(named(&[view.0, changing.into()]));
            self.tell(|world| {
                let what = if changing { "asks for" } else { "enters" };
                format!("{} {what} view {view}", world.name(node))
            });
        }
        if stable > was_stable {
            self.tell(|world| format!("{} has a stable checkpoint at {stable}", world.name(node)));
        }
    }
}
