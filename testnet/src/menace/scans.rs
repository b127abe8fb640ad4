//! Scans that read much and give little: large values behind a small one, and many deleted keys before none, thousands of scans in a command.

use bytes::Bytes;
use varangian_application::kv::{Action, Operation};

use super::KEYS;
use super::hand::{Author, Behaviour, Hand, Sending};

/// Values behind the small one, and the bytes of each: as large as a value may be.
const LARGE: (u8, usize) = (31, 256 << 10);
/// Commands full of short keys that are put and then deleted: few, as to run them is work that anybody may ask for.
const DELETED: usize = 1;
/// Acts before keys are put and deleted again, for a store forgets them when it tidies up.
const AGAIN: u64 = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Scans {
    author: Option<Author>,
    acts: u64,
}

impl Behaviour for Scans {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let author = self.author.get_or_insert_with(|| hand.author());
        let most = hand.parameters().max_batch_operations as usize;
        let mut commands = Vec::new();
        if self.acts == 0 {
            commands.extend(values()?.into_iter().map(|put| vec![put]));
        }
        if self.acts.is_multiple_of(AGAIN) {
            commands.extend(deleted(most)?);
        }
        let (prefix, limit) = if self.acts.is_multiple_of(2) { (b"x", u32::from(LARGE.0)) } else { (b"z", 1) };
        let scan = Action::scan(&[KEYS, prefix].concat(), None, limit)?;
        commands.push(vec![encode(scan); most]);
        self.acts += 1;
        let mut sendings = Vec::new();
        for operations in commands {
            let command = author.sign(&hand.context(), author.next, &operations)?;
            author.next += 1;
            sendings.push(Sending::command(command).heard_by(author));
        }
        Ok(sendings)
    }
}

/// A value of one byte, and the large ones behind it.
fn values() -> anyhow::Result<Vec<Bytes>> {
    let (count, bytes) = LARGE;
    let put = |number: u8| {
        let value = Bytes::from(vec![number; if number == 0 { 1 } else { bytes }]);
        Ok(encode(Action::put(&[KEYS, b"x", &[b'0' + number]].concat(), value)?))
    };
    (0..=count).map(put).collect()
}

/// Commands that put keys, and as many that delete them.
fn deleted(most: usize) -> anyhow::Result<Vec<Vec<Bytes>>> {
    let keys = |command: usize| (0..most).map(move |key| [KEYS, format!("z{command}/{key}").as_bytes()].concat());
    let mut commands = Vec::new();
    for command in 0..DELETED {
        commands.push(
            keys(command).map(|key| Ok(encode(Action::put(&key, Bytes::new())?))).collect::<anyhow::Result<_>>()?,
        );
    }
    for command in 0..DELETED {
        commands.push(keys(command).map(|key| Ok(encode(Action::delete(&key)?))).collect::<anyhow::Result<_>>()?);
    }
    Ok(commands)
}

fn encode(action: Action) -> Bytes {
    Operation::from(action).encode()
}
