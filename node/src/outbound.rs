//! Work for peers that the core's thread must not do: signing votes, and reading the store for those that are behind.

use crate::core::CoreHandle;
use crate::metrics::Metrics;
use crate::shelf::Shelf;
use crate::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use thiserror::Error;
use varangian_consensus::{Batch, BatchError, Command, Delivery, Encoded, Message, Name, Note, Slot, Vote};
use varangian_crypto::{Committee, Digest, ReplicaId, Signer, Verify};
use varangian_net::{Frame, Lane, Mesh, NetError};
use varangian_runner::sign;
use varangian_storage::{Store, StoreError};

/// Requests of one peer that wait to be read from the store; more are dropped, and asked for again. An honest one that is behind asks for a pipeline of
/// bodies at a time.
const READS: usize = 64;

/// Sends messages to peers. Never waits.
#[derive(Clone, Debug)]
pub struct Post {
    mesh: Arc<Mesh>,
    shelf: Arc<Shelf>,
    metrics: Arc<Metrics>,
}

impl Post {
    /// Over this mesh.
    #[must_use]
    pub const fn new(mesh: Arc<Mesh>, shelf: Arc<Shelf>, metrics: Arc<Metrics>) -> Self {
        Self { mesh, shelf, metrics }
    }

    /// To one peer; a large command by its name, until it is asked for.
    pub fn send(&self, to: ReplicaId, message: &Message) {
        match message {
            Message::Command(command) if command.is_large() => {
                let name = Name::of(command);
                self.keep(command);
                self.shelf.offer(to, name);
                self.tell(to, &Note::Offer(name));
            }
            message => self.send_whole(to, message),
        }
    }

    fn send_whole(&self, to: ReplicaId, message: &Message) {
        let (lane, frame) = frame(message.encode(), message.is_bulk());
        self.note(message.name(), self.mesh.send(to, lane, frame));
    }

    /// A note to one peer.
    pub fn tell(&self, to: ReplicaId, note: &Note) {
        let (lane, frame) = frame(note.encode(), note.is_bulk());
        self.note(note.name(), self.mesh.send(to, lane, frame));
    }

    /// A command that waits here now: where it is large, and news, every peer hears that it need not be sent here.
    pub fn keep(&self, command: &Command) {
        if command.is_large() && self.shelf.keep(command) {
            let note = Note::Have(Name::of(command));
            let (lane, frame) = frame(note.encode(), note.is_bulk());
            self.note(note.name(), self.mesh.broadcast(lane, frame));
        }
    }

    /// This batch runs: none of its commands need be sent any more.
    pub fn forget(&self, batch: &Batch) {
        for command in batch.commands().iter().filter(|command| command.is_large()) {
            self.shelf.forget(&Name::of(command));
        }
    }

    /// The command that a peer was offered and wants.
    pub fn hand_over(&self, to: ReplicaId, name: &Name) {
        match self.shelf.wanted(to, name) {
            Some(command) => self.send_whole(to, &Message::Command(command)),
            None => self.metrics.refused("want"),
        }
    }

    /// A body or a decided slot to one peer, as it is stored.
    fn send_stored(&self, to: ReplicaId, name: &'static str, message: Encoded) {
        self.note(name, self.mesh.send(to, Lane::Bulk, Frame::new(message.head, message.body)));
    }

    /// To every peer; a body without the large commands that the peer has, where these are most of it.
    pub fn broadcast(&self, message: &Message) {
        let (lane, whole) = frame(message.encode(), message.is_bulk());
        match message {
            Message::Batch { slot, batch } if batch.commands().iter().any(Command::is_large) => {
                for peer in self.mesh.peers() {
                    match Note::outline(*slot, batch, |name| self.shelf.has(peer, name)) {
                        Some(outline) => self.tell(peer, &outline),
                        None => self.note(message.name(), self.mesh.send(peer, lane, whole.clone())),
                    }
                }
            }
            message => self.note(message.name(), self.mesh.broadcast(lane, whole)),
        }
    }

    /// What cannot be sent is lost, as the network may lose anything; but it should not happen.
    fn note(&self, name: &'static str, sent: Result<(), NetError>) {
        self.metrics.sent(name);
        if let Err(error) = sent {
            tracing::error!(message = name, %error, "not sent");
        }
    }
}

fn frame(encoded: Encoded, is_bulk: bool) -> (Lane, Frame) {
    (if is_bulk { Lane::Bulk } else { Lane::Vote }, Frame::new(encoded.head, encoded.body))
}

/// Hands votes to the signing thread. As many wait as the core has cast since the last turn.
#[derive(Clone, Debug)]
pub struct Signing(Sender<Vote>);

impl Signing {
    /// Signs, gives the own core its copy, broadcasts.
    pub fn vote(&self, vote: Vote) {
        if self.0.send(vote).is_err() {
            tracing::debug!("the signing thread is gone");
        }
    }
}

/// Starts the signing thread.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn_signing(signer: Signer, post: Post, core: CoreHandle) -> std::io::Result<(Signing, JoinHandle<()>)> {
    let (sender, receiver): (_, Receiver<Vote>) = channel();
    let handle = core.clone();
    let thread = thread::spawn("signing", &handle, move || {
        while let Ok(vote) = receiver.recv() {
            match sign(&signer, vote) {
                Ok((delivery, message)) => {
                    post.broadcast(&message);
                    core.deliver(delivery);
                }
                Err(error) => return core.fatal(format!("signing: {error}")),
            }
        }
    })?;
    Ok((Signing(sender), thread))
}

/// What is read from the store for a peer.
enum Read {
    Batch { to: ReplicaId, slot: Slot, digest: Digest },
    Decided { to: ReplicaId, first: Slot, last: Slot },
}

impl Read {
    const fn to(&self) -> ReplicaId {
        match self {
            Self::Batch { to, .. } | Self::Decided { to, .. } => *to,
        }
    }
}

/// Hands requests to the reading thread.
#[derive(Clone, Debug)]
pub struct Reading {
    reads: Sender<Read>,
    /// Of each replica.
    waiting: Arc<[AtomicUsize]>,
}

impl Reading {
    /// Sends a body, or delivers it if it is this replica that wants it.
    pub fn batch(&self, to: ReplicaId, slot: Slot, digest: Digest) {
        self.push(Read::Batch { to, slot, digest });
    }

    /// Sends decided slots.
    pub fn decided(&self, to: ReplicaId, first: Slot, last: Slot) {
        self.push(Read::Decided { to, first, last });
    }

    fn push(&self, read: Read) {
        let to = read.to();
        // This runs on the core's thread alone, so nobody else adds one between the two lines.
        let Some(waiting) = self.waiting.get(to.index()).filter(|waiting| waiting.load(Relaxed) < READS) else {
            tracing::debug!(%to, "a peer's request is dropped: too many of it wait");
            return;
        };
        waiting.fetch_add(1, Relaxed);
        if self.reads.send(read).is_err() {
            tracing::debug!("the reading thread is gone");
        }
    }
}

/// Why the store cannot be read.
#[derive(Debug, Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a stored body is damaged: {0}")]
    Body(#[from] BatchError),
}

struct Reader {
    me: ReplicaId,
    max_bytes: u64,
    committee: Arc<Committee>,
    store: Arc<Store>,
    post: Post,
    core: CoreHandle,
}

/// Starts the reading thread.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn_reading(
    me: ReplicaId,
    committee: Arc<Committee>,
    store: Arc<Store>,
    post: Post,
    core: CoreHandle,
) -> std::io::Result<(Reading, JoinHandle<()>)> {
    let (reads, receiver) = channel();
    let waiting: Arc<[AtomicUsize]> = committee.quorums().replicas().map(|_| AtomicUsize::new(0)).collect();
    let reading = Reading { reads, waiting: waiting.clone() };
    let max_bytes =
        u64::from(committee.parameters().max_batch_bytes).saturating_mul(committee.parameters().pipeline_depth);
    let reader = Reader { me, max_bytes, committee, store, post, core };
    let handle = reader.core.clone();
    let thread = thread::spawn("reading", &handle, move || {
        while let Ok(read) = receiver.recv() {
            if let Some(waiting) = waiting.get(read.to().index()) {
                waiting.fetch_sub(1, Relaxed);
            }
            if let Err(error) = reader.serve(read) {
                return reader.core.fatal(format!("reading for a peer: {error}"));
            }
        }
    })?;
    Ok((reading, thread))
}

impl Reader {
    fn serve(&self, read: Read) -> Result<(), ReadError> {
        match read {
            Read::Batch { to, slot, digest } => {
                let Some(body) = self.store.batch(slot.0, &digest)? else {
                    tracing::debug!(%slot, %digest, "a body that was asked for is pruned");
                    return Ok(());
                };
                if to != self.me {
                    self.post.send_stored(to, "batch", Message::stored_batch(slot, body));
                    return Ok(());
                }
                match Arc::new(Batch::decode(body)?).verify(&self.committee) {
                    Ok(batch) => self.core.deliver(Delivery::Batch { slot, batch }),
                    Err(error) => {
                        self.core.fatal(format!("the body that was voted for at slot {slot} is damaged: {error}"))
                    }
                }
            }
            Read::Decided { to, first, last } => self.decided(to, first, last)?,
        }
        Ok(())
    }

    fn decided(&self, to: ReplicaId, first: Slot, last: Slot) -> Result<(), ReadError> {
        let oldest = Slot(self.store.oldest_committed());
        if first < oldest {
            self.post.send(to, &Message::Pruned { oldest });
            return Ok(());
        }
        for committed in self.store.committed(first.0, self.max_bytes)? {
            if committed.slot > last.0 {
                break;
            }
            self.post.send_stored(to, "decided", Message::stored_decision(&committed.certificate, committed.body));
        }
        Ok(())
    }
}
