//! Commands at the limits and just above them: bytes, operations, frames.

use bytes::Bytes;
use varangian_application::kv::{Action, Operation};

use super::KEYS;
use super::hand::{Author, Behaviour, Hand, Sending};

/// How large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Exactly `max_command_bytes`.
    LargestCommand,
    /// One byte more.
    TooLargeCommand,
    /// Exactly `max_batch_operations`.
    MostOperations,
    /// One operation more.
    TooManyOperations,
    /// Above any frame that a replica reads from a client.
    TooLargeFrame,
}

impl Size {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::LargestCommand,
        Self::TooLargeCommand,
        Self::MostOperations,
        Self::TooManyOperations,
        Self::TooLargeFrame,
    ];
}

/// All sizes in turn, to all replicas.
#[derive(Debug, Default)]
pub struct Huge {
    author: Option<Author>,
    next: usize,
}

impl Behaviour for Huge {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let author = self.author.get_or_insert_with(|| hand.author());
        let size = Size::ALL[self.next % Size::ALL.len()];
        self.next += 1;
        let command = build(hand, author, size)?;
        author.next += 1;
        Ok(vec![Sending::command(command).heard_by(author)])
    }
}

/// A validly signed command of this size.
pub(super) fn build(hand: &mut Hand, author: &Author, size: Size) -> anyhow::Result<Bytes> {
    let (bytes, most) = (hand.parameters().max_command_bytes as usize, hand.parameters().max_batch_operations as usize);
    let operations = match size {
        Size::LargestCommand => of_bytes(hand, author, bytes)?,
        Size::TooLargeCommand => of_bytes(hand, author, bytes + 1)?,
        Size::MostOperations => gets(most)?,
        Size::TooManyOperations => gets(most + 1)?,
        // A frame of a client is at most the larger of these; see the replica's limits.
        Size::TooLargeFrame => of_bytes(hand, author, bytes.max(1 << 20) + 65)?,
    };
    author.sign(&hand.context(), author.next, &operations)
}

/// Operations that make a command of so many bytes: puts of the largest values, the last one as long as is missing.
fn of_bytes(hand: &mut Hand, author: &Author, bytes: usize) -> anyhow::Result<Vec<Bytes>> {
    const LARGEST_VALUE: usize = 200 << 10;
    let small = hand.put(Vec::new())?;
    let head = author.sign(&hand.context(), author.next, std::slice::from_ref(&small))?.len() - small.len() - 4;
    let mut operations: Vec<Bytes> = Vec::new();
    let mut left = bytes.saturating_sub(head);
    // The keys differ in length by one byte at most: what is left over for the last put suffices for either.
    while left > LARGEST_VALUE + 1024 {
        let value = hand.random.bytes(LARGEST_VALUE);
        let operation = hand.put(value)?;
        left -= operation.len() + 4;
        operations.push(operation);
    }
    let key = [KEYS, b"0"].concat();
    let empty = Operation::from(Action::put(&key, Bytes::new())?).encode().len() + 4;
    let value = hand.random.bytes(left.saturating_sub(empty));
    operations.push(Operation::from(Action::put(&key, value)?).encode());
    Ok(operations)
}

fn gets(count: usize) -> anyhow::Result<Vec<Bytes>> {
    let get = Operation::from(Action::get(&[KEYS, b"0"].concat())?).encode();
    Ok(vec![get; count])
}
