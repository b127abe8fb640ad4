//! Commands that wait for their order: admission, fairness, arming.
//!
//! Keyed by (client, sequence), not by bytes. Every client has its share, so nobody's flood takes another's place; a primary
//! serves its own clients and each backup in turn, and its own clients in turn among themselves, by what their commands take of a batch; what a backup hands on stays in its order. A backup arms at most `A` commands, and one
//! batch of them: those it has handed to the primary, and whose deadline it watches; the rest wait unarmed. The primary has places for as many, until it has proposed them.

use crate::client_table::{ClientTable, Outcome};
use crate::command::{Command, Identity};
use crate::config::{Config, WHOLE_BATCH};
use crate::effect::Ignored;
use crate::places::{Asked, Dues, Places};
use crate::turns::{FairQueue, Line, Queue, Turns};
use crate::types::{Millis, Sequence};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use varangian_crypto::{ClientKey, ReplicaId};

/// Where a command came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A client's own connection, or a batch that lost its slot.
    Client,
    /// A backup handed it on.
    Backup(ReplicaId),
}

/// What this replica does for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// Nothing yet.
    Waiting,
    /// A backup watches its deadline.
    Armed(Millis),
    /// The primary will put it into a batch.
    Ready,
    /// It is in a batch that has a slot.
    Proposed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    command: Command,
    source: Source,
    stage: Stage,
    /// What it takes of a batch.
    cost: u64,
    /// What it takes of what a backup may arm: places are as scarce there as room in a batch.
    arming: u64,
}

impl Entry {
    /// What a backup handed on has a place until it is proposed: the backup may execute it, and hand on the next, before this replica does.
    fn has_place(&self) -> bool {
        self.source == Source::Client || self.stage != Stage::Proposed
    }

    /// Neither armed nor proposed.
    const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Ready)
    }

    const fn asked(&self) -> Asked {
        let (client, bytes) = (self.command.client(), self.command.encoded().len());
        Asked { source: self.source, client, bytes, cost: self.cost }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pool {
    entries: BTreeMap<Identity, Entry>,
    places: Places,
    bytes: usize,
    waiting: FairQueue,
    deadlines: BTreeSet<(Millis, Identity)>,
    armed: Dues,
    ready: BTreeMap<Source, Queue>,
    sources: Turns<Source>,
    ready_bytes: usize,
    ready_operations: u64,
}

/// What a replica is to the commands that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It proposes them.
    Primary,
    /// It hands them on, or keeps them until there is a primary.
    Backup,
}

impl Pool {
    /// Admits a command. What clients brought, and was not proposed yet, a backup may speak for: then it has the backup's turn and place.
    ///
    /// # Errors
    /// [`Ignored::Duplicate`] if its identity is held; [`Ignored::Busy`] if its client's share, or its backup's, is used up. Then
    /// nothing changed.
    pub fn insert(&mut self, command: Command, source: Source, role: Role, config: &Config) -> Result<(), Ignored> {
        let identity = command.identity();
        let command = match self.entries.get(&identity) {
            Some(held) if source != Source::Client && held.source == Source::Client && held.is_open() => {
                held.command.clone()
            }
            Some(_) => return Err(Ignored::Duplicate),
            None => command,
        };
        let cost = config.share_of_batch(command.encoded().len(), command.operation_count().into());
        let arming = cost.max(WHOLE_BATCH / (config.armed as u64).max(1));
        let entry = Entry { command, source, stage: Stage::Waiting, cost, arming };
        if !self.places.have_room(&entry.asked(), config) {
            return Err(Ignored::Busy);
        }
        self.remove(&identity);
        self.bytes += entry.command.encoded().len();
        self.places.take(&entry.asked());
        self.entries.insert(identity, entry);
        self.enqueue(identity, role);
        Ok(())
    }

    /// The command of this identity, if it waits or is proposed.
    #[must_use]
    pub fn get(&self, identity: &Identity) -> Option<&Command> {
        self.entries.get(identity).map(|entry| &entry.command)
    }

    /// Forgets a command: its outcome is decided.
    pub fn remove(&mut self, identity: &Identity) {
        self.unstage(identity);
        if let Some(entry) = self.entries.remove(identity) {
            self.bytes -= entry.command.encoded().len();
            if entry.has_place() {
                self.places.leave(&entry.asked());
            }
        }
    }

    /// Forgets the commands of `client` up to `floor`: they are too old now, which is an outcome too.
    pub fn remove_old(&mut self, client: ClientKey, floor: Sequence) {
        let range = Identity { client, sequence: 0 }..=Identity { client, sequence: floor };
        let old: Vec<_> = self.entries.range(range).map(|(identity, _)| *identity).collect();
        for identity in &old {
            self.remove(identity);
        }
    }

    /// Forgets the commands of clients that are not admitted any more.
    pub fn remove_refused(&mut self, clients: &ClientTable) {
        let refused = |identity: &&Identity| clients.outcome(identity) == Outcome::Refused;
        let refused: Vec<_> = self.entries.keys().filter(refused).copied().collect();
        for identity in &refused {
            self.remove(identity);
        }
    }

    /// It stands in a batch that has a slot in this view: it is neither proposed again nor armed any less.
    pub fn mark_proposed(&mut self, identity: &Identity) {
        if self.entries.get(identity).is_some_and(|entry| entry.stage == Stage::Ready) {
            self.unstage(identity);
            self.set_stage(identity, Stage::Proposed);
            if let Some(entry) = self.entries.get(identity).filter(|entry| !entry.has_place()) {
                self.places.leave(&entry.asked());
            }
        }
    }

    /// A view begins or ends: every command is armed, or ready, anew. What backups handed on is for whom they handed it to: who does not lead
    /// forgets it, for they hand it on to the next one, and what they have left behind would take their places in a later view.
    pub fn restart(&mut self, role: Role) {
        if role == Role::Backup {
            let handed_on = self.entries.iter().filter(|(_, entry)| entry.source != Source::Client);
            let handed_on: Vec<_> = handed_on.map(|(identity, _)| *identity).collect();
            for identity in &handed_on {
                self.remove(identity);
            }
        }
        self.waiting = FairQueue::default();
        self.deadlines.clear();
        self.armed = Dues::default();
        self.ready.clear();
        self.sources = Turns::default();
        self.ready_bytes = 0;
        self.ready_operations = 0;
        let identities: Vec<_> = self.entries.keys().copied().collect();
        for identity in identities {
            if let Some(entry) = self.entries.get(&identity).filter(|entry| !entry.has_place()) {
                self.places.take(&entry.asked());
            }
            self.set_stage(&identity, Stage::Waiting);
            self.enqueue(identity, role);
        }
    }

    /// Arms the next command, if one waits and there is a place: the command to hand to the primary.
    pub fn arm(&mut self, deadline: Millis, config: &Config) -> Option<Command> {
        let (identity, _) = self.waiting.peek()?;
        let entry = self.entries.get_mut(&identity)?;
        if !self.armed.have_room(entry.cost, config) {
            self.waiting.hold();
            return None;
        }
        entry.stage = Stage::Armed(deadline);
        self.armed.add(entry.cost);
        self.deadlines.insert((deadline, identity));
        self.waiting.serve();
        Some(entry.command.clone())
    }

    /// The armed command with the earliest deadline.
    #[must_use]
    pub fn earliest(&self) -> Option<(Millis, Identity)> {
        self.deadlines.first().copied()
    }

    /// The armed commands with their deadlines, the earliest first.
    pub fn armed_commands(&self) -> impl Iterator<Item = (Millis, &Command)> {
        self.deadlines.iter().filter_map(|(deadline, identity)| Some((*deadline, &self.entries.get(identity)?.command)))
    }

    /// By when this command's order is due, if it is armed.
    #[must_use]
    pub fn deadline(&self, identity: &Identity) -> Option<Millis> {
        match self.entries.get(identity)?.stage {
            Stage::Armed(deadline) => Some(deadline),
            Stage::Waiting | Stage::Ready | Stage::Proposed => None,
        }
    }

    /// Whether this very command is still armed for this deadline.
    #[must_use]
    pub fn is_armed(&self, armed: &(Millis, Identity)) -> bool {
        self.deadlines.contains(armed)
    }

    /// Gives every armed command until `deadline`.
    pub fn extend(&mut self, deadline: Millis) {
        for (_, identity) in core::mem::take(&mut self.deadlines) {
            self.set_stage(&identity, Stage::Armed(deadline));
            self.deadlines.insert((deadline, identity));
        }
    }

    /// Whether a batch could be filled to its limits.
    #[must_use]
    pub const fn fills_a_batch(&self, config: &Config) -> bool {
        self.ready_bytes >= config.batch_bytes || self.ready_operations >= config.batch_operations
    }

    /// Takes the commands of the next batch, in fair order, within the limits.
    pub fn take_batch(&mut self, config: &Config) -> Vec<Command> {
        let mut batch = Vec::new();
        let (mut bytes, mut operations) = (0, 0);
        while let Some((source, identity, _)) = self.next_ready() {
            let Some(entry) = self.entries.get(&identity) else { break };
            let command = entry.command.clone();
            let full = bytes >= config.batch_bytes || operations >= config.batch_operations;
            bytes += command.encoded().len();
            operations += u64::from(command.operation_count());
            if bytes > config.batch_bytes || operations > config.batch_operations {
                // It opens the next one, whatever comes until then; where nothing had room any more, nobody was passed over.
                if !full {
                    self.sources.hold();
                    if let Some(queue) = self.ready.get_mut(&source) {
                        queue.hold();
                    }
                }
                break;
            }
            self.sources.serve(source);
            if let Some(queue) = self.ready.get_mut(&source) {
                queue.serve();
            }
            self.mark_proposed(&identity);
            batch.push(command);
        }
        batch
    }

    /// What the command that opens the next batch takes of it; `None` if there is nothing to propose.
    #[must_use]
    pub fn next_cost(&self) -> Option<u64> {
        self.next_ready().map(|(_, _, cost)| cost)
    }

    /// Commands held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no command is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Commands whose deadline is watched.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.deadlines.len()
    }

    /// Bytes of the commands held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn enqueue(&mut self, identity: Identity, role: Role) {
        let Some(entry) = self.entries.get_mut(&identity) else { return };
        match role {
            Role::Backup => self.waiting.push(identity, entry.arming),
            Role::Primary => {
                entry.stage = Stage::Ready;
                self.ready_bytes += entry.command.encoded().len();
                self.ready_operations += u64::from(entry.command.operation_count());
                let source = entry.source;
                let queue = self.ready.entry(source).or_insert_with(|| match source {
                    Source::Client => Queue::Clients(FairQueue::default()),
                    Source::Backup(_) => Queue::Backup(Line::default()),
                });
                queue.push(identity, entry.cost);
                self.settle(source);
            }
        }
    }

    /// After each change of what is ready of `source`: what it asks for next.
    fn settle(&mut self, source: Source) {
        match self.ready.get(&source).and_then(Queue::peek) {
            Some((_, cost)) => self.sources.wait(source, cost),
            None => {
                self.ready.remove(&source);
                self.sources.leave(source);
            }
        }
    }

    /// Takes it out of the queue of its stage.
    fn unstage(&mut self, identity: &Identity) {
        let Some(entry) = self.entries.get(identity) else { return };
        match entry.stage {
            Stage::Waiting => self.waiting.remove(identity),
            Stage::Armed(deadline) => {
                self.armed.subtract(entry.cost);
                self.deadlines.remove(&(deadline, *identity));
            }
            Stage::Ready => {
                self.ready_bytes -= entry.command.encoded().len();
                self.ready_operations -= u64::from(entry.command.operation_count());
                let source = entry.source;
                if let Some(queue) = self.ready.get_mut(&source) {
                    queue.remove(identity);
                }
                self.settle(source);
            }
            Stage::Proposed => {}
        }
    }

    fn set_stage(&mut self, identity: &Identity, stage: Stage) {
        if let Some(entry) = self.entries.get_mut(identity) {
            entry.stage = stage;
        }
    }

    /// Sources in turn, each source's clients in turn.
    fn next_ready(&self) -> Option<(Source, Identity, u64)> {
        let source = self.sources.next()?;
        self.ready.get(&source)?.peek().map(|(identity, cost)| (source, identity, cost))
    }
}
