//! Handshakes that are begun and never continued, from many source ports; and datagrams that are nothing at all.
//!
//! The boldest kind proves its address when it is asked to, and then falls silent: what it holds is a place among the handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{ClientConfig, Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::wire::Act;
use crate::load::operations::SplitMix;

/// For an answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// Larger than any datagram here.
const LARGEST: usize = 2048;
/// Smallest datagram that may begin a handshake (RFC 9000 §14.1).
pub(super) const SMALLEST_INITIAL: usize = 1200;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A whole ClientHello.
    Initial,
    /// The same; asked to prove its address, it does, and then says nothing more.
    Retried,
    /// A ClientHello whose encryption does not hold.
    Broken,
    /// A long header with a version that nobody speaks.
    UnknownVersion,
    /// A short header, as of a connection that does not exist.
    NoConnection,
    /// Random bytes.
    Garbage,
}

impl Datagram {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Initial, Self::Retried, Self::Broken, Self::UnknownVersion, Self::NoConnection, Self::Garbage];
}

/// One datagram from a fresh port, or two.
pub(super) async fn act(mut act: Act) {
    let drawn = act.random.below(Datagram::ALL.len() as u64);
    let what = Datagram::ALL[usize::try_from(drawn).unwrap_or(0)];
    let source = act.shared.sources.flooding(u8::try_from(act.random.below(256)).unwrap_or(0));
    let Ok(socket) = UdpSocket::bind(source).await else { return act.tally().held_back("no socket") };
    let Some(config) = act.config(None) else { return act.tally().held_back("no settings") };
    let Some(mut begun) = Begun::new(&mut act.random, config, act.address) else {
        return act.tally().held_back("no handshake");
    };
    let Some(datagram) = build(what, &mut begun, &mut act.random) else { return act.tally().held_back("no handshake") };
    send(&act, &socket, &datagram).await;
    let mut buffer = vec![0; LARGEST];
    let Ok(Ok((length, _))) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await else { return };
    act.tally().received(length);
    buffer.truncate(length);
    if is_retry(&buffer) {
        act.tally().answered("retry");
        if what == Datagram::Retried
            && let Some(datagram) = begun.answer(&buffer)
        {
            send(&act, &socket, &datagram).await;
        }
    } else {
        act.tally().answered("datagram");
    }
}

async fn send(act: &Act, socket: &UdpSocket, datagram: &[u8]) {
    match socket.send_to(datagram, act.address).await {
        Ok(length) => act.tally().sent(length),
        Err(error) => {
            tracing::debug!(%error, "not sent");
            act.tally().held_back("not sent");
        }
    }
}

/// The bytes to send.
pub(super) fn build(what: Datagram, begun: &mut Begun, random: &mut SplitMix) -> Option<Vec<u8>> {
    let mut bytes = match what {
        Datagram::Initial | Datagram::Retried | Datagram::Broken | Datagram::UnknownVersion => begun.datagram()?,
        Datagram::NoConnection => random.bytes(SMALLEST_INITIAL),
        Datagram::Garbage => {
            let length = 1 + random.below(1400);
            random.bytes(usize::try_from(length).ok()?)
        }
    };
    match what {
        Datagram::Broken => *bytes.last_mut()? ^= 1,
        // Versions of this pattern are for nobody (RFC 9000 §15).
        Datagram::UnknownVersion => bytes.get_mut(1..5)?.copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]),
        // Short header, fixed bit.
        Datagram::NoConnection => *bytes.first_mut()? = 0x40 | *bytes.first()? & 0x3f,
        _ => {}
    }
    Some(bytes)
}

/// Whether a datagram asks for a proof of the address: a long header of that type (RFC 9000 §17.2.5).
pub(super) fn is_retry(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xf0 == 0xf0)
}

/// A handshake that has been begun, without a socket.
pub(super) struct Begun {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    to: SocketAddr,
}

impl Begun {
    pub(super) fn new(random: &mut SplitMix, config: ClientConfig, to: SocketAddr) -> Option<Self> {
        let mut seed = [0; 32];
        seed.copy_from_slice(&random.bytes(32));
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, Some(seed));
        let (handle, connection) = endpoint.connect(Instant::now(), config, to, "varangian").ok()?;
        Some(Self { endpoint, handle, connection, to })
    }

    /// The next datagram that it has to say.
    pub(super) fn datagram(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let transmit = self.connection.poll_transmit(Instant::now(), 1, &mut bytes)?;
        bytes.truncate(transmit.size);
        Some(bytes)
    }

    /// What it says to this one.
    fn answer(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut unused = Vec::new();
        let event = self.endpoint.handle(Instant::now(), self.to, None, None, BytesMut::from(datagram), &mut unused)?;
        match event {
            DatagramEvent::ConnectionEvent(handle, event) if handle == self.handle => {
                self.connection.handle_event(event);
                self.datagram()
            }
            _ => None,
        }
    }
}
