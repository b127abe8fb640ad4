//! A model checker's view of the cluster: [stateright](https://www.stateright.rs) over the production
//! [`Replica`](varangian_consensus::Replica), one Byzantine primary, one slot.
//!
//! Nothing of the protocol is written a second time. A step of the model is `Replica::step`; this crate says which inputs are possible and what
//! must never be seen. See `docs/model-checking.md` for what is modelled, what is left out, and why each reduction is sound.
//!
//! Reading order:
//!
//! - [`scenario`]: who is faulty and how, what may happen, up to where.
//! - [`alphabet`]: every message that was ever seen, signed once; what a permutation of replicas makes of it.
//! - [`soup`]: sets of messages that were sent. Sets only grow; delivery is a choice, and so is loss.
//! - [`node`]: one replica with its timers, run until it has nothing more to do.
//! - [`table`], [`world`]: all of that in tables, so that each distinct step of the core is computed once.
//! - [`model`]: states, actions and properties, as stateright asks for them.
//! - [`search`]: runs a scenario within limits of time and memory, and says what was seen.
//!
//! It is a package of its own because stateright brings randomness, clocks and sockets with it, which the simulator must not link.

#![allow(clippy::expect_used, clippy::panic, reason = "a checker reports by panicking")]

pub mod alphabet;
pub mod model;
pub mod node;
pub mod scenario;
pub mod search;
pub mod soup;
pub mod table;
pub mod world;

pub use model::{Action, State, Universe};
pub use scenario::{Bodies, Scenario};
pub use search::{Limits, Report, Verdict, search, walk};
pub use world::World;
