//! What a client and a replica say to each other: frames on one bidirectional stream that the client opens.
//!
//! The replica is known by its pinned key. A client proves its key once per connection, to that connection: it signs the connection's
//! exporter secret, so the proof is worth nothing elsewhere. From then on replies to that client's commands come here, also for
//! commands that reached this replica by another way. Commands prove themselves.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use thiserror::Error;
use varangian_application::Reply;
use varangian_consensus::{Command, CommandError, Encoded, Sequence};
use varangian_crypto::{ClientKey, CodecError, Context, Digest, KeyError, Signature, SigningKey, VerifyError};
use varangian_crypto::{decode, encode, sha256, sign_subscription, verify_subscription};

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Replies to this client's commands are wanted on this connection.
    Subscribe {
        /// Whose.
        client: ClientKey,
        /// Over the connection's exporter secret.
        signature: Signature,
    },
    /// A signed command.
    Command(Command),
    /// Where does this replica stand?
    Status,
}

/// What a replica sends.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Response {
    /// Replies to this client's commands come here now.
    Subscribed {
        /// Whose.
        client: ClientKey,
    },
    /// A command's outcome.
    Reply {
        /// What clients match on.
        reply: Reply,
        /// The replica's view: a hint where the primary is, not matched.
        view: u64,
    },
    /// The command was not taken.
    NotTaken {
        /// Whose.
        client: ClientKey,
        /// Its number.
        sequence: Sequence,
        /// Why.
        reason: NotTaken,
    },
    /// Where the replica stands.
    Status(ReplicaStatus),
}

/// Why one replica did not take a command. Hearsay of one: a client believes it of `f + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Error)]
#[borsh(use_discriminant = false)]
pub enum NotTaken {
    /// The client's share of the pool is used up.
    #[error("busy: too many commands of this client wait already; retry")]
    Busy,
    /// The sequence lies below the client's window.
    #[error("the sequence is too old: whether the command ever ran is not known any more")]
    TooOld,
    /// The genesis does not admit the client.
    #[error("the genesis does not admit this client")]
    UnknownClient,
    /// Signature, size or form.
    #[error("the command is not valid")]
    Invalid,
    /// The replica has stopped.
    #[error("the replica has stopped; see its log")]
    Stopped,
}

/// Where one replica says that it stands.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, serde::Serialize, serde::Deserialize)]
pub struct ReplicaStatus {
    /// Its number.
    pub replica: u16,
    /// Its view.
    pub view: u64,
    /// Whether it votes in that view.
    pub active: bool,
    /// The view's primary.
    pub primary: u16,
    /// Last executed slot.
    pub executed: u64,
    /// Chain of executed batches up to that slot.
    pub history: Digest,
    /// Last stable checkpoint.
    pub stable: u64,
    /// Whether a certificate proves that it is behind.
    pub behind: bool,
    /// Commands that wait for their order.
    pub waiting: u64,
    /// Peers that it is connected to.
    pub connected: u16,
    /// Proofs of misbehaviour that it holds, by accused replica.
    pub accused: Vec<(u16, u64)>,
    /// Why it stopped, if it did.
    pub stopped: Option<String>,
}

/// A reply as it came, its results not decoded. The codec is canonical, so equal bytes are equal replies, and a client decodes
/// only one of those that it compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyFrame {
    client: [u8; 32],
    sequence: Sequence,
    outcome: u8,
    reply: Bytes,
    view: u64,
}

/// Tag of [`Response::Reply`].
const REPLY_TAG: u8 = 1;
/// Where a [`Reply`]'s outcome begins: client, sequence, command, slot stand before it.
const OUTCOME_AT: usize = 32 + 8 + 32 + 8;
/// Bytes of a view.
const VIEW_BYTES: usize = 8;

/// The frame of a [`Response::Reply`] whose reply is encoded already.
#[must_use]
pub fn reply_frame(reply: &[u8], view: u64) -> Bytes {
    [&[REPLY_TAG], reply, &view.to_le_bytes()].concat().into()
}

impl ReplyFrame {
    /// Takes a frame apart; `None` if it is no reply.
    #[must_use]
    pub fn peek(frame: &Bytes) -> Option<Self> {
        let (tag, rest) = frame.split_first()?;
        let (reply, view) = rest.split_last_chunk::<VIEW_BYTES>()?;
        if *tag != REPLY_TAG {
            return None;
        }
        let (client, after) = reply.split_first_chunk::<32>()?;
        let (sequence, _) = after.split_first_chunk::<8>()?;
        Some(Self {
            client: *client,
            sequence: u64::from_le_bytes(*sequence),
            outcome: *reply.get(OUTCOME_AT)?,
            reply: frame.slice_ref(reply),
            view: u64::from_le_bytes(*view),
        })
    }

    /// The bytes of the client's key.
    #[must_use]
    pub const fn client(&self) -> &[u8; 32] {
        &self.client
    }

    /// The client's number.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Whether it says [`Outcome::TooOld`](varangian_application::Outcome::TooOld).
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        self.outcome == 1 && self.reply.len() == OUTCOME_AT + 1
    }

    /// Whether it says [`Outcome::Refused`](varangian_application::Outcome::Refused).
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.outcome == 2 && self.reply.len() == OUTCOME_AT + 1
    }

    /// The encoded reply: what clients compare.
    #[must_use]
    pub const fn reply(&self) -> &Bytes {
        &self.reply
    }

    /// The replica's view: a hint.
    #[must_use]
    pub const fn view(&self) -> u64 {
        self.view
    }
}

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// Nothing at all.
    #[error("the frame is empty")]
    Empty,
    /// A kind that this version does not know.
    #[error("unknown kind of request {0}")]
    Kind(u8),
    /// The canonical codec refuses it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A malformed command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A malformed key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Request {
    /// The frame, a command's bytes uncopied.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let (head, body) = match self {
            Self::Subscribe { client, signature } => {
                let mut head = vec![0];
                head.extend_from_slice(&encode(&(*client, *signature)));
                (Bytes::from(head), Bytes::new())
            }
            Self::Command(command) => (Bytes::from_static(&[1]), command.encoded().clone()),
            Self::Status => (Bytes::from_static(&[2]), Bytes::new()),
        };
        Encoded { head, body }
    }

    /// Decodes one frame; a command stays a slice of it.
    ///
    /// # Errors
    /// [`ProtocolError`] unless the bytes are exactly one request.
    pub fn decode(frame: &Bytes) -> Result<Self, ProtocolError> {
        let kind = *frame.first().ok_or(ProtocolError::Empty)?;
        let rest = frame.slice(1..);
        match kind {
            0 => {
                let (client, signature) = decode(&rest)?;
                Ok(Self::Subscribe { client, signature })
            }
            1 => Ok(Self::Command(Command::decode(rest)?)),
            2 => decode::<()>(&rest).map(|()| Self::Status).map_err(ProtocolError::from),
            unknown => Err(ProtocolError::Kind(unknown)),
        }
    }

    /// The proof that the holder of `key` is at the client's end of the connection with this exporter secret.
    #[must_use]
    pub fn subscribe(key: &SigningKey, context: &Context, exporter: &[u8; 32]) -> Self {
        Self::Subscribe {
            client: key.client_key(),
            signature: sign_subscription(key, context, &subscription(exporter)),
        }
    }
}

/// Whether `client` is at the other end of the connection with this exporter secret.
///
/// # Errors
/// [`VerifyError::BadSignature`] if not.
pub fn check_subscription(
    context: &Context,
    client: &ClientKey,
    signature: &Signature,
    exporter: &[u8; 32],
) -> Result<(), VerifyError> {
    verify_subscription(context, client, &subscription(exporter), signature)
}

/// What a client signs to prove its key to the connection with this exporter secret.
#[must_use]
pub fn subscription(exporter: &[u8; 32]) -> Digest {
    sha256("varangian subscription 1", &[exporter])
}

#[cfg(test)]
mod tests;
