//! Two commands with one number, each to other replicas.

use varangian_crypto::ReplicaId;

use super::hand::{Author, Behaviour, Hand, Sending};

/// See the module.
#[derive(Debug, Default)]
pub struct TwoFaced {
    author: Option<Author>,
}

impl Behaviour for TwoFaced {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let author = self.author.get_or_insert_with(|| hand.author());
        let faces = [(); 2].map(|()| hand.operation()).into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut commands = Vec::new();
        for face in faces {
            commands.push(author.sign(&hand.context(), author.next, &[face])?);
        }
        author.next += 1;
        // Who hears which is drawn, so that every split comes up, the primary on either side.
        let split = hand.random.next();
        let sending = |id: u16| {
            let command = commands.get(usize::from(split >> (id % 64) & 1 == 1))?.clone();
            Some(Sending::command(command).to(ReplicaId(id)).heard_by(author))
        };
        Ok((0..hand.target.n()).filter_map(sending).collect())
    }
}
