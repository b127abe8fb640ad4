//! What happened, in words: for transcripts and for reading a failed run.

use super::disk::Answer;
use super::network::{Fate, Packet};
use super::node::TimerKind;
use super::setup::Setup;
use varangian_consensus::{
    Alarm, Evidence, Identity, Ignored, Message, NULL_BATCH, Phase, PrePrepare, PreparedCertificate, Progress, Record,
    Slot, Status, View, ViewChange,
};
use varangian_crypto::{Digest, ReplicaId};

/// One thing that happened in a cluster.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message set out, or a rule or a partition took it.
    Sent(Packet, Fate),
    /// A message arrived; the core took it, or ignored it for a reason.
    Delivered(Packet, Result<(), Ignored>),
    /// A message arrived that nobody listens for, or that proves nothing.
    Lost(Packet, String),
    /// A group commit is on disk.
    Persisted(ReplicaId, Vec<Record>),
    /// A slot ran: its commands, and what each came to.
    Executed(ReplicaId, Slot, Vec<(Identity, Answer)>),
    /// A reply went to a client again.
    Repeated(ReplicaId, Identity, Answer),
    /// A replica entered a view, or asks for one.
    View(ReplicaId, View, Phase),
    /// A replica's stable checkpoint rose.
    Stable(ReplicaId, Slot),
    /// A timer ran out.
    Fired(ReplicaId, TimerKind),
    /// Somebody is proved faulty.
    Accused(ReplicaId, Evidence),
    /// An operator must know.
    Alarmed(ReplicaId, Alarm),
    /// A replica crashed.
    Crashed(ReplicaId),
    /// A replica started again.
    Restarted(ReplicaId),
}

impl Event {
    /// One line.
    #[must_use]
    pub fn describe(&self, setup: &Setup) -> String {
        let line = |packet: &Packet| format!("{} -> {} {}", packet.from, packet.to, message(&packet.message, setup));
        match self {
            Self::Sent(packet, Fate::Deliver) => format!("sent {}", line(packet)),
            Self::Sent(packet, fate) => format!("sent {} [{}]", line(packet), format!("{fate:?}").to_lowercase()),
            Self::Delivered(packet, Ok(())) => line(packet),
            Self::Delivered(packet, Err(ignored)) => format!("{} [ignored: {ignored}]", line(packet)),
            Self::Lost(packet, why) => format!("{} [lost: {why}]", line(packet)),
            Self::Persisted(replica, records) => {
                format!("{replica} persists {}", records.iter().map(record).collect::<Vec<_>>().join(", "))
            }
            Self::Executed(replica, slot, answers) => {
                let commands: Vec<_> =
                    answers.iter().map(|(identity, found)| answer(*slot, identity, found, setup)).collect();
                let commands = if commands.is_empty() { "nothing".into() } else { commands.join(" ") };
                format!("{replica} executes slot={slot}: {commands}")
            }
            Self::Repeated(replica, identity, answer) => {
                format!("{replica} replies again to {}: it ran in slot={}", name(identity, setup), answer.slot)
            }
            Self::View(replica, view, Phase::Active) => format!("{replica} enters view={view}"),
            Self::View(replica, view, Phase::Changing) => format!("{replica} asks for view={view}"),
            Self::Stable(replica, slot) => format!("{replica} has a stable checkpoint at slot={slot}"),
            Self::Fired(replica, kind) => format!("{replica} timer {}", format!("{kind:?}").to_lowercase()),
            Self::Accused(replica, evidence) => {
                let (view, slot) = evidence.place();
                format!("{replica} accuses {} of {} (view={view} slot={slot})", evidence.accused(), evidence.kind())
            }
            Self::Alarmed(replica, alarm) => format!("{replica} ALARM: {alarm}"),
            Self::Crashed(replica) => format!("{replica} crashes"),
            Self::Restarted(replica) => format!("{replica} restarts"),
        }
    }
}

pub(crate) fn name(identity: &Identity, setup: &Setup) -> String {
    format!("{}{}", setup.client_name(&identity.client), identity.sequence)
}

fn answer(slot: Slot, identity: &Identity, answer: &Answer, setup: &Setup) -> String {
    let name = name(identity, setup);
    match answer.result {
        Some(_) if answer.slot == slot => name,
        Some(_) => format!("{name} (not again: it ran in slot={})", answer.slot),
        None => format!("{name} (refused)"),
    }
}

/// The first four digits: enough to tell batches apart.
#[must_use]
pub fn short(digest: &Digest) -> String {
    if *digest == NULL_BATCH { "null".into() } else { digest.to_string().chars().take(4).collect() }
}

fn prepared(certificate: &PreparedCertificate) -> String {
    let PrePrepare { view, slot, digest } = certificate.pre_prepare;
    format!("{slot}:{}@{view}", short(&digest))
}

fn view_change(vote: &ViewChange) -> String {
    let carried: Vec<_> = vote.prepared.iter().map(prepared).collect();
    format!("view={} stable={} prepared=[{}]", vote.view, vote.stable_slot(), carried.join(" "))
}

fn status(status: &Status) -> String {
    let slots = status.slots.iter().map(|progress| match progress {
        Progress::Nothing => '-',
        Progress::PrePrepared => 'p',
        Progress::Prepared => 'P',
        Progress::Committed => 'C',
    });
    let phase = if status.active { "active" } else { "changing" };
    let holds: Vec<_> = status.view_changes.iter().map(ToString::to_string).collect();
    let holds = if holds.is_empty() { String::new() } else { format!(" view-changes=[{}]", holds.join(" ")) };
    let slots: String = slots.collect();
    format!("view={} {phase} stable={} executed={} slots=[{slots}]{holds}", status.view, status.stable, status.executed)
}

/// A message as a transcript shows it.
#[must_use]
pub fn message(message: &Message, setup: &Setup) -> String {
    let vote = |view: &View, slot: &Slot, digest: &Digest| format!("view={view} slot={slot} digest={}", short(digest));
    let content = match message {
        Message::PrePrepare(signed) => vote(&signed.statement.view, &signed.statement.slot, &signed.statement.digest),
        Message::Prepare(signed) => vote(&signed.statement.view, &signed.statement.slot, &signed.statement.digest),
        Message::Commit(signed) => vote(&signed.statement.view, &signed.statement.slot, &signed.statement.digest),
        Message::Checkpoint(signed) => {
            format!("slot={} state={}", signed.statement.slot, short(&signed.statement.state))
        }
        Message::ViewChange(signed) => view_change(&signed.statement),
        Message::NewView(signed) => {
            let from: Vec<_> = signed.statement.view_changes.iter().map(|vote| vote.signer.to_string()).collect();
            let order = signed.statement.pre_prepares.iter().map(|vote| &vote.statement);
            let order: Vec<_> = order.map(|vote| format!("{}:{}", vote.slot, short(&vote.digest))).collect();
            format!("view={} because-of=[{}] order=[{}]", signed.statement.view, from.join(" "), order.join(" "))
        }
        Message::Committed(certificate) => {
            let commit = certificate.statement;
            vote(&commit.view, &commit.slot, &commit.digest)
        }
        Message::Stable(certificate) => format!("slot={}", certificate.statement.slot),
        Message::Status(found) => status(found),
        Message::FetchBatch { slot, digest } => format!("slot={slot} digest={}", short(digest)),
        Message::FetchDecided { from, to } => format!("slots={from}..={to}"),
        Message::Pruned { oldest } => format!("oldest={oldest}"),
        Message::Command(command) => name(&command.identity(), setup),
        Message::Batch { slot, batch } => format!("slot={slot} digest={}", short(batch.digest())),
        Message::Decided { certificate, .. } => {
            let commit = certificate.statement;
            vote(&commit.view, &commit.slot, &commit.digest)
        }
    };
    format!("{} {content}", message.name())
}

pub(crate) fn record(record: &Record) -> String {
    match record {
        Record::Batch { slot, batch } => format!("batch {slot}:{}", short(batch.digest())),
        Record::Proposed(vote) => format!("proposed {}:{}@{}", vote.slot, short(&vote.digest), vote.view),
        Record::Accepted(signed) => {
            let PrePrepare { view, slot, digest } = signed.statement;
            format!("accepted {slot}:{}@{view}", short(&digest))
        }
        Record::Prepared(certificate) => format!("prepared {}", prepared(certificate)),
        Record::ViewChange(vote) => format!("promise view={}", vote.view),
        Record::Drafted(draft) => format!("own new-view {}", draft.view),
        Record::NewView(signed) => format!("new-view {}", signed.statement.view),
        Record::Checkpoint(vote) => format!("checkpoint {}", vote.slot),
        Record::Stable(certificate) => format!("stable {}", certificate.statement.slot),
        Record::Evidence(evidence) => format!("evidence against {}", evidence.accused()),
        Record::Stopped(_) => "stopped".into(),
    }
}
