//! A replica that answers badly (faults, rows 15 and 16).
//!
//! Asked for bodies and decided slots it sends wrong ones, or nothing although it says that it has them, or that it has them no more; or what it says of
//! itself is out of date: the first certificates that it ever had, as if it had stood still since.
//!
//! Defence: a body is named by its digest and a slot by its certificate; a source that serves nothing, or for long, is left for the next; `f + 1` must say that
//! something is pruned; nothing moves backwards. A bad answer is no evidence: hearsay is not signed.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::saying::Saying;
use std::collections::VecDeque;
use std::sync::Arc;
use varangian_consensus::{Batch, CommitCertificate, Execution, Message, Slot, Status, View};
use varangian_crypto::{Bounded, Digest, ReplicaId};
use varangian_runner::Io;

/// Decided slots that are remembered beside the first one.
const REMEMBERED: usize = 4;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// With another body, and other slots.
    Wrong,
    /// Not at all, while it goes on saying what it has.
    Nothing,
    /// That it no longer has it.
    Pruned,
    /// With what was true long ago.
    Stale,
}

/// See the module.
#[derive(Debug)]
pub struct BadSource {
    answer: Answer,
    /// The first decided slot that it ever had, and the last ones.
    decided: VecDeque<(CommitCertificate, Option<Arc<Batch>>)>,
    /// The first of each kind that it ever said.
    stable: Option<Message>,
    committed: Option<Message>,
    new_view: Option<Message>,
}

impl BadSource {
    /// Answers like this.
    #[must_use]
    pub const fn new(answer: Answer) -> Self {
        Self { answer, decided: VecDeque::new(), stable: None, committed: None, new_view: None }
    }

    /// The body of another slot than this.
    fn wrong_body(&self, digest: &Digest) -> Option<Arc<Batch>> {
        self.decided.iter().rev().filter_map(|(_, batch)| batch.clone()).find(|batch| batch.digest() != digest)
    }

    fn answer_body(&self, hand: &Hand, to: ReplicaId, slot: Slot, digest: &Digest, io: &mut dyn Io) {
        match self.answer {
            Answer::Wrong => {
                if let Some(batch) = self.wrong_body(digest) {
                    io.send(to, Message::Batch { slot, batch });
                }
            }
            Answer::Pruned => io.send(to, Message::Pruned { oldest: slot.next() }),
            // Bodies do not age: an old one is a wrong one.
            Answer::Stale => {
                if let Some((_, Some(batch))) = self.decided.front() {
                    io.send(to, Message::Batch { slot, batch: batch.clone() });
                }
            }
            Answer::Nothing => {
                // It says that it has decided more, so that it is asked again.
                if let Some((certificate, _)) = self.decided.back().filter(|_| hand.strikes(hand.view(), None)) {
                    io.send(to, Message::Committed(certificate.clone()));
                }
            }
        }
    }
}

impl Behaviour for BadSource {
    fn executing(&mut self, _: &Hand, execution: &Execution) {
        if self.decided.len() > REMEMBERED {
            self.decided.remove(1);
        }
        self.decided.push_back((execution.certificate.clone(), execution.batch.clone()));
    }

    fn tick(&mut self, hand: &Hand, io: &mut dyn Io) {
        if !hand.strikes(hand.view(), None) {
            return;
        }
        match (self.answer, self.decided.back()) {
            (Answer::Nothing, Some((certificate, _))) => io.broadcast(Message::Committed(certificate.clone())),
            (Answer::Pruned, _) => io.broadcast(Message::Pruned { oldest: Slot(u64::MAX) }),
            _ => {}
        }
    }

    fn broadcast(&mut self, hand: &Hand, message: Message, io: &mut dyn Io) {
        match message {
            Message::Status(status) if self.answer == Answer::Stale && hand.strikes(hand.view(), None) => {
                io.broadcast(Message::Status(aged(&status)));
            }
            message => io.broadcast(message),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let struck = Saying::of(hand, &message).is_struck(hand);
        match (&message, self.answer) {
            (Message::Batch { slot, batch }, _) if struck => {
                self.answer_body(hand, to, *slot, batch.digest(), io);
            }
            (Message::Status(status), Answer::Stale) if struck => io.send(to, Message::Status(aged(status))),
            (Message::Stable(_), Answer::Stale) if struck => {
                io.send(to, self.stable.get_or_insert(message).clone());
            }
            (Message::Committed(_), Answer::Stale) if struck => {
                io.send(to, self.committed.get_or_insert(message).clone());
            }
            (Message::NewView(_), Answer::Stale) if struck => {
                io.send(to, self.new_view.get_or_insert(message).clone());
            }
            _ => io.send(to, message),
        }
    }

    fn send_batch(&mut self, hand: &Hand, to: ReplicaId, slot: Slot, digest: Digest, io: &mut dyn Io) {
        if Saying::body(hand, slot).is_struck(hand) {
            self.answer_body(hand, to, slot, &digest, io);
        } else {
            io.send_batch(to, slot, digest);
        }
    }

    fn send_decided(&mut self, hand: &Hand, to: ReplicaId, first: Slot, last: Slot, io: &mut dyn Io) {
        if !Saying::decided(hand, first).is_struck(hand) {
            return io.send_decided(to, first, last);
        }
        match self.answer {
            Answer::Wrong => {
                // The last ones instead of those that were asked for, and a certificate over another slot's body.
                for (certificate, batch) in self.decided.iter().rev() {
                    io.send(to, Message::Decided { certificate: certificate.clone(), batch: batch.clone() });
                    let batch = self.wrong_body(&certificate.statement.digest);
                    io.send(to, Message::Decided { certificate: certificate.clone(), batch });
                }
            }
            Answer::Nothing => self.answer_body(hand, to, first, &Digest::ZERO, io),
            Answer::Pruned => io.send(to, Message::Pruned { oldest: Slot(u64::MAX) }),
            Answer::Stale => {
                if let Some((certificate, batch)) = self.decided.front() {
                    io.send(to, Message::Decided { certificate: certificate.clone(), batch: batch.clone() });
                }
            }
        }
    }
}

/// As if it had never moved.
fn aged(status: &Status) -> Status {
    Status {
        view: View(0),
        active: true,
        stable: Slot::GENESIS,
        executed: Slot::GENESIS,
        slots: Bounded::new(),
        view_changes: status.view_changes.clone(),
    }
}
