//! The core's thread: inputs, timers, turns. It does no blocking work.
//!
//! A turn takes whatever inputs wait, gives each to the core, then runs the effects; so one group commit covers many inputs under load,
//! and one input alone is not delayed.

use crate::credit::Credit;
use crate::desk::Clerk;
use crate::event::{Event, Events};
use crate::metrics::Metrics;
use crate::shell::Shell;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use varangian_client::protocol::ReplicaStatus;
use varangian_consensus::{Command, Delivery, Identity, Ignored, Input, Millis, Phase, Slot};
use varangian_crypto::{Digest, Parameters, ReplicaId, Verified};
use varangian_net::ConnectionId;
use varangian_runner::{Io, Runner, Token};

/// Inputs from outside that wait for the core; who is ahead of it waits.
const INPUTS: usize = 4096;
/// Inputs of one turn.
const TURN: usize = 256;

/// What the core's thread is told.
#[derive(Debug)]
enum Told {
    Input(Input),
    Command(ConnectionId, Verified<Command>),
    Disconnected(ReplicaId),
    Persisted(Token),
    Status(ConnectionId),
    Stop,
    Fatal(String),
}

/// How other threads reach the core.
#[derive(Clone, Debug)]
pub struct CoreHandle {
    me: ReplicaId,
    /// What peers may cost for nothing.
    pub credit: Arc<Credit>,
    /// From peers and clients: bounded.
    outside: mpsc::Sender<Told>,
    /// From the own threads: bounded by what the core has given them to do.
    inside: mpsc::UnboundedSender<Told>,
}

/// The receiving end.
#[derive(Debug)]
pub struct CoreInbox {
    credit: Arc<Credit>,
    outside: mpsc::Receiver<Told>,
    inside: mpsc::UnboundedReceiver<Told>,
}

#[cfg(test)]
impl CoreInbox {
    /// The reason why the process must end, if that is what it was told next.
    pub(crate) fn fatal(&mut self) -> Option<String> {
        match self.inside.try_recv() {
            Ok(Told::Fatal(reason)) => Some(reason),
            _ => None,
        }
    }
}

/// Both ends, of one replica of `n`.
#[must_use]
pub fn channel(me: ReplicaId, n: usize, parameters: &Parameters) -> (CoreHandle, CoreInbox) {
    let (outside, outside_inbox) = mpsc::channel(INPUTS);
    let (inside, inside_inbox) = mpsc::unbounded_channel();
    let credit = Arc::new(Credit::new(n, parameters));
    let handle = CoreHandle { me, credit: credit.clone(), outside, inside };
    (handle, CoreInbox { credit, outside: outside_inbox, inside: inside_inbox })
}

impl CoreHandle {
    /// An input from outside. Waits while the core is behind; not for asynchronous contexts.
    pub fn input(&self, input: Input) {
        self.queue_outside(Told::Input(input));
    }

    /// A client's command, from this connection. Waits as an input does.
    pub fn command(&self, connection: ConnectionId, command: Verified<Command>) {
        self.queue_outside(Told::Command(connection, command));
    }

    /// A peer's connection is up.
    pub fn connected(&self, peer: ReplicaId) {
        self.queue_outside(Told::Input(Input::Connected(peer)));
    }

    /// A peer's connection is gone.
    pub fn disconnected(&self, peer: ReplicaId) {
        self.queue_outside(Told::Disconnected(peer));
    }

    /// Somebody at this connection asks where the replica stands.
    pub fn ask_status(&self, connection: ConnectionId) {
        self.queue_outside(Told::Status(connection));
    }

    /// Something from this replica itself.
    pub fn deliver(&self, delivery: Delivery) {
        self.queue_inside(Told::Input(Input::Message { from: self.me, delivery }));
    }

    /// A group commit is on disk.
    pub fn persisted(&self, token: Token) {
        self.queue_inside(Told::Persisted(token));
    }

    /// A slot is executed and written.
    pub fn executed(&self, slot: Slot, state: Option<Digest>) {
        self.queue_inside(Told::Input(Input::Executed { slot, state }));
    }

    /// The process must end, for this reason.
    pub fn fatal(&self, reason: String) {
        // First what counts: where the log goes may be what is broken.
        self.queue_inside(Told::Fatal(reason.clone()));
        tracing::error!(reason, "fatal");
    }

    /// Whether the core has ended: nothing that is handed to it matters any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.inside.is_closed()
    }

    /// The process is asked to end.
    pub fn stop(&self) {
        self.queue_inside(Told::Stop);
    }

    fn queue_outside(&self, told: Told) {
        if self.outside.blocking_send(told).is_err() {
            tracing::trace!("the core has ended");
        }
    }

    fn queue_inside(&self, told: Told) {
        if self.inside.send(told).is_err() {
            tracing::trace!("the core has ended");
        }
    }
}

/// Why the core's thread ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped {
        /// Last executed slot.
        executed: Slot,
    },
    /// It had to.
    Fatal(String),
}

/// The core with what its thread needs.
pub struct Core<I, C> {
    runner: Runner<I>,
    /// The shell, in whatever it is wrapped.
    shell: fn(&mut I) -> &mut Shell,
    inbox: CoreInbox,
    clerk: Arc<C>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    began: Instant,
    connected: BTreeSet<ReplicaId>,
    ready: bool,
}

impl<I: Io, C: Clerk> Core<I, C> {
    /// Around a started runner whose time began at `began`.
    pub fn new(
        runner: Runner<I>,
        shell: fn(&mut I) -> &mut Shell,
        inbox: CoreInbox,
        clerk: Arc<C>,
        events: Arc<Events>,
        metrics: Arc<Metrics>,
        began: Instant,
    ) -> Self {
        Self { runner, shell, inbox, clerk, events, metrics, began, connected: BTreeSet::new(), ready: false }
    }

    /// Runs until it is told to end.
    pub async fn run(mut self) -> Ended {
        let (mut inside, mut outside) = (Vec::with_capacity(TURN), Vec::with_capacity(TURN));
        self.observe();
        loop {
            let timer = self.shell().next_timer();
            let idle = self.shell().own.is_empty();
            tokio::select! {
                biased;
                count = self.inbox.inside.recv_many(&mut inside, TURN) => if count == 0 { return self.stopped() },
                count = self.inbox.outside.recv_many(&mut outside, TURN) => if count == 0 { return self.stopped() },
                () = sleep_until(timer.unwrap_or(self.began)), if timer.is_some() => {}
                () = std::future::ready(()), if !idle => {}
            }
            // Whichever was waited for, the outside may have something too: one turn for both.
            while outside.len() < TURN
                && let Ok(more) = self.inbox.outside.try_recv()
            {
                outside.push(more);
            }
            for told in inside.drain(..).chain(outside.drain(..)) {
                if let Some(ended) = self.hear(told) {
                    return ended;
                }
            }
            self.hear_itself();
            self.runner.run();
            self.observe();
        }
    }

    /// What the shell holds for the core: its own deliveries, and timers that have run out.
    fn hear_itself(&mut self) {
        while let Some(delivery) = self.shell().own.pop_front() {
            let from = self.shell().me;
            self.step(Input::Message { from, delivery });
        }
        while let Some(input) = self.shell().expired(Instant::now()) {
            self.step(input);
        }
    }

    fn shell(&mut self) -> &mut Shell {
        (self.shell)(self.runner.io())
    }

    fn hear(&mut self, told: Told) -> Option<Ended> {
        match told {
            Told::Input(input) => {
                if let Input::Connected(peer) = &input {
                    self.connected.insert(*peer);
                }
                let handed_on = match &input {
                    Input::Message { delivery: Delivery::Command(command), .. } => Some(command.identity()),
                    _ => None,
                };
                if self.step(input).is_none()
                    && let Some(identity) = handed_on
                {
                    self.keep(&identity);
                }
            }
            Told::Command(connection, command) => self.command(connection, command),
            Told::Disconnected(peer) => {
                self.connected.remove(&peer);
            }
            Told::Persisted(token) => self.runner.persisted(token),
            Told::Status(connection) => self.clerk.status(connection, self.status()),
            Told::Stop => return Some(self.stopped()),
            Told::Fatal(reason) => return Some(Ended::Fatal(reason)),
        }
        None
    }

    /// One that has run costs more to answer than to send: whoever sends many is not answered.
    fn command(&mut self, connection: ConnectionId, command: Verified<Command>) {
        let identity = command.identity();
        if self.runner.replica().has_run(&identity) && !self.clerk.desk().may_retry(connection) {
            return self.metrics.refused("too many retries");
        }
        match self.step(Input::Command(command)) {
            Some(ignored) => self.clerk.desk().not_taken(identity, ignored),
            None => self.keep(&identity),
        }
    }

    /// A command was taken: peers may learn that it is here, if it waits. What had run before does not.
    fn keep(&mut self, identity: &Identity) {
        if let Some(command) = self.runner.replica().pool().get(identity).filter(|command| command.is_large()).cloned()
        {
            self.shell().post.keep(&command);
        }
    }

    /// Says why the core took no notice, if it did not.
    fn step(&mut self, input: Input) -> Option<Ignored> {
        let ignored = self.runner.step(self.now(), input).err()?;
        self.metrics.ignored(ignored);
        Some(ignored)
    }

    fn now(&self) -> Millis {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What the outside may see of a turn.
    fn observe(&mut self) {
        let replica = self.runner.replica();
        let view = replica.view().0;
        let last = replica.stable_slot().plus(replica.config().window);
        self.inbox.credit.stands(replica.view(), replica.issued(), last);
        self.clerk.desk().set_view(view);
        self.metrics.observe(replica, self.connected.len(), self.runner.waiting());
        let quorum = replica.config().quorum();
        if !self.ready && self.connected.len() + 1 >= quorum {
            self.ready = true;
            let me = replica.config().id.0;
            self.events.tell(&Event::Ready { replica: me, view, connected: self.connected.len() });
        }
    }

    fn status(&self) -> ReplicaStatus {
        let replica = self.runner.replica();
        ReplicaStatus {
            replica: replica.config().id.0,
            view: replica.view().0,
            active: replica.phase() == Phase::Active,
            primary: replica.config().primary(replica.view()).0,
            executed: replica.issued().0,
            history: *replica.history(),
            stable: replica.stable_slot().0,
            behind: replica.is_behind(),
            waiting: replica.pool().len() as u64,
            connected: u16::try_from(self.connected.len()).unwrap_or(u16::MAX),
            accused: self.metrics.accusations(),
            stopped: replica.stopped().map(ToString::to_string),
        }
    }

    fn stopped(&self) -> Ended {
        Ended::Stopped { executed: self.runner.replica().executed() }
    }
}

/// Whether the core's refusal is worth a counter of its own name.
#[must_use]
pub const fn refusal(ignored: Ignored) -> &'static str {
    match ignored {
        Ignored::Stale => "stale",
        Ignored::Duplicate => "duplicate",
        Ignored::OutOfWindow => "out_of_window",
        Ignored::Unsolicited => "unsolicited",
        Ignored::TooSoon => "too_soon",
        Ignored::Busy => "busy",
        Ignored::TooOld => "too_old",
        Ignored::UnknownClient => "unknown_client",
        Ignored::Stopped => "stopped",
    }
}
