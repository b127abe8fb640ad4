#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A recorder that began an hour ago, so that the moments of a test lie in the past.
fn recorder(warmup: Duration) -> Recorder {
    let mut recorder = Recorder::new(&Load { warmup, ..Load::default() }).unwrap();
    recorder.began = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap();
    recorder.tally.get_mut().unwrap().last = recorder.began;
    recorder
}

/// A command of one operation, due and acknowledged so many milliseconds after the start.
fn ack(recorder: &Recorder, due: u32, at: u32) {
    recorder.sent();
    recorder.done(Ending::Committed, 1, recorder.began + MS * due, recorder.began + MS * at);
}

/// Ends the load so many milliseconds after its start.
fn end_at(recorder: &Recorder, at: u32) {
    recorder.end_at(recorder.began + MS * at);
}

#[test]
fn latencies_count_from_the_due_time() {
    let recorder = recorder(Duration::ZERO);
    for ms in 1..=100 {
        ack(&recorder, 1000, 1000 + ms);
    }
    let report = recorder.report();
    let close = |percent, ms: f64| {
        let found = report.latency(percent).as_secs_f64() * 1e3;
        assert!((found / ms - 1.0).abs() < 0.002, "p{percent}: {found} ms, expected {ms}");
    };
    close(50.0, 50.0);
    close(90.0, 90.0);
    close(99.0, 99.0);
    close(100.0, 100.0);
    assert_eq!((report.sent, report.commands, report.operations), (100, 100, 100));
}

#[test]
fn the_warm_up_counts_as_work_but_not_as_latency() {
    let recorder = recorder(MS * 500);
    ack(&recorder, 499, 900);
    ack(&recorder, 500, 510);
    let report = recorder.report();
    assert_eq!(report.operations, 2);
    assert_eq!(report.latencies.len(), 1);
    assert!(report.latency(100.0) < MS * 11);
}

#[test]
fn the_worst_gap_reaches_from_start_to_end() {
    let gap = |acks: &[u32], end| {
        let recorder = recorder(Duration::ZERO);
        acks.iter().for_each(|at| ack(&recorder, 0, *at));
        end_at(&recorder, end);
        let report = recorder.report();
        (report.worst_gap.as_millis(), report.worst_gap_at.as_millis())
    };
    assert_eq!(gap(&[], 70), (70, 0), "no acknowledgement at all");
    assert_eq!(gap(&[50, 60], 70), (50, 0), "a late start");
    assert_eq!(gap(&[10, 60, 70], 80), (50, 10), "a pause");
    assert_eq!(gap(&[10, 20], 90), (70, 20), "an early end");
    assert_eq!(gap(&[10, 40, 30, 50], 60), (30, 10), "taken down out of order");
}

#[test]
fn what_is_acknowledged_after_the_end_is_not_in_time() {
    let recorder = recorder(Duration::ZERO);
    ack(&recorder, 0, 100);
    end_at(&recorder, 1500);
    ack(&recorder, 0, 2700);
    let report = recorder.report();
    assert_eq!((report.operations, report.operations_in_time), (2, 1));
    assert_eq!(report.timeline, [1, 0, 1]);
    assert_eq!(report.worst_gap, MS * 1400, "the time after the end is no gap");
    assert!((report.operations_per_second() - 1.0 / 1.5).abs() < 1e-9);
    assert_eq!(report.latencies.len(), 2, "a late answer is a long latency, not a missing one");
}

#[test]
fn each_command_counts_once_and_a_bundle_as_its_operations() {
    let recorder = recorder(Duration::ZERO);
    let at = recorder.began + MS;
    for ending in [Ending::Committed, Ending::Rejected, Ending::Unresolved] {
        recorder.sent();
        recorder.done(ending, 64, recorder.began, at);
    }
    let report = recorder.report();
    assert_eq!((report.sent, report.commands, report.operations), (3, 1, 64));
    assert_eq!((report.rejected, report.unresolved), (1, 1));
    assert_eq!(report.latencies.len(), 1);
}

#[test]
fn only_what_was_due_before_the_end_is_behind() {
    let recorder = recorder(Duration::ZERO);
    end_at(&recorder, 1000);
    assert!(recorder.left(recorder.began + MS * 999));
    assert!(!recorder.left(recorder.began + MS * 1000));
    assert_eq!(recorder.report().behind, 1);
}

#[test]
fn the_end_comes_once() {
    let recorder = recorder(Duration::ZERO);
    end_at(&recorder, 1000);
    recorder.end();
    assert_eq!(recorder.report().elapsed, MS * 1000);
    assert!(!recorder.progress().measuring);
}

#[test]
fn a_report_of_nothing_has_figures() {
    let report = recorder(Duration::ZERO).report();
    assert!(report.operations_per_second().abs() < f64::EPSILON);
    assert_eq!(report.latency(99.9), Duration::ZERO);
}
