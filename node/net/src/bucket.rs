//! Token buckets: so much at once, and so much a second.

use std::time::{Duration, Instant};

/// How fast something may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once, after a rest; at least 1.
    pub burst: u32,
    /// Per second from then on; at least 1.
    pub per_second: u32,
}

/// What somebody has used up of a [`Rate`]. Nothing at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// When all of it is there again.
    full_at: Option<Instant>,
}

impl Rate {
    fn each(&self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

impl Bucket {
    /// Takes `cost`, if there is as much; says whether there was.
    pub fn take(&mut self, rate: &Rate, cost: u32, now: Instant) -> bool {
        let full_at = self.after(rate, cost, now);
        let there = full_at <= now + rate.each() * rate.burst;
        if there {
            self.full_at = Some(full_at);
        }
        there
    }

    /// Whether there is as much as `cost`.
    #[must_use]
    pub fn holds(&self, rate: &Rate, cost: u32, now: Instant) -> bool {
        self.after(rate, cost, now) <= now + rate.each() * rate.burst
    }

    /// Whether nothing is used up.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    fn after(&self, rate: &Rate, cost: u32, now: Instant) -> Instant {
        self.full_at.map_or(now, |at| at.max(now)) + rate.each() * cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_at_once_and_so_much_a_second() {
        let rate = Rate { burst: 4, per_second: 2 };
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert!(bucket.is_full(start) && bucket.holds(&rate, 4, start) && !bucket.holds(&rate, 5, start));
        assert_eq!((0..9).filter(|_| bucket.take(&rate, 1, start)).count(), 4);
        assert!(!bucket.is_full(start));
        let later = start + Duration::from_secs(1);
        assert!(!bucket.take(&rate, 3, later), "what is not there is not taken");
        assert!(bucket.take(&rate, 2, later) && !bucket.take(&rate, 1, later));
        assert!(bucket.is_full(later + Duration::from_secs(2)));
        assert_eq!((0..9).filter(|_| bucket.take(&rate, 1, later + Duration::from_secs(60))).count(), 4);
    }
}
