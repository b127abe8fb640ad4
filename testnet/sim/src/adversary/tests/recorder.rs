//! A shell that writes down what it is asked for, and replicas to ask.

use crate::adversary::{Adversary, Attack};
use crate::cluster::{Options, Setup};
use std::sync::Arc;
use varangian_consensus::{
    Alarm, Batch, Command, Delivery, Evidence, Execution, Identity, Message, Millis, PrePrepare, Record, Slot, Timer,
    View, Vote,
};
use varangian_crypto::{Digest, ReplicaId};
use varangian_runner::{Io, Token};

/// One call, as the shell got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
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
pub(super) struct Recorder {
    pub calls: Vec<Call>,
}

macro_rules! record {
    ($($method:ident($($argument:ident: $kind:ty),*) => $call:ident;)*) => {
        impl Io for Recorder {
            $(fn $method(&mut self, $($argument: $kind),*) {
                self.calls.push(Call::$call($($argument),*));
            })*
        }
    };
}

record! {
    persist(records: Vec<Record>, token: Token) => Persist;
    vote(vote: Vote) => Vote;
    deliver(delivery: Delivery) => Deliver;
    broadcast(message: Message) => Broadcast;
    send(to: ReplicaId, message: Message) => Send;
    send_batch(to: ReplicaId, slot: Slot, digest: Digest) => SendBatch;
    send_decided(to: ReplicaId, first: Slot, last: Slot) => SendDecided;
    execute(execution: Execution) => Execute;
    reply(identity: Identity) => Reply;
    set_timer(timer: Timer, after: Millis) => SetTimer;
    accuse(evidence: Evidence) => Accuse;
    alarm(alarm: Alarm) => Alarm;
}

pub(super) fn setup(n: u16) -> Setup {
    Setup::new(&Options { n, ..Options::default() })
}

/// Replica `id` under this attack. It has seen a command alone in its batch: [`spare`].
pub(super) fn adversary(setup: &Setup, id: u16, attack: &str) -> Adversary<Recorder> {
    let attack = Attack::parse(attack).unwrap();
    let mut io = attack.wrap(Recorder::default(), setup.signer(ReplicaId(id)).clone(), &setup.committee);
    let batch = Arc::new(Batch::new(vec![spare(setup)]).unwrap());
    io.persist(vec![Record::Batch { slot: Slot::GENESIS, batch }], Token(0));
    io.inner().calls.clear();
    io
}

pub(super) fn spare(setup: &Setup) -> Command {
    setup.command(2, 1, &["spare"])
}

pub(super) fn commands(setup: &Setup, count: u64) -> Vec<Command> {
    (1..=count).map(|sequence| setup.command(0, sequence, &["put"])).collect()
}

pub(super) fn batch(setup: &Setup, count: u64) -> Arc<Batch> {
    Arc::new(Batch::new(commands(setup, count)).unwrap())
}

/// What the runner asks for when the core proposes a batch: persist, then the vote, then the body.
pub(super) fn propose<I: Io>(io: &mut I, view: u64, slot: u64, batch: &Arc<Batch>) -> PrePrepare {
    let slot = Slot(slot);
    let proposal = PrePrepare { view: View(view), slot, digest: *batch.digest() };
    let records = vec![Record::Batch { slot, batch: batch.clone() }, Record::Proposed(proposal)];
    io.persist(records, Token(slot.0));
    io.vote(Vote::PrePrepare(proposal));
    io.broadcast(Message::Batch { slot, batch: batch.clone() });
    proposal
}

/// What `to` gets of these calls, as from replica `from`: votes are signed and broadcast by the honest shell.
pub(super) fn heard(setup: &Setup, from: u16, to: u16, calls: &[Call]) -> Vec<Message> {
    let signer = setup.signer(ReplicaId(from));
    calls
        .iter()
        .filter_map(|call| match call {
            Call::Vote(vote) => Some(varangian_runner::sign(signer, vote.clone()).unwrap().1),
            Call::Broadcast(message) => Some(message.clone()),
            Call::Send(hearer, message) if *hearer == ReplicaId(to) => Some(message.clone()),
            _ => None,
        })
        .collect()
}

/// What the own core gets of these calls.
pub(super) fn counted(setup: &Setup, from: u16, calls: &[Call]) -> Vec<Delivery> {
    let signer = setup.signer(ReplicaId(from));
    calls
        .iter()
        .filter_map(|call| match call {
            Call::Vote(vote) => Some(varangian_runner::sign(signer, vote.clone()).unwrap().0),
            Call::Deliver(delivery) => Some(delivery.clone()),
            _ => None,
        })
        .collect()
}
