//! Every bound and time-out of this crate, per role.
//!
//! The defaults suit a handful of replicas on one machine or in one region. Where two numbers must fit together,
//! `check` says which and how.

use std::time::Duration;

use crate::{bucket::Rate, budget, error::NetError};

/// Congestion controller of a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// Fast on clean links; collapses under loss and per-packet delay.
    #[default]
    Cubic,
    /// Keeps its rate under loss; about half as fast on a clean loopback.
    Bbr,
    /// The simple one, for comparison.
    NewReno,
}

/// QUIC settings of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Round-trip time assumed before the first sample. A lost first packet is sent again after three times this.
    pub initial_rtt: Duration,
    /// Congestion controller.
    pub congestion: Congestion,
    /// Silence after which a connection is given up.
    pub idle_timeout: Duration,
    /// Silence after which a probe is sent; below `idle_timeout`.
    pub keep_alive: Duration,
    /// Bytes of one stream that may be on their way unread. The windows of a connection follow from it.
    pub stream_window: u32,
}

/// What one lane, or one client connection, may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// Largest frame, in bytes without its header, in either direction.
    pub max_frame: usize,
    /// Frames waiting to be sent to one peer.
    pub queue_frames: usize,
    /// Bytes waiting to be sent to one peer; at least `max_frame`.
    pub queue_bytes: usize,
    /// Bytes of one peer that wait for the node to take them; at least `max_frame`. The peer's next frame is not
    /// read before there is room, which holds back this peer's lane and nobody else.
    pub inbox_bytes: usize,
}

/// Who may begin a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Connections at any time, handshakes included.
    pub connections: usize,
    /// Connections per address (IPv6: per /64), handshakes included.
    pub per_address: usize,
    /// Handshakes at any time; more are refused.
    pub handshakes: usize,
    /// Of these, per address: or one that begins and never goes on would keep everybody else out, replicas that were restarted among them.
    pub handshakes_per_address: usize,
    /// How fast one address may begin handshakes: each costs this side more than the other one.
    pub handshake_rate: Rate,
    /// Handshakes in progress from which on a stranger must first prove its address (a Retry, RFC 9000 §8.1.2).
    /// The same is asked of an address that already uses half of one of its shares, so that a forged source address
    /// cannot use up that of its owner.
    pub retry_above: usize,
    /// Time for a handshake and the first frame after it.
    pub handshake_deadline: Duration,
}

/// Limits of the replica mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshLimits {
    /// QUIC settings.
    pub transport: Transport,
    /// Who may begin a handshake.
    pub admission: AdmissionLimits,
    /// The lane of votes.
    pub votes: LaneLimits,
    /// The lane of bodies, certificates and snapshots.
    pub bulk: LaneLimits,
    /// Events of a lane, over all peers, that wait for the node. Few: peers wait in turn for a place, and an honest one's vote stands behind whatever
    /// is in the queue already.
    pub inbox_frames: usize,
    /// Time from the first byte of a frame to its last.
    pub frame_deadline: Duration,
    /// First pause before a lost peer is dialled again; doubles per failure.
    pub redial_first: Duration,
    /// Longest such pause.
    pub redial_cap: Duration,
}

/// Limits of the server that clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// QUIC settings.
    pub transport: Transport,
    /// Who may begin a handshake, and how many connections there are.
    pub admission: AdmissionLimits,
    /// One connection: its frames, its unsent replies, its bytes in flight to the node.
    pub connection: LaneLimits,
    /// Events of all connections that wait for the node. Few, as those of peers.
    pub inbox_frames: usize,
    /// Bytes of all connections that wait for the node; at least one connection's share.
    pub inbox_bytes: usize,
    /// Bytes that all connections together may hold above 16 KiB of each: of frames that arrive, and as much again of replies.
    pub shared_bytes: usize,
    /// Time from the first byte of a frame to its last.
    pub frame_deadline: Duration,
    /// Time for a client to take what is being written to it, 64 KiB or one frame.
    pub write_deadline: Duration,
    /// Where all places are taken, a client that has said nothing for so long may have to give up its own.
    pub silence: Duration,
}

/// Limits of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialLimits {
    /// QUIC settings.
    pub transport: Transport,
    /// Largest frame, in bytes without its header, in either direction.
    pub max_frame: usize,
    /// Time for a connection attempt.
    pub connect_deadline: Duration,
    /// Time from the first byte of a frame to its last.
    pub frame_deadline: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            initial_rtt: Duration::from_millis(50),
            congestion: Congestion::Cubic,
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(1),
            stream_window: 4 << 20,
        }
    }
}

impl Default for MeshLimits {
    fn default() -> Self {
        Self {
            transport: Transport::default(),
            admission: AdmissionLimits {
                connections: 512,
                per_address: 256,
                handshakes: 128,
                handshakes_per_address: 32,
                handshake_rate: Rate { burst: 128, per_second: 32 },
                retry_above: 32,
                handshake_deadline: Duration::from_secs(3),
            },
            votes: LaneLimits { max_frame: 1 << 20, queue_frames: 8192, queue_bytes: 8 << 20, inbox_bytes: 4 << 20 },
            bulk: LaneLimits { max_frame: 16 << 20, queue_frames: 1024, queue_bytes: 64 << 20, inbox_bytes: 32 << 20 },
            inbox_frames: 8,
            frame_deadline: Duration::from_secs(60),
            redial_first: Duration::from_millis(10),
            redial_cap: Duration::from_secs(1),
        }
    }
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            transport: Transport {
                idle_timeout: Duration::from_secs(30),
                keep_alive: Duration::from_secs(10),
                stream_window: 256 << 10,
                ..Transport::default()
            },
            admission: AdmissionLimits {
                connections: 4096,
                per_address: 256,
                handshakes: 512,
                handshakes_per_address: 128,
                handshake_rate: Rate { burst: 256, per_second: 64 },
                retry_above: 64,
                handshake_deadline: Duration::from_secs(3),
            },
            connection: LaneLimits {
                max_frame: 1 << 20,
                queue_frames: 4096,
                queue_bytes: 2 << 20,
                inbox_bytes: 2 << 20,
            },
            inbox_frames: 64,
            inbox_bytes: 64 << 20,
            shared_bytes: 64 << 20,
            frame_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(10),
            silence: Duration::from_secs(10),
        }
    }
}

impl Default for DialLimits {
    fn default() -> Self {
        Self {
            transport: Transport {
                idle_timeout: Duration::from_secs(30),
                keep_alive: Duration::from_secs(5),
                stream_window: 4 << 20,
                ..Transport::default()
            },
            max_frame: 1 << 20,
            connect_deadline: Duration::from_secs(3),
            frame_deadline: Duration::from_secs(30),
        }
    }
}

/// Fails with `message` unless `holds`.
fn ensure(holds: bool, message: &'static str) -> Result<(), NetError> {
    if holds { Ok(()) } else { Err(NetError::Limits(message)) }
}

/// Frame lengths travel as `u32`; more than this is a mistake in a configuration, not a need.
const LARGEST_FRAME: usize = 1 << 30;

/// Keeps sums of windows far from overflow.
const LARGEST_WINDOW: u32 = 1 << 28;

impl Transport {
    fn check(&self) -> Result<(), NetError> {
        ensure(
            (1 << 14..=LARGEST_WINDOW).contains(&self.stream_window),
            "stream_window must be between 16 KiB and 256 MiB",
        )?;
        ensure(
            !self.keep_alive.is_zero() && self.keep_alive < self.idle_timeout,
            "keep_alive must be above zero and below idle_timeout",
        )?;
        ensure(
            !self.initial_rtt.is_zero() && self.idle_timeout <= Duration::from_secs(3600),
            "initial_rtt must be above zero and idle_timeout at most one hour",
        )
    }
}

impl LaneLimits {
    fn check(&self) -> Result<(), NetError> {
        ensure((1..=LARGEST_FRAME).contains(&self.max_frame), "max_frame must be between 1 byte and 1 GiB")?;
        ensure(
            self.queue_frames >= 1 && self.queue_bytes >= self.max_frame,
            "queue_frames must be at least 1 and queue_bytes at least max_frame",
        )?;
        ensure(
            (self.max_frame..=2 * LARGEST_FRAME).contains(&self.inbox_bytes),
            "inbox_bytes must be between max_frame and 2 GiB",
        )
    }
}

impl AdmissionLimits {
    fn check(&self) -> Result<(), NetError> {
        ensure(
            self.connections >= 1 && self.per_address >= 1 && self.handshakes >= 1 && self.handshakes_per_address >= 1,
            "connections, per_address, handshakes and handshakes_per_address must be at least 1",
        )?;
        ensure(
            self.handshake_rate.burst >= 1 && self.handshake_rate.per_second >= 1,
            "handshake_rate must be at least 1 at once and 1 a second",
        )?;
        ensure(!self.handshake_deadline.is_zero(), "handshake_deadline must be above zero")
    }
}

impl MeshLimits {
    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// [`NetError::Limits`] names the first rule that is broken.
    pub fn check(&self) -> Result<(), NetError> {
        self.transport.check()?;
        self.admission.check()?;
        self.votes.check()?;
        self.bulk.check()?;
        ensure(self.inbox_frames >= 1, "inbox_frames must be at least 1")?;
        ensure(!self.frame_deadline.is_zero(), "frame_deadline must be above zero")?;
        ensure(
            !self.redial_first.is_zero() && self.redial_first <= self.redial_cap,
            "redial_first must be above zero and at most redial_cap",
        )
    }
}

impl LaneLimits {
    /// Bytes that one connection can make one lane hold: the queue and what its writer has in hand, the frame that
    /// arrives and the one that waits for the inbox, and QUIC's windows. The inbox itself is not in it.
    fn memory_bound(&self, transport: &Transport) -> u64 {
        let window = u64::from(transport.stream_window);
        let frames = (self.queue_bytes + 3 * self.max_frame) as u64;
        frames + 2 * window + 3 * crate::frame::CHUNK as u64
    }
}

impl MeshLimits {
    /// Bytes of content that `peers` peers can make this side hold at worst; QUIC's bookkeeping comes on top. A frame
    /// that waits for several peers is counted for each, though its bytes are there once.
    #[must_use]
    pub fn memory_bound(&self, peers: usize) -> u64 {
        let lanes = self.votes.memory_bound(&self.transport) + self.bulk.memory_bound(&self.transport);
        peers as u64 * (lanes + (self.votes.inbox_bytes + self.bulk.inbox_bytes) as u64)
    }
}

impl ServiceLimits {
    /// Bytes of content that all clients together can make this side hold at worst; QUIC's bookkeeping comes on top.
    #[must_use]
    pub fn memory_bound(&self) -> u64 {
        let windows = 2 * u64::from(self.transport.stream_window) + 3 * crate::frame::CHUNK as u64;
        let each = windows + 2 * budget::OWN as u64;
        self.admission.connections as u64 * each + (self.inbox_bytes + 2 * self.shared_bytes) as u64
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// [`NetError::Limits`] names the first rule that is broken.
    pub fn check(&self) -> Result<(), NetError> {
        self.transport.check()?;
        self.admission.check()?;
        self.connection.check()?;
        ensure(
            self.inbox_frames >= 1 && self.inbox_bytes >= self.connection.inbox_bytes,
            "inbox_frames must be at least 1 and inbox_bytes at least one connection's inbox_bytes",
        )?;
        ensure(
            self.shared_bytes >= self.connection.max_frame,
            "shared_bytes must be at least one connection's max_frame",
        )?;
        ensure(
            !self.frame_deadline.is_zero() && !self.write_deadline.is_zero(),
            "frame_deadline and write_deadline must be above zero",
        )
    }
}

impl DialLimits {
    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// [`NetError::Limits`] names the first rule that is broken.
    pub fn check(&self) -> Result<(), NetError> {
        self.transport.check()?;
        ensure((1..=LARGEST_FRAME).contains(&self.max_frame), "max_frame must be between 1 byte and 1 GiB")?;
        ensure(
            !self.connect_deadline.is_zero() && !self.frame_deadline.is_zero(),
            "connect_deadline and frame_deadline must be above zero",
        )
    }
}

#[cfg(test)]
mod tests;
