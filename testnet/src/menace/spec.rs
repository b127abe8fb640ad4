//! Every menace by name: `flood`, `flood,rate=500`, `gaps@view=2..5`, `huge@p=0.3,seed=7,rate=2`.
//!
//! What stands behind the `@` is a [`Trigger`] as for attacks of replicas. View and slot are those that the replicas name; with a probability each single
//! act is mischief or honest, drawn by its number. The rate is in acts per second, at most.

use std::fmt;

use thiserror::Error;
use varangian_consensus::{Slot, View};
use varangian_sim::adversary::{AttackError, Trigger, nearest};

use super::registry::{Kind, MENACES};

/// A kind of menace, when it strikes and how often.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    kind: &'static Kind,
    trigger: Trigger,
    rate: u32,
}

/// Why a text names no menace. Every message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// No menace has this name.
    #[error("there is no menace {name:?}{}; the menaces are {known}", suggestion.map_or_else(String::new, |near| format!(", did you mean {near:?}?")))]
    Unknown {
        /// What was written.
        name: String,
        /// The name that is nearest to it, if one is near.
        suggestion: Option<&'static str>,
        /// All names.
        known: String,
    },
    /// The trigger.
    #[error(transparent)]
    Trigger(#[from] AttackError),
    /// The rate.
    #[error("{text:?} is no rate for {kind}; write rate=N with N from 1 to {most}, in acts per second")]
    Rate {
        /// What was written.
        text: String,
        /// Whose.
        kind: &'static str,
        /// The highest.
        most: u32,
    },
}

impl Spec {
    /// Reads `NAME`, `NAME@TRIGGER`, and either with `,rate=N` behind it.
    ///
    /// # Errors
    /// [`SpecError`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let (front, rate) = match text.rsplit_once(",rate=") {
            None => (text, None),
            Some((front, rate)) => (front, Some(rate)),
        };
        let (name, trigger) = Trigger::behind(front)?;
        let kind = MENACES.iter().find(|kind| kind.name == name).ok_or_else(|| SpecError::Unknown {
            name: name.to_owned(),
            suggestion: nearest(name, MENACES.iter().map(|kind| kind.name)),
            known: MENACES.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", "),
        })?;
        let rate = match rate {
            None => kind.rate,
            Some(text) => {
                let rate = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
                let wrong = || SpecError::Rate { text: text.to_owned(), kind: kind.name, most: kind.most };
                rate.filter(|rate| (1..=kind.most).contains(rate)).ok_or_else(wrong)?
            }
        };
        Ok(Self { kind, trigger, rate })
    }

    /// What it does.
    #[must_use]
    pub const fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// When it strikes.
    #[must_use]
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Acts per second at most.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// The same with a run's seed mixed into that of its trigger.
    #[must_use]
    pub const fn mixed(self, seed: u64) -> Self {
        Self { trigger: self.trigger.mixed(seed), ..self }
    }

    /// Whether the act of this number is mischief, at this place. While the place is not known, nothing is in a view or a slot.
    pub(super) fn strikes(&self, number: u64, place: Option<(View, Slot)>) -> bool {
        match (self.trigger, place) {
            (Trigger::Random { .. }, _) => self.trigger.strikes(View(0), Some(Slot(number))),
            (Trigger::Views(_) | Trigger::Slots(_), None) => false,
            (_, Some((view, slot))) => self.trigger.strikes(view, Some(slot)),
            (_, None) => self.trigger.strikes(View(0), None),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name)?;
        if self.trigger != Trigger::Always {
            write!(f, "@{}", self.trigger)?;
        }
        if self.rate != self.kind.rate {
            write!(f, ",rate={}", self.rate)?;
        }
        Ok(())
    }
}
