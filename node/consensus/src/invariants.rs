//! What is true of a replica after every step. Tests and simulation check all of it each time.

use crate::replica::{Phase, Replica};

impl Replica {
    /// Checks the state against itself.
    ///
    /// # Panics
    /// If an invariant is broken: a bug in this crate, never a peer's doing.
    pub fn invariants(&self) {
        let (low, high) = (self.stable_slot(), self.stable_slot().plus(self.config.window));
        assert!(low <= self.executed, "stable at {low} but executed only {}", self.executed);
        assert!(self.executed <= self.issued, "execution is ahead of its order");
        assert!(self.log.keys().all(|slot| low < *slot && *slot <= high), "the log reaches out of the window");
        assert!(self.decided.keys().all(|slot| *slot > self.issued), "a decided slot was executed and is still held");
        assert!(self.decided.len() as u64 <= self.config.window, "more decided slots than a window");
        assert!(self.checkpoints.keys().all(|slot| low < *slot && *slot <= high), "checkpoint votes out of the window");
        assert!(self.entered <= self.view, "entered a later view than it is in");
        assert!(self.phase == Phase::Changing || self.entered == self.view, "active in a view that was not entered");
        assert!(self.promise.as_ref().is_none_or(|promise| promise.view <= self.view), "in a view below its promise");
        assert!(
            self.phase == Phase::Active || self.promise.as_ref().is_some_and(|promise| promise.view == self.view),
            "asks for a view without a promise"
        );
        assert!(self.next_slot > self.issued, "would propose a slot that is executed");
        assert!(self.pool.armed() <= self.config.armed, "more commands armed than allowed");
        assert!(self.view_changes.len() <= self.config.quorums.n(), "two view changes of one sender");
        assert!(
            self.ahead.as_ref().is_none_or(|ahead| ahead.statement.slot > self.executed),
            "behind a checkpoint that it has executed"
        );
        for (slot, entry) in &self.log {
            if let Some(vote) = entry.vote {
                assert!(vote.slot == *slot && vote.view <= self.entered, "a vote in a view that was never entered");
            }
            if let Some(certificate) = &entry.prepared {
                assert!(certificate.pre_prepare.slot == *slot, "a certificate in another's slot");
                assert!(certificate.pre_prepare.view <= self.entered, "prepared in a view that was never entered");
            }
        }
    }
}
