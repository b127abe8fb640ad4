//! What the clients say was asked and answered, and what the log did about it.
//!
//! The order, the counts and the sums here are kept by hand, without the client table and the executor: a mistake in those must show.

use super::finding::{Finding, Findings};
use crate::journal::{ClientJournal, Entry, Outcome};
use crate::menace::keeps_to_its_keys;
use std::collections::{BTreeMap, BTreeSet};
use varangian_application::OperationResult;
use varangian_application::kv::{Action, Answer, Operation, Response};
use varangian_consensus::{Command, Identity, Slot};
use varangian_crypto::{ClientKey, decode};

/// A place in the agreed order: the slot, and the command in its batch.
pub(super) type Place = (Slot, usize);

/// One command of a client.
pub(super) struct Claim {
    /// When it was first sent.
    pub(super) sent_ms: u64,
    /// Its operations, encoded.
    pub(super) operations: Vec<Vec<u8>>,
    /// What its client learnt of it.
    pub(super) fate: Fate,
    /// Where it ran first.
    pub(super) ran: Option<Place>,
    /// What its operations answered: by the client if it was acknowledged, else by the replay, once that has run it.
    pub(super) results: Vec<OperationResult>,
}

/// What a client learnt of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It ran, in this slot; known since then.
    Acknowledged { done_ms: u64, slot: Slot },
    /// It never ran.
    Rejected,
    /// Nothing.
    Unknown,
}

/// The commands of all clients.
pub(super) struct Claims {
    commands: BTreeMap<Identity, Claim>,
    /// Who keeps a journal.
    clients: BTreeSet<ClientKey>,
    /// Commands of menaces, which keep none, and where they ran.
    menaces: BTreeMap<Identity, Slot>,
    /// Nobody's journal is known: any command may have been sent.
    unknown: bool,
}

/// What was done to the keys of counters.
#[derive(Default)]
pub(super) struct Sums {
    /// What was added, by key.
    pub(super) added: BTreeMap<Vec<u8>, i128>,
    /// Keys that were written otherwise.
    pub(super) overwritten: BTreeSet<Vec<u8>>,
}

impl Claims {
    pub(super) fn new(journals: Vec<ClientJournal>) -> Self {
        let clients = journals.iter().map(|journal| journal.client).collect();
        let commands = journals.into_iter().flat_map(|ClientJournal { client, commands, .. }| {
            commands.into_iter().map(move |(sequence, entry)| (Identity { client, sequence }, Claim::new(entry)))
        });
        Self { commands: commands.collect(), clients, menaces: BTreeMap::new(), unknown: false }
    }

    /// Where nobody's journal is known: whatever the log runs may have been sent. It may run once all the same.
    pub(super) const fn unknown() -> Self {
        Self { commands: BTreeMap::new(), clients: BTreeSet::new(), menaces: BTreeMap::new(), unknown: true }
    }

    /// Commands that ran and are in no journal.
    pub(super) fn unclaimed(&self) -> usize {
        self.menaces.len()
    }

    /// In the order of clients and sequences.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Identity, &Claim)> {
        self.commands.iter()
    }

    #[cfg(test)]
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Identity, &mut Claim)> {
        self.commands.iter_mut()
    }

    /// Commands whose clients know that they ran, with when they knew.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (u64, &Claim)> {
        self.acknowledged_by().map(|(_, done_ms, claim)| (done_ms, claim))
    }

    /// The same, with whose they are.
    pub(super) fn acknowledged_by(&self) -> impl Iterator<Item = (ClientKey, u64, &Claim)> {
        self.commands.iter().filter_map(|(identity, claim)| match claim.fate {
            Fate::Acknowledged { done_ms, .. } => Some((identity.client, done_ms, claim)),
            Fate::Rejected | Fate::Unknown => None,
        })
    }

    /// The log ran a command: once, as it was sent, where and with what its client was told.
    pub(super) fn ran(
        &mut self,
        command: &Command,
        place: Place,
        results: &[OperationResult],
        findings: &mut Findings,
    ) {
        let (identity, slot) = (command.identity(), place.0);
        let Some(claim) = self.commands.get_mut(&identity) else {
            return self.menace_ran(command, slot, findings);
        };
        if let Some((first, _)) = claim.ran {
            return findings.push(Finding::RanTwice { command: identity, first, again: slot });
        }
        claim.ran = Some(place);
        if !command.operations().eq(claim.operations.iter().map(Vec::as_slice)) {
            findings.push(Finding::OtherOperations { command: identity, slot });
        }
        match claim.fate {
            Fate::Acknowledged { slot: acknowledged, .. } => {
                if acknowledged != slot {
                    findings.push(Finding::WrongSlot { command: identity, acknowledged, ran: slot });
                }
                if claim.results != results {
                    findings.push(Finding::WrongResults { command: identity, slot });
                }
            }
            Fate::Rejected => findings.push(Finding::RejectedRan { command: identity, slot }),
            Fate::Unknown => claim.results = results.to_vec(),
        }
    }

    /// A command that is in no journal ran. A menace's may: of a client without a journal, on keys that no honest client touches. Once, like all.
    fn menace_ran(&mut self, command: &Command, slot: Slot, findings: &mut Findings) {
        let identity = command.identity();
        if !self.unknown && (self.clients.contains(&identity.client) || !keeps_to_its_keys(command)) {
            findings.push(Finding::NobodySent { command: identity, slot });
        } else if let Some(first) = self.menaces.insert(identity, slot) {
            findings.push(Finding::RanTwice { command: identity, first, again: slot });
        }
    }

    /// The whole log has run: what was acknowledged must be in it.
    pub(super) fn all_ran(&self, findings: &mut Findings) {
        for (identity, claim) in &self.commands {
            if let (Fate::Acknowledged { slot, .. }, None) = (claim.fate, claim.ran) {
                findings.push(Finding::Missing { command: *identity, slot });
            }
        }
    }

    /// Real time: what was acknowledged before another command was sent has run before it.
    pub(super) fn in_order(&self, findings: &mut Findings) {
        let placed = || self.commands.iter().filter_map(|(identity, claim)| Some((claim.ran?, identity, claim)));
        let mut sent: Vec<_> = placed().map(|(place, identity, claim)| (claim.sent_ms, place, identity)).collect();
        let mut done: Vec<_> = placed()
            .filter_map(|(place, identity, claim)| match claim.fate {
                Fate::Acknowledged { done_ms, .. } => Some((done_ms, place, identity)),
                Fate::Rejected | Fate::Unknown => None,
            })
            .collect();
        sent.sort_unstable();
        done.sort_unstable();
        let mut done = done.into_iter().peekable();
        let mut latest: Option<(Place, &Identity)> = None;
        for (sent_ms, place, identity) in sent {
            while let Some((_, place, identity)) = done.next_if(|(done_ms, _, _)| *done_ms < sent_ms) {
                latest = latest.max(Some((place, identity)));
            }
            if let Some((_, earlier)) = latest.filter(|(latest, _)| *latest > place) {
                findings.push(Finding::Order { earlier: *earlier, later: *identity });
            }
        }
    }

    /// What the commands that were acknowledged, or ran without that, did to counters.
    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for claim in self.commands.values() {
            for (operation, result) in claim.operations.iter().zip(&claim.results) {
                sums.note(operation, result);
            }
        }
        sums
    }
}

impl Claim {
    fn new(Entry { sent_ms, operations, end }: Entry) -> Self {
        let (fate, results) = match end {
            Some((done_ms, Outcome::Committed { slot, results })) => {
                (Fate::Acknowledged { done_ms, slot: Slot(slot) }, results)
            }
            Some((_, Outcome::Rejected { .. })) => (Fate::Rejected, Vec::new()),
            Some((_, Outcome::Unknown)) | None => (Fate::Unknown, Vec::new()),
        };
        Self { sent_ms, operations, fate, ran: None, results }
    }
}

impl Sums {
    fn note(&mut self, operation: &[u8], result: &OperationResult) {
        let OperationResult::Done(answer) = result else { return };
        match (decode(operation), decode(answer)) {
            (Ok(Operation::Single(action)), Ok(Answer::Single(response))) => self.act(action, &response),
            (Ok(Operation::Transaction(transaction)), Ok(Answer::Transaction { held, responses })) => {
                let actions = if held { transaction.then } else { transaction.otherwise };
                for (action, response) in actions.into_iter().zip(&responses) {
                    self.act(action, response);
                }
            }
            // It failed, so it changed nothing.
            _ => {}
        }
    }

    fn act(&mut self, action: Action, response: &Response) {
        match (action, response) {
            (Action::Add { key, delta }, Response::Counter(_)) => {
                *self.added.entry(key.to_vec()).or_default() += i128::from(delta);
            }
            (Action::Put { key, .. }, _)
            | (Action::Delete { key }, _)
            | (Action::CompareAndSwap { key, .. }, Response::Swapped) => {
                self.overwritten.insert(key.to_vec());
            }
            _ => {}
        }
    }
}
