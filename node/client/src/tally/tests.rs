#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::protocol::Response;
use crate::testing::key;
use proptest::prelude::*;
use varangian_application::{OperationResult, Outcome, Reply};
use varangian_consensus::Slot;
use varangian_crypto::{Digest, encode};

const F: usize = 1;
const N: u16 = 4;

fn frame(slot: u64, outcome: Outcome, view: u64) -> ReplyFrame {
    let reply = Reply { client: key(0).client_key(), sequence: 1, command: Digest::ZERO, slot: Slot(slot), outcome };
    ReplyFrame::peek(&encode(&Response::Reply { reply, view }).into()).unwrap()
}

fn done(result: u8) -> ReplyFrame {
    executed(5, result)
}

fn executed(slot: u64, result: u8) -> ReplyFrame {
    let result = OperationResult::Done(vec![result].try_into().unwrap());
    frame(slot, Outcome::Executed(vec![result].try_into().unwrap()), slot)
}

fn tally() -> Tally {
    Tally::new(F + 1, 1000)
}

fn r(id: u16) -> ReplicaId {
    ReplicaId(id)
}

#[test]
fn f_plus_one_equal_replies_suffice_and_f_do_not() {
    let mut tally = tally();
    assert!(tally.reply(r(2), &done(1)));
    assert_eq!(tally.verdict(), None);
    assert!(!tally.calls_for_action());
    assert!(tally.reply(r(0), &done(1)));
    assert!(tally.calls_for_action());
    let (verdict, replicas) = tally.verdict().unwrap();
    assert_eq!(verdict, Verdict::Executed(done(1).reply().clone()));
    assert_eq!(replicas, [r(0), r(2)]);
    assert_eq!(tally.dissenters(), []);
}

#[test]
fn a_replica_has_one_voice_its_first() {
    let mut tally = tally();
    assert!(tally.reply(r(0), &done(1)));
    for _ in 0..10 {
        assert!(!tally.reply(r(0), &done(1)));
    }
    assert_eq!(tally.verdict(), None, "saying it again adds nothing");
    assert_eq!(tally.dissenters(), [], "and is no offence");
    assert!(!tally.reply(r(0), &done(2)));
    assert!(tally.reply(r(1), &done(2)));
    assert_eq!(tally.verdict(), None, "a second opinion does not count");
    assert_eq!(tally.dissenters(), [r(0)]);
    assert!(tally.reply(r(3), &done(2)));
    assert_eq!(tally.verdict().unwrap().1, [r(1), r(3)]);
}

#[test]
fn the_slot_matters_and_the_view_does_not() {
    let mut tally = tally();
    tally.reply(r(0), &executed(5, 1));
    tally.reply(r(1), &executed(6, 1));
    assert_eq!(tally.verdict(), None);
    let again =
        frame(5, Outcome::Executed(vec![OperationResult::Done(vec![1].try_into().unwrap())].try_into().unwrap()), 900);
    tally.reply(r(2), &again);
    assert_eq!(tally.verdict().unwrap().1, [r(0), r(2)]);
    assert_eq!(tally.dissenters(), [r(1)]);
}

#[test]
fn too_old_counts_whatever_its_slot_and_way() {
    let mut one = tally();
    one.reply(r(0), &frame(5, Outcome::TooOld, 0));
    assert_eq!(one.verdict(), None);
    one.reply(r(1), &frame(8, Outcome::TooOld, 0));
    assert_eq!(one.verdict().unwrap().0, Verdict::Rejected(Rejection::TooOld));
    let mut other = tally();
    other.reply(r(0), &frame(5, Outcome::Refused, 0));
    other.not_taken(r(1), NotTaken::UnknownClient);
    assert_eq!(other.verdict().unwrap().0, Verdict::Rejected(Rejection::Refused));
}

#[test]
fn refusals_of_different_kinds_do_not_add_up() {
    let mut tally = tally();
    tally.not_taken(r(0), NotTaken::Invalid);
    tally.not_taken(r(1), NotTaken::TooOld);
    tally.not_taken(r(2), NotTaken::UnknownClient);
    assert_eq!(tally.verdict(), None);
    assert_eq!(tally.answered(), 3);
}

#[test]
fn busy_and_stopped_are_no_answers() {
    let mut tally = tally();
    for id in 0..N {
        assert!(tally.not_taken(r(id), NotTaken::Busy));
        assert!(!tally.not_taken(r(id), NotTaken::Stopped));
    }
    assert_eq!((tally.verdict(), tally.answered()), (None, 0));
    assert!(tally.calls_for_action());
    assert_eq!(tally.take_busy(), [r(0), r(1), r(2), r(3)]);
    assert!(!tally.calls_for_action());
    assert_eq!(tally.take_busy(), []);
    tally.reply(r(0), &done(1));
    tally.reply(r(1), &done(1));
    assert!(tally.verdict().is_some());
    assert_eq!(tally.dissenters(), []);
}

#[test]
fn a_reply_beyond_the_chains_limit_is_not_kept() {
    let mut tally = tally();
    let result = OperationResult::Done(vec![0; 1000].try_into().unwrap());
    let huge = frame(5, Outcome::Executed(vec![result].try_into().unwrap()), 0);
    assert!(!tally.reply(r(0), &huge));
    assert_eq!(tally.answered(), 0);
    assert_eq!(tally.dissenters(), [r(0)]);
}

/// Anything that a replica can say.
#[derive(Clone, Debug)]
enum Word {
    Done(u8),
    TooOld(u64),
    Not(NotTaken),
}

fn word() -> impl Strategy<Value = Word> {
    let reasons = [NotTaken::Busy, NotTaken::TooOld, NotTaken::UnknownClient, NotTaken::Invalid, NotTaken::Stopped];
    prop_oneof![
        (0u8..3).prop_map(Word::Done),
        (0u64..3).prop_map(Word::TooOld),
        prop::sample::select(reasons.to_vec()).prop_map(Word::Not),
    ]
}

fn say(tally: &mut Tally, from: ReplicaId, word: &Word) {
    match word {
        Word::Done(result) => tally.reply(from, &done(*result)),
        Word::TooOld(slot) => tally.reply(from, &frame(*slot, Outcome::TooOld, 0)),
        Word::Not(reason) => tally.not_taken(from, *reason),
    };
}

proptest! {
    /// Whatever f liars say and when: the verdict, if there is one, is what the honest say.
    #[test]
    fn f_liars_never_fool(
        liar in 0..N,
        words in prop::collection::vec((any::<bool>(), 0..N, word()), 0..60),
        truth in 0u8..3,
    ) {
        let mut tally = tally();
        let honest: Vec<_> = (0..N).filter(|id| *id != liar).collect();
        for (lie, from, word) in words {
            if lie {
                say(&mut tally, r(liar), &word);
            } else {
                // Honest replicas may be busy before they know the truth; they say nothing else.
                let from = r(honest[usize::from(from) % honest.len()]);
                tally.not_taken(from, NotTaken::Busy);
                tally.reply(from, &done(truth));
            }
            if let Some((verdict, replicas)) = tally.verdict() {
                prop_assert_eq!(verdict, Verdict::Executed(done(truth).reply().clone()));
                prop_assert!(replicas.iter().any(|id| *id != r(liar)));
            }
            prop_assert!(tally.dissenters().iter().all(|id| *id == r(liar)));
            prop_assert!(tally.answered() <= usize::from(N));
        }
        for id in &honest {
            tally.reply(r(*id), &done(truth));
        }
        prop_assert!(tally.verdict().is_some());
    }
}
