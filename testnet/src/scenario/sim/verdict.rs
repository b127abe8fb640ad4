//! What is said of a simulated run: the same three judgements as of real processes, with a hash over everything that happened.

use super::super::format::{Safety, Scenario};
use super::super::play::{idle, struck};
use super::{NotSimulated, UNSEEN, plan};
use crate::judge::finding::Finding;
use crate::judge::verdict::{Evidence, Liveness};
use crate::report::{Happening, Judgement, Report};
use crate::testnet::Strikes;
use crate::timeline::Timeline;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};
use varangian_crypto::{Quorums, ReplicaId};
use varangian_sim::world::script::{Played, Recovery};
use varangian_sim::world::{self, Micros, Run};

/// How a simulated run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Simulated {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Over everything that happened: equal for equal files and seeds.
    pub hash: String,
    /// Whether everything was as the scenario expects.
    pub passed: bool,
    /// Safety, liveness, evidence.
    pub judgements: Vec<Judgement>,
    /// Who is proved faulty, as honest replicas hold it: how many deeds of each kind.
    pub proofs: BTreeMap<ReplicaId, BTreeMap<&'static str, u64>>,
    /// How often each attack did what an honest replica would not, during the script.
    pub strikes: Strikes,
    /// What the scenario expects besides, and did not come about.
    pub missed: Vec<String>,
    /// What else is to be said.
    pub remarks: Vec<String>,
    /// Ends of standstills, in milliseconds: how long nothing had been decided when replicas or links came back, and from then to the next decision.
    pub recoveries: Vec<(u64, u64)>,
    /// Everything that happened in words, if that was asked for.
    #[serde(skip)]
    pub trace: Vec<String>,
    /// What happened, and when in simulated time.
    pub happened: Vec<Happening>,
    /// Longest time without an answered command during the script, in milliseconds.
    pub worst_gap_ms: u64,
    /// How long the script took in simulated time, and the whole run, in milliseconds.
    pub script_ms: u64,
    /// See there.
    pub simulated_ms: u64,
    /// How long it took in true time, in milliseconds. Nothing else hangs on the machine.
    pub real_ms: u64,
    /// Steps of replicas; the invariants were looked at after each.
    pub steps: u64,
}

/// Plays a scenario under its seed. `trace`: tells everything in words.
///
/// # Errors
/// If something in it cannot be simulated.
pub fn simulate(scenario: &Scenario, trace: bool) -> Result<Simulated, NotSimulated> {
    let plan = plan(scenario)?;
    let began = Instant::now();
    let outcome = world::run(&plan, Run { trace, ..Run::default() });
    let real_ms = began.elapsed().as_millis() as u64;
    let played = outcome.played.clone().unwrap_or_default();
    let mut missed: Vec<String> = played.failed.iter().cloned().collect();
    let mut strikes = Strikes::new();
    for ((id, attack), these) in &played.strikes {
        // Nobody asks here, so there is nothing to strike at.
        if attack.starts_with(UNSEEN) {
            continue;
        }
        strikes.entry(*id).or_default().insert(attack.clone(), these.total());
    }
    missed.extend(idle(&strikes));
    let evidence = proved(scenario, &played);
    if let Some(most) = scenario.expect.view_changes.filter(|most| outcome.views > *most) {
        missed.push(format!("at most {most} view changes: a replica has come to view {}", outcome.views));
    }
    let broken = scenario.expect.safety == Safety::Broken;
    if broken {
        if played.fork.is_none() {
            missed.push("safety broken: the honest agree".to_owned());
        }
        let (culprits, f) = (evidence.proofs.len(), plan.quorums().f());
        if culprits <= f {
            missed.push(format!("more than f proved faulty: {culprits} are"));
        }
    }
    let judgements = vec![
        safety(&played, &outcome),
        liveness(scenario, &played, &outcome),
        Judgement {
            name: "EVIDENCE".to_owned(),
            passed: evidence.findings.is_empty(),
            text: evidence.to_string(),
            findings: evidence.findings.lines(),
        },
    ];
    // A fork that was asked for is no failure, and told all the same.
    let holds =
        |judgement: &Judgement| judgement.passed || (broken && judgement.name == SAFETY && outcome.violation.is_none());
    Ok(Simulated {
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        hash: format!("{:016x}", outcome.hash.0),
        passed: judgements.iter().all(holds) && missed.is_empty(),
        judgements,
        proofs: evidence.proofs,
        missed,
        remarks: struck(&strikes).chain(remarks(scenario, &played)).collect(),
        strikes,
        trace: outcome.trace,
        recoveries: played.recoveries.iter().map(|one| (millis(one.stood), millis(one.took))).collect(),
        happened: played.story.iter().map(|(at, what)| Happening { at_ms: millis(*at), what: what.clone() }).collect(),
        worst_gap_ms: millis(played.gap.0),
        script_ms: millis(played.over),
        simulated_ms: millis(outcome.time),
        real_ms,
        steps: outcome.steps,
    })
}

const SAFETY: &str = "SAFETY";

fn safety(played: &Played, outcome: &world::Outcome) -> Judgement {
    let violation = outcome.violation.iter().filter(|violation| !violation.invariant.is_liveness());
    let findings: Vec<String> = played.broken.iter().chain(violation).map(ToString::to_string).collect();
    let furthest = played.executed.values().max().copied().unwrap_or_default();
    let agree = if findings.is_empty() { " agree up to" } else { " came to" };
    let mut text = format!("{} honest replicas{agree} slot {furthest}", played.executed.len());
    for (replica, slot) in played.executed.iter().filter(|(_, slot)| **slot < furthest) {
        text.push_str(&format!(", {replica} to {slot}"));
    }
    text.push_str(&format!(
        "; {} acknowledged commands; 21 invariants after each of {} steps",
        outcome.acknowledged, outcome.steps
    ));
    Judgement { name: SAFETY.to_owned(), passed: findings.is_empty(), text, findings }
}

fn liveness(scenario: &Scenario, played: &Played, outcome: &world::Outcome) -> Judgement {
    let expect = &scenario.expect;
    let promised = expect.safety == Safety::Holds;
    let bound = if expect.liveness { Duration::from_secs(expect.max_gap) } else { Duration::MAX };
    let (gap, from) = (Duration::from_micros(played.gap.0), millis(played.gap.1));
    let mut findings = Vec::new();
    if gap > bound {
        let to_ms = from + millis(played.gap.0);
        findings.push(Finding::Gap { gap, from_ms: from, to_ms, bound }.to_string());
    }
    if outcome.acknowledged_in_faults == 0 && expect.liveness {
        findings.push(Finding::Silence.to_string());
    }
    let recovery_bound = expect.recovers_within.map(Duration::from_secs);
    for Recovery { back, took, .. } in &played.recoveries {
        let took = Duration::from_micros(*took);
        if let Some(bound) = recovery_bound.filter(|bound| took > *bound) {
            findings.push(Finding::Recovery { took, from_ms: millis(*back), bound }.to_string());
        }
    }
    let violation = outcome.violation.iter().filter(|violation| violation.invariant.is_liveness());
    findings.extend(violation.map(ToString::to_string));
    if promised && !played.lived && outcome.violation.is_none() {
        findings.push("too many are faulty for good: no core is left that must answer".to_owned());
    }
    let judged = Liveness {
        worst_gap_ms: millis(played.gap.0),
        worst_gap_from_ms: from,
        bound_ms: u64::try_from(bound.as_millis()).unwrap_or(u64::MAX),
        worst_recovery_ms: played.recoveries.iter().map(|recovery| millis(recovery.took)).max(),
        recovery_bound_ms: expect.recovers_within.map(|seconds| seconds * 1000),
        unresolved: 0,
        findings: crate::judge::Findings::default(),
    };
    let after = Seconds(outcome.time.saturating_sub(played.over));
    let then = if played.lived {
        format!("; all answered, all met and at rest {after} after the script")
    } else {
        "; not looked at after the script".to_owned()
    };
    Judgement { name: "LIVENESS".to_owned(), passed: findings.is_empty(), text: format!("{judged}{then}"), findings }
}

/// Whether the right ones are proved faulty, and nobody else: as real processes are judged. That each proof proves itself is one of the invariants.
fn proved(scenario: &Scenario, played: &Played) -> Evidence {
    let mut verdict = Evidence::default();
    let mut deeds: BTreeMap<_, ReplicaId> = BTreeMap::new();
    for (holder, proof) in &played.evidence {
        deeds.entry((proof.accused(), proof.kind(), proof.place())).or_insert(*holder);
    }
    let set = |these: &BTreeSet<super::Replica>| these.iter().map(|replica| replica.0).collect::<BTreeSet<_>>();
    let (expected, may) = (set(&scenario.expect.accused), set(&scenario.expect.may_be_accused));
    let malicious = set(&scenario.malicious());
    let held = deeds.into_iter().map(|((accused, kind, _), holder)| (accused, kind, holder));
    // Two certificates of one view for one slot: whoever signed both is proved by them, as soon as they lie side by side.
    let forks = played.fork.iter().flat_map(|fork| fork.signed_both.iter().map(|both| (*both, fork.sides.0)));
    for (accused, kind, holder) in held.chain(forks.map(|(both, side)| (both, "two certificates for one slot", side))) {
        *verdict.proofs.entry(accused).or_default().entry(kind).or_default() += 1;
        if !malicious.contains(&accused) {
            verdict.findings.push(Finding::HonestAccused { holder, accused, kind });
        } else if !expected.contains(&accused) && !may.contains(&accused) {
            verdict.findings.push(Finding::UnexpectedlyAccused { accused, kind });
        }
    }
    for one in expected.iter().filter(|one| !verdict.proofs.contains_key(one)) {
        verdict.findings.push(Finding::NotAccused(*one));
    }
    verdict
}

fn remarks(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(fork) = &played.fork {
        let both: Vec<String> = fork.signed_both.iter().map(ToString::to_string).collect();
        let weak = Quorums::new(scenario.replicas).map_or(0, |quorums| quorums.weak());
        let many = if both.len() >= weak { "more than f" } else { "f or fewer" };
        remarks.push(format!(
            "fork in slot {}: {} and {} decided differently; in both certificates: {} ({many})",
            fork.slot,
            fork.sides.0,
            fork.sides.1,
            if both.is_empty() { "nobody".to_owned() } else { both.join(", ") },
        ));
    }
    if scenario.expect.throughput.is_some() || scenario.expect.worst_client_p99_ms.is_some() {
        remarks.push("throughput and latencies are not judged: here clients send at a pace of their own".to_owned());
    }
    if scenario.expect.memory_mib.is_some() {
        remarks.push("memory is not judged: here there are no processes".to_owned());
    }
    remarks
}

fn millis(time: Micros) -> u64 {
    time / 1000
}

/// As people read it.
struct Seconds(Micros);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} s", self.0 / 1_000_000, self.0 / 100_000 % 10)
    }
}

impl Simulated {
    /// As a report. Nobody looks at replicas four times a second here: what happened is its time line.
    ///
    /// # Errors
    /// If the scenario cannot be written down.
    pub fn report(&self, scenario: &Scenario) -> Result<Report, toml::ser::Error> {
        let remarks = self.remarks.iter().cloned();
        let missed = self.missed.iter().map(|missed| format!("NOT AS EXPECTED: {missed}"));
        Ok(Report {
            title: format!("{} (simulated)", self.scenario),
            about: scenario.about.clone(),
            seed: Some(self.seed),
            passed: Some(self.passed),
            judgements: self.judgements.clone(),
            remarks: remarks.chain(missed).chain([format!("event hash {}", self.hash)]).collect(),
            happened: self.happened.clone(),
            timeline: Timeline::default(),
            file: Some(toml::to_string(&Scenario { seed: self.seed, ..scenario.clone() })?),
        })
    }

    /// All of it in one line, for a table.
    #[must_use]
    pub fn line(&self) -> String {
        let word = |name: &str| {
            let passed = self.judgements.iter().filter(|judgement| judgement.name == name).all(|one| one.passed);
            if passed { "pass" } else { "FAIL" }
        };
        let accused: Vec<String> = self.proofs.keys().map(ReplicaId::to_string).collect();
        format!(
            "safety {}  liveness {} (gap {})  evidence {} ({})  {} in {}  {}",
            word(SAFETY),
            word("LIVENESS"),
            Seconds(self.worst_gap_ms * 1000),
            word("EVIDENCE"),
            if accused.is_empty() { "-".to_owned() } else { accused.join(" ") },
            Seconds(self.simulated_ms * 1000),
            Seconds(self.real_ms * 1000),
            self.hash,
        )
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Judgement { name, passed, text, findings } in &self.judgements {
            writeln!(f, "{name} {} ({text})", if *passed { "pass" } else { "FAIL" })?;
            findings.iter().try_for_each(|finding| writeln!(f, "  - {finding}"))?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "{remark}"))?;
        self.missed.iter().try_for_each(|missed| writeln!(f, "NOT AS EXPECTED: {missed}"))?;
        writeln!(
            f,
            "{} simulated in {}; event hash {}",
            Seconds(self.simulated_ms * 1000),
            Seconds(self.real_ms * 1000),
            self.hash
        )?;
        write!(f, "{}, seed {}", if self.passed { "as expected" } else { "FAIL" }, self.seed)
    }
}
