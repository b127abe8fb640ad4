use proptest::prelude::*;

use super::super::*;
use super::drain;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Push(usize),
    Pop,
    Change(Shape),
}

fn probability() -> impl Strategy<Value = f64> {
    prop_oneof![3 => Just(0.0), 3 => 0.0..0.5, 1 => Just(1.0)]
}

fn shapes() -> impl Strategy<Value = Shape> {
    let delay = || prop_oneof![1 => Just(0.0), 2 => 0.0..50.0];
    let bandwidth = prop_oneof![1 => Just(None), 2 => (0.5..100.0).prop_map(Some)];
    let numbers = (delay(), delay(), probability(), probability(), probability(), bandwidth);
    (numbers, 64_u32..128, prop::bool::weighted(0.1)).prop_map(
        |((latency_ms, jitter_ms, loss, duplicate, reorder, bandwidth_mbit), queue_kib, cut)| Shape {
            latency_ms,
            jitter_ms,
            loss,
            duplicate,
            reorder,
            bandwidth_mbit,
            queue_kib,
            cut,
        },
    )
}

fn steps(shapes: impl Strategy<Value = Shape> + 'static) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..20_000).prop_map(Step::Wait),
        10 => prop_oneof![4 => 0_usize..1500, 1 => Just(65_507)].prop_map(Step::Push),
        6 => Just(Step::Pop),
        1 => shapes.prop_map(Step::Change),
    ];
    prop::collection::vec(step, 1..300)
}

const SMALL: usize = 200_000;
const ENDLESS: usize = 1 << 40;

/// Plays the steps, and takes out the rest; after each calls `check` with the queue's bound. Gives what came out, in order, and the line.
fn play(
    first: &Shape,
    seed: u64,
    capacity: usize,
    steps: &[Step],
    check: impl Fn(&Line<u64>, usize) -> Result<(), TestCaseError>,
) -> Result<(Vec<u64>, Line<u64>), TestCaseError> {
    let mut line = Line::with_capacity(first, seed, capacity).unwrap();
    let (mut now, mut out, mut number) = (Duration::ZERO, Vec::new(), 0);
    let mut queue = first.queue_kib as usize * 1024;
    for step in steps {
        match step {
            Step::Wait(micros) => now += Duration::from_micros(*micros),
            Step::Push(length) => {
                line.push(now, *length, number);
                number += 1;
            }
            Step::Pop => {
                let due = line.next_due();
                let item = line.pop_ready(now);
                prop_assert!(item.is_none() || due.is_some_and(|due| due <= now), "came out before it was due");
                out.extend(item);
            }
            Step::Change(shape) => {
                line.set_shape(now, shape).unwrap();
                if !shape.cut {
                    queue = shape.queue_kib as usize * 1024;
                }
            }
        }
        check(&line, queue)?;
    }
    out.extend(drain(&mut line).into_iter().map(|(_, item)| item));
    check(&line, queue)?;
    Ok((out, line))
}

const fn free(_: &Line<u64>, _: usize) -> Result<(), TestCaseError> {
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_gained_or_forgotten_and_bounds_hold(first in shapes(), seed: u64, steps in steps(shapes())) {
        let (out, line) = play(&first, seed, SMALL, &steps, |line, queue| {
            let Counters { pushed, passed, lost, cut, dropped, duplicated, reordered, .. } = line.counters();
            prop_assert_eq!(pushed + duplicated, passed + lost + cut + dropped + line.held() as u64);
            prop_assert!(reordered <= passed);
            prop_assert!(line.waiting_bytes() <= queue, "{} of {queue} wait", line.waiting_bytes());
            prop_assert!(line.held_bytes() <= SMALL, "{} held", line.held_bytes());
            Ok(())
        })?;
        prop_assert_eq!(out.len() as u64, line.counters().passed);
        prop_assert_eq!((line.held(), line.held_bytes(), line.waiting_bytes()), (0, 0, 0));
        let lengths: Vec<_> =
            steps.iter().filter_map(|step| if let Step::Push(length) = step { Some(*length) } else { None }).collect();
        let bytes: usize = out.iter().map(|number| lengths[usize::try_from(*number).unwrap()]).sum();
        prop_assert_eq!(line.counters().bytes, bytes as u64);
    }

    #[test]
    fn order_is_kept_where_nothing_overtakes(
        first in shapes().prop_map(|shape| Shape { reorder: 0.0, ..shape }),
        seed: u64,
        steps in steps(shapes().prop_map(|shape| Shape { reorder: 0.0, ..shape })),
    ) {
        let (out, line) = play(&first, seed, SMALL, &steps, free)?;
        prop_assert!(out.is_sorted(), "{out:?}");
        prop_assert_eq!(line.counters().reordered, 0);
    }

    #[test]
    fn what_overtook_is_counted(
        first in shapes().prop_map(|shape| Shape { duplicate: 0.0, ..shape }),
        seed: u64,
        steps in steps(shapes().prop_map(|shape| Shape { duplicate: 0.0, ..shape })),
    ) {
        let (out, line) = play(&first, seed, SMALL, &steps, free)?;
        let overtook = |at: &usize| out[at + 1..].iter().any(|later| *later < out[*at]);
        prop_assert_eq!((0..out.len()).filter(overtook).count() as u64, line.counters().reordered, "{:?}", out);
    }

    /// The seed decides all of it, and looking more often, or never, changes nothing. (With a capacity that is never reached: what nobody takes
    /// takes up room.)
    #[test]
    fn what_comes_out_does_not_depend_on_who_looks(first in shapes(), seed: u64, steps in steps(shapes())) {
        let never: Vec<_> = steps.iter().filter(|step| !matches!(step, Step::Pop)).cloned().collect();
        let often: Vec<_> = never.iter().flat_map(|step| [Step::Pop, Step::Pop, step.clone(), Step::Pop]).collect();
        let (out, _) = play(&first, seed, ENDLESS, &steps, free)?;
        prop_assert_eq!(&play(&first, seed, ENDLESS, &never, free)?.0, &out);
        prop_assert_eq!(&play(&first, seed, ENDLESS, &often, free)?.0, &out);
    }

    #[test]
    fn without_bandwidth_each_way_takes_the_latency_and_at_most_the_jitter(
        latency_ms in 0.0..50.0, jitter_ms in 0.0..50.0, seed: u64, gaps in prop::collection::vec(0_u64..20_000, 1..200),
    ) {
        let mut line = Line::new(&Shape { latency_ms, jitter_ms, ..Shape::PERFECT }, seed).unwrap();
        let mut now = Duration::ZERO;
        for gap in gaps {
            now += Duration::from_micros(gap);
            line.push(now, 100, now);
        }
        let latency = Duration::from_secs_f64(latency_ms / 1e3);
        let longest = latency + Duration::from_secs_f64(jitter_ms / 1e3);
        let out = drain(&mut line);
        prop_assert!(out.is_sorted(), "{out:?}");
        for (came, sent) in out {
            prop_assert!((latency..=longest).contains(&(came - sent)), "{:?}", came - sent);
        }
    }

    /// Between two that come out there is at least the time that the second one's bits need.
    #[test]
    fn bandwidth_is_never_exceeded(
        mbit in 0.5..50.0, reorder in probability(), seed: u64,
        arrivals in prop::collection::vec((0_u64..2_000, 0_usize..1500), 2..200),
    ) {
        let mut line = Line::new(&Shape { bandwidth_mbit: Some(mbit), reorder, ..Shape::PERFECT }, seed).unwrap();
        let (mut now, mut out) = (Duration::ZERO, Vec::new());
        for (gap, length) in arrivals {
            now += Duration::from_micros(gap);
            while let Some(due) = line.next_due().filter(|due| *due <= now) {
                out.extend(line.pop_ready(due).map(|length| (due, length)));
            }
            line.push(now, length, length);
        }
        out.extend(drain(&mut line));
        for pair in out.windows(2) {
            let seconds = (pair[1].0 - pair[0].0).as_secs_f64();
            let needs = (pair[1].1 + HEADER) as f64 * 8.0 / (mbit * 1e6);
            prop_assert!(seconds > needs - 1e-8, "{seconds} s for what needs {needs} s");
        }
    }
}
