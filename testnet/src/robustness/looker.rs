//! Where all replicas stand, as it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use varangian_client::protocol::ReplicaStatus;
use varangian_client::{Connections, Network, Options};
use varangian_crypto::ReplicaId;

/// Between two looks at where the replicas stand.
const LOOK: Duration = Duration::from_millis(5);
/// For anything of the network to come about.
const PATIENCE: Duration = Duration::from_secs(60);
/// For one replica's answer.
const ANSWER: Duration = Duration::from_millis(200);

/// Asks all replicas, each over a connection of its own that stays: one that is dead holds up nobody.
pub(super) struct Looker {
    stands: watch::Receiver<BTreeMap<ReplicaId, ReplicaStatus>>,
    _looking: JoinSet<()>,
}

impl Looker {
    pub(super) fn new(network: &Network) -> anyhow::Result<Self> {
        let connections = Connections::open(network, Options { deadline: ANSWER, ..Options::default() })?;
        let (see, stands) = watch::channel(BTreeMap::new());
        let see = Arc::new(see);
        let mut looking = JoinSet::new();
        for id in network.genesis().quorums().replicas() {
            let (connections, see) = (connections.clone(), see.clone());
            looking.spawn(async move {
                loop {
                    match connections.status(id).await {
                        Ok(status) => see.send_modify(|stands| drop(stands.insert(id, status))),
                        Err(_) => see.send_modify(|stands| drop(stands.remove(&id))),
                    }
                    sleep(LOOK).await;
                }
            });
        }
        Ok(Self { stands, _looking: looking })
    }

    pub(super) async fn until(&self, enough: impl Fn(&[ReplicaStatus]) -> bool) -> anyhow::Result<Vec<ReplicaStatus>> {
        let rows = |stands: &BTreeMap<ReplicaId, ReplicaStatus>| stands.values().cloned().collect::<Vec<_>>();
        let mut stands = self.stands.clone();
        let waiting = timeout(PATIENCE, stands.wait_for(|stands| enough(&rows(stands)))).await;
        match waiting {
            Ok(Ok(stands)) => Ok(rows(&stands)),
            _ => bail!("nothing comes of it within {} s", PATIENCE.as_secs()),
        }
    }
}
