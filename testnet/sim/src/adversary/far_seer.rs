//! A replica that speaks of views and slots that are far away (faults, row 8).
//!
//! Beside each of its votes it signs others, for slots that no window reaches and views that nobody will see, and claims and asks for the absurd. One
//! bundle per vote. All it signs for one place is the same, so it never contradicts itself.
//!
//! Defence: votes outside the window are not held, and of each sender one vote for a later view; hearsay only chooses what is sent to whom; who asks for what
//! nobody can have voted for is not read for a while. Being out of the window is never evidence.

use super::behaviour::Behaviour;
use super::hand::{Hand, another};
use super::saying::{is_struck, place};
use varangian_consensus::{Checkpoint, Commit, Message, PrePrepare, Prepare, Progress, Slot, Status, View, Vote};
use varangian_crypto::{Bounded, Digest};
use varangian_runner::Io;

const FAR: u64 = 1 << 40;
/// Slots of which a status claims to know something.
const CLAIMED: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct FarSeer;

impl Behaviour for FarSeer {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        let ((view, slot), struck) = (place(&vote), is_struck(hand, &vote));
        io.vote(vote);
        if !struck {
            return;
        }
        let slot = slot.unwrap_or(Slot(1));
        for vote in far_votes(hand, view, slot) {
            hand.lie(io, hand.peers(), vote);
        }
        for message in absurdities() {
            io.broadcast(message);
        }
    }
}

fn far_votes(hand: &Hand, near: View, slot: Slot) -> Vec<Vote> {
    let digest = another(&Digest::from_bytes([8; 32]));
    let n = hand.quorums().n() as u64;
    // The next far view in which it votes, and the next one that it leads.
    let first = near.0.saturating_add(FAR);
    let led = (first..first.saturating_add(n)).map(View).find(|view| hand.leads(*view)).unwrap_or(near);
    let followed = View(led.0.saturating_add(1));
    let beyond = slot.plus(FAR);
    let interval = hand.committee().parameters().checkpoint_interval;
    let checkpoint = Slot(interval.saturating_mul(FAR));
    let mut votes = vec![
        Vote::PrePrepare(PrePrepare { view: led, slot, digest }),
        Vote::PrePrepare(PrePrepare { view: led, slot: beyond, digest }),
        Vote::Prepare(Prepare { view: followed, slot, digest }),
        Vote::Prepare(Prepare { view: followed, slot: Slot(u64::MAX), digest }),
        Vote::Commit(Commit { view: near, slot: beyond, digest }),
        Vote::Commit(Commit { view: View(u64::MAX), slot, digest }),
        Vote::Checkpoint(Checkpoint { slot: checkpoint, history: digest, state: digest }),
    ];
    if !hand.leads(near) {
        votes.push(Vote::Prepare(Prepare { view: near, slot: beyond, digest }));
    }
    votes
}

fn absurdities() -> Vec<Message> {
    let last = Slot(u64::MAX);
    let claimed = vec![Progress::Committed; CLAIMED];
    let status = |view, executed| {
        Message::Status(Status {
            view,
            active: true,
            stable: executed,
            executed,
            slots: Bounded::try_from(claimed.clone()).unwrap_or_default(),
            view_changes: Bounded::new(),
        })
    };
    vec![
        status(View(u64::MAX), last),
        status(View(0), Slot(FAR)),
        Message::FetchBatch { slot: last, digest: Digest::ZERO },
        Message::FetchDecided { from: Slot(1), to: last },
        Message::FetchDecided { from: last, to: Slot::GENESIS },
        Message::Pruned { oldest: last },
    ]
}
