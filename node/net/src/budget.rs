//! Bytes that many connections hold together, above a part that each has for itself.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What each holds without asking: small frames always pass, whoever else uses up the rest.
pub(crate) const OWN: usize = 16 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// What one of them holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    held: usize,
}

impl Budget {
    /// `limit`: bytes of all together, above [`OWN`] of each.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// A part in it that holds nothing yet.
    pub(crate) fn charge(self: &Arc<Self>) -> Charge {
        Charge { budget: Arc::clone(self), held: 0 }
    }
}

impl Charge {
    /// From now on it holds `bytes`; `false`, and nothing has changed, if there is no room for them.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let (before, after) = (self.held.saturating_sub(OWN), bytes.saturating_sub(OWN));
        let change = |used: usize| {
            let used = (used - before).saturating_add(after);
            (after <= before || used <= self.budget.limit).then_some(used)
        };
        let changed = self.budget.used.fetch_update(Relaxed, Relaxed, change).is_ok();
        if changed {
            self.held = bytes;
        }
        changed
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_hold_no_more_and_each_has_a_part() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.charge(), budget.charge());
        assert!(one.set(OWN + 80) && !other.set(OWN + 21) && other.set(OWN + 20));
        assert!(!one.set(OWN + 81) && one.set(OWN + 80) && one.set(OWN + 70) && other.set(OWN + 30));
        assert!(budget.charge().set(OWN), "a part of its own, however full it is");
        drop(one);
        assert!(other.set(OWN + 100));
        drop(other);
        assert_eq!(budget.used.load(Relaxed), 0);
    }
}
