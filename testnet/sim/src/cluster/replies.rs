//! What clients are told, and whether they are heard.

use super::drive::must;
use super::{Answer, Cluster};
use crate::adversary::Told;
use crate::adversary::told::false_result;
use varangian_consensus::{Identity, Millis, Record, Slot};
use varangian_crypto::ReplicaId;

impl Cluster {
    pub(super) fn hears_clients(&mut self, id: ReplicaId) -> bool {
        let Some(runner) = self.nodes[id.index()].runner.as_mut() else { return true };
        let view = runner.replica().view();
        runner.io().hears_clients(view)
    }

    /// A replica tells a client what its command came to.
    pub(super) fn reply(&mut self, id: ReplicaId, identity: Identity, answer: Answer) {
        must(self.checks.replied(id, identity, &answer));
        let Some(runner) = self.nodes[id.index()].runner.as_mut() else { return };
        let view = runner.replica().view();
        match runner.io().answer(view, answer.slot) {
            Told::Truth => self.tell_client(id, identity, answer, 0),
            Told::Lie => self.lie_to_client(id, identity, answer.slot),
            Told::Late(after) => self.tell_client(id, identity, answer, after),
            Told::Nothing => {}
        }
    }

    /// Clients of whom a liar knows that they want something are answered before anything is decided.
    pub(super) fn answer_early(&mut self, id: ReplicaId, records: &[Record]) {
        let Some(runner) = self.nodes[id.index()].runner.as_mut() else { return };
        let view = runner.replica().view();
        for (slot, command) in runner.io().answer_early(view, records) {
            self.lie_to_client(id, command.identity(), slot);
        }
    }

    fn lie_to_client(&mut self, id: ReplicaId, identity: Identity, slot: Slot) {
        self.tell_client(id, identity, Answer { slot, result: Some(false_result(&identity)) }, 0);
    }

    /// The client hears it after so long; what it heard first of a command that ran stays.
    fn tell_client(&mut self, id: ReplicaId, identity: Identity, answer: Answer, after: Millis) {
        let heard = self.now + after;
        let replies = self.replies.entry(identity).or_default();
        if replies.get(&id).is_none_or(|(_, first)| first.result.is_none()) {
            replies.insert(id, (heard, answer));
        }
    }
}
