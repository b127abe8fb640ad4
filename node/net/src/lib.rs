//! Authenticated QUIC between replicas, and between clients and replicas: bytes in, bytes out.
//!
//! This crate knows peers, keys, streams, frames and limits. It does not know the protocol: what a frame means is
//! the caller's business, and nothing here is ever a reason to trust a frame's content. What it promises is *who*
//! sent a frame (the pinned ed25519 key of RFC 7250), that no peer or client can make a collection here grow
//! without bound, and that votes never wait behind bulk data.
//!
//! Nothing is delivered for certain: a frame may be lost with its connection or dropped from a full queue. The
//! protocol retransmits state, so this crate retransmits nothing.
//!
//! Reading order:
//!
//! | module | what it holds |
//! |-|-|
//! | [`limits`] | every bound and time-out of this crate, per role, with defaults |
//! | [`error`] | what can go wrong, and why a connection ended |
//! | [`identity`] | an ed25519 seed as a raw public key TLS identity, and the keys derived from it |
//! | [`verify`] | who is accepted: pinned keys that have signed the handshake |
//! | [`endpoint`] | QUIC and TLS settings of each role, and its UDP socket |
//! | [`frame`] | length-prefixed frames on a stream |
//! | [`inbox`] | bounded queue of what arrived, by count and by bytes per source |
//! | `outbox` | bounded queue of what shall leave, by count and bytes |
//! | `budget` | what many connections hold together |
//! | [`bucket`] | how fast something may go |
//! | `admission` | which incoming connection may begin a handshake |
//! | `accept` | from a datagram of a stranger to a connection whose handshake is done |
//! | `link` | one peer: the newest proven connection, its two lanes, its end |
//! | `dialler` | keeps one connection to one higher peer alive |
//! | [`stats`] | counters for metrics |
//! | [`mesh`] | all replicas: the interface of a node to its peers |
//! | [`service`] | the interface of a node to its clients |
//! | [`dial`] | the interface of a client to a node |

mod accept;
mod admission;
mod budget;
mod dialler;
mod link;
mod outbox;

pub mod bucket;
pub mod dial;
pub mod endpoint;
pub mod error;
pub mod frame;
pub mod identity;
pub mod inbox;
pub mod limits;
pub mod mesh;
pub mod service;
pub mod stats;
pub mod verify;

pub use bucket::{Bucket, Rate};
pub use dial::{ClientConnection, ClientEndpoint, ClientReceiver, ClientSender, connect};
pub use error::{Closed, FrameError, NetError};
pub use frame::Frame;
pub use identity::Identity;
pub use inbox::Inbox;
pub use limits::{AdmissionLimits, Congestion, DialLimits, LaneLimits, MeshLimits, ServiceLimits, Transport};
pub use mesh::{Lane, Mesh, MeshConfig, MeshEvent, MeshInbox};
pub use service::{ClientEvent, ClientServer, ConnectionId, ServiceConfig};
pub use stats::{AdmissionStats, LaneStats, MeshStats, PathStats, PeerStats, ServiceStats};
