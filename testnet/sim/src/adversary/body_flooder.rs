//! A replica that sends bodies that nobody asked for and that are dear to check (faults, rows 5 and 8).
//!
//! Beside each of its votes it sends everybody a body as full as a batch may be, of commands each of which is signed but the last: whoever checks it checks
//! all signatures together, and then one by one. Nobody named it, so nobody can be accused of it.
//!
//! Defence: frames of peers wait in turn, so nobody else's stand behind many of these; who has sent more than a view change explains is not read for a while, longer each time.

use super::behaviour::Behaviour;
use super::hand::Hand;
use super::saying::{is_struck, place};
use std::sync::Arc;
use varangian_consensus::command::SIGNATURE_AT;
use varangian_consensus::{Batch, Command, Message, Slot, Vote};
use varangian_crypto::SigningKey;
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct BodyFlooder {
    junk: Option<Arc<Batch>>,
}

impl Behaviour for BodyFlooder {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let ((_, slot), struck) = (place(&vote), is_struck(hand, &vote));
        io.vote(vote);
        if !struck {
            return;
        }
        if self.junk.is_none() {
            self.junk = junk(hand).map(Arc::new);
        }
        if let Some(batch) = self.junk.clone() {
            io.broadcast(Message::Batch { slot: slot.unwrap_or(Slot(1)), batch });
        }
    }
}

/// As many commands of a client of its own as fit; the last one's signature is wrong.
fn junk(hand: &Hand) -> Option<Batch> {
    let key = SigningKey::from_seed([0xb0; 32]);
    let context = hand.committee().context();
    let mut commands: Vec<Command> = Vec::new();
    let mut bytes = 0;
    for sequence in 1.. {
        let command = Command::sign(&key, context, sequence, &[b"junk"]).ok()?;
        bytes += command.encoded().len() as u64;
        if !hand.fits(bytes, sequence) {
            break;
        }
        commands.push(command);
    }
    let mut last = commands.pop()?.encoded().to_vec();
    *last.get_mut(SIGNATURE_AT)? ^= 1;
    commands.push(Command::decode(last.into()).ok()?);
    Batch::new(commands)
}
