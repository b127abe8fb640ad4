//! Frames between replicas: a [`Message`] of the protocol, or a [`Note`] about large commands, so that each of these travels to each replica once.
//!
//! A client may send a command to several replicas. If it is large, a backup that hands it on and a primary that proposes it need not send it to one who has it:
//!
//! - who has one from its client says so ([`Note::Have`]);
//! - a body names the commands that its receiver has said to have, where these are half of it or more ([`Note::Outline`]);
//! - a backup hands one on by its name ([`Note::Offer`]), and whole to a primary that asks for it ([`Note::Want`]).
//!
//! The core hears nothing of it: an outline becomes the body, and an offer the command, that it stands for. None of it is believed: what cannot be put together is
//! asked for as any missing body is, and what is put together is verified like what came whole.

use crate::batch::Batch;
use crate::command::Command;
use crate::message::{Encoded, Glance, Message, MessageError};
use crate::types::Slot;
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::{Buf, Bytes};
use varangian_crypto::{Digest, Signature, decode, encode};

/// A command of so many encoded bytes is large: its name is less than a hundredth of it.
pub const LARGE: usize = 16 << 10;

/// First kind of a note; all below are kinds of messages.
const FIRST: u8 = 128;
const HAVE: u8 = FIRST;
const OFFER: u8 = FIRST + 1;
const WANT: u8 = FIRST + 2;
const OUTLINE: u8 = FIRST + 3;
const SLOT_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;
const NAME_BYTES: usize = DIGEST_BYTES + 64;
/// In an outline, before a command.
const WHOLE: u8 = 0;
/// In an outline, before a name.
const NAMED: u8 = 1;

/// Names one encoding of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Name {
    /// Of its content.
    pub digest: Digest,
    /// By its client. (A digest does not cover it, and a batch's does.)
    pub signature: Signature,
}

/// One command of an outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The command.
    Whole(Command),
    /// Its name.
    Named(Name),
}

/// About large commands. Hearsay, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The sender has this command, and need not be sent it.
    Have(Name),
    /// The sender hands this command on ([`Message::Command`]).
    Offer(Name),
    /// The sender was offered this command, and lacks it.
    Want(Name),
    /// The body for a slot ([`Message::Batch`]).
    Outline {
        /// The slot it is meant for.
        slot: Slot,
        /// The batch's digest: what to ask for if a command is missing.
        digest: Digest,
        /// Its commands in order.
        parts: Vec<Part>,
    },
}

/// Whatever one replica sends another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Of the protocol.
    Message(Message),
    /// About large commands.
    Note(Note),
}

impl Name {
    /// The name of `command`.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        Self { digest: *command.digest(), signature: *command.signature() }
    }
}

impl Command {
    /// Whether it is named where that is enough.
    #[must_use]
    pub const fn is_large(&self) -> bool {
        self.encoded().len() >= LARGE
    }
}

impl Note {
    /// The note's name, as logs and metrics have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Have(_) => "have",
            Self::Offer(_) => "offer",
            Self::Want(_) => "want",
            Self::Outline { .. } => "outline",
        }
    }

    /// The outline of a body for one who `has` large commands of it; `None` if these are less than half of it: the whole body is the same bytes for
    /// everybody, and an outline is one receiver's.
    #[must_use]
    pub fn outline(slot: Slot, batch: &Batch, has: impl Fn(&Name) -> bool) -> Option<Self> {
        let named = |command: &Command| Some(Name::of(command)).filter(|name| command.is_large() && has(name));
        let names: Vec<Option<Name>> = batch.commands().iter().map(named).collect();
        let both = || batch.commands().iter().zip(names.iter().copied());
        let bytes: usize = both().filter(|(_, name)| name.is_some()).map(|(command, _)| command.encoded().len()).sum();
        if bytes < batch.encoded().len().div_ceil(2) {
            return None;
        }
        let parts =
            both().map(|(command, name)| name.map_or_else(|| Part::Whole(command.clone()), Part::Named)).collect();
        Some(Self::Outline { slot, digest: *batch.digest(), parts })
    }

    /// As [`Message::is_bulk`]. An offer keeps its place among the commands that are handed on.
    #[must_use]
    pub const fn is_bulk(&self) -> bool {
        matches!(self, Self::Offer(_) | Self::Outline { .. })
    }

    /// The canonical bytes: one byte of kind, then what it says.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let (kind, body) = match self {
            Self::Have(name) => (HAVE, encode(name)),
            Self::Offer(name) => (OFFER, encode(name)),
            Self::Want(name) => (WANT, encode(name)),
            Self::Outline { slot, digest, parts } => {
                let whole =
                    |part: &Part| if let Part::Whole(command) = part { command.encoded().len() } else { NAME_BYTES };
                let length = parts.iter().map(|part| 1 + whole(part)).sum::<usize>();
                let mut body = Vec::with_capacity(SLOT_BYTES + DIGEST_BYTES + length);
                body.extend_from_slice(&encode(&(*slot, *digest)));
                for part in parts {
                    match part {
                        Part::Whole(command) => {
                            body.push(WHOLE);
                            body.extend_from_slice(command.encoded());
                        }
                        Part::Named(name) => {
                            body.push(NAMED);
                            body.extend_from_slice(&encode(name));
                        }
                    }
                }
                (OUTLINE, body)
            }
        };
        Encoded { head: Vec::from([kind]).into(), body: body.into() }
    }

    fn decode(kind: u8, mut rest: Bytes) -> Result<Self, MessageError> {
        Ok(match kind {
            HAVE => Self::Have(decode(&rest)?),
            OFFER => Self::Offer(decode(&rest)?),
            WANT => Self::Want(decode(&rest)?),
            OUTLINE => {
                let (slot, digest) = decode(&take(&mut rest, SLOT_BYTES + DIGEST_BYTES)?)?;
                let mut parts = Vec::new();
                while !rest.is_empty() {
                    parts.push(match rest.get_u8() {
                        WHOLE => Part::Whole(Command::read(&mut rest)?),
                        NAMED => Part::Named(decode(&take(&mut rest, NAME_BYTES)?)?),
                        unknown => return Err(MessageError::Kind(unknown)),
                    });
                }
                Self::Outline { slot, digest, parts }
            }
            unknown => return Err(MessageError::Kind(unknown)),
        })
    }
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, MessageError> {
    if rest.len() < length { Err(MessageError::Truncated) } else { Ok(rest.split_to(length)) }
}

impl Wire {
    /// Its name, as logs and metrics have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Message(message) => message.name(),
            Self::Note(note) => note.name(),
        }
    }

    /// As [`Message::is_bulk`].
    #[must_use]
    pub const fn is_bulk(&self) -> bool {
        match self {
            Self::Message(message) => message.is_bulk(),
            Self::Note(note) => note.is_bulk(),
        }
    }

    /// Decodes one frame; commands stay slices of it.
    ///
    /// # Errors
    /// [`MessageError`] unless the bytes are exactly one message or note.
    pub fn decode(frame: &Bytes) -> Result<Self, MessageError> {
        match frame.first() {
            Some(kind) if *kind >= FIRST => Note::decode(*kind, frame.slice(1..)).map(Self::Note),
            _ => Message::decode(frame).map(Self::Message),
        }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        match self {
            Self::Message(message) => message.encode(),
            Self::Note(note) => note.encode(),
        }
    }

    /// As [`Message::glance`]; an outline is a body.
    #[must_use]
    pub fn glance(frame: &[u8]) -> Glance {
        match frame {
            [OUTLINE, rest @ ..] => {
                rest.get(..SLOT_BYTES).and_then(|slot| decode(slot).ok()).map_or(Glance::Other, Glance::Body)
            }
            _ => Message::glance(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use varangian_crypto::{Context, SigningKey};

    fn command(sequence: u64, bytes: usize) -> Command {
        let context = Context { chain_id: Digest::ZERO, epoch: 0 };
        Command::sign(&SigningKey::from_seed([7; 32]), &context, sequence, &[alloc::vec![1_u8; bytes]]).unwrap()
    }

    fn whole(encoded: &Encoded) -> Bytes {
        [encoded.head.as_ref(), encoded.body.as_ref()].concat().into()
    }

    fn batch() -> Batch {
        Batch::new(Vec::from([command(1, 10), command(2, LARGE), command(3, 2 * LARGE)])).unwrap()
    }

    #[test]
    fn an_outline_names_what_is_large_and_there_already() {
        let batch = batch();
        let [small, one, other] = batch.commands() else { panic!("three") };
        let has = |name: &Name| *name == Name::of(small) || *name == Name::of(other);
        let Some(Note::Outline { slot, digest, parts }) = Note::outline(Slot(5), &batch, has) else { panic!("one") };
        assert_eq!((slot, digest), (Slot(5), *batch.digest()));
        let expected = [Part::Whole(small.clone()), Part::Whole(one.clone()), Part::Named(Name::of(other))];
        assert_eq!(parts, expected);
        assert_eq!(Note::outline(Slot(5), &batch, |name| *name == Name::of(small)), None, "small ones just go along");
        assert_eq!(Note::outline(Slot(5), &batch, |name| *name == Name::of(one)), None, "a third of it");
    }

    #[test]
    fn notes_come_back_as_they_were_and_nothing_else_does() {
        let (batch, name) = (batch(), Name::of(&command(1, 1)));
        let outline = Note::outline(Slot(5), &batch, |_| true).unwrap();
        for note in [Note::Have(name), Note::Offer(name), Note::Want(name), outline] {
            let frame = whole(&note.encode());
            let keeps_its_place = matches!(note, Note::Offer(_) | Note::Outline { .. });
            assert_eq!(note.is_bulk(), keeps_its_place, "as the command or body that it stands for");
            assert_eq!(Wire::decode(&frame).unwrap(), Wire::Note(note));
            let outline = frame.first() == Some(&OUTLINE);
            assert_eq!(Wire::glance(&frame), if outline { Glance::Body(Slot(5)) } else { Glance::Other });
            let longer = Bytes::from([frame.as_ref(), &[9]].concat());
            assert!(Wire::decode(&longer).is_err());
            for length in [0, 1, 8, 40, 90, frame.len() - 1] {
                // Between two parts an outline may end.
                let cut = Wire::decode(&frame.slice(..length));
                assert!(cut.is_err() || (outline && matches!(length, 41)), "{length}");
            }
        }
        let message = Message::Pruned { oldest: Slot(3) };
        assert_eq!(Wire::decode(&whole(&message.encode())).unwrap(), Wire::Message(message));
        assert_eq!(Wire::decode(&Bytes::from_static(&[200])), Err(MessageError::Kind(200)));
    }
}
