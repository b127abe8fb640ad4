//! A chain of slots over a state in memory, driven by the real client table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::application::{Application, Context};
use crate::change::{Meta, StateChange};
use crate::executor::{Executed, Executor};
use crate::limits::{Halted, Limits, Meter};
use crate::memory::MemoryState;
use crate::overlay::Overlay;
use crate::reply::{OperationResult, Outcome, Reply};
use crate::state::{PageLimit, Space, StateError, StateReader};
use crate::view::{StateSnapshot, StateView};
use bytes::Bytes;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use varangian_consensus::{Admission, Batch, ClientTable, Command, Commit, CommitCertificate, Execution, Slot, View};
use varangian_crypto::{Context as ChainContext, Digest, Parameters, SigningKey, sha256};

pub const WINDOW: u64 = 8;
pub const INTERVAL: u64 = 3;

pub fn limits() -> Limits {
    Limits::new(&Parameters::default())
}

pub fn client(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

pub fn command(client: &SigningKey, sequence: u64, operations: &[&[u8]]) -> Command {
    let chain = ChainContext { chain_id: Digest::from_bytes([7; 32]), epoch: 0 };
    Command::sign(client, &chain, sequence, operations).unwrap()
}

/// What core, executor and store do together, without the agreement.
pub struct Chain<A> {
    pub table: ClientTable,
    pub executor: Executor<A>,
    pub state: MemoryState,
}

impl<A: Application> Chain<A> {
    pub fn new(application: A) -> Self {
        Self::with_limits(application, limits())
    }

    /// Clients 1 to 9 are admitted.
    pub fn with_limits(application: A, limits: Limits) -> Self {
        let admitted: BTreeSet<_> = (1..10).map(|seed| client(seed).client_key()).collect();
        Self {
            table: ClientTable::new(Admission::List(admitted), WINDOW, []),
            executor: Executor::new(application, limits, Meta::default()),
            state: MemoryState::default(),
        }
    }

    /// Gives the commands their turn, as the core does.
    pub fn decide(&mut self, commands: Vec<Command>) -> Execution {
        let slot = self.executor.meta().slot.next();
        let verdicts = commands.iter().map(|command| self.table.turn(&command.identity())).collect();
        let windows = self.table.rows(commands.iter().map(Command::client).collect());
        let batch = Batch::new(commands).map(Arc::new);
        let digest = batch.as_ref().map_or(Digest::ZERO, |batch| *batch.digest());
        let history = sha256("test history", &[self.executor.meta().history.as_bytes(), digest.as_bytes()]);
        let statement = Commit { view: View(0), slot, digest };
        let certificate = CommitCertificate { statement, signatures: Default::default() };
        Execution { slot, certificate, batch, verdicts, windows, history, checkpoint: slot.0.is_multiple_of(INTERVAL) }
    }

    /// Executes one slot and applies it.
    pub fn slot(&mut self, commands: Vec<Command>) -> Executed {
        let execution = self.decide(commands);
        let executed = self.executor.execute(&self.state, &execution).unwrap();
        self.state.apply(&executed.changes);
        executed
    }

    /// Executes one command and applies it.
    pub fn run(&mut self, command: Command) -> Reply {
        self.slot(vec![command]).replies.pop().unwrap().expect("it has not run before")
    }
}

/// The results of a command that ran.
pub fn results(reply: &Reply) -> Vec<OperationResult> {
    match &reply.outcome {
        Outcome::Executed(results) => results.to_vec(),
        other => panic!("did not run: {other:?}"),
    }
}

pub fn done(bytes: &[u8]) -> OperationResult {
    OperationResult::Done(bytes.try_into().unwrap())
}

pub fn context(result_bytes: usize) -> Context {
    Context { slot: Slot(1), client: client(1).client_key(), sequence: 1, operation: 0, result_bytes }
}

/// One operation outside any slot; the overlay keeps what it wrote.
pub fn operate<A: Application>(
    application: &mut A,
    base: &MemoryState,
    overlay: &mut Overlay,
    operation: &[u8],
) -> Result<Bytes, Halted> {
    let limits = limits();
    let meter = Meter::new(limits, limits.command(1));
    application.execute(&mut StateView::new(base, overlay, &meter), operation, &context(limits.result_bytes))
}

/// A state with these application entries.
pub fn state_of<'a>(entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> MemoryState {
    let mut state = MemoryState::default();
    let own = |(key, value): (&[u8], &[u8])| (Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
    let application = entries.into_iter().map(own).collect();
    state.apply(&StateChange { application, clients: Vec::new(), meta: Meta::default() });
    state
}

/// Fails every read after the first `good` ones.
pub struct Failing<'a> {
    pub inner: &'a dyn StateReader,
    pub good: Cell<usize>,
}

impl Failing<'_> {
    fn pass(&self) -> Result<(), StateError> {
        let left = self.good.get().checked_sub(1).ok_or_else(|| StateError::new("disk on fire"))?;
        self.good.set(left);
        Ok(())
    }
}

impl StateReader for Failing<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.pass()?;
        self.inner.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: PageLimit,
    ) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        self.pass()?;
        self.inner.scan(space, prefix, after, limit)
    }
}

/// A panic without the report of the panic hook.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("as told"))
}

/// An application that does as it is told: the operation's first byte says what, the rest is its argument.
///
/// - `c`: adds one to a counter and answers with it
/// - `p`: writes its argument as key and value, then panics
/// - `b`: writes its argument, which is a length in decimal, then answers with so many bytes
/// - `v`: writes a value that is too long, ignores what the view says, tries to write on and answers
/// - `r`: reads its argument until the view ends it, ignores that and answers
/// - `w`: writes its argument as key and value
/// - `d`: deletes its argument
/// - `x`: answers with its context
/// - `h`: keeps a `Halted` of the view and hands it out in later operations
#[derive(Clone, Default)]
pub struct Probe {
    kept: Option<Halted>,
}

impl Application for Probe {
    fn execute(&mut self, state: &mut StateView, operation: &[u8], context: &Context) -> Result<Bytes, Halted> {
        let (what, argument) = operation.split_first().unwrap_or((&0, &[]));
        match what {
            b'c' => {
                let count = state.get(b"count")?.map_or(0, |bytes| bytes[0]) + 1;
                state.put(b"count", vec![count])?;
                return Ok(vec![count].into());
            }
            b'p' => {
                state.put(argument, Bytes::copy_from_slice(argument))?;
                panic_quietly();
            }
            b'b' => {
                state.put(argument, Bytes::new())?;
                return Ok(vec![0; str::from_utf8(argument).unwrap().parse().unwrap()].into());
            }
            b'v' => {
                let ended = state.put(b"long", vec![0; crate::limits::VALUE_BYTES + 1]).is_err();
                let still = state.put(b"short", "value").is_err();
                return Ok(format!("{ended} {still}").into());
            }
            b'r' => while state.get(argument).is_ok() {},
            b'w' => state.put(argument, Bytes::copy_from_slice(argument))?,
            b'd' => state.delete(argument)?,
            b'x' => return Ok(format!("{} {} {}", context.slot, context.sequence, context.operation).into()),
            b'h' => match self.kept {
                Some(halted) => return Err(halted),
                None => self.kept = state.get(&[0; crate::limits::KEY_BYTES + 1]).err(),
            },
            _ => return Ok(Bytes::from_static(b"?")),
        }
        Ok(Bytes::from_static(b"ok"))
    }

    fn query(&self, state: &StateSnapshot, query: &[u8]) -> Result<Bytes, Halted> {
        match query {
            b"panic" => panic_quietly(),
            b"big" => Ok(vec![0; limits().answer_bytes + 1].into()),
            _ => Ok(state.get(query)?.unwrap_or_default()),
        }
    }
}
