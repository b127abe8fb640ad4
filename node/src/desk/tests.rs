#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::core;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use varangian_crypto::{Clients, Genesis, Member, Parameters, ReplicaId, Signature, SigningKey, decode};
use varangian_net::{ClientConnection, ClientEndpoint, DialLimits, Inbox, ServiceConfig, ServiceLimits, connect};

const HERE: ReplicaId = ReplicaId(0);

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([number; 32])
}

pub(crate) fn client(number: u8) -> SigningKey {
    key(100 + number)
}

fn serving() -> (Arc<Desk>, Inbox<ClientEvent>) {
    let member = |id: u16| Member {
        id: ReplicaId(id),
        name: format!("r{id}"),
        consensus_key: key(1 + id as u8).replica_key(),
        network_key: key(11 + id as u8).network_key(),
    };
    let members = (0..4).map(member).collect();
    let genesis = Genesis::new("desk".into(), Parameters::default(), members, Clients::Open { maximum: 9 }).unwrap();
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = ServiceConfig { me: HERE, secret: key(11), bind, limits: ServiceLimits::default() };
    let (server, events) = ClientServer::start(config).unwrap();
    (Arc::new(Desk::new(Arc::new(server), Arc::new(Committee::new(&genesis)))), events)
}

/// With nobody at it. Inside a runtime.
pub(crate) fn desk() -> Arc<Desk> {
    serving().0
}

/// From now on somebody listens for this client's replies.
pub(crate) fn listening(desk: &Desk, client: ClientKey) {
    desk.routes().by_client.entry(client).or_default();
}

/// A connection with a question asked, and what the desk calls it.
async fn connected(desk: &Desk, events: &mut Inbox<ClientEvent>) -> (ClientConnection, ConnectionId) {
    let endpoint = ClientEndpoint::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), DialLimits::default()).unwrap();
    let address = desk.server.local_address();
    let mut connection = connect(&endpoint, address, HERE, &key(11).network_key()).await.unwrap();
    connection.send(vec![]).await.unwrap();
    let Some(ClientEvent::Opened(id, exporter)) = events.recv().await else { panic!("it opens") };
    desk.opened(id, exporter);
    (connection, id)
}

fn ask(desk: &Desk, id: ConnectionId, request: &Request) {
    let (core, _inbox) = core::channel(HERE, 4, &Parameters::default());
    let encoded = request.encode();
    let frame = [encoded.head, encoded.body].concat().into();
    handle(desk, &core, &Metrics::new(&[]), ClientEvent::Frame(id, frame));
}

#[tokio::test]
async fn a_known_subscription_is_not_checked_again() {
    let (desk, mut events) = serving();
    let (mut connection, id) = connected(&desk, &mut events).await;
    let (one, other) = (client(1), client(2).client_key());
    ask(&desk, id, &Request::subscribe(&one, desk.committee.context(), connection.exporter()));
    let signature = Signature::from_bytes([0; 64]);
    // A check would refuse it, as it does for somebody else.
    ask(&desk, id, &Request::Subscribe { client: one.client_key(), signature });
    for _ in 0..2 {
        let answer: Response = decode(&connection.recv().await.unwrap()).unwrap();
        assert_eq!(answer, Response::Subscribed { client: one.client_key() });
    }
    ask(&desk, id, &Request::Subscribe { client: other, signature });
    assert!(connection.recv().await.is_err() && !desk.listens(&other));
}

/// Other connections of a client can take its place here away again and again; each time a check is to be paid for.
#[tokio::test]
async fn so_many_subscriptions_are_checked_at_once() {
    let (desk, mut events) = serving();
    let (connection, id) = connected(&desk, &mut events).await;
    let client = client(1);
    let subscribe = Request::subscribe(&client, desk.committee.context(), connection.exporter());
    let checked = (0..4 * CLIENTS_PER_CONNECTION).take_while(|_| {
        desk.routes().by_connection.get_mut(&id).unwrap().clients.clear();
        ask(&desk, id, &subscribe);
        desk.is_subscribed(id, &client.client_key())
    });
    let checked = checked.count();
    assert!((CLIENTS_PER_CONNECTION..2 * CLIENTS_PER_CONNECTION).contains(&checked), "{checked}");
}

#[tokio::test]
async fn so_many_retries_are_answered_and_nobody_is_disconnected() {
    let (desk, mut events) = serving();
    let (mut connection, id) = connected(&desk, &mut events).await;
    let answered = (0..1_000_000).take_while(|_| desk.may_retry(id)).count();
    assert!(answered >= QUESTIONS.burst as usize && answered < 1_000_000, "{answered}");
    desk.answer(id, &Response::Subscribed { client: client(1).client_key() });
    assert!(connection.recv().await.is_ok());
}
