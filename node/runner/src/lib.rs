//! Runs a replica's effects in order: **durable before sent**, in the one place that knows it.
//!
//! Itself without input and output: what is done is done by an [`Io`], which production, the simulator and tests each have their own of.
//! So what a simulator drives is what runs in production.
//!
//! - [`io`]: what a shell must be able to do.
//! - [`runner`]: the queue between the core and the shell, with its group commit.
//! - [`sign`]: a vote under the replica's own key, as peers and the own core get it.

pub mod io;
pub mod runner;
pub mod sign;

pub use io::{Io, Token};
pub use runner::Runner;
pub use sign::sign;
