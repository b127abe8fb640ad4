//! Its own old commands again and again, byte for byte, over these connections and others.

use bytes::Bytes;

use super::hand::{Author, Behaviour, Hand, Sending};

/// Commands that are kept for it.
const KEPT: usize = 64;
/// One act in so many is a new command, for there to be young ones too.
const FRESH: u64 = 8;

/// See the module.
#[derive(Debug, Default)]
pub struct Replay {
    author: Option<Author>,
    sent: Vec<Bytes>,
    acts: u64,
}

impl Behaviour for Replay {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let author = self.author.get_or_insert_with(|| hand.author());
        let fresh = self.acts.is_multiple_of(FRESH);
        self.acts += 1;
        let command = if fresh {
            let command = hand.command(author)?;
            if self.sent.len() < KEPT {
                self.sent.push(command.clone());
            }
            command
        } else {
            let drawn = hand.random.below(self.sent.len() as u64);
            self.sent.get(usize::try_from(drawn)?).cloned().unwrap_or_default()
        };
        let set = if fresh { 0 } else { usize::try_from(hand.random.below(2))? };
        let sending = Sending { set, ..Sending::command(command).heard_by(author) };
        Ok(vec![if hand.random.below(2) == 0 {
            sending
        } else {
            let to = hand.replica();
            sending.to(to)
        }])
    }
}
