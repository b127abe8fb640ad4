//! Bugs on purpose. A campaign that catches none of them has found nothing when it finds nothing.
//!
//! Each is one patch point: a place in crypto or in the core that asks [`seeded`]. Without the feature `seeded-bugs` the answer is a constant no, and
//! neither the bugs nor their names are in the program. With it at most one is switched on at a time, for the whole process, by [`seed`].

/// What a run must go through to be hurt by a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Slots that are agreed on, nothing else.
    Normal,
    /// A view change.
    ViewChange,
    /// A restart.
    Restart,
}

macro_rules! bugs {
    ($($bug:ident, $name:literal, $paths:expr, $text:literal;)*) => {
        /// A bug on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $(#[doc = $text] $bug,)*
        }

        #[cfg(feature = "seeded-bugs")]
        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),*];

            /// What a person calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)* }
            }

            /// What is wrong, in one line.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$bug => $text,)* }
            }

            /// All that a run must go through to be hurt.
            #[must_use]
            pub const fn paths(self) -> &'static [Path] {
                match self { $(Self::$bug => $paths,)* }
            }

            /// The bug of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|bug| bug.name() == name)
            }
        }
    };
}

use Path::{Normal, Restart, ViewChange};
#[cfg(not(feature = "seeded-bugs"))]
const _: [Path; 3] = [Normal, ViewChange, Restart];

bugs! {
    WeakQuorum, "weak-quorum", &[Normal], "`f + 1` signers make a quorum";
    PrimaryAsBackup, "primary-as-backup", &[Normal], "a PREPARE of the primary counts beside its pre-prepare";
    DuplicateSigners, "duplicate-signers", &[Normal], "a certificate may name one signer twice";
    DecidedUnchecked, "decided-unchecked", &[Normal], "a commit certificate is taken from a peer without checking it";
    ClientUnchecked, "client-unchecked", &[Normal], "nobody checks the clients' signatures in a batch";
    OrderUnbound, "order-unbound", &[Normal], "a batch's digest does not bind the order of its commands";
    BodyNotPersisted, "body-not-persisted", &[Normal], "a body is not written before the vote for it";
    PreparedNotPersisted, "prepared-not-persisted", &[Normal], "a prepared certificate is not written before the COMMIT";
    VoteBeforePersist, "vote-before-persist", &[Normal], "a PREPARE leaves before what it promises is written";
    NoDedup, "no-dedup", &[Normal], "a command that was executed is executed again";
    WatermarkOffByOne, "watermark-off-by-one", &[Normal], "the window reaches one slot too far";
    PrunesTooMuch, "prunes-too-much", &[Normal], "a stable checkpoint also forgets the vote of the slot above it";
    ExecutesAcrossGaps, "executes-across-gaps", &[Normal], "a decided slot is executed before the one below it is decided";
    StatusSilent, "status-silent", &[Normal], "nobody ever says where it stands, so what is lost stays lost";
    StaleTimeout, "stale-timeout", &[Normal], "a time-out counts although its command was ordered meanwhile";
    CertificatesCleared, "certificates-cleared", &[ViewChange], "a NEW-VIEW clears prepared certificates";
    NewViewNotDurable, "new-view-not-durable", &[ViewChange], "a view is entered before its NEW-VIEW is written";
    HighestViewIgnored, "highest-view-ignored", &[ViewChange], "O takes the certificate of the lowest view";
    NullLoses, "null-loses", &[ViewChange], "in O any batch beats a null batch that was prepared in a higher view";
    OrderUnchecked, "order-unchecked", &[ViewChange], "backups do not compute O again";
    ExecutedNotCarried, "executed-not-carried", &[ViewChange], "a VIEW-CHANGE leaves out what its sender has executed";
    NextSlotInsideOrder, "next-slot-inside-order", &[ViewChange], "a new primary fills the last slot of O again";
    BodiesDiscarded, "bodies-discarded", &[ViewChange], "entering a view forgets the bodies of earlier ones";
    FirstVoteInsideNewView, "first-vote-inside-new-view", &[ViewChange], "a pre-prepare that overtook its NEW-VIEW binds against it";
    TimersNotRearmed, "timers-not-rearmed", &[ViewChange], "deadlines of commands go on from one view to the next";
    JoinAlone, "join-alone", &[ViewChange], "one replica's VIEW-CHANGE is enough to join it";
    NewViewTimerMissing, "new-view-timer-missing", &[ViewChange], "nobody watches for the NEW-VIEW";
    PromiseBindsLate, "promise-binds-late", &[ViewChange], "votes go on until the own VIEW-CHANGE comes back signed";
    AccusesTheInnocent, "accuses-the-innocent", &[ViewChange], "in a view change, VIEW-CHANGEs for two different views are taken for a conflict";
    OwnVotesNotRepeated, "own-votes-not-repeated", &[Restart], "a restarted replica does not say its own votes again";
    VotesForgotten, "votes-forgotten", &[Restart], "a restarted replica has forgotten what it accepted";
    NextSlotForgotten, "next-slot-forgotten", &[Restart], "a restarted primary fills slots again that it had filled";
    DedupForgotten, "dedup-forgotten", &[Restart], "a restarted replica has forgotten which commands ran";
    StableForgotten, "stable-forgotten", &[Restart], "a restarted replica has forgotten its stable checkpoint";
    PreparedForgotten, "prepared-forgotten", &[Restart, ViewChange], "a restarted replica has forgotten its prepared certificates";
    PromiseForgotten, "promise-forgotten", &[Restart, ViewChange], "a restarted replica has forgotten the view that it promised";
    DraftForgotten, "draft-forgotten", &[Restart, ViewChange], "a restarted primary drafts a second NEW-VIEW for the view";
    ActiveWithoutNewView, "active-without-new-view", &[Restart, ViewChange], "a restarted replica votes in the view that it only asked for";
}

/// Whether this bug is switched on.
#[cfg(not(feature = "seeded-bugs"))]
#[must_use]
#[inline]
pub const fn seeded(_: Bug) -> bool {
    false
}

#[cfg(feature = "seeded-bugs")]
pub use switch::{seed, seeded};

#[cfg(feature = "seeded-bugs")]
mod switch {
    use super::Bug;
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// Nothing, or one more than the bug's place in the list.
    static SEEDED: AtomicUsize = AtomicUsize::new(0);

    /// Whether this bug is switched on.
    #[must_use]
    pub fn seeded(bug: Bug) -> bool {
        SEEDED.load(Ordering::Relaxed) == bug as usize + 1
    }

    /// Switches a bug on, in the place of another one; `None` switches all off. For the whole process: runs that go on meanwhile get it too.
    pub fn seed(bug: Option<Bug>) {
        SEEDED.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
    }
}
