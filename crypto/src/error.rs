//! The errors of this crate.

use alloc::string::String;

/// Bytes that are not the canonical encoding of a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Truncated, trailing, out of order or otherwise not canonical bytes.
    #[error("not a canonical encoding: {0}; ask the sender for the message again or drop it")]
    Malformed(String),
    /// A collection longer than its bound.
    #[error("a collection of {length} elements, at most {maximum} are allowed; split it")]
    TooLong {
        /// Elements (or bytes) found.
        length: u64,
        /// Elements (or bytes) allowed.
        maximum: u64,
    },
}

/// Why bytes are not a public key, signature or digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyError {
    /// The text is not lower-case hexadecimal of the right length.
    #[error("expected {expected} lower-case hexadecimal digits")]
    NotHex {
        /// Digits expected.
        expected: usize,
    },
    /// No point of the curve has this encoding.
    #[error("not a point of the curve; generate the key again")]
    NotOnCurve,
    /// The point's order divides 8: anybody can sign for it.
    #[error("a point of small order, for which anybody can sign; generate the key again")]
    SmallOrder,
    /// The y coordinate is not reduced modulo the field's prime.
    #[error("not the canonical encoding of its point; generate the key again")]
    NonCanonical,
}

/// Why a statement, certificate or command is refused. Small and `Copy`: a peer causes it at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum VerifyError {
    /// The signer is not a member of the committee (or the client's key is banned).
    #[error("signed by nobody of this committee")]
    UnknownSigner,
    /// The signature is not the signer's over these bytes, chain and epoch.
    #[error("the signature does not match the content, the chain or the epoch")]
    BadSignature,
    /// Only the primary of the view may state this.
    #[error("signed by a replica that is not the primary of its view")]
    NotPrimary,
    /// Too few or too many signers.
    #[error("not exactly a quorum of signers")]
    NotAQuorum,
    /// Signers out of order, or one counted twice.
    #[error("signers are not strictly ascending")]
    Unordered,
    /// A rule of the statement itself.
    #[error("breaks a rule: {0}")]
    Invalid(&'static str),
}

/// Numbers or members of a genesis that do not fit together. Every message says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not the JSON form of a genesis.
    #[error("the genesis is not readable: {0}")]
    Json(String),
    /// A name is empty, too long or holds control characters.
    #[error("{what} name {name:?}: give it 1 to {maximum} bytes without control characters")]
    Name {
        /// Whose name: "chain" or "replica".
        what: &'static str,
        /// The name.
        name: String,
        /// Largest length, in bytes.
        maximum: usize,
    },
    /// Too few or too many replicas.
    #[error("{found} replicas: a committee has {minimum} to {maximum}")]
    Replicas {
        /// Replicas listed.
        found: usize,
        /// Fewest.
        minimum: usize,
        /// Most.
        maximum: usize,
    },
    /// Ids are not 0, 1, 2, … in order.
    #[error("replica id {found} stands at place {expected}: list the replicas as 0, 1, 2, … in order")]
    ReplicaOrder {
        /// The place in the list.
        expected: u16,
        /// The id found there.
        found: u16,
    },
    /// Two replicas have the same name.
    #[error("replicas {first} and {second} have the same name: rename one")]
    DuplicateName {
        /// The earlier replica.
        first: u16,
        /// The later one.
        second: u16,
    },
    /// One key stands in two places.
    #[error("replicas {first} and {second} share a key: generate a key for each place, consensus and network apart")]
    DuplicateKey {
        /// The earlier replica.
        first: u16,
        /// The later one (the same one if its two keys are equal).
        second: u16,
    },
    /// The allow-list names one client twice.
    #[error("client {key} is listed twice: remove one")]
    DuplicateClient {
        /// The key, in hexadecimal.
        key: String,
    },
    /// More clients than the chain allows.
    #[error("{found} clients, max_clients is {maximum}: admit fewer or raise max_clients")]
    TooManyClients {
        /// Clients listed, or the open admission's maximum.
        found: u64,
        /// The parameter `max_clients`.
        maximum: u64,
    },
    /// A parameter outside its range.
    #[error("{name} is {value}: it must be from {minimum} to {maximum}")]
    Range {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// Smallest legal value.
        minimum: u64,
        /// Largest legal value.
        maximum: u64,
    },
    /// The window is too small for the checkpoint interval, or does not end with a checkpoint.
    #[error("window is {window}, checkpoint_interval {interval}: the window must be a multiple of the interval and at least twice as large, such as {}", interval.saturating_mul(2))]
    WindowAndInterval {
        /// The parameter `window`, in slots.
        window: u64,
        /// The parameter `checkpoint_interval`, in slots.
        interval: u64,
    },
    /// A batch does not fit a frame.
    #[error(
        "max_batch_bytes {batch} plus {overhead} of envelope exceeds max_frame_bytes {frame}: lower the first or raise the last"
    )]
    BatchExceedsFrame {
        /// The parameter `max_batch_bytes`.
        batch: u64,
        /// Bytes that a frame needs besides the batch.
        overhead: u64,
        /// The parameter `max_frame_bytes`.
        frame: u64,
    },
    /// A command does not fit a batch.
    #[error("max_command_bytes {command} exceeds max_batch_bytes {batch}: lower the first or raise the second")]
    CommandExceedsBatch {
        /// The parameter `max_command_bytes`.
        command: u64,
        /// The parameter `max_batch_bytes`.
        batch: u64,
    },
    /// The pool cannot hold one batch.
    #[error("pool_bytes {pool} is below max_batch_bytes {batch}: raise the first")]
    PoolBelowBatch {
        /// The parameter `pool_bytes`.
        pool: u64,
        /// The parameter `max_batch_bytes`.
        batch: u64,
    },
    /// A time-out's base exceeds its cap.
    #[error("base_timeout_ms {base} exceeds max_timeout_ms {maximum}: lower the first or raise the second")]
    Timeouts {
        /// The parameter `base_timeout_ms`, in milliseconds.
        base: u64,
        /// The parameter `max_timeout_ms`, in milliseconds.
        maximum: u64,
    },
    /// The largest legal NEW-VIEW does not fit a frame.
    #[error(
        "{replicas} replicas with window {window} can need a NEW-VIEW of {needed} bytes, max_frame_bytes is {frame}: lower window or raise max_frame_bytes"
    )]
    NewViewExceedsFrame {
        /// Replicas.
        replicas: usize,
        /// The parameter `window`, in slots.
        window: u64,
        /// Bytes of the largest legal NEW-VIEW.
        needed: u64,
        /// The parameter `max_frame_bytes`.
        frame: u64,
    },
    /// The replies that the client table may hold exceed what a disk shall give.
    #[error(
        "{clients} clients, each with client_window {window} replies of max_result_bytes {result}, need {needed} bytes, max_reply_store_bytes is {store}: lower one of the first three or raise the last"
    )]
    RepliesExceedStore {
        /// Clients that can be admitted.
        clients: u64,
        /// The parameter `client_window`, in commands.
        window: u64,
        /// The parameter `max_result_bytes`.
        result: u64,
        /// Bytes needed.
        needed: u64,
        /// The parameter `max_reply_store_bytes`.
        store: u64,
    },
}
