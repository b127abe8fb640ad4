//! `varangian config`.

use super::USAGE;
use crate::config::Config;
use crate::home::Home;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Settings of a replica.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show every setting
    Show {
        /// The replica's home directory
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// Where each value comes from, and what it is for
        #[arg(long)]
        origin: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
///
/// # Errors
/// If the output cannot be written.
pub fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show { home, origin, json } = args.command;
    let config = match Config::load(&Home::new(home).config(), std::env::vars(), &[]) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    if json {
        let entries: serde_json::Map<String, serde_json::Value> = config
            .entries()
            .iter()
            .map(|entry| {
                let value =
                    serde_json::json!({ "value": entry.value, "origin": entry.origin.to_string(), "help": entry.help });
                (entry.key.to_owned(), value)
            })
            .collect();
        println!("{}", serde_json::Value::Object(entries));
        return Ok(ExitCode::SUCCESS);
    }
    for entry in config.entries() {
        if origin {
            println!("{:<26} {:<16} {:<10} # {}", entry.key, entry.value, entry.origin, entry.help);
        } else {
            println!("{:<26} {}", entry.key, entry.value);
        }
    }
    Ok(ExitCode::SUCCESS)
}
