//! What a peer may cost for nothing: checks of signatures that nothing can come of.
//!
//! Honest replicas send nothing that is not valid, and the network proves who sent it. So whoever has sent so much of it is not listened to for a while:
//! its votes are not needed, or there are more faulty ones than `f`. Votes beyond the window, or of views that are far, are no fault, for this replica
//! may be the one that is behind; but they are not held either, so only so many are checked: enough to notice that others are ahead.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use varangian_consensus::{Message, Slot, View};
use varangian_crypto::ReplicaId;
use varangian_net::{Bucket, Rate};

/// Invalid messages of one peer.
const INVALID: Rate = Rate { burst: 32, per_second: 4 };
/// Votes of one peer for what is far from here.
const FAR: Rate = Rate { burst: 128, per_second: 32 };
/// For so long one that sent too many invalid messages is not listened to; twice as long each further time, up to [`DEAF_CAP`].
const DEAF: Duration = Duration::from_secs(1);
/// At most.
const DEAF_CAP: Duration = Duration::from_secs(64);
/// What an invalid message counts.
pub const INVALID_MESSAGE: u32 = 1;
/// What a body with an invalid command counts: up to as many checks of signatures as a batch holds operations went into it.
pub const INVALID_BODY: u32 = INVALID.burst;

/// See the module. Shared by the core, which moves on, and the verifying threads.
#[derive(Debug)]
pub struct Credit {
    view: AtomicU64,
    last: AtomicU64,
    accounts: Vec<Mutex<Account>>,
}

#[derive(Debug, Default)]
struct Account {
    invalid: Bucket,
    far: Bucket,
    deaf_until: Option<Instant>,
    /// The last time, for so long.
    deaf_for: Duration,
}

impl Credit {
    /// For `n` replicas.
    #[must_use]
    pub fn new(n: usize) -> Self {
        let accounts = (0..n).map(|_| Mutex::default()).collect();
        Self { view: AtomicU64::new(0), last: AtomicU64::new(0), accounts }
    }

    /// Where this replica stands: its view, and the last slot of its window.
    pub fn stands(&self, view: View, last: Slot) {
        self.view.store(view.0, Relaxed);
        self.last.store(last.0, Relaxed);
    }

    /// Whether what `peer` sends is looked at.
    #[must_use]
    pub fn listens(&self, peer: ReplicaId, now: Instant) -> bool {
        self.account(peer).is_some_and(|account| account.deaf_until.is_none_or(|until| now >= until))
    }

    /// Whether this message of `peer` is worth a check.
    #[must_use]
    pub fn is_worth_a_check(&self, peer: ReplicaId, message: &Message, now: Instant) -> bool {
        let (view, slot) = message.place();
        // Of the next view there may be votes before its NEW-VIEW is here.
        let near = view.is_none_or(|view| view.0 <= self.view.load(Relaxed).saturating_add(1))
            && slot.is_none_or(|slot| slot.0 <= self.last.load(Relaxed));
        near || self.account(peer).is_some_and(|mut account| account.far.take(&FAR, 1, now))
    }

    /// A message of `peer` was not valid; until when it is not listened to, if that was too much.
    pub fn was_invalid(&self, peer: ReplicaId, count: u32, now: Instant) -> Option<Instant> {
        let mut account = self.account(peer)?;
        if account.invalid.take(&INVALID, count, now) {
            return None;
        }
        account.deaf_for = account.deaf_for.saturating_mul(2).clamp(DEAF, DEAF_CAP);
        let until = now + account.deaf_for;
        account.deaf_until = Some(until);
        Some(until)
    }

    fn account(&self, peer: ReplicaId) -> Option<MutexGuard<'_, Account>> {
        self.accounts.get(peer.index()).map(|account| account.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use varangian_consensus::Commit;
    use varangian_crypto::{Digest, Signature, Signed};

    const PEER: ReplicaId = ReplicaId(1);
    const OTHER: ReplicaId = ReplicaId(2);

    fn vote(view: u64, slot: u64) -> Message {
        let statement = Commit { view: View(view), slot: Slot(slot), digest: Digest::ZERO };
        Message::Commit(Signed { statement, signer: PEER, signature: Signature::from_bytes([0; 64]) })
    }

    #[test]
    fn who_sends_what_is_invalid_is_heard_again_later() {
        let (credit, start) = (Credit::new(4), Instant::now());
        let sent = |now| (1..).find_map(|sent| Some((sent, credit.was_invalid(PEER, INVALID_MESSAGE, now)?))).unwrap();
        assert_eq!(sent(start), (33, start + DEAF));
        assert!(!credit.listens(PEER, start) && credit.listens(OTHER, start));
        let later = start + DEAF;
        assert!(credit.listens(PEER, later));
        assert_eq!(sent(later), (5, later + 2 * DEAF), "four a second from then on, and longer each time");
        let last = (0..9).map(|_| sent(later).1).last().unwrap();
        assert_eq!(last, later + DEAF_CAP);
        assert!(!credit.listens(ReplicaId(9), start), "nobody");
    }

    /// One in eight seconds is no fault of many: two at once are.
    #[test]
    fn invalid_bodies_are_dear() {
        let (credit, start) = (Credit::new(4), Instant::now());
        assert_eq!(credit.was_invalid(PEER, INVALID_BODY, start), None);
        assert!(credit.was_invalid(PEER, INVALID_BODY, start + Duration::from_secs(7)).is_some());
        assert_eq!(credit.was_invalid(OTHER, INVALID_BODY, start), None);
        assert_eq!(credit.was_invalid(OTHER, INVALID_BODY, start + Duration::from_secs(8)), None);
    }

    #[test]
    fn of_what_is_far_so_much_is_checked() {
        let (credit, now) = (Credit::new(4), Instant::now());
        credit.stands(View(3), Slot(100));
        let checked = |vote: &Message| (0..1000).filter(|_| credit.is_worth_a_check(PEER, vote, now)).count();
        for near in [vote(0, 1), vote(4, 100)] {
            assert_eq!(checked(&near), 1000);
        }
        assert_eq!(checked(&vote(3, 101)), 128);
        assert_eq!(checked(&vote(5, 1)), 0, "one account for all that is far");
        assert_eq!(checked(&vote(3, 100)), 1000, "what is near is checked all the same");
        assert!(credit.is_worth_a_check(OTHER, &vote(3, 101), now));
        assert!(
            credit.is_worth_a_check(PEER, &Message::Pruned { oldest: Slot(1 << 50) }, now),
            "nothing to check in it"
        );
    }
}
