//! §4.3: checkpoints, the stable one, and the window that stands on it.
//!
//! - Every `interval` slots each replica says what its state has come to; a quorum of equal ones is stable.
//! - When the stable one is this replica's own state too, the window moves and voting state below is forgotten.
//! - If this replica has not executed so far, it is behind: it catches up, and its command timers rest meanwhile.
//! - If its own state differs, it stops: it would vote for what it cannot know.

use crate::effect::{Alarm, Effect, Ignored, Record, Vote};
use crate::evidence::{Conflict, Evidence};
use crate::replica::{Replica, Turn};
use crate::types::Slot;
use crate::vote::{Checkpoint, StableCheckpoint};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Digest, QuorumCertificate, ReplicaId, Signed};

impl Replica {
    /// A slot is executed and written.
    pub(crate) fn on_executed(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        state: Option<Digest>,
    ) -> Result<(), Ignored> {
        if slot != self.executed.next() || slot > self.issued {
            return Err(Ignored::Stale);
        }
        self.executed = slot;
        self.backlog.executed(turn.now, slot);
        let history = self.histories.remove(&slot);
        if let (Some(history), Some(state)) = (history, state) {
            self.sign_checkpoint(turn, Checkpoint { slot, history, state });
        }
        if let Some(ahead) = &self.ahead
            && ahead.statement.slot <= slot
        {
            let ahead = ahead.clone();
            self.settle_checkpoint(turn, ahead);
        }
        Ok(())
    }

    pub(crate) fn sign_checkpoint(&mut self, turn: &mut Turn<'_>, checkpoint: Checkpoint) {
        let slot = checkpoint.slot;
        if let Some(signed) = self.own_checkpoints.insert(slot, checkpoint)
            && signed != checkpoint
        {
            // Execution after a restart came to another state than the one that was signed before it.
            self.stop(turn, Alarm::Diverged { slot, own: checkpoint.state, agreed: signed.state });
            return;
        }
        if slot > self.highest_checkpoint {
            self.highest_checkpoint = slot;
            turn.push(Effect::Persist(Record::Checkpoint(checkpoint)));
            turn.push(Effect::Vote(Vote::Checkpoint(checkpoint)));
        }
    }

    /// Upon a CHECKPOINT inside the window. (Behind the window a certificate is needed, see [`Replica::on_stable`].)
    pub(crate) fn on_checkpoint(&mut self, turn: &mut Turn<'_>, signed: Signed<Checkpoint>) -> Result<(), Ignored> {
        let (slot, signer) = (signed.statement.slot, signed.signer);
        self.check_window(slot)?;
        let votes: &mut BTreeMap<ReplicaId, Signed<Checkpoint>> = self.checkpoints.entry(slot).or_default();
        if let Some(first) = votes.get(&signer) {
            if first.statement == signed.statement {
                return Err(Ignored::Duplicate);
            }
            let conflict = Conflict { first: first.clone(), second: signed };
            self.accuse(turn, Evidence::Checkpoints(conflict));
            return Ok(());
        }
        let statement = signed.statement;
        votes.insert(signer, signed);
        let equal = votes.values().filter(|vote| vote.statement == statement).map(|vote| (vote.signer, vote.signature));
        if let Some(certificate) = QuorumCertificate::from_votes(statement, equal, self.config.quorums) {
            self.settle_checkpoint(turn, certificate);
        }
        Ok(())
    }

    /// Upon a stable checkpoint's certificate, from whatever slot: it proves itself.
    pub(crate) fn on_stable(&mut self, turn: &mut Turn<'_>, certificate: StableCheckpoint) -> Result<(), Ignored> {
        let slot = certificate.statement.slot;
        if slot <= self.stable_slot() || self.ahead.as_ref().is_some_and(|ahead| ahead.statement.slot >= slot) {
            return Err(Ignored::Stale);
        }
        self.settle_checkpoint(turn, certificate);
        self.catch_up(turn);
        Ok(())
    }

    /// A checkpoint is stable: move up to it, remember it as proof of being behind, or stop.
    pub(crate) fn settle_checkpoint(&mut self, turn: &mut Turn<'_>, certificate: StableCheckpoint) {
        let agreed = certificate.statement;
        if agreed.slot <= self.stable_slot() {
            return;
        }
        if self.executed < agreed.slot {
            if self.ahead.as_ref().is_none_or(|ahead| ahead.statement.slot < agreed.slot) {
                self.ahead = Some(certificate);
            }
            return;
        }
        match self.own_checkpoints.get(&agreed.slot) {
            Some(own) if *own == agreed => self.move_window(turn, certificate),
            Some(own) => {
                let own = if own.state == agreed.state { own.history } else { own.state };
                self.stop(turn, Alarm::Diverged { slot: agreed.slot, own, agreed: agreed.state });
            }
            // Executed before a restart, and the own digest of that slot is not known any more: the next checkpoint tells.
            None => {}
        }
    }

    /// The low watermark rises: what lies below is settled and forgotten.
    fn move_window(&mut self, turn: &mut Turn<'_>, certificate: StableCheckpoint) {
        let slot = certificate.statement.slot;
        let reach = self.stable_slot().plus(self.config.window);
        self.log = self.log.split_off(&slot.next());
        self.checkpoints = self.checkpoints.split_off(&slot.next());
        self.own_checkpoints = self.own_checkpoints.split_off(&slot.next());
        self.decided = self.decided.split_off(&slot.next());
        self.next_slot = self.next_slot.max(slot.next());
        if self.ahead.as_ref().is_some_and(|ahead| ahead.statement.slot <= slot) {
            self.ahead = None;
        }
        if seeded(Bug::PrunesTooMuch) {
            self.log.remove(&slot.next());
        }
        turn.push(Effect::Persist(Record::Stable(certificate.clone())));
        self.stable = Some(certificate);
        // What catching up signed beyond the window until now was refused by the own tally: it is said again.
        for own in self
            .own_checkpoints
            .range(reach.next()..)
            .map(|(_, own)| *own)
            .filter(|own| self.check_window(own.slot).is_ok())
        {
            turn.push(Effect::Vote(Vote::Checkpoint(own)));
        }
        let revealed: Vec<Slot> = self.install_order(turn);
        for slot in revealed {
            self.advance(turn, slot);
        }
    }

    /// The own CHECKPOINTs that are not stable yet, for whoever lacks them.
    pub(crate) fn pending_checkpoints(&self) -> impl Iterator<Item = &Signed<Checkpoint>> {
        self.checkpoints.values().filter_map(|votes| votes.get(&self.config.id))
    }
}
