//! Concurrent signed clients that load a network and write down what they did.
//!
//! Closed loop: each client keeps so many commands in flight, and sends the next when one is answered. Open loop: commands are due at moments that do
//! not depend on the answers, and a latency counts from the moment a command was *due*, so that a network that stalls cannot hide it by being asked
//! less.
//!
//! A command whose outcome is unknown is sent again, the same bytes, until it has one; after the load has ended, for [`Load::resolve_deadline`] more.
//!
//! - [`operations`]: what the clients ask for, and when, by a seed.
//! - [`report`]: what came of it.
//! - `client`: one client.

mod client;
pub mod operations;
pub mod report;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use varangian_client::identity::{self, IdentityError};
use varangian_client::{ClientError, Connections, Network, Options, Session};
use varangian_crypto::SigningKey;

use crate::journal::{Journal, JournalError};
use client::Client;
use operations::{Mix, OperationError};
use report::Recorder;
pub use report::{Progress, Report};

/// Clients that share one set of connections.
const CLIENTS_PER_CONNECTIONS: usize = 64;
/// Sets of connections at most.
const MAX_CONNECTIONS: usize = 8;
/// For a quorum of replicas to be connected.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// For one transmission of a command and its repetitions, before it counts as unknown and is begun anew.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(5);
/// For the replicas to hear that the connections close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// Between two calls of `progress`.
const TICK: Duration = Duration::from_millis(100);

/// What a load is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Clients, each with a key of its own.
    pub clients: usize,
    /// Commands that each client has on their way at most; at most the genesis' `client_window`.
    pub in_flight: usize,
    /// Operations in each command.
    pub bundle: usize,
    /// Bytes of each value that is put.
    pub value_bytes: usize,
    /// Open loop: operations per second over all clients. `None`: closed loop.
    pub rate: Option<f64>,
    /// What is asked for.
    pub mix: Mix,
    /// Of operations and due times. The same seed gives every client the same operations in the same order.
    pub seed: u64,
    /// Commands begun in this first part are not counted in the latencies.
    pub warmup: Duration,
    /// After the load has ended, for what is still unanswered.
    pub resolve_deadline: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            clients: 16,
            in_flight: 4,
            bundle: 1,
            value_bytes: 512,
            rate: None,
            mix: Mix::default(),
            seed: 1,
            warmup: Duration::ZERO,
            resolve_deadline: Duration::from_secs(30),
        }
    }
}

/// Why there is no load, or no more.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A setting is of no use.
    #[error("{0}")]
    Setting(String),
    /// There is no randomness for a key.
    #[error(transparent)]
    Key(#[from] IdentityError),
    /// No quorum of replicas was reached.
    #[error("no quorum of replicas is reached within {} s ({states}); see that the network is up", CONNECT_DEADLINE.as_secs())]
    Unreachable {
        /// How each connection stands.
        states: String,
    },
    /// The client library.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An operation does not fit the store.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// A client's task panicked.
    #[error("a client of the load broke down: {0}")]
    Broken(#[from] JoinError),
}

/// Fresh keys from the system's randomness. A load numbers its commands from one, so that no key serves two loads of one chain.
///
/// # Errors
/// [`LoadError::Key`].
pub fn fresh_keys(count: usize) -> Result<Vec<SigningKey>, LoadError> {
    (0..count).map(|_| identity::generate().map_err(LoadError::from)).collect()
}

/// Loads a network until `stop` is true or its sender is gone, then resolves what is unanswered.
///
/// `keys` are those of the clients; none may have been used on this chain. With `journals`, each client writes what it does into that directory.
/// `progress` is told ten times a second, from the first to the last command.
///
/// # Errors
/// [`LoadError`]. Commands that were on their way may then have run.
pub async fn run(
    network: &Network,
    keys: Vec<SigningKey>,
    load: &Load,
    journals: Option<&Path>,
    stop: watch::Receiver<bool>,
    progress: impl Fn(Progress),
) -> Result<Report, LoadError> {
    load.check(network, &keys)?;
    let connections = connect(network, load)?;
    let sessions = sessions(&connections, keys, journals)?;
    reach_quorum(&connections).await?;
    let recorder = Arc::new(Recorder::new(load)?);
    let window = network.genesis().parameters().client_window.into();
    let mut lanes = JoinSet::new();
    for (index, (session, journal)) in sessions.into_iter().enumerate() {
        let client = Arc::new(Client::new(index, session, journal, load, Arc::clone(&recorder), window));
        for _ in 0..load.in_flight {
            lanes.spawn(Arc::clone(&client).lane(stop.clone()));
        }
    }
    follow(&mut lanes, &recorder, stop, progress).await?;
    for one in &connections {
        one.close(CLOSE_DEADLINE).await;
    }
    Ok(recorder.report())
}

/// Waits for all lanes to end, and says meanwhile how it goes.
async fn follow(
    lanes: &mut JoinSet<Result<(), LoadError>>,
    recorder: &Recorder,
    stop: watch::Receiver<bool>,
    progress: impl Fn(Progress),
) -> Result<(), LoadError> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ended = false;
    let stopped = stopped(stop);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            biased;
            () = &mut stopped, if !ended => {
                ended = true;
                recorder.end();
            }
            _ = ticks.tick() => progress(recorder.progress()),
            lane = lanes.join_next() => match lane {
                Some(lane) => lane??,
                None => break,
            },
        }
    }
    recorder.end();
    progress(recorder.progress());
    Ok(())
}

/// Ends when the load is to end.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("whoever could stop the load is gone: that stops it too");
    }
}

impl Load {
    fn check(&self, network: &Network, keys: &[SigningKey]) -> Result<(), LoadError> {
        let wrong = |text: String| Err(LoadError::Setting(text));
        let parameters = network.genesis().parameters();
        let window = parameters.client_window as usize;
        if self.clients == 0 || self.bundle == 0 || self.in_flight == 0 {
            return wrong("a load needs at least one client, one command in flight and one operation in it".into());
        }
        if self.in_flight > window {
            return wrong(format!(
                "{} in flight: the genesis allows a client {window}; use more clients",
                self.in_flight
            ));
        }
        if keys.len() != self.clients {
            return wrong(format!("{} clients need as many keys, not {}", self.clients, keys.len()));
        }
        if keys.iter().map(SigningKey::public_bytes).collect::<BTreeSet<_>>().len() != keys.len() {
            return wrong("two clients have the same key".into());
        }
        if self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return wrong(
                "the rate is in operations per second and above zero; leave it away for a closed loop".into(),
            );
        }
        self.mix.check().map_err(LoadError::from)
    }
}

/// The sets of connections that the clients share. On a network of this machine each has a loopback address of its own, as clients elsewhere would.
fn connect(network: &Network, load: &Load) -> Result<Vec<Connections>, LoadError> {
    let count = load.clients.div_ceil(CLIENTS_PER_CONNECTIONS).min(MAX_CONNECTIONS);
    let local = network.addresses().iter().all(|address| matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()));
    let commands = load.clients.saturating_mul(load.in_flight).max(1);
    let open = |index: usize| {
        let own = u8::try_from(index + 1).unwrap_or(u8::MAX);
        let bind = local.then(|| SocketAddr::from((Ipv4Addr::new(127, 78, 0, own), 0)));
        let options = Options {
            bind,
            deadline: ATTEMPT_DEADLINE,
            outstanding: commands,
            queue: commands.max(1024),
            ..Options::default()
        };
        Connections::open(network, options)
    };
    Ok((0..count).map(open).collect::<Result<_, _>>()?)
}

type Prepared = Vec<(Session, Option<Journal>)>;

fn sessions(
    connections: &[Connections],
    keys: Vec<SigningKey>,
    journals: Option<&Path>,
) -> Result<Prepared, LoadError> {
    keys.into_iter()
        .zip(connections.iter().cycle())
        .map(|(key, connections)| {
            let journal = journals.map(|directory| Journal::create(directory, &key.client_key())).transpose()?;
            Ok((connections.session(key)?, journal))
        })
        .collect()
}

async fn reach_quorum(connections: &[Connections]) -> Result<(), LoadError> {
    for one in connections {
        let quorum = one.committee().quorums().quorum();
        if timeout(CONNECT_DEADLINE, one.connected(quorum)).await.is_err() {
            let states = one.states().into_iter().enumerate().map(|(id, state)| format!("r{id}: {state:?}"));
            return Err(LoadError::Unreachable { states: states.collect::<Vec<_>>().join("; ") });
        }
    }
    Ok(())
}
