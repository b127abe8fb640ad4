//! Two lines between two real sockets: what stands between a replica that dials and the one that it dials.
//!
//! ```text
//! dialler ◄──► listening socket ── Line ─► upstream socket ◄──► target
//!                              ◄─ Line ──
//! ```
//!
//! The dialler is told our address instead of the target's. Either side may go, come back and come back elsewhere: the dialler is whoever of the
//! allowed IP spoke last, the target is what the caller says. Neither socket is connected, so "port unreachable" of a side that is down is nobody's error.
//!
//! Tokio's timers count milliseconds: what waits at all leaves one to two of them late, never early. ECN marks do not pass, so QUIC's peers find the path unfit for
//! them and go on without.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::line::{CAPACITY, Counters, Line};
use crate::shape::{Shape, ShapeError};

/// Longer than any datagram.
const BUFFER: usize = 1 << 16;

/// Pause after an error of a socket that might come again at once.
const PAUSE: Duration = Duration::from_millis(10);

/// One of the two ways through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the dialler sends.
    ToTarget,
    /// What the target answers.
    ToDialler,
}

/// What a relay begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the dialler sends to. Port 0: any free one, see [`Relay::address`].
    pub listen: SocketAddr,
    /// The only IP from which datagrams are taken as the dialler's.
    pub dialler: IpAddr,
    /// The IP that the target sees. The dialler's own will do, and keeps apart what the target counts per address.
    pub upstream: IpAddr,
    /// Where the target is.
    pub target: SocketAddr,
    /// What the way to the target is like.
    pub to_target: Shape,
    /// What the way back is like.
    pub to_dialler: Shape,
    /// Of both lines, each in its own way.
    pub seed: u64,
    /// Bytes that each line holds at most; see [`CAPACITY`].
    pub capacity: usize,
}

impl Settings {
    /// Perfect links, any free port, all on the IPs given.
    #[must_use]
    pub const fn new(listen: IpAddr, dialler: IpAddr, target: SocketAddr) -> Self {
        Self {
            listen: SocketAddr::new(listen, 0),
            dialler,
            upstream: listen,
            target,
            to_target: Shape::PERFECT,
            to_dialler: Shape::PERFECT,
            seed: 0,
            capacity: CAPACITY,
        }
    }
}

/// Why there is no relay.
#[derive(Debug, Error)]
pub enum RelayError {
    /// A UDP socket could not be had.
    #[error("cannot bind UDP {address}: {source}; stop what holds it, or choose another address or port 0")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A shape is out of bounds.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// What became of datagrams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// On the way to the target.
    pub to_target: Counters,
    /// On the way back.
    pub to_dialler: Counters,
    /// Datagrams of strangers, ignored.
    pub strangers: u64,
    /// Datagrams that had passed their line when the system would not send them.
    pub unsent: u64,
}

/// A running relay. Dropping it ends it.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    upstream: SocketAddr,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    dialler_ip: IpAddr,
    /// Not known before its first datagram.
    dialler: Mutex<Option<SocketAddr>>,
    target: Mutex<SocketAddr>,
    to_target: Way,
    to_dialler: Way,
    strangers: AtomicU64,
    unsent: AtomicU64,
}

#[derive(Debug)]
struct Way {
    line: Mutex<Line<Bytes>>,
    /// The shape has changed, and with it when something is due.
    changed: Notify,
}

impl Relay {
    /// Binds both sockets and begins. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// If a socket cannot be bound, or a shape is out of bounds.
    pub async fn bind(settings: Settings) -> Result<Self, RelayError> {
        let way = |shape, stream: u64| -> Result<Way, ShapeError> {
            // The lines scramble it further.
            let seed = settings.seed.rotate_left(1) ^ stream;
            let line = Mutex::new(Line::with_capacity(shape, seed, settings.capacity)?);
            Ok(Way { line, changed: Notify::new() })
        };
        let shared = Arc::new(Shared {
            start: Instant::now(),
            dialler_ip: settings.dialler,
            dialler: Mutex::new(None),
            target: Mutex::new(settings.target),
            to_target: way(&settings.to_target, 0)?,
            to_dialler: way(&settings.to_dialler, 1)?,
            strangers: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
        });
        let (listening, address) = bound(settings.listen).await?;
        let (upward, upstream) = bound(SocketAddr::new(settings.upstream, 0)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&shared).carry(Direction::ToTarget, Arc::clone(&listening), Arc::clone(&upward)));
        tasks.spawn(Arc::clone(&shared).carry(Direction::ToDialler, upward, listening));
        Ok(Self { shared, address, upstream, tasks })
    }

    /// Where the dialler sends to. Stays the same for the relay's life.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the target sees as the dialler's address. Stays the same, wherever the dialler goes.
    #[must_use]
    pub const fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    /// The target is elsewhere from now on: what is on its way goes there too, and what comes from the old address is a stranger's.
    pub fn set_target(&self, target: SocketAddr) {
        *locked(&self.shared.target) = target;
    }

    /// One way is like this from now on; [`Line::set_shape`] says what becomes of what is on it.
    ///
    /// # Errors
    /// If the shape is out of bounds; nothing has changed then.
    pub fn set_shape(&self, direction: Direction, shape: &Shape) -> Result<(), ShapeError> {
        let way = self.shared.way(direction);
        locked(&way.line).set_shape(self.shared.start.elapsed(), shape)?;
        way.changed.notify_one();
        Ok(())
    }

    /// What became of datagrams so far.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        RelayStats {
            to_target: locked(&self.shared.to_target.line).counters(),
            to_dialler: locked(&self.shared.to_dialler.line).counters(),
            strangers: self.shared.strangers.load(Ordering::Relaxed),
            unsent: self.shared.unsent.load(Ordering::Relaxed),
        }
    }

    /// Ends the relay; both ports are free when this returns. What was on its way is lost.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    const fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::ToTarget => &self.to_target,
            Direction::ToDialler => &self.to_dialler,
        }
    }

    /// One way, without end.
    async fn carry(self: Arc<Self>, direction: Direction, from: Arc<UdpSocket>, to: Arc<UdpSocket>) {
        let way = self.way(direction);
        let mut buffer = vec![0; BUFFER];
        let mut timer = pin!(sleep_until(self.start));
        loop {
            let due = locked(&way.line).next_due().map(|due| self.start + due);
            if let Some(due) = due.filter(|due| *due != timer.deadline()) {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                received = from.recv_from(&mut buffer) => match received {
                    Ok((length, source)) => self.take_in(direction, source, &buffer[..length]),
                    // Each of these tells of one datagram, and is gone when it has been read.
                    Err(error) if is_unreachable(&error) => {}
                    Err(_) => sleep(PAUSE).await,
                },
                () = &mut timer, if due.is_some() => {}
                () = way.changed.notified() => {}
            }
            while let Some(datagram) = self.next_ready(way) {
                self.send(direction, &to, &datagram).await;
            }
        }
    }

    fn take_in(&self, direction: Direction, source: SocketAddr, datagram: &[u8]) {
        let known = match direction {
            Direction::ToTarget => source.ip() == self.dialler_ip,
            Direction::ToDialler => source == *locked(&self.target),
        };
        if !known {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if direction == Direction::ToTarget {
            *locked(&self.dialler) = Some(source);
        }
        let mut line = locked(&self.way(direction).line);
        line.push(self.start.elapsed(), datagram.len(), Bytes::copy_from_slice(datagram));
    }

    fn next_ready(&self, way: &Way) -> Option<Bytes> {
        locked(&way.line).pop_ready(self.start.elapsed())
    }

    /// To where its receiver is by now.
    async fn send(&self, direction: Direction, socket: &UdpSocket, datagram: &[u8]) {
        let receiver = match direction {
            Direction::ToTarget => Some(*locked(&self.target)),
            Direction::ToDialler => *locked(&self.dialler),
        };
        let sent = match receiver {
            Some(receiver) => socket.send_to(datagram, receiver).await.is_ok(),
            None => false,
        };
        if !sent {
            self.unsent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn bound(address: SocketAddr) -> Result<(Arc<UdpSocket>, SocketAddr), RelayError> {
    let failed = |source| RelayError::Bind { address, source };
    let socket = UdpSocket::bind(address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok((Arc::new(socket), address))
}

/// What some systems report on a socket after a datagram found nobody.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// Nothing in here can leave what is locked half changed, so a poisoned lock is as good as a clean one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
