//! What bytes of strangers meet, as functions of bytes: [`TARGETS`].
//!
//! Each target panics if something is wrong, and says whether it accepted the bytes. An ordinary test replays the kept corpus and mutations of it;
//! `cargo fuzz` runs the same functions under libFuzzer. See `docs/fuzzing.md`.
//!
//! - [`decoders`]: messages, statements, batches, commands, evidence, genesis, what clients and replicas say.
//! - [`handshake`]: the first bytes of a connection, and the frames that follow.
//! - [`schedule`]: bytes as a schedule of faults for a simulated cluster.
//! - [`seeds`]: valid bytes for each target, which the corpus began with.
//! - [`mutate`]: a few thousand deterministic mutations, for a run without a fuzzer.

#![allow(clippy::expect_used, clippy::panic, reason = "a target reports by panicking")]

pub mod decoders;
pub mod handshake;
pub mod mutate;
pub mod schedule;
pub mod seeds;

/// One function of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the corpus' folder and of the fuzzer's program.
    pub name: &'static str,
    /// Takes any bytes; says whether they were accepted, panics if something is wrong.
    pub run: fn(&[u8]) -> bool,
    /// Bytes that are accepted.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 12] = [
    Target { name: "message", run: decoders::message, seeds: seeds::messages },
    Target { name: "statement", run: decoders::statement, seeds: seeds::statements },
    Target { name: "command", run: decoders::command, seeds: seeds::commands },
    Target { name: "batch", run: decoders::batch, seeds: seeds::batches },
    Target { name: "evidence", run: decoders::evidence, seeds: seeds::evidence },
    Target { name: "genesis", run: decoders::genesis, seeds: seeds::genesis },
    Target { name: "genesis_json", run: decoders::genesis_json, seeds: seeds::genesis_json },
    Target { name: "request", run: decoders::request, seeds: seeds::requests },
    Target { name: "response", run: decoders::response, seeds: seeds::responses },
    Target { name: "frames", run: handshake::frames, seeds: seeds::frames },
    Target { name: "handshake", run: handshake::handshake, seeds: seeds::handshakes },
    Target { name: "cluster", run: schedule::cluster, seeds: seeds::schedules },
];

/// The target of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("there is no target {name}"))
}
