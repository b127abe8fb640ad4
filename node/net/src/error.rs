//! What can go wrong, and why a connection ended.

use std::{io, net::SocketAddr};

use quinn::{ConnectionError, ReadError, WriteError};
use thiserror::Error;
use varangian_crypto::ReplicaId;

use crate::service::ConnectionId;

/// Why a call failed. Each message says what to do next.
#[derive(Debug, Error)]
pub enum NetError {
    /// The UDP socket could not be had.
    #[error("cannot bind UDP {address}: {source}; stop what holds it, or choose another address or port 0")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Limits that do not fit together.
    #[error("network limits do not fit together: {0}; correct the configuration")]
    Limits(&'static str),
    /// TLS refuses the key or the settings.
    #[error("TLS refuses this identity or its settings: {0}; create the network key anew")]
    Tls(String),
    /// The node's own key is not the one listed for it.
    #[error("this network key is not the one that the genesis lists for {0}; start with the right home directory")]
    NotMyKey(ReplicaId),
    /// A member list with two equal ids or keys, or without the node itself.
    #[error("the member list names {0} not at all or twice, or gives its key to another; correct the genesis")]
    Members(ReplicaId),
    /// No such peer.
    #[error("{0} is not a peer of this replica; send to members other than oneself only")]
    UnknownPeer(ReplicaId),
    /// A frame above its lane's limit.
    #[error("a frame of {length} bytes exceeds the limit of {limit}; split it, or raise the limit on every replica")]
    TooLarge {
        /// Bytes of the frame.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The client has gone.
    #[error("{0} is closed; drop what was meant for it")]
    Gone(ConnectionId),
    /// The client does not read its replies and has been disconnected.
    #[error("{0} does not read its replies and is disconnected; drop what was meant for it")]
    SlowReader(ConnectionId),
    /// An earlier send was cancelled half way, so the stream cannot carry another frame.
    #[error("an earlier send on this connection was cancelled half way; connect again")]
    Torn,
    /// A connection attempt failed.
    #[error("cannot connect to {address}: {reason}; check the address and the key, then try again")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        reason: Closed,
    },
    /// The connection has ended.
    #[error("connection ended: {0}; connect again")]
    Closed(#[from] Closed),
}

/// Why a connection ended, as far as this side knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Closed {
    /// The same peer has proved itself on a newer connection.
    #[error("replaced by a newer connection of the same peer")]
    Replaced,
    /// A stateless reset: the peer has restarted.
    #[error("the peer has restarted")]
    Reset,
    /// Nothing was heard for the idle time-out.
    #[error("the peer has been silent for too long")]
    Silent,
    /// A handshake, or the first frame after it, took too long.
    #[error("the handshake took too long")]
    Deadline,
    /// TLS failed on either side: a foreign key, a foreign signature, another ALPN, an X.509 certificate.
    #[error("the handshake was refused: {0}")]
    Refused(String),
    /// The hello names another sender or receiver than the keys do.
    #[error("the peer's hello does not match its key; compare the genesis files")]
    WrongHello,
    /// The peer closed the connection and said why.
    #[error("closed by the peer: {reason} (code {code})")]
    ByPeer {
        /// One of the codes in [`crate::endpoint`].
        code: u64,
        /// Text of the peer, at most 256 characters of it.
        reason: String,
    },
    /// A frame that breaks the rules.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer ended a stream that lives as long as the connection.
    #[error("the peer ended its stream")]
    StreamEnded,
    /// The peer does not read what is sent to it.
    #[error("the reader does not keep up with what is sent to it")]
    SlowReader,
    /// All places for clients were taken, and this one had said nothing for longest.
    #[error("silent while others wait for a place")]
    Crowded,
    /// This side closed the connection.
    #[error("closed on this side")]
    Local,
    /// QUIC failed in another way.
    #[error("transport failed: {0}")]
    Transport(String),
}

/// Why a frame could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length in the header exceeds the limit; nothing was allocated.
    #[error("a frame of {length} bytes was announced, the limit is {limit}")]
    TooLarge {
        /// Announced length.
        length: usize,
        /// Allowed length.
        limit: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// A frame was begun and not completed in time.
    #[error("a frame was not completed in time")]
    Endless,
    /// All connections together hold too much for one more frame of this size.
    #[error("no room for a large frame at present")]
    NoRoom,
}

/// The peer's own words are for logs only; a long text is cut.
const LONGEST_REASON: usize = 256;

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::LocallyClosed => Self::Local,
            ConnectionError::ApplicationClosed(close) => Self::ByPeer {
                code: close.error_code.into_inner(),
                reason: cut(String::from_utf8_lossy(&close.reason).into_owned()),
            },
            // Crypto errors (RFC 9001 §4.8) carry a TLS alert in the range 0x100..0x200; CONNECTION_REFUSED is 2.
            ConnectionError::TransportError(error) if is_refusal(error.code) => Self::Refused(cut(error.to_string())),
            ConnectionError::ConnectionClosed(close) if is_refusal(close.error_code) => {
                Self::Refused(cut(close.to_string()))
            }
            other => Self::Transport(cut(other.to_string())),
        }
    }
}

fn cut(text: String) -> String {
    text.chars().take(LONGEST_REASON).collect()
}

fn is_refusal(code: quinn::TransportErrorCode) -> bool {
    let code = u64::from(code);
    code == u64::from(quinn::TransportErrorCode::CONNECTION_REFUSED) || (0x100..0x200).contains(&code)
}

impl From<ReadError> for Closed {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => error.into(),
            ReadError::Reset(_) | ReadError::ClosedStream => Self::StreamEnded,
            other => Self::Transport(other.to_string()),
        }
    }
}

impl From<WriteError> for Closed {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            WriteError::Stopped(_) | WriteError::ClosedStream => Self::StreamEnded,
            other => Self::Transport(other.to_string()),
        }
    }
}
