//! Relays between real sockets. Nothing waits for a time: each test waits for what it wants to see, and a deadline far off makes it fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use varangian_links::{Direction, Profile, Relay, RelayError, RelayStats, Settings, Shape};

const DEADLINE: Duration = Duration::from_secs(20);
const DIALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 1));
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 2));
const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 3));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 4));

/// A replica's socket.
struct Peer(UdpSocket);

impl Peer {
    async fn at(ip: IpAddr) -> Self {
        Self(UdpSocket::bind((ip, 0)).await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn send(&self, to: SocketAddr, datagram: &[u8]) {
        assert_eq!(self.0.send_to(datagram, to).await.unwrap(), datagram.len());
    }

    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 1 << 16];
        let received = timeout(DEADLINE, self.0.recv_from(&mut buffer)).await.expect("nothing came").unwrap();
        buffer.truncate(received.0);
        (buffer, received.1)
    }

    /// What comes next is this.
    async fn expect(&self, datagram: &[u8], from: SocketAddr) {
        let (received, source) = self.receive().await;
        assert_eq!((received.as_slice(), source), (datagram, from));
    }
}

struct Pair {
    dialler: Peer,
    target: Peer,
    relay: Relay,
}

impl Pair {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let (dialler, target) = (Peer::at(DIALLER).await, Peer::at(TARGET).await);
        let mut settings = Settings::new(RELAY, DIALLER, target.address());
        change(&mut settings);
        let relay = Relay::bind(settings).await.unwrap();
        Self { dialler, target, relay }
    }

    /// There and back.
    async fn echo(&self, datagram: &[u8]) {
        self.dialler.send(self.relay.address(), datagram).await;
        self.target.expect(datagram, self.relay.upstream()).await;
        self.target.send(self.relay.upstream(), datagram).await;
        self.dialler.expect(datagram, self.relay.address()).await;
    }
}

/// Until the relay's figures are like this.
async fn until(relay: &Relay, wanted: impl Fn(&RelayStats) -> bool) {
    let start = Instant::now();
    while !wanted(&relay.stats()) {
        assert!(start.elapsed() < DEADLINE, "not in time: {:?}", relay.stats());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn datagrams_of_any_size_go_there_and_back() {
    let pair = Pair::new(|_| {}).await;
    for length in [0, 1, 1200, 1452, 9000, 65_507] {
        pair.echo(&vec![7; length]).await;
    }
    let stats = pair.relay.stats();
    assert_eq!((stats.to_target.passed, stats.to_target.bytes), (6, 1 + 1200 + 1452 + 9000 + 65_507));
    assert_eq!(stats.to_target, stats.to_dialler);
    assert_eq!((stats.strangers, stats.unsent), (0, 0));
}

#[tokio::test]
async fn each_way_has_its_own_latency() {
    let pair = Pair::new(|settings| {
        settings.to_target.latency_ms = 30.0;
        settings.to_dialler.latency_ms = 90.0;
    })
    .await;
    let start = Instant::now();
    pair.dialler.send(pair.relay.address(), b"ping").await;
    pair.target.expect(b"ping", pair.relay.upstream()).await;
    let there = start.elapsed();
    pair.target.send(pair.relay.upstream(), b"pong").await;
    pair.dialler.expect(b"pong", pair.relay.address()).await;
    let both = start.elapsed();
    assert!(there >= Duration::from_millis(30), "{there:?}");
    assert!(both - there >= Duration::from_millis(90), "{:?}", both - there);
}

#[tokio::test]
async fn jitter_and_bandwidth_keep_order() {
    let shape = Shape { latency_ms: 1.0, jitter_ms: 10.0, bandwidth_mbit: Some(50.0), ..Shape::PERFECT };
    let pair = Pair::new(|settings| settings.to_target = shape).await;
    // Few at a time, so that no socket's buffer runs over.
    for burst in 0..10_u32 {
        for number in 0..30 {
            pair.dialler.send(pair.relay.address(), &(burst * 30 + number).to_be_bytes()).await;
        }
        for number in 0..30 {
            pair.target.expect(&(burst * 30 + number).to_be_bytes(), pair.relay.upstream()).await;
        }
    }
}

#[tokio::test]
async fn a_cut_stops_one_way_and_a_heal_resumes_it() {
    let pair = Pair::new(|_| {}).await;
    pair.echo(b"before").await;
    pair.relay.set_shape(Direction::ToDialler, &Shape::CUT).unwrap();
    pair.dialler.send(pair.relay.address(), b"question").await;
    pair.target.expect(b"question", pair.relay.upstream()).await;
    pair.target.send(pair.relay.upstream(), b"answer").await;
    until(&pair.relay, |stats| stats.to_dialler.cut == 1).await;
    pair.relay.set_shape(Direction::ToDialler, &Shape::PERFECT).unwrap();
    // The next that comes is this one: the answer is gone.
    pair.echo(b"after").await;
    assert_eq!(pair.relay.stats().to_target.cut, 0);
}

#[tokio::test]
async fn a_new_shape_wakes_what_waits() {
    let pair = Pair::new(|settings| settings.to_target.latency_ms = 60_000.0).await;
    pair.dialler.send(pair.relay.address(), b"late").await;
    until(&pair.relay, |stats| stats.to_target.pushed == 1).await;
    pair.relay.set_shape(Direction::ToTarget, &Shape::PERFECT).unwrap();
    pair.target.expect(b"late", pair.relay.upstream()).await;
}

#[tokio::test]
async fn a_bad_shape_is_refused() {
    let pair = Pair::new(|_| {}).await;
    let bad = Shape { loss: 7.0, ..Shape::PERFECT };
    assert_eq!(pair.relay.set_shape(Direction::ToTarget, &bad).unwrap_err().field, "loss");
    pair.echo(b"as before").await;
    let settings = Settings { to_dialler: bad, ..Settings::new(RELAY, DIALLER, pair.target.address()) };
    assert!(matches!(Relay::bind(settings).await, Err(RelayError::Shape(_))));
}

#[tokio::test]
async fn a_target_that_is_down_comes_back() {
    let Pair { dialler, target, relay } = Pair::new(|_| {}).await;
    let address = target.address();
    drop(target);
    for _ in 0..3 {
        dialler.send(relay.address(), b"nobody there").await;
    }
    until(&relay, |stats| stats.to_target.passed == 3).await;
    let target = Peer(UdpSocket::bind(address).await.unwrap());
    Pair { dialler, target, relay }.echo(b"back").await;
}

#[tokio::test]
async fn a_target_may_come_back_on_another_port() {
    let Pair { dialler, target: old, relay } = Pair::new(|_| {}).await;
    let target = Peer::at(TARGET).await;
    relay.set_target(target.address());
    let pair = Pair { dialler, target, relay };
    pair.echo(b"moved").await;
    // Who is there now is a stranger, even at the same IP.
    old.send(pair.relay.upstream(), b"from the past").await;
    until(&pair.relay, |stats| stats.strangers == 1).await;
    pair.echo(b"still").await;
}

#[tokio::test]
async fn a_dialler_may_come_back_on_another_port() {
    let Pair { dialler: old, target, relay } = Pair::new(|_| {}).await;
    old.send(relay.address(), b"old").await;
    target.expect(b"old", relay.upstream()).await;
    let pair = Pair { dialler: Peer::at(DIALLER).await, target, relay };
    pair.echo(b"new").await;
}

#[tokio::test]
async fn a_dialler_that_is_down_comes_back() {
    let Pair { dialler, target, relay } = Pair::new(|_| {}).await;
    dialler.send(relay.address(), b"bye").await;
    target.expect(b"bye", relay.upstream()).await;
    drop(dialler);
    for _ in 0..3 {
        target.send(relay.upstream(), b"nobody there").await;
    }
    until(&relay, |stats| stats.to_dialler.passed == 3).await;
    Pair { dialler: Peer::at(DIALLER).await, target, relay }.echo(b"back").await;
}

#[tokio::test]
async fn strangers_are_ignored() {
    let pair = Pair::new(|_| {}).await;
    let stranger = Peer::at(STRANGER).await;
    stranger.send(pair.relay.address(), b"let me in").await;
    until(&pair.relay, |stats| stats.strangers == 1).await;
    pair.dialler.send(pair.relay.address(), b"question").await;
    pair.target.expect(b"question", pair.relay.upstream()).await;
    stranger.send(pair.relay.address(), b"answer me instead").await;
    stranger.send(pair.relay.upstream(), b"I am the target").await;
    until(&pair.relay, |stats| stats.strangers == 3).await;
    pair.target.send(pair.relay.upstream(), b"answer").await;
    pair.dialler.expect(b"answer", pair.relay.address()).await;
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let pair = Pair::new(|settings| {
        settings.to_target.latency_ms = 60_000.0;
        settings.capacity = 100_000;
    })
    .await;
    for number in 1..=50 {
        pair.dialler.send(pair.relay.address(), &[0; 9972]).await;
        until(&pair.relay, |stats| stats.to_target.pushed == number).await;
    }
    assert_eq!(pair.relay.stats().to_target.dropped, 40);
}

#[tokio::test]
async fn a_port_in_use_is_said_and_a_closed_relay_frees_its_own() {
    let pair = Pair::new(|_| {}).await;
    let settings = Settings { listen: pair.relay.address(), ..Settings::new(RELAY, DIALLER, pair.target.address()) };
    let address = pair.relay.address();
    let error = Relay::bind(settings.clone()).await.unwrap_err();
    assert!(matches!(error, RelayError::Bind { address: at, .. } if at == address), "{error}");
    pair.relay.close().await;
    let relay = Relay::bind(settings).await.unwrap();
    assert_eq!(relay.address(), address);
    Pair { relay, ..pair }.echo(b"again").await;
}

/// What is dropped, doubled and lost is all accounted for, and the rest arrives.
#[tokio::test]
async fn a_lossy_network_gives_account() {
    let shape = Profile::named("lossy").unwrap().shape(0, 1);
    let pair = Pair::new(|settings| settings.to_target = shape).await;
    let (mut sent, mut received) = (0, 0);
    while sent < 2000 {
        for _ in 0..50 {
            pair.dialler.send(pair.relay.address(), &[0; 100]).await;
        }
        sent += 50;
        until(&pair.relay, |stats| stats.to_target.pushed == sent).await;
        until(&pair.relay, |stats| {
            let way = stats.to_target;
            way.pushed + way.duplicated == way.passed + way.lost
        })
        .await;
        while received < pair.relay.stats().to_target.passed {
            pair.target.receive().await;
            received += 1;
        }
    }
    let way = pair.relay.stats().to_target;
    assert!((60..150).contains(&way.lost) && way.duplicated > 5 && way.reordered > 5, "{way:?}");
}
