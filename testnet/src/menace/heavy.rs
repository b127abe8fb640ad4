//! Few commands, each as heavy as a batch, of as many clients: by their number they are light.

use bytes::Bytes;

use super::hand::{Author, Behaviour, Hand, Sending};
use super::huge::{self, Size};

/// Clients, each with one command in a round.
const CLIENTS: usize = 16;
/// Those among them whose command is heavy by its bytes, in each second round: the others have none in that.
const LARGE: usize = 2;

/// A round to all replicas with each act: full of operations that are nothing, or of bytes.
#[derive(Debug, Default)]
pub struct Heavy {
    authors: Vec<Author>,
    rounds: usize,
}

impl Behaviour for Heavy {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        while self.authors.len() < CLIENTS {
            let author = hand.author();
            self.authors.push(author);
        }
        let by_bytes = !self.rounds.is_multiple_of(2);
        self.rounds += 1;
        let nothing = vec![Bytes::new(); hand.parameters().max_batch_operations as usize];
        let mut sendings = Vec::new();
        for author in self.authors.iter_mut().take(if by_bytes { LARGE } else { CLIENTS }) {
            let command = if by_bytes {
                huge::build(hand, author, Size::LargestCommand)?
            } else {
                author.sign(&hand.context(), author.next, &nothing)?
            };
            author.next += 1;
            sendings.push(Sending::command(command).heard_by(author));
        }
        Ok(sendings)
    }
}
