#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn progress(seconds: f64, operations: u64, measuring: bool) -> Progress {
    Progress {
        elapsed: Duration::from_secs_f64(seconds),
        measuring,
        sent: operations,
        commands: operations / 10,
        operations,
        rejected: 0,
        silence: Duration::ZERO,
    }
}

fn report() -> Report {
    let mut latencies = Histogram::new_with_bounds(1, 600_000_000, 3).unwrap();
    (1..=1000).for_each(|ms| latencies.record(ms * 1000).unwrap());
    Report {
        began: Instant::now(),
        sent: 520,
        commands: 510,
        operations: 5100,
        rejected: 3,
        unresolved: 2,
        behind: 4,
        elapsed: SECOND * 12,
        operations_in_time: 5000,
        latencies,
        timeline: Vec::new(),
        worst_gap: Duration::from_millis(250),
        worst_gap_at: SECOND,
    }
}

fn near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 0.002, "{found}, expected {expected}");
}

#[test]
fn a_row_is_what_came_between_its_samples() {
    let usage = |ms, written| Usage { cpu: Duration::from_millis(ms), written };
    let begin = Sample { progress: progress(2.0, 1000, true), replicas: usage(400, 10_000), clients: usage(100, 0) };
    let end = Sample { progress: progress(12.0, 5000, true), replicas: usage(1200, 4_010_000), clients: usage(300, 9) };
    let row = Row::new(10, &begin, &end, &report());
    assert_eq!((row.operations, row.rejected, row.unresolved, row.behind), (4000, 3, 2, 4));
    near(row.operations_per_second, 400.0);
    near(row.commands_per_second, 40.0);
    near(row.replicas_cpu_us, 200.0);
    near(row.clients_cpu_us, 50.0);
    near(row.written_bytes, 1000.0);
    near(row.p50_ms, 500.0);
    near(row.p90_ms, 900.0);
    near(row.p99_ms, 990.0);
    near(row.p999_ms, 999.0);
    near(row.worst_gap_ms, 250.0);
    let text = table(&[Row { bundle: 1, ..row.clone() }, row]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].starts_with("operation ") && lines[4].starts_with("bundle of 10 operations "), "{text}");
    assert!(lines[2].contains("4 commands were due and never sent"), "{text}");
    assert!(lines[3].contains("3 commands rejected, 2 without an outcome"), "{text}");
}

#[test]
fn a_row_without_operations_has_no_costs_per_operation() {
    let sample = |seconds| Sample {
        progress: progress(seconds, 0, true),
        replicas: Usage::default(),
        clients: Usage::default(),
    };
    let row = Row::new(1, &sample(0.0), &sample(1.0), &report());
    assert!(row.replicas_cpu_us.abs() < f64::EPSILON && row.written_bytes.abs() < f64::EPSILON);
}

fn meter(pids: &[u32]) -> (Meter<'_>, watch::Receiver<bool>) {
    let (stop, stopped) = watch::channel(false);
    (Meter { pids, duration: SECOND, stop, begin: None, end: None, failed: None }, stopped)
}

#[test]
fn the_meter_waits_for_the_warm_up_and_stops_when_the_time_is_over() {
    let pids = [std::process::id()];
    let (mut meter, stopped) = meter(&pids);
    meter.look(progress(0.5, 1, false));
    assert!(meter.begin.is_none());
    meter.look(progress(3.1, 2, true));
    meter.look(progress(4.0, 3, true));
    assert!(meter.end.is_none() && !*stopped.borrow());
    meter.look(progress(4.1, 4, true));
    assert!(*stopped.borrow());
    meter.look(progress(4.2, 5, true));
    let operations = |sample: Option<Sample>| sample.unwrap().progress.operations;
    assert_eq!((operations(meter.begin), operations(meter.end)), (2, 4));
}

#[test]
fn a_replica_that_is_gone_ends_the_measurement() {
    // Linux gives no process a number above 2^22.
    let pids = [(1 << 22) + 1];
    let (mut meter, stopped) = meter(&pids);
    meter.look(progress(3.0, 2, true));
    assert!(meter.failed.is_some() && *stopped.borrow());
}
