//! The clients' desk: commands in, replies out.
//!
//! Replies to a client's commands go to every connection on which that client has proved its key. Nothing here waits for a client:
//! one that does not read is disconnected. What is said of executed commands and of the replica goes by way of a [`Clerk`].

use crate::core::CoreHandle;
use crate::metrics::Metrics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use varangian_application::Reply;
use varangian_client::protocol::{NotTaken, ReplicaStatus, Request, Response, check_subscription, reply_frame};
use varangian_consensus::{Identity, Ignored};
use varangian_crypto::{ClientKey, Committee, Verify, encode};
use varangian_net::{Bucket, ClientEvent, ClientServer, ConnectionId, NetError, Rate};

/// Connections on which one client may want its replies.
const CONNECTIONS_PER_CLIENT: usize = 8;
/// Clients that may want their replies on one connection.
const CLIENTS_PER_CONNECTION: usize = 1024;
/// How fast a connection may ask for what is no new command: enough to subscribe all its clients at once, and to ask as often.
const QUESTIONS: Rate = Rate { burst: (QUESTION + SUBSCRIPTION) * CLIENTS_PER_CONNECTION as u32, per_second: 512 };
/// What a question costs of it, a retry of what has run too.
const QUESTION: u32 = 1;
/// What a subscription costs that is not known yet: a check of its signature.
const SUBSCRIPTION: u32 = 8;
/// What an invalid command costs: no client library sends any, and each took a check of its signature.
const INVALID: u32 = 64;

/// Who deals with clients for the replica. The desk does it as it is; a testnet may put somebody else there.
pub trait Clerk: Send + Sync {
    /// Tells a client what its command came to, wherever it listens.
    fn reply(&self, reply: Reply);

    /// The same of one that ran before: its encoded reply.
    fn repeat(&self, client: &ClientKey, reply: &[u8]);

    /// Tells somebody at this connection where the replica stands.
    fn status(&self, connection: ConnectionId, status: ReplicaStatus);

    /// Whether clients' commands are taken to the core.
    fn hears(&self) -> bool {
        true
    }

    /// The desk itself.
    fn desk(&self) -> &Desk;
}

/// See the module.
#[derive(Debug)]
pub struct Desk {
    server: Arc<ClientServer>,
    committee: Arc<Committee>,
    view: AtomicU64,
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct Routes {
    by_client: BTreeMap<ClientKey, BTreeSet<ConnectionId>>,
    /// Bounded by the server's connections.
    by_connection: BTreeMap<ConnectionId, Connection>,
}

#[derive(Debug)]
struct Connection {
    exporter: [u8; 32],
    clients: BTreeSet<ClientKey>,
    questions: Bucket,
}

impl Desk {
    /// Over this server.
    #[must_use]
    pub fn new(server: Arc<ClientServer>, committee: Arc<Committee>) -> Self {
        Self { server, committee, view: AtomicU64::new(0), routes: Mutex::default() }
    }

    /// From here on replies hint at this view.
    pub fn set_view(&self, view: u64) {
        self.view.store(view, Relaxed);
    }

    /// The view that replies hint at.
    #[must_use]
    pub fn view(&self) -> u64 {
        self.view.load(Relaxed)
    }

    /// Whether replies to this client's commands are wanted on any connection.
    #[must_use]
    pub fn listens(&self, client: &ClientKey) -> bool {
        self.routes().by_client.contains_key(client)
    }

    /// Whether this connection may have a reply repeated. It is not disconnected where it may not: an honest client that was cut off has much to ask
    /// for at once, and asks again.
    #[must_use]
    pub fn may_retry(&self, connection: ConnectionId) -> bool {
        self.may_ask(connection, QUESTION)
    }

    /// Tells a client that the core did not take its command.
    pub fn not_taken(&self, identity: Identity, why: Ignored) {
        let reason = match why {
            Ignored::Busy => NotTaken::Busy,
            Ignored::TooOld => NotTaken::TooOld,
            Ignored::UnknownClient => NotTaken::UnknownClient,
            Ignored::Stopped => NotTaken::Stopped,
            // Known already: its reply will come.
            _ => return,
        };
        let Identity { client, sequence } = identity;
        self.tell(&client, || encode(&Response::NotTaken { client, sequence, reason }).into());
    }

    /// Answers on one connection.
    pub fn answer(&self, connection: ConnectionId, response: &Response) {
        match self.server.reply(connection, bytes::Bytes::from(encode(response))) {
            // Gone is no error here: its `Closed` is on the way.
            Ok(()) | Err(NetError::Gone(_)) => {}
            Err(error) => tracing::warn!(%connection, %error, "a reply is not sent"),
        }
    }

    fn tell(&self, client: &ClientKey, frame: impl FnOnce() -> bytes::Bytes) {
        let connections: Vec<ConnectionId> =
            self.routes().by_client.get(client).map(|found| found.iter().copied().collect()).unwrap_or_default();
        if connections.is_empty() {
            return;
        }
        let frame = frame();
        for connection in connections {
            match self.server.reply(connection, frame.clone()) {
                Ok(()) | Err(NetError::Gone(_)) => {}
                Err(error) => tracing::warn!(%connection, %error, "a reply is not sent"),
            }
        }
    }

    fn opened(&self, connection: ConnectionId, exporter: [u8; 32]) {
        self.routes()
            .by_connection
            .insert(connection, Connection { exporter, clients: BTreeSet::new(), questions: Bucket::default() });
    }

    fn closed(&self, connection: ConnectionId) {
        let mut routes = self.routes();
        let Some(gone) = routes.by_connection.remove(&connection) else { return };
        for client in gone.clients {
            if let Some(connections) = routes.by_client.get_mut(&client) {
                connections.remove(&connection);
                if connections.is_empty() {
                    routes.by_client.remove(&client);
                }
            }
        }
    }

    fn exporter(&self, connection: ConnectionId) -> Option<[u8; 32]> {
        self.routes().by_connection.get(&connection).map(|known| known.exporter)
    }

    /// Whether this client's replies come to this connection already.
    fn is_subscribed(&self, connection: ConnectionId, client: &ClientKey) -> bool {
        self.routes().by_connection.get(&connection).is_some_and(|known| known.clients.contains(client))
    }

    /// Whether this connection may ask for something that costs so much.
    fn may_ask(&self, connection: ConnectionId, cost: u32) -> bool {
        let mut routes = self.routes();
        let known = routes.by_connection.get_mut(&connection);
        known.is_some_and(|known| known.questions.take(&QUESTIONS, cost, Instant::now()))
    }

    /// Whether there was room. The oldest connection of a client with too many gives way.
    fn subscribe(&self, connection: ConnectionId, client: ClientKey) -> bool {
        let mut routes = self.routes();
        let Some(known) = routes.by_connection.get_mut(&connection) else { return false };
        if known.clients.len() >= CLIENTS_PER_CONNECTION && !known.clients.contains(&client) {
            return false;
        }
        known.clients.insert(client);
        let connections = routes.by_client.entry(client).or_default();
        connections.insert(connection);
        if connections.len() > CONNECTIONS_PER_CLIENT
            && let Some(oldest) = connections.pop_first()
            && let Some(known) = routes.by_connection.get_mut(&oldest)
        {
            known.clients.remove(&client);
        }
        true
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clerk for Desk {
    fn reply(&self, reply: Reply) {
        let client = reply.client;
        self.tell(&client, || encode(&Response::Reply { reply, view: self.view() }).into());
    }

    fn repeat(&self, client: &ClientKey, reply: &[u8]) {
        self.tell(client, || reply_frame(reply, self.view()));
    }

    fn status(&self, connection: ConnectionId, status: ReplicaStatus) {
        self.answer(connection, &Response::Status(status));
    }

    fn desk(&self) -> &Desk {
        self
    }
}

/// Takes one event of the client server: on a verifying thread.
pub fn handle(clerk: &impl Clerk, core: &CoreHandle, metrics: &Metrics, event: ClientEvent) {
    let desk = clerk.desk();
    match event {
        ClientEvent::Opened(connection, exporter) => desk.opened(connection, exporter),
        ClientEvent::Closed(connection) => desk.closed(connection),
        ClientEvent::Frame(connection, frame) => match Request::decode(&frame) {
            Ok(Request::Command(_)) if !clerk.hears() => {}
            Ok(request) => take(desk, core, metrics, connection, request),
            Err(error) => {
                metrics.refused("client frame");
                tracing::debug!(%connection, %error, "a client speaks nonsense");
                desk.server.disconnect(connection);
            }
        },
    }
}

/// It asks faster than it may.
fn dismiss(desk: &Desk, metrics: &Metrics, connection: ConnectionId) {
    metrics.refused("too many questions");
    tracing::debug!(%connection, "a client asks faster than it may");
    desk.server.disconnect(connection);
}

fn take(desk: &Desk, core: &CoreHandle, metrics: &Metrics, connection: ConnectionId, request: Request) {
    let is_command = matches!(request, Request::Command(_));
    if !is_command && !desk.may_ask(connection, QUESTION) {
        return dismiss(desk, metrics, connection);
    }
    match request {
        Request::Subscribe { client, .. } if desk.is_subscribed(connection, &client) => {
            desk.answer(connection, &Response::Subscribed { client });
        }
        Request::Subscribe { client, signature } => {
            if !desk.may_ask(connection, SUBSCRIPTION) {
                return dismiss(desk, metrics, connection);
            }
            let proved = desk.exporter(connection).is_some_and(|exporter| {
                check_subscription(desk.committee.context(), &client, &signature, &exporter).is_ok()
            });
            if proved && desk.subscribe(connection, client) {
                desk.answer(connection, &Response::Subscribed { client });
            } else {
                metrics.refused("subscription");
                desk.server.disconnect(connection);
            }
        }
        Request::Command(command) => {
            let identity = command.identity();
            match metrics.verifying(|| command.verify(&desk.committee)) {
                Ok(command) => core.command(connection, command),
                Err(error) => {
                    metrics.refused("command");
                    tracing::debug!(%connection, %error, "a command is not valid");
                    let Identity { client, sequence } = identity;
                    desk.answer(connection, &Response::NotTaken { client, sequence, reason: NotTaken::Invalid });
                    if !desk.may_ask(connection, INVALID) {
                        dismiss(desk, metrics, connection);
                    }
                }
            }
        }
        Request::Status => core.ask_status(connection),
    }
}

#[cfg(test)]
pub(crate) mod tests;
