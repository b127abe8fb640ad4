//! Scenarios: a network, attacks, faults, a load and what must hold, in one file.
//!
//! - [`format`]: the file; [`model`]: what a scenario can stand for.
//! - [`shipped`]: those that come with the program, by name.
//! - [`show`]: one scenario played on real processes, step by step.
//! - [`play`]: a whole run: files, load, show, verdict.
//! - [`sim`]: the same in the simulator.
//! - [`command`]: `varangian-testnet scenario`.

pub mod command;
pub mod format;
pub mod model;
pub mod play;
pub mod shipped;
pub mod show;
pub mod sim;
