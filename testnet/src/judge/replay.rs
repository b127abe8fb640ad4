//! The log, slot by slot, through an application, a client table and a state of its own.

use super::JudgeError;
use super::claims::Claims;
use super::finding::{Finding, Findings};
use std::sync::Arc;
use varangian_application::{Executor, KeyValue, Limits, MemoryState, Meta, Outcome};
use varangian_consensus::{
    Batch, ClientTable, Command, Commit, CommitCertificate, Config, Execution, Slot, Verdict, View,
};
use varangian_crypto::{Committee, Digest, Genesis, ReplicaId, Verify, sha256};

/// What the log leads to.
pub(super) struct Replay<'a> {
    committee: &'a Committee,
    table: ClientTable,
    executor: Executor<KeyValue>,
    state: MemoryState,
}

impl<'a> Replay<'a> {
    /// At genesis.
    pub(super) fn new(genesis: &Genesis, committee: &'a Committee) -> Self {
        let config = Config::new(genesis, committee, ReplicaId(0));
        let meta = Meta { history: genesis.chain_id(), ..Meta::default() };
        Self {
            committee,
            table: ClientTable::new(config.admission, config.client_window, []),
            executor: Executor::new(KeyValue, Limits::new(genesis.parameters()), meta),
            state: MemoryState::default(),
        }
    }

    /// Runs the next slot, and holds what ran against what the clients say.
    pub(super) fn slot(
        &mut self,
        digest: Digest,
        batch: Option<Batch>,
        claims: &mut Claims,
        findings: &mut Findings,
    ) -> Result<(), JudgeError> {
        let slot = self.meta().slot.next();
        if let Some(Err(error)) = batch.as_ref().map(|batch| batch.check(self.committee)) {
            findings.push(Finding::InvalidBatch { slot, reason: error.to_string() });
        }
        let batch = batch.map(Arc::new);
        let commands = batch.as_ref().map_or(&[][..], |batch| batch.commands());
        let verdicts: Vec<_> = commands.iter().map(|command| self.table.turn(&command.identity())).collect();
        let execution = Execution {
            slot,
            certificate: uncertified(slot, digest),
            windows: self.table.rows(commands.iter().map(Command::client).collect()),
            verdicts,
            history: history(&self.meta().history, slot, &digest),
            checkpoint: false,
            batch: batch.clone(),
        };
        let executed = self.executor.execute(&self.state, &execution);
        let executed = executed.map_err(|source| JudgeError::Replay { slot, source })?;
        self.state.apply(&executed.changes);
        let turns = commands.iter().zip(&execution.verdicts).zip(&executed.replies).enumerate();
        for (place, ((command, verdict), reply)) in turns {
            let outcome = reply.as_ref().map(|reply| &reply.outcome);
            if let (Verdict::Run { .. }, Some(Outcome::Executed(results))) = (verdict, outcome) {
                claims.ran(command, (slot, place), results, findings);
            }
        }
        Ok(())
    }

    /// How far it has come.
    pub(super) const fn meta(&self) -> &Meta {
        self.executor.meta()
    }

    /// The state that it has led to.
    pub(super) const fn state(&self) -> &MemoryState {
        &self.state
    }
}

/// The history is chained here by hand: `H(before, slot, digest)`.
fn history(before: &Digest, slot: Slot, digest: &Digest) -> Digest {
    sha256("varangian history 1", &[before.as_bytes(), &slot.0.to_le_bytes(), digest.as_bytes()])
}

/// The executor asks for no proof; the stores' certificates are checked for themselves.
fn uncertified(slot: Slot, digest: Digest) -> CommitCertificate {
    CommitCertificate { statement: Commit { view: View(0), slot, digest }, signatures: Default::default() }
}
