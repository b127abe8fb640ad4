//! A script: what is done to a run, one thing after the other, as simulated time goes on.
//!
//! A plan's faults come at fixed times and end by themselves. What a script does lasts until something else is done, and may wait for what comes about:
//! that a new view begins, that those who were away have caught up. When the script is over, the liveness phase begins.
//!
//! Whoever is faulty for good stays so, if they are `f` at most: malicious replicas, damaged disks, those who died and were not started again. If only
//! the dead are too many, they start again; if the others are, nothing is promised, and the run ends with its script.

use super::Micros;
use super::draw::falls;
use super::fault::seconds;
use crate::adversary::{Attack, Strikes};
use crate::checks::Violation;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{Evidence, Slot};
use varangian_crypto::ReplicaId;

/// See the module.
#[derive(Clone, Debug)]
pub struct Script {
    /// What is done, in order.
    pub deeds: Vec<Deed>,
    /// How long each may take to come about. Those that only let time pass take what they say.
    pub patience: Micros,
    /// Links at first, sender by sender.
    pub links: Vec<Vec<Like>>,
    /// How links change by themselves, by time.
    pub weather: Vec<Change>,
    /// What clients do meanwhile.
    pub load: Load,
    /// Malicious replicas that behave until a deed strikes with them.
    pub asleep: BTreeSet<u16>,
    /// More than `f` are malicious, and the honest are meant to be torn apart: broken agreement is noted, and the run goes on.
    pub breaks: bool,
}

/// A directed link. Rates are in millionths of all packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Like {
    /// Shortest way.
    pub delay: Micros,
    /// What may come on top.
    pub jitter: Micros,
    /// Packets that are lost.
    pub loss: u64,
    /// Packets that arrive twice.
    pub duplicates: u64,
    /// Packets that take no time, and overtake others.
    pub early: u64,
    /// What a byte takes of the link's time, in thousandths of a microsecond; 0: nothing.
    pub nanos_per_byte: u64,
    /// Bytes that may wait for that; what comes on top is lost.
    pub queue: u64,
    /// Nothing passes.
    pub cut: bool,
}

impl Like {
    /// How long a packet is on its way, by two random numbers, the time that it waits for others left out.
    pub(super) fn takes(&self, jitter: u64, early: u64) -> Micros {
        if falls(early, self.early) { 0 } else { self.delay + jitter % (self.jitter + 1) }
    }
}

/// A link that becomes another by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Micros,
    /// Sender.
    pub from: u16,
    /// Receiver.
    pub to: u16,
    /// What it becomes.
    pub like: Like,
}

/// What each client does as long as the script goes on: whenever a command is answered, it sends the next some time later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Commands that it has on their way, or pauses between.
    pub in_flight: u16,
    /// Between an answer and the next command, on average.
    pub pause: Micros,
    /// Operations in a command.
    pub operations: u8,
    /// Bytes of each.
    pub bytes: u16,
}

/// Whom a deed is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Who leads the view that a quorum is in.
    Primary,
    /// Those that earlier deeds have killed or paused.
    Down,
    /// Everybody.
    All,
    /// By name.
    These(Vec<u16>),
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Time passes.
    Wait(Micros),
    /// Time passes until so long after the beginning.
    At(Micros),
    /// The process dies; what was written stays.
    Kill(Whom),
    /// The machine dies; of what was not synced a random part stays.
    PowerLoss(Whom),
    /// They stand still and know nothing of it,
    Pause(Whom),
    /// and go on.
    Resume(Whom),
    /// They start again from their disks.
    Restart(Whom),
    /// Their disks take nothing more: the next group commit or execution fails, and the replica ends by itself.
    FillDisk(Whom),
    /// Disks of dead replicas are damaged.
    Rot {
        /// Whose.
        whom: Whom,
        /// The last synced group commits are gone; else one in the middle is damaged.
        lost: bool,
    },
    /// They are started, and must not run.
    Refused(Whom),
    /// Malicious replicas that behaved until now begin.
    Strike(Whom),
    /// They start again as malicious ones.
    Turn(Whom, Vec<Attack>),
    /// Primaries are paused in turn until this one leads.
    Lead(u16),
    /// Directed links become like this.
    Shape {
        /// From each of these
        from: Whom,
        /// to each of these.
        to: Whom,
        /// What they become.
        like: Like,
    },
    /// Nothing passes between replicas of different groups; who is not named is in one with the others not named.
    Partition(Vec<Vec<u16>>),
    /// Links from and to them are as at first; whoever turned malicious starts again as an honest one.
    Heal(Whom),
    /// All links, from here on: what they are called, and what they are like.
    Links(String, Vec<Vec<Like>>),
    /// A quorum is in a later view than when the last fault came.
    NewView,
    /// A quorum has executed more than anybody had.
    Progress,
    /// All honest replicas that run have executed what anybody had.
    CaughtUp,
}

/// What a script came to.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// What happened, and when.
    pub story: Vec<(Micros, String)>,
    /// What did not come about: the script ended there.
    pub failed: Option<String>,
    /// When it was over.
    pub over: Micros,
    /// The longest time without an answered command while it went on, and when that began.
    pub gap: (Micros, Micros),
    /// Standstills of a second or more, and how they ended.
    pub recoveries: Vec<Recovery>,
    /// The liveness phase came to its end: everything was answered.
    pub lived: bool,
    /// What broke where agreement was meant to break: the first of each kind.
    pub broken: Vec<Violation>,
    /// Two honest replicas that decided a slot differently, the lowest.
    pub fork: Option<Fork>,
    /// How far each honest replica came whose disk was not damaged.
    pub executed: BTreeMap<ReplicaId, Slot>,
    /// What they hold against others.
    pub evidence: Vec<(ReplicaId, Evidence)>,
    /// What each attack of each malicious replica came to while it went on.
    pub strikes: BTreeMap<(ReplicaId, String), Strikes>,
}

/// The end of a standstill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How long nothing had been decided when replicas or links came back.
    pub stood: Micros,
    /// When they came back.
    pub back: Micros,
    /// From then on until the next slot was decided, or until something else was taken before that.
    pub took: Micros,
}

/// See [`Played::fork`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Where.
    pub slot: Slot,
    /// Who decided differently.
    pub sides: (ReplicaId, ReplicaId),
    /// Whose COMMITs are in both certificates, if these are of one view: nobody honest signs both.
    pub signed_both: Vec<ReplicaId>,
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("the primary"),
            Self::Down => f.write_str("those that are down"),
            Self::All => f.write_str("all"),
            Self::These(these) => f.write_str(&names(these)),
        }
    }
}

/// `r0, r2`.
pub(super) fn names(these: &[u16]) -> String {
    these.iter().map(|id| format!("r{id}")).collect::<Vec<_>>().join(", ")
}

impl Deed {
    /// Whether it takes something, as long as nothing gives it back.
    pub(super) const fn takes(&self) -> bool {
        match self {
            Self::Kill(_)
            | Self::PowerLoss(_)
            | Self::Pause(_)
            | Self::FillDisk(_)
            | Self::Strike(_)
            | Self::Turn(..)
            | Self::Shape { .. }
            | Self::Partition(_) => true,
            Self::Wait(_)
            | Self::At(_)
            | Self::Resume(_)
            | Self::Restart(_)
            | Self::Rot { .. }
            | Self::Refused(_)
            | Self::Lead(_)
            | Self::Heal(_)
            | Self::Links(..)
            | Self::NewView
            | Self::Progress
            | Self::CaughtUp => false,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(time) => write!(f, "{} pass", seconds(*time)),
            Self::At(time) => write!(f, "it is {}", seconds(*time)),
            Self::Kill(whom) => write!(f, "kill {whom}"),
            Self::PowerLoss(whom) => write!(f, "power loss of {whom}"),
            Self::Pause(whom) => write!(f, "pause {whom}"),
            Self::Resume(whom) => write!(f, "resume {whom}"),
            Self::Restart(whom) => write!(f, "restart {whom}"),
            Self::FillDisk(whom) => write!(f, "{whom} ends by itself, its disk full"),
            Self::Rot { whom, .. } => write!(f, "damage to the disk of {whom}"),
            Self::Refused(whom) => write!(f, "{whom} refuses to run"),
            Self::Strike(whom) => write!(f, "{whom} strikes"),
            Self::Turn(whom, _) => write!(f, "{whom} turns malicious"),
            Self::Lead(id) => write!(f, "r{id} leads"),
            Self::Shape { from, to, .. } => write!(f, "links from {from} to {to}"),
            Self::Partition(_) => f.write_str("a partition"),
            Self::Heal(whom) => write!(f, "links of {whom} are healed"),
            Self::Links(name, _) => write!(f, "links are {name}"),
            Self::NewView => f.write_str("a quorum is in a later view"),
            Self::Progress => f.write_str("a quorum has executed more"),
            Self::CaughtUp => f.write_str("all honest replicas that run have caught up"),
        }
    }
}
