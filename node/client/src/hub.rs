//! What all connections of a process share: the commands on their way, the clients whose replies are wanted, each replica's queue and state.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use varangian_application::{Limits, Reply};
use varangian_consensus::Command;
use varangian_crypto::{ClientKey, Committee, ReplicaId, SigningKey};
use varangian_net::NetError;

use crate::error::ClientError;
use crate::options::Options;
use crate::patience::Patience;
use crate::protocol::{ReplicaStatus, ReplyFrame, Response};
use crate::tally::Tally;

/// Clients over one set of connections: as many as a replica serves on one.
pub(crate) const MAX_SESSIONS: usize = 1024;

/// Questions where a replica stands that it has not answered yet.
const MAX_QUESTIONS: usize = 1024;

/// A command's name: the bytes of its client's key, and its number.
pub(crate) type Name = ([u8; 32], u64);

/// How a connection to one replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Being dialled for the first time.
    Connecting,
    /// Its key is proved and it takes frames. Counts the connections that came up so far.
    Up(u64),
    /// Lost or not reached; it is dialled again after a pause.
    Down(String),
}

/// What waits to be written to a replica.
pub(crate) enum Outgoing {
    /// A command, unless nobody waits for it any more.
    Command(Weak<Pending>),
    /// Replies to this client's commands are wanted.
    Subscribe(ClientKey),
    /// The same, also if the replica was told: it may have given the place to another connection of this client.
    Resubscribe(ClientKey),
    /// Where do you stand? And who wants to know.
    Status(Asker),
}

/// Who has asked where a replica stands.
pub(crate) type Asker = oneshot::Sender<ReplicaStatus>;

/// One replica's connection, from the outside.
pub(crate) struct Link {
    queue: mpsc::Sender<Outgoing>,
    pub(crate) state: watch::Sender<LinkState>,
    /// Who has asked on the present connection and has no answer yet. Answers come in the order of questions, so that none is taken for the answer to a
    /// later one.
    questions: Mutex<VecDeque<Option<Asker>>>,
    /// The view that it last named.
    view: AtomicU64,
}

/// Shared by links, sessions and submissions.
pub(crate) struct Hub {
    pub(crate) committee: Committee,
    pub(crate) options: Options,
    pub(crate) links: Vec<Link>,
    /// Room for commands on their way.
    pub(crate) room: Semaphore,
    /// Rises whenever a link comes up or goes down.
    pub(crate) changes: watch::Sender<u64>,
    limits: Limits,
    pending: Mutex<HashMap<Name, Arc<Pending>>>,
    clients: Mutex<BTreeMap<ClientKey, (SigningKey, usize)>>,
    /// The highest view that `f + 1` replicas name or exceed.
    view: AtomicU64,
    /// How long answers take.
    pub(crate) patience: Patience,
}

/// A command on its way.
pub(crate) struct Pending {
    pub(crate) command: Command,
    /// Told whenever the progress changes.
    pub(crate) changed: Notify,
    progress: Mutex<Progress>,
}

/// What is known of a command on its way.
pub(crate) struct Progress {
    pub(crate) tally: Tally,
    /// Who may have it: whoever it was handed to QUIC for.
    pub(crate) sent: Vec<ReplicaId>,
    /// Its outcome has been told: it is sent to nobody any more.
    closed: bool,
}

impl Hub {
    pub(crate) fn new(committee: Committee, options: Options) -> (Self, Vec<mpsc::Receiver<Outgoing>>) {
        let (links, queues) = committee.quorums().replicas().map(|_| Link::new(options.queue.max(1))).unzip();
        let hub = Self {
            limits: Limits::new(committee.parameters()),
            room: Semaphore::new(options.outstanding.clamp(1, Semaphore::MAX_PERMITS)),
            committee,
            options,
            links,
            changes: watch::Sender::new(0),
            pending: Mutex::default(),
            clients: Mutex::default(),
            view: AtomicU64::new(0),
            patience: Patience::default(),
        };
        (hub, queues)
    }

    pub(crate) fn link(&self, id: ReplicaId) -> Option<&Link> {
        self.links.get(id.index())
    }

    /// Without an answer for so long, a command goes to everybody.
    pub(crate) fn fan_out_after(&self) -> Duration {
        let base = Duration::from_millis(self.committee.parameters().base_timeout_ms);
        self.options.fan_out_after.unwrap_or_else(|| self.patience.pause(base / 2))
    }

    /// Whether the next command goes to everybody at once, so that backups witness what becomes of it. The primary must not foresee it.
    pub(crate) fn is_witnessed(&self) -> bool {
        match self.options.witnessed_one_in {
            0 => false,
            one_in => getrandom::u32().map_or(true, |drawn| drawn.is_multiple_of(one_in)),
        }
    }

    /// Who probably leads.
    pub(crate) fn primary(&self) -> ReplicaId {
        self.committee.primary(self.view.load(Relaxed))
    }

    /// Takes the view that a replica names. `f` liars together cannot raise the hint above what an honest replica has named.
    fn learn_view(&self, from: &Link, view: u64) {
        if from.view.swap(view, Relaxed) == view {
            return;
        }
        let mut views: Vec<_> = self.links.iter().map(|link| link.view.load(Relaxed)).collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(view) = views.get(self.committee.quorums().f()) {
            self.view.store(*view, Relaxed);
        }
    }

    /// Puts a command on its way; it is so as long as the guard lives.
    pub(crate) fn enter(self: &Arc<Self>, command: Command) -> Result<Entered, ClientError> {
        let longest = Reply::max_bytes(&self.limits, command.operation_count() as usize);
        let tally = Tally::new(self.committee.quorums().weak(), longest);
        let name = (*command.client().as_bytes(), command.sequence());
        let progress = Mutex::new(Progress { tally, sent: Vec::new(), closed: false });
        let pending = Arc::new(Pending { command, changed: Notify::new(), progress });
        let mut all = locked(&self.pending);
        if all.contains_key(&name) {
            return Err(ClientError::Outstanding { sequence: name.1 });
        }
        all.insert(name, Arc::clone(&pending));
        drop(all);
        Ok(Entered { hub: Arc::clone(self), name, pending })
    }

    /// Takes a frame of a replica; answers to commands that nobody waits for are dropped.
    pub(crate) fn receive(&self, from: ReplicaId, frame: &bytes::Bytes) -> Result<(), varangian_crypto::CodecError> {
        let Some(link) = self.link(from) else { return Ok(()) };
        if let Some(reply) = ReplyFrame::peek(frame) {
            self.learn_view(link, reply.view());
            self.update((*reply.client(), reply.sequence()), |tally| tally.reply(from, &reply));
            return Ok(());
        }
        match varangian_crypto::decode(frame)? {
            Response::NotTaken { client, sequence, reason } => {
                self.update((*client.as_bytes(), sequence), |tally| tally.not_taken(from, reason));
            }
            Response::Status(status) if status.replica == from.0 => {
                self.learn_view(link, status.view);
                if let Some(asker) = link.asked_first()
                    && asker.send(status).is_err()
                {
                    tracing::trace!(%from, "nobody waits any more for where it stands");
                }
            }
            Response::Status(status) => {
                drop(link.asked_first());
                tracing::warn!(%from, claimed = status.replica, "a replica calls itself another")
            }
            Response::Subscribed { client } => tracing::trace!(%from, %client, "subscribed"),
            Response::Reply { .. } => tracing::warn!(%from, "a reply too short to be one"),
        }
        Ok(())
    }

    fn update(&self, name: Name, change: impl FnOnce(&mut Tally) -> bool) {
        let Some(pending) = locked(&self.pending).get(&name).cloned() else { return };
        let tally = &mut pending.progress().tally;
        if change(tally) && tally.calls_for_action() {
            pending.changed.notify_one();
        }
    }

    /// Adds a client; its replies are wanted on every connection.
    pub(crate) fn register(&self, key: &SigningKey) -> Result<(), ClientError> {
        let client = key.client_key();
        let mut clients = locked(&self.clients);
        if clients.len() >= MAX_SESSIONS && !clients.contains_key(&client) {
            return Err(ClientError::TooManySessions { maximum: MAX_SESSIONS });
        }
        clients.entry(client).or_insert_with(|| (key.clone(), 0)).1 += 1;
        drop(clients);
        for link in &self.links {
            link.offer(Outgoing::Subscribe(client));
        }
        Ok(())
    }

    /// Removes what [`Self::register`] added. Connections that are up keep their subscription; nobody listens to it.
    pub(crate) fn unregister(&self, client: &ClientKey) {
        let mut clients = locked(&self.clients);
        if let Some((_, count)) = clients.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(client);
            }
        }
    }

    /// All clients at this moment.
    pub(crate) fn clients(&self) -> Vec<ClientKey> {
        locked(&self.clients).keys().copied().collect()
    }

    /// A registered client's key.
    pub(crate) fn key(&self, client: &ClientKey) -> Option<SigningKey> {
        locked(&self.clients).get(client).map(|(key, _)| key.clone())
    }

    /// How each connection stands.
    pub(crate) fn states(&self) -> Vec<LinkState> {
        self.links.iter().map(|link| link.state.borrow().clone()).collect()
    }

    pub(crate) fn set_state(&self, id: ReplicaId, state: LinkState) {
        if let Some(link) = self.link(id) {
            link.state.send_replace(state);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// The longest frame of either direction: a command, or the reply to one with the most operations.
    pub(crate) fn longest_frame(&self) -> usize {
        const ENVELOPE: usize = 64;
        /// Any status fits.
        const STATUS: usize = 64 << 10;
        let parameters = self.committee.parameters();
        let reply = Reply::max_bytes(&self.limits, parameters.max_batch_operations as usize);
        reply.max(parameters.max_command_bytes as usize).max(STATUS) + ENVELOPE
    }
}

impl Link {
    fn new(queue: usize) -> (Self, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(queue);
        let state = watch::Sender::new(LinkState::Connecting);
        (Self { queue: sender, state, questions: Mutex::default(), view: AtomicU64::new(0) }, receiver)
    }

    /// A question is about to be sent; `None`: nobody waits for its answer. Whether it may be: a replica that answers nothing is not asked for ever.
    pub(crate) fn asks(&self, asker: Option<Asker>) -> bool {
        let mut questions = locked(&self.questions);
        let few = questions.len() < MAX_QUESTIONS;
        if few {
            questions.push_back(asker);
        }
        few
    }

    /// Who asked first of those without an answer.
    fn asked_first(&self) -> Option<Asker> {
        locked(&self.questions).pop_front().flatten()
    }

    /// The connection is gone, and whoever asked on it gets no answer.
    pub(crate) fn forget_questions(&self) {
        locked(&self.questions).clear();
    }

    /// The number of the present connection; `None` while there is none.
    pub(crate) fn connection(&self) -> Option<u64> {
        match *self.state.borrow() {
            LinkState::Up(count) => Some(count),
            LinkState::Connecting | LinkState::Down(_) => None,
        }
    }

    /// Whether it was tried and does not stand.
    pub(crate) fn is_down(&self) -> bool {
        matches!(*self.state.borrow(), LinkState::Down(_))
    }

    /// Queues something if the replica is connected and there is room; says whether it did. Whoever needs certainty asks again.
    pub(crate) fn offer(&self, item: Outgoing) -> bool {
        self.connection().is_some() && self.queue.try_send(item).is_ok()
    }
}

impl Pending {
    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        locked(&self.progress)
    }

    /// Before the first byte is handed to QUIC for `to`: from here on it may arrive. Says whether it may still be sent.
    pub(crate) fn sending(&self, to: ReplicaId) -> bool {
        let mut progress = self.progress();
        if !progress.closed && !progress.sent.contains(&to) {
            progress.sent.push(to);
        }
        !progress.closed
    }

    /// Sends it to nobody any more; says who may have it, ascending, and how many have answered.
    pub(crate) fn close(&self) -> (Vec<ReplicaId>, usize) {
        let mut progress = self.progress();
        progress.closed = true;
        let mut sent = progress.sent.clone();
        sent.sort_unstable();
        (sent, progress.tally.answered())
    }
}

/// Keeps a command on its way.
pub(crate) struct Entered {
    hub: Arc<Hub>,
    name: Name,
    pub(crate) pending: Arc<Pending>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        locked(&self.hub.pending).remove(&self.name);
        self.pending.close();
    }
}

/// Why dialling failed, without advice that is not the user's to follow.
pub(crate) fn reason(error: &NetError) -> String {
    match error {
        NetError::Connect { reason, .. } | NetError::Closed(reason) => reason.to_string(),
        other => other.to_string(),
    }
}

/// Nothing here can be left half changed, so a poisoned lock is as good as a clean one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
