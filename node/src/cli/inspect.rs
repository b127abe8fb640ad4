//! `varangian inspect`.

use super::{FAILED, STORE, USAGE};
use crate::evidence::{Claim, EvidenceFile, EvidenceFileError, InvalidProof};
use crate::home::Home;
use crate::record::{self, RecordError};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use varangian_crypto::Genesis;
use varangian_storage::{Options, Store, StoreError};

/// Look into what replicas leave behind.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(subcommand)]
    command: InspectCommand,
}

#[derive(Debug, Subcommand)]
enum InspectCommand {
    /// Proofs of misbehaviour: in a stopped replica's store, or in files
    Evidence(EvidenceArgs),
}

/// With --home: the proofs that a stopped replica keeps. With --genesis: checks the proofs in files, with the genesis alone.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian inspect evidence --home r0\n  varangian inspect evidence --home r0 --export evidence.json\n  varangian inspect evidence --genesis genesis.json evidence.json\n\nExit codes: 0 every proof is valid, 1 one is not, 2 a file is not what it must be, 3 the store refuses."
)]
struct EvidenceArgs {
    /// A stopped replica's home directory
    #[arg(long, value_name = "DIR", required_unless_present = "genesis", conflicts_with_all = ["genesis", "files"])]
    home: Option<PathBuf>,
    /// Write the proofs into a new file
    #[arg(long, value_name = "FILE", requires = "home")]
    export: Option<PathBuf>,
    /// The chain's genesis file
    #[arg(long, value_name = "FILE", requires = "files")]
    genesis: Option<PathBuf>,
    /// Files that `--export` has written
    #[arg(value_name = "FILE", requires = "genesis")]
    files: Vec<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// One proof, where it is, and whether it proves anything.
struct Row {
    source: String,
    claim: Claim,
    reason: Option<InvalidProof>,
}

/// Runs it.
///
/// # Errors
/// None: failures are printed, and told apart by exit code.
pub fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let InspectCommand::Evidence(args) = args.command;
    let rows = match (&args.home, &args.genesis) {
        (Some(home), _) => kept(home, args.export.as_deref()),
        (None, Some(genesis)) => claimed(genesis, &args.files),
        (None, None) => Err(anyhow::anyhow!("name a home or a genesis")),
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("error: {error:#}");
            let refused =
                |cause: &(dyn std::error::Error + 'static)| cause.is::<StoreError>() || cause.is::<RecordError>();
            let code = if error.chain().any(refused) { STORE } else { USAGE };
            return Ok(ExitCode::from(code));
        }
    };
    if args.json {
        println!("{}", json(&rows))
    } else {
        print!("{}", text(&rows))
    }
    let valid = rows.iter().all(|row| row.reason.is_none());
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// What a stopped replica keeps; written into a new file too, if one is named.
fn kept(home: &Path, export: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    let member = Home::new(home).load()?;
    let (store, _) = Store::open(&Home::new(home).data(), &member.store_identity(), Options::default())?;
    let records = record::load(&store).map_err(|error| match error {
        RecordError::Store(error) => error.into(),
        error => anyhow::Error::from(error),
    })?;
    let file = EvidenceFile::new(member.genesis.chain_id(), record::evidence(&records));
    if let Some(path) = export {
        // What is there may be evidence too.
        let written = OpenOptions::new().write(true).create_new(true).open(path);
        written
            .and_then(|mut written| written.write_all(file.to_json().map_err(std::io::Error::other)?.as_bytes()))
            .with_context(|| path.display().to_string())?;
    }
    Ok(rows(&home.display().to_string(), &file, &member.genesis)?)
}

/// What files claim.
fn claimed(genesis: &Path, files: &[PathBuf]) -> anyhow::Result<Vec<Row>> {
    let named = |path: &Path| path.display().to_string();
    let text = fs::read_to_string(genesis).with_context(|| named(genesis))?;
    let genesis = Genesis::from_json(&text).with_context(|| named(genesis))?;
    let mut all = Vec::new();
    for path in files {
        let text = fs::read_to_string(path).with_context(|| named(path))?;
        let file = EvidenceFile::from_json(&text).with_context(|| named(path))?;
        all.extend(rows(&named(path), &file, &genesis).with_context(|| named(path))?);
    }
    Ok(all)
}

fn rows(source: &str, file: &EvidenceFile, genesis: &Genesis) -> Result<Vec<Row>, EvidenceFileError> {
    let row = |(claim, proved): (&Claim, Result<_, _>)| Row {
        source: source.to_owned(),
        claim: claim.clone(),
        reason: proved.err(),
    };
    Ok(file.check(genesis)?.into_iter().map(row).collect())
}

/// Accused, and of what: by valid proofs alone.
fn accused(rows: &[Row]) -> BTreeMap<u16, BTreeMap<&str, u64>> {
    let mut accused: BTreeMap<u16, BTreeMap<&str, u64>> = BTreeMap::new();
    for Row { claim, .. } in rows.iter().filter(|row| row.reason.is_none()) {
        *accused.entry(claim.accused).or_default().entry(&claim.kind).or_default() += 1;
    }
    accused
}

/// For machines.
fn json(rows: &[Row]) -> serde_json::Value {
    let proof = |Row { source, claim, reason }: &Row| {
        let Claim { accused, kind, view, slot, .. } = claim;
        serde_json::json!({
            "source": source, "accused": accused, "kind": kind, "view": view, "slot": slot,
            "valid": reason.is_none(), "reason": reason.as_ref().map(ToString::to_string),
        })
    };
    serde_json::json!({
        "valid": rows.iter().all(|row| row.reason.is_none()),
        "accused": accused(rows),
        "proofs": rows.iter().map(proof).collect::<Vec<_>>(),
    })
}

/// For people.
fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for (place, Row { source, claim: Claim { accused, kind, view, slot, .. }, reason }) in rows.iter().enumerate() {
        let verdict = reason.as_ref().map_or("valid".to_owned(), |reason| format!("NOT VALID: {reason}"));
        text.push_str(&format!(
            "{source}, proof {}: r{accused}: {kind} (view {view}, slot {slot}): {verdict}\n",
            place + 1
        ));
    }
    let names: Vec<_> = accused(rows).into_keys().map(|id| format!("r{id}")).collect();
    match names.as_slice() {
        [] => text.push_str("nobody is proved faulty\n"),
        names => text.push_str(&format!("proved faulty: {}\n", names.join(", "))),
    }
    text
}
