//! Replicas in memory, driven by tests and by seeds: no clock, no sockets, no disk, no randomness of their own.
//!
//! - [`adversary`]: replicas that misbehave on purpose: an honest core behind a rewritten shell.
//! - [`checks`]: what must hold in every run, whoever drives the replicas.
//! - [`cluster`]: production runners with real keys, over a network, disks and a time that a test moves by hand.
//! - [`world`]: the same among simulated networks, disks, clocks and clients, in runs that one seed decides.
//! - [`campaign`]: many runs together. [`shrink`]: what of a failing one is needed for it to fail.
//! - [`scoreboard`]: what each attack comes to, against the same runs without it.
//! - `sensitivity`, with the feature `seeded-bugs`: would a campaign see a bug?
//! - `cli`, with the feature of that name: the command line. It alone knows threads and true time.

pub mod adversary;
pub mod campaign;
pub mod checks;
#[cfg(feature = "cli")]
pub mod cli;
pub mod cluster;
pub mod scoreboard;
#[cfg(feature = "seeded-bugs")]
pub mod sensitivity;
pub mod shrink;
pub mod world;

pub use checks::{Checks, Invariant, Violation};
pub use cluster::{Cluster, Event, Fate, Loss, Options, Packet, TimerKind};
