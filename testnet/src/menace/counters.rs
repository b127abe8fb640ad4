//! What a menace did, and what it met.

use std::collections::BTreeMap;

use quinn::ConnectionError;
use serde::Serialize;
use tokio::sync::watch;
use varangian_net::endpoint::{CODE_DEADLINE, CODE_FULL, CODE_REPLACED, CODE_RULES, CODE_SLOW};
use varangian_net::{Closed, NetError};

/// How often what happened, by reason.
pub type Reasons = BTreeMap<&'static str, u64>;

/// See the module. Replies and refusals count per replica that says them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Acts of mischief.
    pub acts: u64,
    /// Acts that were honest, as the trigger asked.
    pub honest: u64,
    /// Frames, or datagrams, handed to the network.
    pub sent: u64,
    /// Bytes of them.
    pub bytes_sent: u64,
    /// Bytes of what came back.
    pub bytes_received: u64,
    /// Replies that say that a command ran.
    pub accepted: u64,
    /// Answers that say that one did not, by reason.
    pub refused: Reasons,
    /// Other answers: status, subscriptions.
    pub answered: Reasons,
    /// Connections whose handshake this side has completed.
    pub opened: u64,
    /// Streams opened.
    pub streams: u64,
    /// Connections that did not come up, by reason.
    pub unopened: Reasons,
    /// Connections that ended without this side's doing, by reason.
    pub ended: Reasons,
    /// What this side did not even send, by reason.
    pub held_back: Reasons,
}

impl Counters {
    /// Answers that refuse a command, connections refused, and connections ended by the other side.
    #[must_use]
    pub fn rebuffs(&self) -> u64 {
        [&self.refused, &self.unopened, &self.ended].into_iter().flat_map(BTreeMap::values).sum()
    }

    /// So often refused, not opened or ended for this reason.
    #[must_use]
    pub fn count(&self, reason: &str) -> u64 {
        [&self.refused, &self.unopened, &self.ended].into_iter().filter_map(|reasons| reasons.get(reason)).sum()
    }
}

/// Counters that several tasks change and others wait for.
#[derive(Debug, Default)]
pub(super) struct Tally(watch::Sender<Counters>);

impl Tally {
    pub(super) fn read(&self) -> Counters {
        self.0.borrow().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Counters)) {
        self.0.send_modify(change);
    }

    pub(super) async fn reached(&self, enough: impl FnMut(&Counters) -> bool) -> Counters {
        match self.0.subscribe().wait_for(enough).await {
            Ok(counters) => counters.clone(),
            // It cannot be: the sender is borrowed here.
            Err(_) => self.read(),
        }
    }

    pub(super) fn act(&self, strikes: bool) {
        self.change(|counters| *(if strikes { &mut counters.acts } else { &mut counters.honest }) += 1);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.change(|counters| {
            counters.sent += 1;
            counters.bytes_sent += bytes as u64;
        });
    }

    pub(super) fn received(&self, bytes: usize) {
        self.change(|counters| counters.bytes_received += bytes as u64);
    }

    pub(super) fn accepted(&self) {
        self.change(|counters| counters.accepted += 1);
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.change(|counters| *counters.refused.entry(reason).or_default() += 1);
    }

    pub(super) fn answered(&self, what: &'static str) {
        self.change(|counters| *counters.answered.entry(what).or_default() += 1);
    }

    pub(super) fn opened(&self) {
        self.change(|counters| counters.opened += 1);
    }

    pub(super) fn unopened(&self, reason: &'static str) {
        self.change(|counters| *counters.unopened.entry(reason).or_default() += 1);
    }

    pub(super) fn ended(&self, reason: &'static str) {
        self.change(|counters| *counters.ended.entry(reason).or_default() += 1);
    }

    pub(super) fn held_back(&self, reason: &'static str) {
        self.change(|counters| *counters.held_back.entry(reason).or_default() += 1);
    }
}

/// A reason without what varies in it, so that there are few.
pub(super) fn of_closed(reason: &Closed) -> &'static str {
    match reason {
        Closed::Replaced => "replaced",
        Closed::Reset => "reset",
        Closed::Silent => "silence",
        Closed::Deadline => "no answer in time",
        Closed::Refused(_) => "handshake refused",
        Closed::WrongHello => "wrong hello",
        Closed::ByPeer { code, .. } => of_code(*code),
        Closed::Frame(_) => "bad frame",
        Closed::StreamEnded => "stream ended",
        Closed::SlowReader => "slow reader here",
        Closed::Crowded => "crowded here",
        Closed::Local => "closed here",
        Closed::Transport(_) => "transport",
    }
}

fn of_code(code: u64) -> &'static str {
    const BY_CODE: [(u32, &str); 5] = [
        (CODE_REPLACED, "replaced"),
        (CODE_RULES, "rules"),
        (CODE_SLOW, "too slow"),
        (CODE_DEADLINE, "deadline"),
        (CODE_FULL, "no room"),
    ];
    BY_CODE.iter().find(|(known, _)| u64::from(*known) == code).map_or("dismissed", |(_, name)| name)
}

pub(super) fn of_net(error: &NetError) -> &'static str {
    match error {
        NetError::Connect { reason, .. } | NetError::Closed(reason) => of_closed(reason),
        NetError::TooLarge { .. } => "too large to send",
        _ => "settings",
    }
}

pub(super) fn of_connection(error: ConnectionError) -> &'static str {
    of_closed(&error.into())
}
