//! When an attack strikes.
//!
//! A trigger decides by view and slot alone, so the same place is decided alike however often it comes up: a retransmission, a restart and a second
//! run tell the same story. Randomness too is a function of seed and place.
//!
//! | text | strikes |
//! |-|-|
//! | `never` | nowhere: the replica is honest, to the byte |
//! | `always` | everywhere |
//! | `view=2..5` | in views 2, 3 and 4; `view=2` in one, `view=2..` from 2 on |
//! | `slot=10..20` | in slots 10 to 19 of every view; not at what belongs to no slot, such as a NEW-VIEW |
//! | `p=0.3,seed=7` | at three places in ten, drawn by seed 7 (0 if none is given) |

use super::error::{AttackError, nearest};
use core::fmt;
use core::str::FromStr;
use varangian_consensus::{Slot, View};

const MILLION: u32 = 1_000_000;
const DIGITS: usize = 6;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Nowhere.
    Never,
    /// Everywhere.
    #[default]
    Always,
    /// In these views.
    Views(Span),
    /// In these slots, whatever the view.
    Slots(Span),
    /// At places that are drawn.
    Random {
        /// How many of them.
        probability: Probability,
        /// Which of them.
        seed: u64,
    },
}

/// Numbers from `first` on, below `end` if there is one. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    first: u64,
    end: Option<u64>,
}

/// A probability in millionths: exact, so that equal texts draw equal places on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u32);

impl Trigger {
    /// Reads `NAME` or `NAME@TRIGGER`: what is named, and when it strikes.
    ///
    /// # Errors
    /// [`AttackError`] if what stands behind the `@` is no trigger.
    pub fn behind(text: &str) -> Result<(&str, Self), AttackError> {
        match text.split_once('@') {
            None => Ok((text, Self::Always)),
            Some((name, trigger)) => Ok((name, trigger.parse()?)),
        }
    }

    /// The same with another seed mixed into its own, if it draws at all: for a run that has a seed.
    #[must_use]
    pub const fn mixed(self, with: u64) -> Self {
        match self {
            Self::Random { probability, seed } => Self::Random { probability, seed: scramble(scramble(with) ^ seed) },
            certain => certain,
        }
    }

    /// Whether it strikes at this place. Without a slot: at something that belongs to the view as a whole.
    #[must_use]
    pub fn strikes(&self, view: View, slot: Option<Slot>) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Views(span) => span.contains(view.0),
            Self::Slots(span) => slot.is_some_and(|slot| span.contains(slot.0)),
            Self::Random { probability, seed } => probability.draws(draw(*seed, view, slot)),
        }
    }
}

impl Span {
    /// `first..end`; `None` if nothing lies in it.
    #[must_use]
    pub const fn new(first: u64, end: Option<u64>) -> Option<Self> {
        match end {
            Some(end) if end <= first => None,
            _ => Some(Self { first, end }),
        }
    }

    /// Whether `number` lies in it.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        number >= self.first && self.end.is_none_or(|end| number < end)
    }
}

impl Probability {
    /// So many millionths; `None` above a million.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Option<Self> {
        if millionths <= MILLION { Some(Self(millionths)) } else { None }
    }

    fn draws(self, drawn: u64) -> bool {
        drawn % u64::from(MILLION) < u64::from(self.0)
    }
}

/// One number per seed and place.
fn draw(seed: u64, view: View, slot: Option<Slot>) -> u64 {
    // What belongs to no slot is drawn apart from slot 0.
    [view.0, slot.map_or(u64::MAX, |slot| slot.0)]
        .into_iter()
        .fold(scramble(seed), |state, part| scramble(state ^ part))
}

/// One step of splitmix64.
pub(super) const fn scramble(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl FromStr for Trigger {
    type Err = AttackError;

    fn from_str(text: &str) -> Result<Self, AttackError> {
        let words = ["never", "always", "view", "slot", "p"];
        let unknown = |word: &str| AttackError::UnknownTrigger {
            text: text.to_owned(),
            suggestion: nearest(word, words.into_iter()),
        };
        match text.split_once('=') {
            None if text == "never" => Ok(Self::Never),
            None if text == "always" => Ok(Self::Always),
            None => Err(unknown(text)),
            Some(("view", range)) => range.parse().map(Self::Views),
            Some(("slot", range)) => range.parse().map(Self::Slots),
            Some(("p", rest)) => {
                let (probability, seed) = match rest.split_once(',') {
                    None => (rest, "0"),
                    Some((probability, seed)) => {
                        (probability, seed.strip_prefix("seed=").ok_or_else(|| unknown(seed))?)
                    }
                };
                let seed = whole(seed).ok_or_else(|| AttackError::Seed { text: seed.to_owned() })?;
                Ok(Self::Random { probability: probability.parse()?, seed })
            }
            Some((word, _)) => Err(unknown(word)),
        }
    }
}

impl FromStr for Span {
    type Err = AttackError;

    fn from_str(text: &str) -> Result<Self, AttackError> {
        let span = match text.split_once("..") {
            None => whole(text).and_then(|first| Self::new(first, Some(first.checked_add(1)?))),
            Some((first, "")) => whole(first).and_then(|first| Self::new(first, None)),
            Some((first, end)) => whole(first).zip(whole(end)).and_then(|(first, end)| Self::new(first, Some(end))),
        };
        span.ok_or_else(|| AttackError::Range { text: text.to_owned() })
    }
}

impl FromStr for Probability {
    type Err = AttackError;

    fn from_str(text: &str) -> Result<Self, AttackError> {
        let (ones, digits) = text.split_once('.').unwrap_or((text, "0"));
        let millionths = || {
            if digits.len() > DIGITS {
                return None;
            }
            let fraction = whole(&format!("{digits:0<DIGITS$}")).filter(|_| !digits.is_empty())?;
            let ones = whole(ones).filter(|ones| *ones <= 1)?;
            Self::from_millionths(u32::try_from(ones * u64::from(MILLION) + fraction).ok()?)
        };
        millionths().ok_or_else(|| AttackError::Probability { text: text.to_owned() })
    }
}

/// Decimal digits and nothing else, no sign.
fn whole(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Always => f.write_str("always"),
            Self::Views(span) => write!(f, "view={span}"),
            Self::Slots(span) => write!(f, "slot={span}"),
            Self::Random { probability, seed } => write!(f, "p={probability},seed={seed}"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            None => write!(f, "{}..", self.first),
            Some(end) => write!(f, "{}..{end}", self.first),
        }
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:0DIGITS$}", self.0 % MILLION);
        let fraction = fraction.trim_end_matches('0');
        let ones = self.0 / MILLION;
        if fraction.is_empty() { write!(f, "{ones}") } else { write!(f, "{ones}.{fraction}") }
    }
}
