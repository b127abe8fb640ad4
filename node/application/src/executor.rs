//! A decided slot, from exactly-once's verdicts to replies and one change of state.

use crate::application::{Application, Context};
use crate::change::{Meta, StateChange};
use crate::clients::{remember, slide};
use crate::limits::{Halt, Halted, Limits, Meter, SMALL_RESULT_BYTES, Work};
use crate::overlay::Overlay;
use crate::reply::{OperationResult, Outcome, Reply};
use crate::state::{StateError, StateReader};
use crate::view::{StateSnapshot, StateView};
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use thiserror::Error;
use varangian_consensus::{Command, Execution, Identity, Slot, Verdict};
use varangian_crypto::{Bounded, BoundedBytes, CodecError, Digest};

/// Why a slot cannot be executed. Never the application's fault: this replica cannot go on.
#[derive(Debug, Error)]
pub enum ExecuteError {
    /// The store failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// Something stored is not what was written.
    #[error("{0} is damaged in this replica's state: stop it and repair its state from its peers")]
    Damaged(&'static str),
    /// A slot was skipped or comes again.
    #[error("slot {found} was handed over for execution, but {expected} is next: hand over each slot once, in order")]
    OutOfOrder {
        /// The slot after the last executed one.
        expected: Slot,
        /// The slot handed over.
        found: Slot,
    },
    /// The batch and its verdicts do not belong together.
    #[error("slot {slot} has {commands} commands but {verdicts} verdicts: each command needs one")]
    Unpaired {
        /// The slot.
        slot: Slot,
        /// Commands in its batch.
        commands: usize,
        /// Verdicts beside it.
        verdicts: usize,
    },
    /// A result cannot be put into a reply.
    #[error("a reply cannot be built: {0}; the genesis allows more than this build")]
    Oversized(CodecError),
}

/// What executing a slot gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The slot.
    pub slot: Slot,
    /// To be applied to the state in one atomic write before the next slot is executed.
    pub changes: StateChange,
    /// One per command, in order. None for one that ran before: the state does not depend on what it was answered, and a batch may hold thousands of
    /// those, so none is read here. Its reply is a [`cached_reply`](crate::cached_reply).
    pub replies: Vec<Option<Reply>>,
    /// The state's digest after the slot, where a checkpoint asks for it.
    pub state_digest: Option<Digest>,
}

/// Runs an application over decided slots. The verdicts of the client table are obeyed, not judged.
#[derive(Debug)]
pub struct Executor<A> {
    application: A,
    limits: Limits,
    meta: Meta,
}

impl<A: Application> Executor<A> {
    /// Goes on after what `meta`, stored with the last slot's change, says; its default is genesis.
    #[must_use]
    pub const fn new(application: A, limits: Limits, meta: Meta) -> Self {
        Self { application, limits, meta }
    }

    /// How far the state has come.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Executes the next slot over `state`, to which the change of the slot before is applied. After an error nothing has changed,
    /// here or there.
    ///
    /// # Errors
    /// [`ExecuteError`]; all are fatal for the replica.
    pub fn execute(&mut self, state: &dyn StateReader, execution: &Execution) -> Result<Executed, ExecuteError> {
        let commands = self.commands(execution)?;
        let slot = execution.slot;
        let mut overlay = Overlay::default();
        let mut replies = Vec::with_capacity(commands.len());
        for (command, verdict) in commands.iter().zip(&execution.verdicts) {
            let reply = match *verdict {
                Verdict::Run { .. } => {
                    let reply = self.run(state, &mut overlay, slot, command)?;
                    remember(&mut overlay, &reply);
                    Some(reply)
                }
                Verdict::Duplicate => None,
                Verdict::TooOld => Some(Reply::new(command, slot, Outcome::TooOld)),
                Verdict::Refused => Some(Reply::new(command, slot, Outcome::Refused)),
            };
            replies.push(reply);
        }
        for (client, window) in &execution.windows {
            slide(state, &mut overlay, client, window)?;
        }
        let changes = StateChange::net(state, overlay, &self.meta.state, slot, execution.history)?;
        self.meta = changes.meta.clone();
        let state_digest = execution.checkpoint.then(|| self.meta.state.digest());
        Ok(Executed { slot, changes, replies, state_digest })
    }

    /// Answers a query over `state`, as of the last executed slot. Changes nothing.
    ///
    /// # Errors
    /// [`ExecuteError::State`] if the state cannot be read.
    pub fn query(&self, state: &dyn StateReader, query: &[u8]) -> Result<OperationResult, ExecuteError> {
        let meter = Meter::new(self.limits, self.limits.query);
        let overlay = Overlay::default();
        let answer = catch(|| self.application.query(&StateSnapshot::new(state, &overlay, &meter), query));
        judge(meter, answer, self.limits.answer_bytes)
    }

    fn commands<'e>(&self, execution: &'e Execution) -> Result<&'e [Command], ExecuteError> {
        let expected = self.meta.slot.next();
        if execution.slot != expected {
            return Err(ExecuteError::OutOfOrder { expected, found: execution.slot });
        }
        let commands = execution.batch.as_ref().map_or(&[][..], |batch| batch.commands());
        if commands.len() != execution.verdicts.len() {
            let (slot, verdicts) = (execution.slot, execution.verdicts.len());
            return Err(ExecuteError::Unpaired { slot, commands: commands.len(), verdicts });
        }
        Ok(commands)
    }

    /// Runs a command's operations in order. They share one budget of work. Its results share `result_bytes`; small ones are free, so that a
    /// bundle of many writes never fails for the sum of its answers.
    fn run(
        &mut self,
        state: &dyn StateReader,
        overlay: &mut Overlay,
        slot: Slot,
        command: &Command,
    ) -> Result<Reply, ExecuteError> {
        let Identity { client, sequence } = command.identity();
        let mut left = self.limits.result_bytes;
        let mut work = self.limits.command(command.operation_count());
        let mut results = Bounded::new();
        for (place, operation) in command.operations().enumerate() {
            let result_bytes = left.max(SMALL_RESULT_BYTES);
            let context = Context { slot, client, sequence, operation: place, result_bytes };
            let result = self.operate(state, overlay, &operation, &context, &mut work)?;
            if let OperationResult::Done(bytes) = &result
                && bytes.len() > SMALL_RESULT_BYTES
            {
                left = left.saturating_sub(bytes.len());
            }
            results.push(result).map_err(ExecuteError::Oversized)?;
        }
        Ok(Reply::new(command, slot, Outcome::Executed(results)))
    }

    /// Runs one operation: all of it, or an error that every replica agrees on and no writes.
    fn operate(
        &mut self,
        state: &dyn StateReader,
        overlay: &mut Overlay,
        operation: &[u8],
        context: &Context,
        work: &mut Work,
    ) -> Result<OperationResult, ExecuteError> {
        let meter = Meter::new(self.limits, *work);
        let savepoint = overlay.savepoint();
        let application = &mut self.application;
        let answer = catch(|| application.execute(&mut StateView::new(state, overlay, &meter), operation, context));
        *work = meter.left();
        let result = judge(meter, answer, context.result_bytes)?;
        if !matches!(result, OperationResult::Done(_)) {
            overlay.rollback(savepoint);
        }
        overlay.settle();
        Ok(result)
    }
}

/// What an application answered; `None` if it panicked or made up a [`Halted`].
///
/// Unwind safety: what a panic leaves half done in the overlay is rolled back, the meter is read for its verdict alone, and
/// applications keep nothing in `self` that a later operation relies on.
fn catch(body: impl FnOnce() -> Result<Bytes, Halted>) -> Option<Bytes> {
    catch_unwind(AssertUnwindSafe(body)).ok().and_then(Result::ok)
}

/// What ended an operation counts before what the application makes of it.
fn judge(meter: Meter, answer: Option<Bytes>, limit: usize) -> Result<OperationResult, ExecuteError> {
    match (meter.into_halt(), answer) {
        (Some(Halt::State(error)), _) => Err(error.into()),
        (Some(Halt::Limit(limit)), _) => Ok(OperationResult::LimitExceeded(limit)),
        (None, None) => Ok(OperationResult::ApplicationFault),
        (None, Some(bytes)) if bytes.len() > limit => Ok(OperationResult::TooLarge { size: bytes.len() as u64 }),
        (None, Some(bytes)) => {
            BoundedBytes::try_from(bytes).map(OperationResult::Done).map_err(ExecuteError::Oversized)
        }
    }
}

#[cfg(test)]
mod tests;
