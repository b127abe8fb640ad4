//! Who has no key of a replica and means harm all the same: malicious clients, and whoever floods the wire.
//!
//! A menace runs in this process, over connections from loopback addresses of its own, and only ever against a network of this machine. Its load is
//! bounded: acts per second, connections, bytes per act. What it signs it signs under fresh keys, and what it asks for lies under [`KEYS`] in the
//! store, so that the honest load's journals and counters stay true.
//!
//! Reading order:
//!
//! - `registry`: every menace by name, with its rows in the table of attacks and what must hold it off.
//! - `spec`: a kind, when it strikes and how often, as a scenario or a person names it.
//! - `counters`: what it did, and what it met. Refused connections and reset streams are its daily bread: counted, never an error.
//! - `target`: the network; `observer`: view and slot, from the replicas' status; `pace`: so many acts per second.
//! - Clients: `hand` (keys, numbers, commands), `commands` (connections and what is sent over them), and a file per behaviour: `bad_signatures`,
//!   `mixed_order_signatures`, `partial`, `gaps`, `replay`, `retries`, `two_faced`, `flood`, `huge`, `scans`, `heavy`.
//! - The wire: `wire` (bare QUIC), and a file per behaviour: `slow_reader`, `malformed`, `oversized`, `slow_writer`, `streams`,
//!   `connections`, `handshakes`.
//!
//! - [`command`]: `varangian-testnet menace`.
//!
//! A new one is a file and a row in `registry`.

mod bad_signatures;
pub mod command;
mod connections;
mod counters;
mod flood;
mod gaps;
mod handshakes;
mod heavy;
mod huge;
mod malformed;
mod mixed_order_signatures;
mod oversized;
mod partial;
mod registry;
mod replay;
mod retries;
mod scans;
mod slow_reader;
mod slow_writer;
mod spec;
mod streams;
mod target;
mod two_faced;

mod commands;
mod hand;
mod observer;
mod pace;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::timeout;
use varangian_application::kv::{Action, Operation};
use varangian_client::ClientError;
use varangian_consensus::Command;
use varangian_crypto::decode;
use varangian_net::NetError;

pub use counters::Counters;
pub use registry::{Kind, MENACES};
pub use spec::{Spec, SpecError};
pub use target::Target;

use counters::Tally;
use observer::Observer;
use registry::Play;
use target::Sources;

/// What the keys in the store begin with that menaces touch: nobody else's do.
pub const KEYS: &[u8] = b"menace/";

/// For the last words on the wire when a menace stops.
const GOOD_BYE: Duration = Duration::from_millis(500);

/// Why a menace does not start.
#[derive(Debug, Error)]
pub enum MenaceError {
    /// Somebody else's machine.
    #[error("{0} is no loopback address; a menace is for networks of this machine only")]
    NotLocal(std::net::SocketAddr),
    /// No socket, or settings that do not fit together.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The observer's connections.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A menace at work. Dropped, it ends without a word.
#[derive(Debug)]
pub struct Menace {
    spec: Spec,
    tally: Arc<Tally>,
    tasks: JoinSet<()>,
    endpoints: Vec<quinn::Endpoint>,
}

/// What the tasks of one menace share.
struct Shared {
    target: Target,
    spec: Spec,
    seed: u64,
    tally: Arc<Tally>,
    observer: Observer,
    sources: Sources,
}

impl Menace {
    /// Starts a menace against a network of this machine. Equal seeds make equal keys: a second start against the same network wants another seed, or its
    /// commands are old ones. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`MenaceError`].
    pub fn start(target: &Target, spec: Spec, seed: u64) -> Result<Self, MenaceError> {
        if let Some(address) = target.addresses().find(|address| !address.ip().is_loopback()) {
            return Err(MenaceError::NotLocal(address));
        }
        // Each has addresses of its own, or several would share one's quotas.
        static STARTED: AtomicU8 = AtomicU8::new(0);
        let sources = Sources::new(STARTED.fetch_add(1, Relaxed));
        let (tally, mut tasks) = (Arc::new(Tally::default()), JoinSet::new());
        let observer = Observer::start(target, sources.observer(), &mut tasks)?;
        let shared = Shared { target: target.clone(), spec, seed, tally: Arc::clone(&tally), observer, sources };
        let shared = Arc::new(shared);
        let endpoints = match spec.kind().play {
            Play::Commands(behaviour) => {
                commands::start(&shared, behaviour(), &mut tasks)?;
                Vec::new()
            }
            Play::Wire { act, at_once } => wire::start(&shared, act, at_once, &mut tasks)?,
        };
        Ok(Self { spec, tally, tasks, endpoints })
    }

    /// What it has done and met so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// Waits until the counters are as asked for.
    pub async fn reached(&self, enough: impl FnMut(&Counters) -> bool) -> Counters {
        self.tally.reached(enough).await
    }

    /// Ends it, and says what it came to. Waits half a second at most for the last words on the wire.
    pub async fn stop(mut self) -> Counters {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(menace = %self.spec, %error, "a task of a menace panicked");
            }
        }
        for endpoint in &self.endpoints {
            endpoint.close(0_u32.into(), b"");
        }
        let idle = async {
            for endpoint in &self.endpoints {
                endpoint.wait_idle().await;
            }
        };
        if timeout(GOOD_BYE, idle).await.is_err() {
            tracing::debug!("a menace's connections are cut off: nobody has answered their end");
        }
        self.tally.read()
    }
}

/// Whether a command touches nothing but what is the menaces' own: then no journal needs to know it.
#[must_use]
pub fn keeps_to_its_keys(command: &Command) -> bool {
    // An operation without a byte is none of the store's, and changes nothing.
    let own = |operation: bytes::Bytes| {
        operation.is_empty()
            || match decode(&operation) {
                Ok(Operation::Single(action)) => match action {
                    Action::Get { key }
                    | Action::Put { key, .. }
                    | Action::Delete { key }
                    | Action::CompareAndSwap { key, .. }
                    | Action::Add { key, .. } => key.starts_with(KEYS),
                    Action::Scan { prefix, .. } => prefix.starts_with(KEYS),
                },
                Ok(Operation::Transaction(_)) | Err(_) => false,
            }
    };
    command.operations().all(own)
}
