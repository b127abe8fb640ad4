//! Clients and the server they talk to: frames, proofs, limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use common::*;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use varangian_net::{
    AdmissionLimits, ClientConnection, ClientEndpoint, ClientEvent, ClientServer, Closed, ConnectionId, DialLimits,
    Frame, Inbox, LaneLimits, NetError, ServiceConfig, ServiceLimits, connect,
    endpoint::{ALPN_CLIENT, CODE_DEADLINE, CODE_FULL, CODE_RULES, CODE_SLOW},
};

fn patient() -> ServiceLimits {
    let admission = AdmissionLimits { handshake_deadline: PATIENCE, ..ServiceLimits::default().admission };
    ServiceLimits { admission, ..ServiceLimits::default() }
}

fn serve(limits: ServiceLimits) -> (ClientServer, Inbox<ClientEvent>) {
    ClientServer::start(ServiceConfig { me: R1, secret: secret(R1), bind: local(), limits }).unwrap()
}

fn patient_client() -> DialLimits {
    DialLimits { connect_deadline: PATIENCE, ..DialLimits::default() }
}

fn client() -> ClientEndpoint {
    ClientEndpoint::bind(local(), patient_client()).unwrap()
}

async fn dial(endpoint: &ClientEndpoint, server: &ClientServer) -> Result<ClientConnection, NetError> {
    within(connect(endpoint, server.local_address(), R1, &key(R1))).await
}

async fn opened(events: &mut Inbox<ClientEvent>) -> (ConnectionId, [u8; 32]) {
    match event(events).await {
        ClientEvent::Opened(id, exporter) => (id, exporter),
        other => panic!("{other:?}"),
    }
}

/// A client of bare QUIC with its stream open and one frame sent.
async fn bare(to: SocketAddr, events: &mut Inbox<ClientEvent>) -> (Connection, SendStream, RecvStream, ConnectionId) {
    let endpoint = Endpoint::client(local()).unwrap();
    let config = bare_anonymous(&key(R1), ALPN_CLIENT);
    let connection = within(endpoint.connect_with(config, to, "x").unwrap()).await.unwrap();
    let (mut send, receive) = connection.open_bi().await.unwrap();
    send.write_all(&framed(b"hi")).await.unwrap();
    let (id, _) = opened(events).await;
    assert_eq!(event(events).await, ClientEvent::Frame(id, Bytes::from_static(b"hi")));
    (connection, send, receive, id)
}

#[tokio::test]
async fn frames_go_both_ways() {
    let (server, mut events) = serve(patient());
    let endpoint = client();
    let mut connection = dial(&endpoint, &server).await.unwrap();
    let limit = DialLimits::default().max_frame;
    connection.send(vec![1; limit]).await.unwrap();
    connection.send(Frame::new(Bytes::from_static(b"a"), Bytes::from_static(b"b"))).await.unwrap();
    let (id, _) = opened(&mut events).await;
    assert_eq!(event(&mut events).await, ClientEvent::Frame(id, vec![1; limit].into()));
    assert_eq!(event(&mut events).await, ClientEvent::Frame(id, Bytes::from_static(b"ab")));
    for number in 0..100_u32 {
        server.reply(id, number.to_le_bytes().to_vec()).unwrap();
    }
    server.reply(id, vec![2; limit]).unwrap();
    for number in 0..100_u32 {
        assert_eq!(within(connection.recv()).await.unwrap().as_ref(), number.to_le_bytes());
    }
    assert_eq!(within(connection.recv()).await.unwrap(), vec![2; limit]);
    let stats = server.stats();
    assert_eq!((stats.clients, stats.frames_received, stats.frames_queued), (1, 2, 101));
    connection.close();
    assert_eq!(event(&mut events).await, ClientEvent::Closed(id));
    assert!(matches!(server.reply(id, vec![]), Err(NetError::Gone(gone)) if gone == id));
    assert_eq!(server.stats().clients, 0);
}

#[tokio::test]
async fn both_ends_export_the_same_and_no_two_connections_do() {
    let (server, mut events) = serve(patient());
    let endpoint = client();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut connection = dial(&endpoint, &server).await.unwrap();
        connection.send(vec![]).await.unwrap();
        let (id, exporter) = opened(&mut events).await;
        assert_eq!(event(&mut events).await, ClientEvent::Frame(id, Bytes::new()));
        assert_eq!(connection.exporter(), &exporter);
        seen.push((connection, exporter));
    }
    assert_ne!(seen[0].1, seen[1].1);
    // A client that takes this replica for another one exports something else.
    let mistaken = within(connect(&endpoint, server.local_address(), R2, &key(R1))).await;
    let mut mistaken = mistaken.unwrap();
    mistaken.send(vec![]).await.unwrap();
    assert_ne!(mistaken.exporter(), &opened(&mut events).await.1);
}

#[tokio::test]
async fn frames_above_the_limit_are_not_sent() {
    let (server, mut events) = serve(patient());
    let endpoint = client();
    let mut connection = dial(&endpoint, &server).await.unwrap();
    let limit = DialLimits::default().max_frame;
    assert!(matches!(connection.send(vec![0; limit + 1]).await, Err(NetError::TooLarge { .. })));
    connection.send(vec![3]).await.unwrap();
    let (id, _) = opened(&mut events).await;
    assert_eq!(event(&mut events).await, ClientEvent::Frame(id, Bytes::from_static(&[3])));
    assert!(matches!(server.reply(id, vec![0; limit + 1]), Err(NetError::TooLarge { .. })));
    server.reply(id, vec![4]).unwrap();
    assert_eq!(within(connection.recv()).await.unwrap().as_ref(), [4]);
}

#[tokio::test]
async fn an_announced_length_above_the_limit_ends_the_connection() {
    let (server, mut events) = serve(patient());
    let (connection, mut send, _receive, id) = bare(server.local_address(), &mut events).await;
    send.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    assert_eq!(close_code(&connection).await, u64::from(CODE_RULES));
    assert_eq!(event(&mut events).await, ClientEvent::Closed(id));
    assert_eq!(server.stats().offenders, 1);
}

#[tokio::test]
async fn an_endless_frame_ends_the_connection() {
    let limits = ServiceLimits { frame_deadline: Duration::from_millis(100), ..patient() };
    let (server, mut events) = serve(limits);
    let (connection, mut send, _receive, id) = bare(server.local_address(), &mut events).await;
    // It drips: each byte is progress, and the frame's deadline does not move.
    let drip = tokio::spawn(async move {
        let mut sent = send.write_all(&1_000_000_u32.to_le_bytes()).await;
        while sent.is_ok() {
            tokio::task::yield_now().await;
            sent = send.write_all(&[0]).await;
        }
    });
    assert_eq!(close_code(&connection).await, u64::from(CODE_DEADLINE));
    assert_eq!(event(&mut events).await, ClientEvent::Closed(id));
    assert_eq!(server.stats().offenders, 1);
    within(drip).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_its_replies_is_disconnected() {
    let (server, mut events) = serve(patient());
    let (connection, _send, _receive, id) = bare(server.local_address(), &mut events).await;
    let endpoint = client();
    let mut good = dial(&endpoint, &server).await.unwrap();
    good.send(vec![]).await.unwrap();
    let (good_id, _) = opened(&mut events).await;
    assert_eq!(event(&mut events).await, ClientEvent::Frame(good_id, Bytes::new()));

    let reply = Bytes::from(vec![0; 100_000]);
    let mut refusal = None;
    until(|| {
        refusal = server.reply(id, Frame::from(reply.clone())).err();
        refusal.is_some()
    })
    .await;
    assert!(matches!(refusal, Some(NetError::SlowReader(slow)) if slow == id), "{refusal:?}");
    assert!(matches!(server.reply(id, vec![]), Err(NetError::Gone(_))));
    // The one packet that says why may be lost in the flood; the reset that answers the next probe is not.
    match within(connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, CODE_SLOW.into()),
        ConnectionError::Reset => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(event(&mut events).await, ClientEvent::Closed(id));
    assert_eq!(server.stats().slow_readers, 1);
    server.reply(good_id, vec![7]).unwrap();
    assert_eq!(within(good.recv()).await.unwrap().as_ref(), [7], "others are served as before");
}

#[tokio::test]
async fn a_client_that_opens_no_stream_is_sent_away() {
    let mut limits = patient();
    limits.admission.handshake_deadline = Duration::from_secs(1);
    let (server, events) = serve(limits);
    let endpoint = client();
    let mut connection = dial(&endpoint, &server).await.unwrap();
    match within(connection.recv()).await {
        Err(NetError::Closed(Closed::ByPeer { code, .. })) => assert_eq!(code, u64::from(CODE_DEADLINE)),
        other => panic!("{other:?}"),
    }
    until(|| server.stats().admission.connections == 0).await;
    assert!(events.is_empty());
}

#[tokio::test]
async fn one_address_gets_its_share_of_connections_and_no_more() {
    let mut limits = patient();
    limits.admission.per_address = 2;
    let (server, _events) = serve(limits);
    let endpoint = client();
    let first = dial(&endpoint, &server).await.unwrap();
    let _second = dial(&endpoint, &server).await.unwrap();
    match dial(&endpoint, &server).await {
        Err(NetError::Connect { reason: Closed::Refused(_), .. }) => {}
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("a third connection from one address"),
    }
    assert_eq!(server.stats().admission.refused, 1);
    let elsewhere = ClientEndpoint::bind("127.0.0.2:0".parse().unwrap(), patient_client()).unwrap();
    dial(&elsewhere, &server).await.unwrap();
    first.close();
    until(|| server.stats().admission.connections < 2).await;
    dial(&endpoint, &server).await.unwrap();
}

#[tokio::test]
async fn all_connections_together_are_bounded() {
    let mut limits = patient();
    limits.admission.connections = 1;
    let (server, _events) = serve(limits);
    let endpoint = client();
    let _first = dial(&endpoint, &server).await.unwrap();
    let elsewhere = ClientEndpoint::bind("127.0.0.2:0".parse().unwrap(), patient_client()).unwrap();
    assert!(matches!(dial(&elsewhere, &server).await, Err(NetError::Connect { reason: Closed::Refused(_), .. })));
}

#[tokio::test]
async fn under_load_an_address_is_validated_first() {
    let mut limits = patient();
    limits.admission.retry_above = 0;
    let (server, mut events) = serve(limits);
    let endpoint = client();
    let mut connection = dial(&endpoint, &server).await.unwrap();
    connection.send(vec![1]).await.unwrap();
    opened(&mut events).await;
    let stats = server.stats().admission;
    assert_eq!((stats.retried, stats.admitted), (1, 1));
}

#[tokio::test]
async fn the_server_can_send_a_client_away() {
    let (server, mut events) = serve(patient());
    let (connection, _send, _receive, id) = bare(server.local_address(), &mut events).await;
    server.disconnect(id);
    assert_eq!(close_code(&connection).await, 0);
    assert_eq!(event(&mut events).await, ClientEvent::Closed(id));
    server.disconnect(id);
}

#[tokio::test]
async fn a_cancelled_send_is_not_continued() {
    let (server, _events) = serve(patient());
    let endpoint = client();
    let (mut sender, _receiver) = dial(&endpoint, &server).await.unwrap().split();
    // Nobody takes the frames, so sooner or later one has to wait.
    let frame = Bytes::from(vec![0; 1 << 20]);
    within(async {
        loop {
            tokio::select! {
                biased;
                sent = sender.send(frame.clone()) => sent.unwrap(),
                () = std::future::ready(()) => break,
            }
        }
    })
    .await;
    assert!(matches!(sender.send(vec![1]).await, Err(NetError::Torn)));
}

#[tokio::test]
async fn a_shutdown_is_told_and_ends_everything() {
    let (server, mut events) = serve(patient());
    let endpoint = client();
    let mut connection = dial(&endpoint, &server).await.unwrap();
    connection.send(vec![1]).await.unwrap();
    let (id, _) = opened(&mut events).await;
    assert_eq!(event(&mut events).await, ClientEvent::Frame(id, Bytes::from_static(&[1])));
    assert!(within(server.shutdown(Duration::from_secs(30))).await);
    match within(connection.recv()).await {
        Err(NetError::Closed(Closed::ByPeer { code: 0, reason })) => assert_eq!(reason, "shutting down"),
        other => panic!("{other:?}"),
    }
    assert_eq!(event(&mut events).await, ClientEvent::Closed(id));
    assert!(matches!(server.reply(id, vec![]), Err(NetError::Gone(_))));
    assert_eq!(within(events.recv()).await, None);
    assert!(within(endpoint.shutdown(Duration::from_secs(30))).await);
}

#[tokio::test]
async fn a_server_that_cannot_work_does_not_start() {
    let start = |bind, limits| ClientServer::start(ServiceConfig { me: R1, secret: secret(R1), bind, limits });
    let limits = ServiceLimits { inbox_bytes: 1, ..ServiceLimits::default() };
    assert!(matches!(start(local(), limits), Err(NetError::Limits(_))));
    let holder = std::net::UdpSocket::bind(local()).unwrap();
    let busy = holder.local_addr().unwrap();
    let refused = start(busy, ServiceLimits::default());
    assert!(matches!(refused, Err(NetError::Bind { address, .. }) if address == busy));
}

/// Few replies, far below the queue's bounds: it is the time that they take.
#[tokio::test]
async fn a_client_that_takes_nothing_has_a_deadline() {
    let connection = LaneLimits { queue_bytes: 64 << 20, ..patient().connection };
    let limits = ServiceLimits { connection, write_deadline: Duration::from_millis(100), ..patient() };
    let (server, mut events) = serve(limits);
    let (connection, _send, _receive, id) = bare(server.local_address(), &mut events).await;
    // More than QUIC's windows hold, so that the write cannot end, and less than the queue does.
    for _ in 0..16 {
        server.reply(id, vec![7; 1 << 20]).unwrap();
    }
    assert_eq!(close_code(&connection).await, u64::from(CODE_SLOW));
    assert_eq!(event(&mut events).await, ClientEvent::Closed(id));
    assert_eq!(server.stats().slow_readers, 1);
}

/// Whoever reads nothing may fill what all share; it is not the next one served who goes for it.
#[tokio::test]
async fn who_holds_most_makes_room_for_replies_to_others() {
    let limits = patient();
    let shared_bytes = limits.connection.max_frame;
    let (server, mut events) = serve(ServiceLimits { shared_bytes, ..limits });
    let (_little, _send, _receive, little) = bare(server.local_address(), &mut events).await;
    let (_much, _send, _receive, much) = bare(server.local_address(), &mut events).await;
    let endpoint = client();
    let mut good = dial(&endpoint, &server).await.unwrap();
    good.send(vec![]).await.unwrap();
    let (good_id, _) = opened(&mut events).await;
    assert_eq!(event(&mut events).await, ClientEvent::Frame(good_id, Bytes::new()));
    // Nothing is written between these: no task runs.
    server.reply(little, vec![1; shared_bytes / 4]).unwrap();
    server.reply(much, vec![2; shared_bytes / 2]).unwrap();
    server.reply(good_id, vec![3; shared_bytes / 2]).unwrap();
    assert_eq!(within(good.recv()).await.unwrap(), vec![3; shared_bytes / 2]);
    assert_eq!(event(&mut events).await, ClientEvent::Closed(much));
    server.reply(little, vec![1]).unwrap();
    assert_eq!(server.stats().slow_readers, 1);
}

#[tokio::test]
async fn who_is_silent_gives_its_place_to_others() {
    let limits = patient();
    let admission = AdmissionLimits { connections: 2, ..limits.admission };
    let (server, mut events) = serve(ServiceLimits { admission, silence: Duration::ZERO, ..limits });
    let (silent, _send, _receive, first) = bare(server.local_address(), &mut events).await;
    let (_other, mut send, _receive, second) = bare(server.local_address(), &mut events).await;
    let endpoint = client();
    let refused = dial(&endpoint, &server).await;
    assert!(refused.is_err(), "there was no place yet");
    assert_eq!(close_code(&silent).await, u64::from(CODE_FULL));
    assert_eq!(event(&mut events).await, ClientEvent::Closed(first));
    assert_eq!(server.stats().gave_way, 1);
    let mut third = dial(&endpoint, &server).await.unwrap();
    third.send(vec![3]).await.unwrap();
    opened(&mut events).await;
    assert!(matches!(event(&mut events).await, ClientEvent::Frame(..)));
    send.write_all(&framed(b"still here")).await.unwrap();
    assert_eq!(event(&mut events).await, ClientEvent::Frame(second, Bytes::from_static(b"still here")));
}

#[tokio::test]
async fn nobody_gives_way_who_has_just_spoken() {
    let limits = patient();
    let admission = AdmissionLimits { connections: 1, ..limits.admission };
    let (server, mut events) = serve(ServiceLimits { admission, silence: PATIENCE, ..limits });
    let (_connection, mut send, _receive, id) = bare(server.local_address(), &mut events).await;
    assert!(dial(&client(), &server).await.is_err());
    send.write_all(&framed(b"still here")).await.unwrap();
    assert_eq!(event(&mut events).await, ClientEvent::Frame(id, Bytes::from_static(b"still here")));
    assert_eq!(server.stats().gave_way, 0);
}

/// Many begin a large frame and never end it: together they hold what the limits say, and small frames come through all the while.
#[tokio::test]
async fn large_frames_share_one_bound() {
    let limits = patient();
    let shared_bytes = limits.connection.max_frame;
    let (server, mut events) = serve(ServiceLimits { shared_bytes, frame_deadline: PATIENCE, ..limits });
    let begun = [&(shared_bytes as u32).to_le_bytes()[..], &vec![0; shared_bytes / 2 + (32 << 10)]].concat();
    let (_small, mut small, _receive, who) = bare(server.local_address(), &mut events).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(bare(server.local_address(), &mut events).await);
    }
    for (_, send, ..) in &mut held {
        // Who has to give way need not take all of it.
        let _written: Result<(), _> = send.write_all(&begun).await;
    }
    // Each holds more than half: of three, two give way.
    for _ in 0..2 {
        let ClientEvent::Closed(gone) = event(&mut events).await else { panic!("somebody gives way") };
        let (connection, ..) = held.iter().find(|(.., id)| *id == gone).unwrap();
        assert_eq!(close_code(connection).await, u64::from(CODE_FULL));
    }
    assert_eq!(server.stats().gave_way, 2);
    small.write_all(&framed(b"small")).await.unwrap();
    assert_eq!(event(&mut events).await, ClientEvent::Frame(who, Bytes::from_static(b"small")));
}
