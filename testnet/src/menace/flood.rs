//! Valid commands, many more on their way than allowed: of one key, or of hundreds of fresh ones.

use super::hand::{Author, Behaviour, Hand, Sending};

/// Keys of one flood: each takes a place among the chain's clients for good.
const KEYS: usize = 256;

/// One key, or several in turn. It waits for no answer.
#[derive(Debug)]
pub struct Flood {
    authors: Vec<Author>,
    keys: usize,
    next: usize,
}

impl Flood {
    /// One client.
    #[must_use]
    pub const fn one() -> Self {
        Self { authors: Vec::new(), keys: 1, next: 0 }
    }

    /// Hundreds.
    #[must_use]
    pub const fn many() -> Self {
        Self { authors: Vec::new(), keys: KEYS, next: 0 }
    }
}

impl Behaviour for Flood {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        if self.authors.len() < self.keys {
            let author = hand.author();
            self.authors.push(author);
        }
        let place = self.next % self.keys;
        self.next += 1;
        let Some(author) = self.authors.get_mut(place) else { return Ok(Vec::new()) };
        let command = hand.command(author)?;
        Ok(vec![Sending::command(command).heard_by(author)])
    }
}
