//! Replicas in memory, driven by tests and by nothing else: no clock, no sockets, no disk, no randomness of their own.
//!
//! - [`adversary`]: replicas that misbehave on purpose: an honest core behind a rewritten shell.
//! - [`cluster`]: production runners with real keys, over a network, disks and a time that the test moves.

pub mod adversary;
pub mod cluster;

pub use cluster::{Cluster, Event, Fate, Loss, Options, Packet, TimerKind};
