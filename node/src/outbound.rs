//! Work for peers that the core's thread must not do: signing votes, and reading the store for those that are behind.

use crate::core::CoreHandle;
use crate::metrics::Metrics;
use crate::thread;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use thiserror::Error;
use varangian_consensus::{Batch, BatchError, Delivery, Message, Slot, Vote};
use varangian_crypto::{CodecError, Committee, Digest, ReplicaId, Signer, Verify, decode};
use varangian_net::{Frame, Lane, Mesh, NetError};
use varangian_runner::sign;
use varangian_storage::{Store, StoreError};

/// Requests of peers that wait to be read from the store; more are dropped, and asked for again.
const READS: usize = 64;

/// Sends messages to peers. Never waits.
#[derive(Clone, Debug)]
pub struct Post {
    mesh: Arc<Mesh>,
    metrics: Arc<Metrics>,
}

impl Post {
    /// Over this mesh.
    #[must_use]
    pub const fn new(mesh: Arc<Mesh>, metrics: Arc<Metrics>) -> Self {
        Self { mesh, metrics }
    }

    /// To one peer.
    pub fn send(&self, to: ReplicaId, message: &Message) {
        let (lane, frame) = frame(message);
        self.note(message, self.mesh.send(to, lane, frame));
    }

    /// To every peer.
    pub fn broadcast(&self, message: &Message) {
        let (lane, frame) = frame(message);
        self.note(message, self.mesh.broadcast(lane, frame));
    }

    /// What cannot be sent is lost, as the network may lose anything; but it should not happen.
    fn note(&self, message: &Message, sent: Result<(), NetError>) {
        self.metrics.sent(message.name());
        if let Err(error) = sent {
            tracing::error!(message = message.name(), %error, "not sent");
        }
    }
}

fn frame(message: &Message) -> (Lane, Frame) {
    let encoded = message.encode();
    let lane = if message.is_bulk() { Lane::Bulk } else { Lane::Vote };
    (lane, Frame::new(encoded.head, encoded.body))
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

/// Hands requests to the reading thread.
#[derive(Clone, Debug)]
pub struct Reading(SyncSender<Read>);

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
        match self.0.try_send(read) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::debug!("a peer's request is dropped: too many wait"),
            Err(TrySendError::Disconnected(_)) => tracing::debug!("the reading thread is gone"),
        }
    }
}

/// Why the store cannot be read.
#[derive(Debug, Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a stored certificate is damaged: {0}")]
    Certificate(#[from] CodecError),
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
    let (sender, receiver) = sync_channel(READS);
    let max_bytes =
        u64::from(committee.parameters().max_batch_bytes).saturating_mul(committee.parameters().pipeline_depth);
    let reader = Reader { me, max_bytes, committee, store, post, core };
    let handle = reader.core.clone();
    let thread = thread::spawn("reading", &handle, move || {
        while let Ok(read) = receiver.recv() {
            if let Err(error) = reader.serve(read) {
                return reader.core.fatal(format!("reading for a peer: {error}"));
            }
        }
    })?;
    Ok((Reading(sender), thread))
}

impl Reader {
    fn serve(&self, read: Read) -> Result<(), ReadError> {
        match read {
            Read::Batch { to, slot, digest } => {
                let Some(body) = self.store.batch(slot.0, &digest)? else {
                    tracing::debug!(%slot, %digest, "a body that was asked for is pruned");
                    return Ok(());
                };
                let batch = Arc::new(Batch::decode(body)?);
                if to != self.me {
                    self.post.send(to, &Message::Batch { slot, batch });
                    return Ok(());
                }
                match batch.verify(&self.committee) {
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
            let certificate = decode(&committed.certificate)?;
            let batch = committed.body.map(Batch::decode).transpose()?.map(Arc::new);
            self.post.send(to, &Message::Decided { certificate, batch });
        }
        Ok(())
    }
}
