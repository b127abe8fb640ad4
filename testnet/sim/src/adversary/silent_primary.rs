//! A primary that says nothing (faults, row 2).
//!
//! In the views that it leads nobody hears a pre-prepare, a body, a COMMIT or a NEW-VIEW of it; in the others it is honest. It goes on answering
//! questions and counting votes, so it looks alive.
//!
//! Defence: the timer of the pending command, which no progress elsewhere resets; backups hand the command to the next primary. Silence is no
//! evidence: nobody may be accused of it.

use super::behaviour::Behaviour;
use super::hand::Hand;
use varangian_consensus::{Message, Slot, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::Io;

/// See the module.
#[derive(Debug, Default)]
pub struct SilentPrimary {
    /// The proposal that was just kept back; the core tells its body next.
    kept_back: Option<(Slot, Digest)>,
}

impl Behaviour for SilentPrimary {
    fn vote(&mut self, hand: &Hand, vote: Vote, io: &mut dyn Io) {
        self.kept_back = None;
        let silent = match &vote {
            Vote::PrePrepare(proposal) => {
                let silent = hand.strikes(proposal.view, Some(proposal.slot));
                self.kept_back = silent.then_some((proposal.slot, proposal.digest));
                silent
            }
            Vote::Commit(commit) => hand.leads(commit.view) && hand.strikes(commit.view, Some(commit.slot)),
            Vote::NewView(draft) => hand.strikes(draft.view, None),
            Vote::Prepare(_) | Vote::Checkpoint(_) | Vote::ViewChange(_) => false,
        };
        if silent { hand.tell(io, vote, []) } else { io.vote(vote) }
    }

    fn broadcast(&mut self, _: &Hand, message: Message, io: &mut dyn Io) {
        let kept_back = self.kept_back.take();
        match &message {
            Message::Batch { slot, batch } if kept_back == Some((*slot, *batch.digest())) => {}
            _ => io.broadcast(message),
        }
    }

    fn send(&mut self, hand: &Hand, to: ReplicaId, message: Message, io: &mut dyn Io) {
        let silent = match &message {
            Message::PrePrepare(signed) => {
                hand.is_own(signed) && hand.strikes(signed.statement.view, Some(signed.statement.slot))
            }
            Message::Commit(signed) => {
                let commit = &signed.statement;
                hand.is_own(signed) && hand.leads(commit.view) && hand.strikes(commit.view, Some(commit.slot))
            }
            Message::NewView(signed) => hand.is_own(signed) && hand.strikes(signed.statement.view, None),
            _ => false,
        };
        if !silent {
            io.send(to, message);
        }
    }
}
