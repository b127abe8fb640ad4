//! A replica that lies about what it has prepared, or what is stable, when it asks for a view (faults, row 13).
//!
//! It hides its prepared certificates, or its stable checkpoint with them; or it claims one that nobody signed: a prepared one in the window or far beyond, or a
//! stable one; or it says both the truth and the lie to everybody. A lie is a function of the truth, so it is the same in every retransmission.
//!
//! Should a NEW-VIEW quote the lie, the core inside takes it for a promise that its disk does not know and stops, as it must: from then on the
//! adversary is mute.
//!
//! Defence: whatever committed is in the certificates of some honest member of every quorum, so hiding loses nothing; a certificate proves itself, so a
//! false one proves its carrier's fault, who signed it as its own claim; and so do two VIEW-CHANGEs for one view.

use super::behaviour::Behaviour;
use super::forger::certificate;
use super::hand::{Hand, another};
use varangian_consensus::{Checkpoint, Message, PrePrepare, PreparedCertificate, Slot, View, ViewChange, Vote};
use varangian_crypto::{Bounded, Digest, ReplicaId};
use varangian_runner::Io;

/// What it says instead of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// `P` is empty.
    NothingPrepared,
    /// `C` is genesis and `P` is empty.
    Nothing,
    /// `P` ends with a certificate whose signatures are all its own.
    Forged,
    /// `P` ends with a certificate far above the window.
    Huge,
    /// `C` is the checkpoint after the true one, of a state that nobody has, and its signatures are all its own.
    ForgedStable,
    /// The truth, and beside it that nothing is stable or prepared; where that is the truth, a forged certificate.
    Both,
}

/// See the module.
#[derive(Debug)]
pub struct LyingViewChanger(Claim);

impl LyingViewChanger {
    /// Lies like this.
    #[must_use]
    pub const fn new(claim: Claim) -> Self {
        Self(claim)
    }

    fn tell(&self, hand: &Hand, to: ReplicaId, truth: &ViewChange, io: &mut dyn Io) {
        let lie = match self.0 {
            Claim::NothingPrepared => ViewChange { prepared: Bounded::new(), ..truth.clone() },
            Claim::Nothing => nothing(truth.view),
            Claim::Forged => forged(hand, truth, truth.stable_slot().next()),
            Claim::Huge => forged(hand, truth, truth.stable_slot().plus(hand.window()).plus(1 << 30)),
            Claim::ForgedStable => forged_stable(hand, truth),
            Claim::Both if *truth == nothing(truth.view) => forged(hand, truth, Slot(1)),
            Claim::Both => nothing(truth.view),
        };
        let (truth_first, both) = (hand.place_of(to).is_multiple_of(2), self.0 == Claim::Both);
        let said = match (both, truth_first) {
            (false, _) => vec![lie],
            (true, true) => vec![truth.clone(), lie],
            (true, false) => vec![lie, truth.clone()],
        };
        for claim in said {
            hand.lie(io, [to], Vote::ViewChange(Box::new(claim)));
        }
    }
}

impl Behaviour for LyingViewChanger {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        match &vote {
            Vote::ViewChange(truth) if hand.strikes(truth.view, None) => {
                hand.tell(io, vote.clone(), []);
                for peer in hand.peers() {
                    self.tell(hand, peer, truth, io);
                }
            }
            _ => io.vote(vote),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        match &message {
            Message::ViewChange(own) if hand.is_own(own) && hand.strikes(own.statement.view, None) => {
                self.tell(hand, to, &own.statement, io);
            }
            _ => io.send(to, message),
        }
    }
}

/// Asks for `view` as one who knows of nothing at all.
#[must_use]
pub const fn nothing(view: View) -> ViewChange {
    ViewChange { view, stable: None, prepared: Bounded::new() }
}

/// The truth, and a certificate for `slot` that nobody else had a hand in, in the place of a true one if there is one.
fn forged(hand: &Hand, truth: &ViewChange, slot: Slot) -> ViewChange {
    let view = View(truth.view.0.saturating_sub(1));
    let pre_prepare = PrePrepare { view, slot, digest: another(&Digest::from_bytes([1; 32])) };
    let primary_signature = hand.signed(pre_prepare).signature;
    let primary = hand.quorums().primary(view.0);
    let backups = hand.quorums().replicas().filter(|backup| *backup != primary);
    let signature = hand.signed(pre_prepare.prepare()).signature;
    let prepares: Vec<_> = backups.take(hand.quorums().quorum() - 1).map(|backup| (backup, signature)).collect();
    let prepares = Bounded::try_from(prepares).unwrap_or_default();
    let certificate = PreparedCertificate { pre_prepare, primary_signature, prepares };
    let others = truth.prepared.iter().filter(|known| known.pre_prepare.slot != slot).cloned();
    let mut prepared: Vec<_> = others.chain([certificate]).collect();
    prepared.sort_by_key(|certificate| certificate.pre_prepare.slot);
    ViewChange { prepared: Bounded::try_from(prepared).unwrap_or_default(), ..truth.clone() }
}

/// The truth above the next checkpoint, as if that were stable.
fn forged_stable(hand: &Hand, truth: &ViewChange) -> ViewChange {
    let slot = truth.stable_slot().plus(hand.committee().parameters().checkpoint_interval);
    let digest = another(&Digest::from_bytes([2; 32]));
    let checkpoint = Checkpoint { slot, history: digest, state: digest };
    let signers: Vec<_> = hand.quorums().replicas().take(hand.quorums().quorum()).collect();
    let above = truth.prepared.iter().filter(|known| known.pre_prepare.slot > slot).cloned();
    ViewChange {
        view: truth.view,
        stable: Some(certificate(hand, checkpoint, &signers)),
        prepared: Bounded::try_from(above.collect::<Vec<_>>()).unwrap_or_default(),
    }
}
