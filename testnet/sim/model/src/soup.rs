//! Sets of messages that were sent. A set only grows: a message may be delivered at any later time, to anyone, again, or never.

use crate::alphabet::{Alphabet, Kind, Known, SLOT};
use crate::scenario::{FAULTY, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{Commit, Message, PrePrepare, Prepare, PreparedCertificate, View, ViewChange};
use varangian_crypto::{Bounded, Digest, QuorumCertificate, ReplicaId, Signature};

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Votes {
    /// PREPAREs of one view for one digest, as [`World::decision`](crate::World) numbers them.
    Prepare(u8),
    /// The same of COMMITs.
    Commit(u8),
    /// VIEW-CHANGEs, of which only the new primary reads more than their number.
    ViewChange,
}

/// A message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sent {
    /// With which others it is counted; `None` if it is not counted.
    pub votes: Option<Votes>,
    /// Whether the faulty replica signed it.
    pub faulty: bool,
    /// Who did.
    pub signer: ReplicaId,
    /// Its number.
    pub number: u16,
}

/// Everything sent so far, and what can be said of it at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Soup {
    /// Ascending: equal votes stand together, honest ones first.
    pub messages: Vec<Sent>,
    /// An honest replica signed two statements for one place.
    pub double_vote: bool,
    /// COMMITs of a quorum exist, or would with the faulty replica's, for two digests.
    pub two_certificates: bool,
}

/// What the faulty replica can make of what others have said, beyond what is among it already.
pub fn forge(alphabet: &Alphabet, scenario: &Scenario, known: &[&Known]) -> Vec<Message> {
    let faulty = ReplicaId(FAULTY);
    let quorum = alphabet.setup.committee.quorums().quorum();
    let is_said = |view, kind| known.iter().any(|one| (one.signer, one.view, one.kind) == (faulty, view, kind));
    let mut forged = Vec::new();
    if scenario.lies && scenario.view_change {
        for digest in prepared(known).into_iter().filter(|digest| !is_said(View(1), Kind::ViewChange(Some(*digest)))) {
            let votes = voters(known, |one| one.view == View(0) && one.kind == Kind::Prepare(digest));
            if votes.len() + 1 < quorum {
                continue;
            }
            let pre_prepare = PrePrepare { view: View(0), slot: SLOT, digest };
            let prepares = lowest(alphabet, &votes, quorum - 1, pre_prepare.prepare());
            let certificate = PreparedCertificate {
                pre_prepare,
                primary_signature: alphabet.sign(faulty, pre_prepare).signature,
                prepares: Bounded::try_from(prepares).expect("a few"),
            };
            let prepared = Bounded::try_from(vec![certificate]).expect("one");
            let statement = ViewChange { view: View(1), stable: None, prepared };
            forged.push(Message::ViewChange(Box::new(alphabet.sign(faulty, statement))));
        }
        for digest in begun(known).into_iter().filter(|digest| !is_said(View(1), Kind::Commit(*digest))) {
            let prepare = Prepare { view: View(1), slot: SLOT, digest };
            forged.push(Message::Prepare(alphabet.sign(faulty, prepare)));
            forged.push(Message::Commit(alphabet.sign(faulty, Commit { view: View(1), slot: SLOT, digest })));
        }
    }
    if scenario.certificates {
        for (view, digest) in committed(known) {
            let votes = voters(known, |one| one.view == view && one.kind == Kind::Commit(digest));
            if votes.len() >= quorum && !is_said(view, Kind::Certificate(digest)) {
                let statement = Commit { view, slot: SLOT, digest };
                let signatures = lowest(alphabet, &votes, quorum, statement);
                let signatures = Bounded::try_from(signatures).expect("a few");
                forged.push(Message::Committed(QuorumCertificate { statement, signatures }));
            }
        }
    }
    forged
}

/// The glance at a set. `known` are its messages.
pub fn look(alphabet: &Alphabet, soup: &mut Soup, known: &[&Known]) {
    let quorums = alphabet.setup.committee.quorums();
    let mut places: BTreeMap<(ReplicaId, &'static str, View), BTreeSet<Vec<u8>>> = BTreeMap::new();
    for one in known.iter().filter(|one| one.signer != ReplicaId(FAULTY)) {
        let mut say = |kind, what: &[u8]| {
            places.entry((one.signer, kind, one.view)).or_default().insert(what.to_vec());
        };
        match &one.kind {
            Kind::PrePrepare(digest) => say("pre-prepare", digest.as_bytes()),
            Kind::Prepare(digest) => say("prepare", digest.as_bytes()),
            Kind::Commit(digest) => say("commit", digest.as_bytes()),
            Kind::ViewChange(_) => say("view-change", &one.message.encode().head),
            Kind::NewView(carried) => {
                say("new-view", &one.message.encode().head);
                if let Some(digest) = carried {
                    say("pre-prepare", digest.as_bytes());
                }
            }
            Kind::Certificate(_) | Kind::Batch(_) => {}
        }
    }
    soup.double_vote = places.values().any(|said| said.len() > 1);
    let mut decided = BTreeSet::new();
    for (view, digest) in committed(known) {
        let honest = voters(known, |one| one.view == view && one.kind == Kind::Commit(digest));
        let honest = honest.iter().filter(|signer| **signer != ReplicaId(FAULTY)).count();
        if honest + 1 >= quorums.quorum() {
            decided.insert(digest);
        }
    }
    soup.two_certificates = decided.len() > 1;
}

/// Digests that backups said PREPARE to in view 0.
fn prepared(known: &[&Known]) -> BTreeSet<Digest> {
    let prepared = known.iter().filter(|one| one.view == View(0));
    prepared.filter_map(|one| if let Kind::Prepare(digest) = one.kind { Some(digest) } else { None }).collect()
}

/// Digests that view 1 has begun to vote on.
fn begun(known: &[&Known]) -> BTreeSet<Digest> {
    let begun = |one: &&Known| match one.kind {
        Kind::PrePrepare(digest) => Some(digest),
        Kind::NewView(carried) => carried,
        _ => None,
    };
    known.iter().filter(|one| one.view == View(1)).filter_map(begun).collect()
}

fn committed(known: &[&Known]) -> BTreeSet<(View, Digest)> {
    let commit = |one: &&Known| if let Kind::Commit(digest) = one.kind { Some((one.view, digest)) } else { None };
    known.iter().filter_map(commit).collect()
}

fn voters(known: &[&Known], is_one: impl Fn(&Known) -> bool) -> BTreeSet<ReplicaId> {
    known.iter().filter(|one| is_one(one)).map(|one| one.signer).collect()
}

/// The `count` lowest voters with their signatures. Signing is deterministic, so these are the very signatures that were sent.
fn lowest<S: varangian_crypto::Statement + Clone>(
    alphabet: &Alphabet,
    voters: &BTreeSet<ReplicaId>,
    count: usize,
    statement: S,
) -> Vec<(ReplicaId, Signature)> {
    voters.iter().take(count).map(|voter| (*voter, alphabet.sign(*voter, statement.clone()).signature)).collect()
}
