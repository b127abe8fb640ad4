//! Executes decided slots: a deterministic application over a state view, exactly-once replies, the state's digest.
//!
//! No input or output of its own: state is read through [`StateReader`] and changes leave as one [`StateChange`] per slot, to be
//! applied in one atomic write. So a process over a database, a simulator over a map and the tests run the same executor.
//!
//! Reading order:
//!
//! - [`application`]: the trait that an application implements, with a counter as an example.
//! - [`state`]: where state is read from; its two spaces.
//! - [`limits`]: what one operation may cost; counted, never timed.
//! - `overlay`: a slot's writes over the state below, with savepoints.
//! - [`view`]: what an application sees of it.
//! - [`reply`]: what comes of a command; what a client compares.
//! - [`clients`]: the client table's rows and remembered replies as state.
//! - [`change`]: a slot's net change and the digest of the whole state.
//! - [`executor`]: a slot from verdicts to replies.
//! - [`memory`]: a state in memory.
//! - [`kv`]: the built-in key-value store.

pub mod application;
pub mod change;
pub mod clients;
pub mod executor;
pub mod kv;
pub mod limits;
pub mod memory;
mod overlay;
pub mod reply;
pub mod state;
pub mod view;

#[cfg(test)]
mod testing;

pub use application::{Application, Context};
pub use change::{Meta, StateChange, Write, recompute};
pub use clients::{cached_reply, client_windows};
pub use executor::{ExecuteError, Executed, Executor};
pub use kv::KeyValue;
pub use limits::{Halted, Limit, Limits, Work};
pub use memory::MemoryState;
pub use reply::{OperationResult, Outcome, Reply};
pub use state::{PageLimit, Space, StateError, StateReader};
pub use view::{Page, StateSnapshot, StateView};
