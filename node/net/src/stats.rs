//! Counters for metrics: plain numbers, read without stopping anyone.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use varangian_crypto::ReplicaId;

use crate::error::Closed;

/// One lane of one peer since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Frames handed to QUIC.
    pub frames_sent: u64,
    /// Their bytes, without headers.
    pub bytes_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Their bytes, without headers.
    pub bytes_received: u64,
    /// Frames that were dropped because newer ones needed their place.
    pub dropped_full: u64,
    /// Frames that were dropped because the peer was not connected, or left before they went out.
    pub dropped_down: u64,
}

/// The way to one peer as QUIC sees it, since the connection began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Bytes that may be on their way.
    pub congestion_window: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets taken for lost.
    pub packets_lost: u64,
}

impl PathStats {
    fn of(connection: &quinn::Connection) -> Self {
        let path = connection.stats().path;
        Self {
            rtt: path.rtt,
            congestion_window: path.cwnd,
            packets_sent: path.sent_packets,
            packets_lost: path.lost_packets,
        }
    }
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStats {
    /// Who.
    pub id: ReplicaId,
    /// Whether there is a connection now.
    pub connected: bool,
    /// The way to it, while there is a connection.
    pub path: Option<PathStats>,
    /// Connections established since the start; all but the first are reconnections.
    pub connections: u64,
    /// Why the latest connection, or attempt at one, ended.
    pub last_failure: Option<Closed>,
    /// Votes.
    pub votes: LaneStats,
    /// Bulk.
    pub bulk: LaneStats,
}

/// Incoming connections of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdmissionStats {
    /// Connections now, handshakes included.
    pub connections: usize,
    /// Handshakes now.
    pub handshakes: usize,
    /// Attempts admitted since the start.
    pub admitted: u64,
    /// Attempts asked to prove their address.
    pub retried: u64,
    /// Attempts sent away because a limit was reached.
    pub refused: u64,
    /// Handshakes begun that did not succeed.
    pub failed: u64,
}

/// The mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshStats {
    /// All peers in the order of their ids.
    pub peers: Vec<PeerStats>,
    /// Incoming connections.
    pub admission: AdmissionStats,
}

/// The server that clients talk to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// Clients connected now, with their stream open.
    pub clients: usize,
    /// Frames received since the start.
    pub frames_received: u64,
    /// Frames queued to clients since the start.
    pub frames_queued: u64,
    /// Clients disconnected because they did not read their replies.
    pub slow_readers: u64,
    /// Clients disconnected because a frame or a deadline was broken.
    pub offenders: u64,
    /// Clients disconnected to make room, for others or for what others send.
    pub gave_way: u64,
    /// Incoming connections.
    pub admission: AdmissionStats,
}

/// One lane's counters.
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    frames_sent: AtomicU64,
    bytes_sent: AtomicU64,
    frames_received: AtomicU64,
    bytes_received: AtomicU64,
    dropped_full: AtomicU64,
    dropped_down: AtomicU64,
}

impl LaneCounters {
    pub(crate) fn sent(&self, frames: usize, bytes: usize) {
        self.frames_sent.fetch_add(frames as u64, Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.frames_received.fetch_add(1, Relaxed);
        self.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn dropped_full(&self, frames: usize) {
        self.dropped_full.fetch_add(frames as u64, Relaxed);
    }

    pub(crate) fn dropped_down(&self, frames: usize) {
        self.dropped_down.fetch_add(frames as u64, Relaxed);
    }

    pub(crate) fn read(&self) -> LaneStats {
        LaneStats {
            frames_sent: self.frames_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            frames_received: self.frames_received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            dropped_full: self.dropped_full.load(Relaxed),
            dropped_down: self.dropped_down.load(Relaxed),
        }
    }
}

/// One peer's connection as the counters see it.
#[derive(Debug, Default)]
pub(crate) struct PeerGauge {
    connections: AtomicU64,
    state: Mutex<PeerState>,
}

#[derive(Debug, Default)]
struct PeerState {
    connection: Option<quinn::Connection>,
    last_failure: Option<Closed>,
}

impl PeerGauge {
    pub(crate) fn connected(&self, connection: quinn::Connection) {
        self.connections.fetch_add(1, Relaxed);
        self.lock().connection = Some(connection);
    }

    pub(crate) fn disconnected(&self, reason: Closed) {
        let mut state = self.lock();
        state.connection = None;
        state.last_failure = Some(reason);
    }

    /// Notes why an attempt failed; true if that is news.
    pub(crate) fn attempt_failed(&self, reason: &Closed) -> bool {
        let mut state = self.lock();
        let news = state.last_failure.as_ref() != Some(reason);
        state.last_failure = Some(reason.clone());
        news
    }

    pub(crate) fn read(&self, id: ReplicaId, votes: LaneStats, bulk: LaneStats) -> PeerStats {
        let state = self.lock();
        PeerStats {
            id,
            connected: state.connection.is_some(),
            path: state.connection.as_ref().map(PathStats::of),
            connections: self.connections.load(Relaxed),
            last_failure: state.last_failure.clone(),
            votes,
            bulk,
        }
    }

    fn lock(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
