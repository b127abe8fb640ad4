//! `varangian-sim`: the simulator alone, without the rest of the testnet.

use clap::Parser;
use std::process::ExitCode;
use varangian_sim::cli::{SimArgs, run};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    sim: SimArgs,
}

fn main() -> ExitCode {
    run(&Arguments::parse().sim)
}
