//! Faults, as they happen.

use super::draw::named;
use super::fault::{Fault, Moment};
use super::node::{Doom, Stage};
use super::queue::Happening;
use super::{Held, Micros, Probe, World, healthy};
use varangian_consensus::Record;

impl World<'_> {
    pub(super) fn befall(&mut self, place: usize) -> Held {
        if self.phase != healthy::Phase::Safety {
            return Ok(());
        }
        let fault = self.plan.faults[place].1.clone();
        self.hash.add(place as u64);
        self.tell(|_| format!("FAULT: {fault}"));
        match fault {
            Fault::Kill { node, moment, down } => self.doom_at(node, moment, false, down)?,
            Fault::PowerLoss { node, moment, down } => self.doom_at(node, moment, true, down)?,
            Fault::PowerLossOfAll { down, spread } => {
                self.probes.hit(Probe::PowerLossOfAll);
                for node in 0..self.nodes.len() {
                    let later = named(&[self.plan.seed, place as u64, node as u64]) % spread.max(1);
                    self.crash(node, true, down + later)?;
                }
            }
            Fault::Pause { node, during } => {
                let at = &mut self.nodes[node];
                if at.lives() && !at.paused {
                    at.paused = true;
                    let life = at.life;
                    self.queue.after(during, Happening::Resume { node, life });
                }
            }
            Fault::Partition { from, to, both_ways, breaks, during } => {
                self.partition(from, to, both_ways, breaks);
                self.queue.after(during, Happening::Heals { from, to, both_ways });
            }
            Fault::Clog { from, to, during } => {
                self.net.clog(from, to);
                self.queue.after(during, Happening::Unclog { from, to });
            }
            Fault::Swizzle { order, step, free } => {
                self.probes.hit(Probe::Swizzled);
                let last = order.len() as Micros * step;
                for (place, node) in order.iter().enumerate() {
                    let begin = place as Micros * step;
                    let end = last + named(&[free, *node as u64]) % last.max(1);
                    self.queue.after(begin, Happening::Clogs { from: *node, during: end - begin });
                }
            }
            Fault::Reconnect { one, other } => {
                self.net.disconnect(one, other);
                self.connect_later(one, other);
            }
            Fault::QuorumEdge { during, .. } => {
                self.edge = Some(super::edge::AtTheEdge { place, gone_in: None });
                self.queue.after(during, Happening::EdgeEnds(place));
            }
            Fault::Rot { node, lost } => {
                self.crash(node, true, 500_000)?;
                let at = &mut self.nodes[node];
                at.rotten |= lost == 0;
                at.turns = at.turns.saturating_sub(lost);
            }
        }
        Ok(())
    }

    fn pairs(&self, from: u64, to: u64) -> Vec<(usize, usize)> {
        let on = |side: u64, node: usize| side >> self.nodes[node].id.0 & 1 == 1;
        let all = 0..self.nodes.len();
        let pairs = all.clone().flat_map(|one| all.clone().map(move |other| (one, other)));
        pairs.filter(|(one, other)| one != other && on(from, *one) && on(to, *other)).collect()
    }

    pub(super) fn partition(&mut self, from: u64, to: u64, both_ways: bool, breaks: bool) {
        for (one, other) in self.pairs(from, to) {
            self.net.block(one, other);
            if both_ways {
                self.net.block(other, one);
            }
            if breaks {
                self.net.disconnect(one, other);
            }
        }
    }

    pub(super) fn end_partition(&mut self, from: u64, to: u64, both_ways: bool) -> Held {
        if self.phase != healthy::Phase::Safety {
            return Ok(());
        }
        for (one, other) in self.pairs(from, to) {
            self.net.unblock(one, other);
            if both_ways {
                self.net.unblock(other, one);
            }
            if self.net.is_open(one, other) {
                self.connect_later(one, other);
            }
        }
        Ok(())
    }

    pub(super) fn clog_all_of(&mut self, from: usize, during: Micros) -> Held {
        for to in 0..self.nodes.len() {
            if self.phase == healthy::Phase::Safety && to != from {
                self.net.clog(from, to);
                self.queue.after(during, Happening::Unclog { from, to });
            }
        }
        Ok(())
    }

    fn doom_at(&mut self, node: usize, moment: Moment, power: bool, down: Micros) -> Held {
        let at = &mut self.nodes[node];
        let commit = match moment {
            Moment::Now => return self.crash(node, power, down),
            Moment::BeforeSync(count) | Moment::BeforeMark(count) | Moment::AfterMark(count) => at.commits + count,
            Moment::Said(..) => Doom::UNKNOWN,
        };
        if at.lives() {
            at.doom.push(Doom { commit, moment, power, down });
        }
        Ok(())
    }

    /// Crashes, if this group commit at this stage is what a crash waits for: just before the stage would end.
    pub(super) fn doom(&mut self, node: usize, stage: Stage) {
        let at = &self.nodes[node];
        let meets = |doom: &&Doom| {
            let here = match stage {
                Stage::Syncing => matches!(doom.moment, Moment::BeforeSync(_)),
                Stage::Marking => matches!(doom.moment, Moment::BeforeMark(_)),
            };
            here && doom.commit == at.commits
        };
        if let Some(doom) = at.doom.iter().find(meets).copied() {
            let life = at.life;
            self.queue.after(0, Happening::Crash { node, life, power: doom.power, down: doom.down });
        }
    }

    /// A group commit of these records begins: some crash may have waited for it.
    pub(super) fn doom_records(&mut self, node: usize, records: &[Record]) {
        let at = &mut self.nodes[node];
        for doom in at.doom.iter_mut().filter(|doom| doom.commit == Doom::UNKNOWN) {
            if let Moment::Said(what, _) = doom.moment
                && records.iter().any(|record| what.is(record))
            {
                doom.commit = at.commits;
            }
        }
    }

    /// Crashes soon, if it was this group commit whose votes a crash waited for.
    pub(super) fn doom_after_votes(&mut self, node: usize) {
        let at = &self.nodes[node];
        let (life, commits) = (at.life, at.commits);
        for doom in at.doom.iter().filter(|doom| doom.commit == commits) {
            if let Moment::Said(_, after) = doom.moment {
                let (power, down) = (doom.power, doom.down);
                self.queue.after(after, Happening::Crash { node, life, power, down });
            }
        }
    }

    /// The same for a group commit that is synced and marked, of which nothing has come yet.
    pub(super) fn doomed_after_mark(&mut self, node: usize) -> bool {
        let at = &self.nodes[node];
        let meets = |doom: &&Doom| matches!(doom.moment, Moment::AfterMark(_)) && doom.commit == at.commits;
        let Some(doom) = at.doom.iter().find(meets).copied() else { return false };
        let life = at.life;
        self.queue.after(0, Happening::Crash { node, life, power: doom.power, down: doom.down });
        true
    }

    pub(super) fn crash_of(&mut self, node: usize, life: u32, power: bool, down: Micros) -> Held {
        if self.nodes[node].life == life { self.crash(node, power, down) } else { Ok(()) }
    }

    /// A replica dies. What it had written and not synced stays, or, if its power fails, a prefix of it does.
    pub(super) fn crash(&mut self, node: usize, power: bool, down: Micros) -> Held {
        if !self.nodes[node].lives() {
            return Ok(());
        }
        self.die(node, power)?;
        let life = self.nodes[node].life;
        self.queue.after(down, Happening::Restart { node, life });
        Ok(())
    }

    /// The same of one that lives, and nobody starts it again.
    pub(super) fn die(&mut self, node: usize, power: bool) -> Held {
        self.crashes += 1;
        let at = &self.nodes[node];
        let syncing = at.commit.as_ref().is_some_and(|commit| commit.stage == Stage::Syncing);
        let unmarked = at.commit.as_ref().is_some_and(|commit| commit.stage == Stage::Marking);
        let unsynced = at.disk.unsynced();
        let writes = unsynced + usize::from(syncing);
        let drawn = named(&[self.plan.seed, node as u64, at.life.into(), 9]);
        let kept = if power {
            drawn % (writes as u64 + 1)
        } else {
            (writes as u64).saturating_sub(drawn % 2 * u64::from(syncing))
        };
        let kept = usize::try_from(kept).unwrap_or(writes);
        if power && kept < writes {
            self.probes.hit(if drawn >> 32 & 1 == 1 { Probe::TornTail } else { Probe::LostTail });
        }
        if syncing {
            self.probes.hit(if kept > unsynced { Probe::CommitLandedUnheard } else { Probe::CommitLost });
        }
        if unmarked {
            self.probes.hit(Probe::CrashBetweenSyncAndMark);
        }
        if self.nodes[node].is_changing() {
            self.probes.hit(Probe::CrashInViewChange);
        }
        if syncing && kept > unsynced {
            self.land(node)?;
        } else if power {
            self.nodes[node].disk.keep_unsynced(kept.min(unsynced));
        }
        let at = &mut self.nodes[node];
        at.forget();
        self.disconnect_from_all(node);
        self.hash.add(kept as u64);
        self.tell(|world| format!("{} crashes; {kept} of {writes} unsynced writes stay", world.name(node)));
        Ok(())
    }

    pub(super) fn restart(&mut self, node: usize, life: u32) -> Held {
        let at = &mut self.nodes[node];
        if at.life != life || at.lives() || at.refused {
            return Ok(());
        }
        if at.rotten || at.turns < at.mark {
            at.refused = true;
            self.probes.hit(Probe::StartRefused);
            self.tell(|world| format!("{} does not start: its store is damaged", world.name(node)));
            return Ok(());
        }
        at.mark = at.turns;
        self.tell(|world| format!("{} restarts", world.name(node)));
        self.start(node)?;
        self.connect_to_all(node);
        Ok(())
    }

    pub(super) fn resume(&mut self, node: usize, life: u32) -> Held {
        let at = &mut self.nodes[node];
        if at.life == life && std::mem::take(&mut at.paused) {
            for what in std::mem::take(&mut at.missed) {
                self.queue.after(0, Happening::Inside { node, life, what });
            }
            self.probes.hit(Probe::Resumed);
        }
        Ok(())
    }
}
