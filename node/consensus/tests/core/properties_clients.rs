//! Exactly-once against a model that remembers everything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use varangian_consensus::{Admission, ClientTable, ClientWindow, Identity, Outcome, Verdict};
use varangian_crypto::{ClientKey, SigningKey, decode, encode};

const WIDTHS: [u64; 4] = [1, 64, 100, 256];

fn client(number: u8) -> ClientKey {
    SigningKey::from_seed([number + 1; 32]).client_key()
}

/// Remembers every number that ever ran.
#[derive(Default)]
struct Model {
    ran: BTreeSet<u64>,
    floor: u64,
}

impl Model {
    fn outcome(&self, sequence: u64) -> Outcome {
        if sequence <= self.floor {
            Outcome::TooOld
        } else if self.ran.contains(&sequence) {
            Outcome::Executed
        } else {
            Outcome::None
        }
    }

    fn turn(&mut self, sequence: u64, width: u64) -> Verdict {
        match self.outcome(sequence) {
            Outcome::TooOld => Verdict::TooOld,
            Outcome::Executed => Verdict::Duplicate,
            _ => {
                self.ran.insert(sequence);
                self.floor = self.floor.max(sequence.saturating_sub(width));
                Verdict::Run { floor: self.floor }
            }
        }
    }
}

/// A step from the highest number so far: mostly near the window, sometimes far.
#[derive(Clone, Debug)]
enum Step {
    Back(u64),
    Ahead(u64),
    Absolute(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..300_u64).prop_map(Step::Back),
        5 => (0..5_u64).prop_map(Step::Ahead),
        3 => (0..600_u64).prop_map(Step::Ahead),
        1 => any::<u64>().prop_map(Step::Absolute),
        1 => prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(u64::MAX - 1), Just(u64::MAX - 64)].prop_map(Step::Absolute),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_window_equals_the_model(
        width in prop::sample::select(&WIDTHS[..]),
        steps in prop::collection::vec((0..2_u8, step()), 1..300),
        restart in 0..300_usize,
    ) {
        let keys = [client(0), client(1)];
        let admission = Admission::List(keys.into_iter().collect());
        let mut table = ClientTable::new(admission.clone(), width, []);
        let mut rows: BTreeMap<ClientKey, ClientWindow> = BTreeMap::new();
        let mut models = [Model::default(), Model::default()];
        let mut highest = [0_u64; 2];
        for (at, (who, step)) in steps.into_iter().enumerate() {
            let who = usize::from(who);
            let sequence = match step {
                Step::Back(by) => highest[who].saturating_sub(by),
                Step::Ahead(by) => highest[who].saturating_add(by),
                Step::Absolute(sequence) => sequence,
            };
            let identity = Identity { client: keys[who], sequence };
            prop_assert_eq!(table.outcome(&identity), models[who].outcome(sequence), "before {} of {}", sequence, who);
            let verdict = table.turn(&identity);
            prop_assert_eq!(verdict, models[who].turn(sequence, width), "{} of {}", sequence, who);
            if verdict != Verdict::TooOld {
                highest[who] = highest[who].max(sequence);
                prop_assert_eq!(table.outcome(&identity), Outcome::Executed);
                prop_assert_eq!(table.turn(&identity), Verdict::Duplicate, "a second turn");
            }
            // What a store keeps of it is rows, and they are canonical.
            for (key, row) in table.rows(vec![keys[who], keys[who]]) {
                let bytes = encode(&row);
                let read: ClientWindow = decode(&bytes).unwrap();
                prop_assert_eq!(&read, &row);
                rows.insert(key, read);
            }
            if at == restart {
                table = ClientTable::new(admission.clone(), width, rows.clone());
            }
        }
    }
}

/// Every number of a window has its own bit, also where the window is no multiple of a word.
#[test]
fn a_full_window_in_any_order_runs_once_each() {
    for width in WIDTHS {
        for start in [0, 1, 63, 64, 1 << 40, u64::MAX - width] {
            let key = client(0);
            let mut table = ClientTable::new(Admission::Open(1), width, []);
            let run = |table: &mut ClientTable, sequence| table.turn(&Identity { client: key, sequence });
            // The top slides the window to (start, start + width]; then the rest from the top down.
            for sequence in (start + 1..=start + width).rev() {
                assert_eq!(run(&mut table, sequence), Verdict::Run { floor: start }, "W = {width}: {sequence}");
            }
            for sequence in start + 1..=start + width {
                assert_eq!(run(&mut table, sequence), Verdict::Duplicate);
            }
            assert_eq!(run(&mut table, start), Verdict::TooOld);
        }
    }
}

/// A number that was skipped never jams its client.
#[test]
fn a_skipped_number_slides_out_of_the_window() {
    let key = client(0);
    let mut table = ClientTable::new(Admission::Open(1), 64, []);
    for sequence in 2..=66 {
        table.turn(&Identity { client: key, sequence });
    }
    assert_eq!(table.outcome(&Identity { client: key, sequence: 1 }), Outcome::TooOld);
    assert_eq!(table.outcome(&Identity { client: key, sequence: 67 }), Outcome::None);
    assert_eq!(table.turn(&Identity { client: key, sequence: u64::MAX }), Verdict::Run { floor: u64::MAX - 64 });
    assert_eq!(table.outcome(&Identity { client: key, sequence: 66 }), Outcome::TooOld);
    // Stale bits of numbers that left the window do not count for those that entered it.
    for sequence in u64::MAX - 63..u64::MAX {
        assert_eq!(table.outcome(&Identity { client: key, sequence }), Outcome::None, "{sequence}");
    }
}

#[test]
fn admission_is_by_list_or_by_number() {
    let identity = |number| Identity { client: client(number), sequence: 1 };
    let mut listed = ClientTable::new(Admission::List([client(0)].into_iter().collect()), 64, []);
    assert_eq!(listed.turn(&identity(1)), Verdict::Refused);
    assert_eq!(listed.turn(&identity(0)), Verdict::Run { floor: 0 });
    assert!(!listed.is_full());
    let mut open = ClientTable::new(Admission::Open(2), 64, []);
    assert_eq!(open.outcome(&identity(7)), Outcome::None);
    for number in [3, 5] {
        assert!(!open.is_full());
        assert_eq!(open.turn(&identity(number)), Verdict::Run { floor: 0 });
    }
    assert!(open.is_full());
    assert_eq!(open.turn(&identity(7)), Verdict::Refused);
    assert_eq!(
        open.turn(&Identity { client: client(3), sequence: 2 }),
        Verdict::Run { floor: 0 },
        "who is in stays in"
    );
    // Number 0 is nobody's first, and takes no place.
    let mut zero = ClientTable::new(Admission::Open(1), 64, []);
    assert_eq!(zero.turn(&Identity { client: client(0), sequence: 0 }), Verdict::TooOld);
    assert_eq!(zero.turn(&identity(1)), Verdict::Run { floor: 0 });
}
