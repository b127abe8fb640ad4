//! What a [`RetellingPrimary`](super::retelling_primary::RetellingPrimary) makes of a batch of its core.

use super::hand::Hand;
use std::collections::VecDeque;
use std::sync::Arc;
use varangian_consensus::{Batch, Command, NULL_BATCH, Record, Slot};
use varangian_crypto::{ClientKey, Digest};

/// The place of the signature in a command's bytes.
const SIGNATURE_AT: usize = 40;
/// Slots that starved clients wait.
const LATER: u64 = 16;
/// Commands that are kept back at most.
const KEPT: usize = 256;
/// Further than any window will ever reach.
const FAR: u64 = 1 << 40;

/// How a batch is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Telling {
    /// The same commands in the opposite order; a single one behind a [`Spare`].
    Reordered,
    /// Another batch: without its last command; where that was the only one, the last batch again.
    Other,
    /// Without the commands of one client: that of the first command that it ever proposes. A batch that has no others is told as the last one again.
    Censored,
    /// Commands of one client, that of the first command that it ever proposes, at once; those of the others sixteen slots later.
    Starved,
    /// One command, the one that has waited longest.
    Single,
    /// Behind the commands of the last batch.
    Repeated,
    /// Every command twice.
    Twice,
    /// The first command's signature is not its client's.
    Unsigned,
    /// More than a batch may hold.
    Huge,
    /// In a slot that no window reaches.
    FarAway,
    /// As the null batch, which only a NEW-VIEW may carry.
    Null,
}

/// A story: what is pre-prepared where, and its body.
#[derive(Clone, Debug)]
pub struct Told {
    pub(super) slot: Slot,
    pub(super) digest: Digest,
    pub(super) batch: Option<Arc<Batch>>,
}

/// A command that all know and that changes nothing: the first that was proposed alone. No batch names a command twice, so a single command makes another batch only
/// together with one that has been ordered. Accomplices come to the same one by themselves.
#[derive(Debug, Default)]
pub struct Spare(Option<Command>);

/// Retells batches.
#[derive(Debug)]
pub struct Teller {
    telling: Telling,
    victim: Option<ClientKey>,
    spare: Spare,
    /// The last batch that was told.
    last: Option<Arc<Batch>>,
    /// Commands that were left out, and the slot from which on they are told.
    kept: VecDeque<(Slot, Command)>,
}

impl Teller {
    /// In this manner.
    #[must_use]
    pub const fn new(telling: Telling) -> Self {
        Self { telling, victim: None, spare: Spare(None), last: None, kept: VecDeque::new() }
    }

    /// What its core keeps.
    pub fn see(&mut self, records: &[Record]) {
        self.spare.see(records);
    }

    /// Another story of this proposal; `None` where there is none.
    pub fn retell(&mut self, hand: &Hand, slot: Slot, batch: &Arc<Batch>) -> Option<Told> {
        let told = match self.telling {
            Telling::FarAway => {
                return Some(Told { slot: slot.plus(FAR), digest: *batch.digest(), batch: Some(batch.clone()) });
            }
            Telling::Null => return Some(Told { slot, digest: NULL_BATCH, batch: None }),
            Telling::Reordered => self.spare.reordered(batch).filter(|told| fits(hand, told)),
            Telling::Other => self.other(batch),
            Telling::Censored => self.censored(batch),
            Telling::Starved => self.starved(hand, slot, batch),
            Telling::Single => self.single(batch),
            Telling::Repeated => self.repeated(hand, batch),
            Telling::Twice => Batch::new(batch.commands().iter().chain(batch.commands()).cloned().collect()),
            Telling::Unsigned => unsigned(batch),
            Telling::Huge => huge(hand, batch),
        };
        let told = told.map(Arc::new).filter(|told| told.digest() != batch.digest());
        self.last = Some(told.clone().unwrap_or_else(|| batch.clone()));
        told.map(|batch| Told { slot, digest: *batch.digest(), batch: Some(batch) })
    }

    fn censored(&mut self, batch: &Batch) -> Option<Batch> {
        let first = batch.commands().first().map(Command::client)?;
        let Some(victim) = self.victim else {
            self.victim = Some(first);
            return None;
        };
        let others = batch.commands().iter().filter(|command| command.client() != victim).cloned().collect();
        Batch::new(others).or_else(|| self.last.as_deref().cloned())
    }

    fn starved(&mut self, hand: &Hand, slot: Slot, batch: &Batch) -> Option<Batch> {
        let favourite = *self.victim.get_or_insert(batch.commands().first()?.client());
        let (mut told, others): (Vec<_>, Vec<_>) =
            batch.commands().iter().cloned().partition(|command| command.client() == favourite);
        self.kept.extend(others.into_iter().map(|command| (slot.plus(LATER), command)));
        while self.kept.front().is_some_and(|(due, _)| *due <= slot || told.is_empty() || self.kept.len() > KEPT) {
            told.extend(self.kept.pop_front().map(|(_, command)| command));
            if Batch::new(told.clone()).is_none_or(|told| !fits(hand, &told)) {
                self.kept.extend(told.pop().map(|command| (slot, command)));
                break;
            }
        }
        Batch::new(told)
    }

    fn single(&mut self, batch: &Batch) -> Option<Batch> {
        self.kept.extend(batch.commands().iter().map(|command| (Slot::GENESIS, command.clone())));
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
        Batch::new(self.kept.pop_front().map(|(_, command)| command).into_iter().collect())
    }

    fn repeated(&self, hand: &Hand, batch: &Batch) -> Option<Batch> {
        let is_new = |command: &&Command| batch.commands().iter().all(|one| one.identity() != command.identity());
        let before = self.last.iter().flat_map(|last| last.commands()).filter(is_new).take(8);
        Batch::new(before.chain(batch.commands()).cloned().collect()).filter(|told| fits(hand, told))
    }

    fn other(&self, batch: &Batch) -> Option<Batch> {
        let (_, front) = batch.commands().split_last()?;
        Batch::new(front.to_vec()).or_else(|| self.last.as_deref().cloned())
    }
}

impl Spare {
    /// What the core keeps.
    pub fn see(&mut self, records: &[Record]) {
        let single = |record: &Record| match record {
            Record::Batch { batch, .. } => batch.commands().first().filter(|_| batch.commands().len() == 1).cloned(),
            _ => None,
        };
        self.0 = self.0.take().or_else(|| records.iter().find_map(single));
    }

    /// The same commands as another batch. Told again it is the first one: so whoever knows either story knows both.
    #[must_use]
    pub fn reordered(&self, batch: &Batch) -> Option<Batch> {
        let mut commands = batch.commands().to_vec();
        commands.reverse();
        match (commands.as_slice(), &self.0) {
            ([only], Some(spare)) if only.identity() != spare.identity() => commands.insert(0, spare.clone()),
            ([_], _) => return None,
            ([only, first], Some(spare)) if first == spare => commands = vec![only.clone()],
            _ => {}
        }
        Batch::new(commands)
    }
}

fn fits(hand: &Hand, batch: &Batch) -> bool {
    hand.fits(batch.encoded().len() as u64, batch.operation_count())
}

fn unsigned(batch: &Batch) -> Option<Batch> {
    let (first, rest) = batch.commands().split_first()?;
    let mut bytes = first.encoded().to_vec();
    if let Some(byte) = bytes.get_mut(SIGNATURE_AT) {
        *byte ^= 1;
    }
    let forged = Command::decode(bytes.into()).ok()?;
    Batch::new([forged].into_iter().chain(rest.iter().cloned()).collect())
}

fn huge(hand: &Hand, batch: &Batch) -> Option<Batch> {
    let (mut bytes, mut operations, mut commands) = (0_u64, 0_u64, Vec::new());
    for command in batch.commands().iter().cycle() {
        bytes = bytes.saturating_add(command.encoded().len() as u64);
        operations = operations.saturating_add(command.operation_count().into());
        commands.push(command.clone());
        if !hand.fits(bytes, operations) {
            break;
        }
    }
    Batch::new(commands)
}
