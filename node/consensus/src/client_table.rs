//! Exactly-once: which sequences of which clients have had their turn.
//!
//! The table is replicated state: it changes only when a decided slot is executed, so every replica has the same at the same
//! slot. A sequence inside the window runs at most once, in any order; one above the window slides it, so a skipped number never
//! jams a client; one at or below the floor is `TooOld`, and whether it ever ran is no longer known.

use crate::command::Identity;
use crate::config::Admission;
use crate::types::Sequence;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Bounded, ClientKey};

/// Words of the largest window that a genesis may ask for.
const MAX_WORDS: usize = 64;

/// One client's window `(floor, floor + W]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct ClientWindow {
    floor: Sequence,
    executed: Bounded<u64, MAX_WORDS>,
}

/// What exactly-once says about a command at its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It runs. Replies of this client at or below `floor` may be forgotten.
    Run {
        /// The client's floor after this command.
        floor: Sequence,
    },
    /// It ran before: the original reply stands.
    Duplicate,
    /// Below the window.
    TooOld,
    /// The genesis does not admit the client, or admits no more.
    Refused,
}

/// What is known of an identity before its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its turn has not come.
    None,
    /// It ran.
    Executed,
    /// Below the window.
    TooOld,
    /// It would be refused.
    Refused,
}

/// All clients' windows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientTable {
    admission: Admission,
    width: u64,
    clients: BTreeMap<ClientKey, ClientWindow>,
}

impl ClientWindow {
    fn new(width: u64) -> Self {
        let words = vec![0; width.div_ceil(64) as usize];
        Self { floor: 0, executed: Bounded::try_from(words).unwrap_or_default() }
    }

    /// Sequences at or below this are too old.
    #[must_use]
    pub const fn floor(&self) -> Sequence {
        self.floor
    }

    /// The bit of a sequence above the floor. Positions go round, so that sliding moves nothing.
    fn place(&self, sequence: Sequence) -> (usize, u64) {
        let bits = self.executed.len() as u64 * 64;
        let position = sequence % bits.max(1);
        ((position / 64) as usize, 1 << (position % 64))
    }

    fn is_set(&self, sequence: Sequence) -> bool {
        let (word, bit) = self.place(sequence);
        self.executed.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn put(&mut self, sequence: Sequence, executed: bool) {
        let (word, bit) = self.place(sequence);
        if let Some(bits) = self.executed.get_mut(word) {
            if executed { *bits |= bit } else { *bits &= !bit }
        }
    }

    /// Whether `sequence`, in the window or above it, has had its turn; `None` below.
    fn executed(&self, sequence: Sequence, width: u64) -> Option<bool> {
        if sequence <= self.floor { None } else { Some(sequence - self.floor <= width && self.is_set(sequence)) }
    }

    /// Gives `sequence`, above the floor, its turn, sliding the window if it must.
    fn mark(&mut self, sequence: Sequence, width: u64) {
        let floor = sequence.saturating_sub(width);
        if floor > self.floor {
            // The numbers that enter the window take over the bits of those that leave it.
            let entered = (floor - self.floor).min(self.executed.len() as u64 * 64);
            for offset in 0..entered {
                self.put(sequence - offset, false);
            }
            self.floor = floor;
        }
        self.put(sequence, true);
    }
}

impl ClientTable {
    /// As it was when the last executed slot was written.
    pub fn new(admission: Admission, width: u64, windows: impl IntoIterator<Item = (ClientKey, ClientWindow)>) -> Self {
        let windows = windows.into_iter().filter(|_| !seeded(Bug::DedupForgotten));
        Self { admission, width, clients: windows.collect() }
    }

    /// What is known of a command before its turn.
    #[must_use]
    pub fn outcome(&self, identity: &Identity) -> Outcome {
        match self.clients.get(&identity.client).map(|window| window.executed(identity.sequence, self.width)) {
            Some(Some(true)) if seeded(Bug::NoDedup) => Outcome::None,
            Some(Some(true)) => Outcome::Executed,
            Some(Some(false)) => Outcome::None,
            Some(None) => Outcome::TooOld,
            None if !self.admits(&identity.client) => Outcome::Refused,
            None if identity.sequence == 0 => Outcome::TooOld,
            None => Outcome::None,
        }
    }

    /// Gives a command its turn and says what comes of it. Deterministic: the same slots in the same order give the same table.
    pub fn turn(&mut self, identity: &Identity) -> Verdict {
        match self.outcome(identity) {
            Outcome::Executed => Verdict::Duplicate,
            Outcome::TooOld => Verdict::TooOld,
            Outcome::Refused => Verdict::Refused,
            Outcome::None => {
                let width = self.width;
                let window = self.clients.entry(identity.client).or_insert_with(|| ClientWindow::new(width));
                window.mark(identity.sequence, width);
                Verdict::Run { floor: window.floor }
            }
        }
    }

    /// The rows of these clients, each once, in order of key.
    #[must_use]
    pub fn rows(&self, mut clients: Vec<ClientKey>) -> Vec<(ClientKey, ClientWindow)> {
        clients.sort_unstable();
        clients.dedup();
        clients
            .into_iter()
            .filter_map(|client| self.clients.get(&client).map(|window| (client, window.clone())))
            .collect()
    }

    /// Whether an open admission has no place left: all other clients' commands are refused from now on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.admission, Admission::Open(maximum) if self.clients.len() >= maximum)
    }

    fn admits(&self, client: &ClientKey) -> bool {
        match &self.admission {
            Admission::List(keys) => keys.contains(client),
            Admission::Open(maximum) => self.clients.contains_key(client) || self.clients.len() < *maximum,
        }
    }
}
