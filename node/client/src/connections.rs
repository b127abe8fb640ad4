//! Connections to all replicas, kept up in the background, and sessions of clients over them.
//!
//! One set of connections serves any number of clients: each is a [`Session`], which signs and sends with numbers that its caller gives. Whoever wants
//! numbers that survive a crash takes a [`crate::Client`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use varangian_consensus::{Command, Sequence};
use varangian_crypto::{ClientKey, Committee, ReplicaId, SigningKey};
use varangian_net::{ClientEndpoint, DialLimits, Transport};

use crate::error::ClientError;
use crate::hub::{Hub, LinkState, Outgoing};
use crate::network::Network;
use crate::options::Options;
use crate::outcome::Committed;
use crate::protocol::ReplicaStatus;
use crate::{link, submission};

/// Connections to all replicas of a network. Clones share them; with the last clone and session they end.
#[derive(Clone)]
pub struct Connections {
    hub: Arc<Hub>,
    endpoint: ClientEndpoint,
    /// Ends the tasks when dropped.
    tasks: Arc<JoinSet<()>>,
}

/// One client over shared connections.
pub struct Session {
    connections: Connections,
    key: SigningKey,
    client: ClientKey,
}

impl Connections {
    /// Begins to connect to every replica. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::Socket`] if no socket can be had.
    pub fn open(network: &Network, options: Options) -> Result<Self, ClientError> {
        let (hub, queues) = Hub::new(network.committee().clone(), options);
        let hub = Arc::new(hub);
        let bind = hub.options.bind.unwrap_or_else(|| any_address(network.addresses()));
        let endpoint = ClientEndpoint::bind(bind, dial_limits(&hub))?;
        let mut tasks = JoinSet::new();
        for (replica, queue) in network.replicas().zip(queues) {
            tasks.spawn(link::keep(Arc::clone(&hub), endpoint.clone(), replica, queue));
        }
        Ok(Self { hub, endpoint, tasks: Arc::new(tasks) })
    }

    /// A client over these connections.
    ///
    /// # Errors
    /// [`ClientError::TooManySessions`]: a replica serves 1024 clients on one connection.
    pub fn session(&self, key: SigningKey) -> Result<Session, ClientError> {
        self.hub.register(&key)?;
        Ok(Session { connections: self.clone(), client: key.client_key(), key })
    }

    /// Waits until `count` replicas, at most all, are connected.
    pub async fn connected(&self, count: usize) {
        let count = count.min(self.hub.links.len());
        let mut changes = self.hub.changes.subscribe();
        while self.hub.links.iter().filter(|link| link.connection().is_some()).count() < count {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// How the connection to each replica stands, in their order.
    #[must_use]
    pub fn states(&self) -> Vec<LinkState> {
        self.hub.states()
    }

    /// The committee.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        &self.hub.committee
    }

    /// Who probably leads.
    #[must_use]
    pub fn primary(&self) -> ReplicaId {
        self.hub.primary()
    }

    /// Asks one replica where it stands. Its word alone: true only if it is honest.
    ///
    /// # Errors
    /// [`ClientError::NoSuchReplica`]; [`ClientError::Unavailable`] if it does not answer before the deadline.
    pub async fn status(&self, replica: ReplicaId) -> Result<ReplicaStatus, ClientError> {
        let link = self.hub.link(replica).ok_or(ClientError::NoSuchReplica(replica))?;
        let mut changes = self.hub.changes.subscribe();
        let answer = tokio::time::timeout(self.hub.options.deadline, async {
            loop {
                let (asker, answer) = oneshot::channel();
                if link.connection().is_some()
                    && link.offer(Outgoing::Status(asker))
                    && let Ok(status) = answer.await
                {
                    return Some(status);
                }
                // There is no connection, or the question was lost with it.
                changes.changed().await.ok()?;
            }
        });
        match answer.await {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(ClientError::Unavailable { why: "the connections are closed".into() }),
            Err(_) => Err(ClientError::Unavailable { why: format!("{replica} does not say where it stands") }),
        }
    }

    /// Closes all connections and tells the replicas, waiting at most for `deadline`.
    pub async fn close(&self, deadline: Duration) {
        if !self.endpoint.shutdown(deadline).await {
            tracing::debug!("connections cut off before the replicas had heard of it");
        }
    }

    /// Whether no clone and no session shares them.
    pub(crate) fn is_last(&self) -> bool {
        Arc::strong_count(&self.tasks) == 1
    }

    pub(crate) const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Session {
    /// Who it is.
    #[must_use]
    pub const fn client(&self) -> ClientKey {
        self.client
    }

    /// Signs a bundle of operations under a number that this key has used for nothing else.
    ///
    /// # Errors
    /// [`ClientError::Command`] or [`ClientError::TooLarge`].
    pub fn command<O: AsRef<[u8]>>(&self, sequence: Sequence, operations: &[O]) -> Result<Command, ClientError> {
        signed(&self.key, &self.connections.hub.committee, sequence, operations)
    }

    /// Sends a command of this client until it has an outcome or the deadline has passed. To send it again is safe: it runs at most once and has one
    /// reply. Dropped, it is no longer sent, and may nevertheless run.
    ///
    /// # Errors
    /// [`ClientError`]; see [`ClientError::is_unknown`].
    pub async fn send(&self, command: Command) -> Result<Committed, ClientError> {
        let hub = self.connections.hub();
        submission::submit(hub, command, Instant::now() + hub.options.deadline).await
    }

    /// [`Self::command`], then [`Self::send`]. The caller keeps fewer than the genesis' `client_window` numbers outstanding.
    ///
    /// # Errors
    /// As both.
    pub async fn submit_with<O: AsRef<[u8]>>(
        &self,
        sequence: Sequence,
        operations: &[O],
    ) -> Result<Committed, ClientError> {
        self.send(self.command(sequence, operations)?).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connections.hub.unregister(&self.client);
    }
}

/// Signs a command that fits the chain.
pub(crate) fn signed<O: AsRef<[u8]>>(
    key: &SigningKey,
    committee: &Committee,
    sequence: Sequence,
    operations: &[O],
) -> Result<Command, ClientError> {
    let parameters = committee.parameters();
    let fits = |found: usize, maximum: u32, unit| match found as u64 {
        found if found > u64::from(maximum) => Err(ClientError::TooLarge { found, maximum: maximum.into(), unit }),
        _ => Ok(()),
    };
    fits(operations.len(), parameters.max_batch_operations, "operations")?;
    fits(operations.iter().map(|one| one.as_ref().len()).sum(), parameters.max_command_bytes, "bytes of operations")?;
    let command = Command::sign(key, committee.context(), sequence, operations)?;
    fits(command.encoded().len(), parameters.max_command_bytes, "bytes")?;
    Ok(command)
}

fn dial_limits(hub: &Hub) -> DialLimits {
    let defaults = DialLimits::default();
    let Options { congestion, initial_rtt, .. } = hub.options;
    DialLimits {
        transport: Transport { congestion, initial_rtt, ..defaults.transport },
        max_frame: hub.longest_frame(),
        ..defaults
    }
}

fn any_address(replicas: &[SocketAddr]) -> SocketAddr {
    let any = if replicas.iter().all(SocketAddr::is_ipv4) {
        IpAddr::from(Ipv4Addr::UNSPECIFIED)
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    SocketAddr::new(any, 0)
}
