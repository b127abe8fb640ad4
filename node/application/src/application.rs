//! What an application is: a deterministic function over a state view. Durability, digest and exactly-once come for free.
//!
//! Rules, on which the agreement of replicas rests:
//!
//! - **Deterministic**: what it writes and answers follows from the state, the operation and the [`Context`] alone. No clock,
//!   randomness, environment, addresses, hash order or floats.
//! - **Total**: any bytes are an operation. Errors are results. A panic is caught and becomes
//!   [`ApplicationFault`](crate::OperationResult::ApplicationFault), the operation's writes are discarded, and all replicas agree on it;
//!   an abort, an endless loop or an overflowing stack are not caught, and take every replica down alike.
//! - **Stateless**: everything that outlives an operation is in the view. What `self` holds is lost by a restart.
//!
//! A counter:
//!
//! ```
//! use bytes::Bytes;
//! use varangian_application::{Application, Context, Halted, StateSnapshot, StateView};
//!
//! /// Adds the length of every operation to one number, and answers with it.
//! struct Counter;
//!
//! fn total(state: &StateSnapshot) -> Result<u64, Halted> {
//!     let stored = state.get(b"total")?;
//!     Ok(stored.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes))
//! }
//!
//! impl Application for Counter {
//!     fn execute(&mut self, state: &mut StateView, operation: &[u8], _: &Context) -> Result<Bytes, Halted> {
//!         let total = total(&state.snapshot())?.wrapping_add(operation.len() as u64);
//!         let bytes = Bytes::copy_from_slice(&total.to_le_bytes());
//!         state.put(b"total", bytes.clone())?;
//!         Ok(bytes)
//!     }
//!
//!     fn query(&self, state: &StateSnapshot, _: &[u8]) -> Result<Bytes, Halted> {
//!         Ok(Bytes::copy_from_slice(&total(state)?.to_le_bytes()))
//!     }
//! }
//!
//! # use varangian_application::{Executor, Limits, MemoryState, Meta, OperationResult};
//! # let executor = Executor::new(Counter, Limits::new(&Default::default()), Meta::default());
//! # let answer = executor.query(&MemoryState::default(), b"")?;
//! # assert_eq!(answer, OperationResult::Done(bytes::Bytes::from_static(&[0; 8]).try_into()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::limits::Halted;
use crate::view::{StateSnapshot, StateView};
use bytes::Bytes;
use varangian_consensus::{Sequence, Slot};
use varangian_crypto::ClientKey;

/// Where an operation stands in the agreed order. The same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The slot that it is decided in.
    pub slot: Slot,
    /// Who signed it.
    pub client: ClientKey,
    /// The client's number for its command.
    pub sequence: Sequence,
    /// Its place in its command, from 0.
    pub operation: usize,
    /// Bytes that its result may have; a larger one is discarded with the operation's writes.
    pub result_bytes: usize,
}

/// A deterministic, total function over a state view. See the module's rules.
///
/// [`Halted`] comes from the view alone and ends the operation: pass it on with `?`.
pub trait Application: Send {
    /// Runs one operation and says what came of it.
    ///
    /// # Errors
    /// [`Halted`] if the view ended the operation.
    fn execute(&mut self, state: &mut StateView, operation: &[u8], context: &Context) -> Result<Bytes, Halted>;

    /// Answers without changing anything.
    ///
    /// # Errors
    /// [`Halted`] if the view ended the query.
    fn query(&self, state: &StateSnapshot, query: &[u8]) -> Result<Bytes, Halted>;
}
