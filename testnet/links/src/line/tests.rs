#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

mod properties;

/// With its header a thousand bytes: a millisecond at 8 Mbit/s.
const LENGTH: usize = 1000 - HEADER;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn line(shape: Shape) -> Line<u32> {
    Line::new(&shape, 1).unwrap()
}

/// Takes all out, each with the moment when it was due.
fn drain<T: Clone>(line: &mut Line<T>) -> Vec<(Duration, T)> {
    let mut out = Vec::new();
    while let Some(due) = line.next_due() {
        out.extend(line.pop_ready(due).map(|item| (due, item)));
    }
    out
}

#[test]
fn a_perfect_link_passes_all_at_once() {
    let mut line = line(Shape::PERFECT);
    for number in 0..100 {
        line.push(ms(5), 65_507, number);
    }
    assert_eq!(drain(&mut line), (0..100).map(|number| (ms(5), number)).collect::<Vec<_>>());
    let expected = Counters { pushed: 100, passed: 100, bytes: 6_550_700, ..Counters::default() };
    assert_eq!(line.counters(), expected);
}

#[test]
fn latency_delays_each_by_itself() {
    let mut line = line(Shape { latency_ms: 40.0, ..Shape::PERFECT });
    line.push(ms(0), LENGTH, 0);
    line.push(ms(7), LENGTH, 1);
    assert_eq!(line.next_due(), Some(ms(40)));
    assert_eq!(line.pop_ready(ms(39)), None);
    assert_eq!(drain(&mut line), [(ms(40), 0), (ms(47), 1)]);
}

#[test]
fn bandwidth_sends_one_after_the_other() {
    let mut line = line(Shape { latency_ms: 5.0, bandwidth_mbit: Some(8.0), ..Shape::PERFECT });
    for number in 0..10 {
        line.push(ms(0), LENGTH, number);
    }
    // The link is idle from 10 to 100, and does not save that up.
    let first: Vec<_> = drain(&mut line);
    line.push(ms(100), LENGTH, 10);
    line.push(ms(100), LENGTH, 11);
    assert_eq!(first, (0..10).map(|number| (ms(6 + u64::from(number)), number)).collect::<Vec<_>>());
    assert_eq!(drain(&mut line), [(ms(106), 10), (ms(107), 11)]);
}

#[test]
fn what_finds_the_queue_full_is_dropped() {
    let mut line = line(Shape { bandwidth_mbit: Some(8.0), queue_kib: 64, ..Shape::PERFECT });
    for number in 0..70 {
        line.push(ms(0), LENGTH, number);
    }
    assert_eq!((line.counters().dropped, line.waiting_bytes()), (5, 65_000));
    // One has been sent and makes room for one.
    line.push(ms(1), LENGTH, 70);
    line.push(ms(1), LENGTH, 71);
    assert_eq!((line.counters().dropped, line.waiting_bytes()), (6, 65_000));
    let expected: Vec<_> = (0..65).chain([70]).map(|number| (ms(1 + u64::from(number).min(65)), number)).collect();
    assert_eq!(drain(&mut line), expected);
}

#[test]
fn a_long_latency_does_not_pile_up_more_than_the_capacity() {
    let mut line = Line::with_capacity(&Shape { latency_ms: 60_000.0, ..Shape::PERFECT }, 1, 10_500).unwrap();
    for number in 0..20 {
        line.push(ms(number), LENGTH, number);
    }
    assert_eq!((line.held(), line.held_bytes(), line.counters().dropped), (10, 10_000, 10));
    assert_eq!(drain(&mut line).len(), 10);
    assert_eq!(line.held_bytes(), 0);
}

#[test]
fn an_overtaking_one_skips_the_latency_and_not_the_bandwidth() {
    let slow = Shape { latency_ms: 100.0, bandwidth_mbit: Some(8.0), ..Shape::PERFECT };
    let mut line = line(slow);
    line.push(ms(0), LENGTH, 0);
    line.push(ms(0), LENGTH, 1);
    line.set_shape(ms(10), &Shape { reorder: 1.0, ..slow }).unwrap();
    line.push(ms(10), LENGTH, 2);
    line.push(ms(10), LENGTH, 3);
    assert_eq!(drain(&mut line), [(ms(11), 2), (ms(12), 3), (ms(101), 0), (ms(102), 1)]);
    assert_eq!(line.counters().reordered, 2);
}

#[test]
fn nobody_is_overtaken_on_an_empty_link() {
    let mut line = line(Shape { latency_ms: 100.0, reorder: 1.0, ..Shape::PERFECT });
    line.push(ms(0), LENGTH, 0);
    line.push(ms(0), LENGTH, 1);
    assert_eq!(drain(&mut line), [(ms(0), 0), (ms(0), 1)]);
    assert_eq!(line.counters().reordered, 0);
}

#[test]
fn a_copy_follows_and_pays_like_any_other() {
    let mut line = line(Shape { duplicate: 1.0, bandwidth_mbit: Some(8.0), queue_kib: 64, ..Shape::PERFECT });
    for number in 0..33 {
        line.push(ms(0), LENGTH, number);
    }
    // 65 fit: the last one has no copy.
    let counters = line.counters();
    assert_eq!((counters.duplicated, counters.dropped, line.held()), (33, 1, 65));
    let out = drain(&mut line);
    assert_eq!(&out[..4], [(ms(1), 0), (ms(2), 0), (ms(3), 1), (ms(4), 1)]);
    assert_eq!(out[64], (ms(65), 32));
}

#[test]
fn a_cut_drops_what_comes_and_not_what_is_on_its_way() {
    let shape = Shape { latency_ms: 50.0, bandwidth_mbit: Some(8.0), ..Shape::PERFECT };
    let mut line = line(shape);
    line.push(ms(0), LENGTH, 0);
    line.push(ms(0), LENGTH, 1);
    line.set_shape(ms(1), &Shape::CUT).unwrap();
    line.push(ms(1), LENGTH, 2);
    assert_eq!(drain(&mut line), [(ms(51), 0), (ms(52), 1)], "neither hurried nor lost");
    line.set_shape(ms(60), &shape).unwrap();
    line.push(ms(60), LENGTH, 3);
    assert_eq!(drain(&mut line), [(ms(111), 3)]);
    assert_eq!((line.counters().cut, line.counters().passed), (1, 3));
}

#[test]
fn a_shorter_latency_holds_for_what_is_on_its_way_too_and_keeps_order() {
    let mut line = line(Shape { latency_ms: 1000.0, ..Shape::PERFECT });
    line.push(ms(0), LENGTH, 0);
    line.push(ms(985), LENGTH, 1);
    line.set_shape(ms(990), &Shape { latency_ms: 20.0, ..Shape::PERFECT }).unwrap();
    line.push(ms(991), LENGTH, 2);
    assert_eq!(drain(&mut line), [(ms(1000), 0), (ms(1010), 1), (ms(1011), 2)]);
}

#[test]
fn a_longer_latency_is_for_what_comes() {
    let mut line = line(Shape { latency_ms: 20.0, ..Shape::PERFECT });
    line.push(ms(0), LENGTH, 0);
    line.set_shape(ms(10), &Shape { latency_ms: 1000.0, ..Shape::PERFECT }).unwrap();
    line.push(ms(10), LENGTH, 1);
    assert_eq!(drain(&mut line), [(ms(20), 0), (ms(1010), 1)]);
}

#[test]
fn another_bandwidth_is_for_what_waits_too() {
    let slow = Shape { bandwidth_mbit: Some(0.8), ..Shape::PERFECT };
    let mut line = line(slow);
    for number in 0..3 {
        line.push(ms(0), LENGTH, number);
    }
    // The second is half sent, and begins again.
    line.set_shape(ms(15), &Shape { bandwidth_mbit: Some(8.0), ..slow }).unwrap();
    assert_eq!(drain(&mut line), [(ms(10), 0), (ms(16), 1), (ms(17), 2)]);
    line.set_shape(ms(20), &slow).unwrap();
    line.push(ms(20), LENGTH, 3);
    line.push(ms(20), LENGTH, 4);
    line.set_shape(ms(21), &Shape::PERFECT).unwrap();
    assert_eq!(drain(&mut line), [(ms(21), 3), (ms(21), 4)]);
}

#[test]
fn the_same_shape_again_delays_nothing() {
    let slow = Shape { bandwidth_mbit: Some(0.8), ..Shape::PERFECT };
    let mut line = line(slow);
    line.push(ms(0), LENGTH, 0);
    for now in 1..9 {
        line.set_shape(ms(now), &slow).unwrap();
    }
    assert_eq!(drain(&mut line), [(ms(10), 0)]);
}

#[test]
fn a_smaller_queue_drops_the_youngest() {
    let wide = Shape { bandwidth_mbit: Some(8.0), queue_kib: 128, ..Shape::PERFECT };
    let mut line = line(wide);
    for number in 0..100 {
        line.push(ms(0), LENGTH, number);
    }
    line.set_shape(ms(0), &Shape { queue_kib: 64, ..wide }).unwrap();
    assert_eq!((line.counters().dropped, line.waiting_bytes(), line.held_bytes()), (35, 65_000, 65_000));
    assert!(drain(&mut line).into_iter().map(|(_, number)| number).eq(0..65));
}

#[test]
fn a_shape_out_of_bounds_changes_nothing() {
    let bad = Shape { loss: 2.0, cut: true, ..Shape::PERFECT };
    assert!(Line::<u32>::new(&bad, 1).is_err());
    let mut line = line(Shape::PERFECT);
    assert!(line.set_shape(ms(0), &bad).is_err());
    line.push(ms(0), LENGTH, 0);
    assert_eq!(drain(&mut line), [(ms(0), 0)]);
}

#[test]
fn a_time_that_goes_back_stands_still() {
    let mut line = line(Shape { latency_ms: 10.0, ..Shape::PERFECT });
    line.push(ms(100), LENGTH, 0);
    line.push(ms(50), LENGTH, 1);
    assert_eq!(drain(&mut line), [(ms(110), 0), (ms(110), 1)]);
}

/// Of a hundred thousand, five standard deviations allowed.
#[test]
fn probabilities_are_what_they_say() {
    let shape = Shape { loss: 0.05, duplicate: 0.02, ..Shape::PERFECT };
    let mut line = Line::new(&shape, 42).unwrap();
    for number in 0..100_000_u32 {
        line.push(ms(0), 100, number);
        while line.pop_ready(ms(0)).is_some() {}
    }
    let counters = line.counters();
    assert!(counters.lost.abs_diff(5000) < 345, "{counters:?}");
    assert!(counters.duplicated.abs_diff(1900) < 216, "{counters:?}");

    // One at a time, so that none waits for another: evenly between 10 and 30 ms, and one in ten at once.
    let shape = Shape { latency_ms: 10.0, jitter_ms: 20.0, reorder: 0.1, ..Shape::PERFECT };
    let mut line = Line::new(&shape, 42).unwrap();
    let (mut now, mut at_once, mut bins) = (Duration::ZERO, 0_u64, [0_u64; 20]);
    for number in 0..100_000 {
        line.push(now, 100, number);
        let due = line.next_due().unwrap();
        if due == now {
            at_once += 1;
        } else {
            bins[usize::try_from((due - now - ms(10)).as_millis()).unwrap()] += 1;
        }
        now = due;
        line.pop_ready(now).unwrap();
    }
    assert!(at_once.abs_diff(10_000) < 475, "{at_once}");
    for bin in bins {
        assert!(bin.abs_diff(4500) < 328, "{bins:?}");
    }
}

#[test]
fn losses_are_the_same_ones_whatever_else_happens() {
    let survivors = |shape: Shape| {
        let mut line = Line::new(&Shape { loss: 0.3, ..shape }, 9).unwrap();
        for number in 0..1000 {
            line.push(ms(number), 100, number);
        }
        let mut out: Vec<_> = drain(&mut line).into_iter().map(|(_, number)| number).collect();
        out.sort_unstable();
        out.dedup();
        out
    };
    let plain = survivors(Shape::PERFECT);
    assert!((600..800).contains(&plain.len()));
    let busy = Shape { latency_ms: 30.0, jitter_ms: 30.0, duplicate: 0.5, reorder: 0.5, ..Shape::PERFECT };
    assert_eq!(survivors(busy), plain);
}
