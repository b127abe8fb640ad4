//! Where the network stands, from the replicas' own status answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use varangian_client::protocol::ReplicaStatus;
use varangian_client::{ClientError, Connections, Options};
use varangian_consensus::{Slot, View};
use varangian_crypto::ReplicaId;

use super::target::Target;

/// Between two questions to one replica.
const PAUSE: Duration = Duration::from_millis(100);
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the replicas said last.
#[derive(Clone)]
pub(super) struct Observer {
    said: Arc<Mutex<Vec<Option<ReplicaStatus>>>>,
    connections: Connections,
    f: usize,
}

impl Observer {
    /// Asks all replicas again and again, in tasks of `tasks`.
    pub(super) fn start(target: &Target, bind: SocketAddr, tasks: &mut JoinSet<()>) -> Result<Self, ClientError> {
        let options = Options { bind: Some(bind), deadline: PATIENCE, ..Options::default() };
        let connections = Connections::open(target.network(), options)?;
        let quorums = target.network().genesis().quorums();
        let said = Arc::new(Mutex::new(vec![None; quorums.n()]));
        for id in quorums.replicas() {
            let (said, connections) = (Arc::clone(&said), connections.clone());
            tasks.spawn(async move {
                loop {
                    match connections.status(id).await {
                        Ok(status) => {
                            if let Some(last) = locked(&said).get_mut(id.index()) {
                                *last = Some(status);
                            }
                        }
                        Err(error) => tracing::debug!(%id, %error, "no status"),
                    }
                    sleep(PAUSE).await;
                }
            });
        }
        Ok(Self { said, connections, f: quorums.f() })
    }

    /// View and slot that `f + 1` replicas have reached; none before so many have answered.
    pub(super) fn place(&self) -> Option<(View, Slot)> {
        let said = locked(&self.said);
        let reached = |what: fn(&ReplicaStatus) -> u64| {
            let mut numbers: Vec<_> = said.iter().flatten().map(what).collect();
            numbers.sort_unstable_by(|a, b| b.cmp(a));
            numbers.get(self.f).copied()
        };
        Some((View(reached(|status| status.view)?), Slot(reached(|status| status.executed)?)))
    }

    /// Who probably leads.
    pub(super) fn primary(&self) -> ReplicaId {
        self.connections.primary()
    }

    /// Asks one replica where it stands, as an honest client would; says whether it answered.
    pub(super) async fn ask(&self, replica: ReplicaId) -> bool {
        self.connections.status(replica).await.is_ok()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
