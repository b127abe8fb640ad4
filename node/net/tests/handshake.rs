//! Who gets in, and who does not: every way to be somebody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{net::SocketAddr, sync::Arc};

use common::*;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use varangian_crypto::{NetworkKey, SigningKey};
use varangian_net::{
    ClientEndpoint, ClientServer, Closed, DialLimits, Mesh, MeshEvent, MeshInbox, NetError, ServiceConfig,
    ServiceLimits, connect,
    endpoint::{ALPN_CLIENT, ALPN_REPLICA, CODE_DEADLINE, CODE_RULES},
};

fn stranger() -> SigningKey {
    SigningKey::from_seed([99; 32])
}

/// What a dialler sees that is refused: an error at once, or on first use, since its own handshake ends before the
/// other side has judged it.
async fn refusal(guise: &Arc<Guise>, expected: &NetworkKey, alpn: &[u8], to: SocketAddr) -> ConnectionError {
    refusal_of(bare_client(guise, expected, alpn), to).await
}

async fn refusal_of(config: ClientConfig, to: SocketAddr) -> ConnectionError {
    let endpoint = Endpoint::client(local()).unwrap();
    let connecting = endpoint.connect_with(config, to, "x").unwrap();
    match within(connecting).await {
        Ok(connection) => within(connection.closed()).await,
        Err(error) => error,
    }
}

/// The mesh has refused one handshake and told nobody; then r0 itself comes and is let in.
async fn only_the_member_gets_in(mesh: &Mesh, inbox: &mut MeshInbox) {
    until(|| mesh.stats().admission.failed == 1).await;
    let bare = Bare::dial(R0, R1, mesh.local_address()).await;
    let _streams = bare.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0), "the first event is the member's");
    assert!(inbox.votes.is_empty() && inbox.bulk.is_empty());
    assert_eq!(mesh.stats().admission.failed, 1);
}

#[tokio::test]
async fn a_mesh_refuses_an_unknown_key() {
    let (mesh, mut inbox) = mesh(R1, 2, &book([]));
    let error = refusal(&Guise::honest(&stranger()), &key(R1), ALPN_REPLICA, mesh.local_address()).await;
    assert!(is_tls_refusal(&error), "{error:?}");
    only_the_member_gets_in(&mesh, &mut inbox).await;
}

#[tokio::test]
async fn a_mesh_refuses_a_members_key_with_a_foreign_signature() {
    let (mesh, mut inbox) = mesh(R1, 2, &book([]));
    let impostor = Guise::impostor(&key(R0), &stranger());
    let error = refusal(&impostor, &key(R1), ALPN_REPLICA, mesh.local_address()).await;
    assert!(is_tls_refusal(&error), "{error:?}");
    only_the_member_gets_in(&mesh, &mut inbox).await;
}

#[tokio::test]
async fn a_mesh_refuses_a_certificate_even_of_a_members_key() {
    let mut config = config(R1, 2, &book([]));
    config.members[0].1 = x509_secret().network_key();
    let (mesh, inbox) = Mesh::start(config).unwrap();
    let error = refusal(&Guise::x509(), &key(R1), ALPN_REPLICA, mesh.local_address()).await;
    assert!(is_tls_refusal(&error), "{error:?}");
    until(|| mesh.stats().admission.failed == 1).await;
    // The same key as a raw key is let in.
    let endpoint = Endpoint::client(local()).unwrap();
    let raw = bare_client(&Guise::honest(&x509_secret()), &key(R1), ALPN_REPLICA);
    let connection = within(endpoint.connect_with(raw, mesh.local_address(), "x").unwrap()).await.unwrap();
    let bare = Bare { endpoint, connection };
    let _streams = bare.greet(R0, R1).await;
    drop(inbox);
}

#[tokio::test]
async fn a_mesh_refuses_a_member_that_should_be_dialled() {
    let (mesh, mut inbox) = mesh(R1, 3, &book([]));
    let error = refusal(&Guise::honest(&secret(R2)), &key(R1), ALPN_REPLICA, mesh.local_address()).await;
    assert!(is_tls_refusal(&error), "{error:?}");
    only_the_member_gets_in(&mesh, &mut inbox).await;
}

#[tokio::test]
async fn a_mesh_refuses_another_alpn() {
    let (mesh, mut inbox) = mesh(R1, 2, &book([]));
    for alpn in [ALPN_CLIENT, b"h3"] {
        let error = refusal(&Guise::honest(&secret(R0)), &key(R1), alpn, mesh.local_address()).await;
        assert!(is_tls_refusal(&error), "{error:?}");
    }
    until(|| mesh.stats().admission.failed == 2).await;
    let bare = Bare::dial(R0, R1, mesh.local_address()).await;
    let _streams = bare.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));
}

/// A mesh dials `server` as r1 and one of the two refuses: the server says so, and so does the mesh.
async fn dialler_refuses(server: Endpoint, listed: Option<NetworkKey>) {
    let mut config = config(R0, 2, &book([(R1, server.local_addr().unwrap())]));
    if let Some(key) = listed {
        config.members[1].1 = key;
    }
    let (mesh, inbox) = Mesh::start(config).unwrap();
    let incoming = within(server.accept()).await.unwrap();
    let error = match incoming.accept() {
        Ok(connecting) => match within(connecting).await {
            Ok(connection) => within(connection.closed()).await,
            Err(error) => error,
        },
        Err(error) => error,
    };
    assert!(is_tls_refusal(&error), "{error:?}");
    until(|| mesh.stats().peers[0].last_failure.is_some()).await;
    let peer = mesh.stats().peers[0].clone();
    assert!(matches!(peer.last_failure, Some(Closed::Refused(_))), "{peer:?}");
    assert!(!peer.connected);
    assert!(inbox.votes.is_empty() && inbox.bulk.is_empty());
}

#[tokio::test]
async fn a_dialler_refuses_another_key() {
    dialler_refuses(bare_server(&Guise::honest(&stranger()), &[key(R0)], ALPN_REPLICA), None).await;
}

#[tokio::test]
async fn a_dialler_refuses_the_right_key_with_a_foreign_signature() {
    let impostor = Guise::impostor(&key(R1), &stranger());
    dialler_refuses(bare_server(&impostor, &[key(R0)], ALPN_REPLICA), None).await;
}

#[tokio::test]
async fn a_dialler_refuses_a_certificate_even_of_the_right_key() {
    let server = bare_server(&Guise::x509(), &[key(R0)], ALPN_REPLICA);
    dialler_refuses(server, Some(x509_secret().network_key())).await;
}

#[tokio::test]
async fn a_dialler_refuses_another_alpn() {
    dialler_refuses(bare_server(&Guise::honest(&secret(R1)), &[key(R0)], ALPN_CLIENT), None).await;
}

#[tokio::test]
async fn a_refused_dialler_is_not_connected() {
    // r1 does not know r0's key; r0's own handshake succeeds, and only the missing hello tells it.
    let mut config = config(R1, 2, &book([]));
    config.members[0].1 = stranger().network_key();
    let (high, high_inbox) = Mesh::start(config).unwrap();
    let (low, low_inbox) = mesh(R0, 2, &book([(R1, high.local_address())]));
    until(|| low.stats().peers[0].last_failure.is_some() && high.stats().admission.failed > 0).await;
    let peer = low.stats().peers[0].clone();
    assert!(matches!(peer.last_failure, Some(Closed::Refused(_))), "{peer:?}");
    assert_eq!((peer.connected, peer.connections), (false, 0));
    assert!(low_inbox.votes.is_empty() && high_inbox.votes.is_empty());
}

// --- After the handshake: the hello -----------------------------------------------------------------------------

async fn wrong_hello(bytes: &[u8]) -> Connection {
    let (mesh, mut inbox) = mesh(R1, 3, &book([]));
    let bare = Bare::dial(R0, R1, mesh.local_address()).await;
    let mut stream = bare.connection.open_uni().await.unwrap();
    stream.write_all(&framed(bytes)).await.unwrap();
    assert_eq!(close_code(&bare.connection).await, u64::from(CODE_RULES));
    let good = Bare::dial(R0, R1, mesh.local_address()).await;
    let _streams = good.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));
    assert!(inbox.votes.is_empty());
    bare.connection
}

#[tokio::test]
async fn a_hello_must_name_its_sender_and_its_receiver() {
    wrong_hello(&hello(R2, R1)).await;
    wrong_hello(&hello(R0, R2)).await;
    wrong_hello(b"").await;
    wrong_hello(b"hello, r1").await;
}

#[tokio::test]
async fn a_peer_that_says_no_hello_is_sent_away() {
    let mut config = config(R1, 2, &book([]));
    config.limits.admission.handshake_deadline = std::time::Duration::from_secs(1);
    let (_mesh, inbox) = Mesh::start(config).unwrap();
    let bare = Bare::dial(R0, R1, _mesh.local_address()).await;
    assert_eq!(close_code(&bare.connection).await, u64::from(CODE_DEADLINE));
    until(|| _mesh.stats().admission.connections == 0).await;
    assert!(inbox.votes.is_empty());
}

// --- Clients ----------------------------------------------------------------------------------------------------

async fn refused_by_client(address: SocketAddr, expected: &NetworkKey) {
    let endpoint =
        ClientEndpoint::bind(local(), DialLimits { connect_deadline: PATIENCE, ..DialLimits::default() }).unwrap();
    match within(connect(&endpoint, address, R1, expected)).await {
        Err(NetError::Connect { reason: Closed::Refused(_), .. }) => {}
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

/// Accepts whoever comes; the dialler is the one to refuse.
fn welcoming(server: Endpoint) -> SocketAddr {
    let address = server.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = server.accept().await {
            if let Ok(connecting) = incoming.accept() {
                tokio::spawn(connecting);
            }
        }
    });
    address
}

#[tokio::test]
async fn a_client_refuses_every_server_but_the_one_it_expects() {
    let honest = Guise::honest(&secret(R1));
    let server = welcoming(bare_server(&honest, &[], ALPN_CLIENT));
    let endpoint =
        ClientEndpoint::bind(local(), DialLimits { connect_deadline: PATIENCE, ..DialLimits::default() }).unwrap();
    assert!(within(connect(&endpoint, server, R1, &key(R1))).await.is_ok());
    refused_by_client(server, &key(R2)).await;
    let impostor = Guise::impostor(&key(R1), &stranger());
    refused_by_client(welcoming(bare_server(&impostor, &[], ALPN_CLIENT)), &key(R1)).await;
    let x509 = welcoming(bare_server(&Guise::x509(), &[], ALPN_CLIENT));
    refused_by_client(x509, &x509_secret().network_key()).await;
    refused_by_client(welcoming(bare_server(&honest, &[], b"h3")), &key(R1)).await;
}

#[tokio::test]
async fn replicas_and_clients_do_not_mix() {
    let (mesh, _inbox) = mesh(R1, 2, &book([]));
    refused_by_client(mesh.local_address(), &key(R1)).await;
    let limits = ServiceLimits::default();
    let config = ServiceConfig { me: R1, secret: secret(R1), bind: local(), limits };
    let (server, _events) = ClientServer::start(config).unwrap();
    let endpoint = Endpoint::client(local()).unwrap();
    let anonymous = |alpn| bare_anonymous(&key(R1), alpn);
    let welcome = endpoint.connect_with(anonymous(ALPN_CLIENT), server.local_address(), "x").unwrap();
    assert!(within(welcome).await.is_ok());
    let error = refusal_of(anonymous(ALPN_REPLICA), server.local_address()).await;
    assert!(is_tls_refusal(&error), "{error:?}");
    let nobody = refusal_of(anonymous(ALPN_REPLICA), mesh.local_address()).await;
    assert!(is_tls_refusal(&nobody), "a mesh wants a key: {nobody:?}");
}
