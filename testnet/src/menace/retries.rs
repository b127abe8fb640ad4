//! One command of thousands of operations, and then its number again and again: each repetition asks for all of the reply, for a hundred bytes.

use bytes::Bytes;
use varangian_application::kv::{Action, Operation};

use super::KEYS;
use super::hand::{Author, Behaviour, Hand, Sending};

/// Acts for one number. Any may be lost, the first one too.
const REPEATED: u64 = 4096;

/// See the module. It listens for no answer: that would only hold it up.
#[derive(Debug, Default)]
pub struct Retries {
    author: Option<Author>,
    again: Bytes,
    acts: u64,
}

impl Behaviour for Retries {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let author = self.author.get_or_insert_with(|| hand.author());
        let first = self.acts.is_multiple_of(REPEATED);
        self.acts += 1;
        if !first {
            return Ok(vec![Sending::command(self.again.clone())]);
        }
        // Answers of a number's length are not counted against the largest reply.
        let add = Operation::from(Action::add(&[KEYS, b"sum"].concat(), 1)?).encode();
        let most = hand.parameters().max_batch_operations as usize;
        let large = author.sign(&hand.context(), author.next, &vec![add; most])?;
        self.again = author.sign(&hand.context(), author.next, &[Bytes::new()])?;
        author.next += 1;
        Ok(vec![Sending::command(large)])
    }
}
