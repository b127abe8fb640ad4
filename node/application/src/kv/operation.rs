//! What can be asked of the key-value store.
//!
//! Nothing here is recursive: a transaction holds actions, not transactions.

use super::{Key, Value};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use varangian_crypto::{Bounded, CodecError, encode};

/// Conditions or actions in one transaction at most.
pub const MAX_ACTIONS: usize = 1024;

/// An ordered operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// One action.
    Single(Action),
    /// Several, all or none.
    Transaction(Transaction),
}

/// One step on one key, or a scan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Action {
    /// The value of a key.
    Get {
        /// The key.
        key: Key,
    },
    /// Sets a key.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Value,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: Key,
    },
    /// Sets or deletes a key if it is as expected.
    CompareAndSwap {
        /// The key.
        key: Key,
        /// What it must hold; `None`: it must be absent.
        expected: Option<Value>,
        /// What it shall hold; `None` deletes it.
        new: Option<Value>,
    },
    /// Adds to a counter, which is the decimal text of an `i64`; absent is 0. Running it twice would show: it is not idempotent.
    Add {
        /// The key.
        key: Key,
        /// What to add.
        delta: i64,
    },
    /// Entries by prefix, in byte order of their keys, as many as fit the answer.
    Scan {
        /// What the keys begin with; empty for all.
        prefix: Key,
        /// Only keys greater than this one.
        after: Option<Key>,
        /// Entries at most.
        limit: u32,
    },
}

/// Actions under conditions. If an action fails, none has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// All must hold for `then`.
    pub conditions: Bounded<Condition, MAX_ACTIONS>,
    /// What to do if they hold.
    pub then: Bounded<Action, MAX_ACTIONS>,
    /// What to do if one does not.
    pub otherwise: Bounded<Action, MAX_ACTIONS>,
}

/// What must be so of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Condition {
    /// The key.
    pub key: Key,
    /// What must be so.
    pub test: Test,
}

/// A test of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Test {
    /// It has a value.
    Exists,
    /// It has none.
    Absent,
    /// It has this value.
    Equals(Value),
}

/// A question to one state, outside the order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Query {
    /// As [`Action::Get`].
    Get {
        /// The key.
        key: Key,
    },
    /// As [`Action::Scan`].
    Scan {
        /// What the keys begin with; empty for all.
        prefix: Key,
        /// Only keys greater than this one.
        after: Option<Key>,
        /// Entries at most.
        limit: u32,
    },
}

impl Operation {
    /// The bytes to put into a command.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self).into()
    }
}

impl From<Action> for Operation {
    fn from(action: Action) -> Self {
        Self::Single(action)
    }
}

impl Query {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self).into()
    }
}

impl Action {
    /// [`Self::Get`].
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if the key is.
    pub fn get(key: &[u8]) -> Result<Self, CodecError> {
        Ok(Self::Get { key: key.try_into()? })
    }

    /// [`Self::Put`].
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if key or value is.
    pub fn put(key: &[u8], value: impl Into<Bytes>) -> Result<Self, CodecError> {
        Ok(Self::Put { key: key.try_into()?, value: value.into().try_into()? })
    }

    /// [`Self::Delete`].
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if the key is.
    pub fn delete(key: &[u8]) -> Result<Self, CodecError> {
        Ok(Self::Delete { key: key.try_into()? })
    }

    /// [`Self::CompareAndSwap`].
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if key or a value is.
    pub fn compare_and_swap(key: &[u8], expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<Self, CodecError> {
        let (expected, new) = (expected.map(Value::try_from).transpose()?, new.map(Value::try_from).transpose()?);
        Ok(Self::CompareAndSwap { key: key.try_into()?, expected, new })
    }

    /// [`Self::Add`].
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if the key is.
    pub fn add(key: &[u8], delta: i64) -> Result<Self, CodecError> {
        Ok(Self::Add { key: key.try_into()?, delta })
    }

    /// [`Self::Scan`].
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if prefix or `after` is.
    pub fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Self, CodecError> {
        Ok(Self::Scan { prefix: prefix.try_into()?, after: after.map(Key::try_from).transpose()?, limit })
    }
}

impl Transaction {
    /// Of conditions and the two branches.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if one of them has more than [`MAX_ACTIONS`].
    pub fn new(conditions: Vec<Condition>, then: Vec<Action>, otherwise: Vec<Action>) -> Result<Self, CodecError> {
        Ok(Self { conditions: conditions.try_into()?, then: then.try_into()?, otherwise: otherwise.try_into()? })
    }
}

impl From<Transaction> for Operation {
    fn from(transaction: Transaction) -> Self {
        Self::Transaction(transaction)
    }
}

impl Condition {
    /// `key` has a value.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if the key is.
    pub fn exists(key: &[u8]) -> Result<Self, CodecError> {
        Ok(Self { key: key.try_into()?, test: Test::Exists })
    }

    /// `key` has none.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if the key is.
    pub fn absent(key: &[u8]) -> Result<Self, CodecError> {
        Ok(Self { key: key.try_into()?, test: Test::Absent })
    }

    /// `key` has this value.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if key or value is.
    pub fn equals(key: &[u8], value: &[u8]) -> Result<Self, CodecError> {
        Ok(Self { key: key.try_into()?, test: Test::Equals(value.try_into()?) })
    }
}
