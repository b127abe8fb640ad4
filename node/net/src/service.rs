//! The interface of a node to its clients.
//!
//! A client verifies the node by its pinned key and presents none of its own; what proves a client is its signature
//! on what it sends, or on the connection's exporter. Each connection carries one stream, opened by the client, with
//! frames both ways. The node sees a connection once the client's first bytes have arrived.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use varangian_crypto::{ReplicaId, SigningKey};

use crate::{
    accept,
    admission::{Gate, Ticket},
    budget::{Budget, OWN},
    endpoint::{self, CODE_SHUTDOWN, Streams},
    error::{Closed, FrameError, NetError},
    frame::{self, Frame, FrameReader},
    identity::{Identity, Role},
    inbox::{self, Inbox, Source},
    limits::ServiceLimits,
    link,
    outbox::{Outbox, Pushed},
    stats::ServiceStats,
};

/// Each place that is made costs a look at all clients: not more often than this, whoever knocks.
const BETWEEN_PLACES: Duration = Duration::from_millis(10);

/// One client connection; never used twice by one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// What a client server needs to start.
#[derive(Debug)]
pub struct ServiceConfig {
    /// This replica.
    pub me: ReplicaId,
    /// Its network key.
    pub secret: SigningKey,
    /// Where to listen. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Bounds and time-outs.
    pub limits: ServiceLimits,
}

/// What happened to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A client is there. The bytes are the connection's exporter: who signs them with a client key proves that key
    /// for this connection.
    Opened(ConnectionId, [u8; 32]),
    /// A frame.
    Frame(ConnectionId, Bytes),
    /// The client has gone; nothing of it comes after this.
    Closed(ConnectionId),
}

/// The clients of one replica. Dropped, it ends without a word to them; [`ClientServer::shutdown`] tells them.
pub struct ClientServer {
    desk: Arc<Desk>,
    endpoint: Endpoint,
    address: SocketAddr,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl fmt::Debug for ClientServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What all connections share.
struct Desk {
    me: ReplicaId,
    limits: ServiceLimits,
    gate: Arc<Gate>,
    /// What arrives, and what waits to leave, over all connections.
    arriving: Arc<Budget>,
    leaving: Arc<Budget>,
    /// When a client last had to give up its place.
    made_room: Mutex<Option<Instant>>,
    /// Only connections that hold a ticket: bounded by the gate.
    clients: Mutex<HashMap<ConnectionId, Arc<Client>>>,
    next: AtomicU64,
    frames_received: AtomicU64,
    frames_queued: AtomicU64,
    slow_readers: AtomicU64,
    offenders: AtomicU64,
    gave_way: AtomicU64,
}

struct Client {
    outbox: Outbox,
    /// When it last said anything.
    heard: Mutex<Instant>,
    /// Set once by whoever ends the connection from outside.
    ended: watch::Sender<Option<Closed>>,
}

impl Client {
    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, reason: Closed) {
        self.outbox.close();
        self.ended.send_replace(Some(reason));
    }
}

impl ClientServer {
    /// Binds the socket and accepts clients. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A busy address, limits that do not fit together.
    pub fn start(config: ServiceConfig) -> Result<(Self, Inbox<ClientEvent>), NetError> {
        let ServiceConfig { me, secret, bind, limits } = config;
        limits.check()?;
        let identity = Identity::new(&secret)?;
        let server = endpoint::server_config(
            &identity,
            Role::Client,
            None,
            endpoint::transport(&limits.transport, Streams::SERVICE)?,
            &limits.admission,
        )?;
        let (endpoint, address) =
            endpoint::bind(bind, endpoint::endpoint_config(&identity, Role::Client)?, Some(server))?;
        let (intake, inbox) = inbox::channel(limits.inbox_frames, limits.inbox_bytes);
        let desk = Arc::new(Desk {
            me,
            limits,
            gate: Gate::new(limits.admission),
            arriving: Budget::new(limits.shared_bytes),
            leaving: Budget::new(limits.shared_bytes),
            made_room: Mutex::default(),
            clients: Mutex::default(),
            next: AtomicU64::new(0),
            frames_received: AtomicU64::new(0),
            frames_queued: AtomicU64::new(0),
            slow_readers: AtomicU64::new(0),
            offenders: AtomicU64::new(0),
            gave_way: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&desk);
        let serve = move |connection, ticket| {
            let source = intake.source(limits.connection.inbox_bytes);
            Arc::clone(&shared).serve(connection, ticket, source)
        };
        let full = {
            let desk = Arc::clone(&desk);
            move || desk.make_room()
        };
        tasks.spawn(accept::accept(endpoint.clone(), Arc::clone(&desk.gate), full, serve));
        let server = Self { desk, endpoint, address, tasks: tokio::sync::Mutex::new(tasks) };
        Ok((server, inbox))
    }

    /// The address that the socket got.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Queues a frame for a client. Never waits; a client whose queue is full is disconnected. Where all together hold too much, whoever holds most is.
    ///
    /// # Errors
    /// [`NetError::TooLarge`], [`NetError::Gone`], [`NetError::SlowReader`]. After the last two the client's
    /// [`ClientEvent::Closed`] has come or will come.
    pub fn reply(&self, to: ConnectionId, frame: impl Into<Frame>) -> Result<(), NetError> {
        let frame = frame.into();
        let (length, limit) = (frame.len(), self.desk.limits.connection.max_frame);
        if length > limit {
            return Err(NetError::TooLarge { length, limit });
        }
        let client = self.desk.clients().get(&to).cloned();
        let client = client.ok_or(NetError::Gone(to))?;
        loop {
            match client.outbox.try_push(frame.clone()) {
                Pushed::Queued { .. } => {
                    self.desk.frames_queued.fetch_add(1, Relaxed);
                    return Ok(());
                }
                Pushed::Closed => return Err(NetError::Gone(to)),
                Pushed::Crowded if self.desk.end_slowest() => {}
                Pushed::Crowded | Pushed::Full => {
                    client.end(Closed::SlowReader);
                    return Err(NetError::SlowReader(to));
                }
            }
        }
    }

    /// Disconnects a client, for example because it speaks nonsense. Frames that wait for it are lost.
    /// [`ClientEvent::Closed`] follows. Nothing happens if it has gone already.
    pub fn disconnect(&self, client: ConnectionId) {
        let client = self.desk.clients().get(&client).cloned();
        if let Some(client) = client {
            client.end(Closed::Local);
        }
    }

    /// Counters of the server.
    #[must_use]
    pub fn stats(&self) -> ServiceStats {
        ServiceStats {
            clients: self.desk.clients().len(),
            frames_received: self.desk.frames_received.load(Relaxed),
            frames_queued: self.desk.frames_queued.load(Relaxed),
            slow_readers: self.desk.slow_readers.load(Relaxed),
            offenders: self.desk.offenders.load(Relaxed),
            gave_way: self.desk.gave_way.load(Relaxed),
            admission: self.desk.gate.stats(),
        }
    }

    /// Tells the clients, ends all tasks and waits until the last words are out, at most for `deadline`. Replies
    /// that still wait to be sent are lost, and the inbox ends. Returns whether all ended in time; after `false` the
    /// rest is cut off.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.endpoint.close(VarInt::from_u32(CODE_SHUTDOWN), b"shutting down");
        let mut tasks = self.tasks.lock().await;
        let in_time = timeout(deadline, async {
            while let Some(ended) = tasks.join_next().await {
                accept::report(ended);
            }
            self.endpoint.wait_idle().await;
        })
        .await
        .is_ok();
        tasks.shutdown().await;
        in_time
    }
}

impl Desk {
    /// Serves one connection from the end of its handshake to its own.
    async fn serve(self: Arc<Self>, connection: Connection, mut ticket: Ticket, source: Source<ClientEvent>) {
        let deadline = self.limits.admission.handshake_deadline;
        let opened = match timeout(deadline, connection.accept_bi()).await {
            Ok(Ok((send, receive))) => {
                endpoint::exporter(&connection, self.me).map(|exporter| (send, receive, exporter))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Closed::Deadline),
        };
        let (send, receive, exporter) = match opened {
            Ok(opened) => opened,
            Err(reason) => return self.end(&connection, &reason),
        };
        ticket.established();
        let id = ConnectionId(self.next.fetch_add(1, Relaxed));
        let client = Arc::new(Client {
            outbox: Outbox::new(self.limits.connection, Some(self.leaving.charge())),
            heard: Mutex::new(Instant::now()),
            ended: watch::Sender::new(None),
        });
        client.outbox.open();
        self.clients().insert(id, Arc::clone(&client));
        let mut ended = client.ended.subscribe();
        let opened = source.send(ClientEvent::Opened(id, exporter), 0).await;
        let reason = if opened.is_ok() {
            tokio::select! {
                reason = write(&client.outbox, &connection, send, self.limits.write_deadline) => reason,
                reason = self.read(id, &client, &source, &connection, receive) => reason,
                reason = told_to_end(&mut ended) => reason,
                reason = connection.closed() => reason.into(),
            }
        } else {
            Closed::Local
        };
        self.end(&connection, &reason);
        self.clients().remove(&id);
        client.outbox.close();
        if source.send(ClientEvent::Closed(id), 0).await.is_err() {
            tracing::debug!(client = %id, "nobody waits for the end of this client");
        }
    }

    async fn read(
        &self,
        id: ConnectionId,
        client: &Client,
        source: &Source<ClientEvent>,
        connection: &Connection,
        stream: RecvStream,
    ) -> Closed {
        let limit = self.limits.connection.max_frame;
        let reader = FrameReader::new(stream, limit, self.limits.frame_deadline);
        let mut reader = reader.sharing(self.arriving.charge());
        loop {
            let bytes = match reader.next().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return link::ended(connection, Closed::StreamEnded),
                Err(reason) => return link::ended(connection, reason),
            };
            self.frames_received.fetch_add(1, Relaxed);
            *client.heard() = Instant::now();
            let length = bytes.len();
            let event = ClientEvent::Frame(id, bytes);
            if source.send(event, length).await.is_err() {
                return link::ended(connection, Closed::Local);
            }
        }
    }

    fn end(&self, connection: &Connection, reason: &Closed) {
        link::end(connection, reason);
        match reason {
            Closed::SlowReader => &self.slow_readers,
            Closed::Crowded | Closed::Frame(FrameError::NoRoom) => &self.gave_way,
            Closed::Frame(_) | Closed::Deadline => &self.offenders,
            _ => {
                tracing::debug!(address = %connection.remote_address(), %reason, "client gone");
                return;
            }
        }
        .fetch_add(1, Relaxed);
        tracing::debug!(address = %connection.remote_address(), %reason, "client disconnected");
    }

    /// All places are taken: whoever has said nothing for longest gives its own up, if that is long.
    fn make_room(&self) {
        let now = Instant::now();
        let mut made_room = self.made_room.lock().unwrap_or_else(PoisonError::into_inner);
        if made_room.is_some_and(|at| now < at + BETWEEN_PLACES) {
            return;
        }
        *made_room = Some(now);
        let clients = self.clients();
        let oldest = clients.values().map(|client| (*client.heard(), client)).min_by_key(|(heard, _)| *heard);
        if let Some((heard, client)) = oldest
            && now >= heard + self.limits.silence
        {
            client.end(Closed::Crowded);
        }
    }

    /// Ends the client that holds most of what all share; says whether one holds any of it.
    fn end_slowest(&self) -> bool {
        let clients = self.clients();
        let slowest = clients.values().map(|client| (client.outbox.holds(), client)).max_by_key(|(holds, _)| *holds);
        match slowest {
            Some((holds, client)) if holds > OWN => {
                client.end(Closed::SlowReader);
                true
            }
            _ => false,
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(outbox: &Outbox, connection: &Connection, mut stream: SendStream, deadline: Duration) -> Closed {
    loop {
        let batch = outbox.take().await;
        match timeout(deadline, stream.write_all_chunks(&mut frame::pieces(batch))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return link::ended(connection, error.into()),
            Err(_) => return link::ended(connection, Closed::SlowReader),
        }
        tokio::task::consume_budget().await;
    }
}

/// Waits until somebody ends the connection from outside.
async fn told_to_end(ended: &mut watch::Receiver<Option<Closed>>) -> Closed {
    match ended.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(Closed::Local),
        Err(_) => Closed::Local,
    }
}
