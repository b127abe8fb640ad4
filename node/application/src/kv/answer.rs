//! What the key-value store answers.

use super::operation::MAX_ACTIONS;
use super::{Key, Value};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use thiserror::Error;
use varangian_crypto::{Bounded, CodecError, decode};

/// Entries in one answer at most.
pub const MAX_ENTRIES: usize = 4096;

/// The answer to an operation or query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// To one action.
    Single(Response),
    /// To a transaction.
    Transaction {
        /// Whether all conditions held.
        held: bool,
        /// One per action of the branch that ran, in order.
        responses: Bounded<Response, MAX_ACTIONS>,
    },
    /// Nothing has happened.
    Failed {
        /// The action that failed: its place in the branch that ran, from 0.
        action: u32,
        /// Why.
        error: KvError,
    },
}

/// What came of one action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Response {
    /// What the key holds.
    Value(Option<Value>),
    /// The key was set or deleted.
    Written {
        /// Whether it had a value before.
        existed: bool,
    },
    /// The key held what was expected, and now holds the new value.
    Swapped,
    /// The key did not hold what was expected, and is unchanged.
    NotSwapped {
        /// What it holds.
        current: Option<Value>,
    },
    /// The counter after the addition.
    Counter(i64),
    /// Entries in byte order of their keys.
    Entries {
        /// The entries.
        entries: Bounded<Entry, MAX_ENTRIES>,
        /// Whether there are others: scan on after the last key.
        more: bool,
    },
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Value,
}

/// Why an operation changed nothing. Deterministic: every replica answers the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize, Error)]
pub enum KvError {
    /// The bytes are no operation.
    #[error("these bytes are no key-value operation; send one that this version knows")]
    Malformed,
    /// The value is not the decimal text of an `i64`.
    #[error("the value is not a decimal number between -2^63 and 2^63-1: it cannot be added to")]
    NotANumber,
    /// The sum does not fit an `i64`.
    #[error("the sum is outside -2^63 to 2^63-1; the counter is unchanged")]
    Overflow,
    /// The state holds an entry longer than this store writes.
    #[error("the state holds an entry that the key-value store did not write")]
    Foreign,
}

impl Answer {
    /// Decodes an answer.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        decode(bytes)
    }

    /// The responses of what happened; empty if nothing did.
    #[must_use]
    pub fn responses(&self) -> &[Response] {
        match self {
            Self::Single(response) => std::slice::from_ref(response),
            Self::Transaction { responses, .. } => responses,
            Self::Failed { .. } => &[],
        }
    }

    /// Why nothing happened.
    #[must_use]
    pub const fn error(&self) -> Option<KvError> {
        match self {
            Self::Failed { error, .. } => Some(*error),
            Self::Single(_) | Self::Transaction { .. } => None,
        }
    }
}

impl Response {
    /// Bytes of keys and values in it.
    pub(super) fn content_bytes(&self) -> usize {
        match self {
            Self::Value(value) | Self::NotSwapped { current: value } => value.as_ref().map_or(0, |value| value.len()),
            Self::Entries { entries, .. } => entries.iter().map(Entry::bytes).sum(),
            Self::Written { .. } | Self::Swapped | Self::Counter(_) => 0,
        }
    }
}

impl Entry {
    /// Encoded size.
    pub(super) fn bytes(&self) -> usize {
        4 + self.key.len() + 4 + self.value.len()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(response) => response.fmt(f),
            Self::Transaction { held, responses } => {
                f.write_str(if *held { "conditions held" } else { "conditions did not hold" })?;
                responses.iter().try_for_each(|response| write!(f, "\n{response}"))
            }
            Self::Failed { action: 0, error } => write!(f, "nothing happened: {error}"),
            Self::Failed { action, error } => write!(f, "nothing happened: action {action} failed: {error}"),
        }
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(Some(value)) => Text(value).fmt(f),
            Self::Value(None) => f.write_str("(absent)"),
            Self::Written { existed: true } => f.write_str("done (there was a value before)"),
            Self::Written { existed: false } => f.write_str("done (there was no value before)"),
            Self::Swapped => f.write_str("swapped"),
            Self::NotSwapped { current: Some(value) } => write!(f, "not swapped: it holds {}", Text(value)),
            Self::NotSwapped { current: None } => f.write_str("not swapped: it is absent"),
            Self::Counter(sum) => sum.fmt(f),
            Self::Entries { entries, more } => {
                for (place, Entry { key, value }) in entries.iter().enumerate() {
                    let line = if place == 0 { "" } else { "\n" };
                    write!(f, "{line}{} = {}", Text(key), Text(value))?;
                }
                match (entries.is_empty(), more) {
                    (true, false) => f.write_str("(no entries)"),
                    (true, true) => f.write_str("(there are entries)"),
                    (false, true) => f.write_str("\n(there are more)"),
                    (false, false) => Ok(()),
                }
            }
        }
    }
}

/// Bytes for people: text without control characters as it is, anything else in hexadecimal.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(self.0) {
            Ok(text) if !text.chars().any(char::is_control) => f.write_str(text),
            _ => {
                f.write_str("0x")?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
