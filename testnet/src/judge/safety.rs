//! Whether the honest replicas agree with each other, with the log's replay and with the clients.

use super::JudgeError;
use super::claims::{Claims, Fate, Sums};
use super::finding::{Finding, Findings, OTHER_HISTORY, OTHER_STATE};
use super::replay::Replay;
use super::stores::{Honest, Log};
use super::verdict::{Linearizability, Safety};
use std::collections::BTreeSet;
use varangian_application::{Space, recompute};
use varangian_consensus::{Batch, CommitCertificate, NULL_BATCH, Slot};
use varangian_crypto::{Committee, Digest, Genesis, ReplicaId, Verify, decode};
use varangian_storage::Committed;

/// Replays the log from genesis, after the answers have been looked at without it; on the way each replica's log and state is compared, and the clients' claims are.
pub(super) fn judge(
    genesis: &Genesis,
    committee: &Committee,
    honest: &[Honest],
    claims: &mut Claims,
    linearizability: Linearizability,
    mut findings: Findings,
) -> Result<Safety, JudgeError> {
    let mut replay = Replay::new(genesis, committee);
    let mut logs: Vec<_> = honest.iter().map(Log::new).collect();
    logs.sort_by_key(|log| std::cmp::Reverse(log.of.last()));
    let last = honest.iter().map(Honest::last).max().unwrap_or_default();
    for slot in (0..=last.0).map(Slot) {
        if slot > Slot::GENESIS {
            let (digest, batch) = decided(slot, &mut logs, committee, honest, &mut findings)?;
            replay.slot(digest, batch, claims, &mut findings)?;
        }
        for replica in honest {
            if replica.last() == slot {
                compare(replica, &replay, &mut findings)?;
            }
            compare_checkpoint(replica, slot, &replay, committee, &mut findings);
        }
    }
    claims.all_ran(&mut findings);
    claims.in_order(&mut findings);
    let sums = claims.sums();
    let (counters, overwritten_counters) = compare_counters(&sums, honest, last, &mut findings)?;
    let unacknowledged = claims.iter().filter(|(_, claim)| claim.fate == Fate::Unknown && claim.ran.is_some());
    Ok(Safety {
        last_slots: honest.iter().map(|replica| (replica.id, replica.last().0)).collect(),
        acknowledged: claims.acknowledged().count() as u64,
        unacknowledged_ran: unacknowledged.count() as u64,
        counters,
        overwritten_counters,
        linearizability,
        findings,
    })
}

/// What the honest replicas executed in a slot: one batch, each with a proof. If they differ, the one that has come furthest is followed.
fn decided(
    slot: Slot,
    logs: &mut [Log<'_>],
    committee: &Committee,
    honest: &[Honest],
    findings: &mut Findings,
) -> Result<(Digest, Option<Batch>), JudgeError> {
    let mut agreed: Option<(ReplicaId, Committed)> = None;
    for log in logs {
        let Some(found) = log.slot(slot)? else { continue };
        let replica = log.of.id;
        match check_certificate(slot, &found, committee) {
            Ok(certificate) => check_kept(&certificate, honest, findings),
            Err(reason) => findings.push(Finding::Certificate { replica, slot, reason }),
        }
        match &agreed {
            None => agreed = Some((replica, found)),
            Some((first, other)) if other.batch != found.batch => {
                findings.push(Finding::Fork { slot, first: *first, second: replica });
            }
            Some((first, other)) if other.body != found.body => {
                let reason = format!("{first} has another body of this name");
                findings.push(Finding::Body { replica, slot, reason });
            }
            Some(_) => {}
        }
    }
    let Some((replica, Committed { batch: digest, body, .. })) = agreed else {
        return Err(JudgeError::Pruned { slot });
    };
    let batch = match body.map(Batch::decode) {
        None if digest == NULL_BATCH => None,
        None => {
            findings.push(Finding::Body { replica, slot, reason: "there is none".to_owned() });
            None
        }
        Some(Err(error)) => {
            findings.push(Finding::Body { replica, slot, reason: error.to_string() });
            None
        }
        Some(Ok(batch)) => {
            if *batch.digest() != digest {
                findings.push(Finding::Body { replica, slot, reason: format!("its digest is {}", batch.digest()) });
            }
            Some(batch)
        }
    };
    Ok((digest, batch))
}

/// Whether a slot's certificate proves that its batch was decided there.
fn check_certificate(slot: Slot, found: &Committed, committee: &Committee) -> Result<CommitCertificate, String> {
    let certificate: CommitCertificate = decode(&found.certificate).map_err(|error| error.to_string())?;
    if certificate.statement.slot != slot || certificate.statement.digest != found.batch {
        return Err(format!("it is for batch {} in slot {}", certificate.statement.digest, certificate.statement.slot));
    }
    // The quorum is reckoned here by hand too: a mistake in the arithmetic that replicas share must show.
    let n = committee.quorums().n();
    let quorum = (n + (n - 1) / 3) / 2 + 1;
    let signers = certificate.signers().collect::<BTreeSet<_>>().len();
    if signers < quorum {
        return Err(format!("{signers} replicas have signed it, {quorum} must"));
    }
    certificate.check(committee).map_err(|error| error.to_string())?;
    Ok(certificate)
}

/// Whether the honest among a certificate's signers have on disk what their COMMITs promised.
fn check_kept(certificate: &CommitCertificate, honest: &[Honest], findings: &mut Findings) {
    let commit = certificate.statement;
    for signer in certificate.signers() {
        let unkept = honest.iter().find(|replica| replica.id == signer && !replica.covers(&commit));
        if let Some(replica) = unkept {
            findings.push(Finding::Unkept { replica: replica.id, slot: commit.slot, view: commit.view });
        }
    }
}

/// A replica's state against the replay at its last slot.
fn compare(replica: &Honest, replay: &Replay<'_>, findings: &mut Findings) -> Result<(), JudgeError> {
    let (slot, id) = (replica.last(), replica.id);
    if replica.meta.history != replay.meta().history {
        findings.push(Finding::History { replica: id, slot });
    }
    let state = replay.state();
    // What the accumulator went through on the way must not matter: it is reckoned anew from what is there.
    let entries = recompute(state).map_err(|error| JudgeError::Replay { slot, source: error.into() })?;
    if replica.meta.state != entries {
        findings.push(Finding::Accumulator { replica: id, slot });
    }
    for space in Space::ALL {
        if let Some(key) = replica.first_difference(space, state.entries(space))? {
            findings.push(Finding::State { replica: id, slot, space, key });
        }
    }
    Ok(())
}

/// A replica's stable checkpoint, if it is this slot's, against the replay.
fn compare_checkpoint(
    replica: &Honest,
    slot: Slot,
    replay: &Replay<'_>,
    committee: &Committee,
    findings: &mut Findings,
) {
    let Some(stable) = replica.stable.as_ref().filter(|stable| stable.statement.slot == slot) else { return };
    let reason = match stable.check(committee) {
        Err(error) => error.to_string(),
        Ok(()) if stable.statement.history != replay.meta().history => OTHER_HISTORY.to_owned(),
        Ok(()) if stable.statement.state != replay.meta().state.digest() => OTHER_STATE.to_owned(),
        Ok(()) => return,
    };
    findings.push(Finding::Checkpoint { replica: replica.id, slot, reason });
}

/// Each counter in the stores that have come furthest, against the sum of what was added. Gives how many were checked, and how many have no sum.
fn compare_counters(
    sums: &Sums,
    honest: &[Honest],
    last: Slot,
    findings: &mut Findings,
) -> Result<(u64, u64), JudgeError> {
    let (mut counters, mut overwritten) = (0, 0);
    for (key, expected) in &sums.added {
        if sums.overwritten.contains(key) {
            overwritten += 1;
            continue;
        }
        counters += 1;
        for replica in honest.iter().filter(|replica| replica.last() == last) {
            let found = replica.value(key)?.map(|value| String::from_utf8_lossy(&value).into_owned());
            if found.as_deref() != Some(expected.to_string().as_str()) {
                findings.push(Finding::Counter { replica: replica.id, key: key.clone(), found, expected: *expected });
            }
        }
    }
    Ok((counters, overwritten))
}
