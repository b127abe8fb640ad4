//! How things stand while a script goes on: whom a deed is about, what replicas say of themselves, what links are like.

use super::World;
use super::script::{Deed, Like, Whom};
use std::collections::BTreeMap;
use varangian_consensus::{Phase, Slot};
use varangian_crypto::ReplicaId;

/// What a running replica says of itself.
pub(super) struct Row {
    pub id: u16,
    pub view: u64,
    pub active: bool,
    pub executed: Slot,
    pub behind: bool,
}

impl World<'_> {
    /// Whom a deed is about: the senders, where there are links. `None` while nobody can say who leads.
    pub(super) fn whom_of(&self, deed: &Deed, first: bool) -> Option<Vec<u16>> {
        match deed {
            // Its victims are chosen once.
            Deed::FillDisk(_) if !first => Some(
                (0..self.plan.n).filter(|id| self.nodes_of(*id).iter().any(|node| self.nodes[*node].full)).collect(),
            ),
            Deed::Kill(whom)
            | Deed::PowerLoss(whom)
            | Deed::Pause(whom)
            | Deed::Resume(whom)
            | Deed::Restart(whom)
            | Deed::FillDisk(whom)
            | Deed::Rot { whom, .. }
            | Deed::Refused(whom)
            | Deed::Strike(whom)
            | Deed::Turn(whom, _)
            | Deed::Shape { from: whom, .. }
            | Deed::Heal(whom) => self.whom(whom),
            _ => Some(Vec::new()),
        }
    }

    pub(super) fn whom(&self, whom: &Whom) -> Option<Vec<u16>> {
        Some(match whom {
            Whom::Primary => vec![self.leader(self.agreed_view(0)?)],
            Whom::Down => self.play.as_ref().map(|play| play.down.iter().copied().collect()).unwrap_or_default(),
            Whom::All => (0..self.plan.n).collect(),
            Whom::These(these) => these.clone(),
        })
    }

    pub(super) fn leader(&self, view: u64) -> u16 {
        self.setup.committee.primary(view).0
    }

    pub(super) fn nodes_of(&self, id: u16) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].id.0 == id).collect()
    }

    /// What those say who run. A twin does not speak for itself.
    pub(super) fn rows(&self) -> Vec<Row> {
        let asked = self.nodes.iter().take(self.plan.n.into()).filter(|at| !at.paused);
        let row = |id: ReplicaId, replica: &varangian_consensus::Replica| Row {
            id: id.0,
            view: replica.view().0,
            active: replica.phase() == Phase::Active,
            executed: replica.executed(),
            behind: replica.is_behind(),
        };
        asked.filter_map(|at| at.runner.as_ref().map(|runner| row(at.id, runner.replica()))).collect()
    }

    /// The highest view, `least` or later, that a quorum is active in.
    pub(super) fn agreed_view(&self, least: u64) -> Option<u64> {
        let mut views: BTreeMap<u64, usize> = BTreeMap::new();
        for row in self.rows().iter().filter(|row| row.active) {
            *views.entry(row.view).or_default() += 1;
        }
        let quorum = self.plan.quorums().quorum();
        views.into_iter().rev().find(|(view, count)| *view >= least && *count >= quorum).map(|(view, _)| view)
    }

    /// A fault comes: the view that it hits is remembered, if there is one.
    pub(super) fn note_view(&mut self) {
        if let Some(view) = self.agreed_view(0) {
            self.play().view_before = view;
        }
    }

    pub(super) fn furthest(&self) -> Slot {
        self.rows().iter().map(|row| row.executed).max().unwrap_or_default()
    }

    pub(super) fn are_there(&self, ids: &[u16], goal: Slot, active: bool) -> bool {
        let rows = self.rows();
        let there = |id: &u16| {
            rows.iter().any(|row| row.id == *id && row.executed >= goal && !row.behind && (row.active || !active))
        };
        ids.iter().all(there)
    }

    pub(super) fn must_catch_up(&self, id: u16) -> bool {
        let down = self.play.as_ref().is_some_and(|play| play.down.contains(&id) || play.damaged.contains(&id));
        !down && !self.checks.byzantine.contains(&ReplicaId(id))
    }

    pub(super) fn pairs_of_all(&self) -> impl Iterator<Item = (u16, u16)> + use<> {
        let n = self.plan.n;
        (0..n).flat_map(move |one| (0..n).map(move |other| (one, other)))
    }

    /// Directed links become what `like` says of them; whoever can connect again does.
    pub(super) fn shape(&mut self, pairs: impl Iterator<Item = (u16, u16)>, like: impl Fn(usize, usize) -> Like) {
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let like = like(from.into(), to.into());
            for one in self.nodes_of(from) {
                for other in self.nodes_of(to) {
                    self.net.become_like(one, other, like);
                    if !like.cut {
                        self.connect_later(one, other);
                    }
                }
            }
        }
    }

    pub(super) fn lay_links(&mut self, links: &[Vec<Like>]) {
        let all = self.pairs_of_all();
        self.shape(all, |from, to| links[from][to]);
    }
}
