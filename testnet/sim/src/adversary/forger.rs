//! A replica that says things in the name of others (faults, rows 11 and 30: impersonation).
//!
//! Beside each of its votes it sends what it cannot sign: the same vote as another's, under its own signature; as a member's that does not exist; with
//! the signature of another kind of statement; and certificates whose signers are made up, out of range, too few, or one of them many times. One bundle
//! per vote.
//!
//! Defence: a signature is checked against its signer's key and its own domain; certificates count distinct members. Nobody signed any of it, so nobody
//! is accused: what proves nothing is dropped.

use super::behaviour::Behaviour;
use super::hand::{Hand, another};
use super::saying::{is_struck, place};
use varangian_consensus::{
    Checkpoint, Commit, Message, NULL_BATCH, NewView, PrePrepare, Prepare, Slot, View, ViewChange, Vote,
};
use varangian_crypto::{Bounded, Digest, QuorumCertificate, ReplicaId, Signature, Signed, Statement};
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct Forger;

impl Behaviour for Forger {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let ((view, slot), struck) = (place(&vote), is_struck(hand, &vote));
        io.vote(vote);
        if !struck {
            return;
        }
        let slot = slot.unwrap_or(Slot(1));
        for message in forgeries(hand, view, slot) {
            io.broadcast(message);
        }
    }
}

fn forgeries(hand: &Hand, view: View, slot: Slot) -> Vec<Message> {
    let digest = another(&Digest::from_bytes([9; 32]));
    let primary = hand.quorums().primary(view.0);
    let interval = hand.committee().parameters().checkpoint_interval;
    let checkpoint = Checkpoint { slot: Slot(interval), history: digest, state: digest };
    let (pre_prepare, prepare) = (PrePrepare { view, slot, digest }, Prepare { view, slot, digest });
    let commit = Commit { view, slot, digest };
    let next = view.next();
    let view_change = ViewChange { view: next, stable: None, prepared: Bounded::new() };
    let new_view = NewView { view: next, view_changes: Bounded::new(), pre_prepares: Bounded::new() };
    let beyond = ReplicaId(u16::try_from(hand.quorums().n()).unwrap_or(u16::MAX));
    let mut all = Vec::new();
    for victim in hand.peers().chain([beyond, ReplicaId(u16::MAX)]) {
        if victim == primary {
            all.push(Message::PrePrepare(forged(hand, victim, pre_prepare)));
        } else {
            all.push(Message::Prepare(forged(hand, victim, prepare)));
        }
        all.push(Message::Commit(forged(hand, victim, commit)));
        all.push(Message::Checkpoint(forged(hand, victim, checkpoint)));
        all.push(Message::ViewChange(Box::new(forged(hand, victim, view_change.clone()))));
    }
    let successor = hand.quorums().primary(next.0);
    if successor != hand.id() {
        all.push(Message::NewView(Box::new(forged(hand, successor, new_view))));
    }
    // Its own COMMIT's signature under a CHECKPOINT: another domain.
    let signature = hand.signed(commit).signature;
    all.push(Message::Checkpoint(Signed { statement: checkpoint, signer: hand.id(), signature }));
    for signers in lists(hand, beyond) {
        all.push(Message::Committed(certificate(hand, commit, &signers)));
        all.push(Message::Stable(certificate(hand, checkpoint, &signers)));
        // Nobody need have the body of the null batch.
        let null = Commit { digest: NULL_BATCH, ..commit };
        all.push(Message::Decided { certificate: certificate(hand, null, &signers), batch: None });
    }
    all
}

/// What this replica signed, as if `victim` had.
fn forged<S: Statement>(hand: &Hand, victim: ReplicaId, statement: S) -> Signed<S> {
    Signed { signer: victim, ..hand.signed(statement) }
}

/// Signers of certificates: made up, itself many times, beyond the committee, itself alone, nobody.
fn lists(hand: &Hand, beyond: ReplicaId) -> Vec<Vec<ReplicaId>> {
    let q = hand.quorums().quorum();
    let mut others: Vec<_> = hand.quorums().replicas().take(q - 1).collect();
    others.push(beyond);
    vec![hand.quorums().replicas().take(q).collect(), vec![hand.id(); q], others, vec![hand.id()], Vec::new()]
}

/// A certificate with a signature of this replica in the place of each signer's.
pub(super) fn certificate<S: Statement + Clone>(
    hand: &Hand,
    statement: S,
    signers: &[ReplicaId],
) -> QuorumCertificate<S> {
    let signature = hand.signed(statement.clone()).signature;
    let signatures: Vec<(ReplicaId, Signature)> = signers.iter().map(|signer| (*signer, signature)).collect();
    QuorumCertificate { statement, signatures: Bounded::try_from(signatures).unwrap_or_default() }
}
