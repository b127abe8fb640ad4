//! Where the replicas stand, and waiting for it to change. Those that are or were malicious are not asked: they may say anything.

use super::super::format::Replica;
use super::Show;
use crate::judge::Turn;
use anyhow::{anyhow, bail};
use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use varangian_client::protocol::ReplicaStatus;
use varangian_crypto::ReplicaId;

/// Between two looks at where the replicas stand.
const LOOK: Duration = Duration::from_millis(50);
/// For one replica's answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// Between two tries to reach one that is down, at most.
pub(super) const REDIAL: Duration = Duration::from_millis(200);
/// For each step to come about.
const STEP: Duration = Duration::from_secs(60);

impl Show {
    /// Remembers the view that a quorum is in; where none is in one view, what was remembered before.
    pub(super) async fn note_view(&mut self) {
        let rows = self.look().await;
        self.view_before = self.agreed(&rows, 0).unwrap_or(self.view_before);
    }

    /// Pauses primaries in turn until `leader` leads. At no moment is more than one of them away.
    pub(super) async fn lead(&mut self, Replica(leader): Replica) -> anyhow::Result<()> {
        let n = u64::try_from(self.net.ids().len())?;
        let mut view = self.reach_view(0).await?;
        let bound = view + 16 * n;
        while self.primary(view) != leader {
            let primary = self.primary(view);
            self.turn(Turn::Taken);
            self.net.pause(primary)?;
            self.down.insert(primary);
            view = self.reach_view(view + 1).await?;
            self.net.resume(primary)?;
            self.turn(Turn::GivenBack);
            self.down.remove(&primary);
            self.caught_up(&[primary]).await?;
            self.tell(&format!("{primary} was paused and goes on; view {view}: {} leads", self.primary(view)));
            if view > bound {
                bail!("the views move past {leader} every time");
            }
        }
        self.view_before = view;
        Ok(())
    }

    /// All honest replicas that run have executed the same. Gives the highest view that any of them is in then.
    ///
    /// # Errors
    /// If that does not come about.
    pub async fn settle(&self) -> anyhow::Result<Option<u64>> {
        let honest = self.sound();
        let settled = self.until("the honest replicas have executed the same", |rows| {
            let up = rows.iter().filter(|row| honest.contains(&ReplicaId(row.replica)));
            let executed: Vec<u64> = up.map(|row| row.executed).collect();
            executed.len() == honest.len() && executed.windows(2).all(|pair| pair[0] == pair[1])
        });
        Ok(settled.await?.iter().map(|row| row.view).max())
    }

    /// Waits until a quorum's honest ones are active in one view that is at least `least`.
    pub(super) async fn reach_view(&self, least: u64) -> anyhow::Result<u64> {
        let what = format!("a quorum is in view {least} or a later one");
        let rows = self.until(&what, |rows| self.agreed(rows, least).is_some()).await?;
        self.agreed(&rows, least).ok_or_else(|| anyhow!("the views changed meanwhile"))
    }

    /// The highest view from `least` on that a quorum's honest ones are active in.
    fn agreed(&self, rows: &[ReplicaStatus], least: u64) -> Option<u64> {
        let enough = self.enough();
        let mut views: BTreeMap<u64, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.active && !self.down.contains(&ReplicaId(row.replica))) {
            *views.entry(row.view).or_default() += 1;
        }
        views.into_iter().rev().find(|(view, count)| *view >= least && *count >= enough).map(|(view, _)| view)
    }

    /// As many honest ones as a quorum has at least; with more than `f` malicious ones, anybody.
    fn enough(&self) -> usize {
        let malicious = self.net.ids().len() - self.net.honest().len();
        self.net.genesis().quorums().quorum().saturating_sub(malicious).max(1)
    }

    /// Waits until a quorum's honest ones have executed more than any honest one had.
    pub(super) async fn progress(&mut self) -> anyhow::Result<()> {
        let enough = self.enough();
        let rows = self.until("a replica answers", |rows| !rows.is_empty()).await?;
        let before = rows.iter().map(|row| row.executed).max().unwrap_or(0);
        self.until(&format!("a quorum has executed more than slot {before}"), |rows| {
            rows.iter().filter(|row| row.executed > before).count() >= enough
        })
        .await?;
        self.tell(&format!("the network goes on above slot {before}"));
        Ok(())
    }

    /// Waits until the honest of these replicas have executed what any honest one had when they were asked first.
    pub(super) async fn caught_up(&self, ids: &[ReplicaId]) -> anyhow::Result<u64> {
        let honest = self.net.honest();
        let ids: Vec<_> = ids.iter().filter(|id| honest.contains(id)).collect();
        let rows = self.until("a replica answers", |rows| !rows.is_empty()).await?;
        let goal = rows.iter().map(|row| row.executed).max().unwrap_or(0);
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.until(&format!("{} caught up to slot {goal}", names.join(", ")), |rows| {
            let there = |id: &ReplicaId| {
                rows.iter().any(|row| row.replica == id.0 && row.executed >= goal && !row.behind && row.active)
            };
            ids.iter().copied().all(there)
        })
        .await?;
        Ok(goal)
    }

    /// The honest replicas that run, on disks that are what they were.
    pub(super) fn sound(&self) -> Vec<ReplicaId> {
        let sound = |id: &ReplicaId| !self.down.contains(id) && !self.damaged.contains(id);
        self.net.honest().into_iter().filter(sound).collect()
    }

    /// Waits until these say that they have stopped for good, and gives why.
    pub(super) async fn stopped(&self, ids: &[ReplicaId]) -> anyhow::Result<Vec<(ReplicaId, String)>> {
        let why = |rows: &[ReplicaStatus], id: &ReplicaId| {
            rows.iter().find(|row| row.replica == id.0).and_then(|row| row.stopped.clone())
        };
        let names: Vec<String> = ids.iter().map(ReplicaId::to_string).collect();
        let what = format!("{} stopped by itself", names.join(", "));
        let rows = self.until(&what, |rows| ids.iter().all(|id| why(rows, id).is_some())).await?;
        Ok(ids.iter().filter_map(|id| Some((*id, why(&rows, id)?))).collect())
    }

    /// Waits until a replica's process has ended by itself, and gives how, and why by its own words.
    pub(super) async fn ended(&mut self, id: ReplicaId) -> anyhow::Result<(ExitStatus, String)> {
        let status = self.net.ended(id, STEP).await?;
        self.down.insert(id);
        let mut said = self.net.said(id)?;
        // What it said last may still be on its way when its process is gone.
        timeout(STEP, said.wait_for(|said| said.ended)).await??;
        match said.borrow().failed.clone() {
            Some(why) => Ok((status, why)),
            None => bail!("{id} ended with {status} and did not say why{}", self.net.tail(id)),
        }
    }

    /// Where the honest replicas stand that answer: each answer is to a question asked now.
    async fn look(&self) -> Vec<ReplicaStatus> {
        let mut answers = JoinSet::new();
        for id in self.net.honest() {
            let connections = self.connections.clone();
            answers.spawn(async move { (id, connections.status(id).await) });
        }
        let mut rows = believed(answers.join_all().await, &self.net.honest());
        rows.sort_by_key(|row| row.replica);
        rows
    }

    /// Asks again and again until the answers suffice.
    async fn until(&self, what: &str, enough: impl Fn(&[ReplicaStatus]) -> bool) -> anyhow::Result<Vec<ReplicaStatus>> {
        let waiting = async {
            let mut look = interval(LOOK);
            loop {
                let rows = self.look().await;
                if enough(&rows) {
                    return rows;
                }
                look.tick().await;
            }
        };
        match timeout(STEP, waiting).await {
            Ok(rows) => Ok(rows),
            Err(_) => bail!(
                "{} s have passed and it is still not so that {what}; logs are in {}",
                STEP.as_secs(),
                self.net.dir().root().display()
            ),
        }
    }

    pub(super) fn primary(&self, view: u64) -> ReplicaId {
        self.net.genesis().quorums().primary(view)
    }
}

/// What the honest said, each by the connection that it came by.
fn believed<E>(answers: Vec<(ReplicaId, Result<ReplicaStatus, E>)>, honest: &[ReplicaId]) -> Vec<ReplicaStatus> {
    let heard = answers.into_iter().filter(|(id, _)| honest.contains(id));
    heard.filter_map(|(_, answer)| answer.ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::believed;
    use varangian_client::protocol::ReplicaStatus;
    use varangian_crypto::{Digest, ReplicaId};

    fn status(replica: u16, executed: u64) -> ReplicaStatus {
        ReplicaStatus {
            replica,
            view: 0,
            active: true,
            primary: 0,
            executed,
            history: Digest::ZERO,
            stable: 0,
            behind: false,
            waiting: 0,
            connected: 3,
            accused: Vec::new(),
            stopped: None,
        }
    }

    /// Whatever it says, and in whosever name.
    #[test]
    fn a_malicious_replica_is_not_believed() {
        let truth = [status(0, 5), status(2, 6)];
        for lie in [status(3, u64::MAX), status(2, u64::MAX)] {
            let [first, second] = truth.clone();
            let answers = vec![(ReplicaId(0), Ok(first)), (ReplicaId(1), Err("gone")), (ReplicaId(2), Ok(second))];
            let answers = answers.into_iter().chain([(ReplicaId(3), Ok(lie))]).collect();
            assert_eq!(believed(answers, &[0, 1, 2].map(ReplicaId)), truth);
        }
    }
}
