//! The interface of a client to a node.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use quinn::{Connection, Endpoint, SendStream, VarInt};
use tokio::time::timeout;
use varangian_crypto::{NetworkKey, ReplicaId};

use crate::{
    endpoint::{self, CODE_SHUTDOWN, Streams},
    error::{Closed, NetError},
    frame::{self, Frame, FrameReader},
    identity::Role,
    limits::DialLimits,
    link,
};

/// A client's UDP socket, for connections to any number of replicas.
#[derive(Clone, Debug)]
pub struct ClientEndpoint {
    endpoint: Endpoint,
    transport: Arc<quinn::TransportConfig>,
    address: SocketAddr,
    limits: DialLimits,
}

impl ClientEndpoint {
    /// Binds a socket; port 0 takes a free one. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A busy address, limits that do not fit together.
    pub fn bind(address: SocketAddr, limits: DialLimits) -> Result<Self, NetError> {
        limits.check()?;
        let (endpoint, address) = endpoint::bind(address, quinn::EndpointConfig::default(), None)?;
        Ok(Self {
            endpoint,
            transport: Arc::new(endpoint::transport(&limits.transport, Streams::NONE)?),
            address,
            limits,
        })
    }

    /// The address that the socket got.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and waits until the last words are out, at most for `deadline`; returns whether they
    /// were. What was sent and not yet acknowledged is lost.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.endpoint.close(VarInt::from_u32(CODE_SHUTDOWN), b"shutting down");
        timeout(deadline, self.endpoint.wait_idle()).await.is_ok()
    }
}

/// Connects to a replica and verifies that it holds `expected`.
///
/// The replica learns of the connection with the first frame, which it wants before its handshake deadline.
///
/// # Errors
/// [`NetError::Connect`] with the reason: no answer in time, another key, a foreign signature, a limit reached.
pub async fn connect(
    endpoint: &ClientEndpoint,
    address: SocketAddr,
    replica: ReplicaId,
    expected: &NetworkKey,
) -> Result<ClientConnection, NetError> {
    let transport = Arc::clone(&endpoint.transport);
    let config = endpoint::client_config(None, Role::Client, expected, transport)?;
    let attempt = timeout(endpoint.limits.connect_deadline, async {
        let connection = endpoint::dial(&endpoint.endpoint, config, address).await?;
        let (send, receive) = connection.open_bi().await?;
        let exporter = endpoint::exporter(&connection, replica)?;
        Ok((connection, send, receive, exporter))
    });
    let failed = |reason| NetError::Connect { address, reason };
    let (connection, send, receive, exporter) = attempt.await.map_err(|_| failed(Closed::Deadline))?.map_err(failed)?;
    let limits = &endpoint.limits;
    Ok(ClientConnection {
        sender: ClientSender { connection: connection.clone(), stream: send, limit: limits.max_frame, torn: false },
        receiver: ClientReceiver {
            reader: FrameReader::new(receive, limits.max_frame, limits.frame_deadline),
            connection,
        },
        exporter,
    })
}

/// A connection to one replica. Dropped, it is closed, and what was not yet acknowledged may be lost.
#[derive(Debug)]
pub struct ClientConnection {
    sender: ClientSender,
    receiver: ClientReceiver,
    exporter: [u8; 32],
}

/// The half that sends.
#[derive(Debug)]
pub struct ClientSender {
    connection: Connection,
    stream: SendStream,
    limit: usize,
    /// A frame was begun and not completed.
    torn: bool,
}

/// The half that receives.
#[derive(Debug)]
pub struct ClientReceiver {
    connection: Connection,
    reader: FrameReader,
}

impl ClientConnection {
    /// 32 bytes that only this client and this replica share, the same that the replica's
    /// [`crate::ClientEvent::Opened`] carries. To sign them proves a key to this connection and to no other.
    #[must_use]
    pub fn exporter(&self) -> &[u8; 32] {
        &self.exporter
    }

    /// Sends a frame; see [`ClientSender::send`].
    ///
    /// # Errors
    /// As [`ClientSender::send`].
    pub async fn send(&mut self, frame: impl Into<Frame>) -> Result<(), NetError> {
        self.sender.send(frame).await
    }

    /// Receives a frame; see [`ClientReceiver::recv`].
    ///
    /// # Errors
    /// As [`ClientReceiver::recv`].
    pub async fn recv(&mut self) -> Result<Bytes, NetError> {
        self.receiver.recv().await
    }

    /// Two halves for two tasks.
    #[must_use]
    pub fn split(self) -> (ClientSender, ClientReceiver) {
        (self.sender, self.receiver)
    }

    /// Smoothed round-trip time.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.sender.connection.rtt()
    }

    /// Closes the connection at once.
    pub fn close(self) {
        endpoint::close(&self.sender.connection, CODE_SHUTDOWN, "done");
    }
}

impl ClientSender {
    /// Sends a frame, waiting while the replica holds back. To return means that QUIC has taken the bytes, not that
    /// they have arrived. A cancelled call ends the use of this half.
    ///
    /// # Errors
    /// [`NetError::TooLarge`], [`NetError::Torn`] after a cancelled call, [`NetError::Closed`].
    pub async fn send(&mut self, frame: impl Into<Frame>) -> Result<(), NetError> {
        let frame = frame.into();
        let (length, limit) = (frame.len(), self.limit);
        if length > limit {
            return Err(NetError::TooLarge { length, limit });
        }
        if std::mem::replace(&mut self.torn, true) {
            return Err(NetError::Torn);
        }
        let mut pieces = frame::pieces([frame]);
        let written = self.stream.write_all_chunks(&mut pieces).await;
        self.torn = false;
        Ok(written.map_err(Closed::from)?)
    }
}

impl ClientReceiver {
    /// Receives a frame. May be cancelled.
    ///
    /// # Errors
    /// [`NetError::Closed`] with the reason.
    pub async fn recv(&mut self) -> Result<Bytes, NetError> {
        let reason = match self.reader.next().await {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => Closed::StreamEnded,
            Err(reason) => reason,
        };
        Err(link::ended(&self.connection, reason).into())
    }
}
