//! The verifying threads: frames of peers and clients become proved inputs, off the core's thread.
//!
//! Votes, bodies and clients have threads of their own, so that none of them waits for another. A thread that is ahead of the core
//! waits for it; its inbox fills; its peers are held back. Nothing is queued without a bound.

use crate::core::CoreHandle;
use crate::credit::{INVALID_BODY, INVALID_MESSAGE, UNASKED_BODY, Worth};
use crate::desk::{self, Clerk};
use crate::metrics::Metrics;
use crate::outbound::Post;
use crate::shelf::Shelf;
use crate::thread;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use varangian_consensus::{Delivery, Input, Message, Note, Wire};
use varangian_crypto::{Committee, ReplicaId};
use varangian_net::{ClientEvent, Inbox, Mesh, MeshEvent, MeshInbox};

/// What the threads work with.
pub struct Inbound<C> {
    /// Who may sign.
    pub committee: Arc<Committee>,
    /// Where inputs go.
    pub core: CoreHandle,
    /// Peers.
    pub mesh: Arc<Mesh>,
    /// Large commands.
    pub shelf: Arc<Shelf>,
    /// Answers to what peers say of them.
    pub post: Post,
    /// Clients.
    pub clerk: Arc<C>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whose tasks feed the inboxes.
    pub runtime: Handle,
}

impl<C: Clerk + 'static> Inbound<C> {
    /// Starts `threads` of each kind. They end when the endpoints are closed.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn(
        self,
        threads: usize,
        peers: MeshInbox,
        clients: Inbox<ClientEvent>,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let inbound = Arc::new(self);
        let mut handles = Vec::new();
        let lanes = [("votes", Arc::new(Mutex::new(peers.votes))), ("bulk", Arc::new(Mutex::new(peers.bulk)))];
        let clients = Arc::new(Mutex::new(clients));
        for number in 0..threads {
            for (name, inbox) in &lanes {
                let (core, inbound, inbox) = (&inbound.core, inbound.clone(), inbox.clone());
                handles.push(thread::spawn(&format!("{name} {number}"), core, move || {
                    while let Some(event) = inbound.next(&inbox) {
                        inbound.peer(event);
                    }
                })?);
            }
            let (core, inbound, inbox) = (&inbound.core, inbound.clone(), clients.clone());
            handles.push(thread::spawn(&format!("clients {number}"), core, move || {
                while let Some(event) = inbound.next(&inbox) {
                    desk::handle(inbound.clerk.as_ref(), &inbound.core, &inbound.metrics, event);
                }
            })?);
        }
        Ok(handles)
    }

    /// The next event; none once the endpoint is closed, or the core has ended and a backlog is for nobody.
    fn next<T>(&self, inbox: &Mutex<Inbox<T>>) -> Option<T> {
        if self.core.has_ended() {
            return None;
        }
        self.runtime.block_on(async { inbox.lock().await.recv().await })
    }

    fn peer(&self, event: MeshEvent) {
        match event {
            MeshEvent::Connected(peer) => {
                tracing::info!(%peer, "connected");
                self.core.connected(peer);
            }
            MeshEvent::Disconnected(peer, reason) => {
                tracing::info!(%peer, %reason, "disconnected");
                self.shelf.left(peer);
                self.core.disconnected(peer);
            }
            MeshEvent::Frame { from, bytes, .. } => {
                let now = Instant::now();
                if !self.core.credit.listens(from, now) {
                    self.metrics.refused("out of credit");
                    return;
                }
                match self.core.credit.worth(from, Wire::glance(&bytes), bytes.len(), now) {
                    Worth::Look => {}
                    Worth::Useless => return self.metrics.refused("late body"),
                    Worth::Unasked => return self.invalid(from, "unasked body", UNASKED_BODY, now),
                }
                let wire = match Wire::decode(&bytes) {
                    Ok(wire) => wire,
                    Err(error) => {
                        tracing::warn!(%from, %error, "a peer's frame is not a message");
                        return self.invalid(from, "frame", INVALID_MESSAGE, now);
                    }
                };
                self.metrics.received(wire.name());
                let message = match wire {
                    Wire::Message(message) => message,
                    Wire::Note(note) => match self.heed(from, note, now) {
                        Some(message) => message,
                        None => return,
                    },
                };
                let name = message.name();
                if !self.core.credit.may_be_honest(&message) {
                    return self.invalid(from, name, INVALID_MESSAGE, now);
                }
                if !self.core.credit.is_worth_a_check(from, &message, now) {
                    return self.metrics.refused("far");
                }
                match self.metrics.verifying(|| message.verify(&self.committee)) {
                    Ok(delivery) => {
                        let dear = matches!(delivery, Delivery::InvalidBatch { .. });
                        // It may be the proof against a primary.
                        self.core.input(Input::Message { from, delivery });
                        if dear {
                            self.invalid(from, name, INVALID_BODY, now);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%from, message = name, %error, "a peer's message is not valid");
                        self.invalid(from, name, INVALID_MESSAGE, now);
                    }
                }
            }
        }
    }

    /// Upon a note of a peer: the message that it stands for, if there is one.
    fn heed(&self, from: ReplicaId, note: Note, now: Instant) -> Option<Message> {
        match note {
            Note::Have(name) => self.shelf.heard(from, name),
            Note::Want(name) => self.post.hand_over(from, &name),
            Note::Offer(name) => match self.shelf.get(&name) {
                Some(command) => return Some(Message::Command(command)),
                None => self.post.tell(from, &Note::Want(name)),
            },
            Note::Outline { slot, digest, parts } => match self.shelf.put_together(from, parts, now) {
                Some(batch) => return Some(Message::Batch { slot, batch: Arc::new(batch) }),
                None => {
                    self.metrics.refused("outline");
                    // What comes late of a former primary is not wanted.
                    if self.core.credit.may_propose(from) {
                        self.post.send(from, &Message::FetchBatch { slot, digest });
                    }
                }
            },
        }
        None
    }

    fn invalid(&self, from: ReplicaId, what: &'static str, count: u32, now: Instant) {
        self.metrics.refused(what);
        if let Some(until) = self.core.credit.was_invalid(from, count, now) {
            tracing::warn!(%from, seconds = (until - now).as_secs(), "so much of it was invalid that this peer is not listened to for a while");
            self.mesh.unhear(from, until.into());
        }
    }
}
