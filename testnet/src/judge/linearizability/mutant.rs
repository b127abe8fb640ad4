//! Histories that no order explains, made of ones that some order does.

use super::history::{Step, Told, Visit, Window};
use std::collections::BTreeMap;
use varangian_application::kv::{Action, Response, Value};

/// A history that is wrong for sure.
pub(super) struct Mutant {
    pub(super) key: Vec<u8>,
    from: usize,
    visits: Vec<Visit>,
    straddling: usize,
    until: Option<u64>,
}

/// A way to make a history wrong; `None` if it has nothing to take hold of.
pub(super) type Mutation = fn(&Window<'_>) -> Option<Mutant>;

/// What is made wrong, and how.
pub(super) const MUTATIONS: [(&str, Mutation); 3] = [
    ("the sums of two additions exchanged", exchanged_sums),
    ("a read of a value that was overwritten", stale_read),
    ("a put that found nothing where something had been put", blind_put),
];

impl Mutant {
    pub(super) fn new(window: &Window<'_>, change: impl FnOnce(&mut [Visit])) -> Self {
        let mut visits: Vec<_> = window.visits.iter().copied().cloned().collect();
        change(&mut visits);
        let Window { from, straddling, until, .. } = *window;
        Self { key: window.key.to_vec(), from, visits, straddling, until }
    }

    pub(super) fn window(&self) -> Window<'_> {
        let Self { key, from, visits, straddling, until } = self;
        let visits = visits.iter().collect();
        Window { key, from: *from, visits, straddling: *straddling, until: *until, fresh: 0 }
    }
}

/// A command that did one thing, within the window, and was answered in time.
struct Alone<'a> {
    place: usize,
    sent_ms: u64,
    done_ms: u64,
    step: &'a Step,
}

/// Those of a window, by when they were sent.
fn alone<'a>(window: &'a Window<'_>) -> impl DoubleEndedIterator<Item = Alone<'a>> {
    window.visits.iter().enumerate().skip(window.straddling).filter_map(|(place, visit)| match visit.steps.as_slice() {
        [step] => {
            let done_ms = visit.done_ms.filter(|done| window.until.is_none_or(|until| *done < until))?;
            Some(Alone { place, sent_ms: visit.sent_ms, done_ms, step })
        }
        _ => None,
    })
}

fn all_steps(window: &Window<'_>, pure: impl Fn(&Action) -> bool) -> bool {
    window.visits.iter().flat_map(|visit| &visit.steps).all(|step| pure(&step.action))
}

/// A counter that only grows: of two additions, one after the other, the later has the greater sum. The last such pair is exchanged.
fn exchanged_sums(window: &Window<'_>) -> Option<Mutant> {
    let grows = |action: &Action| match action {
        Action::Add { delta, .. } => *delta > 0,
        action => matches!(action, Action::Get { .. }),
    };
    if !all_steps(window, grows) {
        return None;
    }
    let sums: Vec<_> =
        alone(window).filter(|alone| matches!(alone.step.told, Told::Response(Response::Counter(_)))).collect();
    let (earlier, later) = sums.iter().rev().find_map(|later| {
        let earlier = sums.iter().filter(|earlier| earlier.done_ms < later.sent_ms);
        Some((earlier.max_by_key(|earlier| earlier.done_ms)?, later))
    })?;
    Some(Mutant::new(window, |visits| {
        visits[earlier.place].steps[0].told = later.step.told.clone();
        visits[later.place].steps[0].told = earlier.step.told.clone();
    }))
}

/// A value that was put once only, then another, then a read: it reads the first again. The last such read is taken.
fn stale_read(window: &Window<'_>) -> Option<Mutant> {
    let plain = |action: &Action| matches!(action, Action::Get { .. } | Action::Put { .. } | Action::Delete { .. });
    if !all_steps(window, plain) {
        return None;
    }
    let mut times: BTreeMap<&[u8], u64> = BTreeMap::new();
    for step in window.visits.iter().flat_map(|visit| &visit.steps) {
        if let Action::Put { value, .. } = &step.action {
            *times.entry(value).or_default() += 1;
        }
    }
    let puts: Vec<(&Value, Alone<'_>)> = alone(window)
        .filter_map(|alone| match &alone.step.action {
            Action::Put { value, .. } if alone.step.told != Told::Halted => Some((value, alone)),
            _ => None,
        })
        .collect();
    let reads = alone(window).rev().filter(|alone| matches!(alone.step.told, Told::Response(Response::Value(_))));
    let (read, value) = reads.into_iter().find_map(|read| {
        let over = puts.iter().filter(|(_, put)| put.done_ms < read.sent_ms);
        let (_, over) = over.max_by_key(|(_, put)| put.sent_ms)?;
        let once = |(value, put): &&(&Value, Alone<'_>)| put.done_ms < over.sent_ms && times.get(&***value) == Some(&1);
        let (value, _) = puts.iter().rev().find(once)?;
        Some((read, (*value).clone()))
    })?;
    Some(Mutant::new(window, |visits| {
        visits[read.place].steps[0].told = Told::Response(Response::Value(Some(value)));
    }))
}

/// A put of a key that nobody deletes, after another put of it: it found nothing. The last such put is taken.
fn blind_put(window: &Window<'_>) -> Option<Mutant> {
    if !all_steps(window, |action| matches!(action, Action::Get { .. } | Action::Put { .. })) {
        return None;
    }
    let puts: Vec<_> =
        alone(window).filter(|alone| matches!(alone.step.told, Told::Response(Response::Written { .. }))).collect();
    let later = puts.iter().rev().find(|later| puts.iter().any(|earlier| earlier.done_ms < later.sent_ms))?;
    Some(Mutant::new(window, |visits| {
        visits[later.place].steps[0].told = Told::Response(Response::Written { existed: false });
    }))
}
