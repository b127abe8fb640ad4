//! What happened at each key, as the clients tell it, in windows.

use crate::judge::claims::{Claim, Claims, Fate};
use std::collections::{BTreeMap, BTreeSet};
use varangian_application::OperationResult;
use varangian_application::kv::{Action, Answer, Key, KvError, Operation, Response, Transaction};
use varangian_consensus::Identity;
use varangian_crypto::decode;

/// Commands that are sent within a window, at most.
const COMMANDS: usize = 128;
/// Of these, so many are in the window after it too.
const OVERLAP: usize = 16;
/// Commands under way where a window begins, at most: the search tries every choice of those that ran before.
const STRADDLING: usize = 4;

/// What one command did at one key. It ran as a whole, so its operations there follow each other.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) command: Identity,
    pub(super) sent_ms: u64,
    /// `None`: it may have run or not.
    pub(super) done_ms: Option<u64>,
    pub(super) steps: Vec<Step>,
}

/// One operation, and what its client was told.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) told: Told,
}

/// What a client was told of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This came of it.
    Response(Response),
    /// The store refused it.
    Failed(KvError),
    /// It met a limit and changed nothing.
    Halted,
    /// Nothing.
    Nothing,
}

/// The keys' histories.
#[derive(Default)]
pub(super) struct Histories {
    keys: BTreeMap<Vec<u8>, Vec<Visit>>,
    transacted: BTreeSet<Vec<u8>>,
}

/// A part of a key's history that can be explained by itself, if the whole can.
#[derive(Clone, Debug)]
pub(super) struct Window<'a> {
    pub(super) key: &'a [u8],
    /// The place of its first command in the key's history; before 0 the key was absent.
    pub(super) from: usize,
    /// By when they were sent; those without an answer last.
    pub(super) visits: Vec<&'a Visit>,
    /// The first so many were under way when it began: they may have run before it.
    pub(super) straddling: usize,
    /// What was answered from here on counts as unanswered: every beginning of a history that can be explained can be.
    pub(super) until: Option<u64>,
    /// Operations that no window before it has looked at.
    pub(super) fresh: u64,
}

impl Step {
    /// A look at a key that is not there.
    pub(super) fn finds_nothing() -> Self {
        Self { action: Action::Get { key: Key::default() }, told: Told::Response(Response::Value(None)) }
    }
}

impl Histories {
    /// Of what clients say; before anything is known of the log.
    pub(super) fn new(claims: &Claims) -> Self {
        let mut histories = Self::default();
        for (identity, claim) in claims.iter() {
            if claim.fate != Fate::Rejected {
                histories.take(*identity, claim);
            }
        }
        let Self { keys, transacted } = &mut histories;
        keys.retain(|key, _| !transacted.contains(key));
        keys.values_mut().for_each(|visits| visits.sort_by_key(|visit| (visit.sent_ms, visit.command)));
        histories
    }

    fn take(&mut self, command: Identity, claim: &Claim) {
        let done_ms = match claim.fate {
            Fate::Acknowledged { done_ms, .. } => Some(done_ms),
            Fate::Rejected | Fate::Unknown => None,
        };
        let mut visits: BTreeMap<Vec<u8>, Vec<Step>> = BTreeMap::new();
        for (place, bytes) in claim.operations.iter().enumerate() {
            match decode(bytes) {
                Ok(Operation::Single(action)) => {
                    let told = claim.results.get(place).map_or(Told::Nothing, Told::new);
                    if let Some(key) = key(&action) {
                        visits.entry(key.to_vec()).or_default().push(Step { action, told });
                    }
                }
                Ok(Operation::Transaction(transaction)) => self.transacted.extend(keys(&transaction)),
                // The store takes it for no operation too.
                Err(_) => {}
            }
        }
        for (key, steps) in visits {
            self.keys.entry(key).or_default().push(Visit { command, sent_ms: claim.sent_ms, done_ms, steps });
        }
    }

    /// Operations in them that were answered.
    pub(super) fn operations(&self) -> u64 {
        self.keys.values().map(|visits| answered(visits.iter())).sum()
    }

    /// Keys that transactions touch.
    pub(super) fn left_out(&self) -> u64 {
        self.transacted.len() as u64
    }

    /// The windows of all keys.
    pub(super) fn windows(&self) -> impl Iterator<Item = Window<'_>> {
        self.keys.iter().flat_map(|(key, visits)| windows(key, visits))
    }
}

impl Told {
    fn new(result: &OperationResult) -> Self {
        let OperationResult::Done(answer) = result else { return Self::Halted };
        match decode(answer) {
            Ok(Answer::Single(response)) => Self::Response(response),
            Ok(Answer::Failed { error, .. }) => Self::Failed(error),
            // No answer to a single action, and no order explains it.
            Ok(Answer::Transaction { .. }) | Err(_) => Self::Failed(KvError::Malformed),
        }
    }
}

/// Cuts a key's history into windows that overlap. One begins where few commands are under way, and ends anywhere. Where there are too many
/// under way for long, what follows is not looked at.
fn windows<'a>(key: &'a [u8], history: &'a [Visit]) -> Vec<Window<'a>> {
    let (known, open): (Vec<&Visit>, Vec<_>) = history.iter().partition(|visit| visit.done_ms.is_some());
    let begins = begins(&known);
    let mut seen = vec![false; known.len()];
    let mut windows = Vec::new();
    let mut next = begins.iter().peekable();
    while let Some((from, straddling)) = next.next() {
        let to = known.len().min(from + COMMANDS);
        let until = known.get(to).map(|visit| visit.sent_ms);
        let sent = |visit: &&Visit| until.is_none_or(|until| visit.sent_ms < until);
        let done = |visit: &&Visit| visit.done_ms.is_some_and(|done| until.is_none_or(|until| done < until));
        let visits = straddling.iter().chain(&known[*from..to]).chain(&open).copied().filter(sent).collect();
        let mut fresh = 0;
        for (visit, seen) in known[*from..to].iter().zip(&mut seen[*from..to]).filter(|(visit, _)| done(visit)) {
            fresh += if *seen { 0 } else { visit.steps.len() as u64 };
            *seen = true;
        }
        windows.push(Window { key, from: *from, visits, straddling: straddling.len(), until, fresh });
        if to == known.len() {
            break;
        }
        // From where nothing was missed, and a little before: it says what the key held.
        let missed = seen.iter().position(|seen| !seen).unwrap_or(to);
        let late = missed.min(to.saturating_sub(OVERLAP));
        let mut after = next.clone();
        while after.next().is_some() && after.peek().is_some_and(|(place, _)| *place <= late) {
            next = after.clone();
        }
    }
    windows
}

/// Where windows may begin, and which commands are under way there: sent before, and not answered before.
fn begins<'a>(known: &[&'a Visit]) -> Vec<(usize, Vec<&'a Visit>)> {
    let mut begins = Vec::new();
    let mut under_way: Vec<&Visit> = Vec::new();
    for (place, visit) in known.iter().enumerate() {
        under_way.retain(|earlier| earlier.done_ms >= Some(visit.sent_ms));
        if under_way.len() <= STRADDLING {
            begins.push((place, under_way.clone()));
        }
        under_way.push(visit);
    }
    begins
}

fn answered<'a>(visits: impl Iterator<Item = &'a Visit>) -> u64 {
    visits.filter(|visit| visit.done_ms.is_some()).map(|visit| visit.steps.len() as u64).sum()
}

impl Window<'_> {
    /// As far as it was answered before `until`.
    pub(super) fn cut(&self, until: u64) -> Self {
        let visits = self.visits.iter().copied().filter(|visit| visit.sent_ms < until).collect();
        Self { visits, until: Some(until), ..self.clone() }
    }

    /// When commands in it were answered, and which, in this order.
    pub(super) fn ends(&self) -> Vec<(u64, Identity)> {
        let answered = |visit: &&Visit| visit.done_ms.filter(|done| self.until.is_none_or(|until| *done < until));
        let mut ends: Vec<_> = self.visits.iter().filter_map(|visit| Some((answered(visit)?, visit.command))).collect();
        ends.sort_unstable();
        ends
    }
}

/// The key of an action; a scan has none.
fn key(action: &Action) -> Option<&[u8]> {
    match action {
        Action::Get { key }
        | Action::Put { key, .. }
        | Action::Delete { key }
        | Action::CompareAndSwap { key, .. }
        | Action::Add { key, .. } => Some(key),
        Action::Scan { .. } => None,
    }
}

/// Every key that a transaction names.
fn keys(transaction: &Transaction) -> impl Iterator<Item = Vec<u8>> {
    let actions = transaction.then.iter().chain(transaction.otherwise.iter()).filter_map(key);
    let conditions = transaction.conditions.iter().map(|condition| &*condition.key);
    actions.chain(conditions).map(<[u8]>::to_vec)
}
