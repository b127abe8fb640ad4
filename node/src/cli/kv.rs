//! `varangian kv`: the key-value store from the command line. Every command is ordered, reads too, and believed on `f + 1` equal answers.
//!
//! - `parse`: arguments and transaction files to operations.
//! - `print`: outcomes to text, JSON and exit codes.

mod parse;
mod print;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use varangian_client::{Client, Network, Options, identity};
use varangian_crypto::{Clients, SigningKey};

use parse::Source;
use print::{Printer, Report};

/// Clients and their keys in a network directory.
const CLIENTS: &str = "clients";

/// Puts, gets and the rest, as one client of a network.
///
/// Exit codes: 0 committed; 1 rejected, failed, or a condition did not hold; 2 usage; 4 outcome unknown (see `retry`); 5 no replica reached, nothing sent.
#[derive(Debug, Args)]
pub struct KvArgs {
    /// The network's directory: genesis.json, peers.toml, clients/.
    #[arg(long, global = true, value_name = "DIR", env = "VARANGIAN_NETWORK", default_value = ".varangian")]
    network: PathBuf,
    /// Which client of the network to be: its key is DIR/clients/NAME/key.
    #[arg(long, global = true, value_name = "NAME", default_value = "default", value_parser = parse::client_name)]
    client: String,
    /// How long to wait for the outcome, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// One JSON object per command on stdout, nothing else.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: KvCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum KvCommand {
    /// Set a key, or several: `put KEY VALUE`, `put --bundle a=1 b=2`.
    Put {
        /// KEY VALUE, or KEY=VALUE each with --bundle.
        #[arg(required = true, num_args = 1.., value_name = "KEY VALUE | KEY=VALUE", allow_hyphen_values = false)]
        entries: Vec<String>,
        /// Several KEY=VALUE in one command under one signature. They run in order, each with its own result; for all-or-nothing use `txn`.
        #[arg(long)]
        bundle: bool,
    },
    /// What keys hold. Several are one command.
    Get {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Delete keys. Several are one command.
    Delete {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Set a key to NEW (or delete it) if it holds what is expected: `cas KEY --expect OLD NEW`, `cas KEY --absent NEW`.
    Cas {
        /// The key.
        key: String,
        /// The value to set.
        #[arg(required_unless_present = "delete", conflicts_with = "delete")]
        new: Option<String>,
        /// The value that the key must hold.
        #[arg(long, value_name = "OLD", required_unless_present = "absent", conflicts_with = "absent")]
        expect: Option<String>,
        /// The key must hold nothing.
        #[arg(long)]
        absent: bool,
        /// Delete the key instead of setting it.
        #[arg(long)]
        delete: bool,
    },
    /// Add to a counter; one that is absent is 0.
    Add {
        /// The key.
        key: String,
        /// What to add.
        #[arg(allow_negative_numbers = true)]
        delta: i64,
    },
    /// Keys with a prefix and their values, in byte order.
    Scan {
        /// What the keys begin with.
        #[arg(default_value = "")]
        prefix: String,
        /// Only keys after this one.
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
        /// Entries at most; an answer also ends where the chain's limit on results does, and says so.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// All or nothing, under conditions, from a file or `-` for stdin.
    #[command(after_help = parse::TRANSACTION_HELP)]
    Txn {
        /// The file, JSON.
        #[arg(value_name = "FILE|-")]
        file: Source,
    },
    /// Ask again, with the same bytes, for the outcomes that are unknown. Runs nothing twice.
    Retry,
}

/// Runs the command and says how it went.
///
/// # Errors
/// Only if stdout or stderr cannot be written to; whatever else goes wrong is told and has an exit code.
pub async fn run(args: KvArgs) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(args.json);
    let operations = match parse::operations(&args.command) {
        Ok(operations) => operations,
        Err(error) => return Ok(printer.usage(&error)?),
    };
    let (network, key) = match open(&args) {
        Ok(opened) => opened,
        Err(error) => return Ok(printer.usage(&error)?),
    };
    let replicas = network.genesis().quorums().n();
    let options = Options { deadline: Duration::from_secs(args.timeout), ..Options::default() };
    let journal = home(&args).join("journal");
    let client = match Client::connect(&network, key, journal, options).await {
        Ok(client) => client,
        Err(error) => return Ok(printer.print(&Report { replicas, sequence: None, outcome: &Err(error) })?),
    };
    let code = match operations {
        Some(operations) => submit(&client, &mut printer, replicas, &operations).await?,
        None => retry(&client, &mut printer, replicas).await?,
    };
    if let Err(error) = client.close().await {
        printer.warn(&format!("{error}"))?;
    }
    Ok(code)
}

async fn submit(
    client: &Client,
    printer: &mut Printer,
    replicas: usize,
    operations: &[Bytes],
) -> anyhow::Result<ExitCode> {
    if client.unfinished() > 0 {
        let count = client.unfinished();
        printer.warn(&format!(
            "{count} earlier commands of this client have no known outcome; ask with `varangian kv retry`"
        ))?;
    }
    let outcome = client.submit(operations).await;
    Ok(printer.print(&Report { replicas, sequence: None, outcome: &outcome })?)
}

async fn retry(client: &Client, printer: &mut Printer, replicas: usize) -> anyhow::Result<ExitCode> {
    let recovered = match client.recover().await {
        Ok(recovered) => recovered,
        Err(error) => return Ok(printer.print(&Report { replicas, sequence: None, outcome: &Err(error) })?),
    };
    if recovered.is_empty() {
        printer.note("nothing to retry: every command of this client has a known outcome")?;
    }
    let mut worst = 0;
    for one in recovered {
        let report = Report { replicas, sequence: Some(one.sequence), outcome: &one.outcome };
        printer.print(&report)?;
        worst = worst.max(report.code());
    }
    Ok(ExitCode::from(worst))
}

fn home(args: &KvArgs) -> PathBuf {
    args.network.join(CLIENTS).join(&args.client)
}

/// The network and the client's key. Only where anybody may be a client, a missing key is made.
fn open(args: &KvArgs) -> anyhow::Result<(Network, SigningKey)> {
    let network = Network::load(&args.network)?;
    let path = home(args).join("key");
    let key = match network.genesis().clients() {
        Clients::Open { .. } => identity::load_or_create(&path)?,
        Clients::AllowList(keys) => {
            if !path.exists() {
                bail!("no client {:?} in {}; {}", args.client, args.network.display(), known_clients(&args.network));
            }
            let key = identity::load(&path)?;
            if !keys.contains(&key.client_key()) {
                bail!(
                    "the genesis does not admit client {:?} ({}); use one that it lists",
                    args.client,
                    key.client_key()
                );
            }
            key
        }
    };
    Ok((network, key))
}

fn known_clients(network: &Path) -> String {
    let names = || -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(network.join(CLIENTS)).context("no clients")? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    };
    match names() {
        Ok(names) if !names.is_empty() => format!("choose one with --client: {}", names.join(", ")),
        _ => "it has no clients; make a network with clients first".into(),
    }
}

#[cfg(test)]
mod tests;
