//! All attacks, a row each: data, and nothing that decides.
//!
//! Each row of the table of attacks that a malicious replica can play by what it says is here. The others belong to clients (26 to 29), to networks,
//! clocks and disks (19 to 21, 23 to 25). *Twins*, two honest copies with one key, are no wrapped `Io` but two replicas: whoever runs them starts both.
//! More than `f` faulty ones (18) are not an attack of its own but several replicas under one of these, best under `collude`.

use super::amnesiac::Amnesiac;
use super::attack::Kind;
use super::bad_source::{Answer, BadSource};
use super::body_withholder::{BodyWithholder, Receivers};
use super::colluder::Colluder;
use super::crasher::Crasher;
use super::dark_keeper::DarkKeeper;
use super::double_voter::DoubleVoter;
use super::far_seer::FarSeer;
use super::forger::Forger;
use super::latecomer::{Late, Latecomer};
use super::lying_checkpointer::{Lie, LyingCheckpointer};
use super::lying_new_primary::{LyingNewPrimary, Wrong};
use super::lying_view_changer::{Claim, LyingViewChanger};
use super::omitter::Omitter;
use super::replayer::Replayer;
use super::retelling_primary::{Audience, RetellingPrimary};
use super::silent_primary::SilentPrimary;
use super::telling::Telling;
use super::view_stormer::ViewStormer;
use super::vote_withholder::{Hearers, VoteWithholder};

const TWO_PRE_PREPARES: &str = "two pre-prepares for one slot";
const INVALID_BATCH: &str = "a pre-prepare for an invalid batch";
const TWO_PREPARES: &str = "two prepares for one slot";
const TWO_COMMITS: &str = "two commits for one slot";
const INVALID_VIEW_CHANGE: &str = "an invalid view change";
const TWO_VIEW_CHANGES: &str = "two view changes for one view";
const INVALID_NEW_VIEW: &str = "an invalid new view";
const TWO_NEW_VIEWS: &str = "two new views for one view";
const TWO_CHECKPOINTS: &str = "two checkpoints for one slot";

/// All kinds, in the order of the table of attacks.
pub static ATTACKS: [Kind; 44] = [
    Kind {
        name: "silent",
        description: "sends nothing in the views that it leads",
        rows: &[2],
        defence: "a timer per pending command; the next primary gets the command",
        evidence: &[],
        behaviour: || Box::new(SilentPrimary::default()),
    },
    Kind {
        name: "slow",
        description: "as primary, keeps each proposal for two status intervals, just under the time-out",
        rows: &[3],
        defence: "floors for throughput and delay; lateness alone deposes nobody",
        evidence: &[],
        behaviour: || Box::new(Latecomer::new(Late::Proposals)),
    },
    Kind {
        name: "equivocate",
        description: "as primary, tells half of the backups one batch and the other half the same in another order",
        rows: &[1],
        defence: "the first pre-prepare binds; two signed ones are evidence and end the view",
        evidence: &[TWO_PRE_PREPARES],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Reordered, Audience::Half)),
    },
    Kind {
        name: "equivocate-other",
        description: "as primary, tells half of the backups a batch with other commands",
        rows: &[1],
        defence: "the first pre-prepare binds; two signed ones are evidence and end the view",
        evidence: &[TWO_PRE_PREPARES],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Other, Audience::Half)),
    },
    Kind {
        name: "equivocate-one",
        description: "as primary, tells one backup the batch in another order",
        rows: &[1],
        defence: "the others are a quorum, and show the one what they were told",
        evidence: &[TWO_PRE_PREPARES],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Reordered, Audience::One)),
    },
    Kind {
        name: "censor",
        description: "as primary, leaves out the commands of one client",
        rows: &[4],
        defence: "a timer on that very command, which no progress elsewhere resets",
        evidence: &[],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Censored, Audience::All)),
    },
    Kind {
        name: "bad-signature",
        description: "as primary, proposes a command that its client never signed",
        rows: &[5],
        defence: "every body is verified before a vote; body and pre-prepare are evidence and end the view",
        evidence: &[INVALID_BATCH],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Unsigned, Audience::All)),
    },
    Kind {
        name: "huge",
        description: "as primary, proposes more than a batch may hold",
        rows: &[5],
        defence: "limits are checked before a vote; body and pre-prepare are evidence and end the view",
        evidence: &[INVALID_BATCH],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Huge, Audience::All)),
    },
    Kind {
        name: "duplicate",
        description: "as primary, proposes every command twice, and those of the batch before again",
        rows: &[5],
        defence: "exactly-once is decided at execution: a duplicate gets the original reply",
        evidence: &[],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Repeated, Audience::All)),
    },
    Kind {
        name: "out-of-window",
        description: "as primary, proposes in slots that no window reaches",
        rows: &[5, 8],
        defence: "nothing outside the window is held; the command's timer ends the view",
        evidence: &[],
        behaviour: || Box::new(RetellingPrimary::new(Telling::FarAway, Audience::All)),
    },
    Kind {
        name: "null-proposal",
        description: "as primary, proposes the null batch outside a view change",
        rows: &[5],
        defence: "only a NEW-VIEW carries null batches; the command's timer ends the view",
        evidence: &[],
        behaviour: || Box::new(RetellingPrimary::new(Telling::Null, Audience::All)),
    },
    Kind {
        name: "bodiless",
        description: "names batches and gives nobody their bodies",
        rows: &[6],
        defence: "no vote before the body is durable; the command's timer ends the view",
        evidence: &[],
        behaviour: || Box::new(BodyWithholder::new(Receivers::Nobody)),
    },
    Kind {
        name: "bodiless-partly",
        description: "gives the bodies of its batches to f backups only",
        rows: &[6],
        defence: "whoever voted for a body is asked for it",
        evidence: &[],
        behaviour: || Box::new(BodyWithholder::new(Receivers::Few)),
    },
    Kind {
        name: "dark",
        description: "tells the f peers with the highest numbers nothing at all",
        rows: &[7, 17],
        defence: "certificates and bodies are fetched from anyone",
        evidence: &[],
        behaviour: || Box::new(DarkKeeper::new(false)),
    },
    Kind {
        name: "dark-then-mute",
        description: "the same for a window of slots, then it is mute for ever",
        rows: &[7, 17],
        defence: "those left in the dark catch up from the honest, who need them then",
        evidence: &[],
        behaviour: || Box::new(DarkKeeper::new(true)),
    },
    Kind {
        name: "far-future",
        description: "beside its votes, votes for far views and slots, and claims and asks for the absurd",
        rows: &[8],
        defence: "nothing outside the window is held, one later vote per sender and slot; hearsay moves nobody",
        evidence: &[],
        behaviour: || Box::new(FarSeer),
    },
    Kind {
        name: "withhold",
        description: "keeps its PREPAREs and COMMITs to itself",
        rows: &[9],
        defence: "the honest replicas are a quorum without it",
        evidence: &[],
        behaviour: || Box::new(VoteWithholder::new(Hearers::Nobody)),
    },
    Kind {
        name: "withhold-partly",
        description: "sends its PREPAREs and COMMITs to f+1 peers only",
        rows: &[9],
        defence: "status exchange and transferable certificates reach those who were left out",
        evidence: &[],
        behaviour: || Box::new(VoteWithholder::new(Hearers::Weak)),
    },
    Kind {
        name: "late-votes",
        description: "sends its PREPAREs and COMMITs three status intervals late",
        rows: &[9, 30],
        defence: "quorums do not wait for the slowest; lateness is no evidence",
        evidence: &[],
        behaviour: || Box::new(Latecomer::new(Late::Votes)),
    },
    Kind {
        name: "late",
        description: "says everything three status intervals late: votes, bodies, answers, questions",
        rows: &[9, 30],
        defence: "quorums do not wait for the slowest; lateness is no evidence",
        evidence: &[],
        behaviour: || Box::new(Latecomer::new(Late::All)),
    },
    Kind {
        name: "double-vote",
        description: "signs PREPAREs and COMMITs for two digests per view and slot",
        rows: &[10],
        defence: "the first vote of a sender counts, the second is evidence",
        evidence: &[TWO_PREPARES, TWO_COMMITS],
        behaviour: || Box::new(DoubleVoter),
    },
    Kind {
        name: "replay",
        description: "beside its votes, sends again what anybody ever signed, to everybody",
        rows: &[10],
        defence: "a signature says what, where and in which view; what is known changes nothing",
        evidence: &[],
        behaviour: || Box::new(Replayer::default()),
    },
    Kind {
        name: "forge",
        description: "beside its votes, sends votes and certificates in the names of others",
        rows: &[11, 30],
        defence: "distinct members in range, each signature by its signer's key and domain",
        evidence: &[],
        behaviour: || Box::new(Forger),
    },
    Kind {
        name: "view-storm",
        description: "asks for ever higher views",
        rows: &[12],
        defence: "a view is joined when f+1 ask for it or exceed it; one request per sender is held",
        evidence: &[],
        behaviour: || Box::new(ViewStormer::default()),
    },
    Kind {
        name: "hide-prepared",
        description: "asks for views with its prepared certificates left out",
        rows: &[13],
        defence: "what committed is in the certificates of an honest member of every quorum",
        evidence: &[],
        behaviour: || Box::new(LyingViewChanger::new(Claim::NothingPrepared)),
    },
    Kind {
        name: "hide-all",
        description: "asks for views as one who knows of no checkpoint and no certificate",
        rows: &[13, 16],
        defence: "the highest proved checkpoint counts; what committed is in every quorum",
        evidence: &[],
        behaviour: || Box::new(LyingViewChanger::new(Claim::Nothing)),
    },
    Kind {
        name: "false-prepared",
        description: "asks for views with a prepared certificate that nobody signed",
        rows: &[13],
        defence: "a certificate proves itself; a false one proves who claims it faulty",
        evidence: &[INVALID_VIEW_CHANGE],
        behaviour: || Box::new(LyingViewChanger::new(Claim::Forged)),
    },
    Kind {
        name: "huge-max",
        description: "asks for views with a prepared certificate far above the window",
        rows: &[13],
        defence: "P is bounded by C and the window; what is beyond proves who claims it faulty",
        evidence: &[INVALID_VIEW_CHANGE],
        behaviour: || Box::new(LyingViewChanger::new(Claim::Huge)),
    },
    Kind {
        name: "two-view-changes",
        description: "asks for each view twice, with and without what it has prepared",
        rows: &[13],
        defence: "the first counts, both together are evidence",
        evidence: &[TWO_VIEW_CHANGES, INVALID_VIEW_CHANGE],
        behaviour: || Box::new(LyingViewChanger::new(Claim::Both)),
    },
    Kind {
        name: "drop-slot",
        description: "as new primary, leaves out the last slot that its view changes imply",
        rows: &[13],
        defence: "every backup computes O again; a wrong one is evidence and fails the view at once",
        evidence: &[INVALID_NEW_VIEW],
        behaviour: || Box::new(LyingNewPrimary::new(Wrong::Dropped)),
    },
    Kind {
        name: "null-slot",
        description: "as new primary, puts a null batch in the place of the last slot",
        rows: &[13],
        defence: "every backup computes O again; a wrong one is evidence and fails the view at once",
        evidence: &[INVALID_NEW_VIEW],
        behaviour: || Box::new(LyingNewPrimary::new(Wrong::Nulled)),
    },
    Kind {
        name: "chosen-view-changes",
        description: "as new primary, quotes itself as knowing nothing: legal, as nobody can know",
        rows: &[13],
        defence: "what committed is in the certificates of every quorum, whichever is chosen",
        evidence: &[],
        behaviour: || Box::new(LyingNewPrimary::new(Wrong::Chosen)),
    },
    Kind {
        name: "two-new-views",
        description: "as new primary, begins its view twice, with different view changes",
        rows: &[13],
        defence: "the first counts, both together are evidence and fail the view",
        evidence: &[TWO_NEW_VIEWS, INVALID_NEW_VIEW, TWO_PRE_PREPARES],
        behaviour: || Box::new(LyingNewPrimary::new(Wrong::Twice)),
    },
    Kind {
        name: "wrong-checkpoint",
        description: "signs checkpoints of a state that nobody has",
        rows: &[14, 30],
        defence: "q equal ones are stable, and the honest are a quorum",
        evidence: &[],
        behaviour: || Box::new(LyingCheckpointer::new(Lie::Wrong)),
    },
    Kind {
        name: "split-checkpoint",
        description: "signs a true checkpoint for one half of its peers and a false one for the other",
        rows: &[14],
        defence: "q equal ones are stable, and the honest are a quorum",
        evidence: &[],
        behaviour: || Box::new(LyingCheckpointer::new(Lie::Split)),
    },
    Kind {
        name: "two-checkpoints",
        description: "signs a true and a false checkpoint for everybody",
        rows: &[14],
        defence: "the first counts, both together are evidence",
        evidence: &[TWO_CHECKPOINTS],
        behaviour: || Box::new(LyingCheckpointer::new(Lie::Twice)),
    },
    Kind {
        name: "wrong-answers",
        description: "answers questions for bodies and slots with other bodies and slots",
        rows: &[15],
        defence: "certificate before bytes; a body is named by its digest; sources are asked in turn",
        evidence: &[],
        behaviour: || Box::new(BadSource::new(Answer::Wrong)),
    },
    Kind {
        name: "no-answers",
        description: "says what it has decided and answers no question for it",
        rows: &[15],
        defence: "sources are asked in turn, again after each status interval",
        evidence: &[],
        behaviour: || Box::new(BadSource::new(Answer::Nothing)),
    },
    Kind {
        name: "false-pruned",
        description: "says that it no longer holds whatever it is asked for",
        rows: &[15],
        defence: "f+1 must say so before anybody believes it",
        evidence: &[],
        behaviour: || Box::new(BadSource::new(Answer::Pruned)),
    },
    Kind {
        name: "stale-answers",
        description: "answers with the first certificates that it ever had, and as if it stood there still",
        rows: &[15, 16],
        defence: "nothing moves backwards: what is not newer changes nothing",
        evidence: &[],
        behaviour: || Box::new(BadSource::new(Answer::Stale)),
    },
    Kind {
        name: "collude",
        description: "as primary tells two stories, as backup votes for both, by a plan that all colluders share",
        rows: &[1, 10, 17, 18],
        defence: "with f of them no story gets a quorum without the honest, who prove it to each other",
        evidence: &[TWO_PRE_PREPARES],
        behaviour: || Box::new(Colluder::default()),
    },
    Kind {
        name: "amnesia",
        description: "votes anew and otherwise in slots in which it has voted, as after a loss of its disk",
        rows: &[22, 30],
        defence: "the first vote counts, the second is evidence, however late",
        evidence: &[TWO_PRE_PREPARES, TWO_PREPARES, TWO_COMMITS],
        behaviour: || Box::new(Amnesiac::default()),
    },
    Kind {
        name: "crash",
        description: "falls silent for ever at the first place at which it strikes",
        rows: &[30],
        defence: "the others are a quorum, and pass it over",
        evidence: &[],
        behaviour: || Box::new(Crasher::new()),
    },
    Kind {
        name: "omit",
        description: "loses every other message of its own",
        rows: &[30],
        defence: "state is sent again until it is known",
        evidence: &[],
        behaviour: || Box::new(Omitter::new()),
    },
];
