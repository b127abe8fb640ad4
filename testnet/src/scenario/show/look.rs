//! Where the replicas stand, and waiting for it to change.

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

    /// All honest replicas that run have executed the same. Gives the highest view that any replica says it is in then.
    ///
    /// # Errors
    /// If that does not come about.
    pub async fn settle(&self) -> anyhow::Result<Option<u64>> {
        let honest = self.sound();
        let settled = self.until("the honest replicas have executed the same", |rows| {
            let executed: Vec<u64> =
                rows.iter().filter(|row| honest.contains(&ReplicaId(row.replica))).map(|row| row.executed).collect();
            executed.len() == honest.len() && executed.windows(2).all(|pair| pair[0] == pair[1])
        });
        Ok(settled.await?.iter().map(|row| row.view).max())
    }

    /// Waits until a quorum of the replicas that run is active in one view that is at least `least`.
    pub(super) async fn reach_view(&self, least: u64) -> anyhow::Result<u64> {
        let what = format!("a quorum is in view {least} or a later one");
        let rows = self.until(&what, |rows| self.agreed(rows, least).is_some()).await?;
        self.agreed(&rows, least).ok_or_else(|| anyhow!("the views changed meanwhile"))
    }

    /// The highest view from `least` on that a quorum of the replicas that run is active in.
    fn agreed(&self, rows: &[ReplicaStatus], least: u64) -> Option<u64> {
        let quorum = self.net.genesis().quorums().quorum();
        let mut views: BTreeMap<u64, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.active && !self.down.contains(&ReplicaId(row.replica))) {
            *views.entry(row.view).or_default() += 1;
        }
        views.into_iter().rev().find(|(view, count)| *view >= least && *count >= quorum).map(|(view, _)| view)
    }

    /// Waits until a quorum has executed more than anybody had.
    pub(super) async fn progress(&mut self) -> anyhow::Result<()> {
        let quorum = self.net.genesis().quorums().quorum();
        let rows = self.until("a replica answers", |rows| !rows.is_empty()).await?;
        let before = rows.iter().map(|row| row.executed).max().unwrap_or(0);
        self.until(&format!("a quorum has executed more than slot {before}"), |rows| {
            rows.iter().filter(|row| row.executed > before).count() >= quorum
        })
        .await?;
        self.tell(&format!("the network goes on above slot {before}"));
        Ok(())
    }

    /// Waits until replicas have executed what anybody had when they were asked first.
    pub(super) async fn caught_up(&self, ids: &[ReplicaId]) -> anyhow::Result<u64> {
        let rows = self.until("a replica answers", |rows| !rows.is_empty()).await?;
        let goal = rows.iter().map(|row| row.executed).max().unwrap_or(0);
        let names: Vec<String> = ids.iter().map(ReplicaId::to_string).collect();
        self.until(&format!("{} caught up to slot {goal}", names.join(", ")), |rows| {
            let there = |id: &ReplicaId| {
                rows.iter().any(|row| row.replica == id.0 && row.executed >= goal && !row.behind && row.active)
            };
            ids.iter().all(there)
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

    /// Where all replicas stand that answer: each answer is to a question asked now.
    async fn look(&self) -> Vec<ReplicaStatus> {
        let mut answers = JoinSet::new();
        for id in self.net.ids() {
            let connections = self.connections.clone();
            answers.spawn(async move { connections.status(id).await });
        }
        let mut rows: Vec<ReplicaStatus> = answers.join_all().await.into_iter().flatten().collect();
        rows.sort_by_key(|row| row.replica);
        rows
    }

    /// Asks all replicas again and again until their answers suffice.
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
