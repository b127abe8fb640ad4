#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Histories as clients tell them: some that an order explains, and some that none does.

use super::*;
use crate::journal::{ClientJournal, Entry, Outcome};
use std::collections::BTreeMap;
use std::ops::Range;
use varangian_application::OperationResult;
use varangian_application::kv::{Action, Answer, Condition, Operation, Response, Transaction, Value};
use varangian_crypto::{SigningKey, encode};

/// What a client did and was told; the commands of a history are those of one client.
struct Told {
    sent: u64,
    done: Option<u64>,
    operations: Vec<Operation>,
    answers: Vec<Answer>,
}

fn told(sent: u64, done: u64, action: Action, response: Response) -> Told {
    Told { sent, done: Some(done), operations: vec![action.into()], answers: vec![Answer::Single(response)] }
}

fn unknown(sent: u64, action: Action) -> Told {
    Told { sent, done: None, operations: vec![action.into()], answers: vec![] }
}

fn put(sent: u64, done: u64, value: &str, existed: bool) -> Told {
    told(sent, done, putting(value), Response::Written { existed })
}

fn get(sent: u64, done: u64, value: Option<&str>) -> Told {
    told(sent, done, Action::get(b"k").unwrap(), Response::Value(value.map(text)))
}

fn add(sent: u64, done: u64, delta: i64, sum: i64) -> Told {
    told(sent, done, adding(delta), Response::Counter(sum))
}

fn putting(value: &str) -> Action {
    Action::put(b"k", value.as_bytes().to_vec()).unwrap()
}

fn adding(delta: i64) -> Action {
    Action::add(b"k", delta).unwrap()
}

fn text(value: &str) -> Value {
    value.as_bytes().try_into().unwrap()
}

fn claims(history: Vec<Told>) -> Claims {
    let entry = |Told { sent, done, operations, answers }: Told| {
        let result = |answer: &Answer| OperationResult::Done(encode(answer).try_into().unwrap());
        let results = answers.iter().map(result).collect();
        let end = done.map(|done| (done, Outcome::Committed { slot: 1, results }));
        Entry { sent_ms: sent, operations: operations.iter().map(|one| one.encode().to_vec()).collect(), end }
    };
    let commands: BTreeMap<_, _> = (1..).zip(history.into_iter().map(entry)).collect();
    Claims::new(vec![ClientJournal { client: client(), commands, torn: false }])
}

fn client() -> varangian_crypto::ClientKey {
    SigningKey::from_seed([1; 32]).client_key()
}

fn judged(history: Vec<Told>) -> (Linearizability, Findings) {
    let mut findings = Findings::default();
    let said = judge(&claims(history), 1, &mut findings);
    (said, findings)
}

#[track_caller]
fn explained(history: Vec<Told>) {
    let (said, findings) = judged(history);
    assert!(findings.is_empty() && said.samples > 0 && said.undecided == 0, "{said:?} {findings:?}");
}

/// No order explains it up to the command of that number.
#[track_caller]
fn refused(history: Vec<Told>, sequence: u64) {
    let (said, findings) = judged(history);
    let command = Identity { client: client(), sequence };
    assert_eq!(findings.listed(), [Finding::NotLinearizable { key: b"k".to_vec(), command }]);
    assert_eq!((said.samples, said.undecided), (1, 0));
}

#[test]
fn a_stale_read_is_refused() {
    let stale = |value| vec![put(0, 1, "a", false), put(2, 3, "b", true), get(4, 5, Some(value)), get(6, 7, Some("b"))];
    explained(stale("b"));
    refused(stale("a"), 3);
}

#[test]
fn a_read_that_overlaps_a_write_may_see_it_or_not_but_not_go_back() {
    let reads = |first, second| {
        vec![put(0, 1, "a", false), put(2, 9, "b", true), get(3, 4, Some(first)), get(5, 6, Some(second))]
    };
    for (first, second) in [("a", "a"), ("a", "b"), ("b", "b")] {
        explained(reads(first, second));
    }
    refused(reads("b", "a"), 4);
}

#[test]
fn a_lost_update_is_refused() {
    explained(vec![add(0, 5, 1, 3), add(0, 5, 2, 2), add(7, 8, 1, 4)]);
    refused(vec![add(0, 5, 1, 1), add(0, 6, 2, 2), add(7, 8, 1, 4)], 2);
}

#[test]
fn what_was_answered_before_another_was_sent_comes_before_it() {
    explained(vec![add(0, 4, 1, 1), add(5, 6, 2, 3)]);
    refused(vec![add(0, 4, 1, 3), add(5, 6, 2, 2)], 1);
}

/// Milliseconds are rounded down: what was answered and sent in the same one may have overlapped.
#[test]
fn in_one_millisecond_either_may_be_the_first() {
    explained(vec![add(0, 5, 1, 3), add(5, 6, 2, 2)]);
    explained(vec![add(5, 5, 1, 3), add(5, 5, 2, 2)]);
    explained(vec![get(0, 5, Some("a")), put(5, 6, "a", false)]);
    refused(vec![get(0, 4, Some("a")), put(5, 6, "a", false)], 1);
}

#[test]
fn the_chain_begins_without_any_key() {
    explained(vec![get(0, 1, None)]);
    refused(vec![get(0, 1, Some("a"))], 1);
    refused(vec![put(0, 1, "a", true)], 1);
    refused(vec![add(0, 1, 1, 2)], 1);
}

#[test]
fn what_has_no_outcome_may_have_run_at_any_time_since_it_was_sent_or_never() {
    explained(vec![unknown(0, adding(5)), add(1, 2, 1, 1), add(3, 4, 1, 2)]);
    explained(vec![unknown(0, adding(5)), add(1, 2, 1, 1), add(3, 4, 1, 7)]);
    explained(vec![unknown(0, putting("a")), get(1, 2, None), get(3, 4, Some("a"))]);
    refused(vec![unknown(0, adding(5)), add(1, 2, 1, 1), add(3, 4, 1, 12)], 3);
    refused(vec![unknown(0, adding(5)), add(1, 2, 1, 6), add(3, 4, 1, 2)], 3);
    refused(vec![add(1, 2, 1, 6), unknown(3, adding(5))], 1);
}

#[test]
fn what_was_rejected_has_not_run() {
    let mut claims = claims(vec![unknown(0, adding(5)), add(1, 2, 1, 6)]);
    let mut findings = Findings::default();
    judge(&claims, 1, &mut findings);
    assert!(findings.is_empty(), "{findings:?}");
    claims.iter_mut().next().unwrap().1.fate = crate::judge::claims::Fate::Rejected;
    judge(&claims, 1, &mut findings);
    assert_eq!(findings.total(), 1);
}

#[test]
fn a_command_runs_as_a_whole() {
    let twice = |first, second| Told {
        sent: 0,
        done: Some(9),
        operations: vec![adding(1).into(), adding(1).into()],
        answers: vec![Answer::Single(Response::Counter(first)), Answer::Single(Response::Counter(second))],
    };
    explained(vec![twice(1, 2), add(0, 9, 5, 7)]);
    explained(vec![twice(6, 7), add(0, 9, 5, 5)]);
    let (_, findings) = judged(vec![twice(1, 7), add(0, 9, 5, 6)]);
    assert_eq!(findings.total(), 1);
}

#[test]
fn keys_of_transactions_are_left_out_and_said_to_be() {
    let transaction =
        Transaction::new(vec![Condition::exists(b"c").unwrap()], vec![adding(1)], vec![putting("x")]).unwrap();
    let answer = Answer::Transaction { held: true, responses: vec![Response::Counter(4)].try_into().unwrap() };
    let moved = Told { sent: 0, done: Some(1), operations: vec![transaction.into()], answers: vec![answer] };
    let (said, findings) = judged(vec![moved, add(2, 3, 1, 77)]);
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!((said.samples, said.of, said.left_out), (0, 0, 2));
}

/// One after the other, each adding one.
fn counting(from: u64, to: u64) -> Vec<Told> {
    (from..to).map(|number| add(2 * number, 2 * number + 1, 1, number.cast_signed() + 1)).collect()
}

#[test]
fn long_histories_are_looked_at_to_their_end_and_across_the_cuts() {
    let whole = judged(counting(0, 1000)).0;
    assert_eq!((whole.operations, whole.of, whole.refused), (1000, 1000, 1));
    let puts = ["a read of a value that was overwritten", "a put that found nothing where something had been put"];
    assert_eq!(whole.unmutated, puts);
    assert!(whole.samples > 6, "{whole:?}");
    for wrong in (1..1000).step_by(19) {
        let mut history = counting(0, 1000);
        // One addition is lost.
        history[wrong..].iter_mut().for_each(|told| {
            let Answer::Single(Response::Counter(sum)) = &mut told.answers[0] else { unreachable!() };
            *sum -= 1;
        });
        let (_, findings) = judged(history);
        let command = Identity { client: client(), sequence: wrong as u64 + 1 };
        // Two windows, where they overlap.
        assert!((1..=2).contains(&findings.total()), "{findings:?}");
        assert_eq!(findings.listed()[0], Finding::NotLinearizable { key: b"k".to_vec(), command });
    }
}

#[test]
fn where_commands_always_overlap_nothing_is_missed() {
    // Each overlaps the next; the sums are those of another order than that of sending.
    let overlapping = |count: u64| -> Vec<Told> {
        let sum = |number: u64| if number.is_multiple_of(2) { number + 2 } else { number };
        (0..count).map(|number| add(number, number + 2, 1, sum(number).cast_signed())).collect()
    };
    let (said, findings) = judged(overlapping(600));
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!((said.samples, said.operations, said.of), (6, 600, 600));
    for place in (3..600).step_by(19) {
        let mut wrong = overlapping(600);
        wrong[place] = add(place as u64, place as u64 + 2, 1, i64::try_from(place).unwrap() + 3);
        let (_, findings) = judged(wrong);
        assert!((1..=2).contains(&findings.total()), "{place}: {findings:?}");
    }
}

/// Writes that all overlap, and a read that sees what nobody wrote: every set of writes is tried.
fn endless(writes: u64) -> Vec<Told> {
    let written = |number: u64| Response::Written { existed: number > 0 };
    let mut history: Vec<_> =
        (0..writes).map(|number| told(0, 100, putting(&number.to_string()), written(number))).collect();
    history.push(get(50, 100, Some("nobody")));
    history
}

#[test]
fn a_search_without_end_is_ended_and_said_to_be() {
    let (said, findings) = judged(endless(40));
    let expected = Finding::Unsearched { searched: 0, operations: 41 };
    assert_eq!(findings.listed(), [expected], "who has searched nothing does not say that all is well");
    assert_eq!((said.samples, said.undecided, said.refused), (0, 1, 0));
}

/// A hundredth at least.
#[test]
fn who_has_searched_next_to_nothing_does_not_say_that_all_is_well() {
    let elsewhere = |at: u64| told(at, at, Action::get(b"elsewhere").unwrap(), Response::Value(None));
    let judged = |reads: u64| judged((200..200 + reads).map(elsewhere).chain(endless(200)).collect());
    let (said, findings) = judged(2);
    assert_eq!((said.operations, said.of), (2, 203));
    assert_eq!(findings.listed(), [Finding::Unsearched { searched: 2, operations: 203 }]);
    let (said, findings) = judged(3);
    assert_eq!((said.operations, said.of), (3, 204));
    assert!(findings.is_empty(), "{findings:?}");
}

/// Numbers for histories.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Choices of commands: the first two are without an answer, the last are swaps.
const ALL: Range<u64> = 0..40;
const ANSWERED: Range<u64> = 2..40;
const NO_SWAPS: Range<u64> = 0..32;

/// What a right store answers clients whose commands overlap: each runs at one moment between being sent and answered, in tenths of milliseconds.
fn right_history(dice: &mut Dice, commands: usize, counter: bool, choices: Range<u64>) -> Vec<Told> {
    let mut plans: Vec<_> = (0..commands)
        .map(|_| {
            let sent = dice.below(commands as u64 * 20);
            let ran = sent + dice.below(60);
            (ran, sent, ran + dice.below(60), choices.start + dice.below(choices.end - choices.start))
        })
        .collect();
    plans.sort_unstable();
    let (mut held, mut number, mut history) = (None::<String>, 0, Vec::new());
    for (step, (_, sent, done, choice)) in plans.into_iter().enumerate() {
        let (sent, done) = (sent / 10, done / 10);
        let value = format!("v{step}");
        history.push(match choice {
            0 if counter => {
                number += 7;
                unknown(sent, adding(7))
            }
            1 if counter => unknown(sent, adding(7)),
            _ if counter => {
                let delta = 1 + dice.below(9).cast_signed();
                number += delta;
                add(sent, done, delta, number)
            }
            0 => {
                held = Some(value.clone());
                unknown(sent, putting(&value))
            }
            1 => unknown(sent, putting(&value)),
            2..14 => {
                let existed = held.replace(value.clone()).is_some();
                put(sent, done, &value, existed)
            }
            14..18 => {
                let existed = held.take().is_some();
                told(sent, done, Action::delete(b"k").unwrap(), Response::Written { existed })
            }
            18..32 => get(sent, done, held.as_deref()),
            32..36 => {
                let expected = held.clone();
                held = Some(value.clone());
                let swap =
                    Action::compare_and_swap(b"k", expected.as_deref().map(str::as_bytes), Some(value.as_bytes()));
                told(sent, done, swap.unwrap(), Response::Swapped)
            }
            _ => {
                let swap = Action::compare_and_swap(b"k", Some(b"never"), None).unwrap();
                told(sent, done, swap, Response::NotSwapped { current: held.as_deref().map(text) })
            }
        });
    }
    history
}

#[test]
fn what_a_right_store_answers_is_never_refused() {
    let mut undecided = 0;
    for seed in 0..300 {
        let (said, findings) = judged(right_history(&mut Dice(seed), 40, seed % 2 == 0, ALL));
        assert!(findings.is_empty(), "seed {seed}: {findings:?}");
        assert_eq!(said.samples + said.undecided, 1, "seed {seed}: {said:?}");
        undecided += said.undecided;
    }
    assert!(undecided < 5, "{undecided}");
}

/// Windows begin and end while commands are under way: what of these ran outside of a window is no fault in it.
#[test]
fn what_is_under_way_where_a_history_is_cut_is_never_refused() {
    let mut looked_at = 0;
    for seed in 0..16 {
        let (said, findings) = judged(right_history(&mut Dice(seed), 500, seed % 2 == 0, ANSWERED));
        // Of what swaps are in, nothing is made wrong on purpose.
        let untried = |finding: &Finding| matches!(finding, Finding::Untried { .. });
        assert!(findings.listed().iter().all(untried), "seed {seed}: {findings:?}");
        looked_at += said.operations;
    }
    assert!(looked_at > 7900, "{looked_at}");
}

/// Every order is tried, and every choice of what ran of the commands without an answer.
fn brute(history: &[Told]) -> bool {
    fn go(history: &[&Told], state: &BTreeMap<(), String>) -> bool {
        let all_open = history.iter().all(|told| told.done.is_none());
        all_open
            || history.iter().enumerate().any(|(place, first)| {
                let rest: Vec<_> = history.iter().enumerate().filter(|(other, _)| *other != place).collect();
                // Nobody else was answered before this one was sent.
                let may_be_first = rest.iter().all(|(_, other)| other.done.is_none_or(|done| done >= first.sent));
                let rest: Vec<_> = rest.into_iter().map(|(_, told)| *told).collect();
                may_be_first && run(first, state).is_some_and(|state| go(&rest, &state))
            })
    }
    /// The store, if it can have answered so.
    fn run(told: &Told, state: &BTreeMap<(), String>) -> Option<BTreeMap<(), String>> {
        let mut state = state.clone();
        let Operation::Single(action) = &told.operations[0] else { unreachable!() };
        let response = match action {
            Action::Put { value, .. } => {
                let value = String::from_utf8(value.to_vec()).unwrap();
                Response::Written { existed: state.insert((), value).is_some() }
            }
            Action::Add { delta, .. } => {
                let sum = state.get(&()).map_or(0, |text| text.parse().unwrap()) + delta;
                state.insert((), sum.to_string());
                Response::Counter(sum)
            }
            _ => Response::Value(state.get(&()).map(|value| text(value))),
        };
        told.answers.first().is_none_or(|answer| *answer == Answer::Single(response)).then_some(state)
    }
    go(&history.iter().collect::<Vec<_>>(), &BTreeMap::new())
}

#[test]
fn the_search_says_what_trying_every_order_says() {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let counter = dice.below(2) == 0;
        let history: Vec<_> = (0..3 + dice.below(3))
            .map(|_| {
                let sent = dice.below(6);
                let done = sent + dice.below(4);
                let value = dice.below(3).to_string();
                match dice.below(6) {
                    0 if counter => unknown(sent, adding(1)),
                    0 => unknown(sent, putting(&value)),
                    _ if counter => add(sent, done, 1, 1 + dice.below(4).cast_signed()),
                    1 | 2 => put(sent, done, &value, dice.below(3) > 0),
                    _ => get(sent, done, (dice.below(4) > 0).then_some(&value)),
                }
            })
            .collect();
        let expected = brute(&history);
        *(if expected { &mut right } else { &mut wrong }) += 1;
        let (_, findings) = judged(history);
        assert_eq!(findings.is_empty(), expected, "seed {seed}: {findings:?}");
    }
    assert!(right > 300 && wrong > 300, "{right} right, {wrong} wrong");
}

#[test]
fn a_mutated_history_is_refused_and_one_is_found_to_mutate() {
    let mut refused = [0; 2];
    for seed in 0..40 {
        for (kind, counter) in [true, false].into_iter().enumerate() {
            let (said, findings) = judged(right_history(&mut Dice(seed), 60, counter, NO_SWAPS));
            // Of the few windows of so short a history the search may come to no end on any that was made wrong.
            let unproven = |finding: &Finding| matches!(finding, Finding::Unproven { .. });
            assert!(findings.listed().iter().all(unproven), "seed {seed}: {findings:?}");
            refused[kind] += said.refused;
        }
    }
    assert!(refused.iter().all(|refused| *refused >= 20), "{refused:?}");
}

#[test]
fn a_search_that_explains_a_mutated_history_is_a_finding() {
    // What overlaps everywhere has nothing wrong with it; as if the search could not tell.
    let claims = claims(vec![add(0, 9, 1, 3), add(0, 9, 2, 2)]);
    let histories = Histories::new(&claims);
    let windows: Vec<_> = histories.windows().collect();
    let mut findings = Findings::default();
    let unchanged: mutant::Mutation = |window| Some(mutant::Mutant::new(window, |_| {}));
    let mut said = Linearizability::default();
    refuse(&windows, &[("nothing", unchanged)], &mut said, &mut findings);
    assert_eq!(said.refused, 0);
    assert_eq!(findings.listed(), [Finding::Blind { what: "nothing", key: b"k".to_vec() }]);
}

/// Puts alone can be made wrong too; a search of much that cannot be was not seen to refuse anything.
#[test]
fn what_cannot_be_made_wrong_proves_nothing_about_the_search() {
    let puts = |count: u64| (0..count).map(|at| put(2 * at, 2 * at + 1, "x", at > 0)).collect::<Vec<_>>();
    let (said, findings) = judged(puts(TELLING));
    assert!(findings.is_empty() && said.refused == 1, "{findings:?}");
    let reads = |count: u64| (0..count).map(|at| get(2 * at, 2 * at + 1, None)).collect::<Vec<_>>();
    assert!(judged(reads(TELLING - 1)).1.is_empty());
    assert_eq!(judged(reads(TELLING)).1.listed(), [Finding::Untried { operations: TELLING }]);
}

/// A search that comes to no end has not shown that it sees anything.
#[test]
fn a_search_that_comes_to_no_end_on_what_was_made_wrong_is_a_finding() {
    let claims = claims(endless(40));
    let histories = Histories::new(&claims);
    let windows: Vec<_> = histories.windows().flat_map(|window| vec![window; MUTANTS + 2]).collect();
    let (mut said, mut findings) = (Linearizability::default(), Findings::default());
    let unchanged: mutant::Mutation = |window| Some(mutant::Mutant::new(window, |_| {}));
    refuse(&windows, &[("whatever it is", unchanged), ("nothing", |_| None)], &mut said, &mut findings);
    assert_eq!((said.refused, said.unmutated), (0, vec!["nothing"]));
    assert_eq!(findings.listed(), [Finding::Unproven { what: "whatever it is", tried: MUTANTS as u64 }]);
}
