//! The links between the replicas of a network: a relay for each pair, between the one that dials (the lower id) and the other.
//!
//! Clients reach replicas directly.

use anyhow::{Context as _, anyhow};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use varangian_crypto::ReplicaId;
use varangian_links::{Direction, Profile, Relay, Schedule, Settings, Shape};

use crate::layout::loopback;

/// See the module.
#[derive(Debug)]
pub struct Links {
    profile: &'static Profile,
    seed: u64,
    /// What differs from the profile.
    shapes: BTreeMap<(ReplicaId, ReplicaId), Shape>,
    relays: BTreeMap<(ReplicaId, ReplicaId), Arc<Relay>>,
    /// Changes all of them by a timing model. Ends with them.
    following: Option<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Links {
    /// All as in the profile.
    #[must_use]
    pub const fn new(profile: &'static Profile, seed: u64) -> Self {
        Self { profile, seed, shapes: BTreeMap::new(), relays: BTreeMap::new(), following: None }
    }

    /// Where `dialler` finds `target`, which listens at `real`: always the same address of ours.
    ///
    /// # Errors
    /// If there is no socket.
    pub async fn address(
        &mut self,
        dialler: ReplicaId,
        target: ReplicaId,
        real: SocketAddr,
    ) -> anyhow::Result<SocketAddr> {
        if let Some(relay) = self.relays.get(&(dialler, target)) {
            relay.set_target(real);
            return Ok(relay.address());
        }
        let settings = Settings {
            upstream: loopback(dialler),
            to_target: self.shape(dialler, target),
            to_dialler: self.shape(target, dialler),
            seed: self.seed ^ (u64::from(dialler.0) << 32 | u64::from(target.0) << 16),
            ..Settings::new(beside(dialler), loopback(dialler), real)
        };
        let relay = Relay::bind(settings).await.with_context(|| format!("the link {dialler} - {target}"))?;
        let address = relay.address();
        self.relays.insert((dialler, target), Arc::new(relay));
        Ok(address)
    }

    /// Makes a directed link other than in the profile.
    ///
    /// # Errors
    /// If the shape is out of bounds.
    pub fn set(&mut self, from: ReplicaId, to: ReplicaId, shape: Shape) -> anyhow::Result<()> {
        shape.check()?;
        self.shapes.insert((from, to), shape);
        self.apply(from, to)
    }

    /// Makes a directed link as in the profile again.
    ///
    /// # Errors
    /// None that is expected: profiles are within bounds.
    pub fn heal(&mut self, from: ReplicaId, to: ReplicaId) -> anyhow::Result<()> {
        self.shapes.remove(&(from, to));
        self.apply(from, to)
    }

    /// Makes all links as in another profile.
    ///
    /// # Errors
    /// None that is expected: profiles are within bounds.
    pub fn become_like(&mut self, profile: &'static Profile) -> anyhow::Result<()> {
        self.following = None;
        self.profile = profile;
        self.shapes.clear();
        let pairs: Vec<_> = self.relays.keys().copied().collect();
        pairs.into_iter().try_for_each(|(low, high)| self.apply(low, high).and_then(|()| self.apply(high, low)))
    }

    /// From now on all links are as a timing model says, until [`Links::become_like`] ends that.
    ///
    /// # Errors
    /// If the schedule is out of bounds.
    pub fn follow(&mut self, schedule: Schedule) -> anyhow::Result<()> {
        schedule.check()?;
        let relays = self.relays.iter().map(|(pair, relay)| (*pair, relay.clone())).collect();
        self.following = Some(AbortOnDrop(tokio::spawn(follow(schedule, relays))));
        Ok(())
    }

    /// A directed link now.
    #[must_use]
    pub fn shape(&self, from: ReplicaId, to: ReplicaId) -> Shape {
        self.shapes.get(&(from, to)).copied().unwrap_or_else(|| self.profile.shape(from.index(), to.index()))
    }

    fn apply(&self, from: ReplicaId, to: ReplicaId) -> anyhow::Result<()> {
        let shape = self.shape(from, to);
        let (pair, direction) =
            if from < to { ((from, to), Direction::ToTarget) } else { ((to, from), Direction::ToDialler) };
        // Before the first start there is nothing to change yet: relays begin with what is said here.
        self.relays
            .get(&pair)
            .map_or(Ok(()), |relay| relay.set_shape(direction, &shape))
            .map_err(|error| anyhow!(error))
    }
}

/// Gives every link the shape that a schedule has for it, whenever that changes.
async fn follow(schedule: Schedule, relays: Vec<((ReplicaId, ReplicaId), Arc<Relay>)>) {
    let began = Instant::now();
    loop {
        let elapsed = began.elapsed();
        let mut next: Option<Duration> = None;
        for ((low, high), relay) in &relays {
            for (direction, from, to) in [(Direction::ToTarget, low, high), (Direction::ToDialler, high, low)] {
                let (from, to) = (from.index(), to.index());
                if let Err(error) = relay.set_shape(direction, &schedule.shape(from, to, elapsed)) {
                    tracing::error!(%error, "a schedule's shape is out of bounds");
                }
                let change = schedule.next_change(from, to, elapsed);
                next = next.into_iter().chain(change).min();
            }
        }
        let Some(next) = next else { return };
        sleep_until(began + next).await;
    }
}

/// An address of its own for each dialler, beside those of the replicas.
const fn beside(dialler: ReplicaId) -> IpAddr {
    let [high, low] = dialler.0.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 78, high, low.wrapping_add(1)))
}
