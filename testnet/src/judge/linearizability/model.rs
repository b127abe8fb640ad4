//! What a key does, and the search for an order.
//!
//! The store's rules are written down here by hand, without the application: a mistake in that must show.

use super::history::{Step, Told, Window};
use bytes::Bytes;
use std::cell::Cell;
use todc_utils::{Action as Event, History, Specification, WGLChecker};
use varangian_application::kv::{Action, KvError, Response, Value};

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
enum State {
    /// Whatever: a window begins in the middle of a history.
    Any,
    /// A value, or nothing.
    Holds(Option<Bytes>),
}

/// A command at a key, tried by the search.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    steps: &'a [Step],
    /// Whether it was answered within the window; if not, it may have run or not.
    answered: bool,
    /// Tries left.
    left: &'a Cell<u64>,
}

/// The rules, for the search.
struct Rules<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> Specification for Rules<'a> {
    type State = State;
    type Operation = Attempt<'a>;

    fn init() -> State {
        State::Any
    }

    fn apply(attempt: &Attempt<'a>, state: &State) -> (bool, State) {
        let left = attempt.left.get();
        attempt.left.set(left.saturating_sub(1));
        let after = attempt.steps.iter().try_fold(state.clone(), |state, step| {
            if attempt.answered { state.answered(step) } else { Some(state.unanswered(&step.action)) }
        });
        // Without tries left nothing is possible any more, and the search ends.
        match after.filter(|_| left > 0) {
            Some(after) => (true, after),
            None => (false, state.clone()),
        }
    }
}

/// Whether an order explains a window, within so many tries of a command; `tries` is then what is left of them.
///
/// A command that was not answered ends after everything else: to have run last of all is never to have run, as far as anybody was told.
pub(super) fn explain(window: &Window<'_>, tries: &mut u64) -> Explained {
    let left = Cell::new(*tries);
    // In one millisecond beginnings come before ends: journals round down, so what ended in the millisecond in which another began may overlap it.
    let (begin, end) = (0, 1);
    let mut events = Vec::new();
    for (process, visit) in window.visits.iter().enumerate() {
        let done = visit.done_ms.filter(|done| window.until.is_none_or(|until| *done < until));
        let attempt = Attempt { steps: &visit.steps, answered: done.is_some(), left: &left };
        events.push((visit.sent_ms, begin, process, attempt));
        events.push((done.unwrap_or(u64::MAX), end, process, attempt));
    }
    events.sort_by_key(|(ms, kind, process, _)| (*ms, *kind, *process));
    let event = |(_, kind, process, attempt)| {
        (process + 1, if kind == begin { Event::Call(attempt) } else { Event::Response(attempt) })
    };
    let nothing = [Step::finds_nothing()];
    let mut history = Vec::new();
    if window.from == 0 {
        // The chain begins without any key: as if somebody had looked.
        let first = Attempt { steps: &nothing, answered: true, left: &left };
        history.extend([(0, Event::Call(first)), (0, Event::Response(first))]);
    }
    history.extend(events.into_iter().map(event));
    // The search knows no empty history.
    let found = history.is_empty() || WGLChecker::<Rules<'_>>::is_linearizable(History::from_actions(history));
    *tries = left.get();
    match (found, left.get()) {
        (true, _) => Explained::Yes,
        (false, 0) => Explained::Undecided,
        (false, _) => Explained::No,
    }
}

impl State {
    fn may_be(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Any => true,
            Self::Holds(held) => held.as_deref() == value.map(|value| &**value),
        }
    }

    fn may_exist(&self, exists: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Holds(held) => held.is_some() == exists,
        }
    }

    fn may_count(&self, number: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Holds(held) => count(held.as_ref()) == Some(number),
        }
    }

    fn holding(value: Option<&Value>) -> Self {
        Self::Holds(value.map(|value| value.clone().into_bytes()))
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
                (self.may_exist(*existed), Self::Holds(None))
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
            Action::Delete { .. } => Self::Holds(None),
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
        Self::Holds(Some(sum.to_string().into()))
    }

    /// What it counts to; `None` if that is not known or it is no number.
    fn number(&self) -> Option<i64> {
        match self {
            Self::Any => None,
            Self::Holds(held) => count(held.as_ref()),
        }
    }
}

/// A counter is a number in decimal; nothing counts as zero.
fn count(held: Option<&Bytes>) -> Option<i64> {
    held.map_or(Some(0), |text| str::from_utf8(text).ok()?.parse().ok())
}
