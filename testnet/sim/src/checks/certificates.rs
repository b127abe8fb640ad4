//! Every certificate that an honest replica relies on: a quorum of distinct members, counted here, and signatures that hold.

use super::invariant::{Held, Invariant, ensure};
use std::collections::BTreeSet;
use varangian_consensus::{Commit, CommitCertificate, Record};
use varangian_crypto::{Committee, ReplicaId, Verify};

/// The certificates in a record.
///
/// # Errors
/// [`Invariant::ValidCertificates`].
pub fn check_record(replica: ReplicaId, record: &Record, committee: &Committee) -> Held {
    match record {
        Record::Prepared(certificate) => {
            let view = certificate.pre_prepare.view;
            let primary = committee.primary(view.0);
            let backups = certificate.prepares.iter().map(|(signer, _)| *signer);
            let what = || format!("the prepared certificate of {replica} for {:?}", certificate.pre_prepare);
            count(backups.chain([primary]), committee, what)?;
            proves(certificate.check(committee).is_ok(), what)
        }
        Record::Stable(certificate) => {
            let what = || format!("the stable checkpoint of {replica} for {:?}", certificate.statement);
            count(certificate.signers(), committee, what)?;
            proves(certificate.check(committee).is_ok(), what)
        }
        Record::NewView(signed) => {
            let what = || format!("the NEW-VIEW that {replica} entered {} by", signed.statement.view);
            count(signed.statement.view_changes.iter().map(|signed| signed.signer), committee, what)?;
            proves(signed.check(committee).is_ok(), what)
        }
        _ => Ok(()),
    }
}

/// The certificate by which a slot is executed.
///
/// # Errors
/// [`Invariant::ValidCertificates`].
pub fn check_commit(replica: ReplicaId, certificate: &CommitCertificate, committee: &Committee) -> Held {
    let Commit { view, slot, digest } = certificate.statement;
    let what = || format!("the commit certificate of {replica} for view {view}, slot {slot}, {digest}");
    count(certificate.signers(), committee, what)?;
    proves(certificate.check(committee).is_ok(), what)
}

/// Distinct members, and more of them than two quorums without an honest one in common could have: counted by the definition.
fn count(signers: impl Iterator<Item = ReplicaId>, committee: &Committee, what: impl Fn() -> String) -> Held {
    let n = committee.quorums().n();
    let distinct: BTreeSet<_> = signers.filter(|signer| signer.index() < n).collect();
    let tolerated = (n - 1) / 3;
    let common = (2 * distinct.len()).saturating_sub(n);
    ensure(common > tolerated, Invariant::ValidCertificates, || {
        format!("{} has the signers {distinct:?} only, of {n} replicas", what())
    })
}

fn proves(proves: bool, what: impl Fn() -> String) -> Held {
    ensure(proves, Invariant::ValidCertificates, || format!("{} does not prove itself", what()))
}
