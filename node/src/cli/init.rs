//! `varangian init`.

use super::STORE;
use crate::home::{Home, HomeError};
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use varangian_crypto::Genesis;

/// Without --genesis: make the home's keys and print the public halves, for whoever writes the genesis.
/// With --genesis: make it the home of the replica that the genesis lists with these keys, and create its empty store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  varangian init --home r0\n  varangian init --home r0 --genesis genesis.json")]
pub struct InitArgs {
    /// The replica's home directory
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// The chain's genesis file
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// Whatever keeps it from being done.
pub fn run(args: InitArgs) -> anyhow::Result<ExitCode> {
    let home = Home::new(&args.home);
    let (consensus, network) = home.make_keys()?;
    let Some(path) = args.genesis else {
        let (consensus, network) = (consensus.replica_key(), network.network_key());
        if args.json {
            println!("{}", serde_json::json!({ "consensus_key": consensus, "network_key": network }));
        } else {
            println!("keys are in {}", home.root().join("keys").display());
            println!("  consensus_key {consensus}\n  network_key   {network}");
            println!(
                "next: put them into the genesis, then `varangian init --home {} --genesis genesis.json`",
                args.home.display()
            );
        }
        return Ok(ExitCode::SUCCESS);
    };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let genesis = Genesis::from_json(&text).with_context(|| path.display().to_string())?;
    match home.init(&genesis) {
        Ok(id) => {
            let chain = genesis.chain_id();
            if args.json {
                println!("{}", serde_json::json!({ "replica": id.0, "chain_id": chain, "name": genesis.name() }));
            } else {
                println!("{} is the home of {id} of chain {} ({chain})", args.home.display(), genesis.name());
                println!(
                    "next: write {}, then `varangian start --home {}`",
                    home.peers().display(),
                    args.home.display()
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(HomeError::Store(error)) => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(STORE))
        }
        Err(error) => Err(error.into()),
    }
}
