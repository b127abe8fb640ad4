//! A scheduler at the quorum's edge, at work: see [`Edge`].

use super::fault::{Edge, Fault};
use super::queue::Happening;
use super::{Held, Probe, World, healthy};
use varangian_consensus::{Message, Record, Slot, View};

/// The edge that is on.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtTheEdge {
    /// Its place among the plan's faults.
    pub place: usize,
    /// The last view in which the lucky one had to go.
    pub gone_in: Option<View>,
}

impl World<'_> {
    fn edge(&self) -> Option<&Edge> {
        let at = self.edge.filter(|_| self.phase == healthy::Phase::Safety)?;
        match self.plan.faults.get(at.place) {
            Some((_, Fault::QuorumEdge { edge, .. })) => Some(edge),
            _ => None,
        }
    }

    pub(super) fn end_edge(&mut self, place: usize) -> Held {
        self.edge = self.edge.filter(|at| at.place != place);
        Ok(())
    }

    /// Whether a vote is one of those that `to` must not get.
    pub(super) fn is_beyond_the_edge(&self, to: usize, message: Option<&Message>) -> bool {
        let Some(edge) = self.edge() else { return false };
        let (view, slot) = match message {
            Some(Message::Prepare(signed)) if !edge.commits => (signed.statement.view, signed.statement.slot),
            Some(Message::Commit(signed)) if edge.commits => (signed.statement.view, signed.statement.slot),
            _ => return false,
        };
        edge.limits(slot) && edge.lucky_in(view) != to
    }

    /// These records are on disk: the lucky one may have prepared what the others have not.
    pub(super) fn edge_of_prepares(&mut self, node: usize, records: &[Record]) -> Held {
        for record in records {
            if let Record::Prepared(certificate) = record
                && self.edge().is_some_and(|edge| !edge.commits)
            {
                let vote = certificate.pre_prepare;
                self.lucky_goes(node, vote.view, vote.slot)?;
            }
        }
        Ok(())
    }

    /// A slot is executed: the lucky one may have decided what the others have not.
    pub(super) fn edge_of_commits(&mut self, node: usize, view: View, slot: Slot) -> Held {
        if self.edge().is_some_and(|edge| edge.commits) { self.lucky_goes(node, view, slot) } else { Ok(()) }
    }

    fn lucky_goes(&mut self, node: usize, view: View, slot: Slot) -> Held {
        let (Some(edge), Some(at)) = (self.edge(), self.edge) else { return Ok(()) };
        let (gone, crashes) = (edge.gone, edge.crashes);
        if !edge.limits(slot) || edge.lucky_in(view) != node {
            return Ok(());
        }
        self.probes.hit(Probe::QuorumEdge);
        if view.0 % 2 == 1 || at.gone_in == Some(view) {
            return Ok(());
        }
        self.edge = Some(AtTheEdge { gone_in: Some(view), ..at });
        self.tell(|world| format!("{} alone has a quorum, and is gone", world.name(node)));
        if crashes {
            let life = self.nodes[node].life;
            self.queue.after(0, Happening::Crash { node, life, power: true, down: gone });
        } else {
            let (from, to) = (1 << node, !(1 << node));
            self.partition(from, to, true, true);
            self.queue.after(gone, Happening::Heals { from, to, both_ways: true });
        }
        Ok(())
    }
}
