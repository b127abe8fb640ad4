//! Large commands that wait here, and who else is known to have which: with it a large command need travel to each replica once only
//! (see [`varangian_consensus::wire`]).
//!
//! It holds what the pool took, and shares its bytes, until they have run. Nobody may rely on it: what is not here travels whole.

use crate::recent::Recent;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use varangian_consensus::wire::LARGE;
use varangian_consensus::{Batch, Command, Name, Part};
use varangian_crypto::{Parameters, ReplicaId};
use varangian_net::{Bucket, Rate};

/// Names of one peer that are remembered at most, of what it has and of what it was offered.
const NAMES: usize = 4096;
/// What may be put together for one peer out of names, in KiB: to name a command is cheaper than to copy it.
const NAMED: Rate = Rate { burst: 64 << 10, per_second: 64 << 10 };

/// See the module.
#[derive(Debug)]
pub struct Shelf {
    max_batch_bytes: usize,
    held: Mutex<Recent<Command>>,
    peers: Box<[Mutex<Peer>]>,
}

#[derive(Debug)]
struct Peer {
    has: Recent<()>,
    /// What it was offered and has not asked for.
    offered: Recent<()>,
    named: Bucket,
}

impl Shelf {
    /// For `n` replicas. It holds as much as the pool.
    #[must_use]
    pub fn new(n: usize, parameters: &Parameters) -> Self {
        let limit = usize::try_from(parameters.pool_bytes).unwrap_or(usize::MAX);
        let names = (limit / LARGE).min(NAMES);
        let peer = || Peer { has: Recent::new(names), offered: Recent::new(names), named: Bucket::default() };
        Self {
            max_batch_bytes: parameters.max_batch_bytes as usize,
            held: Mutex::new(Recent::new(limit)),
            peers: (0..n).map(|_| Mutex::new(peer())).collect(),
        }
    }

    /// Holds a command; whether that is news.
    pub fn keep(&self, command: &Command) -> bool {
        lock(&self.held).insert(Name::of(command), command.encoded().len(), command.clone())
    }

    /// This one runs: whoever still wants it wants the slot.
    pub fn forget(&self, name: &Name) {
        lock(&self.held).remove(name);
        for peer in &self.peers {
            let mut peer = lock(peer);
            peer.has.remove(name);
            peer.offered.remove(name);
        }
    }

    /// The command of this name, if it is held.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<Command> {
        lock(&self.held).get(name).cloned()
    }

    /// `peer` says that it has this one.
    pub fn heard(&self, peer: ReplicaId, name: Name) {
        if let Some(mut peer) = self.peer(peer) {
            peer.has.insert(name, 1, ());
        }
    }

    /// `peer` is gone: whoever comes back may have been started again, with nothing.
    pub fn left(&self, peer: ReplicaId) {
        if let Some(mut peer) = self.peer(peer) {
            peer.has.clear();
            peer.offered.clear();
        }
    }

    /// Whether `peer` said so.
    #[must_use]
    pub fn has(&self, peer: ReplicaId, name: &Name) -> bool {
        self.peer(peer).is_some_and(|peer| peer.has.contains(name))
    }

    /// `peer` is offered this command, and may ask for it once.
    pub fn offer(&self, peer: ReplicaId, name: Name) {
        if let Some(mut peer) = self.peer(peer) {
            peer.offered.insert(name, 1, ());
        }
    }

    /// What `peer` asks for, if it was offered that and it is held.
    #[must_use]
    pub fn wanted(&self, peer: ReplicaId, name: &Name) -> Option<Command> {
        self.peer(peer)?.offered.remove(name)?;
        self.get(name)
    }

    /// The body of these parts, which `peer` sent; none if a command is not here, if it would be none, or if so much was put together for this peer lately that the rest is to come whole.
    #[must_use]
    pub fn put_together(&self, peer: ReplicaId, parts: Vec<Part>, now: Instant) -> Option<Batch> {
        let mut commands = Vec::with_capacity(parts.len());
        let (mut bytes, mut named) = (0, 0);
        for part in parts {
            let command = match part {
                Part::Whole(command) => command,
                Part::Named(name) => {
                    let command = self.get(&name)?;
                    named += command.encoded().len();
                    command
                }
            };
            bytes += command.encoded().len();
            if bytes > self.max_batch_bytes {
                return None;
            }
            commands.push(command);
        }
        let named = u32::try_from(named.div_ceil(1024)).unwrap_or(u32::MAX);
        if !self.peer(peer)?.named.take(&NAMED, named, now) {
            return None;
        }
        Batch::new(commands)
    }

    fn peer(&self, peer: ReplicaId) -> Option<MutexGuard<'_, Peer>> {
        self.peers.get(peer.index()).map(lock)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use std::time::Duration;
    use varangian_consensus::{Note, Slot};
    use varangian_crypto::{Context, Digest, SigningKey};

    const PEER: ReplicaId = ReplicaId(1);
    const OTHER: ReplicaId = ReplicaId(2);
    const KIB: usize = 1024;

    fn sized(sequence: u64, bytes: usize) -> Command {
        let context = Context { chain_id: Digest::ZERO, epoch: 0 };
        Command::sign(&SigningKey::from_seed([7; 32]), &context, sequence, &[vec![1_u8; bytes]]).unwrap()
    }

    fn command(sequence: u64) -> Command {
        sized(sequence, 20 * KIB)
    }

    fn name(sequence: u64) -> Name {
        Name::of(&command(sequence))
    }

    /// Four commands fill a batch, eight the shelf.
    fn shelf() -> Shelf {
        let parameters =
            Parameters { max_batch_bytes: 84 * KIB as u32, pool_bytes: 168 * KIB as u64, ..Parameters::default() };
        Shelf::new(4, &parameters)
    }

    #[test]
    fn it_holds_as_much_as_the_pool() {
        let shelf = shelf();
        for sequence in 1..=10 {
            assert!(shelf.keep(&command(sequence)));
            assert!(!shelf.keep(&command(sequence)), "no news");
        }
        let held: Vec<_> = (1..=10).filter(|sequence| shelf.get(&name(*sequence)).is_some()).collect();
        assert_eq!(held, [3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn an_outline_becomes_the_body_it_was_made_of() {
        let (sender, receiver, now) = (shelf(), shelf(), Instant::now());
        let batch = Batch::new((1..=3).map(command).collect()).unwrap();
        for sequence in [1, 3] {
            receiver.keep(&command(sequence));
            sender.heard(PEER, name(sequence));
        }
        assert_eq!(Note::outline(Slot(1), &batch, |name| sender.has(OTHER, name)), None);
        let outline = Note::outline(Slot(1), &batch, |name| sender.has(PEER, name));
        let Some(Note::Outline { parts, .. }) = outline else { panic!("an outline") };
        assert_eq!(receiver.put_together(PEER, parts.clone(), now), Some(batch));
        receiver.forget(&name(3));
        assert_eq!(receiver.put_together(PEER, parts, now), None, "one is missing");
        assert_eq!(receiver.put_together(PEER, vec![], now), None);
    }

    /// A name is two hundred times smaller than what it names.
    #[test]
    fn so_much_is_put_together_of_one_peer_and_no_more() {
        let shelf = Shelf::new(4, &Parameters::default());
        let (big, now) = (sized(1, (1 << 20) - 1024), Instant::now());
        shelf.keep(&big);
        let full = || vec![Part::Named(Name::of(&big))];
        assert_eq!(shelf.put_together(PEER, [full(), full()].concat(), now), None, "no batch");
        let done = |peer, now| (0..1000).filter(|_| shelf.put_together(peer, full(), now).is_some()).count();
        assert_eq!((done(PEER, now), done(OTHER, now)), (64, 64));
        assert_eq!(shelf.put_together(PEER, full(), now), None, "it is to come whole");
        assert!(
            shelf.put_together(PEER, vec![Part::Whole(big.clone())], now).is_some(),
            "what comes whole costs its sender"
        );
        assert_eq!(done(PEER, now + Duration::from_secs(1)), 64);
    }

    #[test]
    fn what_was_offered_is_handed_over_once_and_to_nobody_else() {
        let shelf = shelf();
        let wanted = |peer, sequence| shelf.wanted(peer, &name(sequence)).is_some();
        for sequence in [1, 2] {
            shelf.keep(&command(sequence));
        }
        shelf.offer(PEER, name(1));
        shelf.offer(PEER, name(1));
        shelf.offer(PEER, name(3));
        assert!(!wanted(OTHER, 1) && !wanted(PEER, 2) && !wanted(PEER, 3));
        assert!(wanted(PEER, 1) && !wanted(PEER, 1));
        shelf.offer(PEER, name(1));
        assert!(wanted(PEER, 1));
    }

    #[test]
    fn who_comes_back_may_have_nothing() {
        let shelf = shelf();
        shelf.keep(&command(1));
        for peer in [PEER, OTHER] {
            shelf.heard(peer, name(1));
            shelf.offer(peer, name(1));
        }
        shelf.left(PEER);
        assert_eq!([PEER, OTHER].map(|peer| shelf.has(peer, &name(1))), [false, true]);
        assert_eq!([PEER, OTHER].map(|peer| shelf.wanted(peer, &name(1)).is_some()), [false, true]);
    }

    #[test]
    fn what_runs_is_forgotten_by_all() {
        let shelf = shelf();
        for sequence in [1, 2] {
            shelf.keep(&command(sequence));
            shelf.heard(PEER, name(sequence));
            shelf.offer(OTHER, name(sequence));
        }
        shelf.forget(&name(1));
        let known = |sequence| {
            let name = name(sequence);
            (shelf.get(&name).is_some(), shelf.has(PEER, &name), shelf.wanted(OTHER, &name).is_some())
        };
        assert_eq!((known(1), known(2)), ((false, false, false), (true, true, true)));
    }
}
