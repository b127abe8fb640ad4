//! A replica that says again what was said before, by anybody (faults, row 10).
//!
//! It records what it says and what it learns of others: the pre-prepares, PREPAREs, COMMITs, CHECKPOINTs, VIEW-CHANGEs and NEW-VIEWs inside its records
//! and certificates. Whenever it votes, it sends the next [`BURST`] of them to every peer, round and round: into later views, long after their slots, and
//! to those who signed them.
//!
//! Defence: every signature covers kind, chain, view and slot, so a message says elsewhere only what it said; what is known changes nothing.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::saying::is_struck;
use std::collections::VecDeque;
use varangian_consensus::{Execution, Message, Record, Vote};
use varangian_crypto::{QuorumCertificate, ReplicaId, Signed};
use varangian_runner::Io;

/// Messages per vote and peer.
pub const BURST: usize = 8;
/// Messages that are remembered; above it the oldest is forgotten.
const REMEMBERED: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Replayer {
    heard: VecDeque<Message>,
    next: usize,
}

impl Replayer {
    fn remember(&mut self, message: Message) {
        if self.heard.len() >= REMEMBERED {
            self.heard.pop_front();
        }
        self.heard.push_back(message);
    }

    fn replay(&mut self, hand: &Hand, io: &mut dyn Io) {
        for _ in 0..BURST.min(self.heard.len()) {
            self.next = (self.next + 1) % self.heard.len();
            if let Some(message) = self.heard.get(self.next) {
                for peer in hand.peers() {
                    io.send(peer, message.clone());
                }
            }
        }
    }
}

impl Behaviour for Replayer {
    fn persisting(&mut self, _: &Hand, records: &[Record]) {
        for record in records {
            match record {
                Record::Accepted(signed) => self.remember(Message::PrePrepare(signed.clone())),
                Record::Prepared(certificate) => {
                    for (signer, signature) in certificate.prepares.iter() {
                        let statement = certificate.pre_prepare.prepare();
                        self.remember(Message::Prepare(Signed { statement, signer: *signer, signature: *signature }));
                    }
                }
                Record::NewView(signed) => {
                    for view_change in signed.statement.view_changes.iter() {
                        self.remember(Message::ViewChange(Box::new(view_change.clone())));
                    }
                    self.remember(Message::NewView(signed.clone()));
                }
                Record::Stable(certificate) => {
                    for vote in votes(certificate) {
                        self.remember(Message::Checkpoint(vote));
                    }
                    self.remember(Message::Stable(certificate.clone()));
                }
                _ => {}
            }
        }
    }

    fn executing(&mut self, _: &Hand, execution: &Execution) {
        for vote in votes(&execution.certificate) {
            self.remember(Message::Commit(vote));
        }
        self.remember(Message::Committed(execution.certificate.clone()));
    }

    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let struck = is_struck(hand, &vote);
        if let Ok((_, message)) = hand.sign(vote.clone()) {
            self.remember(message);
        }
        io.vote(vote);
        if struck {
            self.replay(hand, io);
        }
    }

    fn broadcast(&mut self, _: &Hand, message: Message, io: &mut dyn Io) {
        self.remember(message.clone());
        io.broadcast(message);
    }

    fn send(&mut self, _: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        self.remember(message.clone());
        io.send(to, message);
    }
}

/// The votes that a certificate is made of.
fn votes<S: Clone>(certificate: &QuorumCertificate<S>) -> impl Iterator<Item = Signed<S>> + '_ {
    certificate.signatures.iter().map(|(signer, signature)| Signed {
        statement: certificate.statement.clone(),
        signer: *signer,
        signature: *signature,
    })
}
