//! What a malicious client works with: keys of its own, numbers, operations on its own part of the store.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use varangian_application::kv::{Action, Operation};
use varangian_client::protocol::{Request, subscription};
use varangian_consensus::Sequence;
use varangian_consensus::command::{Command, OPERATIONS_AT, SIGNATURE_AT};
use varangian_crypto::{ClientKey, Context, Digest, Domain, Parameters, ReplicaId, Signature, SigningKey};
use varangian_crypto::{sign_client, sign_subscription};
use varangian_net::Frame;

use super::KEYS;
use super::mixed_order_signatures::TorsionKey;
use super::target::Target;
use crate::load::operations::SplitMix;

/// What a behaviour does, act by act.
pub(super) trait Behaviour: Send {
    /// One act of mischief.
    ///
    /// # Errors
    /// If something cannot be built that should be: a mistake in the behaviour.
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>>;
}

/// A command, valid or not, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    /// `None`: to every replica.
    pub(super) to: Option<ReplicaId>,
    /// Over which set of connections: 0, or 1 for the second.
    pub(super) set: usize,
    /// What, encoded.
    pub(super) command: Bytes,
    /// Whose answers are wanted.
    pub(super) voice: Option<Arc<Voice>>,
}

/// Who signs.
#[derive(Debug)]
pub(super) enum Voice {
    /// As every client does.
    Plain(SigningKey),
    /// With torsion.
    Mixed(TorsionKey),
}

/// A key and its next number.
#[derive(Clone, Debug)]
pub(super) struct Author {
    pub(super) voice: Arc<Voice>,
    pub(super) next: Sequence,
}

/// See the module.
pub(super) struct Hand {
    pub(super) target: Target,
    pub(super) random: SplitMix,
    /// Who probably leads.
    pub(super) primary: ReplicaId,
    own: Author,
}

impl Sending {
    /// An encoded command, valid or not, to every replica.
    pub(super) fn command(encoded: Bytes) -> Self {
        Self { to: None, set: 0, command: encoded, voice: None }
    }

    /// To one replica only.
    pub(super) fn to(self, replica: ReplicaId) -> Self {
        Self { to: Some(replica), ..self }
    }

    /// The frame that carries it.
    pub(super) fn frame(&self) -> Frame {
        /// Tag of [`Request::Command`].
        const COMMAND: &[u8] = &[1];
        Frame::new(Bytes::from_static(COMMAND), self.command.clone())
    }

    /// The answers for `author` are wanted where it is sent.
    pub(super) fn heard_by(self, author: &Author) -> Self {
        Self { voice: Some(Arc::clone(&author.voice)), ..self }
    }
}

impl Voice {
    pub(super) fn client(&self) -> ClientKey {
        match self {
            Self::Plain(key) => key.client_key(),
            Self::Mixed(key) => key.client_key(),
        }
    }

    /// Signs a command's digest.
    pub(super) fn sign(&self, context: &Context, digest: &Digest) -> Signature {
        match self {
            Self::Plain(key) => sign_client(key, context, digest),
            Self::Mixed(key) => key.sign(Domain::Command, context, digest),
        }
    }

    /// The proof of the key to the connection with this exporter secret.
    pub(super) fn subscribe(&self, context: &Context, exporter: &[u8; 32]) -> Frame {
        let digest = subscription(exporter);
        let signature = match self {
            Self::Plain(key) => sign_subscription(key, context, &digest),
            Self::Mixed(key) => key.sign(Domain::Subscribe, context, &digest),
        };
        let request = Request::Subscribe { client: self.client(), signature }.encode();
        Frame::new(request.head, request.body)
    }
}

impl Author {
    pub(super) fn new(voice: Voice) -> Self {
        Self { voice: Arc::new(voice), next: 1 }
    }

    /// A command of this number, encoded; signed by the author whatever its voice is.
    pub(super) fn sign(&self, context: &Context, sequence: Sequence, operations: &[Bytes]) -> anyhow::Result<Bytes> {
        match &*self.voice {
            Voice::Plain(key) => Ok(Command::sign(key, context, sequence, operations)?.encoded().clone()),
            Voice::Mixed(_) => {
                let any = SigningKey::from_seed([1; 32]);
                let template = Command::sign(&any, context, sequence, operations)?;
                let mut bytes = BytesMut::from(template.encoded().as_ref());
                put(&mut bytes, 0, self.voice.client().as_bytes())?;
                let digest = *Command::decode(bytes.clone().freeze())?.digest();
                put(&mut bytes, SIGNATURE_AT, self.voice.sign(context, &digest).as_bytes())?;
                Ok(bytes.freeze())
            }
        }
    }
}

impl Hand {
    pub(super) fn new(target: Target, mut random: SplitMix) -> Self {
        let own = Author::new(Voice::Plain(fresh_key(&mut random)));
        Self { target, random, primary: ReplicaId(0), own }
    }

    pub(super) fn context(&self) -> Context {
        *self.target.network().committee().context()
    }

    pub(super) fn parameters(&self) -> &Parameters {
        self.target.network().genesis().parameters()
    }

    /// A client that nobody has seen before.
    pub(super) fn author(&mut self) -> Author {
        Author::new(Voice::Plain(fresh_key(&mut self.random)))
    }

    /// An operation on the menaces' own keys: few of them, so that the store does not grow.
    pub(super) fn operation(&mut self) -> anyhow::Result<Bytes> {
        let value = self.random.bytes(32);
        self.put(value)
    }

    /// The same with a value of the caller's.
    pub(super) fn put(&mut self, value: Vec<u8>) -> anyhow::Result<Bytes> {
        /// Keys in the store, over all menaces.
        const SPREAD: u64 = 64;
        let key = [KEYS, self.random.below(SPREAD).to_string().as_bytes()].concat();
        Ok(Operation::from(Action::put(&key, value)?).encode())
    }

    /// The author's next command, as it should be.
    pub(super) fn command(&mut self, author: &mut Author) -> anyhow::Result<Bytes> {
        let operation = self.operation()?;
        let command = author.sign(&self.context(), author.next, &[operation])?;
        author.next += 1;
        Ok(command)
    }

    /// A command as an honest client sends it.
    pub(super) fn honest(&mut self) -> anyhow::Result<Sending> {
        let mut own = self.own.clone();
        let command = self.command(&mut own)?;
        self.own = own;
        Ok(Sending::command(command).heard_by(&self.own))
    }

    /// A replica, drawn.
    pub(super) fn replica(&mut self) -> ReplicaId {
        replica(&mut self.random, &self.target)
    }
}

/// A replica of the target, drawn.
pub(super) fn replica(random: &mut SplitMix, target: &Target) -> ReplicaId {
    let drawn = random.below(u64::from(target.n().max(1)));
    ReplicaId(u16::try_from(drawn).unwrap_or(0))
}

pub(super) fn fresh_key(random: &mut SplitMix) -> SigningKey {
    let mut seed = [0; 32];
    seed.copy_from_slice(&random.bytes(32));
    SigningKey::from_seed(seed)
}

/// Overwrites a part of an encoded command.
pub(super) fn put(bytes: &mut BytesMut, at: usize, part: &[u8]) -> anyhow::Result<()> {
    bytes.get_mut(at..at + part.len()).context("the command is shorter than that")?.copy_from_slice(part);
    Ok(())
}

/// The signature in an encoded command.
pub(super) fn signature_of(encoded: &[u8]) -> anyhow::Result<[u8; 64]> {
    encoded.get(SIGNATURE_AT..OPERATIONS_AT).and_then(|bytes| bytes.try_into().ok()).context("no signature")
}
