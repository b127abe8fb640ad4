//! What happened to a network over time, as seen from outside: what clients were acknowledged, and what each replica said of itself. Of a malicious one that
//! is worth nothing: [`Timeline::believing`].

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use varangian_client::{ClientError, Connections, Network, Options};
use varangian_crypto::ReplicaId;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// For one replica's answer; one that does not answer in time has a gap in its line.
const PATIENCE: Duration = Duration::from_millis(200);
/// Looks that are kept: an hour of them. Of a longer run, the last.
const KEPT: usize = 4 * 3600;
/// For connections to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// Operations that clients were acknowledged until then; where nobody counts them, slots that were executed.
    pub operations: u64,
    /// Each replica that answered.
    pub replicas: BTreeMap<u16, Stand>,
}

impl Sample {
    fn furthest(&self) -> u64 {
        self.replicas.values().map(|stand| stand.executed).max().unwrap_or_default()
    }
}

/// One replica's word on where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Its view.
    pub view: u64,
    /// Whether it votes in it.
    pub active: bool,
    /// Its last executed slot.
    pub executed: u64,
    /// Proofs that it holds, by accused replica.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accused: BTreeMap<u16, u64>,
}

/// Looks in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// At most an hour of them.
    pub samples: VecDeque<Sample>,
    /// Whether slots are counted instead of operations: clients are somebody else's.
    pub slots: bool,
}

impl Timeline {
    fn push(&mut self, sample: Sample) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// What these replicas said, and no others: those that are honest.
    #[must_use]
    pub fn believing(mut self, honest: &[ReplicaId]) -> Self {
        for sample in &mut self.samples {
            sample.replicas.retain(|id, _| honest.contains(&ReplicaId(*id)));
            if self.slots {
                sample.operations = sample.furthest();
            }
        }
        self
    }

    /// The highest view that any replica said it was in or on its way to; `None` if none ever answered.
    #[must_use]
    pub fn highest_view(&self) -> Option<u64> {
        let stands = self.samples.iter().flat_map(|sample| sample.replicas.values());
        stands.map(|stand| stand.view).max()
    }

    /// The first look at which anybody held a proof against each accused: when, who held it, against whom.
    #[must_use]
    pub fn accusations(&self) -> Vec<(u64, u16, u16)> {
        let mut accusations: BTreeMap<u16, (u64, u16)> = BTreeMap::new();
        for sample in &self.samples {
            for (holder, stand) in &sample.replicas {
                for accused in stand.accused.keys() {
                    accusations.entry(*accused).or_insert((sample.at_ms, *holder));
                }
            }
        }
        accusations.into_iter().map(|(accused, (at, holder))| (at, holder, accused)).collect()
    }
}

/// Looks at a network until it is told to stop.
#[derive(Debug)]
pub struct Watcher {
    stop: watch::Sender<bool>,
    seen: watch::Receiver<Timeline>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Begins. `operations` is what clients were acknowledged so far, kept up to date by whoever loads the network, if somebody does.
    ///
    /// # Errors
    /// If no socket can be had.
    pub fn start(network: &Network, began: Instant, operations: Option<Arc<AtomicU64>>) -> Result<Self, ClientError> {
        let connections = Connections::open(network, Options { deadline: PATIENCE, ..Options::default() })?;
        let ids: Vec<ReplicaId> = network.genesis().quorums().replicas().collect();
        let (stop, stopped) = watch::channel(false);
        let (see, seen) = watch::channel(Timeline { slots: operations.is_none(), ..Timeline::default() });
        let task = tokio::spawn(look(connections, ids, began, operations, stopped, see));
        Ok(Self { stop, seen, task })
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Timeline {
        self.seen.borrow().clone()
    }

    /// Ends, and gives what was seen.
    pub async fn stop(self) -> Timeline {
        self.stop.send_replace(true);
        if self.task.await.is_err() {
            tracing::error!("whoever watched the network has died; what was seen until then is kept");
        }
        self.seen.borrow().clone()
    }
}

async fn look(
    connections: Connections,
    ids: Vec<ReplicaId>,
    began: Instant,
    operations: Option<Arc<AtomicU64>>,
    mut stopped: watch::Receiver<bool>,
    see: watch::Sender<Timeline>,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            _ = ticks.tick() => {}
        }
        let at_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let acknowledged = operations.as_ref().map(|operations| operations.load(Relaxed));
        let mut answers = JoinSet::new();
        for id in ids.iter().copied() {
            let connections = connections.clone();
            answers.spawn(async move { (id, connections.status(id).await) });
        }
        let mut replicas = BTreeMap::new();
        for (id, answer) in answers.join_all().await {
            if let Ok(status) = answer {
                let accused = status.accused.into_iter().collect();
                let stand = Stand { view: status.view, active: status.active, executed: status.executed, accused };
                replicas.insert(id.0, stand);
            }
        }
        let mut sample = Sample { at_ms, operations: 0, replicas };
        sample.operations = acknowledged.unwrap_or_else(|| sample.furthest());
        see.send_modify(|timeline| timeline.push(sample));
    }
    connections.close(GOOD_BYE).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{KEPT, Sample, Stand, Timeline};
    use std::collections::BTreeMap;
    use varangian_crypto::ReplicaId;

    fn sample(at_ms: u64, stands: &[(u16, u64, bool, &[u16])]) -> Sample {
        let stand = |(id, view, active, accused): &(u16, u64, bool, &[u16])| {
            let accused = accused.iter().map(|id| (*id, 1)).collect();
            (*id, Stand { view: *view, active: *active, executed: 0, accused })
        };
        Sample { at_ms, operations: 0, replicas: stands.iter().map(stand).collect::<BTreeMap<_, _>>() }
    }

    #[test]
    fn views_and_accusations_are_told() {
        let mut timeline = Timeline::default();
        timeline.push(sample(0, &[(0, 0, true, &[]), (1, 0, true, &[])]));
        timeline.push(sample(250, &[(1, 1, false, &[])]));
        timeline.push(sample(500, &[(0, 0, true, &[]), (1, 1, true, &[0]), (2, 1, true, &[0])]));
        timeline.push(sample(750, &[(0, 1, true, &[]), (2, 1, true, &[0, 3])]));
        assert_eq!(timeline.highest_view(), Some(1));
        assert_eq!(Timeline::default().highest_view(), None);
        assert_eq!(timeline.accusations(), [(500, 1, 0), (750, 2, 3)]);
    }

    /// It says that it is in a view that nobody will see, far ahead, and accuses everybody.
    #[test]
    fn a_malicious_replica_is_not_believed() {
        let mut timeline = Timeline { slots: true, ..Timeline::default() };
        timeline.push(sample(0, &[(0, 0, true, &[]), (3, u64::MAX, true, &[0, 1])]));
        for stand in timeline.samples[0].replicas.values_mut() {
            stand.executed = if stand.view == 0 { 7 } else { u64::MAX };
        }
        assert_eq!((timeline.highest_view(), timeline.accusations().len()), (Some(u64::MAX), 2));
        let believed = timeline.believing(&[0, 1, 2].map(ReplicaId));
        assert_eq!((believed.highest_view(), believed.accusations().len()), (Some(0), 0));
        assert_eq!(believed.samples[0].operations, 7);
    }

    #[test]
    fn of_a_long_run_the_last_is_kept() {
        let mut timeline = Timeline::default();
        (0..=KEPT as u64).for_each(|at| timeline.push(sample(at, &[])));
        assert_eq!(timeline.samples.len(), KEPT);
        assert_eq!(timeline.samples.front().unwrap().at_ms, 1);
    }
}
