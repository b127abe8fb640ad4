//! What is written: the reservation, and logs of frames.
//!
//! The reservation is a text of four lines: what it is, whose (client and chain), the first number that is not reserved yet, a checksum.
//!
//! A log is a row of frames. Each is one synced append: magic (4 bytes), length (4, little-endian), checksum (8), records. The checksum covers the
//! owner, the frame's place, and the records. As every append is synced before the next one, only the last frame can be torn: a broken frame with nothing
//! good behind it is what a crash left of an append and is dropped; one with a good frame behind it is damage, and refused.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use varangian_consensus::Sequence;
use varangian_crypto::{Bounded, BoundedBytes, ClientKey, Digest, decode, encode, sha256};

const MAGIC: [u8; 4] = *b"vjl1";
const HEADER: usize = 4 + 4 + 8;
const TITLE: &str = "varangian client journal 1";
/// The largest command of any genesis.
const LARGEST_COMMAND: usize = 1 << 30;
/// Records of one append at most.
pub(crate) const MAX_RECORDS: usize = 4096;

/// One thing that is known of a command.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Record {
    /// It may be sent from now on: its exact bytes.
    Begun(BoundedBytes<LARGEST_COMMAND>),
    /// Its outcome is known, or it was never sent: nobody asks again.
    Finished(Sequence),
}

/// Records of one append.
pub(crate) type Records = Bounded<Record, MAX_RECORDS>;

/// Whose journal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) client: ClientKey,
    pub(crate) chain: Digest,
}

/// What was found in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) records: Vec<Record>,
    /// Bytes at the end that a crash left of an append.
    pub(crate) torn: usize,
}

/// A broken frame before a good one: not a crash's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// Where the broken frame begins.
    pub(crate) offset: usize,
}

/// A frame to be appended to a log of `offset` bytes.
pub(crate) fn frame(owner: &Owner, offset: usize, records: &Records) -> Vec<u8> {
    let body = encode(records);
    let mut frame = Vec::with_capacity(HEADER + body.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&check(owner, offset, &body));
    frame.extend_from_slice(&body);
    frame
}

/// Reads a whole log.
pub(crate) fn read(owner: &Owner, log: &[u8]) -> Result<Contents, Damaged> {
    let (mut records, mut offset) = (Vec::new(), 0);
    while offset < log.len() {
        let Some((found, length)) = read_one(owner, log, offset) else { break };
        records.extend(found);
        offset += length;
    }
    let rest = &log[offset..];
    let places = rest.windows(MAGIC.len()).enumerate().skip(1).filter(|(_, bytes)| **bytes == MAGIC);
    for (place, _) in places {
        if read_one(owner, log, offset + place).is_some() {
            return Err(Damaged { offset });
        }
    }
    Ok(Contents { records, torn: rest.len() })
}

/// The frame at `offset` and its length; `None` if it is broken.
fn read_one(owner: &Owner, log: &[u8], offset: usize) -> Option<(Records, usize)> {
    let (magic, rest) = log.get(offset..)?.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (expected, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length)?;
    if *magic != MAGIC || *expected != check(owner, offset, body) {
        return None;
    }
    decode(body).ok().map(|records| (records, HEADER + length))
}

fn check(owner: &Owner, offset: usize, body: &[u8]) -> [u8; 8] {
    let place = (offset as u64).to_le_bytes();
    beginning(&sha256(
        "varangian client journal frame 1",
        &[owner.client.as_bytes(), owner.chain.as_bytes(), &place, body],
    ))
}

fn beginning(digest: &Digest) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    first
}

/// The text of a reservation: all numbers below `next` are taken.
pub(crate) fn reservation(owner: &Owner, next: Sequence) -> String {
    let body = format!("{TITLE}\nclient {}\nchain {}\nnext {next}\n", owner.client, owner.chain);
    let check = hex::encode(beginning(&sha256("varangian client journal reservation 1", &[body.as_bytes()])));
    format!("{body}check {check}\n")
}

/// Reads a reservation.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_reservation(owner: &Owner, bytes: &[u8]) -> Result<Sequence, &'static str> {
    let damaged = "it is damaged";
    let text = str::from_utf8(bytes).map_err(|_| damaged)?;
    let mut lines = text.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let title = field("varangian client journal").ok_or("it is no journal of a client")?;
    if title != "1" {
        return Err("it was written by another version of this program");
    }
    let client: ClientKey = field("client").and_then(|key| key.parse().ok()).ok_or(damaged)?;
    let chain: Digest = field("chain").and_then(|id| id.parse().ok()).ok_or(damaged)?;
    let next: Sequence = field("next").and_then(|next| next.parse().ok()).ok_or(damaged)?;
    if reservation(&Owner { client, chain }, next).as_bytes() != bytes {
        return Err(damaged);
    }
    if client != owner.client {
        return Err("it belongs to another client's key");
    }
    if chain != owner.chain {
        return Err("it belongs to another chain");
    }
    Ok(next)
}

impl Record {
    /// Of a command's bytes; `None` if no genesis allows so many.
    pub(crate) fn begun(command: &Bytes) -> Option<Self> {
        BoundedBytes::try_from(command.clone()).ok().map(Self::Begun)
    }
}

#[cfg(test)]
mod tests;
