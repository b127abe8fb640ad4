//! What may happen: the Byzantine primary's alphabet, timers, and what the search leaves out.

/// The primary of view 0. It is the one Byzantine replica: it has no state, only things that it may say to anyone at any time.
pub const FAULTY: u16 = 0;

/// When the bodies of the faulty primary's batches arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// All have them from the start.
    Held,
    /// They are messages like others, and may come late, to some, or never.
    Sent,
}

/// One search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// As the command line calls it.
    pub name: &'static str,
    /// Batches that the faulty primary pre-prepares in view 0: one, or two that contradict each other.
    pub proposals: usize,
    /// Whether the faulty primary says anything beyond what an honest one could have said before it fell silent.
    pub lies: bool,
    /// Whether VIEW-CHANGEs are delivered, and each replica's command timer may expire once.
    pub view_change: bool,
    /// See [`Bodies`].
    pub bodies: Bodies,
    /// Whether a commit certificate travels as such, to replicas that have left its view.
    pub certificates: bool,
    /// Every message by itself, in every order, whether it can matter or not: to show that what is left out otherwise shows nothing new.
    pub plain: bool,
    /// Actions in a row that are looked at, if not all.
    pub depth: Option<u16>,
}

/// Two batches for one slot, and votes for both. VIEW-CHANGEs are lost.
pub const EQUIVOCATING_PRIMARY: Scenario = Scenario {
    name: "equivocating-primary",
    proposals: 2,
    lies: true,
    view_change: false,
    bodies: Bodies::Held,
    certificates: false,
    plain: false,
    depth: None,
};

/// The same, and bodies come late or never.
pub const EQUIVOCATING_PRIMARY_BODIES: Scenario =
    Scenario { name: "equivocating-primary-bodies", bodies: Bodies::Sent, ..EQUIVOCATING_PRIMARY };

/// A primary that falls silent, before or after any part of its pre-prepare and commit went out.
pub const SILENT_PRIMARY: Scenario = Scenario {
    name: "silent-primary",
    proposals: 1,
    lies: false,
    view_change: true,
    bodies: Bodies::Held,
    certificates: true,
    plain: false,
    depth: None,
};

/// Two batches for one slot, and everything a liar can say in the view change that follows.
pub const EQUIVOCATING_PRIMARY_VIEW_CHANGE: Scenario = Scenario {
    name: "equivocating-primary-view-change",
    proposals: 2,
    lies: true,
    view_change: true,
    bodies: Bodies::Held,
    certificates: true,
    plain: false,
    depth: None,
};

/// All scenarios, the fastest first.
pub const ALL: [Scenario; 4] =
    [EQUIVOCATING_PRIMARY, SILENT_PRIMARY, EQUIVOCATING_PRIMARY_BODIES, EQUIVOCATING_PRIMARY_VIEW_CHANGE];

impl Scenario {
    /// The permutations of replicas under which the scenario is the same. Without a view change the three backups have the same part. With
    /// one, replica 1 leads view 1, and only 2 and 3 have.
    #[must_use]
    pub const fn symmetries(&self) -> &'static [[u16; 4]] {
        if self.view_change {
            &[[0, 1, 3, 2]]
        } else {
            &[[0, 1, 3, 2], [0, 2, 1, 3], [0, 2, 3, 1], [0, 3, 1, 2], [0, 3, 2, 1]]
        }
    }
}
