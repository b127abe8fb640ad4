//! Votes by who cast them, against a model that keeps every message.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{World, digest};
use proptest::prelude::*;
use std::sync::LazyLock;
use varangian_consensus::tally::{Cast, Tally};
use varangian_consensus::{Commit, PreparedCertificate, View};
use varangian_crypto::{QuorumCertificate, ReplicaId, Signed};

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(7));

/// What happens to a tally.
#[derive(Clone, Debug)]
enum Event {
    Cast { signer: u16, ahead: u64, choice: u64 },
    Enter { ahead: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..7_u16, prop::sample::select(vec![0, 0, 0, 1, 1, 2, 3, 1 << 60]), 1..4_u64)
            .prop_map(|(signer, ahead, choice)| Event::Cast { signer, ahead, choice }),
        1 => (1..4_u64).prop_map(|ahead| Event::Enter { ahead }),
    ]
}

/// Keeps all votes since they could count, in order of arrival, and looks through all of them each time.
#[derive(Default)]
struct Model {
    votes: Vec<Signed<Commit>>,
    entered: u64,
}

impl Model {
    /// Of the entered view its first vote counts; of later views the highest so far is held, and of that the first.
    fn held(&self, signer: u16, later: bool) -> Option<&Signed<Commit>> {
        let of = || {
            self.votes
                .iter()
                .filter(move |vote| vote.signer == ReplicaId(signer) && (vote.statement.view.0 > self.entered) == later)
        };
        let view = of().map(|vote| vote.statement.view).max()?;
        of().find(|vote| vote.statement.view == view)
    }

    fn cast(&mut self, vote: Signed<Commit>) -> &'static str {
        let later = vote.statement.view.0 > self.entered;
        let outcome = match self.held(vote.signer.0, later) {
            Some(first) if first.statement.view > vote.statement.view => "known",
            Some(first) if first.statement == vote.statement => "known",
            Some(first) if first.statement.view == vote.statement.view => "conflict",
            _ => "counted",
        };
        if outcome == "counted" {
            self.votes.push(vote);
        }
        outcome
    }

    fn enter(&mut self, view: u64) {
        // Votes that were displaced by later views of their sender are not remembered.
        let kept: Vec<_> = (0..7).filter_map(|signer| self.held(signer, true).cloned()).collect();
        self.entered = view;
        self.votes = kept.into_iter().filter(|vote| vote.statement.view.0 >= view).collect();
    }

    fn signers(&self, choice: u64) -> Vec<ReplicaId> {
        (0..7)
            .filter_map(|signer| self.held(signer, false))
            .filter(|vote| vote.statement.digest == digest(choice))
            .map(|vote| vote.signer)
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tally_equals_the_model(events in prop::collection::vec(event(), 1..120)) {
        let mut tally: Tally<Commit> = Tally::default();
        let mut model = Model::default();
        for event in events {
            match event {
                Event::Cast { signer, ahead, choice } => {
                    let vote = WORLD.commit(signer, model.entered + ahead, 1, digest(choice));
                    let outcome = match tally.cast(vote.clone(), View(model.entered)) {
                        Cast::Counted => "counted",
                        Cast::Known => "known",
                        Cast::Conflict(conflict) => {
                            prop_assert_eq!(conflict.first.signer, conflict.second.signer);
                            prop_assert_eq!(&conflict.second, &vote);
                            prop_assert_ne!(&conflict.first.statement, &conflict.second.statement);
                            "conflict"
                        }
                    };
                    prop_assert_eq!(outcome, model.cast(vote));
                }
                Event::Enter { ahead } => {
                    model.enter(model.entered + ahead);
                    tally.enter(View(model.entered));
                }
            }
            for signer in 0..7 {
                prop_assert_eq!(tally.of(ReplicaId(signer)), model.held(signer, false), "the vote of {}", signer);
            }
            for choice in 1..4 {
                let chosen = digest(choice);
                let signers: Vec<_> = tally.signatures(View(model.entered), &chosen).map(|(signer, _)| signer).collect();
                let expected = model.signers(choice);
                prop_assert_eq!(&signers, &expected);
                let statement = Commit { view: View(model.entered), slot: varangian_consensus::Slot(1), digest: chosen };
                let votes = tally.signatures(View(model.entered), &chosen);
                let certificate = QuorumCertificate::from_votes(statement, votes, WORLD.committee.quorums());
                prop_assert_eq!(certificate.is_some(), expected.len() >= WORLD.quorum());
            }
        }
    }

    /// A prepared certificate is the primary and `q - 1` distinct backups, however often anybody says it, and never the primary twice.
    #[test]
    fn prepared_certificates_count_replicas_and_not_messages(signers in prop::collection::vec(1..7_u16, 0..20)) {
        use varangian_crypto::Verify;
        let pre_prepare = WORLD.pre_prepare(0, 1, digest(1));
        let signed: Vec<_> = signers.iter().map(|signer| WORLD.prepare(*signer, 0, 1, digest(1))).collect();
        let mut votes: Vec<_> = signed.iter().map(|vote| (vote.signer, vote.signature)).collect();
        // The primary's PREPARE is no vote: its pre-prepare is.
        let own = WORLD.prepare(0, 0, 1, digest(1));
        votes.extend([(own.signer, own.signature); 3]);
        let distinct: std::collections::BTreeSet<_> = signers.iter().collect();
        let certificate = PreparedCertificate::from_votes(&pre_prepare, votes.into_iter(), WORLD.quorum());
        prop_assert_eq!(certificate.is_some(), distinct.len() + 1 >= WORLD.quorum());
        if let Some(certificate) = certificate {
            prop_assert!(certificate.check(&WORLD.committee).is_ok());
        }
    }
}

/// An equivocator cannot take back the vote that counted.
#[test]
fn an_equivocators_first_vote_goes_on_counting() {
    let mut tally: Tally<Commit> = Tally::default();
    tally.cast(WORLD.commit(2, 0, 1, digest(1)), View(0));
    for choice in [2, 3, 2] {
        assert!(matches!(tally.cast(WORLD.commit(2, 0, 1, digest(choice)), View(0)), Cast::Conflict(_)));
    }
    let one = digest(1);
    assert_eq!(tally.signatures(View(0), &one).count(), 1);
}

/// A NEW-VIEW's own pre-prepare takes the place of one that overtook it, and the difference is evidence.
#[test]
fn a_seated_vote_displaces_and_tells() {
    let mut tally: Tally<varangian_consensus::PrePrepare> = Tally::default();
    let (one, two) = (WORLD.pre_prepare(1, 1, digest(1)), WORLD.pre_prepare(1, 1, digest(2)));
    tally.cast(one.clone(), View(0));
    tally.enter(View(1));
    assert_eq!(tally.of(ReplicaId(1)), Some(&one));
    let conflict = tally.seat(two.clone()).expect("a contradiction");
    assert_eq!((&conflict.first, &conflict.second), (&one, &two));
    assert_eq!(tally.of(ReplicaId(1)), Some(&two));
    assert_eq!(tally.seat(two.clone()), None);
    tally.forget(ReplicaId(1));
    assert_eq!(tally.of(ReplicaId(1)), None);
}
