//! The built-in application: a key-value store.
//!
//! Operations and queries are the canonical bytes of [`Operation`] and [`Query`], answers those of [`Answer`]; bytes that are no
//! operation are answered with [`KvError::Malformed`]. A failed operation changes nothing.
//!
//! - [`operation`]: what can be asked.
//! - [`mod@answer`]: what is answered.

pub mod answer;
pub mod operation;

pub use answer::{Answer, Entry, KvError, Response};
pub use operation::{Action, Condition, Operation, Query, Test, Transaction};

use crate::application::{Application, Context};
use crate::limits::{Halted, KEY_BYTES, VALUE_BYTES};
use crate::view::{StateSnapshot, StateView};
use bytes::Bytes;
use varangian_crypto::{Bounded, BoundedBytes, decode, encode};

/// Bytes kept free in an answer for its tags and counts.
const ANSWER_BYTES: usize = 16;
/// Entries and values in an answer to a query, in bytes.
const QUERY_ANSWER_BYTES: usize = 512 << 10;

/// A key: up to 1 KiB.
pub type Key = BoundedBytes<KEY_BYTES>;
/// A value: up to 256 KiB.
pub type Value = BoundedBytes<VALUE_BYTES>;

/// The key-value store. Its state is the view's: keys and values, nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyValue;

/// Why an action did not happen.
enum Failure {
    /// The view ended the operation.
    Halted(Halted),
    /// It cannot be done on the state as it is.
    Error(KvError),
}

impl From<Halted> for Failure {
    fn from(halted: Halted) -> Self {
        Self::Halted(halted)
    }
}

impl From<KvError> for Failure {
    fn from(error: KvError) -> Self {
        Self::Error(error)
    }
}

impl Application for KeyValue {
    fn execute(&mut self, state: &mut StateView, operation: &[u8], context: &Context) -> Result<Bytes, Halted> {
        let room = context.result_bytes.saturating_sub(ANSWER_BYTES);
        match decode(operation) {
            Ok(Operation::Single(action)) => answer(act(state, action, room).map(Answer::Single), 0),
            Ok(Operation::Transaction(transaction)) => transact(state, transaction, room),
            Err(_) => answer(Err(KvError::Malformed.into()), 0),
        }
    }

    fn query(&self, state: &StateSnapshot, query: &[u8]) -> Result<Bytes, Halted> {
        let response = match decode(query) {
            Ok(Query::Get { key }) => get(state, &key),
            Ok(Query::Scan { prefix, after, limit }) => scan(state, &prefix, after.as_ref(), limit, QUERY_ANSWER_BYTES),
            Err(_) => Err(KvError::Malformed.into()),
        };
        answer(response.map(Answer::Single), 0)
    }
}

/// The bytes of an answer; `place` is that of the action that failed, if one did.
fn answer(result: Result<Answer, Failure>, place: usize) -> Result<Bytes, Halted> {
    let answer = match result {
        Ok(answer) => answer,
        Err(Failure::Error(error)) => Answer::Failed { action: place as u32, error },
        Err(Failure::Halted(halted)) => return Err(halted),
    };
    Ok(encode(&answer).into())
}

/// All of the chosen branch or, if one of its actions fails, nothing.
fn transact(state: &mut StateView, transaction: Transaction, mut room: usize) -> Result<Bytes, Halted> {
    let held = all_hold(state, &transaction.conditions)?;
    let actions = if held { transaction.then } else { transaction.otherwise };
    let mut responses = Bounded::new();
    let outcome = state.attempt(|state| {
        for action in actions {
            let response = act(state, action, room)?;
            room = room.saturating_sub(ANSWER_BYTES + response.content_bytes());
            responses.push(response).map_err(|_| KvError::Malformed)?;
        }
        Ok(())
    });
    let place = responses.len();
    answer(outcome.map(|()| Answer::Transaction { held, responses }), place)
}

fn all_hold(state: &StateView, conditions: &[Condition]) -> Result<bool, Halted> {
    for Condition { key, test } in conditions {
        let value = state.get(key)?;
        let holds = match test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::Equals(expected) => value.as_deref() == Some(&**expected),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

fn act(state: &mut StateView, action: Action, room: usize) -> Result<Response, Failure> {
    match action {
        Action::Get { key } => get(&state.snapshot(), &key),
        Action::Put { key, value } => {
            let existed = state.get(&key)?.is_some();
            state.put(&key, value.into_bytes())?;
            Ok(Response::Written { existed })
        }
        Action::Delete { key } => {
            let existed = state.get(&key)?.is_some();
            if existed {
                state.delete(&key)?;
            }
            Ok(Response::Written { existed })
        }
        Action::CompareAndSwap { key, expected, new } => compare_and_swap(state, &key, expected, new),
        Action::Add { key, delta } => add(state, &key, delta),
        Action::Scan { prefix, after, limit } => scan(&state.snapshot(), &prefix, after.as_ref(), limit, room),
    }
}

fn get(state: &StateSnapshot, key: &Key) -> Result<Response, Failure> {
    Ok(Response::Value(state.get(key)?.map(value).transpose()?))
}

fn compare_and_swap(
    state: &mut StateView,
    key: &Key,
    expected: Option<Value>,
    new: Option<Value>,
) -> Result<Response, Failure> {
    let current = state.get(key)?;
    if current.as_deref() != expected.as_deref() {
        return Ok(Response::NotSwapped { current: current.map(value).transpose()? });
    }
    match new {
        Some(value) => state.put(key, value.into_bytes())?,
        None if current.is_some() => state.delete(key)?,
        None => {}
    }
    Ok(Response::Swapped)
}

/// A counter is the decimal text of an `i64`; a key that is not there counts as 0.
fn add(state: &mut StateView, key: &Key, delta: i64) -> Result<Response, Failure> {
    let before = match state.get(key)? {
        None => 0,
        Some(text) => str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).ok_or(KvError::NotANumber)?,
    };
    let after = i64::checked_add(before, delta).ok_or(KvError::Overflow)?;
    state.put(key, after.to_string())?;
    Ok(Response::Counter(after))
}

/// As many entries as fit into `room`, but one at least: if even that does not fit, the operation's result is too large.
fn scan(
    state: &StateSnapshot,
    prefix: &Key,
    after: Option<&Key>,
    limit: u32,
    room: usize,
) -> Result<Response, Failure> {
    let page = state.scan(prefix, after.map(|after| &**after), limit as usize, room)?;
    let (mut entries, mut more, mut left) = (Bounded::new(), page.more, room);
    for (key, bytes) in page.entries {
        let entry = Entry { key: Key::try_from(key).map_err(|_| KvError::Foreign)?, value: value(bytes)? };
        let fits = entry.bytes() <= left || entries.is_empty();
        if !fits || entries.len() == answer::MAX_ENTRIES {
            more = true;
            break;
        }
        left = left.saturating_sub(entry.bytes());
        entries.push(entry).map_err(|_| KvError::Foreign)?;
    }
    Ok(Response::Entries { entries, more })
}

fn value(bytes: Bytes) -> Result<Value, KvError> {
    Value::try_from(bytes).map_err(|_| KvError::Foreign)
}

#[cfg(test)]
mod tests;
