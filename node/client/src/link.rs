//! One replica's connection, kept up: dialled, subscribed on, written to, read from, dialled again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use varangian_crypto::{ClientKey, NetworkKey, ReplicaId};
use varangian_net::{ClientConnection, ClientEndpoint, ClientReceiver, ClientSender, Frame, NetError, connect};

use crate::hub::{Asker, Hub, LinkState, Outgoing, reason};
use crate::protocol::Request;

/// A younger subscription is not made again: a signature for each retransmission would be too many.
const SUBSCRIPTION_AGE: Duration = Duration::from_secs(2);

/// Runs for ever; dropped, it ends.
pub(crate) async fn keep(
    hub: Arc<Hub>,
    endpoint: ClientEndpoint,
    (id, address, key): (ReplicaId, SocketAddr, NetworkKey),
    mut queue: mpsc::Receiver<Outgoing>,
) {
    let (mut connections, mut pause) = (0, hub.options.redial_first);
    loop {
        let error = match connect(&endpoint, address, id, &key).await {
            Ok(connection) => {
                connections += 1;
                pause = hub.options.redial_first;
                tracing::debug!(replica = %id, %address, "connected");
                use_up(&hub, id, connection, connections, &mut queue).await
            }
            Err(error) => error,
        };
        tracing::debug!(replica = %id, %address, %error, "not connected");
        hub.set_state(id, LinkState::Down(reason(&error)));
        // What was queued for a lost connection is sent again by those who wait for it.
        while queue.try_recv().is_ok() {}
        if let Some(link) = hub.link(id) {
            link.forget_questions();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(hub.options.redial_cap);
    }
}

/// Uses a connection to its end.
async fn use_up(
    hub: &Hub,
    id: ReplicaId,
    connection: ClientConnection,
    count: u64,
    queue: &mut mpsc::Receiver<Outgoing>,
) -> NetError {
    let exporter = *connection.exporter();
    let (mut sender, mut receiver) = connection.split();
    // From here on new clients queue their subscription; those before are in the list.
    hub.set_state(id, LinkState::Up(count));
    let ended = tokio::select! {
        ended = write(hub, id, &exporter, &mut sender, queue) => ended,
        ended = read(hub, id, &mut receiver) => ended,
    };
    match ended {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// No value: what returns it goes on until it fails.
enum Never {}

async fn write(
    hub: &Hub,
    id: ReplicaId,
    exporter: &[u8; 32],
    sender: &mut ClientSender,
    queue: &mut mpsc::Receiver<Outgoing>,
) -> Result<Never, NetError> {
    let mut subscribed = BTreeMap::new();
    ask(hub, id, None, sender).await?;
    for client in hub.clients() {
        subscribe(hub, client, exporter, sender, &mut subscribed).await?;
    }
    loop {
        match queue.recv().await {
            Some(Outgoing::Command(pending)) => {
                let Some(pending) = pending.upgrade() else { continue };
                subscribe(hub, pending.command.client(), exporter, sender, &mut subscribed).await?;
                if pending.sending(id) {
                    sender.send(frame(&Request::Command(pending.command.clone()))).await?;
                }
            }
            Some(Outgoing::Subscribe(client)) => {
                subscribe(hub, client, exporter, sender, &mut subscribed).await?;
            }
            Some(Outgoing::Resubscribe(client)) => {
                if subscribed.get(&client).is_some_and(|since| since.elapsed() >= SUBSCRIPTION_AGE) {
                    subscribed.remove(&client);
                }
                subscribe(hub, client, exporter, sender, &mut subscribed).await?;
            }
            Some(Outgoing::Status(asker)) => ask(hub, id, Some(asker), sender).await?,
            None => std::future::pending::<()>().await,
        }
    }
}

/// Asks where the replica stands.
async fn ask(hub: &Hub, id: ReplicaId, asker: Option<Asker>, sender: &mut ClientSender) -> Result<(), NetError> {
    if hub.link(id).is_none_or(|link| link.asks(asker)) {
        sender.send(frame(&Request::Status)).await?;
    }
    Ok(())
}

/// Unless the client is subscribed on this connection already.
async fn subscribe(
    hub: &Hub,
    client: ClientKey,
    exporter: &[u8; 32],
    sender: &mut ClientSender,
    subscribed: &mut BTreeMap<ClientKey, Instant>,
) -> Result<(), NetError> {
    if subscribed.contains_key(&client) {
        return Ok(());
    }
    if let Some(key) = hub.key(&client) {
        sender.send(frame(&Request::subscribe(&key, hub.committee.context(), exporter))).await?;
        subscribed.insert(client, Instant::now());
    }
    Ok(())
}

async fn read(hub: &Hub, id: ReplicaId, receiver: &mut ClientReceiver) -> Result<Never, NetError> {
    loop {
        let bytes = receiver.recv().await?;
        if let Err(error) = hub.receive(id, &bytes) {
            tracing::warn!(replica = %id, %error, "a frame that is no response; dropped");
        }
        tokio::task::consume_budget().await;
    }
}

fn frame(request: &Request) -> Frame {
    let encoded = request.encode();
    Frame::new(encoded.head, encoded.body)
}
