//! What is said of a run in the end: three lines, and the figures.

use super::finding::Findings;
use crate::report::Judgement;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use varangian_crypto::ReplicaId;

/// The verdict on a run. Shown, it is one line per judgement, each finding on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether all agree, and with the clients.
    pub safety: Safety,
    /// Whether clients were served all the time.
    pub liveness: Liveness,
    /// Whether the right ones are proved faulty.
    pub evidence: Evidence,
    /// How fast it was. Not judged.
    pub figures: Figures,
}

/// Whether all agree, and with the clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Safety {
    /// Each honest replica's last executed slot.
    pub last_slots: BTreeMap<ReplicaId, u64>,
    /// Commands that were acknowledged.
    pub acknowledged: u64,
    /// Commands of unknown outcome that did run.
    pub unacknowledged_ran: u64,
    /// Counters whose sum was checked.
    pub counters: u64,
    /// Counters that were also written otherwise: they have no sum to check.
    pub overwritten_counters: u64,
    /// Whether some order explains what clients were answered.
    pub linearizability: Linearizability,
    /// What is wrong.
    pub findings: Findings,
}

/// How much of the clients' histories was searched for an order that explains it, without the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Linearizability {
    /// Parts of the histories of single keys that were searched to an end.
    pub samples: u64,
    /// Operations in them.
    pub operations: u64,
    /// Operations that there were.
    pub of: u64,
    /// Parts of which the search had to be ended.
    pub undecided: u64,
    /// Keys that transactions touch: they are not looked at.
    pub left_out: u64,
    /// Histories that were made wrong on purpose, and refused.
    pub refused: u64,
    /// What could not be made wrong, because there was nothing of the kind.
    pub unmutated: Vec<&'static str>,
}

/// Whether clients were served all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// Longest time without an acknowledgement while the load was on, in milliseconds.
    pub worst_gap_ms: u64,
    /// When it began, in milliseconds of the journals' clock.
    pub worst_gap_from_ms: u64,
    /// How long it may be, in milliseconds.
    pub bound_ms: u64,
    /// Longest time from when something was given back to the next acknowledgement, in milliseconds; none: nothing was.
    pub worst_recovery_ms: Option<u64>,
    /// How long it may be, in milliseconds, if that is judged.
    pub recovery_bound_ms: Option<u64>,
    /// Commands whose outcome was never learnt.
    pub unresolved: u64,
    /// What is wrong.
    pub findings: Findings,
}

/// Whether the right ones are proved faulty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Per accused, how many different deeds of each kind are proved.
    pub proofs: BTreeMap<ReplicaId, BTreeMap<&'static str, u64>>,
    /// If honest replicas decided differently, who is proved to have made them.
    pub fork: Option<ForkProof>,
    /// What is wrong.
    pub findings: Findings,
}

impl Evidence {
    /// Whoever is proved faulty, by one disk alone or by several together.
    #[must_use]
    pub fn culprits(&self) -> BTreeSet<ReplicaId> {
        let together = self.fork.iter().flat_map(|fork| fork.culprits.keys());
        self.proofs.keys().chain(together).copied().collect()
    }
}

/// What honest disks prove together of a fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForkProof {
    /// The first slot that was decided differently.
    pub slot: u64,
    /// Per culprit, how many different deeds of each kind are proved.
    pub culprits: BTreeMap<ReplicaId, BTreeMap<&'static str, u64>>,
}

/// How fast it was, by the clients' journals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Commands acknowledged while the load was on.
    pub commands: u64,
    /// Operations in them.
    pub operations: u64,
    /// How long the load was on, in milliseconds.
    pub load_ms: u64,
    /// From first sending to acknowledgement, in milliseconds, of every acknowledged command.
    pub latency_ms: Latency,
    /// The 99th percentile of each client by itself: one that is starved stands out.
    pub clients_p99_ms: ClientsP99,
}

/// Of each client's 99th percentile, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientsP99 {
    /// The client in the middle.
    pub median: u64,
    /// The one that waited longest.
    pub worst: u64,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: u64,
    /// Nine of ten are faster.
    pub p90: u64,
    /// 99 % are faster.
    pub p99: u64,
    /// 99.9 % are faster.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.safety.findings.is_empty() && self.liveness.findings.is_empty() && self.evidence.findings.is_empty()
    }
}

impl Verdict {
    /// The three judgements, for a report.
    #[must_use]
    pub fn judgements(&self) -> Vec<Judgement> {
        let of = |name: &str, text: String, findings: &Findings| Judgement {
            name: name.to_owned(),
            passed: findings.is_empty(),
            text,
            findings: findings.lines(),
        };
        vec![
            of("SAFETY", self.safety.to_string(), &self.safety.findings),
            of("LIVENESS", self.liveness.to_string(), &self.liveness.findings),
            of("EVIDENCE", self.evidence.to_string(), &self.evidence.findings),
        ]
    }

    /// All of it in one line, for a table.
    #[must_use]
    pub fn line(&self) -> String {
        let word = |findings: &Findings| if findings.is_empty() { "pass" } else { "FAIL" };
        let accused: Vec<String> = self.evidence.culprits().iter().map(ReplicaId::to_string).collect();
        format!(
            "safety {}  liveness {} (gap {})  evidence {} ({})  {:>6} ops/s",
            word(&self.safety.findings),
            word(&self.liveness.findings),
            Seconds(self.liveness.worst_gap_ms),
            word(&self.evidence.findings),
            if accused.is_empty() { "-".to_owned() } else { accused.join(" ") },
            Grouped(self.figures.operations_per_second()).to_string(),
        )
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'a> {
            passed: bool,
            safety: &'a Safety,
            liveness: &'a Liveness,
            evidence: &'a Evidence,
            figures: &'a Figures,
        }
        let Self { safety, liveness, evidence, figures } = self;
        Form { passed: self.passed(), safety, liveness, evidence, figures }.serialize(serializer)
    }
}

impl Figures {
    /// The same, not rounded, for shares.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.operations as f64 * 1000.0 / self.load_ms.max(1) as f64
    }

    /// Acknowledged operations per second of load.
    #[must_use]
    pub fn operations_per_second(&self) -> u64 {
        let scaled = u128::from(self.operations) * 1000 / u128::from(self.load_ms.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "SAFETY", &self.safety, &self.safety.findings)?;
        line(f, "LIVENESS", &self.liveness, &self.liveness.findings)?;
        line(f, "EVIDENCE", &self.evidence, &self.evidence.findings)?;
        self.figures.fmt(f)
    }
}

/// One judgement, with what is wrong.
pub(super) fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    judgement: &dyn fmt::Display,
    findings: &Findings,
) -> fmt::Result {
    let word = if findings.is_empty() { "pass" } else { "FAIL" };
    writeln!(f, "{name} {word} ({judgement})")?;
    findings.lines().iter().try_for_each(|line| writeln!(f, "  - {line}"))
}

impl Safety {
    /// Who has come how far.
    pub(super) fn states(&self) -> String {
        let furthest = self.last_slots.values().max().copied().unwrap_or_default();
        let agree = if self.findings.is_empty() { "agree " } else { "" };
        let states = Count(self.last_slots.len() as u64, "honest state");
        let mut text = format!("{states} {agree}up to slot {}", Grouped(furthest));
        for (replica, last) in self.last_slots.iter().filter(|(_, last)| **last < furthest) {
            text.push_str(&format!(", {replica} to {last}"));
        }
        text
    }
}

impl fmt::Display for Safety {
    /// What was looked at; it agrees unless there are findings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let good = self.findings.is_empty();
        let (once, exact) = if good { (", each exactly once", " exact") } else { ("", "") };
        f.write_str(&self.states())?;
        write!(f, "; {}{once}", Count(self.acknowledged, "acknowledged command"))?;
        if self.unacknowledged_ran > 0 {
            write!(f, "; {} of unknown outcome ran", Grouped(self.unacknowledged_ran))?;
        }
        write!(f, "; {}{exact}", Count(self.counters, "counter"))?;
        if self.overwritten_counters > 0 {
            write!(f, "; {} also overwritten, not summed", Grouped(self.overwritten_counters))?;
        }
        let explained = good && self.linearizability.samples > 0;
        write!(f, "; {}: ", if explained { "linearizable" } else { "linearizability" })?;
        self.linearizability.fmt(f)
    }
}

impl fmt::Display for Linearizability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, operations, of, undecided, left_out, refused, ref unmutated } = *self;
        match samples {
            0 => f.write_str("no sample"),
            _ => write!(f, "{}, {} of {}", Count(samples, "sample"), Grouped(operations), Count(of, "operation")),
        }?;
        if undecided > 0 {
            write!(f, ", {} undecided", Count(undecided, "sample"))?;
        }
        if left_out > 0 {
            write!(f, ", {} with transactions left out", Count(left_out, "key"))?;
        }
        match refused {
            0 => f.write_str(", no mutated history refused"),
            1 => f.write_str(", a mutated history refused"),
            more => write!(f, ", {more} mutated histories refused"),
        }?;
        unmutated.iter().try_for_each(|what| write!(f, ", nothing there for {what}"))
    }
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worst gap {}", Seconds(self.worst_gap_ms))?;
        match self.bound_ms {
            u64::MAX => f.write_str(", no bound")?,
            bound => write!(f, ", bound {}", Seconds(bound))?,
        }
        if let Some(recovery) = self.worst_recovery_ms {
            write!(f, "; worst recovery {}", Seconds(recovery))?;
            if let Some(bound) = self.recovery_bound_ms {
                write!(f, ", bound {}", Seconds(bound))?;
            }
        }
        if self.unresolved > 0 {
            write!(f, "; {} without an outcome", Count(self.unresolved, "command"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Accused(&self.proofs).fmt(f)?;
        if let Some(ForkProof { slot, culprits }) = &self.fork {
            write!(f, "; fork in slot {}: {}", Grouped(*slot), Accused(culprits))?;
        }
        Ok(())
    }
}

/// Who is accused, and of what.
struct Accused<'a>(&'a BTreeMap<ReplicaId, BTreeMap<&'static str, u64>>);

impl fmt::Display for Accused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nobody is accused");
        }
        for (place, (accused, kinds)) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { "; " };
            write!(f, "{between}{accused}: {}: ", Count(kinds.values().sum(), "proof"))?;
            for (place, (kind, count)) in kinds.iter().enumerate() {
                let between = if place == 0 { "" } else { ", " };
                let times = if kinds.len() == 1 { String::new() } else { format!("{count} of ") };
                write!(f, "{between}{times}{kind}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p90, p99, p999, max } = self.latency_ms;
        let ClientsP99 { median, worst } = self.clients_p99_ms;
        write!(
            f,
            "{} acknowledged operations/s ({} in {}, in {}); latency p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, p99.9 {p999} ms, worst {max} ms; of each client by itself: p99 {median} ms, the worst {worst} ms",
            Grouped(self.operations_per_second()),
            Grouped(self.operations),
            Count(self.commands, "command"),
            Seconds(self.load_ms),
        )
    }
}

/// Milliseconds as seconds with one digit behind the point, if it says anything; rounded up, so that a gap above its bound does not look equal to it.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.div_ceil(100);
        match tenths % 10 {
            0 => write!(f, "{} s", tenths / 10),
            rest => write!(f, "{}.{rest} s", tenths / 10),
        }
    }
}

/// So many of something.
pub(super) struct Count<'a>(pub(super) u64, pub(super) &'a str);

impl fmt::Display for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", Grouped(self.0), self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// A number with its digits in groups of three.
pub(super) struct Grouped(pub(super) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
