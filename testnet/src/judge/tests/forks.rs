//! Two honest replicas decide differently, by two colluders: r0 and r3. Neither has seen the other side.

use super::scene::{Scene, put};
use super::*;
use crate::judge::verdict::ForkProof;
use std::collections::BTreeMap;
use varangian::evidence::EvidenceFile;
use varangian_consensus::{Batch, Commit, NewView, PrePrepare, Record, Slot, View, ViewChange};
use varangian_crypto::{Digest, encode};
use varangian_storage::Body;

const COMMITS: &str = "two commits for one slot";
const PRE_PREPARES: &str = "two pre-prepares for one slot";
const PREPARES: &str = "two prepares for one slot";
const HIDES: &str = "a view change that hides a certificate";
pub const SLOT: Slot = Slot(5);

/// r1 and r2 are honest; r2 decided another batch in slot 5, in that view. Each has the votes of its own side.
pub fn forked(view: View) -> Scene {
    let mut scene = Scene::new();
    scene.case.homes[0].2 = false;
    scene.case.expect_accused = BTreeSet::new();
    scene.evidence.clear();
    scene.tamper = Box::new(move |scene, replica, execution| {
        if execution.slot != SLOT.0 {
            return;
        }
        let commit = decision(scene, replica, view, execution.batch);
        if replica == 2 {
            let other = other(scene);
            execution.batch = *other.digest();
            execution.body = Body::Given(other.encoded().clone());
        }
        execution.certificate = encode(&scene.certificate(commit, &[0, if replica == 2 { 2 } else { 1 }, 3])).into();
    });
    scene.keep = Box::new(move |scene, replica, records| {
        let Some(Record::Prepared(certificate)) = records.last() else { return };
        let commit = decision(scene, replica, view, certificate.pre_prepare.digest);
        let backups = match (replica, commit.view) {
            // r2 leads.
            (2, View(2)) => [0, 3],
            (2, _) => [2, 3],
            _ => [1, 3],
        };
        records.pop();
        records.push(Record::Prepared(scene.prepared_by(commit, backups)));
    });
    scene
}

fn other(scene: &Scene) -> Batch {
    Batch::new(vec![scene.command(1, 9, &[put("other", "side")])]).unwrap()
}

/// What a replica decided in the slot.
fn decision(scene: &Scene, replica: u16, view: View, digest: Digest) -> Commit {
    match replica {
        2 => Commit { view, slot: SLOT, digest: *other(scene).digest() },
        _ => Commit { view: View(0), slot: SLOT, digest },
    }
}

/// What is proved of the fork.
#[track_caller]
fn culprits(verdict: &Verdict) -> BTreeMap<u16, Vec<&'static str>> {
    let Some(ForkProof { slot, culprits }) = &verdict.evidence.fork else { panic!("{verdict}") };
    assert_eq!(*slot, SLOT.0);
    assert!(!verdict.safety.findings.is_empty(), "{verdict}");
    culprits.iter().map(|(id, kinds)| (id.0, kinds.keys().copied().collect())).collect()
}

/// The file proves the same with the genesis alone.
#[track_caller]
fn file_accuses(scene: &Scene, expected: &[(u16, &str)]) {
    let file = judge(&scene.case).unwrap().1;
    let file = EvidenceFile::from_json(&file.to_json().unwrap()).unwrap();
    let proofs = file.check(&scene.case.genesis).unwrap();
    let proved = |(claim, proof): (&varangian::evidence::Claim, Result<_, _>)| {
        assert!(proof.is_ok());
        (claim.accused, claim.kind.clone())
    };
    let proved: Vec<_> = proofs.into_iter().map(proved).collect();
    assert!(proved.iter().map(|(id, kind)| (*id, kind.as_str())).eq(expected.iter().copied()), "{proved:?}");
}

#[test]
fn a_fork_in_one_view_convicts_all_who_voted_on_both_sides() {
    let scene = forked(View(0));
    let verdict = scene.verdict();
    assert_eq!(culprits(&verdict), [(0, vec![COMMITS, PRE_PREPARES]), (3, vec![COMMITS, PREPARES])].into());
    assert!(verdict.evidence.findings.is_empty(), "{verdict}");
    assert!(!verdict.passed());
    assert_eq!(verdict.safety.findings.beside_a_fork(), 0, "{verdict}");
    let said =
        "EVIDENCE pass (nobody is accused; fork in slot 5: r0: 2 proofs: 1 of two commits for one slot, 1 of two";
    assert!(verdict.to_string().contains(said), "{verdict}");
    file_accuses(&scene, &[(0, PRE_PREPARES), (0, COMMITS), (3, PREPARES), (3, COMMITS)]);
}

/// r0 and r3 tell r2, who leads view 2, that they know nothing of slot 5.
#[test]
fn a_fork_across_views_convicts_those_who_hid_what_they_had_signed() {
    let mut scene = forked(View(2));
    let keep = std::mem::replace(&mut scene.keep, Box::new(|_, _, _| {}));
    scene.keep = Box::new(move |scene, replica, records| {
        keep(scene, replica, records);
        if replica == 2 {
            let stable = Some(scene.checkpoint(&scene.run(), &[0, 1, 2]));
            let nothing = ViewChange { view: View(2), stable, prepared: Default::default() };
            let signed = |id: usize| scene.signers[id].sign(nothing.clone()).into_inner();
            let view_changes = vec![signed(0), signed(2), signed(3)].try_into().unwrap();
            let new_view = NewView { view: View(2), view_changes, pre_prepares: Default::default() };
            records.push(Record::NewView(Box::new(scene.signers[2].sign(new_view).into_inner())));
        }
    });
    let verdict = scene.verdict();
    assert_eq!(culprits(&verdict), [(0, vec![HIDES]), (3, vec![HIDES])].into());
    assert!(verdict.evidence.findings.is_empty(), "{verdict}");
    file_accuses(&scene, &[(0, HIDES), (3, HIDES)]);
}

/// The same without the NEW-VIEW, as if it had been lost.
#[test]
fn a_fork_that_nobody_can_be_convicted_of_is_a_finding() {
    let scene = forked(View(2));
    let verdict = scene.verdict();
    assert_eq!(culprits(&verdict), BTreeMap::new());
    let expected = Finding::ForkUnproved { slot: SLOT, proved: 0, needed: 2 };
    assert_eq!(verdict.evidence.findings.listed(), [expected]);
}

#[test]
fn an_honest_culprit_of_a_fork_is_a_finding() {
    let mut scene = forked(View(0));
    scene.case.homes[0].2 = true;
    let expected = |kind| Finding::ForkAccusesHonest { slot: SLOT, accused: ReplicaId(0), kind };
    let verdict = scene.verdict();
    assert_eq!(verdict.evidence.findings.listed(), [expected(COMMITS), expected(PRE_PREPARES)]);
}

/// What nobody signed is no side of a fork.
#[test]
fn a_forged_certificate_makes_no_fork() {
    let mut scene = forked(View(0));
    let tamper = std::mem::replace(&mut scene.tamper, Box::new(|_, _, _| {}));
    scene.tamper = Box::new(move |scene, replica, execution| {
        tamper(scene, replica, execution);
        if (replica, execution.slot) == (2, SLOT.0) {
            let commit = decision(scene, 2, View(0), execution.batch);
            let mut forged = scene.certificate(commit, &[0, 2, 3]);
            forged.signatures[0].1 = forged.signatures[1].1;
            execution.certificate = encode(&forged).into();
        }
    });
    let verdict = scene.verdict();
    assert_eq!(verdict.evidence.fork, None);
    assert!(!verdict.passed(), "{verdict}");
}

/// The first disk has a vote that its signer never signed: nobody is convicted by it, and it covers nothing that is proved otherwise.
#[test]
fn a_forged_vote_neither_convicts_nor_covers() {
    let mut scene = forked(View(0));
    let keep = std::mem::replace(&mut scene.keep, Box::new(|_, _, _| {}));
    scene.keep = Box::new(move |scene, replica, records| {
        keep(scene, replica, records);
        if replica == 1 {
            let digest = varangian_crypto::sha256("nobody's", &[]);
            let mut forged = scene.signers[0].sign(PrePrepare { view: View(0), slot: SLOT, digest }).into_inner();
            forged.signature = scene.signers[1].sign(forged.statement).into_inner().signature;
            records.push(Record::Accepted(forged));
        }
    });
    let convicted = [(0, vec![COMMITS, PRE_PREPARES]), (3, vec![COMMITS, PREPARES])].into();
    assert_eq!(culprits(&scene.verdict()), convicted);
}

#[test]
fn without_a_fork_the_file_has_each_deed_once() {
    let scene = Scene::new();
    assert_eq!(scene.verdict().evidence.fork, None);
    file_accuses(&scene, &[(3, PRE_PREPARES)]);
}

/// What a fork is no reason for is told apart from what it is, however much there is of that.
#[test]
fn what_a_fork_does_not_explain_is_counted() {
    let mut scene = forked(View(0));
    scene.unkept = Some((1, SLOT));
    let verdict = scene.verdict();
    assert!(verdict.safety.findings.total() > 1, "{verdict}");
    assert_eq!(verdict.safety.findings.beside_a_fork(), 1, "{verdict}");
}
