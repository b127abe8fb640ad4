//! One peer: the newest proven connection, its two lanes, its end.
//!
//! A connection has two streams per direction, one for votes and one for bulk. The first frame of the vote stream
//! is a hello with the ids of sender and receiver. A dialler learns only by it that it was accepted, since its
//! handshake ends before the other side has judged its key; so nothing counts as connected before the hello.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendStream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use varangian_crypto::ReplicaId;

use crate::{
    admission::Ticket,
    endpoint::{self, CODE_DEADLINE, CODE_FULL, CODE_REPLACED, CODE_RULES, CODE_SHUTDOWN, CODE_SLOW},
    error::{Closed, FrameError},
    frame::{self, Frame, FrameReader},
    inbox::Source,
    limits::{LaneLimits, MeshLimits},
    mesh::{Lane, MeshEvent},
    outbox::{Outbox, Pushed},
    stats::{LaneCounters, PeerGauge, PeerStats},
};

/// Votes leave before bulk whenever both wait.
const VOTE_PRIORITY: i32 = 1;

/// Bytes of a hello.
const HELLO: usize = 4;

/// One direction-pair of streams: what waits to leave, what is counted.
pub(crate) struct LaneState {
    lane: Lane,
    limits: LaneLimits,
    outbox: Outbox,
    counters: LaneCounters,
}

/// One peer, shared by its link and by those who send to it.
pub(crate) struct Peer {
    pub(crate) id: ReplicaId,
    votes: LaneState,
    bulk: LaneState,
    pub(crate) gauge: PeerGauge,
    /// Nothing of this peer is read before.
    unheard_until: Mutex<Option<Instant>>,
}

/// A connection whose peer has proved its key and said hello.
pub(crate) struct Established {
    pub(crate) connection: Connection,
    votes_out: SendStream,
    votes_in: FrameReader,
    /// Its place among the incoming connections, if it came in.
    _ticket: Option<Ticket>,
}

/// Where a peer's arrivals go. Its link alone holds them, so that the queues end with the links.
pub(crate) struct Arrivals {
    pub(crate) votes: Source<MeshEvent>,
    pub(crate) bulk: Source<MeshEvent>,
}

impl LaneState {
    pub(crate) fn new(lane: Lane, limits: LaneLimits) -> Self {
        Self { lane, limits, outbox: Outbox::new(limits, None), counters: LaneCounters::default() }
    }

    fn close(&self) {
        self.counters.dropped_down(self.outbox.close());
    }
}

impl Peer {
    pub(crate) fn new(id: ReplicaId, votes: LaneState, bulk: LaneState) -> Arc<Self> {
        Arc::new(Self { id, votes, bulk, gauge: PeerGauge::default(), unheard_until: Mutex::default() })
    }

    /// See [`crate::Mesh::unhear`].
    pub(crate) fn unhear(&self, until: Instant) {
        *self.unheard_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Waits as long as this peer is not to be heard.
    async fn heard(&self) {
        let until = *self.unheard_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    /// Queues a frame whose length was checked.
    pub(crate) fn push(&self, lane: Lane, frame: Frame) {
        let state = match lane {
            Lane::Vote => &self.votes,
            Lane::Bulk => &self.bulk,
        };
        match state.outbox.push(frame) {
            Pushed::Queued { dropped } => state.counters.dropped_full(dropped),
            Pushed::Closed | Pushed::Full | Pushed::Crowded => state.counters.dropped_down(1),
        }
    }

    pub(crate) fn stats(&self) -> PeerStats {
        self.gauge.read(self.id, self.votes.counters.read(), self.bulk.counters.read())
    }
}

/// Exchanges hellos on a fresh connection, within the handshake's deadline.
pub(crate) async fn greet(
    connection: Connection,
    me: ReplicaId,
    peer: ReplicaId,
    limits: &MeshLimits,
    ticket: Option<Ticket>,
) -> Result<Established, Closed> {
    let greeting = exchange_hellos(&connection, me, peer, limits);
    let reason = match timeout(limits.admission.handshake_deadline, greeting).await {
        Ok(Ok((votes_out, votes_in))) => {
            let mut ticket = ticket;
            if let Some(ticket) = &mut ticket {
                ticket.established();
            }
            return Ok(Established { connection, votes_out, votes_in, _ticket: ticket });
        }
        Ok(Err(reason)) => reason,
        Err(_) => Closed::Deadline,
    };
    end(&connection, &reason);
    Err(reason)
}

async fn exchange_hellos(
    connection: &Connection,
    me: ReplicaId,
    peer: ReplicaId,
    limits: &MeshLimits,
) -> Result<(SendStream, FrameReader), Closed> {
    let mut votes_out = connection.open_uni().await?;
    votes_out.set_priority(VOTE_PRIORITY).map_err(|_| Closed::StreamEnded)?;
    let hello = Frame::from(hello(me, peer));
    votes_out.write_all_chunks(&mut frame::pieces([hello])).await?;
    let stream = connection.accept_uni().await?;
    let mut votes_in = FrameReader::new(stream, HELLO, limits.frame_deadline);
    let answer = votes_in.next().await?.ok_or(Closed::StreamEnded)?;
    if answer != self::hello(peer, me) {
        return Err(ended(connection, Closed::WrongHello));
    }
    votes_in.set_limit(limits.votes.max_frame);
    Ok((votes_out, votes_in))
}

fn hello(from: ReplicaId, to: ReplicaId) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HELLO);
    bytes.extend_from_slice(&from.0.to_le_bytes());
    bytes.extend_from_slice(&to.0.to_le_bytes());
    bytes.freeze()
}

/// Serves one peer until nobody can bring a connection any more. The newest candidate wins; all of them are proven.
pub(crate) async fn run(
    peer: Arc<Peer>,
    arrivals: Arrivals,
    limits: MeshLimits,
    mut candidates: mpsc::Receiver<Established>,
) {
    let mut next = candidates.recv().await;
    while let Some(established) = next {
        let connection = established.connection.clone();
        peer.votes.outbox.open();
        peer.bulk.outbox.open();
        peer.gauge.connected(connection.clone());
        tracing::info!(peer = %peer.id, address = %connection.remote_address(), "connected");
        let event = MeshEvent::Connected(peer.id);
        if arrivals.votes.send(event, 0).await.is_err() {
            end(&connection, &Closed::Local);
            return;
        }
        let mut session = pin!(session(&peer, &arrivals, &limits, established));
        let (reason, newer) = tokio::select! {
            reason = &mut session => (reason, None),
            newer = candidates.recv() => match newer {
                Some(newer) => (Closed::Replaced, Some(newer)),
                None => (Closed::Local, None),
            },
        };
        end(&connection, &reason);
        if newer.is_none() {
            peer.votes.close();
            peer.bulk.close();
        }
        tracing::info!(peer = %peer.id, %reason, "disconnected");
        peer.gauge.disconnected(reason.clone());
        let event = MeshEvent::Disconnected(peer.id, reason);
        if arrivals.votes.send(event, 0).await.is_err() {
            return;
        }
        next = match newer {
            Some(newer) => Some(newer),
            None => candidates.recv().await,
        };
    }
}

/// Moves frames both ways until the connection ends. Each lane waits for itself alone.
async fn session(peer: &Peer, arrivals: &Arrivals, limits: &MeshLimits, established: Established) -> Closed {
    let Established { connection, votes_out, votes_in, _ticket } = established;
    tokio::select! {
        reason = write(&peer.votes, &connection, votes_out) => reason,
        reason = read(peer, &peer.votes, &arrivals.votes, &connection, votes_in) => reason,
        reason = write_bulk(&peer.bulk, &connection) => reason,
        reason = read_bulk(peer, &arrivals.bulk, limits, &connection) => reason,
        reason = connection.closed() => reason.into(),
    }
}

async fn write_bulk(lane: &LaneState, connection: &Connection) -> Closed {
    match connection.open_uni().await {
        Ok(stream) => write(lane, connection, stream).await,
        Err(error) => error.into(),
    }
}

async fn read_bulk(peer: &Peer, inbox: &Source<MeshEvent>, limits: &MeshLimits, connection: &Connection) -> Closed {
    let lane = &peer.bulk;
    match connection.accept_uni().await {
        Ok(stream) => {
            let reader = FrameReader::new(stream, lane.limits.max_frame, limits.frame_deadline);
            read(peer, lane, inbox, connection, reader).await
        }
        Err(error) => error.into(),
    }
}

async fn write(lane: &LaneState, connection: &Connection, mut stream: SendStream) -> Closed {
    loop {
        let batch = lane.outbox.take().await;
        let frames = batch.len();
        let bytes = batch.iter().map(Frame::len).sum();
        if let Err(error) = stream.write_all_chunks(&mut frame::pieces(batch)).await {
            lane.counters.dropped_down(frames);
            return ended(connection, error.into());
        }
        lane.counters.sent(frames, bytes);
        tokio::task::consume_budget().await;
    }
}

async fn read(
    peer: &Peer,
    lane: &LaneState,
    inbox: &Source<MeshEvent>,
    connection: &Connection,
    mut reader: FrameReader,
) -> Closed {
    loop {
        peer.heard().await;
        let bytes = match reader.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return ended(connection, Closed::StreamEnded),
            Err(reason) => return ended(connection, reason),
        };
        let length = bytes.len();
        lane.counters.received(length);
        let event = MeshEvent::Frame { from: peer.id, lane: lane.lane, bytes };
        if inbox.send(event, length).await.is_err() {
            return ended(connection, Closed::Local);
        }
    }
}

/// Closes the connection while its streams are still held: dropped before, they would tell the peer that they have
/// ended instead of why.
pub(crate) fn ended(connection: &Connection, reason: Closed) -> Closed {
    end(connection, &reason);
    reason
}

/// Closes a connection with the code that belongs to the reason.
pub(crate) fn end(connection: &Connection, reason: &Closed) {
    let code = match reason {
        Closed::Replaced => CODE_REPLACED,
        Closed::Frame(FrameError::Endless) | Closed::Deadline => CODE_DEADLINE,
        Closed::Frame(FrameError::NoRoom) | Closed::Crowded => CODE_FULL,
        Closed::Frame(_) | Closed::WrongHello | Closed::StreamEnded => CODE_RULES,
        Closed::SlowReader => CODE_SLOW,
        _ => CODE_SHUTDOWN,
    };
    endpoint::close(connection, code, &reason.to_string());
}
