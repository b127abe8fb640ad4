//! What a script does: each [`Deed`] done, or begun and looked after.

use super::draw::named;
use super::script::{Deed, Like, names};
use super::{Held, Micros, World};
use crate::adversary::{Attack, Plan as Attacks};
use crate::checks::Violation;
use varangian_consensus::Slot;

/// What is under way when a step begins is no progress: it has come to its end after so long.
const SETTLES: Micros = 500_000;
/// Views that may pass, in rounds of all replicas, before one gives up on making somebody lead.
const ROUNDS: u64 = 16;

/// How far somebody is on his way to lead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Leading {
    #[default]
    Looking,
    /// The primary is paused, and a later view must come.
    Paused { primary: u16, least: u64 },
    /// It goes on, and must catch up.
    CatchingUp { primary: u16, goal: Slot },
}

/// How a deed went.
pub(super) enum Went {
    Done,
    /// Something has to come about first.
    Waits,
    /// Nothing but time has to pass.
    Until(Micros),
    /// It cannot be done.
    Not(String),
}

impl World<'_> {
    pub(super) fn perform(&mut self, deed: &Deed, first: bool) -> Result<Went, Violation> {
        let Some(ids) = self.whom_of(deed, first) else { return Ok(Went::Waits) };
        if first && deed.takes() {
            self.no_longer_waits();
        }
        match deed {
            Deed::Wait(time) => {
                let until = self.play().began + time;
                return Ok(if self.now() < until { Went::Until(until) } else { Went::Done });
            }
            Deed::At(time) => return Ok(if self.now() < *time { Went::Until(*time) } else { Went::Done }),
            Deed::Kill(_) | Deed::PowerLoss(_) => {
                let power = matches!(deed, Deed::PowerLoss(_));
                self.note_view();
                for id in ids {
                    let mut lost = 0;
                    for node in self.nodes_of(id) {
                        if !self.nodes[node].lives() {
                            return Ok(Went::Not(format!("r{id} does not run")));
                        }
                        let executed = self.nodes[node].disk.executed().len();
                        self.die(node, power)?;
                        lost += executed.saturating_sub(self.nodes[node].disk.executed().len());
                    }
                    self.play().down.insert(id);
                    self.happened(match power {
                        true => format!("r{id} loses power, and {lost} executed slots with it"),
                        false => format!("r{id} is killed"),
                    });
                }
            }
            Deed::Pause(_) => {
                self.note_view();
                for id in ids {
                    for node in self.nodes_of(id) {
                        self.nodes[node].paused = self.nodes[node].lives();
                    }
                    self.play().down.insert(id);
                    self.happened(format!("r{id} is paused"));
                }
            }
            Deed::Resume(_) => ids.into_iter().try_for_each(|id| {
                self.go_on(id)?;
                self.happened(format!("r{id} goes on"));
                Ok(())
            })?,
            Deed::Restart(_) => {
                for id in ids {
                    for node in self.nodes_of(id) {
                        if self.nodes[node].lives() {
                            return Ok(Went::Not(format!("r{id} runs already")));
                        }
                        self.nodes[node].full = false;
                        self.start_again(node)?;
                        if self.nodes[node].refused {
                            return Ok(Went::Not(format!("r{id} refuses to run: its store is damaged")));
                        }
                    }
                    self.play().down.remove(&id);
                    self.is_back();
                    self.happened(format!("r{id} is up again, from what its disk holds"));
                }
            }
            Deed::FillDisk(_) => return Ok(self.fill_disks(&ids, first)),
            Deed::Rot { lost, .. } => {
                for id in ids {
                    if let Some(why) = self.rot(id, *lost) {
                        return Ok(Went::Not(why));
                    }
                }
            }
            Deed::Refused(_) => {
                for id in ids {
                    for node in self.nodes_of(id) {
                        self.start_again(node)?;
                        if !self.nodes[node].refused {
                            return Ok(Went::Not(format!("r{id} starts, and its store was to refuse")));
                        }
                    }
                    self.happened(format!("r{id} refuses to run: its store is damaged"));
                }
            }
            Deed::Strike(_) => {
                self.note_view();
                for id in ids {
                    for node in self.nodes_of(id) {
                        if self.nodes[node].attacks.is_empty() {
                            return Ok(Went::Not(format!("r{id} is to strike and has no attack")));
                        }
                        self.strike(node);
                    }
                    self.happened(format!("r{id} is malicious from here on"));
                }
            }
            Deed::Turn(_, attacks) => {
                self.note_view();
                for id in ids {
                    self.turn_into(id, attacks)?;
                    let play = self.play();
                    play.turned.insert(id);
                    play.down.remove(&id);
                    self.happened(format!("r{id} is malicious from here on: {}", Attacks::from(attacks.clone())));
                }
            }
            Deed::Lead(id) => return self.lead(*id, first),
            Deed::Shape { from, to, like } => {
                let Some(to_ids) = self.whom(to) else { return Ok(Went::Waits) };
                self.note_view();
                self.shape(ids.iter().flat_map(|from| to_ids.iter().map(move |to| (*from, *to))), |_, _| *like);
                self.happened(match like.cut {
                    true => format!("nothing passes from {from} to {to}"),
                    false => format!("links from {from} to {to} are other than before"),
                });
            }
            Deed::Partition(groups) => {
                self.note_view();
                let group = |id: u16| groups.iter().position(|group| group.contains(&id));
                let apart = self.pairs_of_all().filter(|(one, other)| group(*one) != group(*other));
                self.shape(apart, |_, _| Like { cut: true, ..Like::default() });
                let mut sides: Vec<_> = groups.iter().map(|group| names(group).replace(',', "")).collect();
                if (0..self.plan.n).any(|id| group(id).is_none()) {
                    sides.push("the others".to_owned());
                }
                self.happened(format!("a partition: {}", sides.join(" | ")));
            }
            Deed::Heal(whom) => {
                let links = std::mem::take(&mut self.play().links);
                let theirs = self.pairs_of_all().filter(|(one, other)| ids.contains(one) || ids.contains(other));
                self.shape(theirs, |from, to| links[from][to]);
                self.play().links = links;
                self.is_back();
                self.happened(format!("links from and to {whom} are healed"));
                for id in ids {
                    if self.play().turned.remove(&id) {
                        self.turn_into(id, &[])?;
                        self.happened(format!("r{id} is up again as an honest replica"));
                    }
                }
            }
            Deed::Links(name, links) => {
                self.lay_links(links);
                self.play().links.clone_from(links);
                self.is_back();
                self.happened(format!("links are {name} from here on"));
            }
            Deed::NewView => {
                let least = self.play().view_before + 1;
                let Some(view) = self.agreed_view(least) else { return Ok(Went::Waits) };
                self.happened(format!("view {view}: r{} leads", self.leader(view)));
            }
            Deed::Progress => {
                if first {
                    self.play().goal = None;
                    return Ok(Went::Until(self.now() + SETTLES));
                }
                let furthest = self.furthest();
                let goal = *self.play().goal.get_or_insert(furthest);
                let further = self.rows().iter().filter(|row| row.executed > goal).count();
                if further < self.plan.quorums().quorum() {
                    return Ok(Went::Waits);
                }
                self.happened(format!("the network goes on above slot {goal}"));
            }
            Deed::CaughtUp => {
                if first {
                    self.play().goal = Some(self.furthest());
                }
                let goal = self.play().goal.unwrap_or_default();
                let honest: Vec<u16> = (0..self.plan.n).filter(|id| self.must_catch_up(*id)).collect();
                if !self.are_there(&honest, goal, false) {
                    return Ok(Went::Waits);
                }
                self.happened(format!("all that run have executed slot {goal}"));
            }
        }
        Ok(Went::Done)
    }

    /// Pauses primaries in turn until `id` leads. At no moment is more than one of them away.
    pub(super) fn lead(&mut self, id: u16, first: bool) -> Result<Went, Violation> {
        if first {
            self.play().leading = Leading::Looking;
        }
        loop {
            match self.play().leading {
                Leading::Looking => {
                    let Some(view) = self.agreed_view(0) else { return Ok(Went::Waits) };
                    let primary = self.leader(view);
                    self.play().view_before = view;
                    if primary == id {
                        return Ok(Went::Done);
                    }
                    if view > ROUNDS * u64::from(self.plan.n) {
                        return Ok(Went::Not(format!("the views move past r{id} every time")));
                    }
                    self.no_longer_waits();
                    for node in self.nodes_of(primary) {
                        self.nodes[node].paused = self.nodes[node].lives();
                    }
                    self.play().down.insert(primary);
                    self.play().leading = Leading::Paused { primary, least: view + 1 };
                }
                Leading::Paused { primary, least } => {
                    let Some(view) = self.agreed_view(least) else { return Ok(Went::Waits) };
                    self.go_on(primary)?;
                    let (goal, leader) = (self.furthest(), self.leader(view));
                    self.happened(format!("r{primary} was paused and goes on; view {view}: r{leader} leads"));
                    self.play().leading = Leading::CatchingUp { primary, goal };
                }
                Leading::CatchingUp { primary, goal } => {
                    if !self.are_there(&[primary], goal, true) {
                        return Ok(Went::Waits);
                    }
                    self.play().leading = Leading::Looking;
                }
            }
        }
    }

    pub(super) fn fill_disks(&mut self, ids: &[u16], first: bool) -> Went {
        if first {
            self.note_view();
            for id in ids {
                self.play().down.insert(*id);
                for node in self.nodes_of(*id) {
                    self.nodes[node].full = true;
                }
                self.happened(format!("the disk of r{id} takes no byte more"));
            }
        }
        let all_ended = ids.iter().flat_map(|id| self.nodes_of(*id)).all(|node| !self.nodes[node].lives());
        if !all_ended {
            return Went::Waits;
        }
        for id in ids {
            self.happened(format!("r{id} has ended by itself"));
        }
        Went::Done
    }

    pub(super) fn rot(&mut self, id: u16, lost: bool) -> Option<String> {
        for node in self.nodes_of(id) {
            let play = self.play.get_or_insert_default();
            play.damages += 1;
            let commits = 1 + named(&[self.plan.seed, play.damages, node as u64, 51]) % 3;
            let at = &mut self.nodes[node];
            if at.lives() {
                return Some(format!("r{id} runs: only the disk of one that is down can be damaged; kill it first"));
            }
            if at.mark == 0 {
                return Some(format!("r{id} has stored nothing yet"));
            }
            if lost {
                // What is synced and not marked was never acted upon: a store rightly runs without it.
                at.turns = at.turns.min(at.mark).saturating_sub(commits);
            } else {
                at.rotten = true;
            }
        }
        self.play().damaged.insert(id);
        self.happened(match lost {
            true => format!("the end of the log of r{id} is gone, with votes that it has sent"),
            false => format!("a bit of the log of r{id} is flipped"),
        });
        None
    }

    pub(super) fn strike(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        at.asleep = false;
        if let Some(runner) = &mut at.runner {
            let attacks = Attacks::from(at.attacks.clone());
            attacks.corrupt(runner.io(), self.setup.signer(at.id), &self.setup.committee);
        }
    }

    /// Starts again with these attacks, none: as an honest replica.
    pub(super) fn turn_into(&mut self, id: u16, attacks: &[Attack]) -> Held {
        for node in self.nodes_of(id) {
            if self.nodes[node].lives() {
                self.die(node, false)?;
            }
            self.nodes[node].attacks = attacks.to_vec();
            self.nodes[node].asleep = false;
            self.start_again(node)?;
        }
        Ok(())
    }

    pub(super) fn start_again(&mut self, node: usize) -> Held {
        let life = self.nodes[node].life;
        self.restart(node, life)
    }

    pub(super) fn go_on(&mut self, id: u16) -> Held {
        for node in self.nodes_of(id) {
            let life = self.nodes[node].life;
            self.resume(node, life)?;
        }
        self.play().down.remove(&id);
        self.is_back();
        Ok(())
    }
}
