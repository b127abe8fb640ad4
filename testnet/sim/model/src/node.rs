//! One honest replica of the model: the production core with its timers, run until it has nothing more to do.

use crate::alphabet::{Alphabet, Kind, Known, SLOT};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use varangian_consensus::{
    Delivery, Effect, Executed, Execution, Input, Message, NULL_BATCH, Phase, Record, Replica, Timer, View, Vote,
};
use varangian_crypto::{Digest, ReplicaId, Verify};
use varangian_runner::sign;

/// All that distinguishes two moments of one replica. The core is compared whole, so two nodes are one only if they are equal in everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The core.
    pub replica: Replica,
    /// The command timer that runs in view 0. It expires once, for then view 0 is over.
    pub timer: Option<Timer>,
    /// The highest view in which it said COMMIT.
    pub committed: Option<View>,
    /// Whether it made the NEW-VIEW of view 1.
    pub drafted: bool,
    /// What it executed in the slot, and the view of the certificate it went by.
    pub decided: Option<(View, Digest)>,
    /// What must never happen to an honest replica and did.
    pub fault: Option<String>,
}

/// What comes of an input.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The node after it.
    pub node: Node,
    /// What it says, in order, own votes signed.
    pub said: Vec<Message>,
}

impl Node {
    /// A fresh replica that has what `inputs` brings.
    pub fn start(alphabet: &Alphabet, id: ReplicaId, inputs: Vec<Input>) -> Self {
        let mut effects = Vec::new();
        let config = alphabet.setup.config(id);
        let replica =
            Replica::recover(config, 0, Executed::default(), [], &mut effects).expect("an empty store is no lie");
        let node = Self { replica, timer: None, committed: None, drafted: false, decided: None, fault: None };
        let said = inputs.into_iter().fold(node, |node, input| match node.feed(alphabet, &[input]) {
            Some(outcome) => outcome.node,
            None => node,
        });
        assert!(said.fault.is_none(), "{id} fails at its start: {:?}", said.fault);
        said
    }

    /// Whether a message can change nothing that this replica will ever say or execute. What the core would do with it is hold it where only
    /// evidence and the status exchange look.
    #[must_use]
    pub fn is_indifferent_to(&self, known: &Known) -> bool {
        let (view, phase) = (self.replica.view(), self.replica.phase());
        match known.kind {
            // It votes in no view that it has left, and has said all that follows from a prepared certificate once it has one.
            Kind::PrePrepare(_) => known.view < view,
            Kind::Prepare(_) => known.view < view || self.committed >= Some(known.view),
            // The slot is decided once.
            Kind::Commit(_) => self.replica.issued() >= SLOT,
            // In the certificate's own view its COMMITs do the same.
            Kind::Certificate(_) => self.replica.issued() >= SLOT || phase == Phase::Changing || known.view >= view,
            // It asks for that view already, and is not to lead it or has done so.
            Kind::ViewChange(_) => {
                let leads = self.replica.config().primary(known.view) == self.replica.config().id;
                known.view == view && phase == Phase::Changing && (!leads || self.drafted)
            }
            Kind::NewView(_) | Kind::Batch(_) => false,
        }
    }

    /// Delivers a message. `None` if it changes nothing.
    pub fn deliver(&self, alphabet: &Alphabet, known: &Known) -> Option<Outcome> {
        let message = Input::Message { from: known.signer, delivery: known.delivery.clone() };
        match (&known.kind, &alphabet.third) {
            // The body of the new primary's own batch comes with what names it.
            (Kind::PrePrepare(_) | Kind::NewView(_), Some(body)) if known.view > View(0) => {
                let body = Input::Message { from: known.signer, delivery: body.clone() };
                self.feed(alphabet, &[message, body])
            }
            _ => self.feed(alphabet, &[message]),
        }
    }

    /// Whether nothing that can still come will make it say or execute anything. `last` is the last view that the scenario enters.
    #[must_use]
    pub fn is_at_rest(&self, last: View) -> bool {
        let done = self.committed == Some(last) && self.replica.phase() == Phase::Active;
        // Where view 0 is the last, who has left it votes no more.
        self.decided.is_some() && self.fault.is_none() && (done || (last == View(0) && self.replica.view() > last))
    }

    /// The command timer runs out, once; all peers have just said that they stand where this one does, for it asks for no view alone.
    pub fn expire(&self, alphabet: &Alphabet) -> Option<Outcome> {
        let status = self.replica.status().lacking_nothing();
        let config = self.replica.config();
        let peers = config.quorums.replicas().filter(|peer| *peer != config.id);
        let heard = peers.map(|from| Input::Message { from, delivery: Delivery::Status(status.clone()) });
        let inputs: Vec<Input> = heard.chain([Input::Timeout(self.timer?)]).collect();
        self.feed(alphabet, &inputs)
    }

    /// One input and all that follows from it inside the replica: records are durable at once, own votes come back at once, execution takes
    /// no time. Time stands still.
    fn feed(&self, alphabet: &Alphabet, inputs: &[Input]) -> Option<Outcome> {
        if self.fault.is_some() {
            return None;
        }
        let mut outcome = Outcome { node: self.clone(), said: Vec::new() };
        let run = catch_unwind(AssertUnwindSafe(|| outcome.run(alphabet, inputs)));
        match run {
            Ok(false) => return None,
            Ok(true) => {}
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                outcome.node.fault = Some(text.unwrap_or_else(|| "panic".into()));
            }
        }
        Some(outcome)
    }
}

impl Outcome {
    /// Whether any of it changed anything that matters.
    fn run(&mut self, alphabet: &Alphabet, inputs: &[Input]) -> bool {
        let id = self.node.replica.config().id;
        let (mut inputs, mut matters) = (VecDeque::from(inputs.to_vec()), false);
        while let Some(input) = inputs.pop_front() {
            let (view, phase) = (self.node.replica.view(), self.node.replica.phase());
            let mut effects = Vec::new();
            // What is ignored changes nothing; also an own vote may be stale when it comes back.
            if self.node.replica.step(0, input, &mut effects).is_err() {
                continue;
            }
            self.node.replica.invariants();
            matters |=
                !only_evidence(&effects) || (view, phase) != (self.node.replica.view(), self.node.replica.phase());
            for effect in effects {
                self.perform(alphabet, id, effect, &mut inputs);
            }
        }
        if let Some(alarm) = self.node.replica.stopped() {
            self.node.fault = Some(format!("an honest replica stops: {alarm}"));
        }
        if self.node.replica.view() > View(1) {
            self.node.fault = Some("asks for view 2, for which the model has no messages".into());
        }
        if self.node.replica.view() > View(0) {
            // Nothing, or a second view change, would come of it.
            self.node.timer = None;
        }
        matters
    }

    fn perform(&mut self, alphabet: &Alphabet, id: ReplicaId, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Vote(vote) => {
                match &vote {
                    Vote::Commit(commit) if commit.slot == SLOT => self.node.committed = Some(commit.view),
                    Vote::NewView(_) => self.node.drafted = true,
                    _ => {}
                }
                let (delivery, message) = sign(alphabet.setup.signer(id), vote).expect("a vote of a legal size");
                inputs.push_back(Input::Message { from: id, delivery });
                self.said.push(message);
            }
            Effect::Broadcast(message) | Effect::Send(_, message) => self.said.push(message),
            Effect::Execute(execution) => {
                self.execute(alphabet, &execution);
                inputs.push_back(Input::Executed { slot: execution.slot, state: None });
            }
            Effect::SetTimer(timer @ Timer::Command(_), _) => self.node.timer = Some(timer),
            // Durable at once; no second view change, no status exchange, no shell that reads bodies again; evidence is not looked at here.
            Effect::Persist(_)
            | Effect::SetTimer(..)
            | Effect::SendBatch { .. }
            | Effect::SendDecided { .. }
            | Effect::Reply(_)
            | Effect::Accuse(_)
            | Effect::Alarm(_) => {}
        }
    }

    /// Agreement and validity are about what is executed.
    fn execute(&mut self, alphabet: &Alphabet, execution: &Execution) {
        let vote = execution.certificate.statement;
        if execution.slot != SLOT {
            return;
        }
        self.node.decided = Some((vote.view, vote.digest));
        let committee = &alphabet.setup.committee;
        let body = execution.batch.as_ref().map_or(NULL_BATCH, |batch| *batch.digest());
        let invalid = if body != vote.digest {
            Some("executed another body than was decided")
        } else if body == NULL_BATCH && vote.view == View(0) {
            Some("executed a null batch outside of a view change")
        } else if execution.batch.as_ref().is_some_and(|batch| !alphabet.is_valid(batch)) {
            Some("executed a command that no client signed")
        } else if execution.certificate.check(committee).is_err() {
            Some("executed by a certificate that is none")
        } else {
            None
        };
        self.node.fault = self.node.fault.take().or_else(|| invalid.map(str::to_owned));
    }
}

/// Whether all that came of a step is a proof against somebody. Such a step is no state of its own: the list of accusations is read by nothing
/// but the rule that records each once.
fn only_evidence(effects: &[Effect]) -> bool {
    let evidence = |effect: &Effect| matches!(effect, Effect::Accuse(_) | Effect::Persist(Record::Evidence(_)));
    !effects.is_empty() && effects.iter().all(evidence)
}
