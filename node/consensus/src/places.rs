//! Places in the pool: what each client and each backup may have there at once.
//!
//! A client has its share, and one command whatever the others hold. A backup has what it may arm: at most `A` commands, and one batch of them. All of that is due within
//! one time-out, so it must not be more than a primary can order in a few batches.

use crate::config::{Config, WHOLE_BATCH};
use crate::pool::Source;
use alloc::collections::BTreeMap;
use varangian_crypto::{ClientKey, ReplicaId};

/// What a command takes of memory beside its bytes: keys, digests, its places in maps and queues.
const OVERHEAD: usize = 512;

/// What a command asks of a place.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Where it came from.
    pub source: Source,
    /// Whose it is.
    pub client: ClientKey,
    /// Its bytes.
    pub bytes: usize,
    /// What it takes of a batch.
    pub cost: u64,
}

/// Commands whose order one backup is waiting for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dues {
    commands: usize,
    cost: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Places {
    /// Commands of each client that came from itself.
    clients: BTreeMap<ClientKey, usize>,
    /// What clients' commands take of memory. A backup's places are its own, however much that is.
    room: usize,
    backups: BTreeMap<ReplicaId, Dues>,
}

impl Dues {
    /// Whether one more may wait, which takes so much of a batch. One always may.
    #[must_use]
    pub const fn have_room(&self, cost: u64, config: &Config) -> bool {
        self.commands == 0 || (self.commands < config.armed && self.cost.saturating_add(cost) <= WHOLE_BATCH)
    }

    /// One more waits.
    pub const fn add(&mut self, cost: u64) {
        self.commands += 1;
        self.cost += cost;
    }

    /// One of them waits no more.
    pub const fn subtract(&mut self, cost: u64) {
        self.commands -= 1;
        self.cost -= cost;
    }
}

impl Places {
    /// Whether there is one.
    #[must_use]
    pub fn have_room(&self, asked: &Asked, config: &Config) -> bool {
        match asked.source {
            Source::Client => {
                let held = self.clients.get(&asked.client).copied().unwrap_or(0);
                let crowded = self.room.saturating_add(asked.bytes + OVERHEAD) > config.pool_bytes;
                // For each client that may be admitted, and no more: keys cost nothing.
                let known = held > 0 || self.clients.len() < config.admission.maximum();
                known && held < config.pool_commands && (held == 0 || !crowded)
            }
            Source::Backup(backup) => {
                self.backups.get(&backup).copied().unwrap_or_default().have_room(asked.cost, config)
            }
        }
    }

    /// It is taken.
    pub fn take(&mut self, asked: &Asked) {
        match asked.source {
            Source::Client => {
                *self.clients.entry(asked.client).or_default() += 1;
                self.room += asked.bytes + OVERHEAD;
            }
            Source::Backup(backup) => self.backups.entry(backup).or_default().add(asked.cost),
        }
    }

    /// It is free again.
    pub fn leave(&mut self, asked: &Asked) {
        match asked.source {
            Source::Client => {
                self.room -= asked.bytes + OVERHEAD;
                if let Some(count) = self.clients.get_mut(&asked.client) {
                    *count -= 1;
                    if *count == 0 {
                        self.clients.remove(&asked.client);
                    }
                }
            }
            Source::Backup(backup) => {
                if let Some(dues) = self.backups.get_mut(&backup) {
                    dues.subtract(asked.cost);
                }
            }
        }
    }
}
