//! Numbers that jump: over the window, far ahead, back below the floor, to both ends of all numbers.

use super::hand::{Author, Behaviour, Hand, Sending};

/// Acts of one client, before it is another: one whose window has slid to the end of all numbers is of no more use.
const LIFE: u64 = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Gaps {
    author: Option<Author>,
    acts: u64,
    highest: u64,
}

impl Behaviour for Gaps {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        if self.acts.is_multiple_of(LIFE) {
            (self.author, self.highest) = (None, 0);
        }
        let author = self.author.get_or_insert_with(|| hand.author());
        let sequence = number(self.acts % LIFE, self.highest, hand);
        self.acts += 1;
        self.highest = self.highest.max(sequence);
        let operation = hand.operation()?;
        let command = author.sign(&hand.context(), sequence, &[operation])?;
        Ok(vec![Sending::command(command).heard_by(author)])
    }
}

/// The number of a client's next command, after `acts` with `highest` as the highest.
pub(super) fn number(acts: u64, highest: u64, hand: &mut Hand) -> u64 {
    let window = u64::from(hand.parameters().client_window);
    match acts {
        0 => 0,
        last if last + 1 == LIFE => u64::MAX,
        14 => u64::MAX - window,
        act => match act % 5 {
            // The next ones but a few, so that the window has holes.
            0 | 1 => highest.saturating_add(2 + hand.random.below(5)),
            // Over the window, by one and more.
            2 => highest.saturating_add(window + 1 + hand.random.below(3)),
            // Far ahead.
            3 => highest.saturating_add(1 << (20 + hand.random.below(20))),
            // Below the floor.
            _ => highest.saturating_sub(window + hand.random.below(window)),
        },
    }
}
