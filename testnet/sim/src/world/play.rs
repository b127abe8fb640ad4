//! A [`Script`] at work: what is due, what is waited for, and what is told of it.

use super::draw::named;
use super::fault::seconds;
use super::plan::Rest;
use super::queue::Happening;
use super::script::{Deed, Fork, Like, Played, Recovery, Script, Whom, names};
use super::{Held, MAX_STEPS, Micros, World, healthy};
use crate::adversary::{Attack, Plan as Attacks};
use crate::checks::{Invariant, Violation};
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{Phase, Slot};
use varangian_crypto::ReplicaId;

/// Nothing decided for so long is a standstill.
const STANDSTILL: Micros = 1_000_000;
/// How often it is looked whether what is waited for has come about.
const LOOK: Micros = 50_000;
/// How long the honest have for comparing.
const EPILOGUE: Micros = 10_000_000;
/// Until the first client sends its first command, and until the first deed.
const OPENING: Micros = 50_000;
const CURTAIN: Micros = 300_000;
/// Steps that a run may take on top, for each second of its script.
const STEPS_PER_SECOND: u64 = 50_000;
/// Views that may pass, in rounds of all replicas, before one gives up on making somebody lead.
const ROUNDS: u64 = 16;

/// What tells that the honest do not agree, directly or by what comes of it.
const AGREEMENT: [Invariant; 8] = [
    Invariant::OneBatchPerSlot,
    Invariant::OnePreparedDigest,
    Invariant::CommittedStays,
    Invariant::EqualState,
    Invariant::ExactlyOnce,
    Invariant::NothingAcknowledgedIsLost,
    Invariant::Linearizable,
    Invariant::BodiesRetrievable,
];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Play {
    played: Played,
    /// The deed that is on, when it began, and whether it has been begun.
    next: usize,
    began: Micros,
    begun: bool,
    /// The slot to be reached.
    goal: Slot,
    /// The view when the last fault came.
    view_before: u64,
    down: BTreeSet<u16>,
    /// Whom a deed has turned malicious.
    turned: BTreeSet<u16>,
    /// Whose disks are not what they were.
    damaged: BTreeSet<u16>,
    leading: Leading,
    /// What links are like that nothing was done to.
    links: Vec<Vec<Like>>,
    damages: u64,
    /// When the epilogue is over.
    ends: Option<Micros>,
    answered: Micros,
    decided: Micros,
    /// The highest slot that was.
    highest: Slot,
    /// Since when somebody is back, and how long nothing had been decided then.
    back: Option<(Micros, Micros)>,
}

/// How far somebody is on his way to lead.
#[derive(Clone, Copy, Debug, Default)]
enum Leading {
    #[default]
    Looking,
    /// The primary is paused, and a later view must come.
    Paused { primary: u16, least: u64 },
    /// It goes on, and must catch up.
    CatchingUp { primary: u16, goal: Slot },
}

/// How a deed went.
enum Went {
    Done,
    /// Something has to come about first.
    Waits,
    /// Nothing but time has to pass.
    Until(Micros),
    /// It cannot be done.
    Not(String),
}

/// What a running replica says of itself.
struct Row {
    id: u16,
    view: u64,
    active: bool,
    executed: Slot,
    behind: bool,
}

impl<'a> World<'a> {
    pub(super) fn raise_curtain(&mut self, script: &'a Script) {
        self.play = Some(Play { links: script.links.clone(), ..Play::default() });
        self.lay_links(&script.links);
        for (place, change) in script.weather.iter().enumerate() {
            self.queue.push(change.at, Happening::Weather(place));
        }
        for client in 0..self.plan.honest_clients {
            for one in 0..u64::from(script.load.in_flight) {
                let chance = named(&[self.plan.seed, client.into(), one, 50]);
                self.queue.push(OPENING + chance % script.load.pause.max(1), Happening::Next { client });
            }
        }
        self.queue.push(CURTAIN, Happening::Cue);
    }

    fn play(&mut self) -> &mut Play {
        self.play.get_or_insert_default()
    }

    /// The script, while it goes on.
    fn script(&self) -> Option<&'a Script> {
        self.plan.script.as_ref().filter(|_| self.phase == healthy::Phase::Safety)
    }

    pub(super) fn most_steps(&self) -> u64 {
        let scripted = u64::from(self.plan.script.is_some());
        MAX_STEPS + scripted * self.now() / 1_000_000 * STEPS_PER_SECOND
    }

    /// Does what is due.
    pub(super) fn advance(&mut self) -> Held {
        while let Some(script) = self.script() {
            let now = self.now();
            let play = self.play();
            let Some(deed) = script.deeds.get(play.next) else { return self.epilogue(script) };
            let first = !std::mem::replace(&mut play.begun, true);
            if first {
                play.began = now;
                let next = play.next as u64;
                self.hash.add(next);
            }
            match self.perform(deed, first)? {
                Went::Done => {
                    let play = self.play();
                    (play.next, play.begun) = (play.next + 1, false);
                }
                Went::Until(time) => {
                    self.queue.push(time, Happening::Cue);
                    return Ok(());
                }
                Went::Waits if now < self.play().began + script.patience => {
                    self.queue.after(LOOK, Happening::Cue);
                    return Ok(());
                }
                Went::Waits => {
                    let passed = seconds(script.patience);
                    let why = format!("{passed} have passed and it is still not so: {deed}; {}", self.stand());
                    return self.breaks_off(why);
                }
                Went::Not(why) => return self.breaks_off(why),
            }
        }
        Ok(())
    }

    /// Where agreement was meant to break, the honest compare what they hold before all ends: each side alone proves little.
    fn epilogue(&mut self, script: &Script) -> Held {
        let now = self.now();
        let play = self.play();
        if !script.breaks || play.ends.is_some_and(|ends| now >= ends) {
            return self.curtain();
        }
        if play.ends.is_none() {
            play.ends = Some(now + EPILOGUE);
            let all = self.pairs_of_all();
            self.shape(all, |_, _| Like { delay: 1000, jitter: 1000, ..Like::default() });
            self.happened("links are good from here on, and each side hears of the other".to_owned());
            self.queue.after(EPILOGUE, Happening::Cue);
        }
        Ok(())
    }

    fn breaks_off(&mut self, why: String) -> Held {
        self.happened(format!("the script ends here: {why}"));
        self.play().played.failed = Some(why);
        self.curtain()
    }

    fn perform(&mut self, deed: &Deed, first: bool) -> Result<Went, Violation> {
        let Some(ids) = self.whom_of(deed, first) else { return Ok(Went::Waits) };
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
                    self.play().goal = self.furthest();
                }
                let goal = self.play().goal;
                let further = self.rows().iter().filter(|row| row.executed > goal).count();
                if further < self.plan.quorums().quorum() {
                    return Ok(Went::Waits);
                }
                self.happened(format!("the network goes on above slot {goal}"));
            }
            Deed::CaughtUp => {
                if first {
                    self.play().goal = self.furthest();
                }
                let goal = self.play().goal;
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
    fn lead(&mut self, id: u16, first: bool) -> Result<Went, Violation> {
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

    fn fill_disks(&mut self, ids: &[u16], first: bool) -> Went {
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

    fn rot(&mut self, id: u16, lost: bool) -> Option<String> {
        for node in self.nodes_of(id) {
            let play = self.play.get_or_insert_default();
            play.damages += 1;
            let commits = 1 + named(&[self.plan.seed, play.damages, node as u64, 51]) % 3;
            let at = &mut self.nodes[node];
            if at.lives() {
                return Some(format!("r{id} runs: only the disk of one that is down can be damaged; kill it first"));
            }
            if at.turns == 0 {
                return Some(format!("r{id} has stored nothing yet"));
            }
            if lost {
                at.turns = at.turns.saturating_sub(commits);
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

    fn strike(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        at.asleep = false;
        if let Some(runner) = &mut at.runner {
            let attacks = Attacks::from(at.attacks.clone());
            attacks.corrupt(runner.io(), self.setup.signer(at.id), &self.setup.committee);
        }
    }

    /// Starts again with these attacks, none: as an honest replica.
    fn turn_into(&mut self, id: u16, attacks: &[Attack]) -> Held {
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

    fn start_again(&mut self, node: usize) -> Held {
        let life = self.nodes[node].life;
        self.restart(node, life)
    }

    fn go_on(&mut self, id: u16) -> Held {
        for node in self.nodes_of(id) {
            let life = self.nodes[node].life;
            self.resume(node, life)?;
        }
        self.play().down.remove(&id);
        self.is_back();
        Ok(())
    }

    /// Whom a deed is about: the senders, where there are links. `None` while nobody can say who leads.
    fn whom_of(&self, deed: &Deed, first: bool) -> Option<Vec<u16>> {
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

    fn whom(&self, whom: &Whom) -> Option<Vec<u16>> {
        Some(match whom {
            Whom::Primary => vec![self.leader(self.agreed_view(0)?)],
            Whom::Down => self.play.as_ref().map(|play| play.down.iter().copied().collect()).unwrap_or_default(),
            Whom::All => (0..self.plan.n).collect(),
            Whom::These(these) => these.clone(),
        })
    }

    fn leader(&self, view: u64) -> u16 {
        self.setup.committee.primary(view).0
    }

    fn nodes_of(&self, id: u16) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].id.0 == id).collect()
    }

    /// What those say who run. A twin does not speak for itself.
    fn rows(&self) -> Vec<Row> {
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
    fn agreed_view(&self, least: u64) -> Option<u64> {
        let mut views: BTreeMap<u64, usize> = BTreeMap::new();
        for row in self.rows().iter().filter(|row| row.active) {
            *views.entry(row.view).or_default() += 1;
        }
        let quorum = self.plan.quorums().quorum();
        views.into_iter().rev().find(|(view, count)| *view >= least && *count >= quorum).map(|(view, _)| view)
    }

    /// A fault comes: the view that it hits is remembered, if there is one.
    fn note_view(&mut self) {
        if let Some(view) = self.agreed_view(0) {
            self.play().view_before = view;
        }
    }

    fn furthest(&self) -> Slot {
        self.rows().iter().map(|row| row.executed).max().unwrap_or_default()
    }

    fn are_there(&self, ids: &[u16], goal: Slot, active: bool) -> bool {
        let rows = self.rows();
        let there = |id: &u16| {
            rows.iter().any(|row| row.id == *id && row.executed >= goal && !row.behind && (row.active || !active))
        };
        ids.iter().all(there)
    }

    fn must_catch_up(&self, id: u16) -> bool {
        let down = self.play.as_ref().is_some_and(|play| play.down.contains(&id) || play.damaged.contains(&id));
        !down && !self.checks.byzantine.contains(&ReplicaId(id))
    }

    fn pairs_of_all(&self) -> impl Iterator<Item = (u16, u16)> + use<> {
        let n = self.plan.n;
        (0..n).flat_map(move |one| (0..n).map(move |other| (one, other)))
    }

    /// Directed links become what `like` says of them; whoever can connect again does.
    fn shape(&mut self, pairs: impl Iterator<Item = (u16, u16)>, like: impl Fn(usize, usize) -> Like) {
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

    fn lay_links(&mut self, links: &[Vec<Like>]) {
        let all = self.pairs_of_all();
        self.shape(all, |from, to| links[from][to]);
    }

    pub(super) fn weather(&mut self, place: usize) -> Held {
        if let Some(change) = self.script().and_then(|script| script.weather.get(place)) {
            self.shape(std::iter::once((change.from, change.to)), |_, _| change.like);
        }
        Ok(())
    }

    /// A client that keeps to the rules has its answer: it sends the next command some time later.
    pub(super) fn is_answered(&mut self, client: u8) {
        let (Some(script), now) = (self.script(), self.now()) else { return };
        let pause = script.load.pause.max(1);
        let chance = named(&[self.plan.seed, client.into(), now, 52]);
        self.queue.after(pause / 2 + chance % pause, Happening::Next { client });
        self.note_gap();
        self.play().answered = now;
    }

    fn note_gap(&mut self) {
        let now = self.now();
        let play = self.play();
        let gap = now - play.answered;
        if gap > play.played.gap.0 {
            play.played.gap = (gap, play.answered);
        }
    }

    /// Somebody or something is back.
    fn is_back(&mut self) {
        let now = self.now();
        let play = self.play();
        if now - play.decided >= STANDSTILL {
            play.back = Some((now, now - play.decided));
        }
    }

    /// An honest replica has executed this slot.
    pub(super) fn is_decided(&mut self, slot: Slot) {
        let now = self.now();
        let Some(play) = &mut self.play else { return };
        if slot <= play.highest {
            return;
        }
        (play.decided, play.highest) = (now, slot);
        if let Some((back, stood)) = play.back.take() {
            play.played.recoveries.push(Recovery { stood, back, took: now - back });
            let (stood, took) = (seconds(stood), seconds(now - back));
            self.happened(format!("slot {slot} is decided, {took} after the end of a standstill of {stood}"));
        }
    }

    /// A check of agreement says no: with a script that is meant to break it, this is noted and the run goes on.
    pub(super) fn holds(&mut self, held: Held) -> Held {
        let Err(violation) = held else { return Ok(()) };
        let breaks = self.plan.script.as_ref().is_some_and(|script| script.breaks);
        if !breaks || !AGREEMENT.contains(&violation.invariant) {
            return Err(violation);
        }
        let broken = &self.play().played.broken;
        if !broken.iter().any(|known| known.invariant == violation.invariant) {
            self.happened(format!("VIOLATION of {violation}"));
            self.play().played.broken.push(violation);
        }
        Ok(())
    }

    fn happened(&mut self, what: String) {
        let now = self.now();
        self.tell(|_| format!("SCRIPT: {what}"));
        self.play().played.story.push((now, what));
    }

    /// The script is over: whoever is faulty for good is known now, and the others are healthy from here on, if they are enough.
    fn curtain(&mut self) -> Held {
        self.note_gap();
        let now = self.now();
        let f = self.plan.quorums().f();
        let play = self.play.get_or_insert_default();
        play.played.over = now;
        let mut faulty: BTreeSet<u16> = self.checks.byzantine.iter().map(|id| id.0).collect();
        faulty.extend(&play.damaged);
        if faulty.len() > f {
            self.happened(format!(
                "the script is over; {} are faulty, more than {f}: nothing is promised",
                faulty.len()
            ));
            self.phase = healthy::Phase::Over;
            return Ok(());
        }
        let dead = play.down.iter().filter(|id| {
            let node = &self.nodes[usize::from(**id)];
            !node.lives() && !faulty.contains(id)
        });
        let dead: BTreeSet<u16> = dead.copied().collect();
        let stay = faulty.len() + dead.len() <= f;
        self.rest = faulty.iter().map(|id| (usize::from(*id), Rest::Runs)).collect();
        if stay {
            self.rest.extend(dead.iter().map(|id| (usize::from(*id), Rest::Dead)));
        }
        let rest: BTreeSet<usize> = self.rest.iter().map(|(node, _)| *node).collect();
        self.core = (0..usize::from(self.plan.n)).filter(|node| !rest.contains(node)).collect();
        self.play().back = Some((now, now - self.play().decided)).filter(|(_, stood)| *stood >= STANDSTILL);
        self.happened("the script is over: links are good, and whoever can run does".to_owned());
        self.heal()
    }

    /// What it came to. `held`: the run came to its end.
    pub(super) fn played(&mut self, held: bool) -> Option<Played> {
        let play = self.play.take()?;
        let faulty = |at: &super::Node| self.checks.byzantine.contains(&at.id) || play.damaged.contains(&at.id.0);
        let honest: Vec<_> = self.nodes.iter().filter(|at| !faulty(at)).collect();
        let executed = honest.iter().map(|at| (at.id, Slot(at.disk.executed().len() as u64))).collect();
        let evidence = honest.iter().flat_map(|at| at.disk.evidence().iter().map(|proof| (at.id, proof.clone())));
        let evidence = evidence.collect();
        let lived = held && !self.core.is_empty() && self.clients.unanswered() == 0;
        Some(Played { executed, evidence, lived, fork: fork(&honest), ..play.played })
    }
}

/// The lowest slot in which two of them have executed different batches.
fn fork(honest: &[&super::Node]) -> Option<Fork> {
    let pairs =
        honest.iter().enumerate().flat_map(|(place, one)| honest[place + 1..].iter().map(move |other| (one, other)));
    let forks = pairs.filter_map(|(one, other)| {
        let both = one.disk.executed().iter().zip(other.disk.executed());
        let (at, (left, right)) = both
            .enumerate()
            .find(|(_, (left, right))| left.certificate.statement.digest != right.certificate.statement.digest)?;
        let signed: BTreeSet<ReplicaId> = left.certificate.signers().collect();
        let signed_both = right.certificate.signers().filter(|signer| signed.contains(signer)).collect();
        Some(Fork { slot: Slot(at as u64 + 1), sides: (one.id, other.id), signed_both })
    });
    forks.min_by_key(|fork| fork.slot)
}
