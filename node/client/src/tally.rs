//! The answers of replicas to one command, and when they suffice (§4.1: `f + 1` equal replies).
//!
//! A result is believed when `f + 1` distinct replicas have sent it, byte for byte: one of them is honest. Each replica has one voice, its
//! first final answer; whatever else it says later does not count and makes it a suspect. `Busy` is no answer.
//!
//! An executed command has one reply for ever. `TooOld` and `Refused` are not remembered, so a command that had several turns can be answered with
//! several slots; for these the kind alone is compared.

use bytes::Bytes;
use varangian_crypto::ReplicaId;

use crate::outcome::Rejection;
use crate::protocol::{NotTaken, ReplyFrame};

/// What one replica finally says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// The encoded reply.
    Executed(Bytes),
    /// It does not run, or is no longer known.
    Rejected(Rejection),
}

/// What `f + 1` replicas say alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ran; the encoded [`Reply`](varangian_application::Reply).
    Executed(Bytes),
    /// It did not.
    Rejected(Rejection),
}

/// Answers to one command. Holds at most one answer per replica, and none longer than the chain's longest reply.
#[derive(Clone, Debug)]
pub struct Tally {
    /// `f + 1`.
    needed: usize,
    /// Longest reply, in bytes.
    longest: usize,
    answers: Vec<(ReplicaId, Answer)>,
    suspects: Vec<ReplicaId>,
    busy: Vec<ReplicaId>,
}

impl Tally {
    /// Wants `needed` equal answers; replies above `longest` bytes are refused unseen.
    #[must_use]
    pub const fn new(needed: usize, longest: usize) -> Self {
        Self { needed, longest, answers: Vec::new(), suspects: Vec::new(), busy: Vec::new() }
    }

    /// Counts a reply; says whether it changed anything.
    pub fn reply(&mut self, from: ReplicaId, reply: &ReplyFrame) -> bool {
        if reply.reply().len() > self.longest {
            self.suspect(from);
            return false;
        }
        let answer = if reply.is_too_old() {
            Answer::Rejected(Rejection::TooOld)
        } else if reply.is_refused() {
            Answer::Rejected(Rejection::Refused)
        } else {
            Answer::Executed(reply.reply().clone())
        };
        self.count(from, answer)
    }

    /// Counts a refusal; says whether it changed anything.
    pub fn not_taken(&mut self, from: ReplicaId, reason: NotTaken) -> bool {
        let rejection = match reason {
            NotTaken::Busy => {
                let news = !self.busy.contains(&from);
                if news {
                    self.busy.push(from);
                }
                return news;
            }
            // A replica that stopped has said nothing about the command.
            NotTaken::Stopped => return false,
            NotTaken::TooOld => Rejection::TooOld,
            NotTaken::UnknownClient => Rejection::Refused,
            NotTaken::Invalid => Rejection::Invalid,
        };
        self.count(from, Answer::Rejected(rejection))
    }

    /// What `f + 1` replicas say alike, and who they are, ascending. With at most `f` liars there is never a second one.
    #[must_use]
    pub fn verdict(&self) -> Option<(Verdict, Vec<ReplicaId>)> {
        let supporters = |answer: &Answer| self.answers.iter().filter(|(_, other)| other == answer).count();
        let (_, agreed) = self.answers.iter().find(|(_, answer)| supporters(answer) >= self.needed)?;
        let mut replicas: Vec<_> =
            self.answers.iter().filter(|(_, other)| other == agreed).map(|(id, _)| *id).collect();
        replicas.sort_unstable();
        let verdict = match agreed {
            Answer::Executed(reply) => Verdict::Executed(reply.clone()),
            Answer::Rejected(reason) => Verdict::Rejected(*reason),
        };
        Some((verdict, replicas))
    }

    /// Whether there is something to do: a verdict to take, or somebody busy to ask again. Most answers call for nothing.
    #[must_use]
    pub fn calls_for_action(&self) -> bool {
        !self.busy.is_empty() || self.verdict().is_some()
    }

    /// Replicas that have answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answers.len()
    }

    /// Whoever contradicts itself, the agreed answer or the limits, ascending.
    #[must_use]
    pub fn dissenters(&self) -> Vec<ReplicaId> {
        let agreed = self.verdict().map(|(_, replicas)| replicas);
        let others =
            self.answers.iter().map(|(id, _)| *id).filter(|id| agreed.as_ref().is_some_and(|ids| !ids.contains(id)));
        let mut all: Vec<_> = self.suspects.iter().copied().chain(others).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Who said `Busy` since the last call.
    pub fn take_busy(&mut self) -> Vec<ReplicaId> {
        std::mem::take(&mut self.busy)
    }

    fn count(&mut self, from: ReplicaId, answer: Answer) -> bool {
        match self.answers.iter().find(|(id, _)| *id == from) {
            None => {
                self.answers.push((from, answer));
                true
            }
            Some((_, first)) => {
                if *first != answer {
                    self.suspect(from);
                }
                false
            }
        }
    }

    fn suspect(&mut self, replica: ReplicaId) {
        if !self.suspects.contains(&replica) {
            self.suspects.push(replica);
        }
    }
}

#[cfg(test)]
mod tests;
