//! What a replica's process says: event lines on its standard output.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::watch;

/// What a replica's process has said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its addresses, once it listens.
    pub listening: Option<Listening>,
    /// Whether it is connected to a quorum.
    pub ready: bool,
    /// Alarms.
    pub alarms: Vec<String>,
    /// How often each of its attacks has struck.
    pub strikes: BTreeMap<String, u64>,
    /// Why it ends, if it says so.
    pub failed: Option<String>,
    /// Whether its standard output has ended: it is gone.
    pub ended: bool,
}

/// Where a replica listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// For replicas.
    pub replica_address: SocketAddr,
    /// For clients.
    pub client_address: SocketAddr,
    /// For metrics.
    pub metrics_address: SocketAddr,
}

/// An event line of a process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// It can be reached.
    Listening {
        /// Where.
        #[serde(flatten)]
        listening: Listening,
    },
    /// It is connected to a quorum.
    Ready {},
    /// An operator must know.
    Alarm {
        /// What is wrong.
        message: String,
    },
    /// Somebody is proved faulty.
    Accused {},
    /// It is malicious, and did so often what an honest replica would not.
    Struck {
        /// How often, by attack; those too that have not struck yet.
        strikes: BTreeMap<String, u64>,
    },
    /// It ends because something failed.
    Failed {
        /// What.
        reason: String,
    },
    /// It ends in order.
    Stopped {},
}

/// Follows a process' event lines to their end.
pub async fn listen(stdout: ChildStdout, say: watch::Sender<Said>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Line>(&line) {
            Ok(event) => say.send_modify(|said| match event {
                Line::Listening { listening } => said.listening = Some(listening),
                Line::Ready {} => said.ready = true,
                Line::Alarm { message } => said.alarms.push(message),
                Line::Struck { strikes } => said.strikes = strikes,
                Line::Failed { reason } => said.failed = Some(reason),
                Line::Accused {} | Line::Stopped {} => {}
            }),
            Err(error) => tracing::warn!(line, %error, "a replica says what is not an event"),
        }
    }
    say.send_modify(|said| said.ended = true);
}
