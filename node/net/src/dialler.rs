//! Keeps one connection to one higher peer alive: dials, waits for its end or for another address, dials again.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use quinn::{ClientConfig, Connection, Endpoint};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use varangian_crypto::ReplicaId;

use crate::{
    endpoint,
    error::Closed,
    identity,
    limits::MeshLimits,
    link::{self, Established, Peer},
};

/// The address of each peer as this replica sees it.
pub(crate) type Addresses = watch::Receiver<BTreeMap<ReplicaId, SocketAddr>>;

pub(crate) struct Dialler {
    pub(crate) me: ReplicaId,
    pub(crate) peer: Arc<Peer>,
    pub(crate) endpoint: Endpoint,
    pub(crate) config: ClientConfig,
    pub(crate) addresses: Addresses,
    pub(crate) candidates: mpsc::Sender<Established>,
    pub(crate) limits: MeshLimits,
}

impl Dialler {
    /// Runs until the link is gone. A new address is dialled while the old connection goes on; the link lets the
    /// newer one win once it has proved itself.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(self.limits.redial_first, self.limits.redial_cap);
        loop {
            let address = self.address().await;
            let mut addresses = self.addresses.clone();
            let attempt = tokio::select! {
                attempt = attempt(&self, address) => attempt,
                () = moved(&mut addresses, self.peer.id, address) => continue,
            };
            let connection = match attempt {
                Ok(established) => {
                    backoff.reset();
                    let connection = established.connection.clone();
                    if self.candidates.send(established).await.is_err() {
                        return;
                    }
                    Some(connection)
                }
                Err(reason) => {
                    self.note(address, &reason);
                    None
                }
            };
            tokio::select! {
                () = pause(connection, &mut backoff) => {}
                () = moved(&mut self.addresses, self.peer.id, address) => {}
            }
        }
    }

    /// The peer's address, as soon as there is one.
    async fn address(&mut self) -> SocketAddr {
        loop {
            let known = self.addresses.borrow_and_update().get(&self.peer.id).copied();
            match known {
                Some(address) => return address,
                None => changed(&mut self.addresses).await,
            }
        }
    }

    /// The first failure of a kind is worth a warning, its repetitions are not.
    fn note(&self, address: SocketAddr, reason: &Closed) {
        if self.peer.gauge.attempt_failed(reason) {
            tracing::warn!(peer = %self.peer.id, %address, %reason, "cannot connect; trying on");
        } else {
            tracing::debug!(peer = %self.peer.id, %address, %reason, "cannot connect; trying on");
        }
    }
}

async fn attempt(dialler: &Dialler, address: SocketAddr) -> Result<Established, Closed> {
    let dial = endpoint::dial(&dialler.endpoint, dialler.config.clone(), address);
    let connection =
        timeout(dialler.limits.admission.handshake_deadline, dial).await.map_err(|_| Closed::Deadline)??;
    link::greet(connection, dialler.me, dialler.peer.id, &dialler.limits, None).await
}

/// Waits until the connection, if any, has ended, and then a little.
async fn pause(connection: Option<Connection>, backoff: &mut Backoff) {
    if let Some(connection) = connection {
        let reason = connection.closed().await;
        tracing::debug!(%reason, "connection ended; dialling again");
    }
    sleep(backoff.next()).await;
}

/// Waits until the peer is to be dialled at another address, or at none.
async fn moved(addresses: &mut Addresses, peer: ReplicaId, from: SocketAddr) {
    while addresses.borrow_and_update().get(&peer) == Some(&from) {
        changed(addresses).await;
    }
}

/// Waits for a change; for good once nobody can make one.
async fn changed(addresses: &mut Addresses) {
    if addresses.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Pauses that double up to a cap, each shortened by a random part of up to one half, so that many diallers of one
/// restarted peer do not come in step.
struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, next: first }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.cap);
        pause - pause / 2 * u32::from(random_byte()) / 256
    }
}

/// Without randomness the pause is the longest one.
fn random_byte() -> u8 {
    let mut byte = [0];
    match identity::provider().secure_random.fill(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests;
