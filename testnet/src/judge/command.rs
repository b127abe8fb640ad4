//! `varangian-testnet judge`: a network that is down, judged by what its replicas have stored, without what clients were told.

use super::claims::Claims;
use super::evidence::{self, Expected};
use super::finding::Findings;
use super::stores::Honest;
use super::verdict::{Count, Evidence, Linearizability, Safety, line};
use super::{JudgeError, safety};
use crate::scenario::format::Replica;
use crate::up::NetworkArg;
use anyhow::bail;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use varangian_crypto::{Committee, Genesis, ReplicaId, Verify};

/// What takes the clients' journals, which a scenario alone keeps.
const NOT_JUDGED: [&str; 4] = [
    "whether all that was acknowledged is in the log, with the results that its client was given",
    "whether anybody sent what is in the log, beyond its signature",
    "whether some order explains the answers without the log",
    "whether clients were served all the time",
];

/// Judges a network that is down: whether the stores of its honest replicas agree slot by slot and replay to their states, and what they prove.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian-testnet judge\n  varangian-testnet judge --network .varangian --without r3 --json\n\nWho was malicious here, or had its disk damaged, is left out, and whoever is proved faulty.\nExit code 0 only if nothing is wrong."
)]
pub struct JudgeArgs {
    #[command(flatten)]
    network: NetworkArg,
    /// A replica that is left out too
    #[arg(long, value_name = "REPLICA")]
    without: Vec<Replica>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What the stores say.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Stored {
    pub(super) safety: Safety,
    pub(super) evidence: Evidence,
    /// Commands that the log ran.
    pub(super) commands: u64,
    /// Those who are not taken for honest.
    pub(super) left_out: BTreeSet<ReplicaId>,
}

/// Runs it.
///
/// # Errors
/// If there can be no verdict: the network runs, or a store cannot be read.
pub fn run(args: &JudgeArgs) -> anyhow::Result<ExitCode> {
    let dir = args.network.dir();
    let root = dir.root().display();
    let genesis = dir.genesis()?;
    if dir.running()?.is_some() {
        bail!("the network in {root} runs; `varangian-testnet down --network {root}` ends it");
    }
    let mut left_out = dir.distrusted()?;
    left_out.extend(args.without.iter().map(|replica| replica.0));
    let homes = genesis.quorums().replicas().map(|id| (id, dir.home(id).root().to_owned())).collect();
    let stored = judge(&genesis, homes, left_out)?;
    if args.json {
        println!("{}", stored.json());
    } else {
        println!("{stored}");
    }
    Ok(if stored.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Judges by the stores alone. Whoever is proved faulty by one of them is not honest: it is left out like those who are known not to be.
pub(super) fn judge(
    genesis: &Genesis,
    homes: Vec<(ReplicaId, PathBuf)>,
    mut left_out: BTreeSet<ReplicaId>,
) -> Result<Stored, JudgeError> {
    let committee = Committee::new(genesis);
    let everybody: BTreeSet<ReplicaId> = homes.iter().map(|(id, _)| *id).collect();
    let homes: Vec<_> = homes.into_iter().map(|(id, home)| (id, home, !left_out.contains(&id))).collect();
    let mut honest = Honest::open_all(&homes, genesis)?;
    let proofs = honest.iter().flat_map(|replica| &replica.evidence).filter(|proof| proof.check(&committee).is_ok());
    let proved: BTreeSet<ReplicaId> = proofs.map(varangian_consensus::Evidence::accused).collect();
    honest.retain(|replica| !proved.contains(&replica.id));
    left_out.extend(proved);
    if honest.is_empty() {
        return Err(JudgeError::NobodyHonest);
    }
    let mut claims = Claims::unknown();
    let (searched, findings) = (Linearizability::default(), Findings::default());
    let safety = safety::judge(genesis, &committee, &honest, &mut claims, searched, findings)?;
    let expected = Expected {
        innocent: everybody.difference(&left_out).copied().collect(),
        accused: BTreeSet::new(),
        may_be_accused: left_out.clone(),
    };
    let (evidence, _) = evidence::judge(genesis.chain_id(), &expected, &committee, &honest)?;
    Ok(Stored { safety, evidence, commands: claims.unclaimed() as u64, left_out })
}

impl Stored {
    /// Whether nothing is wrong.
    pub(super) const fn passed(&self) -> bool {
        self.safety.findings.is_empty() && self.evidence.findings.is_empty()
    }

    fn json(&self) -> serde_json::Value {
        let Self { safety, evidence, commands, left_out } = self;
        serde_json::json!({
            "passed": self.passed(),
            "safety": { "last_slots": safety.last_slots, "commands": commands, "findings": safety.findings },
            "evidence": evidence,
            "left_out": left_out,
            "not_judged": NOT_JUDGED,
        })
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.left_out.is_empty() {
            let names: Vec<String> = self.left_out.iter().map(ReplicaId::to_string).collect();
            writeln!(f, "left out: {}", names.join(", "))?;
        }
        let once = if self.safety.findings.is_empty() { ", each exactly once, replayed to these states" } else { "" };
        let looked_at = format!("{}; {}{once}", self.safety.states(), Count(self.commands, "command"));
        line(f, "SAFETY", &looked_at, &self.safety.findings)?;
        line(f, "EVIDENCE", &self.evidence, &self.evidence.findings)?;
        write!(f, "NOT JUDGED without clients' journals: {}", NOT_JUDGED.join("; "))
    }
}
