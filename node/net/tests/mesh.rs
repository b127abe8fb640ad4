//! Replicas among themselves: lanes, reconnections, limits, counters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use common::*;
use varangian_crypto::ReplicaId;
use varangian_net::{
    Closed, Frame, FrameError, Lane, LaneLimits, Mesh, MeshConfig, MeshEvent, MeshInbox, NetError,
    endpoint::{CODE_DEADLINE, CODE_REPLACED, CODE_RULES},
};

#[tokio::test]
async fn frames_arrive_in_order_on_their_lane() {
    let ((low, mut low_inbox), (high, mut high_inbox)) = pair().await;
    for number in 0..100_u32 {
        low.send(R1, Lane::Vote, number.to_le_bytes().to_vec()).unwrap();
        high.send(R0, Lane::Bulk, number.to_le_bytes().to_vec()).unwrap();
    }
    for number in 0..100_u32 {
        assert_eq!(event(&mut high_inbox.votes).await, vote(R0, &number.to_le_bytes()));
        assert_eq!(event(&mut low_inbox.bulk).await, bulk(R1, &number.to_le_bytes()));
    }
    assert!(low_inbox.votes.is_empty() && high_inbox.bulk.is_empty());
}

#[tokio::test]
async fn a_broadcast_reaches_every_peer_with_head_and_body() {
    let (high, mut high_inbox) = mesh(R2, 3, &book([]));
    let (middle, mut middle_inbox) = mesh(R1, 3, &book([(R2, high.local_address())]));
    let addresses = [(R1, middle.local_address()), (R2, high.local_address())];
    let (low, mut low_inbox) = mesh(R0, 3, &book(addresses));
    for inbox in [&mut high_inbox, &mut middle_inbox, &mut low_inbox] {
        let events = [event(&mut inbox.votes).await, event(&mut inbox.votes).await];
        assert!(events.iter().all(|event| matches!(event, MeshEvent::Connected(_))), "{events:?}");
    }
    let body = Bytes::from((0..1_000_000_u32).map(|at| at as u8).collect::<Vec<_>>());
    low.broadcast(Lane::Bulk, Frame::new(Bytes::from_static(b"head"), body.clone())).unwrap();
    let whole = [b"head", body.as_ref()].concat();
    assert_eq!(event(&mut middle_inbox.bulk).await, bulk(R0, &whole));
    assert_eq!(event(&mut high_inbox.bulk).await, bulk(R0, &whole));
}

#[tokio::test]
async fn the_largest_frame_passes_and_a_larger_one_is_not_sent() {
    let ((low, _low_inbox), (_high, mut high_inbox)) = pair().await;
    let limit = varangian_net::MeshLimits::default().bulk.max_frame;
    let refused = low.send(R1, Lane::Bulk, vec![0; limit + 1]).unwrap_err();
    assert!(matches!(refused, NetError::TooLarge { .. }), "{refused}");
    assert!(matches!(low.broadcast(Lane::Vote, vec![0; limit]), Err(NetError::TooLarge { .. })));
    assert!(matches!(low.send(R0, Lane::Vote, vec![]), Err(NetError::UnknownPeer(R0))));
    low.send(R1, Lane::Bulk, vec![7; limit]).unwrap();
    match event(&mut high_inbox.bulk).await {
        MeshEvent::Frame { bytes, .. } => assert!(bytes.len() == limit && bytes.iter().all(|byte| *byte == 7)),
        other => panic!("{other:?}"),
    }
}

// --- Connections come and go --------------------------------------------------------------------------------------

/// A mesh on a runtime of its own, so that it can die without a word as a killed process does.
struct Doomed {
    runtime: tokio::runtime::Runtime,
    mesh: Mesh,
    inbox: MeshInbox,
}

impl Doomed {
    async fn start(config: MeshConfig) -> Self {
        let start = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let (mesh, inbox) = runtime.block_on(async { Mesh::start(config) }).unwrap();
            Self { runtime, mesh, inbox }
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// Tasks first, so that nothing is said on the way out.
    async fn kill(self) -> SocketAddr {
        let address = self.mesh.local_address();
        let kill = move || {
            drop(self.runtime);
            drop((self.mesh, self.inbox));
        };
        tokio::task::spawn_blocking(kill).await.unwrap();
        address
    }
}

#[tokio::test]
async fn a_restarted_acceptor_on_the_same_port_is_noticed_by_its_reset() {
    let mut high = Doomed::start(config(R1, 2, &book([]))).await;
    let (low, mut low_inbox) = mesh(R0, 2, &book([(R1, high.mesh.local_address())]));
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Connected(R1));
    assert_eq!(event(&mut high.inbox.votes).await, MeshEvent::Connected(R0));
    let bind = high.kill().await;

    let mut high = Doomed::start(MeshConfig { bind, ..config(R1, 2, &book([])) }).await;
    let begin = std::time::Instant::now();
    low.send(R1, Lane::Vote, b"are you there?".to_vec()).unwrap();
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Disconnected(R1, Closed::Reset));
    let noticed = begin.elapsed();
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Connected(R1));
    assert_eq!(event(&mut high.inbox.votes).await, MeshEvent::Connected(R0));
    println!("restart noticed after {noticed:?}, connected again after {:?}", begin.elapsed());
    low.send(R1, Lane::Vote, b"again".to_vec()).unwrap();
    assert_eq!(event(&mut high.inbox.votes).await, vote(R0, b"again"));
    assert_eq!(low.stats().peers[0].connections, 2);
    high.kill().await;
}

#[tokio::test]
async fn a_restarted_dialler_takes_the_place_of_its_former_self() {
    let (high, mut high_inbox) = mesh(R1, 2, &book([]));
    let addresses = book([(R1, high.local_address())]);
    let mut low = Doomed::start(config(R0, 2, &addresses)).await;
    assert_eq!(event(&mut high_inbox.votes).await, MeshEvent::Connected(R0));
    assert_eq!(event(&mut low.inbox.votes).await, MeshEvent::Connected(R1));
    let bind = low.kill().await;

    let mut low = Doomed::start(MeshConfig { bind, ..config(R0, 2, &addresses) }).await;
    match event(&mut high_inbox.votes).await {
        MeshEvent::Disconnected(R0, Closed::Replaced | Closed::Reset) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(event(&mut high_inbox.votes).await, MeshEvent::Connected(R0));
    assert_eq!(event(&mut low.inbox.votes).await, MeshEvent::Connected(R1));
    low.kill().await;
}

#[tokio::test]
async fn the_newest_connection_wins_once_it_has_proved_itself() {
    let (mesh, mut inbox) = mesh(R1, 2, &book([]));
    let first = Bare::dial(R0, R1, mesh.local_address()).await;
    let (mut first_out, _first_in) = first.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));

    // A handshake alone changes nothing.
    let second = Bare::dial(R0, R1, mesh.local_address()).await;
    until(|| mesh.stats().admission.handshakes == 1).await;
    first_out.write_all(&framed(b"still here")).await.unwrap();
    assert_eq!(event(&mut inbox.votes).await, vote(R0, b"still here"));
    assert!(first.connection.close_reason().is_none());

    let (mut second_out, _second_in) = second.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Disconnected(R0, Closed::Replaced));
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));
    assert_eq!(close_code(&first.connection).await, u64::from(CODE_REPLACED));
    second_out.write_all(&framed(b"newer")).await.unwrap();
    assert_eq!(event(&mut inbox.votes).await, vote(R0, b"newer"));
}

#[tokio::test]
async fn an_address_replaced_at_run_time_is_dialled() {
    let (old, mut old_inbox) = mesh(R1, 2, &book([]));
    let addresses = book([]);
    let (low, mut low_inbox) = mesh(R0, 2, &addresses);
    assert!(!low.stats().peers[0].connected);
    addresses.send_replace([(R1, old.local_address())].into());
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Connected(R1));
    assert_eq!(event(&mut old_inbox.votes).await, MeshEvent::Connected(R0));

    let (new, mut new_inbox) = mesh(R1, 2, &book([]));
    addresses.send_replace([(R1, new.local_address())].into());
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Disconnected(R1, Closed::Replaced));
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Connected(R1));
    assert_eq!(event(&mut new_inbox.votes).await, MeshEvent::Connected(R0));
    let code = u64::from(CODE_REPLACED);
    match event(&mut old_inbox.votes).await {
        MeshEvent::Disconnected(R0, Closed::ByPeer { code: given, .. }) if given == code => {}
        other => panic!("{other:?}"),
    }
    low.send(R1, Lane::Vote, b"moved".to_vec()).unwrap();
    assert_eq!(event(&mut new_inbox.votes).await, vote(R0, b"moved"));
}

#[tokio::test]
async fn a_dead_address_is_left_for_a_better_one() {
    // Bound, and nobody answers there.
    let silent = std::net::UdpSocket::bind(local()).unwrap();
    let addresses = book([(R1, silent.local_addr().unwrap())]);
    let mut config = config(R0, 2, &addresses);
    config.limits.admission.handshake_deadline = Duration::from_secs(3600);
    let (_low, mut low_inbox) = Mesh::start(config).unwrap();
    let mut datagram = [0; 2048];
    let attempt = tokio::task::spawn_blocking(move || silent.recv(&mut datagram).map(|_| silent));
    let _silent = within(attempt).await.unwrap().unwrap();
    let (high, _high_inbox) = mesh(R1, 2, &book([]));
    addresses.send_replace([(R1, high.local_address())].into());
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Connected(R1));
}

#[tokio::test]
async fn a_shutdown_is_told_and_ends_everything() {
    let ((low, mut low_inbox), (high, mut high_inbox)) = pair().await;
    assert!(within(high.shutdown(Duration::from_secs(30))).await);
    match event(&mut low_inbox.votes).await {
        MeshEvent::Disconnected(R1, Closed::ByPeer { code: 0, reason }) => assert_eq!(reason, "shutting down"),
        other => panic!("{other:?}"),
    }
    assert_eq!(event(&mut high_inbox.votes).await, MeshEvent::Disconnected(R0, Closed::Local));
    assert_eq!(within(high_inbox.votes.recv()).await, None);
    assert_eq!(within(high_inbox.bulk.recv()).await, None);
    // The port is free again, and the dialler finds whoever takes it.
    let bind = high.local_address();
    drop(high);
    let mut again = None;
    until(|| {
        again = again.take().or_else(|| Mesh::start(MeshConfig { bind, ..config(R1, 2, &book([])) }).ok());
        again.is_some()
    })
    .await;
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Connected(R1));
    assert!(within(low.shutdown(Duration::from_secs(30))).await);
}

// --- Votes and bulk -----------------------------------------------------------------------------------------------

const PIECE: usize = 64 << 10;

/// r1 with a bulk lane that is soon full.
fn narrow() -> (Mesh, MeshInbox) {
    let mut config = config(R1, 2, &book([]));
    config.limits.transport.stream_window = WINDOW;
    config.limits.bulk =
        LaneLimits { max_frame: PIECE, queue_frames: 16, queue_bytes: 16 * PIECE, inbox_bytes: 4 * PIECE };
    Mesh::start(config).unwrap()
}

#[tokio::test]
async fn votes_pass_a_peer_that_does_not_read_its_bulk() {
    let (mesh, mut inbox) = narrow();
    let bare = Bare::dial(R0, R1, mesh.local_address()).await;
    let (_out, mut votes) = bare.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));

    // More than its window and our queue hold: the lane is full to the brim, and stays so.
    let piece = Bytes::from(vec![1; PIECE]);
    let stats = || mesh.stats().peers[0].bulk;
    until(|| {
        mesh.send(R0, Lane::Bulk, Frame::from(piece.clone())).unwrap();
        stats().dropped_full > 0
    })
    .await;
    let stuck = stats();
    for number in 0..1_000_u32 {
        mesh.send(R0, Lane::Vote, number.to_le_bytes().to_vec()).unwrap();
        assert_eq!(read_frame(&mut votes).await, number.to_le_bytes());
    }
    assert_eq!(stats().frames_sent, stuck.frames_sent, "bulk has not moved meanwhile");

    // Once it reads, bulk flows again.
    let mut bulk = within(bare.connection.accept_uni()).await.unwrap();
    for _ in 0..stuck.frames_sent + 1 {
        assert_eq!(read_frame(&mut bulk).await.len(), PIECE);
    }
}

#[tokio::test]
async fn votes_pass_a_node_that_does_not_take_its_bulk() {
    let (mesh, mut inbox) = narrow();
    let bare = Bare::dial(R0, R1, mesh.local_address()).await;
    let (mut votes, _in) = bare.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));

    let mut stream = bare.connection.open_uni().await.unwrap();
    let endless = tokio::spawn(async move {
        let frame = framed(&[2; PIECE]);
        while stream.write_all(&frame).await.is_ok() {}
    });
    // Four frames lie in the inbox and one waits before its door; the sender has used up its window.
    let taken = || mesh.stats().peers[0].bulk.frames_received;
    until(|| {
        let sent = bare.connection.stats().frame_tx;
        sent.stream_data_blocked + sent.data_blocked > 0 && taken() == 5
    })
    .await;
    for number in 0..1_000_u32 {
        within(votes.write_all(&framed(&number.to_le_bytes()))).await.unwrap();
        assert_eq!(event(&mut inbox.votes).await, vote(R0, &number.to_le_bytes()));
    }
    assert_eq!((taken(), inbox.bulk.len()), (5, 4), "bulk has not moved meanwhile");
    for _ in 0..100 {
        assert!(matches!(event(&mut inbox.bulk).await, MeshEvent::Frame { lane: Lane::Bulk, .. }));
    }
    endless.abort();
}

#[tokio::test]
async fn who_is_not_heard_waits() {
    let ((low, mut low_inbox), (high, _high_inbox)) = pair().await;
    let until = std::time::Instant::now() + Duration::from_millis(300);
    low.unhear(R1, until.into());
    for number in 0..3 {
        high.send(R0, Lane::Vote, vec![number]).unwrap();
    }
    // One that is being waited for already comes through.
    assert_eq!(event(&mut low_inbox.votes).await, vote(R1, &[0]));
    assert_eq!(event(&mut low_inbox.votes).await, vote(R1, &[1]));
    assert!(std::time::Instant::now() >= until);
    assert_eq!(event(&mut low_inbox.votes).await, vote(R1, &[2]));
}

#[tokio::test]
async fn a_peer_cannot_open_more_than_its_two_streams() {
    let (mesh, mut inbox) = mesh(R1, 2, &book([]));
    let bare = Bare::dial(R0, R1, mesh.local_address()).await;
    let (_votes, _in) = bare.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));
    let mut bulk_stream = bare.connection.open_uni().await.unwrap();
    bulk_stream.write_all(&framed(b"bulk")).await.unwrap();
    assert_eq!(event(&mut inbox.bulk).await, bulk(R0, b"bulk"));
    // The mesh has heard from both streams; had it more to grant it would have said so in its transport parameters.
    tokio::select! {
        biased;
        _ = bare.connection.open_uni() => panic!("a third stream"),
        _ = bare.connection.open_bi() => panic!("a bidirectional stream"),
        () = std::future::ready(()) => {}
    }
    assert!(bare.connection.send_datagram(Bytes::from_static(b"x")).is_err());
}

// --- Frames that break the rules ------------------------------------------------------------------------------------

/// Lets a bare r0 write `bytes` on its vote stream and says how that ended on both sides.
async fn offend(bytes: &[u8], config: MeshConfig) -> (Closed, u64) {
    let (mesh, mut inbox) = Mesh::start(config).unwrap();
    let bare = Bare::dial(R0, R1, mesh.local_address()).await;
    let (mut votes, _in) = bare.greet(R0, R1).await;
    assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));
    votes.write_all(bytes).await.unwrap();
    match event(&mut inbox.votes).await {
        MeshEvent::Disconnected(R0, reason) => (reason, close_code(&bare.connection).await),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_announced_length_above_the_limit_ends_the_connection() {
    let limit = varangian_net::MeshLimits::default().votes.max_frame;
    let length = limit + 1;
    let (reason, code) = offend(&(length as u32).to_le_bytes(), config(R1, 2, &book([]))).await;
    assert_eq!(reason, Closed::Frame(FrameError::TooLarge { length, limit }));
    assert_eq!(code, u64::from(CODE_RULES));
}

#[tokio::test]
async fn a_frame_that_does_not_end_ends_the_connection() {
    for begun in [&b"\x05"[..], b"\x05\x00\x00\x00four"] {
        let mut config = config(R1, 2, &book([]));
        config.limits.frame_deadline = Duration::from_millis(100);
        let (reason, code) = offend(begun, config).await;
        assert_eq!(reason, Closed::Frame(FrameError::Endless));
        assert_eq!(code, u64::from(CODE_DEADLINE));
    }
}

#[tokio::test]
async fn a_stream_that_ends_ends_the_connection() {
    for (content, expected) in [
        (&b""[..], Closed::StreamEnded),
        (b"\x05\x00", Closed::Frame(FrameError::Truncated)),
        (b"\x05\x00\x00\x00four", Closed::Frame(FrameError::Truncated)),
    ] {
        let (mesh, mut inbox) = mesh(R1, 2, &book([]));
        let bare = Bare::dial(R0, R1, mesh.local_address()).await;
        let (mut votes, _in) = bare.greet(R0, R1).await;
        assert_eq!(event(&mut inbox.votes).await, MeshEvent::Connected(R0));
        votes.write_all(content).await.unwrap();
        votes.finish().unwrap();
        assert_eq!(event(&mut inbox.votes).await, MeshEvent::Disconnected(R0, expected));
        assert_eq!(close_code(&bare.connection).await, u64::from(CODE_RULES));
    }
}

// --- Counters and configuration -------------------------------------------------------------------------------------

#[tokio::test]
async fn counters_tell_what_happened() {
    let ((low, _low_inbox), (high, mut high_inbox)) = pair().await;
    low.send(R1, Lane::Vote, vec![0; 10]).unwrap();
    low.send(R1, Lane::Vote, Frame::new(Bytes::from_static(b"12"), Bytes::from_static(b"345"))).unwrap();
    low.send(R1, Lane::Bulk, vec![0; 1000]).unwrap();
    for _ in 0..2 {
        event(&mut high_inbox.votes).await;
    }
    event(&mut high_inbox.bulk).await;
    let (sent, received) = (low.stats(), high.stats());
    let (sent, received) = (&sent.peers[0], &received.peers[0]);
    assert_eq!((sent.id, received.id), (R1, R0));
    assert_eq!((sent.votes.frames_sent, sent.votes.bytes_sent), (2, 15));
    assert_eq!((sent.bulk.frames_sent, sent.bulk.bytes_sent), (1, 1000));
    assert_eq!((received.votes.frames_received, received.votes.bytes_received), (2, 15));
    assert_eq!((received.bulk.frames_received, received.bulk.bytes_received), (1, 1000));
    assert!(
        sent.connected
            && sent.path.is_some_and(|path| path.packets_sent > 0)
            && sent.connections == 1
            && sent.last_failure.is_none()
    );
    assert_eq!(high.stats().admission.connections, 1);

    within(high.shutdown(Duration::from_secs(30))).await;
    until(|| !low.stats().peers[0].connected).await;
    low.send(R1, Lane::Vote, vec![0; 10]).unwrap();
    let peer = low.stats().peers[0].clone();
    assert_eq!((peer.votes.dropped_down, peer.votes.dropped_full), (1, 0));
    assert!(peer.last_failure.is_some() && peer.path.is_none(), "{peer:?}");
}

#[tokio::test]
async fn a_mesh_that_cannot_work_does_not_start() {
    let start = |change: &dyn Fn(&mut MeshConfig)| {
        let mut config = config(R1, 3, &book([]));
        change(&mut config);
        Mesh::start(config).map(|_| ()).unwrap_err()
    };
    let stray = ReplicaId(9);
    assert!(matches!(start(&|config| config.secret = secret(R2)), NetError::NotMyKey(R1)));
    assert!(matches!(start(&|config| config.me = stray), NetError::Members(id) if id == stray));
    assert!(matches!(start(&|config| config.members[2].0 = R1), NetError::Members(R1)));
    assert!(matches!(start(&|config| config.members[2].1 = key(R0)), NetError::Members(R2)));
    assert!(matches!(start(&|config| config.limits.votes.queue_bytes = 1), NetError::Limits(_)));
    assert!(matches!(start(&|config| config.limits.bulk.inbox_bytes = 1), NetError::Limits(_)));
    assert!(matches!(
        start(&|config| config.limits.transport.keep_alive = Duration::from_secs(99)),
        NetError::Limits(_)
    ));
    let holder = std::net::UdpSocket::bind(local()).unwrap();
    let busy = holder.local_addr().unwrap();
    let error = start(&|config| config.bind = busy);
    assert!(matches!(error, NetError::Bind { address, .. } if address == busy));
    assert!(error.to_string().contains(&busy.to_string()), "{error}");
}
