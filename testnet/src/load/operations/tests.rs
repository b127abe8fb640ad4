#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss)]

use std::collections::BTreeSet;

use varangian_crypto::decode;

use super::*;

fn load(mix: Mix) -> Load {
    Load { bundle: 10, mix, seed: 5, ..Load::default() }
}

fn actions(load: &Load, client: usize, commands: usize) -> Vec<Action> {
    let mut generator = Generator::new(load, client);
    let operations = (0..commands).flat_map(|_| generator.operations().unwrap());
    let action = |bytes: Bytes| match decode(&bytes).unwrap() {
        Operation::Single(action) => action,
        other => panic!("{other:?}"),
    };
    operations.map(action).collect()
}

#[test]
fn the_same_seed_asks_for_the_same() {
    let load = load(Mix::default());
    let other = Load { seed: 6, ..load.clone() };
    assert_eq!(actions(&load, 3, 20), actions(&load, 3, 20));
    assert_ne!(actions(&load, 3, 20), actions(&load, 4, 20), "clients differ");
    assert_ne!(actions(&load, 3, 20), actions(&other, 3, 20), "seeds differ");
}

#[test]
fn the_shares_are_those_of_the_mix() {
    let count = |add_percent, read_percent| {
        let actions = actions(&load(Mix { add_percent, read_percent, ..Mix::default() }), 0, 400);
        assert_eq!(actions.len(), 4000);
        let adds = actions.iter().filter(|action| matches!(action, Action::Add { .. })).count();
        (adds, actions.iter().filter(|action| matches!(action, Action::Get { .. })).count())
    };
    assert_eq!(count(0, 0), (0, 0));
    assert_eq!(count(100, 100), (4000, 0));
    assert_eq!(count(0, 100), (0, 4000));
    let (third, half) = count(33, 50);
    assert!((1100..1540).contains(&third), "{third} of 4000 are adds");
    assert!((1120..1560).contains(&half), "{half} of 4000 are reads");
}

#[test]
fn puts_have_the_size_and_keys_of_their_client_adds_the_shared_counters_and_reads_all_of_them() {
    let mix = Mix { add_percent: 50, read_percent: 25, counters: 3, keys: 5 };
    let (mut counters, mut keys, mut read) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for action in actions(&load(mix), 7, 1000) {
        match action {
            Action::Put { key, value } => {
                assert_eq!(value.len(), 512);
                keys.insert(String::from_utf8(key.into_bytes().to_vec()).unwrap());
            }
            Action::Add { key, delta } => {
                assert!((1..=9).contains(&delta));
                counters.insert(String::from_utf8(key.into_bytes().to_vec()).unwrap());
            }
            Action::Get { key } => {
                read.insert(String::from_utf8(key.into_bytes().to_vec()).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(counters.iter().eq(["counter/0", "counter/1", "counter/2"]), "{counters:?}");
    assert!(keys.iter().eq(["put/7/0", "put/7/1", "put/7/2", "put/7/3", "put/7/4"]), "{keys:?}");
    // All counters, and every key of all clients.
    assert_eq!((read.iter().filter(|key| counters.contains(*key)).count(), read.len()), (3, 3 + 16 * 5), "{read:?}");
}

#[test]
fn a_mix_of_nothing_is_refused() {
    let whole = Mix::default();
    whole.check().unwrap();
    for mix in [
        Mix { add_percent: 101, ..whole },
        Mix { read_percent: 101, ..whole },
        Mix { counters: 0, ..whole },
        Mix { keys: 0, ..whole },
    ] {
        assert!(matches!(mix.check(), Err(OperationError::Mix)), "{mix:?}");
    }
}

#[test]
fn a_value_that_the_store_does_not_take_is_an_error() {
    let load = Load { value_bytes: (256 << 10) + 1, ..load(Mix::puts()) };
    assert!(matches!(Generator::new(&load, 0).operations(), Err(OperationError::Size(_))));
}

/// Means of 100,000 exponential gaps: their deviation is 1/316 of the mean, so that 2 percent are more than six of it.
#[test]
fn commands_are_due_at_the_rate() {
    let load = Load { clients: 4, bundle: 8, rate: Some(1600.0), ..Load::default() };
    let mut schedule = Schedule::new(&load, 1).unwrap();
    let mut last = Duration::ZERO;
    for _ in 0..100_000 {
        let due = schedule.next_due();
        assert!(due >= last, "due times do not go back");
        last = due;
    }
    let mean = last.as_secs_f64() / 100_000.0;
    let expected = 4.0 * 8.0 / 1600.0;
    assert!((mean / expected - 1.0).abs() < 0.02, "mean {mean}, expected {expected}");
}

#[test]
fn a_closed_loop_has_no_due_times_and_a_tiny_rate_has_late_ones() {
    assert!(Schedule::new(&Load::default(), 0).is_none());
    let load = Load { rate: Some(f64::MIN_POSITIVE), ..Load::default() };
    assert_eq!(Schedule::new(&load, 0).unwrap().next_due(), NEVER);
}
