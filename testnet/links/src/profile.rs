//! Networks by name: a shape for each pair of replicas.
//!
//! The latencies of the two wide-area profiles are half of the round-trip times that Microsoft publishes between Azure regions
//! (<https://learn.microsoft.com/azure/networking/azure-network-latency>, the data set of July 2026: 95th percentile over the 30 days to 30 July 2026, rows:
//! source). A 95th percentile, so jitter is small on top. Within a region, and for jitter, loss and bandwidth, nothing is published there: those are assumptions of
//! this table. The satellite's latency is that of one hop over a geostationary satellite (RFC 2488, section 2: 239.6 to 279.0 ms).
//! A [`Relay`](crate::Relay)'s timers add one to two milliseconds, which matters to `lan` alone.

use crate::shape::Shape;

/// All profiles.
pub static PROFILES: [Profile; 6] = [
    Profile {
        name: "perfect",
        about: "no delay, no loss: what the machine's loopback does",
        regions: &[],
        round_trips_ms: &[],
        base: Shape::PERFECT,
    },
    Profile {
        name: "lan",
        about: "one switch: 0.2 to 0.3 ms one way, 1 Gbit/s",
        regions: &[],
        round_trips_ms: &[],
        base: Shape {
            latency_ms: 0.2,
            jitter_ms: 0.1,
            bandwidth_mbit: Some(1000.0),
            queue_kib: 1024,
            ..Shape::PERFECT
        },
    },
    Profile {
        name: "wan-3-regions",
        about: "two coasts and an ocean: East US, West US 2, West Europe; 37 to 77 ms one way",
        regions: &["East US", "West US 2", "West Europe"],
        round_trips_ms: &[&[1.0, 75.0, 89.0], &[76.0, 1.0, 147.0], &[91.0, 153.0, 1.0]],
        base: Shape { jitter_ms: 1.0, loss: 0.0001, bandwidth_mbit: Some(500.0), queue_kib: 4096, ..Shape::PERFECT },
    },
    Profile {
        name: "wan-5-continents",
        about: "East US, West Europe, Southeast Asia, Brazil South, Australia East; 44 to 169 ms one way",
        regions: &["East US", "West Europe", "Southeast Asia", "Brazil South", "Australia East"],
        round_trips_ms: &[
            &[1.0, 89.0, 229.0, 119.0, 207.0],
            &[91.0, 1.0, 182.0, 189.0, 282.0],
            &[229.0, 181.0, 1.0, 337.0, 98.0],
            &[121.0, 191.0, 337.0, 1.0, 298.0],
            &[206.0, 282.0, 98.0, 298.0, 1.0],
        ],
        base: Shape { jitter_ms: 3.0, loss: 0.001, bandwidth_mbit: Some(200.0), queue_kib: 4096, ..Shape::PERFECT },
    },
    Profile {
        name: "lossy",
        about: "5 % lost, 1 % twice, 2 % out of order; 10 to 15 ms one way",
        regions: &[],
        round_trips_ms: &[],
        base: Shape { latency_ms: 10.0, jitter_ms: 5.0, loss: 0.05, duplicate: 0.01, reorder: 0.02, ..Shape::PERFECT },
    },
    Profile {
        name: "satellite",
        about: "a geostationary hop: 270 to 280 ms one way, 20 Mbit/s, 0.5 % lost",
        regions: &[],
        round_trips_ms: &[],
        base: Shape {
            latency_ms: 270.0,
            jitter_ms: 10.0,
            loss: 0.005,
            bandwidth_mbit: Some(20.0),
            queue_kib: 1024,
            ..Shape::PERFECT
        },
    },
];

/// A network by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// What it is called.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Where replicas are: replica `i` in the region `i` modulo their number. Empty: all in one place.
    pub regions: &'static [&'static str],
    /// From each region (row) to each region and back, in milliseconds. Empty without regions.
    pub round_trips_ms: &'static [&'static [f64]],
    /// Each link, the latency between regions apart.
    pub base: Shape,
}

impl Profile {
    /// The profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// The directed link from one replica to another, by their indices.
    #[must_use]
    pub fn shape(&self, from: usize, to: usize) -> Shape {
        let regions = self.regions.len();
        if regions == 0 {
            return self.base;
        }
        Shape { latency_ms: self.round_trips_ms[from % regions][to % regions] / 2.0, ..self.base }
    }
}

#[cfg(test)]
mod tests;
