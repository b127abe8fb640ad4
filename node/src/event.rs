//! What the process tells on standard output: one line per event, for people or for machines.

use serde::Serialize;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Something that whoever started the process waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The store is open and the sockets are bound.
    Listening {
        /// This replica.
        replica: u16,
        /// For replicas (UDP).
        replica_address: SocketAddr,
        /// For clients (UDP).
        client_address: SocketAddr,
        /// For metrics (TCP).
        metrics_address: SocketAddr,
        /// Last executed slot on disk.
        executed: u64,
    },
    /// Connected to so many peers that, with this replica, they are a quorum.
    Ready {
        /// This replica.
        replica: u16,
        /// Its view.
        view: u64,
        /// Peers connected.
        connected: usize,
    },
    /// An operator must know.
    Alarm {
        /// This replica.
        replica: u16,
        /// What is wrong.
        message: String,
    },
    /// Somebody is proved faulty.
    Accused {
        /// This replica.
        replica: u16,
        /// Who is proved faulty.
        accused: u16,
        /// What it did.
        kind: &'static str,
    },
    /// The process ends because something failed.
    Failed {
        /// This replica.
        replica: u16,
        /// What.
        reason: String,
    },
    /// The process ends in order.
    Stopped {
        /// This replica.
        replica: u16,
        /// Last executed slot.
        executed: u64,
    },
}

/// Where events go.
#[derive(Debug)]
pub struct Events {
    json: bool,
    out: Mutex<io::Stdout>,
}

impl Events {
    /// To standard output, as JSON lines or as sentences.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json, out: Mutex::new(io::stdout()) }
    }

    /// Tells one event. If nobody listens any more, that is logged and not fatal.
    pub fn tell(&self, event: &Event) {
        let line = if self.json {
            serde_json::to_string(event)
                .unwrap_or_else(|error| format!("{{\"event\":\"unprintable\",\"error\":\"{error}\"}}"))
        } else {
            event.sentence()
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            tracing::warn!(%error, line, "standard output is gone");
        }
    }
}

impl Event {
    fn sentence(&self) -> String {
        match self {
            Self::Listening { replica, replica_address, client_address, metrics_address, executed } => format!(
                "r{replica} listening: replicas {replica_address}, clients {client_address}, metrics http://{metrics_address}/metrics; executed up to slot {executed}"
            ),
            Self::Ready { replica, view, connected } => {
                format!("r{replica} ready: view {view}, {connected} peers connected")
            }
            Self::Alarm { replica, message } => format!("r{replica} ALARM: {message}"),
            Self::Accused { replica, accused, kind } => format!("r{replica} has proof against r{accused}: {kind}"),
            Self::Failed { replica, reason } => format!("r{replica} failed: {reason}"),
            Self::Stopped { replica, executed } => format!("r{replica} stopped: executed up to slot {executed}"),
        }
    }
}
