#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[test]
fn reads_what_a_person_writes() {
    let text = "latency_ms = 40\njitter_ms = 5\nloss = 0.01\nbandwidth_mbit = 100\nqueue_kib = 256\n";
    let shape: Shape = toml::from_str(text).unwrap();
    let expected = Shape {
        latency_ms: 40.0,
        jitter_ms: 5.0,
        loss: 0.01,
        bandwidth_mbit: Some(100.0),
        queue_kib: 256,
        ..Shape::PERFECT
    };
    assert_eq!(shape, expected);
    assert_eq!(toml::from_str::<Shape>("").unwrap(), Shape::PERFECT);
    assert_eq!(toml::from_str::<Shape>("cut = true").unwrap(), Shape::CUT);
    let written = toml::to_string(&expected).unwrap();
    assert_eq!(toml::from_str::<Shape>(&written).unwrap(), expected);
}

#[test]
fn refuses_names_that_it_does_not_know() {
    let error = toml::from_str::<Shape>("latency = 40").unwrap_err().to_string();
    assert!(error.contains("latency") && error.contains("latency_ms"), "{error}");
}

/// A field, how to set it, good values and bad ones.
type Case = (&'static str, fn(&mut Shape, f64), &'static [f64], &'static [f64]);

#[test]
fn names_the_field_and_its_bounds() {
    let base = Shape { bandwidth_mbit: Some(10.0), ..Shape::PERFECT };
    assert_eq!(base.check(), Ok(()));
    let cases: [Case; 6] = [
        ("latency_ms", |shape, value| shape.latency_ms = value, &[0.0, 60_000.0], &[-0.1, 60_000.1, f64::NAN]),
        ("jitter_ms", |shape, value| shape.jitter_ms = value, &[0.0, 60_000.0], &[-0.1, 60_000.1, f64::INFINITY]),
        ("loss", |shape, value| shape.loss = value, &[0.0, 1.0], &[-0.01, 1.01, f64::NAN]),
        ("duplicate", |shape, value| shape.duplicate = value, &[0.0, 1.0], &[-0.01, 1.01]),
        ("reorder", |shape, value| shape.reorder = value, &[0.0, 1.0], &[-0.01, 1.01]),
        (
            "bandwidth_mbit",
            |shape, value| shape.bandwidth_mbit = Some(value),
            &[0.001, 100_000.0],
            &[0.0, -1.0, 100_001.0, f64::NAN],
        ),
    ];
    for (field, set, good, bad) in cases {
        for value in good {
            let mut shape = base;
            set(&mut shape, *value);
            assert_eq!(shape.check(), Ok(()), "{field} = {value}");
        }
        for value in bad {
            let mut shape = base;
            set(&mut shape, *value);
            assert_eq!(shape.check().unwrap_err().field, field, "{value}");
        }
    }
    for (queue_kib, good) in [(63, false), (64, true), (65_536, true), (65_537, false)] {
        assert_eq!(Shape { queue_kib, ..base }.check().is_ok(), good, "{queue_kib}");
    }
    let error = Shape { loss: 1.5, ..base }.check().unwrap_err();
    assert_eq!(error.to_string(), "loss = 1.5 of a link is out of bounds: choose 0 to 1");
}
