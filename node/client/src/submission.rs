//! One command on its way: to whom it is sent, when again, and when enough is known.
//!
//! To the primary first, or, as a sample, to everybody; to everybody as soon as the primary is not connected or keeps silent for too long; then again and
//! again, the same bytes, at doubling intervals, and at once to whoever comes back. To whoever says `Busy`, after a pause.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use varangian_application::{Outcome, Reply};
use varangian_consensus::Command;
use varangian_crypto::{ReplicaId, decode};

use crate::error::ClientError;
use crate::hub::{Entered, Hub, Link, LinkState, Outgoing, Pending};
use crate::outcome::{Committed, Rejection};
use crate::tally::Verdict;

/// Sends a command until it has an outcome or the deadline has passed.
pub(crate) async fn submit(hub: &Arc<Hub>, command: Command, deadline: Instant) -> Result<Committed, ClientError> {
    let _room = match timeout_at(deadline, hub.room.acquire()).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) => return Err(ClientError::Unavailable { why: "the connections are closed".into() }),
        Err(_) => return Err(ClientError::Unavailable { why: "too many commands are on their way".into() }),
    };
    let entered = hub.enter(command)?;
    let witnessed = hub.is_witnessed();
    let mut submission = Submission::new(hub, &entered, witnessed);
    let began = Instant::now();
    match timeout_at(deadline, submission.run()).await {
        Ok(outcome) => {
            hub.patience.took(began.elapsed(), witnessed);
            outcome
        }
        Err(_) => Err(given_up(hub, &entered.pending)),
    }
}

/// What was sent to whom.
struct Submission<'a> {
    hub: &'a Hub,
    pending: &'a Arc<Pending>,
    changes: watch::Receiver<u64>,
    /// Everybody is asked, not the primary alone.
    wide: bool,
    /// Per replica, the connection on which it was last queued.
    queued: Vec<Option<u64>>,
    /// When to ask everybody, again.
    next: Instant,
    interval: Duration,
    /// When to ask again who was busy.
    busy: Option<Instant>,
    busy_pause: Duration,
    busy_replicas: Vec<ReplicaId>,
}

impl<'a> Submission<'a> {
    fn new(hub: &'a Hub, entered: &'a Entered, wide: bool) -> Self {
        let interval = hub.fan_out_after();
        Self {
            hub,
            pending: &entered.pending,
            changes: hub.changes.subscribe(),
            wide,
            queued: vec![None; hub.links.len()],
            next: Instant::now() + interval,
            interval,
            busy: None,
            busy_pause: hub.options.busy_pause,
            busy_replicas: Vec::new(),
        }
    }

    async fn run(&mut self) -> Result<Committed, ClientError> {
        self.follow_links();
        loop {
            if let Some(outcome) = self.judge() {
                return outcome;
            }
            let busy = self.busy;
            tokio::select! {
                () = self.pending.changed.notified() => self.note_busy(),
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        return Err(given_up(self.hub, self.pending));
                    }
                    self.follow_links();
                }
                () = sleep_until(self.next) => self.ask_everybody(),
                () = sleep_until(busy.unwrap_or(self.next)), if busy.is_some() => self.ask_busy(),
            }
        }
    }

    /// Sends to those targets that have a connection on which it was not sent yet.
    fn follow_links(&mut self) {
        let primary = self.hub.primary();
        self.wide |= self.hub.link(primary).is_some_and(Link::is_down);
        for id in self.hub.committee.quorums().replicas() {
            if self.wide || id == primary {
                self.send(id, false);
            }
        }
    }

    fn ask_everybody(&mut self) {
        self.wide = true;
        self.interval = (self.interval * 2).min(self.hub.options.retransmit_cap);
        self.next = Instant::now() + self.interval;
        for link in &self.hub.links {
            link.offer(Outgoing::Resubscribe(self.pending.command.client()));
        }
        for id in self.hub.committee.quorums().replicas() {
            self.send(id, true);
        }
    }

    fn note_busy(&mut self) {
        let busy = self.pending.progress().tally.take_busy();
        if !busy.is_empty() && self.busy.is_none() {
            self.busy = Some(Instant::now() + self.busy_pause);
            self.busy_pause = (self.busy_pause * 2).min(self.hub.options.busy_pause * 16);
        }
        for id in busy {
            if !self.busy_replicas.contains(&id) {
                self.busy_replicas.push(id);
            }
        }
    }

    fn ask_busy(&mut self) {
        self.busy = None;
        for id in std::mem::take(&mut self.busy_replicas) {
            self.send(id, true);
        }
    }

    /// `again`: also if this connection has carried it before.
    fn send(&mut self, to: ReplicaId, again: bool) {
        let (Some(link), Some(queued)) = (self.hub.link(to), self.queued.get_mut(to.index())) else { return };
        let Some(connection) = link.connection() else { return };
        if (again || *queued != Some(connection)) && link.offer(Outgoing::Command(Arc::downgrade(self.pending))) {
            *queued = Some(connection);
        }
    }

    fn judge(&self) -> Option<Result<Committed, ClientError>> {
        let progress = self.pending.progress();
        let (verdict, replicas) = progress.tally.verdict()?;
        let dissenters = progress.tally.dissenters();
        drop(progress);
        if !dissenters.is_empty() {
            tracing::warn!(
                ?dissenters,
                sequence = self.pending.command.sequence(),
                "replicas contradict the agreed outcome"
            );
        }
        let sequence = self.pending.command.sequence();
        Some(match verdict {
            Verdict::Rejected(reason) => Err(ClientError::Rejected { sequence, reason }),
            Verdict::Executed(reply) => committed(&self.pending.command, &reply, replicas, dissenters),
        })
    }
}

/// Reads the reply that `f + 1` replicas sent.
fn committed(
    command: &Command,
    reply: &[u8],
    replicas: Vec<ReplicaId>,
    dissenters: Vec<ReplicaId>,
) -> Result<Committed, ClientError> {
    let sequence = command.sequence();
    let reply: Reply = decode(reply).map_err(|source| ClientError::Incompatible { sequence, source })?;
    if reply.command != *command.digest() {
        return Err(ClientError::SequenceUsed { sequence, slot: reply.slot });
    }
    match reply.outcome {
        Outcome::Executed(results) => Ok(Committed {
            sequence,
            command: reply.command,
            slot: reply.slot,
            results: results.into_vec(),
            replicas,
            dissenters,
        }),
        Outcome::TooOld => Err(ClientError::Rejected { sequence, reason: Rejection::TooOld }),
        Outcome::Refused => Err(ClientError::Rejected { sequence, reason: Rejection::Refused }),
    }
}

/// The deadline has passed.
fn given_up(hub: &Hub, pending: &Pending) -> ClientError {
    let (sent, answers) = pending.close();
    if sent.is_empty() {
        return ClientError::Unavailable { why: obstacles(&hub.states()) };
    }
    ClientError::Unknown { sequence: pending.command.sequence(), sent, answers }
}

fn obstacles(states: &[LinkState]) -> String {
    let one = |(id, state): (usize, &LinkState)| match state {
        LinkState::Connecting => format!("r{id} does not answer"),
        LinkState::Up(_) => format!("r{id} takes no frames"),
        LinkState::Down(reason) => format!("r{id}: {reason}"),
    };
    states.iter().enumerate().map(one).collect::<Vec<_>>().join("; ")
}
