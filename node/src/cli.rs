//! The command line `varangian`.

pub mod config;
pub mod init;
pub mod inspect;
pub mod kv;
pub mod start;
pub mod status;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A Byzantine fault-tolerant replicated state machine.
#[derive(Debug, Parser)]
#[command(name = "varangian", version, about, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a replica's home: keys first, then, with the genesis, its store
    Init(init::InitArgs),
    /// Run the replica of a home until it is told to stop
    Start(start::StartArgs),
    /// Show settings and where they come from
    Config(config::ConfigArgs),
    /// Look into what replicas leave behind: proofs of misbehaviour
    Inspect(inspect::InspectArgs),
    /// Ask replicas where they stand
    Status(status::StatusArgs),
    /// Use the replicated key-value store
    Kv(kv::KvArgs),
}

/// Exit code: it failed while running.
pub const FAILED: u8 = 1;
/// Exit code: wrong words or settings; nothing was started.
pub const USAGE: u8 = 2;
/// Exit code: the store refuses; a person must look.
pub const STORE: u8 = 3;

/// Runs the command line and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = match arguments.command {
        Command::Init(args) => init::run(args),
        Command::Start(args) => runtime.block_on(start::run(args)),
        Command::Config(args) => config::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Status(args) => runtime.block_on(status::run(args)),
        Command::Kv(args) => runtime.block_on(kv::run(args)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(FAILED)
    })
}
