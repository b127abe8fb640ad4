//! What a key does, and the search for an order.
//!
//! The store's rules are written down here by hand, without the application: a mistake in that must show.

use super::history::{Step, Told, Window};
use bytes::Bytes;
use std::cell::Cell;
use todc_utils::{Action as Event, History, Specification, WGLChecker};
use varangian_application::kv::{Action, KvError, Response, Value};

/// What a step forward costs; to find that none is possible here costs one.
const STEP: u64 = 16;

/// What the search says of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Explained {
    /// There is an order.
    Yes,
    /// There is none.
    No,
    /// It had to stop.
    Undecided,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Held {
    /// Whatever: a window begins in the middle of a history.
    Any,
    /// A value, or nothing.
    Exactly(Option<Bytes>),
}

/// Commands that were under way when a window began or ended: a bit for each. Those that ran outside of it do nothing in it.
type Straddlers = u128;

/// The window has begun: whoever has not run before it by now runs in it.
const BEGUN: Straddlers = 1;

/// A command at a key, tried by the search.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    steps: &'a [Step],
    /// Whether it was answered; if not, it may have run or not.
    answered: bool,
    /// What it is, if it was under way.
    straddles: Straddlers,
    /// No command, but the choice that this one ran outside of the window; it comes too late after what is in `unless`.
    outside: Straddlers,
    unless: Straddlers,
    /// Effort left.
    left: &'a Cell<u64>,
}

/// The rules, for the search.
struct Rules<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> Specification for Rules<'a> {
    /// With those that ran outside.
    type State = (Held, Straddlers);
    type Operation = Attempt<'a>;

    fn init() -> Self::State {
        (Held::Any, 0)
    }

    fn apply(attempt: &Attempt<'a>, (held, outside): &Self::State) -> (bool, Self::State) {
        let left = attempt.left.get();
        let after = if attempt.straddles & outside == 0 {
            attempt.steps.iter().try_fold(held.clone(), |held, step| {
                if attempt.answered { held.answered(step) } else { Some(held.unanswered(&step.action)) }
            })
        } else {
            Some(held.clone())
        };
        // The search remembers all that is possible, which is what costs.
        attempt.left.set(left.saturating_sub(if after.is_some() { STEP } else { 1 }));
        // Without effort left nothing is possible any more, and the search ends.
        match after.filter(|_| left > 0) {
            Some(after) if outside & attempt.unless == 0 => (true, (after, outside | attempt.outside)),
            Some(after) => (true, (after, *outside)),
            None => (false, (held.clone(), *outside)),
        }
    }
}

/// Whether an order explains a window, within so much effort; then what is left of it.
///
/// A command that was not answered ends after everything else: to have run last of all is never to have run, as far as anybody was told.
pub(super) fn explain(window: &Window<'_>, effort: &mut u64) -> Explained {
    let left = Cell::new(*effort);
    // In one millisecond beginnings come before ends: journals round down, so what ended in the millisecond in which another began may overlap it.
    let (begin, end) = (0, 1);
    let blank = Attempt { steps: &[], answered: true, straddles: 0, outside: 0, unless: 0, left: &left };
    // The chain begins without any key: as if somebody had looked.
    let nothing = [Step::finds_nothing()];
    let looked = Attempt { steps: &nothing, ..blank };
    let mut events = Vec::new();
    let mut bits = (1..Straddlers::BITS).map(|bit| BEGUN << bit);
    let mut first = vec![if window.from == 0 { looked } else { Attempt { outside: BEGUN, ..blank } }];
    for (process, visit) in (1..).zip(&window.visits) {
        let within = visit.done_ms.filter(|done| window.until.is_none_or(|until| *done < until));
        let under_way = process <= window.straddling || within.is_none();
        let bit = (under_way && visit.done_ms.is_some()).then(|| bits.next()).flatten();
        let answered = within.is_some() || bit.is_some();
        let attempt = Attempt { steps: &visit.steps, answered, straddles: bit.unwrap_or(0), ..blank };
        events.push(((visit.sent_ms, begin, process), attempt));
        events.push(((within.unwrap_or(u64::MAX), end, process), attempt));
        if let Some(outside) = bit {
            if process <= window.straddling {
                first.push(Attempt { outside, unless: BEGUN, ..blank });
            } else {
                // That it ran later is tried when all else has run.
                events.extend([begin, end].map(|kind| ((u64::MAX, kind, 0), Attempt { outside, ..blank })));
            }
        }
    }
    events.sort_by_key(|(place, _)| *place);
    let begun = first.iter().map(|one| Event::Call(*one)).chain(first.iter().map(|one| Event::Response(*one)));
    let mut history: Vec<_> = begun.map(|event| (0, event)).collect();
    history.extend(events.into_iter().map(|((_, kind, process), attempt)| {
        (process, if kind == begin { Event::Call(attempt) } else { Event::Response(attempt) })
    }));
    let found = WGLChecker::<Rules<'_>>::is_linearizable(History::from_actions(history));
    *effort = left.get();
    match (found, left.get()) {
        (true, _) => Explained::Yes,
        (false, 0) => Explained::Undecided,
        (false, _) => Explained::No,
    }
}

impl Held {
    fn may_be(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(held) => held.as_deref() == value.map(|value| &**value),
        }
    }

    fn may_exist(&self, exists: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(held) => held.is_some() == exists,
        }
    }

    fn may_count(&self, number: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(held) => count(held.as_ref()) == Some(number),
        }
    }

    fn holding(value: Option<&Value>) -> Self {
        Self::Exactly(value.map(|value| value.clone().into_bytes()))
    }

    /// After an operation, if it can have been answered so.
    fn answered(self, Step { action, told }: &Step) -> Option<Self> {
        let (possible, after) = match (action, told) {
            (Action::Get { .. }, Told::Response(Response::Value(value))) => {
                (self.may_be(value.as_ref()), Self::holding(value.as_ref()))
            }
            (Action::Put { value, .. }, Told::Response(Response::Written { existed })) => {
                (self.may_exist(*existed), Self::holding(Some(value)))
            }
            (Action::Delete { .. }, Told::Response(Response::Written { existed })) => {
                (self.may_exist(*existed), Self::Exactly(None))
            }
            (Action::CompareAndSwap { expected, new, .. }, Told::Response(Response::Swapped)) => {
                (self.may_be(expected.as_ref()), Self::holding(new.as_ref()))
            }
            (Action::CompareAndSwap { expected, .. }, Told::Response(Response::NotSwapped { current })) => {
                (current != expected && self.may_be(current.as_ref()), Self::holding(current.as_ref()))
            }
            (Action::Add { delta, .. }, Told::Response(Response::Counter(sum))) => {
                let before = sum.checked_sub(*delta);
                (before.is_some_and(|before| self.may_count(before)), Self::counter(*sum))
            }
            (Action::Add { .. }, Told::Failed(KvError::NotANumber)) => {
                (self == Self::Any || self.number().is_none(), self)
            }
            (Action::Add { delta, .. }, Told::Failed(KvError::Overflow)) => {
                let overflows = |number: i64| number.checked_add(*delta).is_none();
                (self == Self::Any || self.number().is_some_and(overflows), self)
            }
            (_, Told::Halted) => (true, self),
            _ => (false, self),
        };
        possible.then_some(after)
    }

    /// After an operation whose answer nobody knows.
    fn unanswered(self, action: &Action) -> Self {
        match action {
            Action::Put { value, .. } => Self::holding(Some(value)),
            Action::Delete { .. } => Self::Exactly(None),
            Action::CompareAndSwap { expected, new, .. } => match self {
                Self::Any => Self::Any,
                held if held.may_be(expected.as_ref()) => Self::holding(new.as_ref()),
                held => held,
            },
            Action::Add { delta, .. } => match self.number().and_then(|number| number.checked_add(*delta)) {
                Some(sum) => Self::counter(sum),
                None => self,
            },
            Action::Get { .. } | Action::Scan { .. } => self,
        }
    }

    fn counter(sum: i64) -> Self {
        Self::Exactly(Some(sum.to_string().into()))
    }

    /// What it counts to; `None` if that is not known or it is no number.
    fn number(&self) -> Option<i64> {
        match self {
            Self::Any => None,
            Self::Exactly(held) => count(held.as_ref()),
        }
    }
}

/// A counter is a number in decimal; nothing counts as zero.
fn count(held: Option<&Bytes>) -> Option<i64> {
    held.map_or(Some(0), |text| str::from_utf8(text).ok()?.parse().ok())
}
