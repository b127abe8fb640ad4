//! What a peer may cost for nothing: checks that nothing can come of.
//!
//! Honest replicas send nothing that is not valid, and the network proves who sent it. So whoever has sent so much of it is not listened to for a while:
//! its votes are not needed, or there are more faulty ones than `f`. Votes beyond the window, or of views that are far, are no fault, for this replica
//! may be the one that is behind; but they are not held either, so only so many are checked: enough to notice that others are ahead.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use varangian_consensus::{Glance, Message, Slot, View};
use varangian_crypto::{Parameters, ReplicaId};
use varangian_net::{Bucket, Rate};

/// Invalid messages of one peer.
const INVALID: Rate = Rate { burst: 32, per_second: 4 };
/// Seconds in which what may come unasked at once may come again.
const UNASKED_PAUSE: u32 = 16;
/// Votes of one peer for what is far from here; the same of its far VIEW-CHANGEs.
const FAR: Rate = Rate { burst: 128, per_second: 32 };
/// For so long one that sent too many invalid messages is not listened to; twice as long each further time, up to [`DEAF_CAP`].
const DEAF: Duration = Duration::from_secs(1);
/// At most.
const DEAF_CAP: Duration = Duration::from_secs(64);
/// What an invalid message counts.
pub const INVALID_MESSAGE: u32 = 1;
/// What an unasked body counts, where there were too many.
pub const UNASKED_BODY: u32 = INVALID.burst / 4;
/// What a body with an invalid command counts: up to as many checks of signatures as a batch holds operations went into it.
pub const INVALID_BODY: u32 = INVALID.burst;

/// What a frame may be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// To be looked at.
    Look,
    /// Nothing any more, or not here: a body that came late, or one of a primary whose view this replica has not heard of yet.
    Useless,
    /// Nothing, and no honest peer sends so many such.
    Unasked,
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1)
}

/// See the module. Shared by the core, which moves on, and the verifying threads.
#[derive(Debug)]
pub struct Credit {
    view: AtomicU64,
    /// Slots up to here have their bodies.
    issued: AtomicU64,
    last: AtomicU64,
    /// Slots of a window.
    window: u64,
    /// Bodies of one peer that nobody asked for, in KiB: after a view change a whole pipeline of the former primary may still be on its way, and before one is heard of, of the next.
    unasked: Rate,
    accounts: Vec<Mutex<Account>>,
}

#[derive(Debug, Default)]
struct Account {
    invalid: Bucket,
    far: Bucket,
    /// Apart from its votes: whoever is behind hears far votes by the hundred, and needs these to come along.
    far_views: Bucket,
    unasked: Bucket,
    /// Bodies that it was asked for and has not sent.
    bodies: u64,
    /// The same of decided slots. (Apart, or a primary's bodies beyond the window would be taken for them.)
    decided: u64,
    deaf_until: Option<Instant>,
    /// The last time, for so long.
    deaf_for: Duration,
}

impl Credit {
    /// For `n` replicas.
    #[must_use]
    pub fn new(n: usize, parameters: &Parameters) -> Self {
        let window = parameters.window;
        let pipeline = u32::try_from(parameters.pipeline_depth).unwrap_or(u32::MAX);
        let burst = pipeline.saturating_mul(kib(parameters.max_batch_bytes as usize));
        let unasked = Rate { burst, per_second: burst / UNASKED_PAUSE + 1 };
        let accounts = (0..n).map(|_| Mutex::default()).collect();
        let at = AtomicU64::new;
        Self { view: at(0), issued: at(0), last: at(window), window, unasked, accounts }
    }

    /// Where this replica stands: its view, the slots whose bodies it needs no more, and the last slot of its window.
    pub fn stands(&self, view: View, issued: Slot, last: Slot) {
        self.view.store(view.0, Relaxed);
        self.issued.store(issued.0, Relaxed);
        self.last.store(last.0, Relaxed);
    }

    /// `peer` is asked something. Of what it has not sent a window of bodies and one of decided slots at most stay open.
    pub fn asks(&self, peer: ReplicaId, question: &Message) {
        let Some(mut account) = self.account(peer) else { return };
        match question {
            Message::FetchBatch { .. } => account.bodies = account.bodies.saturating_add(1).min(self.window),
            Message::FetchDecided { from, to } => {
                let count = to.0.saturating_sub(from.0).saturating_add(1);
                account.decided = account.decided.saturating_add(count).min(self.window);
            }
            _ => {}
        }
    }

    /// What a frame of `peer` that is so long may be good for. Bodies come from primaries, or because they were asked for.
    #[must_use]
    pub fn worth(&self, peer: ReplicaId, frame: Glance, bytes: usize, now: Instant) -> Worth {
        let (is_late, is_proposed) = match frame {
            Glance::Other => return Worth::Look,
            Glance::Decided => (false, false),
            Glance::Body(slot) => {
                let is_late = slot.0 <= self.issued.load(Relaxed);
                if self.may_propose(peer) && !is_late && slot.0 <= self.last.load(Relaxed) {
                    return Worth::Look;
                }
                (is_late, self.leads(peer, 0))
            }
        };
        let Some(mut account) = self.account(peer) else { return Worth::Unasked };
        let open = if frame == Glance::Decided { &mut account.decided } else { &mut account.bodies };
        let was_asked = *open > 0;
        *open = open.saturating_sub(1);
        match (was_asked, is_late) {
            (true, false) => Worth::Look,
            (true, true) => Worth::Useless,
            (false, _) if is_proposed || account.unasked.take(&self.unasked, kib(bytes), now) => Worth::Useless,
            (false, _) => Worth::Unasked,
        }
    }

    /// Whether `peer` leads here, or in the next view: this replica may be about to enter that.
    #[must_use]
    pub fn may_propose(&self, peer: ReplicaId) -> bool {
        self.leads(peer, 0) || self.leads(peer, 1)
    }

    fn leads(&self, peer: ReplicaId, ahead: u64) -> bool {
        self.view.load(Relaxed).saturating_add(ahead) % self.accounts.len() as u64 == u64::from(peer.0)
    }

    /// Whether an honest peer may say so. It asks this replica for what this replica voted for, or proved to be decided: nothing beyond the window, or what it has caught up with.
    #[must_use]
    pub fn may_be_honest(&self, message: &Message) -> bool {
        let last = self.last.load(Relaxed).max(self.issued.load(Relaxed));
        match message {
            Message::FetchBatch { slot, .. } => slot.0 <= last,
            Message::FetchDecided { from, to } => from <= to && to.0 <= last,
            _ => true,
        }
    }

    /// Whether what `peer` sends is looked at.
    #[must_use]
    pub fn listens(&self, peer: ReplicaId, now: Instant) -> bool {
        self.account(peer).is_some_and(|account| account.deaf_until.is_none_or(|until| now >= until))
    }

    /// Whether this message of `peer` is worth a check.
    #[must_use]
    pub fn is_worth_a_check(&self, peer: ReplicaId, message: &Message, now: Instant) -> bool {
        if let Message::ViewChange(signed) = message {
            let near = signed.statement.view.0 <= self.view.load(Relaxed).saturating_add(1);
            return near || self.account(peer).is_some_and(|mut account| account.far_views.take(&FAR, 1, now));
        }
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
    use varangian_consensus::{Commit, NewView, ViewChange};
    use varangian_crypto::{Bounded, Digest, Signature, Signed};

    const PEER: ReplicaId = ReplicaId(1);
    const OTHER: ReplicaId = ReplicaId(2);

    fn vote(view: u64, slot: u64) -> Message {
        let statement = Commit { view: View(view), slot: Slot(slot), digest: Digest::ZERO };
        Message::Commit(Signed { statement, signer: PEER, signature: Signature::from_bytes([0; 64]) })
    }

    fn view_change(view: u64) -> Message {
        let statement = ViewChange { view: View(view), stable: None, prepared: Bounded::new() };
        Message::ViewChange(Box::new(Signed { statement, signer: PEER, signature: Signature::from_bytes([0; 64]) }))
    }

    fn new_view(view: u64) -> Message {
        let statement = NewView { view: View(view), view_changes: Bounded::new(), pre_prepares: Bounded::new() };
        Message::NewView(Box::new(Signed { statement, signer: PEER, signature: Signature::from_bytes([0; 64]) }))
    }

    fn credit() -> Credit {
        Credit::new(
            4,
            &Parameters { window: 20, pipeline_depth: 16, max_batch_bytes: 1 << 20, ..Parameters::default() },
        )
    }

    const MIB: usize = 1 << 20;
    const BODY: Message = Message::FetchBatch { slot: Slot(11), digest: Digest::ZERO };
    const DECIDED: Message = Message::FetchDecided { from: Slot(11), to: Slot(12) };

    #[test]
    fn bodies_come_from_primaries_or_because_they_were_asked_for() {
        let (credit, now) = (credit(), Instant::now());
        credit.stands(View(4), Slot(10), Slot(30));
        let body = |peer, slot| credit.worth(ReplicaId(peer), Glance::Body(Slot(slot)), 0, now);
        let decided = |peer| credit.worth(ReplicaId(peer), Glance::Decided, 0, now);
        for leader in [0, 1] {
            let worths = [11, 30, 10, 31].map(|slot| body(leader, slot));
            assert_eq!(worths, [Worth::Look, Worth::Look, Worth::Useless, Worth::Useless]);
        }
        assert_eq!((body(2, 11), decided(2), decided(0)), (Worth::Useless, Worth::Useless, Worth::Useless));
        assert_eq!(credit.worth(ReplicaId(2), Glance::Other, 0, now), Worth::Look);
        credit.asks(ReplicaId(2), &BODY);
        assert_eq!(
            (body(3, 11), decided(2)),
            (Worth::Useless, Worth::Useless),
            "somebody else was asked, and something else"
        );
        assert_eq!((body(2, 11), body(2, 11)), (Worth::Look, Worth::Useless));
        credit.asks(ReplicaId(2), &BODY);
        assert_eq!(
            (body(2, 10), body(2, 11)),
            (Worth::Useless, Worth::Useless),
            "what comes late is an answer all the same"
        );
        for _ in 0..1000 {
            credit.asks(ReplicaId(2), &BODY);
        }
        assert_eq!((0..1000).filter(|_| body(2, 31) == Worth::Look).count(), 20);
    }

    /// Whoever is behind hears much from the primary that it has no use for: it must not cost the answers that it waits for.
    #[test]
    fn a_primarys_bodies_are_not_taken_for_decided_slots() {
        let (credit, now) = (credit(), Instant::now());
        credit.asks(ReplicaId(0), &DECIDED);
        for _ in 0..1000 {
            assert_eq!(credit.worth(ReplicaId(0), Glance::Body(Slot(99)), MIB, now), Worth::Useless);
        }
        let decided = || credit.worth(ReplicaId(0), Glance::Decided, 0, now);
        assert_eq!([decided(), decided(), decided()], [Worth::Look, Worth::Look, Worth::Useless]);
    }

    #[test]
    fn so_many_unasked_bodies_are_nobodys_fault() {
        let (credit, now) = (credit(), Instant::now());
        credit.stands(View(4), Slot(10), Slot(30));
        let none = |peer, now| {
            let worths = (0..1000).map(|_| credit.worth(ReplicaId(peer), Glance::Body(Slot(1)), MIB, now));
            worths.filter(|worth| *worth == Worth::Useless).count()
        };
        assert_eq!((none(2, now), none(2, now + Duration::from_secs(2))), (16, 2), "a pipeline of whole batches");
        assert_eq!((none(1, now), none(0, now)), (16, 1000), "the next primary has nothing to propose yet");
    }

    #[test]
    fn nobody_honest_asks_for_what_is_beyond_the_window() {
        let credit = credit();
        credit.stands(View(4), Slot(10), Slot(30));
        let body = |slot| credit.may_be_honest(&Message::FetchBatch { slot: Slot(slot), digest: Digest::ZERO });
        assert_eq!([1, 30, 31].map(body), [true, true, false]);
        let decided = |from, to| credit.may_be_honest(&Message::FetchDecided { from: Slot(from), to: Slot(to) });
        assert_eq!([decided(1, 30), decided(30, 30), decided(1, 31), decided(2, 1)], [true, true, false, false]);
        assert!(credit.may_be_honest(&vote(9, 99)), "this replica may be the one that is behind");
        credit.stands(View(4), Slot(50), Slot(30));
        assert_eq!(
            [decided(1, 50), decided(1, 51)],
            [true, false],
            "it caught up beyond its window, and proves that to others"
        );
    }

    #[test]
    fn who_sends_what_is_invalid_is_heard_again_later() {
        let (credit, start) = (credit(), Instant::now());
        let sent = |now| (1..).find_map(|sent| Some((sent, credit.was_invalid(PEER, INVALID_MESSAGE, now)?))).unwrap();
        assert_eq!(sent(start), (33, start + DEAF));
        assert!(!credit.listens(PEER, start) && credit.listens(OTHER, start));
        let later = start + DEAF;
        assert!(credit.listens(PEER, later));
        assert_eq!(sent(later), (5, later + 2 * DEAF), "four a second from then on, and longer each time");
        let longest = (0..9).map(|_| sent(later).1).max().unwrap();
        assert_eq!(longest, later + DEAF_CAP);
        assert!(!credit.listens(ReplicaId(9), start), "nobody");
    }

    /// One in eight seconds is no fault of many: two at once are.
    #[test]
    fn invalid_bodies_are_dear() {
        let (credit, start) = (credit(), Instant::now());
        assert_eq!(credit.was_invalid(PEER, INVALID_BODY, start), None);
        assert!(credit.was_invalid(PEER, INVALID_BODY, start + Duration::from_secs(7)).is_some());
        assert_eq!(credit.was_invalid(OTHER, INVALID_BODY, start), None);
        assert_eq!(credit.was_invalid(OTHER, INVALID_BODY, start + Duration::from_secs(8)), None);
    }

    #[test]
    fn of_what_is_far_so_much_is_checked() {
        let (credit, now) = (credit(), Instant::now());
        credit.stands(View(3), Slot(80), Slot(100));
        let checked = |vote: &Message| (0..1000).filter(|_| credit.is_worth_a_check(PEER, vote, now)).count();
        for near in [vote(0, 1), vote(4, 100)] {
            assert_eq!(checked(&near), 1000);
        }
        assert_eq!(checked(&vote(3, 101)), 128);
        assert_eq!(checked(&vote(5, 1)), 0, "one account for all that is far");
        assert_eq!(checked(&view_change(5)), 128, "an account of their own");
        assert_eq!(checked(&view_change(4)), 1000, "the next view may be asked for");
        assert_eq!(checked(&new_view(9)), 1000, "whoever is behind must hear of it");
        assert_eq!(checked(&vote(3, 100)), 1000, "what is near is checked all the same");
        assert!(credit.is_worth_a_check(OTHER, &vote(3, 101), now));
        assert!(
            credit.is_worth_a_check(PEER, &Message::Pruned { oldest: Slot(1 << 50) }, now),
            "nothing to check in it"
        );
    }
}
