//! What the network's own counters say, read when somebody looks at the metrics.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;
use varangian_net::{ClientServer, LaneStats, Mesh, PathStats, PeerStats};

/// The connections to peers and clients, for [`crate::metrics::Metrics`].
#[derive(Debug)]
pub struct Links {
    /// Peers.
    pub mesh: Arc<Mesh>,
    /// Clients.
    pub clients: Arc<ClientServer>,
}

/// One figure of each peer's connection, while there is one.
type PathFigure = (&'static str, &'static str, MetricType, fn(&PathStats) -> f64);

const PATHS: [PathFigure; 4] = [
    ("peer_rtt_seconds", "Smoothed round-trip time to the peer", MetricType::Gauge, |path| path.rtt.as_secs_f64()),
    ("peer_congestion_window_bytes", "Bytes that may be on their way to the peer", MetricType::Gauge, |path| {
        path.congestion_window as f64
    }),
    ("peer_packets_sent", "Packets sent on the connection", MetricType::Counter, |path| path.packets_sent as f64),
    ("peer_packets_lost", "Packets of the connection that were lost", MetricType::Counter, |path| {
        path.packets_lost as f64
    }),
];

/// One figure of each lane to each peer, since the start.
type LaneFigure = (&'static str, &'static str, fn(&LaneStats) -> u64);

const LANES: [LaneFigure; 5] = [
    ("lane_frames_sent", "Frames handed to QUIC", |lane| lane.frames_sent),
    ("lane_bytes_sent", "Their bytes", |lane| lane.bytes_sent),
    ("lane_frames_received", "Frames received", |lane| lane.frames_received),
    ("lane_bytes_received", "Their bytes", |lane| lane.bytes_received),
    ("lane_frames_dropped", "Frames dropped because newer ones needed their place, or nobody was connected", |lane| {
        lane.dropped_full + lane.dropped_down
    }),
];

impl Collector for Links {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mesh = self.mesh.stats();
        let clients = self.clients.stats();
        for (name, help, kind, figure) in PATHS {
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (peer, path) in mesh.peers.iter().filter_map(|peer| Some((peer, peer.path.as_ref()?))) {
                let labels = [("peer", peer.id.to_string())];
                let mut metric = metric.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&figure(path), None)?,
                    _ => metric.encode_gauge(&figure(path))?,
                }
            }
        }
        let mut metric =
            encoder.encode_descriptor("peer_connections", "Connections established", None, MetricType::Counter)?;
        for peer in &mesh.peers {
            let labels = [("peer", peer.id.to_string())];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&peer.connections, None)?;
        }
        for (name, help, figure) in LANES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (peer, lane, stats) in mesh.peers.iter().flat_map(lanes) {
                let labels = [("peer", peer.id.to_string()), ("lane", lane.to_owned())];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&figure(stats), None)?;
            }
        }
        let clients_now = i64::try_from(clients.clients).unwrap_or(i64::MAX);
        encoder
            .encode_descriptor("clients", "Clients connected", None, MetricType::Gauge)?
            .encode_gauge(&clients_now)?;
        let admissions = [("peers", mesh.admission), ("clients", clients.admission)];
        let mut metric = encoder.encode_descriptor(
            "connections_turned_away",
            "Attempts to connect that were refused or failed, by endpoint",
            None,
            MetricType::Counter,
        )?;
        for (endpoint, admission) in admissions {
            let labels = [("endpoint", endpoint.to_owned())];
            let away = admission.refused + admission.failed;
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&away, None)?;
        }
        for (name, help, count) in [
            ("clients_too_slow", "Clients disconnected because they did not read their replies", clients.slow_readers),
            ("clients_against_rules", "Clients disconnected for a broken frame or deadline", clients.offenders),
            ("clients_gave_way", "Clients disconnected to make room for others", clients.gave_way),
        ] {
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        Ok(())
    }
}

fn lanes(peer: &PeerStats) -> [(&PeerStats, &'static str, &LaneStats); 2] {
    [(peer, "votes", &peer.votes), (peer, "bulk", &peer.bulk)]
}
