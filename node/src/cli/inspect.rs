//! `varangian inspect`.

use super::{FAILED, STORE, USAGE};
use crate::evidence::{Claim, EvidenceFile, EvidenceFileError, InvalidProof};
use crate::fork::{self, Fork};
use crate::home::{Home, Member};
use crate::record::{self, RecordError};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use varangian_consensus::{Evidence, Slot};
use varangian_crypto::{Genesis, ReplicaId};
use varangian_storage::{Options, Store, StoreError};

/// Look into what replicas leave behind.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(subcommand)]
    command: InspectCommand,
}

#[derive(Debug, Subcommand)]
enum InspectCommand {
    /// Proofs of misbehaviour: in stopped replicas' stores, alone and together, or in files
    Evidence(EvidenceArgs),
}

/// With --home: the proofs that a stopped replica keeps; of several, what they prove together too, if they have decided differently. With --genesis:
/// checks the proofs in files, with the genesis alone.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian inspect evidence --home r0\n  varangian inspect evidence --home r0 --export evidence.json\n  varangian inspect evidence --home r2 --home r3 --export fork.json\n  varangian inspect evidence --genesis genesis.json evidence.json\n\nExit codes: 0 every proof is valid, 1 one is not, 2 a file is not what it must be, 3 the store refuses."
)]
struct EvidenceArgs {
    /// A stopped replica's home directory; of several replicas, what their disks prove together
    #[arg(long, value_name = "DIR", required_unless_present = "genesis", conflicts_with_all = ["genesis", "files"])]
    home: Vec<PathBuf>,
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

/// What was found.
#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    /// If homes have decided differently.
    fork: Option<Forked>,
}

/// A slot that homes have decided differently.
struct Forked {
    slot: Slot,
    sides: (ReplicaId, ReplicaId),
    /// Who is proved to have made it.
    proved: BTreeSet<ReplicaId>,
    /// How many it takes.
    needed: usize,
}

/// Where proofs come from that no home holds alone.
const TOGETHER: &str = "these homes together";

/// Runs it.
///
/// # Errors
/// None: failures are printed, and told apart by exit code.
pub fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let InspectCommand::Evidence(args) = args.command;
    let found = match &args.genesis {
        Some(genesis) => claimed(genesis, &args.files),
        None => kept(&args.home, args.export.as_deref()),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            eprintln!("error: {error:#}");
            let refused =
                |cause: &(dyn std::error::Error + 'static)| cause.is::<StoreError>() || cause.is::<RecordError>();
            let code = if error.chain().any(refused) { STORE } else { USAGE };
            return Ok(ExitCode::from(code));
        }
    };
    if args.json {
        println!("{}", json(&found))
    } else {
        print!("{}", text(&found))
    }
    let valid = found.rows.iter().all(|row| row.reason.is_none());
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// What stopped replicas keep, and what that proves together; written into a new file too, if one is named.
fn kept(homes: &[PathBuf], export: Option<&Path>) -> anyhow::Result<Found> {
    let members = homes.iter().map(|home| Home::new(home).load()).collect::<Result<Vec<_>, _>>()?;
    let Some(Member { genesis, committee, .. }) = members.first() else { return Ok(Found::default()) };
    let chain_id = genesis.chain_id();
    let (mut found, mut proofs, mut stores) = (Found::default(), Vec::new(), Vec::new());
    for (home, member) in homes.iter().zip(&members) {
        if member.genesis.chain_id() != chain_id {
            bail!("{} is of another chain than {}", home.display(), homes[0].display());
        }
        let (store, _) = Store::open(&Home::new(home).data(), &member.store_identity(), Options::default())?;
        let records = record::load(&store).map_err(|error| match error {
            RecordError::Store(error) => error.into(),
            error => anyhow::Error::from(error),
        })?;
        let held = record::evidence(&records);
        let file = EvidenceFile::new(chain_id, held.iter().cloned());
        found.rows.extend(rows(&home.display().to_string(), &file, genesis)?);
        proofs.extend(held);
        stores.push((member.id, store));
    }
    let disks: Vec<_> = stores.iter().map(|(id, store)| (*id, store)).collect();
    if let Some(Fork { slot, sides, proofs: together }) = fork::examine(&disks, committee)? {
        let proved = together.iter().map(Evidence::accused).collect();
        found.fork = Some(Forked { slot, sides, proved, needed: committee.quorums().weak() });
        let new = together.into_iter().filter(|proof| !proofs.contains(proof)).collect::<Vec<_>>();
        found.rows.extend(rows(TOGETHER, &EvidenceFile::new(chain_id, new.iter().cloned()), genesis)?);
        proofs.extend(new);
    }
    if let Some(path) = export {
        let text = EvidenceFile::new(chain_id, proofs).to_json()?;
        // What is there may be evidence too.
        let written = OpenOptions::new().write(true).create_new(true).open(path);
        written
            .and_then(|mut written| written.write_all(text.as_bytes()))
            .with_context(|| path.display().to_string())?;
    }
    Ok(found)
}

/// What files claim.
fn claimed(genesis: &Path, files: &[PathBuf]) -> anyhow::Result<Found> {
    let named = |path: &Path| path.display().to_string();
    let text = fs::read_to_string(genesis).with_context(|| named(genesis))?;
    let genesis = Genesis::from_json(&text).with_context(|| named(genesis))?;
    let mut all = Found::default();
    for path in files {
        let text = fs::read_to_string(path).with_context(|| named(path))?;
        let file = EvidenceFile::from_json(&text).with_context(|| named(path))?;
        all.rows.extend(rows(&named(path), &file, &genesis).with_context(|| named(path))?);
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
fn json(Found { rows, fork }: &Found) -> serde_json::Value {
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
        "fork": fork.as_ref().map(|Forked { slot, sides, proved, needed }| serde_json::json!({
            "slot": slot.0, "replicas": [sides.0.0, sides.1.0], "needed": needed,
            "proved": proved.iter().map(|id| id.0).collect::<Vec<_>>(),
        })),
    })
}

/// For people.
fn text(Found { rows, fork }: &Found) -> String {
    let mut text = String::new();
    for (place, Row { source, claim: Claim { accused, kind, view, slot, .. }, reason }) in rows.iter().enumerate() {
        let verdict = reason.as_ref().map_or("valid".to_owned(), |reason| format!("NOT VALID: {reason}"));
        text.push_str(&format!(
            "{source}, proof {}: r{accused}: {kind} (view {view}, slot {slot}): {verdict}\n",
            place + 1
        ));
    }
    if let Some(Forked { slot, sides: (one, other), proved, needed }) = fork {
        text.push_str(&format!(
            "{one} and {other} have decided slot {slot} differently: at least {needed} are guilty of it, {} are proved to be{}\n",
            proved.len(),
            if proved.len() < *needed { "; look into more homes" } else { "" }
        ));
    }
    let names: Vec<_> = accused(rows).into_keys().map(|id| format!("r{id}")).collect();
    match names.as_slice() {
        [] => text.push_str("nobody is proved faulty\n"),
        names => text.push_str(&format!("proved faulty: {}\n", names.join(", "))),
    }
    text
}
