//! The shell of one replica: writes down, in order, what the runner asks for. The cluster does it.

use std::collections::VecDeque;
use varangian_consensus::{Alarm, Delivery, Evidence, Execution, Identity, Message, Millis, Record, Slot, Timer, Vote};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Token};

/// One call of the runner.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Persist(Vec<Record>, Token),
    Vote(Vote),
    Deliver(Delivery),
    Broadcast(Message),
    Send(ReplicaId, Message),
    SendBatch(ReplicaId, Slot, Digest),
    SendDecided(ReplicaId, Slot, Slot),
    Execute(Execution),
    Reply(Identity),
    SetTimer(Timer, Millis),
    Accuse(Evidence),
    Alarm(Alarm),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct NodeIo {
    pub acts: VecDeque<Act>,
}

impl Io for NodeIo {
    fn persist(&mut self, records: Vec<Record>, token: Token) {
        self.acts.push_back(Act::Persist(records, token));
    }

    fn vote(&mut self, vote: Vote) {
        self.acts.push_back(Act::Vote(vote));
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.acts.push_back(Act::Deliver(delivery));
    }

    fn broadcast(&mut self, message: Message) {
        self.acts.push_back(Act::Broadcast(message));
    }

    fn send(&mut self, to: ReplicaId, message: Message) {
        self.acts.push_back(Act::Send(to, message));
    }

    fn send_batch(&mut self, to: ReplicaId, slot: Slot, digest: Digest) {
        self.acts.push_back(Act::SendBatch(to, slot, digest));
    }

    fn send_decided(&mut self, to: ReplicaId, first: Slot, last: Slot) {
        self.acts.push_back(Act::SendDecided(to, first, last));
    }

    fn execute(&mut self, execution: Execution) {
        self.acts.push_back(Act::Execute(execution));
    }

    fn reply(&mut self, identity: Identity) {
        self.acts.push_back(Act::Reply(identity));
    }

    fn set_timer(&mut self, timer: Timer, after: Millis) {
        self.acts.push_back(Act::SetTimer(timer, after));
    }

    fn accuse(&mut self, evidence: Evidence) {
        self.acts.push_back(Act::Accuse(evidence));
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.acts.push_back(Act::Alarm(alarm));
    }
}
