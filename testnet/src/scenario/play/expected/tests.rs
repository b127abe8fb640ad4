#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Made-up verdicts, held against what is expected.

use super::*;
use crate::judge::verdict::{ClientsP99, Evidence, Figures, ForkProof, Latency, Liveness, Safety as Judged};
use crate::judge::{Finding, Findings};
use std::collections::BTreeMap;
use varangian_consensus::{Identity, Slot, View};
use varangian_crypto::{ReplicaId, SigningKey};

/// Nothing is wrong.
fn verdict() -> Verdict {
    Verdict {
        safety: Judged::default(),
        liveness: Liveness {
            worst_gap_ms: 10,
            worst_gap_from_ms: 0,
            bound_ms: 10_000,
            worst_recovery_ms: None,
            recovery_bound_ms: None,
            unresolved: 0,
            findings: Findings::default(),
        },
        evidence: Evidence::default(),
        figures: Figures {
            commands: 1000,
            operations: 1000,
            load_ms: 1000,
            latency_ms: Latency::default(),
            clients_p99_ms: ClientsP99 { median: 20, worst: 300 },
        },
    }
}

/// r2 and r3 differ in slot 5, and r0 and r1 are proved to have made it.
fn forked() -> Verdict {
    let mut verdict = verdict();
    let (slot, command) = (Slot(5), Identity { client: SigningKey::from_seed([1; 32]).client_key(), sequence: 1 });
    for finding in [
        Finding::Fork { slot, first: ReplicaId(2), second: ReplicaId(3) },
        Finding::History { replica: ReplicaId(3), slot },
        Finding::WrongSlot { command, acknowledged: Slot(6), ran: slot },
        Finding::Missing { command, slot },
        Finding::NotLinearizable { key: b"k".to_vec(), command },
    ] {
        verdict.safety.findings.push(finding);
    }
    let culprits = [0, 1].map(|id| (ReplicaId(id), BTreeMap::from([("two commits for one slot", 1)])));
    verdict.evidence.fork = Some(ForkProof { slot: 5, culprits: culprits.into() });
    verdict
}

fn seen(verdict: &Verdict) -> Seen<'_> {
    Seen { verdict, f: 1, highest_view: Some(0), memory_mib: Some(100), behind: 0 }
}

/// Whether all is as expected, and what was missed.
fn told(verdict: &Verdict, expect: &Expect) -> (bool, Vec<String>) {
    (seen(verdict).is_as_expected(expect), seen(verdict).missed(expect))
}

#[test]
fn a_fork_that_was_asked_for_is_as_expected() {
    let broken = Expect { safety: Safety::Broken, ..Expect::default() };
    assert_eq!(told(&forked(), &broken), (true, vec![]));
    assert_eq!(told(&forked(), &Expect::default()), (false, vec![]));
    let (_, missed) = told(&verdict(), &broken);
    assert!(missed[0].contains("the honest agree") && missed[1].contains("0 are"), "{missed:?}");
}

/// With a fork that was asked for, whatever else is wrong is wrong still.
#[test]
fn what_a_fork_does_not_explain_is_missed() {
    let broken = Expect { safety: Safety::Broken, ..Expect::default() };
    let command = Identity { client: SigningKey::from_seed([1; 32]).client_key(), sequence: 1 };
    let (slot, replica) = (Slot(7), ReplicaId(2));
    for finding in [
        Finding::RanTwice { command, first: Slot(1), again: slot },
        Finding::NobodySent { command, slot },
        Finding::OtherOperations { command, slot },
        Finding::Unkept { replica, slot, view: View(0) },
        Finding::Certificate { replica, slot, reason: "2 replicas have signed it, 3 must".into() },
        Finding::Checkpoint { replica, slot, reason: "a signature is wrong".into() },
        Finding::Blind { what: "a read", key: vec![] },
        Finding::Unsearched { searched: 0, operations: 9 },
    ] {
        let mut verdict = forked();
        // However many there are that it explains.
        (0..50).for_each(|slot| verdict.safety.findings.push(Finding::Missing { command, slot: Slot(slot) }));
        verdict.safety.findings.push(finding.clone());
        let (_, missed) = told(&verdict, &broken);
        assert!(missed.len() == 1 && missed[0].contains("does not explain 1"), "{finding}: {missed:?}");
        assert!(verdict.safety.findings.listed().contains(&finding), "it is listed");
    }
    let mut silent = forked();
    silent.liveness.findings.push(Finding::Silence);
    assert!(!told(&silent, &broken).0);
    assert!(told(&silent, &Expect { liveness: false, ..broken.clone() }).0, "nothing was promised");
    let mut framed = forked();
    framed.evidence.findings.push(Finding::NotAccused(ReplicaId(1)));
    assert!(!told(&framed, &broken).0);
}

#[test]
fn bounds_are_judged_where_they_are_named() {
    let verdict = verdict();
    assert_eq!(told(&verdict, &Expect::default()), (true, vec![]));
    let missed = |change: fn(&mut Expect, &mut Seen<'_>)| {
        let (mut expect, mut seen) = (Expect::default(), seen(&verdict));
        change(&mut expect, &mut seen);
        seen.missed(&expect).join("; ")
    };
    assert_eq!(missed(|expect, _| expect.view_changes = Some(0)), "");
    let left = missed(|expect, seen| (expect.view_changes, seen.highest_view) = (Some(1), Some(2)));
    assert!(left.contains("come to view 2"), "{left}");
    let unknown = missed(|expect, seen| (expect.view_changes, seen.highest_view) = (Some(1), None));
    assert!(unknown.contains("no replica ever said"), "{unknown}");

    assert_eq!(missed(|expect, _| expect.memory_mib = Some(100)), "");
    assert!(missed(|expect, _| expect.memory_mib = Some(99)).contains("had 100 MiB"));
    let nobody = missed(|expect, seen| (expect.memory_mib, seen.memory_mib) = (Some(512), None));
    assert!(nobody.contains("no honest replica ran"), "{nobody}");

    assert_eq!(missed(|expect, _| expect.worst_client_p99_ms = Some(300)), "");
    assert!(missed(|expect, _| expect.worst_client_p99_ms = Some(299)).contains("of one it is 300 ms"));
    assert_eq!(missed(|expect, seen| (expect.worst_client_p99_ms, seen.behind) = (Some(300), 10)), "");
    let unsent = missed(|expect, seen| (expect.worst_client_p99_ms, seen.behind) = (Some(300), 11));
    assert!(unsent.contains("11 commands were due"), "{unsent}");
}
