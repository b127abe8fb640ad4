//! Time-outs: how long to wait, and which timers count.
//!
//! One time-out `T` serves commands and NEW-VIEWs. It doubles with every view that fails, up to its cap, and halves after each `2T`
//! spent in one view with progress. Safety never looks at it.

use crate::command::Identity;
use crate::config::Config;
use crate::effect::{Effect, Ignored, Timer};
use crate::replica::{Phase, Replica, Turn};
use crate::types::{Millis, View};
use varangian_crypto::seeded::{Bug, seeded};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pacing {
    /// Views that failed and are not yet made good: `T = base * 2^failures`.
    failures: u32,
    /// Since when there was no expiry and no halving.
    calm_since: Millis,
    generation: u64,
    /// The command whose deadline the command timer was set for, and the timer's generation.
    command: Option<(u64, (Millis, Identity))>,
    /// When its time ran out last, too few were heard.
    alone: bool,
    /// The view whose NEW-VIEW is awaited, and the timer's generation.
    new_view: Option<(u64, View)>,
    status: Option<u64>,
}

impl Pacing {
    /// `T`.
    #[must_use]
    pub fn timeout(&self, config: &Config) -> Millis {
        let factor = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        config.base_timeout.saturating_mul(factor).min(config.max_timeout)
    }

    /// The view that was is given up: wait longer for the next.
    pub fn view_failed(&mut self, config: &Config) {
        if self.timeout(config) < config.max_timeout {
            self.failures += 1;
        }
        self.command = None;
        self.alone = false;
        self.new_view = None;
    }

    /// A view begins.
    pub fn entered(&mut self, now: Millis) {
        self.calm_since = now;
        self.command = None;
        self.new_view = None;
    }

    /// Something was ordered.
    pub fn progress(&mut self, now: Millis, config: &Config) {
        let calm = now.saturating_sub(self.calm_since);
        if self.failures > 0 && calm >= self.timeout(config).saturating_mul(2) {
            self.failures -= 1;
            self.calm_since = now;
        }
    }

    /// Starts the wait for the NEW-VIEW of `view`, once; its length is set when the step ends.
    pub fn watch_new_view(&mut self, turn: &mut Turn<'_>, view: View, timeout: Millis) {
        if self.new_view.is_none_or(|(_, watched)| watched != view) && !seeded(Bug::NewViewTimerMissing) {
            let generation = self.next();
            self.new_view = Some((generation, view));
            turn.push(Effect::SetTimer(Timer::NewView(generation), timeout));
        }
    }

    fn next(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }
}

impl Replica {
    /// Arms commands and hands each to the primary: from then on its order is due within `T`.
    pub(crate) fn arm_commands(&mut self, turn: &mut Turn<'_>) {
        let primary = self.config.primary(self.view);
        if self.phase != Phase::Active || primary == self.config.id {
            return;
        }
        let deadline = turn.now.saturating_add(self.pacing.timeout(&self.config));
        while let Some(command) = self.pool.arm(deadline, &self.config) {
            turn.push(Effect::Send(primary, crate::message::Message::Command(command)));
        }
    }

    /// Keeps one timer running for the earliest armed command, and one for the status exchange while anything is outstanding.
    pub(crate) fn watch(&mut self, turn: &mut Turn<'_>) {
        if self.pacing.command.is_none()
            && self.phase == Phase::Active
            && let Some(armed) = self.pool.earliest()
        {
            let generation = self.pacing.next();
            self.pacing.command = Some((generation, armed));
            let (deadline, _) = armed;
            turn.push(Effect::SetTimer(Timer::Command(generation), deadline.saturating_sub(turn.now).max(1)));
        }
        if self.pacing.status.is_none() && self.has_outstanding() {
            let generation = self.pacing.next();
            self.pacing.status = Some(generation);
            turn.push(Effect::SetTimer(Timer::Status(generation), self.config.status_interval()));
        }
    }

    /// Whether this replica would be alone in another view: it is behind, or too few are there to come along. Who asks for a view votes in the one before no
    /// more, so it would only be missing there. (Whoever is there and waits for something says so in each status interval.)
    pub(crate) fn would_be_alone(&self, now: Millis) -> bool {
        self.is_behind() || self.hears_too_few(now)
    }

    /// In the last half of a time-out: a command may have been armed just before everybody fell silent, and its time must not run out while they still count as heard.
    fn hears_too_few(&self, now: Millis) -> bool {
        self.peers.heard_within(self.pacing.timeout(&self.config) / 2, now) + 1 < self.config.quorum()
    }

    /// §4.4: the command that the timer was set for is still not ordered. Its primary is given up, unless
    /// this replica would be alone in the next view, or heard too few when the time ran out before: whoever has just come back has a whole time-out to
    /// order what waits.
    pub(crate) fn on_command_timeout(&mut self, turn: &mut Turn<'_>, generation: u64) -> Result<(), Ignored> {
        let Some((_, armed)) = self.pacing.command.filter(|(current, _)| *current == generation) else {
            return Err(Ignored::Stale);
        };
        self.pacing.command = None;
        if !self.pool.is_armed(&armed) && !seeded(Bug::StaleTimeout) {
            return Ok(());
        }
        let alone = self.hears_too_few(turn.now);
        let was_alone = core::mem::replace(&mut self.pacing.alone, alone);
        if was_alone || self.would_be_alone(turn.now) {
            let deadline = turn.now.saturating_add(self.pacing.timeout(&self.config));
            self.pool.extend(deadline);
            return Ok(());
        }
        self.start_view_change(turn, self.view.next());
        Ok(())
    }

    /// §4.4: a quorum asked for the view and its primary does not begin it.
    pub(crate) fn on_new_view_timeout(&mut self, turn: &mut Turn<'_>, generation: u64) -> Result<(), Ignored> {
        let Some((_, view)) = self.pacing.new_view.filter(|(current, _)| *current == generation) else {
            return Err(Ignored::Stale);
        };
        self.pacing.new_view = None;
        if self.phase == Phase::Changing && self.view == view {
            self.start_view_change(turn, view.next());
        }
        Ok(())
    }

    /// Time to say where this replica stands, if anything is outstanding still.
    pub(crate) fn on_status_timeout(&mut self, turn: &mut Turn<'_>, generation: u64) -> Result<(), Ignored> {
        if self.pacing.status != Some(generation) {
            return Err(Ignored::Stale);
        }
        self.pacing.status = None;
        if self.has_outstanding() && !seeded(Bug::StatusSilent) {
            self.exchange(turn);
        }
        Ok(())
    }
}
