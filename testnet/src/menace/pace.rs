//! So many acts per second, and no more.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far an act that is late may be made up for: the clock of sleeps is not finer than a millisecond.
const SLACK: Duration = Duration::from_millis(10);

/// When the next act is due.
pub(super) struct Pace {
    period: Duration,
    due: Instant,
}

impl Pace {
    /// `rate` acts per second; at least one.
    pub(super) fn new(rate: u32) -> Self {
        Self { period: Duration::from_secs(1) / rate.max(1), due: Instant::now() }
    }

    /// Waits for the next act's moment.
    pub(super) async fn next(&mut self) {
        sleep_until(self.due).await;
        let now = Instant::now();
        self.due = (self.due + self.period).max(now.checked_sub(SLACK).unwrap_or(now));
        tokio::task::consume_budget().await;
    }
}
