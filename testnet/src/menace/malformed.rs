//! Random and mutated frames, whole and torn.

use varangian_client::protocol::Request;
use varangian_consensus::Command;
use varangian_crypto::{Context, ReplicaId};

use super::hand::fresh_key;
use super::target::Door;
use super::wire::{Act, framed, hello, status};
use crate::load::operations::SplitMix;

/// What is wrong with what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformation {
    /// A frame of random bytes.
    Random,
    /// A frame of nothing.
    Empty,
    /// A kind that does not exist.
    UnknownKind,
    /// A valid question with bytes behind it.
    Trailing,
    /// A signed command without its end.
    CutCommand,
    /// A signed command with some bytes changed.
    MutatedCommand,
    /// A claim to replies that proves nothing.
    FalseClaim,
    /// The stream ends in the middle of a frame.
    Torn,
}

impl Malformation {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Random,
        Self::Empty,
        Self::UnknownKind,
        Self::Trailing,
        Self::CutCommand,
        Self::MutatedCommand,
        Self::FalseClaim,
        Self::Torn,
    ];
}

/// One malformation, on a stream of its own connection; then whatever the replica makes of it.
pub(super) async fn act(mut act: Act) {
    let Some(connection) = act.connect(None).await else { return };
    let Some((mut send, receive)) = act.stream(&connection).await else { return };
    let drawn = act.random.below(Malformation::ALL.len() as u64);
    let malformation = Malformation::ALL[usize::try_from(drawn).unwrap_or(0)];
    let context = *act.shared.target.network().committee().context();
    let mut bytes = build(malformation, &mut act.random, &context);
    if act.door == Door::Replicas && act.random.below(2) == 0 {
        // As if it were a replica: a hello in order, then the rest.
        let from = ReplicaId(u16::from(act.replica.0 == 0));
        bytes = [framed(&hello(from, act.replica)), bytes].concat();
    }
    if act.write(&mut send, &bytes).await && malformation == Malformation::Torn && send.finish().is_err() {
        tracing::trace!("the stream has ended already");
    }
    act.listen(&connection, receive).await;
}

/// The bytes for the stream.
pub(super) fn build(malformation: Malformation, random: &mut SplitMix, context: &Context) -> Vec<u8> {
    match malformation {
        Malformation::Random => {
            let length = 1 + random.below(2000);
            let mut content = random.bytes(usize::try_from(length).unwrap_or(1));
            // Status is one byte, 2, and nothing else: that one is no nonsense.
            if let Some(kind) = content.first_mut() {
                *kind |= 4;
            }
            framed(&content)
        }
        Malformation::Empty => framed(&[]),
        Malformation::UnknownKind => framed(&[3 + u8::try_from(random.below(250)).unwrap_or(0)]),
        Malformation::Trailing => framed(&[&status(), random.bytes(9).as_slice()].concat()),
        Malformation::CutCommand => {
            let mut content = command(random, context);
            let cut = 1 + random.below(content.len() as u64 - 2);
            content.truncate(usize::try_from(cut).unwrap_or(1));
            framed(&content)
        }
        Malformation::MutatedCommand => {
            let mut content = command(random, context);
            for _ in 0..=random.below(4) {
                let at = 1 + random.below(content.len() as u64 - 1);
                if let Some(byte) = content.get_mut(usize::try_from(at).unwrap_or(1)) {
                    *byte = byte.wrapping_add(1 + u8::try_from(random.below(250)).unwrap_or(0));
                }
            }
            framed(&content)
        }
        Malformation::FalseClaim => {
            let request = Request::subscribe(&fresh_key(random), context, &[7; 32]).encode();
            framed(&[request.head, request.body].concat())
        }
        Malformation::Torn => {
            let mut bytes = framed(&random.bytes(100));
            bytes.truncate(1 + usize::try_from(random.below(102)).unwrap_or(0));
            bytes
        }
    }
}

/// A frame's content with a signed command.
fn command(random: &mut SplitMix, context: &Context) -> Vec<u8> {
    let (key, operation) = (fresh_key(random), random.bytes(40));
    let command = Command::sign(&key, context, 1, &[operation]).map(|command| command.encoded().to_vec());
    [&[1], command.unwrap_or_default().as_slice()].concat()
}
