//! What a primary has proposed and not executed yet.
//!
//! Ordering is cheaper than executing. If it ran ahead, commands would wait behind whatever was ordered before them, where nobody takes turns. So a primary proposes as much as
//! keeps execution busy, and what comes meanwhile waits in its pool, where turns are fair: another batch while what is unexecuted, with the command that opens it, is at most one and a
//! half batches and what is executed while a slot is agreed on (the bandwidth-delay product of congestion control). It does not wait for longer than a part of `T` between two
//! proposals, however long batches take, so that what backups watch is ordered before their time runs out: each of the `n` sources has one batch due, which may take two, and as many small ones may come between.

use crate::config::{Config, WHOLE_BATCH};
use crate::types::{Millis, Slot};
use alloc::collections::VecDeque;

/// Proposals in a time-out that do not wait for execution, for each replica.
const PROPOSALS: u64 = 4;
/// What may be unexecuted wherever agreement takes no time, in what it takes of a batch; one batch always may.
const LEAST: u64 = WHOLE_BATCH + WHOLE_BATCH / 2;
/// So much execution tells how fast it is; of older one, half is forgotten.
const MEMORY: Millis = 1000;
/// Below this, a slot's time says more of what each slot costs than of what its commands do.
const TELLING: u64 = WHOLE_BATCH / 4;

/// A slot that is proposed and not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Proposal {
    slot: Slot,
    /// What it takes of a batch.
    cost: u64,
    /// When it was proposed, or, once it is ordered, when that was.
    since: Millis,
    ordered: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Backlog {
    /// In order of their slots.
    proposals: VecDeque<Proposal>,
    cost: u64,
    /// When the last one was proposed.
    proposed: Millis,
    /// When the last one was executed.
    executed: Millis,
    /// From proposal to order, the least so far: what is above it is queues, which this is to keep short.
    agreement: Option<Millis>,
    /// What was executed, and how long that took.
    done: u64,
    busy: Millis,
}

impl Backlog {
    /// A batch is proposed.
    pub fn proposed(&mut self, now: Millis, slot: Slot, bytes: usize, operations: u64, config: &Config) {
        let cost = config.share_of_batch(bytes, operations);
        self.proposals.push_back(Proposal { slot, cost, since: now, ordered: false });
        self.cost += cost;
        self.proposed = now;
    }

    /// A slot is ordered.
    pub fn ordered(&mut self, now: Millis, slot: Slot) {
        let proposal = self.proposals.iter_mut().find(|proposal| proposal.slot == slot && !proposal.ordered);
        if let Some(proposal) = proposal {
            let took = now.saturating_sub(proposal.since);
            self.agreement = Some(self.agreement.map_or(took, |least| least.min(took)));
            (proposal.since, proposal.ordered) = (now, true);
        }
    }

    /// All up to this slot are executed.
    pub fn executed(&mut self, now: Millis, slot: Slot) {
        while let Some(proposal) = self.proposals.pop_front_if(|proposal| proposal.slot <= slot) {
            self.cost -= proposal.cost;
            if proposal.cost >= TELLING {
                self.done = self.done.saturating_add(proposal.cost);
                self.busy += now.saturating_sub(proposal.since.max(self.executed));
            }
            self.executed = now;
        }
        if self.busy > MEMORY {
            (self.done, self.busy) = (self.done / 2, self.busy / 2);
        }
    }

    /// Whether another batch may be proposed whose first command takes this of it, where the time-out is so long and replicas are so many.
    #[must_use]
    pub fn has_room(&self, next: u64, now: Millis, timeout: Millis, n: usize) -> bool {
        let meanwhile = self.agreement.unwrap_or(0).saturating_mul(self.done) / self.busy.max(1);
        self.cost == 0
            || self.cost.saturating_add(next) <= LEAST.saturating_add(meanwhile)
            || now >= self.proposed.saturating_add(timeout / (PROPOSALS * n as u64).max(1))
    }
}
