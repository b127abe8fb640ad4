//! Deadlines, retransmission and bounds of a client.

use std::net::SocketAddr;
use std::time::Duration;

use varangian_net::Congestion;

/// How a client behaves. All durations are those of a monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// From the call to its answer. Default 10 s.
    pub deadline: Duration,
    /// Without an answer for so long, a command goes to all replicas. Default: four times what answers to witnessed commands take usually, at most half of the genesis'
    /// `base_timeout_ms`.
    pub fan_out_after: Option<Duration>,
    /// Of so many commands one, at random, goes to all replicas at once: it is by these that backups see how the primary treats clients. Default 8; 0: none.
    pub witnessed_one_in: u32,
    /// Longest pause between two transmissions of a command; the pause doubles from `fan_out_after`. Default 4 s.
    pub retransmit_cap: Duration,
    /// First pause after a `Busy`; doubles up to sixteen times itself. Default 20 ms.
    pub busy_pause: Duration,
    /// First pause before a lost replica is dialled again; doubles per failure. Default 50 ms.
    pub redial_first: Duration,
    /// Longest such pause. Default 2 s.
    pub redial_cap: Duration,
    /// Commands on their way at one time, over all sessions of the connections; more wait. Default 16,384.
    pub outstanding: usize,
    /// Commands that wait to be written to one replica; beyond it one is sent with its next transmission. Default 16,384.
    pub queue: usize,
    /// Local UDP address. Default: any, port 0.
    pub bind: Option<SocketAddr>,
    /// Congestion controller.
    pub congestion: Congestion,
    /// Round-trip time assumed before the first sample. Default 50 ms.
    pub initial_rtt: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            fan_out_after: None,
            witnessed_one_in: 8,
            retransmit_cap: Duration::from_secs(4),
            busy_pause: Duration::from_millis(20),
            redial_first: Duration::from_millis(50),
            redial_cap: Duration::from_secs(2),
            outstanding: 16_384,
            queue: 16_384,
            bind: None,
            congestion: Congestion::default(),
            initial_rtt: Duration::from_millis(50),
        }
    }
}
