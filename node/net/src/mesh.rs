//! All replicas: the interface of a node to its peers.
//!
//! Between two replicas there is one connection, dialled by the one with the lower id. [`Mesh::send`] and
//! [`Mesh::broadcast`] never wait: each peer has a bounded queue per [`Lane`], and where one is full its oldest frames
//! go. A frame for a peer that is not connected is dropped at once: what matters is sent again as state on
//! [`MeshEvent::Connected`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use quinn::{Connection, Endpoint, VarInt};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use varangian_crypto::{NetworkKey, ReplicaId, SigningKey};

use crate::{
    accept,
    admission::{Gate, Ticket},
    dialler::Dialler,
    endpoint::{self, CODE_SHUTDOWN, Streams},
    error::{Closed, NetError},
    frame::Frame,
    identity::{self, Identity, Role},
    inbox::{self, Inbox},
    limits::MeshLimits,
    link::{self, Arrivals, Established, LaneState, Peer},
    stats::MeshStats,
    verify::Pinned,
};

/// Candidates that may wait for a link; each holds a place among the incoming connections.
const CANDIDATES: usize = 4;

/// Which of a connection's two streams a frame takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Small and urgent. Never waits for bulk.
    Vote,
    /// Bodies, certificates, snapshots.
    Bulk,
}

/// What a mesh needs to start.
#[derive(Debug)]
pub struct MeshConfig {
    /// This replica.
    pub me: ReplicaId,
    /// Its network key.
    pub secret: SigningKey,
    /// All replicas with their network keys, this one included.
    pub members: Vec<(ReplicaId, NetworkKey)>,
    /// Where peers are, as seen from here. May change at any time; peers that dial us need no entry.
    pub addresses: watch::Receiver<BTreeMap<ReplicaId, SocketAddr>>,
    /// Where to listen, and where to dial from. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Bounds and time-outs.
    pub limits: MeshLimits,
}

/// What happened to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeshEvent {
    /// The peer has proved its key and accepted ours. Comes before every vote of this connection.
    Connected(ReplicaId),
    /// The connection has ended. Comes after every vote of it, and before the next `Connected` of this peer.
    Disconnected(ReplicaId, Closed),
    /// A frame.
    Frame {
        /// Who sent it: proved.
        from: ReplicaId,
        /// Which lane it took.
        lane: Lane,
        /// Its content: not proved at all.
        bytes: Bytes,
    },
}

/// What comes in. Two queues, so that a node busy with bulk still gets every vote.
#[derive(Debug)]
pub struct MeshInbox {
    /// Votes, and the beginning and end of connections.
    pub votes: Inbox<MeshEvent>,
    /// Bulk frames; nothing else.
    pub bulk: Inbox<MeshEvent>,
}

/// The peers of one replica. Dropped, it ends without a word to them; [`Mesh::shutdown`] tells them.
pub struct Mesh {
    peers: BTreeMap<ReplicaId, Arc<Peer>>,
    gate: Arc<Gate>,
    endpoint: Endpoint,
    address: SocketAddr,
    limits: MeshLimits,
    tasks: Mutex<Tasks>,
}

struct Tasks {
    /// These run until they are stopped.
    diallers: JoinSet<()>,
    /// These end by themselves once the endpoint is closed and the diallers are gone.
    others: JoinSet<()>,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("address", &self.address)
            .field("peers", &self.peers.keys())
            .finish_non_exhaustive()
    }
}

impl Mesh {
    /// Binds the socket, accepts lower replicas and dials higher ones. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A busy address, a member list that does not hold together or does not list our key, limits that do not fit.
    pub fn start(config: MeshConfig) -> Result<(Self, MeshInbox), NetError> {
        config.limits.check()?;
        check_members(&config)?;
        let (me, limits) = (config.me, config.limits);
        let identity = Identity::new(&config.secret)?;
        let (endpoint, address) = bind(&config, &identity)?;
        let others = config.members.iter().filter(|(id, _)| *id != me);
        let count = others.clone().count();
        let frames = limits.inbox_frames;
        let (votes, votes_inbox) = inbox::channel(frames, count * limits.votes.inbox_bytes);
        let (bulk, bulk_inbox) = inbox::channel(frames, count * limits.bulk.inbox_bytes);
        let transport = Arc::new(endpoint::transport(&limits.transport, Streams::MESH)?);
        let mut tasks = Tasks { diallers: JoinSet::new(), others: JoinSet::new() };
        let mut peers = BTreeMap::new();
        let mut doors = BTreeMap::new();
        for &(id, key) in others {
            let lanes = (LaneState::new(Lane::Vote, limits.votes), LaneState::new(Lane::Bulk, limits.bulk));
            let peer = Peer::new(id, lanes.0, lanes.1);
            let arrivals =
                Arrivals { votes: votes.source(limits.votes.inbox_bytes), bulk: bulk.source(limits.bulk.inbox_bytes) };
            let (candidates, proven) = mpsc::channel(CANDIDATES);
            let link = link::run(Arc::clone(&peer), arrivals, limits, proven);
            tasks.others.spawn(link);
            if id > me {
                let transport = Arc::clone(&transport);
                let dialler = Dialler {
                    me,
                    peer: Arc::clone(&peer),
                    endpoint: endpoint.clone(),
                    config: endpoint::client_config(Some(&identity), Role::Replica, &key, transport)?,
                    addresses: config.addresses.clone(),
                    candidates,
                    limits,
                };
                tasks.diallers.spawn(dialler.run());
            } else {
                doors.insert(key, (id, candidates));
            }
            peers.insert(id, peer);
        }
        let gate = Gate::new(limits.admission);
        let hall = Arc::new(Hall { me, limits, doors });
        let receive = move |connection, ticket| Arc::clone(&hall).receive(connection, ticket);
        tasks.others.spawn(accept::accept(endpoint.clone(), Arc::clone(&gate), || {}, receive));
        let tasks = Mutex::new(tasks);
        let mesh = Self { peers, gate, endpoint, address, limits, tasks };
        Ok((mesh, MeshInbox { votes: votes_inbox, bulk: bulk_inbox }))
    }

    /// The address that the socket got.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Queues a frame for one peer. Never waits.
    ///
    /// # Errors
    /// [`NetError::UnknownPeer`], [`NetError::TooLarge`].
    pub fn send(&self, to: ReplicaId, lane: Lane, frame: impl Into<Frame>) -> Result<(), NetError> {
        let frame = self.fitting(lane, frame.into())?;
        let peer = self.peers.get(&to).ok_or(NetError::UnknownPeer(to))?;
        peer.push(lane, frame);
        Ok(())
    }

    /// Queues a frame for every peer, without a copy of its bytes. Never waits.
    ///
    /// # Errors
    /// [`NetError::TooLarge`].
    pub fn broadcast(&self, lane: Lane, frame: impl Into<Frame>) -> Result<(), NetError> {
        let frame = self.fitting(lane, frame.into())?;
        for peer in self.peers.values() {
            peer.push(lane, frame.clone());
        }
        Ok(())
    }

    /// All other replicas.
    pub fn peers(&self) -> impl Iterator<Item = ReplicaId> {
        self.peers.keys().copied()
    }

    /// Reads nothing that this peer sends before `until`. The connection stays, and what was read already still arrives; QUIC's flow control holds
    /// the peer back, so that it costs nothing meanwhile.
    pub fn unhear(&self, peer: ReplicaId, until: Instant) {
        if let Some(peer) = self.peers.get(&peer) {
            peer.unhear(until);
        }
    }

    /// Counters of all peers.
    #[must_use]
    pub fn stats(&self) -> MeshStats {
        MeshStats { peers: self.peers.values().map(|peer| peer.stats()).collect(), admission: self.gate.stats() }
    }

    /// Tells the peers, ends all tasks and waits until the last words are out, at most for `deadline`. Frames that
    /// still wait to be sent are lost, and the inbox ends. Returns whether all ended in time; after `false` the rest
    /// is cut off.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.endpoint.close(VarInt::from_u32(CODE_SHUTDOWN), b"shutting down");
        let mut tasks = self.tasks.lock().await;
        tasks.diallers.shutdown().await;
        let in_time = timeout(deadline, async {
            while let Some(ended) = tasks.others.join_next().await {
                accept::report(ended);
            }
            self.endpoint.wait_idle().await;
        })
        .await
        .is_ok();
        tasks.others.shutdown().await;
        in_time
    }

    fn fitting(&self, lane: Lane, frame: Frame) -> Result<Frame, NetError> {
        let limit = match lane {
            Lane::Vote => self.limits.votes.max_frame,
            Lane::Bulk => self.limits.bulk.max_frame,
        };
        let length = frame.len();
        if length > limit {
            return Err(NetError::TooLarge { length, limit });
        }
        Ok(frame)
    }
}

/// The socket, open to the replicas that dial us.
fn bind(config: &MeshConfig, identity: &Identity) -> Result<(Endpoint, SocketAddr), NetError> {
    let lower = config.members.iter().filter(|(id, _)| *id < config.me);
    let server = endpoint::server_config(
        identity,
        Role::Replica,
        Some(Pinned::new(lower.map(|(_, key)| key))),
        endpoint::transport(&config.limits.transport, Streams::MESH)?,
        &config.limits.admission,
    )?;
    let quic = endpoint::endpoint_config(identity, Role::Replica)?;
    endpoint::bind(config.bind, quic, Some(server))
}

fn check_members(config: &MeshConfig) -> Result<(), NetError> {
    let mut ids = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for (id, key) in &config.members {
        if !ids.insert(id) || !keys.insert(key) {
            return Err(NetError::Members(*id));
        }
    }
    let mine = config.members.iter().find(|(id, _)| *id == config.me);
    match mine {
        None => Err(NetError::Members(config.me)),
        Some((_, key)) if *key != config.secret.network_key() => Err(NetError::NotMyKey(config.me)),
        Some(_) => Ok(()),
    }
}

/// Where lower replicas come in.
struct Hall {
    me: ReplicaId,
    limits: MeshLimits,
    doors: BTreeMap<NetworkKey, (ReplicaId, mpsc::Sender<Established>)>,
}

impl Hall {
    /// Leads a connection whose handshake is done to the link of its peer.
    async fn receive(self: Arc<Self>, connection: Connection, ticket: Ticket) {
        let Some((peer, door)) = peer_key(&connection).and_then(|key| self.doors.get(&key)) else {
            // The handshake accepts the keys of doors only.
            link::end(&connection, &Closed::WrongHello);
            return;
        };
        match link::greet(connection, self.me, *peer, &self.limits, Some(ticket)).await {
            Ok(established) => {
                let connection = established.connection.clone();
                if door.send(established).await.is_err() {
                    link::end(&connection, &Closed::Local);
                }
            }
            Err(reason) => tracing::debug!(%peer, %reason, "connection came to nothing"),
        }
    }
}

/// The key that the other side has proved.
fn peer_key(connection: &Connection) -> Option<NetworkKey> {
    let presented = connection.peer_identity()?;
    let chain = presented.downcast_ref::<Vec<rustls::pki_types::CertificateDer<'static>>>()?;
    identity::key_of(chain.first()?)
}
