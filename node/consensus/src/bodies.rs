//! Bodies of batches: votes name them by digest, and they travel apart.

use crate::batch::{Batch, NULL_BATCH};
use crate::effect::{Effect, Ignored, Record};
use crate::evidence::{Body, Evidence};
use crate::replica::{Replica, SlotLog, Turn};
use crate::types::Slot;
use alloc::sync::Arc;
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Digest, ReplicaId};

/// Bodies of one slot in memory at most; what is on disk is read again if it is needed.
const MAX_BODIES: usize = 4;

impl Replica {
    /// Upon a body. It is held if a vote or a decision names it, or if the primary sends it ahead of its pre-prepare.
    pub(crate) fn on_batch(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        slot: Slot,
        batch: Arc<Batch>,
    ) -> Result<(), Ignored> {
        if slot <= self.issued {
            return Err(Ignored::Stale);
        }
        let digest = *batch.digest();
        if let Some(decision) = self.decided.get_mut(&slot)
            && decision.certificate.statement.digest == digest
            && decision.batch.is_none()
        {
            decision.batch = Some(batch);
            return Ok(());
        }
        self.check_window(slot)?;
        let primary = self.config.primary(self.entered);
        let named =
            self.log.get(&slot).and_then(|entry| entry.pre_prepares.of(primary)).map(|vote| vote.statement.digest);
        let wanted = match named {
            Some(named) => named == digest,
            None => from == primary && self.is_ahead_of_its_pre_prepare(slot),
        };
        let held = self.log.get(&slot).map_or(0, |entry| entry.bodies.len());
        if self.log.get(&slot).is_some_and(|entry| entry.bodies.contains_key(&digest)) {
            return Err(Ignored::Duplicate);
        }
        if !wanted || (named.is_none() && held >= MAX_BODIES) {
            return Err(Ignored::Unsolicited);
        }
        let entry = self.log.entry(slot).or_default();
        if entry.bodies.len() >= MAX_BODIES {
            entry.evict();
        }
        entry.bodies.insert(digest, batch);
        self.advance(turn, slot);
        Ok(())
    }

    /// Upon a body with an invalid command: whoever pre-prepared it is faulty, and nobody honest votes for it.
    pub(crate) fn on_invalid_batch(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        slot: Slot,
        batch: Arc<Batch>,
    ) -> Result<(), Ignored> {
        self.check_window(slot)?;
        let primary = self.config.primary(self.entered);
        let named = self.log.get(&slot).and_then(|entry| entry.pre_prepares.of(primary));
        let wanted = match named {
            Some(named) => named.statement.digest == *batch.digest(),
            None => from == primary && self.is_ahead_of_its_pre_prepare(slot),
        };
        let entry = if wanted { self.log.entry(slot).or_default() } else { return Err(Ignored::Unsolicited) };
        if entry.suspect.as_ref().is_some_and(|held| held.digest() == batch.digest()) {
            return Err(Ignored::Duplicate);
        }
        entry.suspect = Some(batch);
        self.judge_suspect(turn, slot);
        Ok(())
    }

    /// A primary sends bodies apart from its pre-prepares, and either may come first; none honest runs further ahead than this.
    fn is_ahead_of_its_pre_prepare(&self, slot: Slot) -> bool {
        slot > self.issued && slot <= self.issued.plus(self.config.pipeline.saturating_mul(2))
    }

    /// A pre-prepare and the invalid body that it names, whichever came first: its primary is proved faulty.
    pub(crate) fn judge_suspect(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let primary = self.config.primary(self.entered);
        let Some(entry) = self.log.get(&slot) else { return };
        let (Some(pre_prepare), Some(body)) = (entry.pre_prepares.of(primary), &entry.suspect) else { return };
        if pre_prepare.statement.digest == *body.digest() {
            let (pre_prepare, body, view) = (pre_prepare.clone(), Body(body.clone()), pre_prepare.statement.view);
            self.accuse(turn, Evidence::InvalidBatch { pre_prepare, body });
            self.fail_view_of(turn, view);
        }
    }
}

impl SlotLog {
    /// Whether the body is durable before anything emitted from here on; makes it so if it is in memory.
    pub(crate) fn make_durable(&mut self, turn: &mut Turn<'_>, slot: Slot, digest: &Digest) -> bool {
        if *digest == NULL_BATCH || self.durable.contains(digest) {
            return true;
        }
        let Some(batch) = self.bodies.get(digest) else { return false };
        if !seeded(Bug::BodyNotPersisted) {
            turn.push(Effect::Persist(Record::Batch { slot, batch: batch.clone() }));
        }
        self.durable.insert(*digest);
        true
    }

    /// Makes room for a body that is named now. The disk keeps every body that was voted for.
    fn evict(&mut self) {
        let prepared = self.prepared.as_ref().map(|certificate| certificate.pre_prepare.digest);
        let victim = self.bodies.keys().copied().find(|digest| Some(*digest) != prepared);
        if let Some(victim) = victim {
            self.bodies.remove(&victim);
        }
    }
}
