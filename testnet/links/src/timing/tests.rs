#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::line::Line;

fn timely(shape: &Shape, bound_ms: f64) -> bool {
    *shape == Shape { latency_ms: bound_ms / 2.0, jitter_ms: bound_ms / 2.0, ..Shape::PERFECT }
}

#[test]
fn reads_what_a_person_writes() {
    for model in Model::ALL {
        let schedule: Schedule = toml::from_str(&format!("model = \"{model}\"")).unwrap();
        assert_eq!(schedule, Schedule::new(model, 0));
        assert_eq!(model.name().parse(), Ok(model));
    }
    assert!("synchronic".parse::<Model>().unwrap_err().contains("partially-synchronous"));
    assert!(toml::from_str::<Schedule>("model = \"synchronous\"\nbound = 3").is_err());
}

#[test]
fn names_the_field_and_its_bounds() {
    let schedule = Schedule::new(Model::PartiallySynchronous, 1);
    assert_eq!(schedule.check(), Ok(()));
    assert_eq!(Schedule { bound_ms: 0.5, ..schedule }.check().unwrap_err().field, "bound_ms");
    assert_eq!(Schedule { stabilises_ms: f64::NAN, ..schedule }.check().unwrap_err().field, "stabilises_ms");
}

/// All four moods on every link, in about the parts that the table says; the same ones again for the same seed.
#[test]
fn no_bound_holds_in_an_asynchronous_network() {
    let schedule = Schedule::new(Model::Asynchronous, 7);
    let mut all = Vec::new();
    for (from, to) in [(0, 1), (1, 0), (2, 3)] {
        let mut elapsed = Duration::from_hours(3);
        let (mut good, mut slow, mut lossy, mut cut, slices) = (0, 0, 0, 0, 2000);
        let mut shapes = Vec::new();
        for _ in 0..slices {
            let shape = schedule.shape(from, to, elapsed);
            match shape {
                Shape { cut: true, .. } => cut += 1,
                Shape { loss, .. } if loss > 0.0 => lossy += 1,
                shape if timely(&shape, 50.0) => good += 1,
                shape => {
                    let longest = shape.latency_ms + shape.jitter_ms;
                    assert!((50.0..=1000.0).contains(&longest), "{longest}");
                    slow += 1;
                }
            }
            shapes.push(shape);
            elapsed = schedule.next_change(from, to, elapsed).unwrap();
        }
        for (seen, weight) in [(good, 8), (slow, 6), (lossy, 4), (cut, 2)] {
            let expected = slices * weight / 20;
            assert!((expected * 7 / 10..=expected * 13 / 10).contains(&seen), "{from} to {to}: {seen}, not {expected}");
        }
        all.push(shapes);
    }
    assert_ne!(all[0], all[1], "each way has its own");
    assert_ne!(all[0], all[2]);
    assert_eq!(schedule.stable_from(), None);
    let at = Duration::from_secs(5);
    assert!((0..20).any(|to| schedule.shape(0, to, at) != Schedule { seed: 8, ..schedule }.shape(0, to, at)));
}

/// Links that are worse than timely at the start are many, and none after the stabilisation time.
#[test]
fn a_partially_synchronous_network_stabilises() {
    let schedule = Schedule { stabilises_ms: 3000.0, ..Schedule::new(Model::PartiallySynchronous, 3) };
    let count = |at: u64| {
        let shapes = (0..100).map(|link| schedule.shape(link / 10, link % 10, Duration::from_millis(at)));
        shapes.filter(|shape| timely(shape, 50.0)).count()
    };
    assert!((20..60).contains(&count(2999)), "{}", count(2999));
    assert_eq!(count(3000), 100);
    assert_eq!(schedule.next_change(0, 1, Duration::from_millis(3000)), None);
    assert_eq!(Schedule::new(Model::Synchronous, 3).next_change(0, 1, Duration::ZERO), None);
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let model = prop::sample::select(Model::ALL.to_vec());
    (model, 1.0..2000.0, 0.0..100_000.0, any::<u64>()).prop_map(|(model, bound_ms, stabilises_ms, seed)| Schedule {
        model,
        bound_ms,
        stabilises_ms,
        seed,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_link_keeps_its_shape_until_the_next_change(schedule in schedules(), from in 0_usize..9, to in 0_usize..9, at in 0_u64..200_000_000, part in 0.0..1.0) {
        prop_assert_eq!(schedule.check(), Ok(()));
        let at = Duration::from_micros(at);
        let shape = schedule.shape(from, to, at);
        prop_assert_eq!(shape.check(), Ok(()));
        match schedule.next_change(from, to, at) {
            Some(change) => {
                prop_assert!(change > at);
                let before = at + (change - at).mul_f64(part).min(change - at - Duration::from_nanos(1));
                prop_assert_eq!(schedule.shape(from, to, before), shape);
            }
            None => prop_assert!(timely(&schedule.shape(from, to, at * 2), schedule.bound_ms)),
        }
    }

    /// The model's promise, kept by a line that follows the schedule: whatever was sent before, all has arrived a bound after the stabilisation time, and
    /// nothing takes longer than the bound from then on.
    #[test]
    fn a_line_keeps_the_bound_from_the_stabilisation_time_on(seed: u64, bound_ms in 1.0..100.0) {
        let schedule = Schedule { model: Model::PartiallySynchronous, bound_ms, stabilises_ms: bound_ms * 70.0, seed };
        let (stable, bound) = (schedule.stable_from().unwrap(), milliseconds(bound_ms));
        let mut line = Line::new(&schedule.shape(0, 1, Duration::ZERO), seed).unwrap();
        let mut change = schedule.next_change(0, 1, Duration::ZERO);
        let step = bound / 10;
        for number in 0..1000 {
            let now = step * number;
            while let Some(at) = change.filter(|at| *at <= now) {
                line.set_shape(at, &schedule.shape(0, 1, at)).unwrap();
                change = schedule.next_change(0, 1, at);
            }
            line.push(now, 100, now);
            while let Some(sent) = line.pop_ready(now) {
                let due = sent.max(stable) + bound;
                prop_assert!(now < due + step, "sent {sent:?}, came {now:?}, stable {stable:?}");
            }
        }
        prop_assert!(line.counters().passed > 200);
    }
}
