//! Commands that nobody signed like this: broken, forged, borrowed, made for something else. Each is well formed, so that only its signature speaks
//! against it.

use bytes::{Bytes, BytesMut};
use varangian_consensus::command::{Command, OPERATIONS_AT, SIGNATURE_AT};
use varangian_crypto::{Context, Digest, Verify, sha256, sign_subscription};

use super::hand::{Author, Behaviour, Hand, Sending, Voice, put, signature_of};

/// What is wrong with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// One bit of it is another.
    Flipped,
    /// All zeros.
    Zero,
    /// Another client's, for the same bytes but the key.
    Stranger,
    /// The client's own, for another command of it.
    Borrowed,
    /// Made for another chain.
    OtherChain,
    /// Made for another epoch of this chain.
    OtherEpoch,
    /// The client's own over the same digest, as a claim to replies.
    OtherDomain,
    /// The number was changed after it was made.
    Renumbered,
    /// An operation was changed after it was made.
    Changed,
}

impl Flaw {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Flipped,
        Self::Zero,
        Self::Stranger,
        Self::Borrowed,
        Self::OtherChain,
        Self::OtherEpoch,
        Self::OtherDomain,
        Self::Renumbered,
        Self::Changed,
    ];
}

/// All flaws in turn, to all replicas.
#[derive(Debug, Default)]
pub struct BadSignatures {
    next: usize,
}

impl Behaviour for BadSignatures {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let flaw = Flaw::ALL[self.next % Flaw::ALL.len()];
        self.next += 1;
        Ok(vec![Sending::command(build(hand, flaw)?)])
    }
}

/// A command with this flaw, by a client that nobody has seen before.
pub(super) fn build(hand: &mut Hand, flaw: Flaw) -> anyhow::Result<Bytes> {
    let (author, context) = (hand.author(), hand.context());
    let sequence = 1 + hand.random.below(8);
    let operation = hand.operation()?;
    let good = author.sign(&context, sequence, std::slice::from_ref(&operation))?;
    let other_context = |context: Context| author.sign(&context, sequence, std::slice::from_ref(&operation));
    let mut bytes = BytesMut::from(good.as_ref());
    let sign_with = |encoded: &Bytes| signature_of(encoded);
    let signature = match flaw {
        Flaw::Flipped => {
            let mut signature = signature_of(&good)?;
            let bit = hand.random.below(512) as usize;
            signature[bit / 8] ^= 1 << (bit % 8);
            signature
        }
        Flaw::Zero => [0; 64],
        Flaw::Stranger => {
            let stranger: Author = hand.author();
            sign_with(&stranger.sign(&context, sequence, &[operation])?)?
        }
        Flaw::Borrowed => {
            let other = hand.operation()?;
            sign_with(&author.sign(&context, sequence + 1, &[other])?)?
        }
        Flaw::OtherChain => {
            let chain_id: Digest = sha256("varangian menace", &[context.chain_id.as_bytes()]);
            sign_with(&other_context(Context { chain_id, ..context })?)?
        }
        Flaw::OtherEpoch => sign_with(&other_context(Context { epoch: context.epoch + 1, ..context })?)?,
        Flaw::OtherDomain => {
            let digest = *Command::decode(good.clone())?.digest();
            match &*author.voice {
                Voice::Plain(key) => *sign_subscription(key, &context, &digest).as_bytes(),
                Voice::Mixed(_) => [0; 64],
            }
        }
        Flaw::Renumbered => {
            put(&mut bytes, SIGNATURE_AT - 8, &(sequence + 1).to_le_bytes())?;
            signature_of(&good)?
        }
        Flaw::Changed => {
            // The last byte of the value that is put.
            debug_assert!(bytes.len() > OPERATIONS_AT);
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            signature_of(&good)?
        }
    };
    put(&mut bytes, SIGNATURE_AT, &signature)?;
    let bytes = bytes.freeze();
    let command = Command::decode(bytes.clone())?;
    anyhow::ensure!(command.check(hand.target.network().committee()).is_err(), "{flaw:?} is valid after all");
    Ok(bytes)
}
