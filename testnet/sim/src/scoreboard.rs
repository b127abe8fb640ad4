//! What each attack comes to, against the very same runs in which it never strikes.

use crate::adversary::{Attack, Kind, Trigger};
use crate::world::plan::{Evil, How};
use crate::world::{Micros, Outcome, Plan};

/// What one attack came to, over many seeds.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Runs with the attack.
    pub runs: u64,
    /// Of these, such as went otherwise than without it.
    pub effective: u64,
    /// Runs in which a safety invariant did not hold.
    pub unsafe_runs: u64,
    /// Runs in which a liveness invariant did not hold.
    pub stalled: u64,
    /// Commands that clients hold to be done.
    pub acknowledged: u64,
    /// Runs in which an acknowledged command was lost.
    pub lost: u64,
    /// The longest time from the end of faults until all was answered and at rest.
    pub recovery: Micros,
    /// How long clients waited, added up; and without the attack.
    pub waited: (Micros, Micros),
}

/// A seed's plan with one adversary, and the same one never striking. `None` for seeds that have no faulty replica.
#[must_use]
pub fn plans(seed: u64, kind: &Kind) -> Option<(Plan, Plan)> {
    let mut plan = Plan::draw(seed);
    let culprit = plan.adversaries.first()?.replica;
    let attack = Attack::parse(kind.name).ok()?;
    let with = |trigger| Evil { replica: culprit, how: How::Attack(attack.with_trigger(trigger)) };
    plan.adversaries = vec![with(Trigger::Always)];
    let mut clean = plan.clone();
    clean.adversaries = vec![with(Trigger::Never)];
    Some((plan, clean))
}

impl Score {
    /// One more pair of runs.
    pub fn add(&mut self, plan: &Plan, attacked: &Outcome, clean: &Outcome) {
        self.runs += 1;
        self.effective += u64::from(attacked.hash != clean.hash);
        self.acknowledged += attacked.acknowledged;
        self.waited.0 += attacked.waited;
        self.waited.1 += clean.waited;
        self.recovery = self.recovery.max(attacked.time.saturating_sub(plan.heal_at));
        if let Some(violation) = &attacked.violation {
            let liveness = violation.invariant.is_liveness();
            self.stalled += u64::from(liveness);
            self.unsafe_runs += u64::from(!liveness);
            self.lost += u64::from(violation.invariant == crate::Invariant::NothingAcknowledgedIsLost);
        }
    }

    /// Those of another thread on top.
    pub fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.effective += other.effective;
        self.unsafe_runs += other.unsafe_runs;
        self.stalled += other.stalled;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.recovery = self.recovery.max(other.recovery);
        self.waited.0 += other.waited.0;
        self.waited.1 += other.waited.1;
    }

    /// How much longer clients wait under the attack, in percent of what they wait without it.
    #[must_use]
    pub fn wait_percent(&self) -> u64 {
        (self.waited.0 * 100).checked_div(self.waited.1).unwrap_or(0)
    }
}
