//! Counters in Prometheus' format.

use crate::core::refusal;
use crate::link_metrics::Links;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use varangian_consensus::{Evidence, Ignored, Phase, Replica};
use varangian_crypto::ReplicaId;

type Labelled = Family<Vec<(&'static str, String)>, Counter>;

/// Everything that is measured while running. Cheap: atomics, and a lock only where a new label appears.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    view: Gauge,
    shortfalls: Gauge,
    active: Gauge,
    executed: Gauge,
    stable: Gauge,
    behind: Gauge,
    waiting: Gauge,
    armed: Gauge,
    effects_waiting: Gauge,
    peers: Gauge,
    slots: Counter,
    commands: Counter,
    operations: Counter,
    batch_commands: Histogram,
    batch_bytes: Histogram,
    sync_seconds: Histogram,
    records: Counter,
    verify_seconds: Histogram,
    sent: Labelled,
    received: Labelled,
    refused: Labelled,
    ignored: Labelled,
    accused: Labelled,
    accusations: Mutex<BTreeMap<u16, u64>>,
}

impl Metrics {
    /// All at zero; `past` are the proofs that the store holds already.
    #[must_use]
    pub fn new(past: &[Evidence]) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("varangian"),
            view: Gauge::default(),
            shortfalls: Gauge::default(),
            active: Gauge::default(),
            executed: Gauge::default(),
            stable: Gauge::default(),
            behind: Gauge::default(),
            waiting: Gauge::default(),
            armed: Gauge::default(),
            effects_waiting: Gauge::default(),
            peers: Gauge::default(),
            slots: Counter::default(),
            commands: Counter::default(),
            operations: Counter::default(),
            batch_commands: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            batch_bytes: Histogram::new(exponential_buckets(256.0, 4.0, 8)),
            sync_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            records: Counter::default(),
            verify_seconds: Histogram::new(exponential_buckets(0.000_01, 2.0, 16)),
            sent: Family::default(),
            received: Family::default(),
            refused: Family::default(),
            ignored: Family::default(),
            accused: Family::default(),
            accusations: Mutex::default(),
        };
        metrics.register();
        for evidence in past {
            metrics.accused(evidence.accused());
        }
        metrics
    }

    /// Shows the connections' figures too.
    pub fn watch(&mut self, links: Links) {
        self.registry.register_collector(Box::new(links));
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("view", "The view that the replica is in or asks for", self.view.clone());
        r.register(
            "shortfalls",
            "Primaries that the replica has given up for being slow or unfair, since it started",
            self.shortfalls.clone(),
        );
        r.register("active", "1 if it votes in that view, 0 while it asks for it", self.active.clone());
        r.register("executed_slot", "Last executed slot", self.executed.clone());
        r.register("stable_slot", "Last stable checkpoint", self.stable.clone());
        r.register("behind", "1 if a certificate proves that the replica is behind", self.behind.clone());
        r.register("pool_commands", "Commands that wait for their order", self.waiting.clone());
        r.register("pool_armed_commands", "Commands whose deadline is watched", self.armed.clone());
        r.register("effects_waiting", "Effects that wait for a group commit", self.effects_waiting.clone());
        r.register("connected_peers", "Peers with a connection", self.peers.clone());
        r.register("slots", "Slots executed since the start", self.slots.clone());
        r.register("commands", "Commands executed since the start", self.commands.clone());
        r.register("operations", "Operations executed since the start", self.operations.clone());
        r.register("batch_commands", "Commands per executed batch", self.batch_commands.clone());
        r.register_with_unit("batch", "Size of executed batches", Unit::Bytes, self.batch_bytes.clone());
        r.register_with_unit(
            "group_commit",
            "Time of one synced group commit",
            Unit::Seconds,
            self.sync_seconds.clone(),
        );
        r.register("records", "Consensus records made durable", self.records.clone());
        r.register_with_unit("verification", "Time to verify one message", Unit::Seconds, self.verify_seconds.clone());
        r.register("messages_sent", "Messages handed to the network, by kind", self.sent.clone());
        r.register("messages_received", "Messages received from peers, by kind", self.received.clone());
        r.register("refused", "Input that is malformed or proves nothing, by kind", self.refused.clone());
        r.register("ignored", "Inputs that changed nothing, by reason", self.ignored.clone());
        r.register("accusations", "Proofs of misbehaviour, by accused replica", self.accused.clone());
    }

    /// The state after a turn.
    pub fn observe(&self, replica: &Replica, peers: usize, waiting: usize) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.view.set(number(replica.view().0));
        self.shortfalls.set(number(replica.shortfalls()));
        self.active.set(i64::from(replica.phase() == Phase::Active));
        self.executed.set(number(replica.executed().0));
        self.stable.set(number(replica.stable_slot().0));
        self.behind.set(i64::from(replica.is_behind()));
        self.waiting.set(number(replica.pool().len() as u64));
        self.armed.set(number(replica.pool().armed() as u64));
        self.peers.set(number(peers as u64));
        self.effects_waiting.set(number(waiting as u64));
    }

    /// A slot was executed.
    pub fn executed(&self, commands: usize, operations: u64, bytes: usize) {
        self.slots.inc();
        self.commands.inc_by(commands as u64);
        self.operations.inc_by(operations);
        self.batch_commands.observe(commands as f64);
        self.batch_bytes.observe(bytes as f64);
    }

    /// A group commit begins.
    pub fn commit_records(&self, records: usize) {
        self.records.inc_by(records as u64);
    }

    /// A group commit is on disk.
    pub fn synced(&self, took: Duration) {
        self.sync_seconds.observe(took.as_secs_f64());
    }

    /// Times a verification.
    pub fn verifying<T>(&self, verify: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let verified = verify();
        self.verify_seconds.observe(began.elapsed().as_secs_f64());
        verified
    }

    /// A message was handed to the network.
    pub fn sent(&self, kind: &'static str) {
        self.sent.get_or_create(&vec![("kind", kind.to_owned())]).inc();
    }

    /// A message came from a peer.
    pub fn received(&self, kind: &'static str) {
        self.received.get_or_create(&vec![("kind", kind.to_owned())]).inc();
    }

    /// Something came that is malformed or proves nothing.
    pub fn refused(&self, kind: &'static str) {
        self.refused.get_or_create(&vec![("kind", kind.to_owned())]).inc();
    }

    /// The core took no notice of an input.
    pub fn ignored(&self, ignored: Ignored) {
        self.ignored.get_or_create(&vec![("reason", refusal(ignored).to_owned())]).inc();
    }

    /// A replica is proved faulty.
    pub fn accused(&self, accused: ReplicaId) {
        self.accused.get_or_create(&vec![("replica", accused.to_string())]).inc();
        *self.accusations.lock().unwrap_or_else(PoisonError::into_inner).entry(accused.0).or_default() += 1;
    }

    /// Proofs held, by accused replica.
    #[must_use]
    pub fn accusations(&self) -> Vec<(u16, u64)> {
        let accusations = self.accusations.lock().unwrap_or_else(PoisonError::into_inner);
        accusations.iter().map(|(accused, count)| (*accused, *count)).collect()
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        match encode(&mut page, &self.registry) {
            Ok(()) => page,
            Err(error) => format!("# metrics cannot be written: {error}\n"),
        }
    }
}
