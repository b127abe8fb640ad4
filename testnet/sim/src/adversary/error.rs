//! What is wrong with the text that names an attack.

use thiserror::Error;

/// Why a text names no attack. Every message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AttackError {
    /// No attack has this name.
    #[error("there is no attack {name:?}{}; the attacks are {known}", did_you_mean(.suggestion))]
    UnknownAttack {
        /// What was written.
        name: String,
        /// The name that is nearest to it, if one is near.
        suggestion: Option<&'static str>,
        /// All names.
        known: String,
    },
    /// No trigger is written like this.
    #[error(
        "there is no trigger {text:?}{}; write never, always, view=2..5, slot=100..200 or p=0.3,seed=7",
        did_you_mean(.suggestion)
    )]
    UnknownTrigger {
        /// What was written.
        text: String,
        /// The word that is nearest to it, if one is near.
        suggestion: Option<&'static str>,
    },
    /// Not a range of views or slots, or an empty one.
    #[error("{text:?} is no range; write 7 for one number, 2..5 for 2, 3 and 4, or 2.. for all from 2 on")]
    Range {
        /// What was written.
        text: String,
    },
    /// Not a probability.
    #[error(
        "{text:?} is no probability; write a decimal from 0 to 1 with at most six digits after the point, such as 0.3"
    )]
    Probability {
        /// What was written.
        text: String,
    },
    /// Not a seed.
    #[error("{text:?} is no seed; write a whole number from 0 to {}", u64::MAX)]
    Seed {
        /// What was written.
        text: String,
    },
}

fn did_you_mean(suggestion: &Option<&'static str>) -> String {
    suggestion.map_or_else(String::new, |suggestion| format!(", did you mean {suggestion:?}?"))
}

/// The known word that is nearest to `word`, if it is near enough to be a slip of the hand.
#[must_use]
pub fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let begins = |candidate: &str| word.len() >= 3 && (candidate.starts_with(word) || word.starts_with(candidate));
    known
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(word, candidate);
            (if begins(candidate) { distance.min(1) } else { distance }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate)
}
