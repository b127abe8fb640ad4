//! One replica process, from its home to its end.

use crate::config::{Congestion, Settings};
use crate::core::{self, Core, Ended};
use crate::desk::{Clerk, Desk};
use crate::event::{Event, Events};
use crate::execute::{self, ExecutionError};
use crate::home::{Home, HomeError, Member};
use crate::inbound::Inbound;
use crate::link_metrics::Links;
use crate::metrics::Metrics;
use crate::outbound::{self, Post};
use crate::peers::{PeersError, PeersFile};
use crate::persist;
use crate::proofs::Proofs;
use crate::record::{self, RecordError};
use crate::repeat;
use crate::scrape;
use crate::shelf::Shelf;
use crate::shell::Shell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use varangian_application::{Executor, KeyValue, Limits};
use varangian_consensus::{Config, RecoverError};
use varangian_crypto::{Committee, Parameters, ReplicaId, parameters::FRAME_OVERHEAD_BYTES};
use varangian_net::{ClientServer, Mesh, MeshConfig, MeshLimits, NetError, ServiceConfig, ServiceLimits, Transport};
use varangian_runner::{Io, Runner};
use varangian_storage::{Options, Store, StoreError};

/// Time for connections to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(2);
/// How often a changed peers file is looked for.
const PEERS_POLL: Duration = Duration::from_millis(500);

/// Why a replica cannot run.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stored records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Stored state.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// Records that contradict each other.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The peers file.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// The metrics' socket.
    #[error("cannot bind TCP {address} for metrics: {source}; stop what holds it, or choose another address or port 0")]
    Metrics {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something of the operating system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something failed while running; what is on disk is intact.
    #[error("stopped: {0}")]
    Fatal(String),
}

impl ProcessError {
    /// Whether it is the store that refuses: its own exit code, for a person must look at the disk.
    #[must_use]
    pub const fn is_store(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::Record(_) | Self::Execution(_) | Self::Recover(_) | Self::Home(HomeError::Store(_))
        )
    }
}

/// Runs an honest replica until it is told to stop.
///
/// # Errors
/// [`ProcessError`].
pub async fn run(home: &Home, settings: &Settings, events: Events) -> Result<(), ProcessError> {
    run_wrapped(home, settings, events, |desk, _| desk, |shell, _, _| shell, |shell| shell).await
}

/// Runs a replica at whose desk somebody else answers, and whose shell is wrapped: `wrap` puts something around it, `unwrap` finds it again.
///
/// # Errors
/// [`ProcessError`].
pub async fn run_wrapped<I: Io + Send + 'static, C: Clerk + 'static>(
    home: &Home,
    settings: &Settings,
    events: Events,
    clerk: impl FnOnce(Arc<Desk>, &Member) -> Arc<C>,
    wrap: impl FnOnce(Shell, Arc<C>, &Member) -> I,
    unwrap: fn(&mut I) -> &mut Shell,
) -> Result<(), ProcessError> {
    let member = home.load()?;
    let (store, opened) = Store::open(&home.data(), &member.store_identity(), Options::default())?;
    if let Some(torn) = &opened.torn {
        tracing::warn!(?torn, "the log's unfinished end was cut off: nothing in it was acknowledged");
    }
    let store = Arc::new(store);
    let config = Config::new(&member.genesis, &member.committee, member.id);
    let meta = execute::load_meta(&store, config.genesis_history)?;
    let executed = execute::load_executed(&store, &meta, config.interval)?;
    let records = record::load(&store)?;
    let evidence = record::evidence(&records);
    let events = Arc::new(events);

    let (addresses, addresses_watch) = watch::channel(BTreeMap::new());
    let (mesh, mesh_inbox) = Mesh::start(mesh_config(&member, settings, addresses_watch))?;
    let mesh = Arc::new(mesh);
    let (server, client_inbox) = ClientServer::start(service_config(&member, settings))?;
    let server = Arc::new(server);
    let mut metrics = Metrics::new(&evidence);
    metrics.watch(Links { mesh: mesh.clone(), clients: server.clone() });
    let metrics = Arc::new(metrics);
    let listener = TcpListener::bind(settings.metrics_address)
        .await
        .map_err(|source| ProcessError::Metrics { address: settings.metrics_address, source })?;
    let metrics_address = listener.local_addr().map_err(system("asking for the metrics' address"))?;

    let committee = member.committee.clone().with_cache(Arc::new(Proofs::default()));
    let committee = Arc::new(committee.with_client_cache(Arc::new(Proofs::default())));
    let (core, core_inbox) = core::channel(member.id, member.genesis.replicas().len(), member.genesis.parameters());
    let desk = Arc::new(Desk::new(server.clone(), committee.clone()));
    let clerk = clerk(desk.clone(), &member);
    let shelf = Arc::new(Shelf::new(member.genesis.replicas().len(), member.genesis.parameters()));
    let post = Post::new(mesh.clone(), shelf.clone(), metrics.clone());
    let thread = system("starting a thread");
    let (persister, persisting) =
        persist::spawn(store.clone(), settings.retain_bytes, core.clone(), metrics.clone()).map_err(thread)?;
    let (repeating, repeating_thread) =
        repeat::spawn(store.clone(), desk.clone(), clerk.clone(), core.clone(), metrics.clone()).map_err(thread)?;
    let (executing, execution) = execute::spawn(
        Executor::new(KeyValue, Limits::new(member.genesis.parameters()), meta),
        store.clone(),
        clerk.clone(),
        repeating.clone(),
        core.clone(),
        metrics.clone(),
    )
    .map_err(thread)?;
    let (signing, signing_thread) =
        outbound::spawn_signing(member.signer.clone(), post.clone(), core.clone()).map_err(thread)?;
    let (reading, reading_thread) =
        outbound::spawn_reading(member.id, committee.clone(), store.clone(), post.clone(), core.clone())
            .map_err(thread)?;
    let shell = Shell {
        me: member.id,
        persister,
        signing,
        post: post.clone(),
        reading,
        executing,
        credit: core.credit.clone(),
        repeating,
        events: events.clone(),
        metrics: metrics.clone(),
        timers: Vec::new(),
        own: VecDeque::new(),
    };

    let began = Instant::now();
    let executed_slot = executed.slot;
    let runner = Runner::start(config, 0, executed, records, wrap(shell, clerk.clone(), &member))?;
    let inbound = Inbound {
        committee,
        core: core.clone(),
        mesh: mesh.clone(),
        shelf,
        post,
        clerk: clerk.clone(),
        metrics: metrics.clone(),
        runtime: Handle::current(),
    };
    let verifying = inbound.spawn(settings.verify_threads, mesh_inbox, client_inbox).map_err(thread)?;
    let core_loop = Core::new(runner, unwrap, core_inbox, clerk, events.clone(), metrics.clone(), began);
    let core_thread = on_own_thread(core_loop.run()).map_err(thread)?;
    let serving = tokio::spawn(scrape::serve(listener, metrics, scrape::Limits::default()));
    // Whoever is told that it listens may send a signal at once: before that, each must be heard.
    let heard = |kind| signal(kind).map_err(system("listening for signals"));
    // A write above the limit on files' sizes is an error like any other; unheard, the signal for it would end the process on the spot.
    let _too_large = heard(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    let watching = tokio::spawn(watch_peers(home.peers(), addresses, heard(SignalKind::hangup())?));
    let stop = tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("asked to stop");
        core.stop();
    });
    events.tell(&Event::Listening {
        replica: member.id.0,
        replica_address: mesh.local_address(),
        client_address: server.local_address(),
        metrics_address,
        executed: executed_slot.0,
    });

    let ended = core_thread.await.unwrap_or_else(|_| Ended::Fatal("the core's thread died".into()));
    stop.abort();
    watching.abort();
    serving.abort();
    if !both(server.shutdown(GOOD_BYE), mesh.shutdown(GOOD_BYE)).await {
        tracing::warn!("connections did not end in time and were cut off");
    }
    // The core is gone, and with it the senders of every thread: each ends when it has done what it was given.
    let join = tokio::task::spawn_blocking(move || {
        let mut died = false;
        let own = [persisting, execution, repeating_thread, signing_thread, reading_thread];
        for thread in verifying.into_iter().chain(own) {
            died |= thread.join().is_err();
        }
        died
    });
    let died = join.await.map_err(|_| ProcessError::Fatal("ending the threads failed".into()))?;
    let ended = match ended {
        Ended::Stopped { .. } if died => Ended::Fatal("a thread of the process died".into()),
        ended => ended,
    };
    match ended {
        Ended::Fatal(reason) => {
            events.tell(&Event::Failed { replica: member.id.0, reason: reason.clone() });
            Err(ProcessError::Fatal(reason))
        }
        Ended::Stopped { executed } => {
            events.tell(&Event::Stopped { replica: member.id.0, executed: executed.0 });
            Ok(())
        }
    }
}

/// Whether both came to a good end; both are taken to their end in any case, for threads wait for what either leaves open.
async fn both(one: impl Future<Output = bool>, other: impl Future<Output = bool>) -> bool {
    let (one, other) = tokio::join!(one, other);
    one && other
}

/// The core's thread has a runtime of its own: nothing else runs on it.
fn on_own_thread(
    core: impl Future<Output = Ended> + Send + 'static,
) -> std::io::Result<tokio::sync::oneshot::Receiver<Ended>> {
    let (done, ended) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name("core".into()).spawn(move || {
        if done.send(runtime.block_on(core)).is_err() {
            tracing::debug!("nobody waits for the core's end");
        }
    })?;
    Ok(ended)
}

/// Reads the peers file whenever it changes, and on SIGHUP. A missing or malformed file changes nothing.
async fn watch_peers(path: PathBuf, addresses: watch::Sender<BTreeMap<ReplicaId, SocketAddr>>, mut hangup: Signal) {
    let mut read: Option<SystemTime> = None;
    loop {
        let changed = modified(&path).await;
        if changed.is_some() && changed != read {
            read = changed;
            read_peers(&path, &addresses);
        }
        tokio::select! {
            _ = hangup.recv() => read = None,
            () = tokio::time::sleep(PEERS_POLL) => {}
        }
    }
}

async fn modified(path: &Path) -> Option<SystemTime> {
    tokio::fs::metadata(path).await.and_then(|metadata| metadata.modified()).ok()
}

fn read_peers(path: &Path, addresses: &watch::Sender<BTreeMap<ReplicaId, SocketAddr>>) {
    match PeersFile::load(path) {
        Ok(peers) => {
            let new = peers.replicas();
            let changed = addresses.send_if_modified(|known| {
                let differs = *known != new;
                *known = new;
                differs
            });
            if changed {
                tracing::info!(path = %path.display(), "peers' addresses read");
            }
        }
        Err(error) => tracing::error!(%error, "the peers file is not read; the known addresses stay"),
    }
}

fn mesh_config(
    member: &Member,
    settings: &Settings,
    addresses: watch::Receiver<BTreeMap<ReplicaId, SocketAddr>>,
) -> MeshConfig {
    let parameters = member.genesis.parameters();
    let members = member.genesis.replicas().iter().map(|replica| (replica.id, replica.network_key)).collect();
    MeshConfig {
        me: member.id,
        secret: member.network_key.clone(),
        members,
        addresses,
        bind: settings.replica_address,
        limits: mesh_limits(parameters, &member.committee, settings),
    }
}

/// The lanes' frames are as large as the largest legal message of each.
fn mesh_limits(parameters: &Parameters, committee: &Committee, settings: &Settings) -> MeshLimits {
    let defaults = MeshLimits::default();
    let transport = transport(defaults.transport, settings);
    let largest = parameters.max_frame_bytes as usize;
    let new_view = usize::try_from(parameters.new_view_bytes(committee.quorums())).unwrap_or(largest).min(largest);
    let mut votes = defaults.votes;
    votes.max_frame = votes.max_frame.max(new_view);
    votes.queue_bytes = votes.queue_bytes.max(4 * votes.max_frame);
    votes.inbox_bytes = votes.inbox_bytes.max(votes.max_frame);
    let mut bulk = defaults.bulk;
    // Bodies, and twice as large: what is too large is a proof against the primary that pre-prepared it, up to some size.
    let body = 2 * (u64::from(parameters.max_batch_bytes) + FRAME_OVERHEAD_BYTES);
    bulk.max_frame = usize::try_from(body).unwrap_or(largest).min(largest);
    bulk.queue_bytes = bulk.queue_bytes.max(2 * bulk.max_frame);
    bulk.inbox_bytes = bulk.inbox_bytes.max(bulk.max_frame);
    MeshLimits { transport, votes, bulk, ..defaults }
}

fn service_config(member: &Member, settings: &Settings) -> ServiceConfig {
    let defaults = ServiceLimits::default();
    let mut connection = defaults.connection;
    connection.max_frame = connection.max_frame.max(member.genesis.parameters().max_command_bytes as usize + 64);
    connection.queue_bytes = connection.queue_bytes.max(connection.max_frame);
    connection.inbox_bytes = connection.inbox_bytes.max(connection.max_frame);
    let inbox_bytes = defaults.inbox_bytes.max(connection.inbox_bytes);
    let shared_bytes = defaults.shared_bytes.max(connection.max_frame);
    let transport = transport(defaults.transport, settings);
    ServiceConfig {
        me: member.id,
        secret: member.network_key.clone(),
        bind: settings.client_address,
        limits: ServiceLimits { transport, connection, inbox_bytes, shared_bytes, ..defaults },
    }
}

fn transport(defaults: Transport, settings: &Settings) -> Transport {
    let congestion = match settings.congestion {
        Congestion::Cubic => varangian_net::Congestion::Cubic,
        Congestion::Bbr => varangian_net::Congestion::Bbr,
        Congestion::Newreno => varangian_net::Congestion::NewReno,
    };
    Transport { congestion, initial_rtt: Duration::from_millis(settings.initial_rtt_ms), ..defaults }
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> ProcessError + Copy {
    move |source| ProcessError::System { what, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::both;
    use std::cell::Cell;

    #[tokio::test]
    async fn both_endpoints_are_closed_whatever_the_first_says() {
        for (one, other) in [(true, true), (true, false), (false, true), (false, false)] {
            let closed = Cell::new(0);
            let close = async |well: bool| {
                closed.set(closed.get() + 1);
                well
            };
            assert_eq!(both(close(one), close(other)).await, one && other);
            assert_eq!(closed.get(), 2);
        }
    }
}
