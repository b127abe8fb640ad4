//! Each command to one replica alone: the primary and the backups in turn.

use varangian_crypto::ReplicaId;

use super::hand::{Author, Behaviour, Hand, Sending};

/// See the module.
#[derive(Debug, Default)]
pub struct Partial {
    author: Option<Author>,
    next: u16,
}

impl Behaviour for Partial {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let author = self.author.get_or_insert_with(|| hand.author());
        let command = hand.command(author)?;
        // 0 is the primary, and so on from there.
        let to = (hand.primary.0 + self.next) % hand.target.n().max(1);
        self.next = (self.next + 1) % hand.target.n().max(1);
        Ok(vec![Sending::command(command).to(ReplicaId(to)).heard_by(author)])
    }
}
