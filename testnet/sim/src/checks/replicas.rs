//! What a replica shows of itself after a step: nothing goes back, nothing grows beyond its bound.

use super::invariant::{Held, Invariant, ensure};
use std::collections::BTreeMap;
use varangian_consensus::{Replica, Slot, View};
use varangian_crypto::ReplicaId;

/// What a replica had reached when it was looked at last.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    view: View,
    stable: Slot,
    executed: Slot,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Replicas {
    reached: BTreeMap<ReplicaId, Reached>,
}

impl Replicas {
    /// After a step of honest `replica`.
    ///
    /// # Errors
    /// [`Invariant::Monotonic`], [`Invariant::Bounded`].
    pub fn stepped(&mut self, id: ReplicaId, replica: &Replica, waiting: usize) -> Held {
        let now = Reached { view: replica.view(), stable: replica.stable_slot(), executed: replica.executed() };
        let last = self.reached.entry(id).or_default();
        let forward = now.view >= last.view && now.stable >= last.stable && now.executed >= last.executed;
        ensure(forward, Invariant::Monotonic, || format!("{id} was at {last:?} and is at {now:?}"))?;
        *last = now;
        self.bounded(id, replica, waiting)
    }

    /// A restart: what was synced must be there; unsynced executions may run again.
    ///
    /// # Errors
    /// [`Invariant::Monotonic`].
    pub fn restarted(&mut self, id: ReplicaId, replica: &Replica, promised: View, stable: Slot) -> Held {
        let forward = replica.view() >= promised && replica.stable_slot() >= stable;
        ensure(forward, Invariant::Monotonic, || {
            let (view, slot) = (replica.view(), replica.stable_slot());
            format!("{id} restarts in view {view}, stable {slot}, though view {promised} and slot {stable} are on disk")
        })?;
        let now = Reached { view: replica.view(), stable: replica.stable_slot(), executed: replica.executed() };
        self.reached.insert(id, now);
        Ok(())
    }

    fn bounded(&self, id: ReplicaId, replica: &Replica, waiting: usize) -> Held {
        let (config, pool) = (replica.config(), replica.pool());
        let (n, clients) = (config.quorums.n(), config.admission.maximum());
        // Of what backups handed on, also what stands in the pipeline.
        let (pipeline, operations) = (config.pipeline as usize, config.batch_operations as usize);
        let commands = clients * config.pool_commands + 2 * n * config.armed + pipeline * operations;
        ensure(pool.len() <= commands, Invariant::Bounded, || format!("{id} holds {} commands", pool.len()))?;
        // A crowded pool still takes one command of each share.
        let bytes = config.pool_bytes + (clients + 2 * n + pipeline) * config.batch_bytes;
        ensure(pool.bytes() <= bytes, Invariant::Bounded, || format!("{id} holds {} bytes of commands", pool.bytes()))?;
        // What a step may emit is bounded by the window and by what peers may ask for; between two syncs that adds up.
        let window = usize::try_from(config.window).unwrap_or(usize::MAX);
        let effects = 4096 + 64 * n * (window + commands);
        ensure(waiting <= effects, Invariant::Bounded, || format!("{waiting} effects wait at {id}"))
    }
}
