//! A [`Script`] at work: what is due, what is told of it, and how it ends. `deeds`: how each thing is done; `stand`: how things stand meanwhile.

use super::deeds::{Leading, Went};
use super::draw::named;
use super::fault::seconds;
use super::plan::Rest;
use super::queue::Happening;
use super::script::{Fork, Like, Played, Recovery, Script};
use super::{Held, MAX_STEPS, Micros, World, healthy};
use crate::checks::Invariant;
use std::collections::BTreeSet;
use varangian_consensus::Slot;
use varangian_crypto::ReplicaId;

/// Nothing decided for so long is a standstill.
const STANDSTILL: Micros = 1_000_000;
/// How often it is looked whether what is waited for has come about.
const LOOK: Micros = 50_000;
/// Until the first client sends its first command, and until the first deed.
const OPENING: Micros = 50_000;
const CURTAIN: Micros = 300_000;
/// Steps that a run may take on top, for each second of its script.
const STEPS_PER_SECOND: u64 = 50_000;

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
    pub played: Played,
    /// The deed that is on, when it began, and whether it has been begun.
    pub next: usize,
    pub began: Micros,
    pub begun: bool,
    /// The slot to be reached or passed.
    pub goal: Option<Slot>,
    /// The view when the last fault came.
    pub view_before: u64,
    pub down: BTreeSet<u16>,
    /// Whom a deed has turned malicious.
    pub turned: BTreeSet<u16>,
    /// Whose disks are not what they were.
    pub damaged: BTreeSet<u16>,
    pub leading: Leading,
    /// What links are like that nothing was done to.
    pub links: Vec<Vec<Like>>,
    pub damages: u64,
    pub answered: Micros,
    pub decided: Micros,
    /// The highest slot that was.
    pub highest: Slot,
    /// Since when somebody is back, and how long nothing had been decided then.
    pub back: Option<(Micros, Micros)>,
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

    pub(super) fn play(&mut self) -> &mut Play {
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
            let Some(deed) = script.deeds.get(play.next) else { return self.curtain() };
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

    fn breaks_off(&mut self, why: String) -> Held {
        self.happened(format!("the script ends here: {why}"));
        self.play().played.failed = Some(why);
        self.curtain()
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

    /// Somebody or something is back. Where nobody waits for an answer, nothing stands still.
    pub(super) fn is_back(&mut self) {
        let now = self.now();
        let waited_for = self.clients.unanswered() > 0;
        let play = self.play();
        if waited_for && now - play.decided >= STANDSTILL {
            play.back = Some((now, now - play.decided));
        }
    }

    /// Something else begins. If nothing has been decided since somebody came back, it would have taken longer than until now.
    pub(super) fn no_longer_waits(&mut self) {
        let now = self.now();
        let play = self.play();
        if let Some((back, stood)) = play.back.take() {
            play.played.recoveries.push(Recovery { stood, back, took: now - back });
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

    pub(super) fn happened(&mut self, what: String) {
        let now = self.now();
        self.tell(|_| format!("SCRIPT: {what}"));
        self.play().played.story.push((now, what));
    }

    /// The script is over: whoever is faulty for good is known now, and the others are healthy from here on, if they are enough.
    fn curtain(&mut self) -> Held {
        self.note_gap();
        self.note_strikes();
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
        self.no_longer_waits();
        self.is_back();
        self.happened("the script is over: links are good, and whoever can run does".to_owned());
        self.heal()
    }

    /// What attacks came to until now.
    fn note_strikes(&mut self) {
        let of_node = |at: &mut super::Node| {
            let id = at.id;
            at.strikes().into_iter().map(move |(attack, strikes)| ((id, attack), strikes))
        };
        self.play().played.strikes = self.nodes.iter_mut().flat_map(of_node).collect();
    }

    /// What it came to. `held`: the run came to its end.
    pub(super) fn played(&mut self, held: bool) -> Option<Played> {
        // A run that ended before its script did has not noted any.
        if self.play.as_ref()?.played.strikes.is_empty() {
            self.note_strikes();
        }
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
        let same_view = left.certificate.statement.view == right.certificate.statement.view;
        let signed_both = right.certificate.signers().filter(|signer| same_view && signed.contains(signer)).collect();
        Some(Fork { slot: Slot(at as u64 + 1), sides: (one.id, other.id), signed_both })
    });
    forks.min_by_key(|fork| fork.slot)
}
