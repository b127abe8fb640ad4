//! What people and machines read.

use super::*;
use crate::judge::verdict::{ClientsP99, Evidence, Figures, Latency, Linearizability, Liveness, Safety};
use varangian_consensus::{Identity, Slot};
use varangian_crypto::SigningKey;

fn verdict() -> Verdict {
    Verdict {
        safety: Safety {
            last_slots: (0..4).map(|id| (ReplicaId(id), 1812)).collect(),
            acknowledged: 10_412,
            counters: 8,
            linearizability: Linearizability {
                samples: 12,
                operations: 3120,
                of: 3120,
                refused: 2,
                ..Linearizability::default()
            },
            ..Safety::default()
        },
        liveness: Liveness {
            worst_gap_ms: 1801,
            worst_gap_from_ms: 0,
            bound_ms: 10_000,
            worst_recovery_ms: Some(310),
            recovery_bound_ms: Some(5000),
            unresolved: 0,
            findings: Findings::default(),
        },
        evidence: Evidence {
            proofs: [(ReplicaId(3), [("two pre-prepares for one slot", 4)].into())].into(),
            fork: None,
            findings: Findings::default(),
        },
        figures: Figures {
            commands: 10_412,
            operations: 20_824,
            load_ms: 20_000,
            latency_ms: Latency { p50: 3, p90: 5, p99: 20, p999: 1801, max: 1900 },
            clients_p99_ms: ClientsP99 { median: 19, worst: 812 },
        },
    }
}

fn finding(sequence: u64) -> Finding {
    let command = Identity { client: SigningKey::from_seed([1; 32]).client_key(), sequence };
    Finding::Missing { command, slot: Slot(7) }
}

#[test]
fn a_pass_is_three_lines_and_the_figures() {
    let shown = verdict().to_string();
    let expected = "\
SAFETY pass (4 honest states agree up to slot 1,812; 10,412 acknowledged commands, each exactly once; 8 counters exact; linearizable: 12 samples, 3,120 of 3,120 operations, 2 mutated histories refused)
LIVENESS pass (worst gap 1.9 s, bound 10 s; worst recovery 0.4 s, bound 5 s)
EVIDENCE pass (r3: 4 proofs: two pre-prepares for one slot)
1,041 acknowledged operations/s (20,824 in 10,412 commands, in 20 s); latency p50 3 ms, p90 5 ms, p99 20 ms, p99.9 1801 ms, worst 1900 ms; of each client by itself: p99 19 ms, the worst 812 ms";
    assert_eq!(shown, expected);
}

#[test]
fn a_failure_claims_nothing_and_lists_what_is_wrong() {
    let mut verdict = verdict();
    verdict.safety.last_slots.insert(ReplicaId(2), 40);
    (1..=5).for_each(|sequence| verdict.safety.findings.push(finding(sequence)));
    verdict.evidence.proofs.clear();
    verdict.evidence.findings.push(Finding::NotAccused(ReplicaId(3)));
    let shown = verdict.to_string();
    let expected = "\
SAFETY FAIL (4 honest states up to slot 1,812, r2 to 40; 10,412 acknowledged commands; 8 counters; linearizability: 12 samples, 3,120 of 3,120 operations, 2 mutated histories refused)
  - client 8a88e3dd command 1: acknowledged in slot 7, but it never ran
  - client 8a88e3dd command 2: acknowledged in slot 7, but it never ran
  - client 8a88e3dd command 3: acknowledged in slot 7, but it never ran
  - and 2 more
LIVENESS pass (worst gap 1.9 s, bound 10 s; worst recovery 0.4 s, bound 5 s)
EVIDENCE FAIL (nobody is accused)
  - nobody holds a proof against r3
";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(!verdict.passed());
}

#[test]
fn what_was_not_searched_is_said() {
    let nothing = Linearizability::default();
    assert_eq!(nothing.to_string(), "no sample, no mutated history refused");
    let mut verdict = verdict();
    verdict.safety.linearizability = nothing;
    assert!(verdict.to_string().contains("; linearizability: no sample, "), "{verdict}");
    let unmutated = vec!["the sums of two additions exchanged"];
    let some =
        Linearizability { samples: 1, operations: 20, of: 1000, undecided: 2, left_out: 1, refused: 1, unmutated };
    let expected = "1 sample, 20 of 1,000 operations, 2 samples undecided, 1 key with transactions left out, a mutated history refused, nothing there for the sums of two additions exchanged";
    assert_eq!(some.to_string(), expected);
}

#[test]
fn many_findings_of_one_kind_do_not_hide_another() {
    let mut findings = Findings::default();
    (1..=50).for_each(|sequence| findings.push(finding(sequence)));
    findings.push(Finding::Silence);
    assert_eq!((findings.listed().len(), findings.total()), (4, 51));
    assert_eq!(findings.listed()[3], Finding::Silence);
}

#[test]
fn the_json_says_whether_it_passed_and_why_not() {
    let mut verdict = verdict();
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["passed"], true);
    assert_eq!(json["safety"]["last_slots"]["3"], 1812);
    assert_eq!(json["evidence"]["proofs"]["3"]["two pre-prepares for one slot"], 4);
    assert_eq!(json["figures"]["latency_ms"]["p999"], 1801);
    verdict.liveness.findings.push(Finding::Silence);
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["passed"], false);
    assert_eq!(json["liveness"]["findings"]["listed"][0], Finding::Silence.to_string());
}
