//! The agreed log, replayed beside the replicas by an application and a client table of its own.

use super::invariant::{Held, Invariant, ensure};
use crate::cluster::disk::{Answer, ExecutedSlot, next_state};
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{Admission, Command, Identity, NULL_BATCH, Sequence, Slot, StableCheckpoint, Verdict, View};
use varangian_crypto::{ClientKey, Committee, Digest, ReplicaId, Verify, sha256};

/// A slot as it was first executed by anybody honest.
#[derive(Clone, Debug)]
struct Agreed {
    /// The lowest view that it is known to be decided in.
    view: View,
    digest: Digest,
    history: Digest,
    state: Digest,
    outcomes: Vec<(Identity, Outcome, Answer)>,
}

/// What a replay says of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Run,
    Duplicate,
    TooOld,
    Refused,
}

/// One client's sequences, as the protocol has it: those above the floor one by one.
#[derive(Clone, Debug, Default)]
struct Window {
    floor: Sequence,
    ran: BTreeSet<Sequence>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Log {
    slots: Vec<Agreed>,
    genesis: Digest,
    admission: Admission,
    width: u64,
    windows: BTreeMap<ClientKey, Window>,
    answers: BTreeMap<Identity, Answer>,
}

impl Log {
    /// Empty; the client table's rules are the genesis'.
    #[must_use]
    pub fn new(genesis: Digest, admission: Admission, width: u64) -> Self {
        Self { slots: Vec::new(), genesis, admission, width, windows: BTreeMap::new(), answers: BTreeMap::new() }
    }

    /// Honest `replica` executed `slot`. Whether it is the first to.
    ///
    /// # Errors
    /// [`Invariant::ValidCertificates`], [`Invariant::OneBatchPerSlot`], [`Invariant::EqualState`], [`Invariant::ExactlyOnce`],
    /// [`Invariant::SignedByItsClient`], [`Invariant::Contiguous`].
    pub fn executed(
        &mut self,
        replica: ReplicaId,
        slot: Slot,
        done: &ExecutedSlot,
        committee: &Committee,
    ) -> Result<bool, super::Violation> {
        let commit = done.certificate.statement;
        let body = done.batch.as_ref().map_or(NULL_BATCH, |batch| *batch.digest());
        ensure((commit.slot, commit.digest) == (slot, body), Invariant::ValidCertificates, || {
            format!("{replica} executed {body} in slot {slot} by a certificate for {commit:?}")
        })?;
        let new = slot.0 == self.slots.len() as u64 + 1;
        if new {
            let commands = done.batch.as_ref().map_or(&[][..], |batch| batch.commands());
            for command in commands {
                ensure(command.check(committee).is_ok(), Invariant::SignedByItsClient, || {
                    format!("{replica} executed a command in slot {slot} that its client did not sign: {command:?}")
                })?;
            }
            let agreed = self.replay(slot, commit.view, commit.digest, commands);
            self.slots.push(agreed);
        }
        let known = slot.0.checked_sub(1).and_then(|place| self.slots.get_mut(usize::try_from(place).ok()?));
        let Some(agreed) = known else {
            let text = format!("{replica} executed slot {slot} before anybody executed the one before it");
            return Err(super::Violation { invariant: Invariant::Contiguous, text });
        };
        ensure((agreed.digest, agreed.history) == (commit.digest, done.history), Invariant::OneBatchPerSlot, || {
            format!("FORK: {replica} executed {} in slot {slot}, another {}", commit.digest, agreed.digest)
        })?;
        let outcomes =
            done.answers.iter().map(|(identity, verdict, answer)| (*identity, outcome(verdict), answer.clone()));
        let outcomes: Vec<_> = outcomes.collect();
        ensure(outcomes == agreed.outcomes, Invariant::ExactlyOnce, || {
            format!("{replica} executed slot {slot} as {outcomes:?}, a replay says {:?}", agreed.outcomes)
        })?;
        ensure(agreed.state == done.state, Invariant::EqualState, || {
            format!("{replica} has state {} at slot {slot}, a replay has {}", done.state, agreed.state)
        })?;
        agreed.view = agreed.view.min(commit.view);
        Ok(new)
    }

    /// A stable checkpoint says what the log comes to.
    ///
    /// # Errors
    /// [`Invariant::EqualState`].
    pub fn stable(&self, replica: ReplicaId, certificate: &StableCheckpoint) -> Held {
        let said = certificate.statement;
        let known = self.agreed_at(said.slot).map(|agreed| (agreed.history, agreed.state));
        ensure(known == Some((said.history, said.state)), Invariant::EqualState, || {
            format!("the stable checkpoint {said:?} of {replica} is not what a replay comes to: {known:?}")
        })
    }

    /// Where a slot was first decided, and to what.
    #[must_use]
    pub fn decided(&self, slot: Slot) -> Option<(View, Digest)> {
        self.agreed_at(slot).map(|agreed| (agreed.view, agreed.digest))
    }

    /// What a command came to.
    #[must_use]
    pub fn answer(&self, identity: &Identity) -> Option<&Answer> {
        self.answers.get(identity)
    }

    /// Slots with their digests, in order.
    pub fn digests(&self) -> impl Iterator<Item = (Slot, Digest)> + '_ {
        (1..).map(Slot).zip(self.slots.iter().map(|agreed| agreed.digest))
    }

    /// The last slot that anybody honest executed.
    #[must_use]
    pub fn last(&self) -> Slot {
        Slot(self.slots.len() as u64)
    }

    fn agreed_at(&self, slot: Slot) -> Option<&Agreed> {
        self.slots.get(usize::try_from(slot.0.checked_sub(1)?).ok()?)
    }

    fn replay(&mut self, slot: Slot, view: View, digest: Digest, commands: &[Command]) -> Agreed {
        let before = self.slots.last();
        let history = before.map_or(self.genesis, |before| before.history);
        let mut state = before.map_or(Digest::ZERO, |before| before.state);
        let history = sha256("varangian history 1", &[history.as_bytes(), &slot.0.to_le_bytes(), digest.as_bytes()]);
        let mut outcomes = Vec::new();
        for command in commands {
            let identity = command.identity();
            let outcome = self.turn(&identity);
            let answer = match outcome {
                Outcome::Run => {
                    state = next_state(&state, command);
                    let answer = Answer { slot, result: Some(state) };
                    self.answers.insert(identity, answer.clone());
                    answer
                }
                Outcome::Duplicate => self.answers.get(&identity).cloned().unwrap_or(Answer { slot, result: None }),
                Outcome::TooOld | Outcome::Refused => Answer { slot, result: None },
            };
            outcomes.push((identity, outcome, answer));
        }
        Agreed { view, digest, history, state, outcomes }
    }

    fn turn(&mut self, identity: &Identity) -> Outcome {
        let known = self.windows.contains_key(&identity.client);
        let admitted = match &self.admission {
            Admission::List(keys) => keys.contains(&identity.client),
            Admission::Open(maximum) => known || self.windows.len() < *maximum,
        };
        if !admitted {
            return Outcome::Refused;
        }
        if identity.sequence == 0 {
            return Outcome::TooOld;
        }
        let window = self.windows.entry(identity.client).or_default();
        if identity.sequence <= window.floor {
            return Outcome::TooOld;
        }
        if !window.ran.insert(identity.sequence) {
            return Outcome::Duplicate;
        }
        window.floor = window.floor.max(identity.sequence.saturating_sub(self.width));
        Outcome::Run
    }
}

const fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Run { .. } => Outcome::Run,
        Verdict::Duplicate => Outcome::Duplicate,
        Verdict::TooOld => Outcome::TooOld,
        Verdict::Refused => Outcome::Refused,
    }
}
