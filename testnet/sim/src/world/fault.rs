//! What befalls replicas and network. Each fault is complete in itself: it begins, lasts, and ends by itself.

use super::Micros;
use core::fmt;
use varangian_consensus::{Record, Slot, View};

/// When a replica crashes, relative to its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At once.
    Now,
    /// When it has begun so many more group commits, before the sync.
    BeforeSync(u64),
    /// The same, after the sync and before the mark that says so.
    BeforeMark(u64),
    /// The same, after both and before anything that waits for it has happened.
    AfterMark(u64),
    /// So long after it has written this next, and said what waited for it.
    Said(Written, Micros),
}

/// What a replica writes before it says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// An accepted pre-prepare, before the PREPARE.
    Accepted,
    /// A prepared certificate, before the COMMIT.
    Prepared,
    /// A promise, before the VIEW-CHANGE.
    Promise,
    /// A draft, before the NEW-VIEW.
    Draft,
    /// An accepted NEW-VIEW, before the first vote in its view.
    NewView,
}

impl Written {
    /// Whether this record is one.
    #[must_use]
    pub const fn is(self, record: &Record) -> bool {
        match self {
            Self::Accepted => matches!(record, Record::Accepted(_)),
            Self::Prepared => matches!(record, Record::Prepared(_)),
            Self::Promise => matches!(record, Record::ViewChange(_)),
            Self::Draft => matches!(record, Record::Drafted(_)),
            Self::NewView => matches!(record, Record::NewView(_)),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Accepted => "PREPARE",
            Self::Prepared => "COMMIT",
            Self::Promise => "VIEW-CHANGE",
            Self::Draft => "NEW-VIEW",
            Self::NewView => "entry into a view",
        }
    }
}

/// A scheduler at the quorum's edge: in each view the votes of these slots reach one lucky replica alone, so that it has a quorum and all others miss one.
/// In every other view the lucky one is gone as soon as it has: the others find their next quorum without what it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who is lucky, view by view, round and round.
    pub lucky: Vec<usize>,
    /// The slots, a bit for each remainder by 8.
    pub slots: u8,
    /// Its COMMITs that reach one alone, and not the PREPAREs.
    pub commits: bool,
    /// How long the lucky one is gone.
    pub gone: Micros,
    /// It loses its power for so long; else it is cut off.
    pub crashes: bool,
}

impl Edge {
    /// Whether votes of this view and slot reach none but the lucky one.
    #[must_use]
    pub const fn limits(&self, slot: Slot) -> bool {
        self.slots >> (slot.0 % 8) & 1 == 1
    }

    /// Who is lucky in a view.
    #[must_use]
    pub fn lucky_in(&self, view: View) -> usize {
        let turn = view.0 % (self.lucky.len() as u64).max(1);
        self.lucky.get(usize::try_from(turn).unwrap_or(0)).copied().unwrap_or(0)
    }
}

/// A fault. Replicas are bits of a mask where there may be many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies; what was written stays.
    Kill {
        /// Who.
        node: usize,
        /// When.
        moment: Moment,
        /// How long it is down.
        down: Micros,
    },
    /// The machine dies; of what was not synced a random part stays.
    PowerLoss {
        /// Who.
        node: usize,
        /// When.
        moment: Moment,
        /// How long it is down.
        down: Micros,
    },
    /// All machines die at once and come back one by one.
    PowerLossOfAll {
        /// Until the first is back.
        down: Micros,
        /// Until the last is back, after that.
        spread: Micros,
    },
    /// A replica stands still and knows nothing of it.
    Pause {
        /// Who.
        node: usize,
        /// How long.
        during: Micros,
    },
    /// Nothing gets from one side to the other.
    Partition {
        /// One side.
        from: u64,
        /// The other side.
        to: u64,
        /// Nor back.
        both_ways: bool,
        /// Connections end by it, so that both sides notice when it is over.
        breaks: bool,
        /// How long.
        during: Micros,
    },
    /// What is sent on a link waits.
    Clog {
        /// Sender.
        from: usize,
        /// Receiver.
        to: usize,
        /// How long.
        during: Micros,
    },
    /// Replicas are clogged one by one, and freed in another order.
    Swizzle {
        /// In which order they are clogged.
        order: Vec<usize>,
        /// Time between two of them.
        step: Micros,
        /// Seed of the order in which they are freed.
        free: u64,
    },
    /// Two replicas lose their connection and make a new one.
    Reconnect {
        /// One.
        one: usize,
        /// The other.
        other: usize,
    },
    /// See [`Edge`].
    QuorumEdge {
        /// Who and what.
        edge: Edge,
        /// How long.
        during: Micros,
    },
    /// A replica dies, and a record that it had synced is damaged: it must not start again. Counts against `f`.
    Rot {
        /// Who.
        node: usize,
        /// Synced group commits that are lost from the end; 0: one is damaged in the middle.
        lost: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { node, moment, down } => write!(f, "r{node} is killed {moment}, for {}", seconds(*down)),
            Self::PowerLoss { node, moment, down } => write!(f, "r{node} loses power {moment}, for {}", seconds(*down)),
            Self::PowerLossOfAll { down, spread } => {
                write!(f, "all lose power, for {}, coming back within {}", seconds(*down), seconds(*spread))
            }
            Self::Pause { node, during } => write!(f, "r{node} stands still for {}", seconds(*during)),
            Self::Partition { from, to, both_ways, breaks, during } => {
                let arrow = if *both_ways { "<->" } else { "->" };
                let end = if *breaks { ", connections end" } else { "" };
                write!(f, "nothing passes {} {arrow} {} for {}{end}", members(*from), members(*to), seconds(*during))
            }
            Self::Clog { from, to, during } => write!(f, "r{from} -> r{to} is clogged for {}", seconds(*during)),
            Self::Swizzle { order, step, .. } => {
                let order: Vec<_> = order.iter().map(|node| format!("r{node}")).collect();
                write!(f, "{} are clogged one by one, every {}", order.join(" "), seconds(*step))
            }
            Self::Reconnect { one, other } => write!(f, "r{one} and r{other} reconnect"),
            Self::QuorumEdge { edge, during } => {
                let lucky: Vec<_> = edge.lucky.iter().map(|node| format!("r{node}")).collect();
                write!(
                    f,
                    "{} of slots {:08b} reach {} alone, view by view, for {}; who has a quorum {} for {}",
                    if edge.commits { "COMMITs" } else { "PREPAREs" },
                    edge.slots,
                    lucky.join(" "),
                    seconds(*during),
                    if edge.crashes { "loses power" } else { "is cut off" },
                    seconds(edge.gone)
                )
            }
            Self::Rot { node, lost: 0 } => write!(f, "r{node} dies and a synced record of it rots"),
            Self::Rot { node, lost } => write!(f, "r{node} dies and loses its last {lost} synced group commits"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("at once"),
            Self::BeforeSync(count) => write!(f, "before the sync of commit +{count}"),
            Self::BeforeMark(count) => write!(f, "between sync and mark of commit +{count}"),
            Self::AfterMark(count) => write!(f, "after commit +{count}"),
            Self::Said(what, after) => write!(f, "{} after its next {}", seconds(*after), what.text()),
        }
    }
}

/// A time as people read it.
#[must_use]
pub fn seconds(time: Micros) -> String {
    format!("{}.{:03} s", time / 1_000_000, time / 1000 % 1000)
}

fn members(mask: u64) -> String {
    let members: Vec<_> = (0..64).filter(|node| mask >> node & 1 == 1).map(|node| format!("r{node}")).collect();
    members.join(",")
}
