//! Large commands that came from clients lately, and who else is known to have which: with it a large command need travel to each replica once only
//! (see [`varangian_consensus::wire`]).
//!
//! A memory of so many bytes, and nothing that anybody may rely on: what has been forgotten, by whomever's flood, travels whole.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use varangian_consensus::{Batch, Command, Name, Part};
use varangian_crypto::{Parameters, ReplicaId};
use varangian_net::{Bucket, Rate};

/// Commands that a peer is remembered to have.
const NAMES: usize = 256;
/// Batches of the largest size that may be put together for one peer in a second: to name a command is cheaper than to copy it.
const BATCHES: u32 = 64;

/// See the module.
#[derive(Debug)]
pub struct Shelf {
    max_batch_bytes: usize,
    /// Bytes of commands that are held at most.
    limit: usize,
    held: Mutex<Held>,
    peers: Box<[Mutex<Peer>]>,
}

#[derive(Debug, Default)]
struct Held {
    commands: HashMap<Name, Command>,
    /// The oldest first.
    order: VecDeque<Name>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Peer {
    has: VecDeque<Name>,
    /// What it was offered and has not asked for: here, and not only among what everybody's clients push out.
    offered: VecDeque<Command>,
    put_together: Bucket,
}

/// Why an outline is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// A command that it names is not here; or so much was put together lately that the rest is to come whole.
    Missing,
    /// Nobody honest sends it.
    Invalid,
}

impl Shelf {
    /// For `n` replicas. It holds a pipeline of whole batches; of what each peer was offered two batches.
    #[must_use]
    pub fn new(n: usize, parameters: &Parameters) -> Self {
        let max_batch_bytes = parameters.max_batch_bytes as usize;
        let pipeline = usize::try_from(parameters.pipeline_depth).unwrap_or(usize::MAX);
        let limit = pipeline.saturating_mul(max_batch_bytes);
        Self { max_batch_bytes, limit, held: Mutex::default(), peers: (0..n).map(|_| Mutex::default()).collect() }
    }

    /// Holds a command; whether that is news.
    pub fn keep(&self, command: &Command) -> bool {
        let name = Name::of(command);
        let mut held = self.held();
        if held.commands.contains_key(&name) {
            return false;
        }
        held.bytes += command.encoded().len();
        held.commands.insert(name, command.clone());
        held.order.push_back(name);
        while held.bytes > self.limit
            && let Some(oldest) = held.order.pop_front()
        {
            let gone = held.commands.remove(&oldest);
            held.bytes -= gone.map_or(0, |gone| gone.encoded().len());
        }
        true
    }

    /// The command of this name, if it is held.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<Command> {
        self.held().commands.get(name).cloned()
    }

    /// `peer` says that it has this one.
    pub fn heard(&self, peer: ReplicaId, name: Name) {
        if let Some(mut peer) = self.peer(peer) {
            if peer.has.len() == NAMES {
                peer.has.pop_front();
            }
            peer.has.push_back(name);
        }
    }

    /// `peer` is gone: whoever comes back may have been started again, with nothing.
    pub fn left(&self, peer: ReplicaId) {
        if let Some(mut peer) = self.peer(peer) {
            peer.has.clear();
            peer.offered.clear();
        }
    }

    /// Whether `peer` said so lately.
    #[must_use]
    pub fn has(&self, peer: ReplicaId, name: &Name) -> bool {
        self.peer(peer).is_some_and(|peer| peer.has.contains(name))
    }

    /// `peer` is offered this command, and may ask for it once.
    pub fn offer(&self, peer: ReplicaId, command: &Command) {
        let Some(mut peer) = self.peer(peer) else { return };
        peer.offered.retain(|offered| offered != command);
        peer.offered.push_back(command.clone());
        let mut bytes: usize = peer.offered.iter().map(|offered| offered.encoded().len()).sum();
        while bytes > 2 * self.max_batch_bytes
            && let Some(oldest) = peer.offered.pop_front()
        {
            bytes -= oldest.encoded().len();
        }
    }

    /// What `peer` asks for, if it was offered that.
    #[must_use]
    pub fn wanted(&self, peer: ReplicaId, name: &Name) -> Option<Command> {
        let mut peer = self.peer(peer)?;
        let place = peer.offered.iter().position(|offered| Name::of(offered) == *name)?;
        peer.offered.remove(place)
    }

    /// The body of these parts, which `peer` sent.
    ///
    /// # Errors
    /// [`Gap`] says what is to be done instead.
    pub fn put_together(&self, peer: ReplicaId, parts: Vec<Part>, now: Instant) -> Result<Batch, Gap> {
        let mut commands = Vec::with_capacity(parts.len());
        let mut bytes = 0;
        for part in parts {
            let command = match part {
                Part::Whole(command) => command,
                Part::Named(name) => self.get(&name).ok_or(Gap::Missing)?,
            };
            bytes += command.encoded().len();
            if bytes > self.max_batch_bytes {
                return Err(Gap::Invalid);
            }
            commands.push(command);
        }
        let kib = |bytes: usize| u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let most = kib(self.max_batch_bytes).saturating_mul(BATCHES);
        let rate = Rate { burst: most, per_second: most };
        let may = self.peer(peer).is_some_and(|mut peer| peer.put_together.take(&rate, kib(bytes), now));
        if !may {
            return Err(Gap::Missing);
        }
        Batch::new(commands).ok_or(Gap::Invalid)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer(&self, peer: ReplicaId) -> Option<MutexGuard<'_, Peer>> {
        self.peers.get(peer.index()).map(|peer| peer.lock().unwrap_or_else(PoisonError::into_inner))
    }
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

    fn command(sequence: u64) -> Command {
        let context = Context { chain_id: Digest::ZERO, epoch: 0 };
        Command::sign(&SigningKey::from_seed([7; 32]), &context, sequence, &[vec![1_u8; 20 * KIB]]).unwrap()
    }

    /// Four commands fill a batch, eight the shelf.
    fn shelf() -> Shelf {
        let parameters = Parameters { max_batch_bytes: 84 * KIB as u32, pipeline_depth: 2, ..Parameters::default() };
        Shelf::new(4, &parameters)
    }

    fn named(sequence: u64) -> Part {
        Part::Named(Name::of(&command(sequence)))
    }

    #[test]
    fn the_oldest_gives_way() {
        let shelf = shelf();
        for sequence in 1..=10 {
            assert!(shelf.keep(&command(sequence)));
            assert!(!shelf.keep(&command(sequence)), "no news");
        }
        let held: Vec<_> = (1..=10).filter(|sequence| shelf.get(&Name::of(&command(*sequence))).is_some()).collect();
        assert_eq!(held, [3, 4, 5, 6, 7, 8, 9, 10]);
        assert!(shelf.held().bytes <= shelf.limit && shelf.held().order.len() == 8);
    }

    #[test]
    fn an_outline_becomes_the_body_it_was_made_of() {
        let (sender, receiver, now) = (shelf(), shelf(), Instant::now());
        let batch = Batch::new((1..=3).map(command).collect()).unwrap();
        for sequence in [1, 3] {
            receiver.keep(&command(sequence));
            sender.heard(PEER, Name::of(&command(sequence)));
        }
        assert_eq!(Note::outline(Slot(1), &batch, |name| sender.has(OTHER, name)), None);
        let outline = Note::outline(Slot(1), &batch, |name| sender.has(PEER, name));
        let Some(Note::Outline { parts, .. }) = outline else { panic!("an outline") };
        assert_eq!(receiver.put_together(PEER, parts, now), Ok(batch));
        assert_eq!(receiver.put_together(PEER, vec![named(1), named(2)], now), Err(Gap::Missing));
        assert_eq!(receiver.put_together(PEER, vec![], now), Err(Gap::Invalid));
    }

    /// A name is two hundred times smaller than what it names.
    #[test]
    fn so_much_is_put_together_of_one_peer_and_no_more() {
        let (shelf, now) = (shelf(), Instant::now());
        shelf.keep(&command(1));
        let full = || vec![named(1), named(1), named(1), named(1)];
        assert_eq!(shelf.put_together(PEER, [full(), full()].concat(), now), Err(Gap::Invalid), "no batch");
        let done = |peer, now| (0..1000).filter(|_| shelf.put_together(peer, full(), now).is_ok()).count();
        assert_eq!((done(PEER, now), done(OTHER, now)), (66, 66));
        assert_eq!(shelf.put_together(PEER, full(), now), Err(Gap::Missing), "it is to come whole");
        assert_eq!(done(PEER, now + Duration::from_secs(1)), 66);
    }

    #[test]
    fn what_was_offered_is_handed_over_once_and_to_nobody_else() {
        let shelf = shelf();
        let wanted = |peer, sequence| shelf.wanted(peer, &Name::of(&command(sequence))).is_some();
        shelf.offer(PEER, &command(1));
        shelf.offer(PEER, &command(1));
        shelf.keep(&command(2));
        assert!(!wanted(OTHER, 1) && !wanted(PEER, 2));
        assert!(wanted(PEER, 1) && !wanted(PEER, 1));
        shelf.offer(PEER, &command(1));
        for sequence in 10..30 {
            shelf.keep(&command(sequence));
        }
        assert!(wanted(PEER, 1), "no flood of others takes it");
        for sequence in 1..=10 {
            shelf.offer(PEER, &command(sequence));
        }
        assert_eq!((1..=10).filter(|sequence| wanted(PEER, *sequence)).count(), 8, "two batches");
    }

    #[test]
    fn of_what_a_peer_has_the_last_is_remembered() {
        let shelf = shelf();
        let name = |number: u8| Name { digest: Digest::from_bytes([number; 32]), ..Name::of(&command(1)) };
        for number in 0..=255 {
            shelf.heard(PEER, name(number));
        }
        assert!(shelf.has(PEER, &name(0)) && !shelf.has(OTHER, &name(0)));
        shelf.heard(PEER, Name::of(&command(1)));
        assert!(!shelf.has(PEER, &name(0)) && shelf.has(PEER, &name(1)));
    }

    #[test]
    fn who_comes_back_may_have_nothing() {
        let (shelf, one) = (shelf(), command(1));
        for peer in [PEER, OTHER] {
            shelf.heard(peer, Name::of(&one));
            shelf.offer(peer, &one);
        }
        shelf.left(PEER);
        assert_eq!([PEER, OTHER].map(|peer| shelf.has(peer, &Name::of(&one))), [false, true]);
        assert_eq!([PEER, OTHER].map(|peer| shelf.wanted(peer, &Name::of(&one)).is_some()), [false, true]);
    }
}
