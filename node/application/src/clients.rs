//! The client table as state: one row per client, one remembered reply per executed number in its window.
//!
//! | key | value |
//! |-|-|
//! | `w` client key | the client's window, as it is after the slot |
//! | `r` client key, sequence (big-endian) | the reply to that command |

use crate::executor::ExecuteError;
use crate::overlay::{Overlay, Step};
use crate::reply::Reply;
use crate::state::{PageLimit, Space, StateError, StateReader};
use bytes::Bytes;
use varangian_consensus::{ClientWindow, Identity, Sequence};
use varangian_crypto::{ClientKey, decode, encode};

const ROW: u8 = b'w';
const REPLY: u8 = b'r';
/// Rows, or replies, read at a time.
const PAGE: PageLimit = PageLimit { entries: 256, bytes: 1 << 20 };

/// The encoded reply that a command got when it ran; `None` if no command of this identity ran, or its reply is forgotten.
///
/// # Errors
/// [`StateError`] if the state cannot be read.
pub fn cached_reply(state: &dyn StateReader, identity: &Identity) -> Result<Option<Bytes>, StateError> {
    state.get(Space::Client, &reply_key(&identity.client, identity.sequence))
}

/// Every client's window, in order of key: the client table after the last executed slot.
///
/// # Errors
/// [`ExecuteError`] if the state cannot be read or a row is damaged.
pub fn client_windows(state: &dyn StateReader) -> Result<Vec<(ClientKey, ClientWindow)>, ExecuteError> {
    let mut windows = Vec::new();
    let mut after: Option<Bytes> = None;
    loop {
        let page = state.scan(Space::Client, &[ROW], after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(windows) };
        let last = last.clone();
        for (key, value) in &page {
            let client =
                decode(key.get(1..).unwrap_or_default()).map_err(|_| ExecuteError::Damaged("a client's key"))?;
            windows.push((client, row(value)?));
        }
        after = Some(last);
    }
}

/// Remembers the reply to a command that ran.
pub(crate) fn remember(overlay: &mut Overlay, reply: &Reply) {
    overlay.set(Space::Client, reply_key(&reply.client, reply.sequence), Some(encode(reply).into()));
}

/// Writes a client's row as it is after the slot, and forgets the replies that left its window. Once per slot is often enough: what
/// fell below the floor in mid-slot is `TooOld` from then on, and nobody asks for its reply.
pub(crate) fn slide(
    state: &dyn StateReader,
    overlay: &mut Overlay,
    client: &ClientKey,
    window: &ClientWindow,
) -> Result<(), ExecuteError> {
    let floor = window.floor();
    if floor > 0 {
        let old = stored_floor(state, client)?;
        for key in replies_between(state, overlay, client, old, floor)? {
            overlay.set(Space::Client, key, None);
        }
    }
    overlay.set(Space::Client, row_key(client), Some(encode(window).into()));
    Ok(())
}

fn stored_floor(state: &dyn StateReader, client: &ClientKey) -> Result<Sequence, ExecuteError> {
    let stored = state.get(Space::Client, &row_key(client))?;
    stored.map_or(Ok(0), |bytes| row(&bytes).map(|window| window.floor()))
}

fn row(bytes: &[u8]) -> Result<ClientWindow, ExecuteError> {
    decode(bytes).map_err(|_| ExecuteError::Damaged("a row of the client table"))
}

/// Keys of the replies in `(old, floor]`: at most a window's width that was stored, and what ran in this slot. Each is deleted
/// once, so all of a client's commands together pass no more replies than they wrote, however far a number jumps.
fn replies_between(
    state: &dyn StateReader,
    overlay: &Overlay,
    client: &ClientKey,
    old: Sequence,
    floor: Sequence,
) -> Result<Vec<Bytes>, ExecuteError> {
    let distance = usize::try_from(floor.saturating_sub(old)).unwrap_or(usize::MAX);
    let (after, last) = (reply_key(client, old), reply_key(client, floor));
    let prefix = &last[..last.len() - size_of::<Sequence>()];
    let page = PageLimit { entries: distance.min(PAGE.entries), ..PAGE };
    let mut scan = overlay.scan(state, Space::Client, prefix, Some(&after), page);
    let mut keys = Vec::new();
    while keys.len() < distance
        && let Some(step) = scan.next()?
    {
        let Step::Entry(key, _) = step else { continue };
        if key > last {
            break;
        }
        keys.push(key);
    }
    Ok(keys)
}

fn row_key(client: &ClientKey) -> Bytes {
    [&[ROW], client.as_bytes().as_slice()].concat().into()
}

fn reply_key(client: &ClientKey, sequence: Sequence) -> Bytes {
    [&[REPLY], client.as_bytes().as_slice(), &sequence.to_be_bytes()].concat().into()
}
