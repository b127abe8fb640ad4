//! Rare states: a campaign that never reaches one of them shows less than it seems to.

macro_rules! probes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A rare state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Probe {
            $($(#[$doc])* #[doc = $text] $name,)*
        }

        impl Probe {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// In words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

probes! {
    ViewChangeAsked = "a replica asked for a view",
    ViewEntered = "a replica entered a view by its NEW-VIEW",
    ViewChangeFailed = "a view failed before it began",
    ShortfallDeposed = "a slow or unfair primary was given up before a time-out",
    ViewsSkipped = "a replica skipped views to join others",
    NewViewDrafted = "a primary began a view",
    NewViewReceived = "a NEW-VIEW reached one who waited for it",
    NullInNewView = "a NEW-VIEW carried a null batch",
    NullExecuted = "a null batch was executed",
    CarriedOverTwoViews = "a prepared certificate was carried over two views",
    TwoInOneSlot = "view changes told of two batches that were prepared for one slot",
    NullOverBatch = "view changes told of a null batch that was prepared above another",
    StableInViewChange = "a checkpoint became stable during a view change",
    StableByCertificate = "a stable checkpoint came as a certificate",
    DecidedByCertificate = "a decision came as a certificate",
    CaughtUpByCertificate = "a replica caught up by certificates",
    Behind = "a certificate proved a replica to be behind",
    WindowFull = "the window was full",
    PipelineFull = "the pipeline was full",
    CommandsWaitUnarmed = "commands waited for a place among the armed",
    OutOfWindow = "a vote was out of the window",
    BodyFetched = "a body was fetched from a peer",
    Accused = "misbehaviour was seen and proved",
    InvalidViewMessage = "an invalid VIEW-CHANGE or NEW-VIEW arrived",
    InvalidBatch = "an invalid batch arrived",
    ForgeryRefused = "a message that proves nothing was refused",
    CrashBetweenPersistAndSend = "a crash between a persist and what waited for it",
    CrashBetweenSyncAndMark = "a crash between a sync and its mark",
    CommitLandedUnheard = "a group commit reached the disk, and the replica died before it heard",
    CommitLost = "a group commit was lost with its replica",
    TornTail = "a torn write at the end of the log",
    LostTail = "unsynced executions were lost",
    PowerLossOfAll = "all lost power at once",
    CrashInViewChange = "a crash inside of a view change",
    RestartInViewChange = "a restart into a view change",
    StartRefused = "a damaged store refused to start",
    Resumed = "a replica stood still and went on",
    QuorumEdge = "one replica alone had a quorum",
    Swizzled = "links were clogged one by one",
    LinkFull = "a link was full",
    InboxFull = "an inbox was full",
    ClientRetried = "a client sent again",
    RetryAnswered = "a retry was answered from what was remembered",
    DuplicateExecuted = "a duplicate was decided and not run",
    TooOld = "a command below its client's window was decided",
    TooOldRefused = "a command below its client's window was refused",
    Busy = "a client's share of the pool was used up",
    CoreHealed = "a healthy core answered everything",
}

/// How often each was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes([u64; Probe::ALL.len()]);

impl Default for Probes {
    fn default() -> Self {
        Self([0; Probe::ALL.len()])
    }
}

impl Probes {
    /// It was met.
    pub const fn hit(&mut self, probe: Probe) {
        self.0[probe as usize] += 1;
    }

    /// How often it was met.
    #[must_use]
    pub const fn of(&self, probe: Probe) -> u64 {
        self.0[probe as usize]
    }

    /// Those of another run on top.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// Those that were never met.
    pub fn missed(&self) -> impl Iterator<Item = Probe> + '_ {
        Probe::ALL.iter().copied().filter(|probe| self.of(*probe) == 0)
    }
}
