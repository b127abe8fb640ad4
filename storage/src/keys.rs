//! Column families, keys, and the values that the store itself keeps.

use varangian_crypto::Digest;

/// The column families. `Own` is RocksDB's default one and holds the store's own records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// The store's own records: see [`turn`], [`executed`], [`body`], [`EXECUTED`], [`OLDEST`].
    Own,
    /// Consensus records: votes, certificates, promises, evidence. Small.
    Consensus,
    /// Bodies of batches, by slot and digest. Up to a mebibyte each.
    Batches,
    /// Application state.
    State,
    /// The client table.
    Clients,
    /// Whatever else the execution of a slot changes.
    Meta,
    /// Executed slots: see [`Entry`].
    Committed,
}

impl Family {
    pub(crate) const ALL: [Self; 7] =
        [Self::Own, Self::Consensus, Self::Batches, Self::State, Self::Clients, Self::Meta, Self::Committed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "default",
            Self::Consensus => "consensus",
            Self::Batches => "batches",
            Self::State => "state",
            Self::Clients => "clients",
            Self::Meta => "meta",
            Self::Committed => "committed",
        }
    }
}

/// A table of what execution changes, for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Application state.
    State,
    /// The client table.
    Clients,
    /// Whatever else the execution of a slot changes.
    Meta,
}

impl Table {
    pub(crate) fn family(self) -> Family {
        match self {
            Self::State => Family::State,
            Self::Clients => Family::Clients,
            Self::Meta => Family::Meta,
        }
    }
}

/// Most numbers in a [`Key`].
const MAX_NUMBERS: usize = 4;

/// The key of a consensus record: one byte for the kind of record, then up to four numbers, big-endian,
/// so that records of one kind lie together in numeric order. Held in place: no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    bytes: [u8; 1 + 8 * MAX_NUMBERS],
    length: u8,
}

impl Key {
    /// A key of `kind`. A slot, where records of the kind are pruned by slot, is the first number.
    pub fn new<const N: usize>(kind: u8, numbers: [u64; N]) -> Self {
        const { assert!(N <= MAX_NUMBERS, "a key holds at most four numbers") };
        let mut bytes = [0; 1 + 8 * MAX_NUMBERS];
        bytes[0] = kind;
        for (index, number) in numbers.iter().enumerate() {
            bytes[1 + 8 * index..9 + 8 * index].copy_from_slice(&number.to_be_bytes());
        }
        Self { bytes, length: 1 + 8 * N as u8 }
    }

    /// The bytes that are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The last executed slot, as a big-endian number.
pub(crate) const EXECUTED: &[u8] = b"X";
/// The oldest slot that can be served to others, as a big-endian number.
pub(crate) const OLDEST: &[u8] = b"O";

const TURN: u8 = b't';
const SLOT: u8 = b'x';
const BODY: u8 = b'b';

/// The record of a turn. Each turn writes its own and deletes the one before it, in one atomic write,
/// so a database that replays its log over a hole ends with two.
pub(crate) fn turn(turn: u64) -> [u8; 9] {
    tagged(TURN, turn)
}

/// The record of an execution: a chain like that of the turns.
pub(crate) fn executed(slot: u64) -> [u8; 9] {
    tagged(SLOT, slot)
}

fn tagged(tag: u8, number: u64) -> [u8; 9] {
    let mut key = [tag; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The two chains of records of which a store without a hole holds one each.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chain {
    Turns,
    Executions,
}

impl Chain {
    /// The tag that the chain's records begin with.
    pub(crate) fn tag(self) -> [u8; 1] {
        match self {
            Self::Turns => [TURN],
            Self::Executions => [SLOT],
        }
    }
}

/// The tag of the records that say which bodies are stored and have not been swept yet: a small index, so
/// that nobody reads bodies to learn of them. Tag, slot, digest -> length u64, big-endian.
pub(crate) const BODIES: [u8; 1] = [BODY];

/// Key of a body in the index.
pub(crate) fn body(slot: u64, digest: &Digest) -> [u8; 41] {
    let mut key = [BODY; 41];
    key[1..].copy_from_slice(&batch(slot, digest));
    key
}

/// Key of a body.
pub(crate) fn batch(slot: u64, digest: &Digest) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&slot.to_be_bytes());
    key[8..].copy_from_slice(digest.as_bytes());
    key
}

/// Slot and digest of a body's key.
pub(crate) fn parse_batch(key: &[u8]) -> Option<(u64, Digest)> {
    let (slot, digest) = key.split_at_checked(8)?;
    let digest: [u8; 32] = digest.try_into().ok()?;
    Some((number(slot)?, Digest::from_bytes(digest)))
}

/// A big-endian number.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What is stored of an executed slot, without its body. The lengths add up from slot to slot, so the bytes
/// of any range of slots are known from its two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Bytes of all slots before this one, bodies and certificates.
    pub(crate) before: u64,
    /// Length of the body; `None` for a slot without one (a null batch).
    pub(crate) body: Option<u64>,
    pub(crate) digest: Digest,
    pub(crate) certificate: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Bytes before the certificate.
    const HEAD: usize = 8 + 1 + 8 + 32;

    /// Bytes of this slot alone.
    pub(crate) fn bytes(&self) -> u64 {
        self.body.unwrap_or(0) + (Self::HEAD + self.certificate.len()) as u64
    }

    /// `before u64 | has a body u8 | length of the body u64 | digest | certificate`, big-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(Self::HEAD + self.certificate.len());
        value.extend_from_slice(&self.before.to_be_bytes());
        value.push(u8::from(self.body.is_some()));
        value.extend_from_slice(&self.body.unwrap_or(0).to_be_bytes());
        value.extend_from_slice(self.digest.as_bytes());
        value.extend_from_slice(self.certificate);
        value
    }

    pub(crate) fn decode(value: &'a [u8]) -> Option<Self> {
        let (head, certificate) = value.split_at_checked(Self::HEAD)?;
        let digest: [u8; 32] = head[17..].try_into().ok()?;
        let body = (head[8] == 1).then_some(number(&head[9..17])?);
        Some(Self { before: number(&head[..8])?, body, digest: Digest::from_bytes(digest), certificate })
    }
}
