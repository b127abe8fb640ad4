//! A replica whose timers run wrong (faults, row 21).
//!
//! What its core waits for runs out in a quarter of the time, or in four times as long: time-outs of commands and of NEW-VIEWs, and the interval of its status
//! exchange. All that it says is honest, and so is the time that its core is told: its timers are skewed, and nobody's clock.
//!
//! Defence: safety never looks at time. A view is joined when `f + 1` ask for it, so who is hasty asks alone, and is missing until the others come; who is
//! late comes along with them.

use super::behaviour::Behaviour;
use super::hand::Hand;
use varangian_consensus::{Millis, Timer};
use varangian_runner::Io;

/// By so much.
const SKEW: u64 = 4;

/// How its timers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pace {
    /// They run out too early.
    Fast,
    /// They run out too late.
    Slow,
}

/// See the module.
#[derive(Debug)]
pub struct SkewedClock(pub Pace);

impl Behaviour for SkewedClock {
    fn set_timer(&mut self, hand: &Hand, timer: Timer, after: Millis, io: &mut dyn Io) {
        let skewed = match self.0 {
            Pace::Fast => (after / SKEW).max(1),
            Pace::Slow => after.saturating_mul(SKEW),
        };
        io.set_timer(timer, if hand.strikes(hand.view(), None) { skewed } else { after });
    }
}
