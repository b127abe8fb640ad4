//! Bare QUIC, without a key of a replica: what an outsider can do on either endpoint.
//!
//! An act is a task of its own and as long as a connection's life; so many run at once and no more.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use varangian_client::protocol::Request;
use varangian_crypto::{NetworkKey, ReplicaId};
use varangian_net::endpoint::tls_client;
use varangian_net::frame::Assembler;
use varangian_net::identity::Role;
use varangian_net::{Identity, NetError};

use super::commands::count;
use super::counters::{Tally, of_closed, of_connection};
use super::hand::{fresh_key, replica};
use super::pace::Pace;
use super::target::{Door, Sources};
use super::{MenaceError, Shared};
use crate::load::operations::SplitMix;

/// For a connection to come up.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest life of a connection that the other side does not end.
const LIFE: Duration = Duration::from_secs(20);
/// Bytes of an answer that is looked at.
const LONGEST_ANSWER: usize = 1 << 20;

/// What one act does. It ends with its connection, and is cut off after twenty seconds.
pub(super) type ActFn = fn(Act) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One act of an outsider.
pub(super) struct Act {
    pub(super) shared: Arc<Shared>,
    pub(super) random: SplitMix,
    pub(super) door: Door,
    pub(super) replica: ReplicaId,
    pub(super) address: SocketAddr,
    key: NetworkKey,
    endpoint: Endpoint,
}

/// Begins to act, in tasks of `tasks`; `at_once`: acts at a time. Gives what is to be closed in the end.
pub(super) fn start(
    shared: &Arc<Shared>,
    act: ActFn,
    at_once: usize,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<Endpoint>, MenaceError> {
    let bind = |number| {
        let address = shared.sources.flooding(number);
        Endpoint::client(address).map_err(|source| NetError::Bind { address, source })
    };
    let endpoints = (0..Sources::COUNT).map(bind).collect::<Result<Vec<_>, _>>()?;
    tasks.spawn(play(Arc::clone(shared), act, at_once, endpoints.clone()));
    Ok(endpoints)
}

/// Acts for ever.
async fn play(shared: Arc<Shared>, act: ActFn, at_once: usize, endpoints: Vec<Endpoint>) {
    let (places, mut acts) = (Arc::new(Semaphore::new(at_once)), JoinSet::new());
    let mut random = SplitMix::of(shared.seed, 0, 0);
    let mut pace = Pace::new(shared.spec.rate());
    for number in 0.. {
        pace.next().await;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while acts.try_join_next().is_some() {}
        let strikes = shared.spec.strikes(number, shared.observer.place());
        shared.tally.act(strikes);
        let replica = replica(&mut random, &shared.target);
        let door = if random.below(2) == 0 { Door::Clients } else { Door::Replicas };
        let endpoint = endpoints.get(usize::try_from(random.below(endpoints.len() as u64)).unwrap_or(0));
        if !strikes {
            let shared = Arc::clone(&shared);
            acts.spawn(async move {
                if shared.observer.ask(replica).await {
                    shared.tally.answered("status");
                }
                drop(place);
            });
        } else if let (Some((address, key)), Some(endpoint)) = (shared.target.endpoint(replica, door), endpoint) {
            let (endpoint, random) = (endpoint.clone(), SplitMix::of(random.next(), 0, 1));
            let one = Act { shared: Arc::clone(&shared), random, door, replica, address, key, endpoint };
            acts.spawn(async move {
                if timeout(LIFE, act(one)).await.is_err() {
                    tracing::trace!("an act's life is over");
                }
                drop(place);
            });
        }
    }
}

impl Act {
    /// The same, at the clients' endpoint.
    pub(super) fn at_the_clients_door(mut self) -> Self {
        self.door = Door::Clients;
        if let Some((address, key)) = self.shared.target.endpoint(self.replica, self.door) {
            (self.address, self.key) = (address, key);
        }
        self
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// The settings to dial with: at a replicas' endpoint half of the time with a key, which the genesis does not name.
    pub(super) fn config(&mut self, window: Option<u32>) -> Option<ClientConfig> {
        let role = match self.door {
            Door::Clients => Role::Client,
            Door::Replicas => Role::Replica,
        };
        let stranger = (self.door == Door::Replicas && self.random.below(2) == 0)
            .then(|| Identity::new(&fresh_key(&mut self.random)))
            .and_then(Result::ok);
        let tls = tls_client(stranger.as_ref(), role, &self.key).ok()?;
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).ok()?));
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_secs(1)));
        if let Some(window) = window {
            transport.stream_receive_window(window.into()).receive_window(window.into());
        }
        config.transport_config(Arc::new(transport));
        Some(config)
    }

    /// A connection, if one comes up.
    pub(super) async fn connect(&mut self, window: Option<u32>) -> Option<Connection> {
        let Some(config) = self.config(window) else {
            self.tally().held_back("no settings");
            return None;
        };
        let connecting = match self.endpoint.connect_with(config, self.address, "varangian") {
            Ok(connecting) => connecting,
            Err(error) => {
                tracing::debug!(%error, "not dialled");
                self.tally().held_back("not dialled");
                return None;
            }
        };
        match timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => {
                self.tally().opened();
                Some(connection)
            }
            Ok(Err(error)) => {
                self.tally().unopened(of_connection(error));
                None
            }
            Err(_) => {
                self.tally().unopened("no answer in time");
                None
            }
        }
    }

    /// A stream that this endpoint reads: bidirectional at the clients', the other at the replicas'. Counts the connection's end if there is none.
    pub(super) async fn stream(&self, connection: &Connection) -> Option<(SendStream, Option<RecvStream>)> {
        let opened = match self.door {
            Door::Clients => connection.open_bi().await.map(|(send, receive)| (send, Some(receive))),
            Door::Replicas => connection.open_uni().await.map(|send| (send, None)),
        };
        match opened {
            Ok(streams) => {
                self.tally().change(|counters| counters.streams += 1);
                Some(streams)
            }
            Err(error) => {
                self.tally().ended(of_connection(error));
                None
            }
        }
    }

    /// Writes; says whether the stream took it.
    pub(super) async fn write(&self, stream: &mut SendStream, bytes: &[u8]) -> bool {
        match stream.write_all(bytes).await {
            Ok(()) => {
                self.tally().sent(bytes.len());
                true
            }
            // The connection's end is counted by whoever waits for it.
            Err(error) => {
                tracing::trace!(%error, "not written");
                false
            }
        }
    }

    /// Waits for the connection's end, and counts it.
    pub(super) async fn ended(&self, connection: &Connection) {
        self.tally().ended(of_closed(&connection.closed().await.into()));
    }

    /// Reads and counts answers until the connection ends, and counts that.
    pub(super) async fn listen(&self, connection: &Connection, receive: Option<RecvStream>) {
        if let Some(mut stream) = receive {
            let mut assembler = Assembler::new(LONGEST_ANSWER);
            while let Ok(Some(chunk)) = stream.read_chunk(LONGEST_ANSWER, true).await {
                self.tally().received(chunk.bytes.len());
                let mut unread = chunk.bytes;
                while unread.has_remaining() {
                    match assembler.take(&mut unread) {
                        Ok(Some(frame)) => count(self.tally(), &frame),
                        Ok(None) => {}
                        Err(_) => unread.clear(),
                    }
                }
            }
        }
        self.ended(connection).await;
    }
}

/// A frame as it stands on a stream.
pub(super) fn framed(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [length.to_le_bytes().as_slice(), content].concat()
}

/// What any client may ask.
pub(super) fn status() -> Bytes {
    Request::Status.encode().head
}

/// The hello of a replica to another, the first frame of a connection among replicas.
pub(super) fn hello(from: ReplicaId, to: ReplicaId) -> Vec<u8> {
    [from.0.to_le_bytes(), to.0.to_le_bytes()].concat()
}
