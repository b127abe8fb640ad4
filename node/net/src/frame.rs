//! Length-prefixed frames on a stream: a `u32` in little-endian order, then as many bytes.
//!
//! The length is checked against the limit before anything is allocated, and memory follows what has arrived, not
//! what was announced: a reader holds at most twice the bytes it has read, plus a little.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::RecvStream;
use tokio::time::{Instant, timeout_at};

use crate::{
    budget::Charge,
    error::{Closed, FrameError},
};

/// Bytes of a frame's header.
pub const HEADER: usize = 4;

/// Largest piece handed to QUIC at once. QUIC keeps a piece whole until its last byte is acknowledged, and searches
/// its pieces one after the other: too large ties up the window, too small costs time.
pub(crate) const CHUNK: usize = 64 << 10;

/// Frames below this size are copied together; larger ones travel by reference.
const COALESCE: usize = 8 << 10;

/// First allocation of a reader for a frame that is longer than what has arrived.
const FIRST: usize = 16 << 10;

/// One message: a head and a body, sent as one run of bytes. Cloning copies no bytes, so one body serves all peers,
/// and a head can be put before a body without moving it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    head: Bytes,
    body: Bytes,
}

impl Frame {
    /// `head`, then `body`.
    #[must_use]
    pub fn new(head: Bytes, body: Bytes) -> Self {
        Self { head, body }
    }

    /// Bytes without the header.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there are none. Such a frame is legal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Frame {
    fn from(body: Bytes) -> Self {
        Self::new(Bytes::new(), body)
    }
}

impl From<Vec<u8>> for Frame {
    fn from(body: Vec<u8>) -> Self {
        Bytes::from(body).into()
    }
}

/// Encodes frames, in order, as pieces for one write. Lengths were checked when the frames were queued.
pub(crate) fn pieces(frames: impl IntoIterator<Item = Frame>) -> Vec<Bytes> {
    let mut out = Vec::new();
    let mut small = BytesMut::new();
    for frame in frames {
        small.put_u32_le(frame.len() as u32);
        for part in [frame.head, frame.body] {
            if part.len() < COALESCE {
                small.extend_from_slice(&part);
            } else {
                flush(&mut small, &mut out);
                push_cut(part, &mut out);
            }
        }
    }
    flush(&mut small, &mut out);
    out
}

fn flush(small: &mut BytesMut, out: &mut Vec<Bytes>) {
    if !small.is_empty() {
        push_cut(small.split().freeze(), out);
    }
}

fn push_cut(mut bytes: Bytes, out: &mut Vec<Bytes>) {
    while bytes.len() > CHUNK {
        out.push(bytes.split_to(CHUNK));
    }
    out.push(bytes);
}

/// Reads frames from a stream.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    deadline: Duration,
    /// What has been read and not yet been looked at.
    unread: Bytes,
    assembler: Assembler,
    /// What others may hold instead, if they share.
    charge: Option<Charge>,
    /// When the frame that has begun must be complete.
    due: Option<Instant>,
}

impl FrameReader {
    /// `limit`: bytes without the header; `deadline`: from the first byte of a frame to its last.
    pub(crate) fn new(stream: RecvStream, limit: usize, deadline: Duration) -> Self {
        Self { stream, deadline, unread: Bytes::new(), assembler: Assembler::new(limit), charge: None, due: None }
    }

    /// The same, keeping to what all who share the charge's budget may hold together: of each, the frame that arrives, until the next one is asked for.
    pub(crate) fn sharing(self, charge: Charge) -> Self {
        Self { charge: Some(charge), ..self }
    }

    /// Changes the limit for the frames to come.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.assembler.limit = limit;
    }

    /// The next frame, `None` at the end of the stream. Waits without limit for a frame to begin. May be cancelled:
    /// what has arrived is kept for the next call.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Closed> {
        self.hold(self.assembler.held())?;
        loop {
            let frame = self.assembler.take(&mut self.unread)?;
            self.hold(frame.as_ref().map_or_else(|| self.assembler.held(), Bytes::len))?;
            if let Some(frame) = frame {
                self.due = None;
                return Ok(Some(frame));
            }
            let read = self.stream.read_chunk(CHUNK, true);
            let chunk = if self.assembler.is_idle() {
                read.await
            } else {
                let due = *self.due.get_or_insert_with(|| Instant::now() + self.deadline);
                match timeout_at(due, read).await {
                    Ok(chunk) => chunk,
                    Err(_) => return Err(FrameError::Endless.into()),
                }
            }?;
            match chunk {
                Some(chunk) => self.unread = chunk.bytes,
                None if self.assembler.is_idle() => return Ok(None),
                None => return Err(FrameError::Truncated.into()),
            }
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), FrameError> {
        let room = self.charge.as_mut().is_none_or(|charge| charge.set(bytes));
        if room { Ok(()) } else { Err(FrameError::NoRoom) }
    }
}

/// Puts frames together from whatever pieces arrive.
#[derive(Debug)]
pub struct Assembler {
    limit: usize,
    header: [u8; HEADER],
    header_length: usize,
    body: BytesMut,
}

impl Assembler {
    /// `limit`: bytes of a frame without its header.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, header: [0; HEADER], header_length: 0, body: BytesMut::new() }
    }

    /// Whether no frame has begun.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.header_length == 0
    }

    /// Bytes in memory for a frame that is not whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.body.capacity()
    }

    /// Consumes what is unread, up to the end of one frame; gives the frame if it is whole.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] if a header announces more than the limit.
    pub fn take(&mut self, unread: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        let count = unread.len().min(HEADER - self.header_length);
        self.header[self.header_length..][..count].copy_from_slice(&unread[..count]);
        self.header_length += count;
        unread.advance(count);
        if self.header_length < HEADER {
            return Ok(None);
        }
        let length = u32::from_le_bytes(self.header) as usize;
        if length > self.limit {
            return Err(FrameError::TooLarge { length, limit: self.limit });
        }
        let have = self.body.len();
        let count = unread.len().min(length - have);
        if self.body.capacity() < have + count {
            let wanted = (2 * have).max(FIRST).max(have + count).min(length);
            self.body.reserve(wanted - have);
        }
        self.body.extend_from_slice(&unread[..count]);
        unread.advance(count);
        if self.body.len() < length {
            return Ok(None);
        }
        self.header_length = 0;
        Ok(Some(std::mem::take(&mut self.body).freeze()))
    }
}

#[cfg(test)]
mod tests;
