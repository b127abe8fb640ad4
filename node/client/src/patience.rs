//! How long to wait for a primary before everybody is asked: some of the usual waits, so that a primary that is gone is noticed soon where answers
//! come soon. Never longer than half of the genesis' base time-out, whatever became usual.
//!
//! Usual is what *witnessed* commands take, those that go to all replicas at once: backups watch them, so a primary that is slow with these is deposed. One that
//! is slow with the others then has them witnessed too. Which ones are, nobody can foresee.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// So many usual waits are patience enough: under load the slowest hundredth takes about twice the usual.
const WAITS: u32 = 4;
/// Never less than this part of the most.
const LEAST: u32 = 10;

/// A wait, smoothed as round-trip times are (RFC 6298); none before the first.
#[derive(Debug, Default)]
struct Smoothed {
    micros: AtomicU64,
}

impl Smoothed {
    fn add(&self, wait: Duration) {
        let sample = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(1);
        // Another's sample that comes between the two is lost: it is one of many.
        let smoothed = match self.micros.load(Relaxed) {
            0 => sample,
            smoothed => smoothed - smoothed / 8 + sample / 8,
        };
        self.micros.store(smoothed.max(1), Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        Some(self.micros.load(Relaxed)).filter(|micros| *micros > 0).map(Duration::from_micros)
    }
}

/// The usual waits for an answer.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    witnessed: Smoothed,
    others: Smoothed,
}

impl Patience {
    /// An answer took so long, to a command that was witnessed or not.
    pub(crate) fn took(&self, wait: Duration, witnessed: bool) {
        if witnessed { &self.witnessed } else { &self.others }.add(wait);
    }

    /// How long to wait, at most `most`.
    pub(crate) fn pause(&self, most: Duration) -> Duration {
        let usual = self.witnessed.get().or_else(|| self.others.get());
        usual.map_or(most, |usual| usual.saturating_mul(WAITS).clamp(most / LEAST, most))
    }
}

#[cfg(test)]
mod tests {
    use super::Patience;
    use std::time::Duration;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn patience_follows_what_is_usual_within_bounds() {
        for witnessed in [false, true] {
            let patience = Patience::default();
            assert_eq!(patience.pause(ms(250)), ms(250), "nothing is usual yet");
            patience.took(ms(20), witnessed);
            assert_eq!(patience.pause(ms(250)), ms(80));
            (0..50).for_each(|_| patience.took(ms(1), witnessed));
            assert_eq!(patience.pause(ms(250)), ms(25));
            // However slow a primary makes everybody, it is not waited for longer than that.
            (0..50).for_each(|_| patience.took(ms(5000), witnessed));
            assert_eq!(patience.pause(ms(250)), ms(250));
            // One late answer of many changes little.
            let patience = Patience::default();
            (0..50).for_each(|_| patience.took(ms(20), witnessed));
            patience.took(ms(100), witnessed);
            assert!(patience.pause(ms(250)) <= ms(121));
        }
    }

    /// A primary that serves well what backups watch, and nothing else, moves nobody's patience.
    #[test]
    fn usual_is_what_witnessed_commands_take() {
        let patience = Patience::default();
        (0..50).for_each(|_| patience.took(ms(60), false));
        patience.took(ms(10), true);
        (0..50).for_each(|_| patience.took(ms(60), false));
        assert_eq!(patience.pause(ms(250)), ms(40));
    }
}
