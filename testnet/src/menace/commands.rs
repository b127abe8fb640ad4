//! A malicious client's connections, and what goes over them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use varangian_client::protocol::{NotTaken, ReplyFrame, Response};
use varangian_crypto::{ReplicaId, decode};
use varangian_net::{
    ClientConnection, ClientEndpoint, ClientReceiver, ClientSender, DialLimits, NetError, Transport, connect,
};

use super::counters::{Tally, of_net};
use super::hand::{Behaviour, Hand, Sending};
use super::pace::Pace;
use super::target::Door;
use super::{MenaceError, Shared};
use crate::load::operations::SplitMix;

/// Sets of connections.
const SETS: usize = 2;
/// What waits to be written to one replica; more is not sent at all.
const QUEUE: usize = 256;
/// Before a lost connection is dialled again.
const PAUSE: Duration = Duration::from_millis(20);
/// Keys whose answers are wanted on one connection; those of later ones are not heard.
const SUBSCRIPTIONS: usize = 1024;
/// Above any limit of a replica, which shall be the one to refuse.
const LONGEST_FRAME: usize = 64 << 20;

/// Queues to all replicas, one row per set.
type Queues = Vec<Vec<mpsc::Sender<Sending>>>;

/// Begins to act, in tasks of `tasks`.
pub(super) fn start(
    shared: &Arc<Shared>,
    behaviour: Box<dyn Behaviour>,
    tasks: &mut JoinSet<()>,
) -> Result<(), MenaceError> {
    let mut queues = Vec::new();
    for set in 0..SETS {
        let limits = DialLimits {
            max_frame: LONGEST_FRAME,
            transport: Transport { stream_window: 1 << 20, ..DialLimits::default().transport },
            ..DialLimits::default()
        };
        let endpoint = ClientEndpoint::bind(shared.sources.flooding(u8::try_from(set).unwrap_or(0)), limits)?;
        let mut row = Vec::new();
        for id in shared.target.network().genesis().quorums().replicas() {
            let (sender, queue) = mpsc::channel(QUEUE);
            row.push(sender);
            tasks.spawn(keep(Arc::clone(shared), endpoint.clone(), id, queue));
        }
        queues.push(row);
    }
    tasks.spawn(play(Arc::clone(shared), behaviour, queues));
    Ok(())
}

/// Acts for ever.
async fn play(shared: Arc<Shared>, mut behaviour: Box<dyn Behaviour>, queues: Queues) {
    let mut hand = Hand::new(shared.target.clone(), SplitMix::of(shared.seed, 0, 0));
    let mut pace = Pace::new(shared.spec.rate());
    for number in 0.. {
        pace.next().await;
        hand.primary = shared.observer.primary();
        let strikes = shared.spec.strikes(number, shared.observer.place());
        let sendings = if strikes { behaviour.act(&mut hand) } else { hand.honest().map(|sending| vec![sending]) };
        match sendings {
            Ok(sendings) => sendings.into_iter().for_each(|sending| hand_over(&queues, sending, &shared.tally)),
            Err(error) => {
                tracing::error!(menace = %shared.spec, %error, "an act cannot be built");
                shared.tally.held_back("not built");
            }
        }
        shared.tally.act(strikes);
    }
}

fn hand_over(queues: &Queues, sending: Sending, tally: &Tally) {
    let Some(row) = queues.get(sending.set) else { return tally.held_back("no such connections") };
    for (id, queue) in row.iter().enumerate() {
        if sending.to.is_none_or(|to| to.index() == id) && queue.try_send(sending.clone()).is_err() {
            tally.held_back("the replica takes no more");
        }
    }
}

/// One connection, dialled when there is something to send, and again whenever it is lost.
async fn keep(shared: Arc<Shared>, endpoint: ClientEndpoint, id: ReplicaId, mut queue: mpsc::Receiver<Sending>) {
    let Some((address, key)) = shared.target.endpoint(id, Door::Clients) else { return };
    while let Some(first) = queue.recv().await {
        match connect(&endpoint, address, id, &key).await {
            Ok(connection) => {
                shared.tally.opened();
                let error = use_up(&shared, connection, first, &mut queue).await;
                shared.tally.ended(of_net(&error));
            }
            Err(error) => shared.tally.unopened(of_net(&error)),
        }
        sleep(PAUSE).await;
    }
}

async fn use_up(
    shared: &Shared,
    connection: ClientConnection,
    first: Sending,
    queue: &mut mpsc::Receiver<Sending>,
) -> NetError {
    let exporter = *connection.exporter();
    let (sender, receiver) = connection.split();
    tokio::select! {
        error = write(shared, &exporter, sender, first, queue) => error,
        error = read(&shared.tally, receiver) => error,
    }
}

async fn write(
    shared: &Shared,
    exporter: &[u8; 32],
    mut sender: ClientSender,
    first: Sending,
    queue: &mut mpsc::Receiver<Sending>,
) -> NetError {
    let (mut subscribed, mut next) = (BTreeSet::new(), Some(first));
    while let Some(sending) = next {
        if let Some(voice) = &sending.voice
            && subscribed.len() < SUBSCRIPTIONS
            && subscribed.insert(voice.client())
        {
            let subscription = voice.subscribe(shared.target.network().committee().context(), exporter);
            if let Err(error) = sender.send(subscription).await {
                return error;
            }
        }
        let frame = sending.frame();
        let bytes = frame.len();
        if let Err(error) = sender.send(frame).await {
            return error;
        }
        shared.tally.sent(bytes);
        next = queue.recv().await;
    }
    // The player has gone, and with it this task.
    std::future::pending().await
}

async fn read(tally: &Tally, mut receiver: ClientReceiver) -> NetError {
    loop {
        match receiver.recv().await {
            Ok(frame) => {
                tally.received(frame.len());
                count(tally, &frame);
            }
            Err(error) => return error,
        }
        tokio::task::consume_budget().await;
    }
}

/// Counts an answer.
pub(super) fn count(tally: &Tally, frame: &bytes::Bytes) {
    if let Some(reply) = ReplyFrame::peek(frame) {
        return match (reply.is_too_old(), reply.is_refused()) {
            (true, _) => tally.refused("too old"),
            (_, true) => tally.refused("not admitted"),
            _ => tally.accepted(),
        };
    }
    match decode(frame) {
        Ok(Response::NotTaken { reason, .. }) => tally.refused(match reason {
            NotTaken::Busy => "busy",
            NotTaken::TooOld => "too old",
            NotTaken::UnknownClient => "not admitted",
            NotTaken::Invalid => "invalid",
            NotTaken::Stopped => "stopped",
        }),
        Ok(Response::Status(_)) => tally.answered("status"),
        Ok(Response::Subscribed { .. }) => tally.answered("subscribed"),
        Ok(Response::Reply { .. }) | Err(_) => tally.answered("nonsense"),
    }
}
