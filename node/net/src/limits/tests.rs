#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[test]
fn the_defaults_fit_together() {
    MeshLimits::default().check().unwrap();
    ServiceLimits::default().check().unwrap();
    DialLimits::default().check().unwrap();
}

/// Each change breaks one rule, and only with it does the check fail.
#[test]
fn every_rule_is_checked() {
    let mesh: [fn(&mut MeshLimits); 20] = [
        |limits| limits.transport.stream_window = 1,
        |limits| limits.transport.stream_window = u32::MAX,
        |limits| limits.transport.keep_alive = limits.transport.idle_timeout,
        |limits| limits.transport.keep_alive = Duration::ZERO,
        |limits| limits.transport.initial_rtt = Duration::ZERO,
        |limits| limits.transport.idle_timeout = Duration::from_secs(3601),
        |limits| limits.admission.connections = 0,
        |limits| limits.admission.per_address = 0,
        |limits| limits.admission.handshakes = 0,
        |limits| limits.admission.handshakes_per_address = 0,
        |limits| limits.admission.handshake_rate.burst = 0,
        |limits| limits.admission.handshake_rate.per_second = 0,
        |limits| limits.admission.handshake_deadline = Duration::ZERO,
        |limits| limits.votes.max_frame = 0,
        |limits| limits.bulk.queue_bytes = limits.bulk.max_frame - 1,
        |limits| limits.bulk.inbox_bytes = limits.bulk.max_frame - 1,
        |limits| limits.votes.queue_frames = 0,
        |limits| limits.inbox_frames = 0,
        |limits| limits.frame_deadline = Duration::ZERO,
        |limits| limits.redial_first = 2 * limits.redial_cap,
    ];
    for (number, change) in mesh.iter().enumerate() {
        let mut limits = MeshLimits::default();
        change(&mut limits);
        assert!(matches!(limits.check(), Err(NetError::Limits(_))), "change {number}");
    }
    let service = ServiceLimits::default();
    let too_little = ServiceLimits { inbox_bytes: service.connection.inbox_bytes - 1, ..service };
    assert!(too_little.check().is_err());
    assert!(ServiceLimits { shared_bytes: service.connection.max_frame - 1, ..service }.check().is_err());
    assert!(ServiceLimits { frame_deadline: Duration::ZERO, ..service }.check().is_err());
    assert!(ServiceLimits { write_deadline: Duration::ZERO, ..service }.check().is_err());
    assert!(DialLimits { max_frame: 0, ..DialLimits::default() }.check().is_err());
    assert!(DialLimits { connect_deadline: Duration::ZERO, ..DialLimits::default() }.check().is_err());
}

#[test]
fn the_memory_of_the_defaults_is_what_is_said() {
    let gibibytes = |bytes: u64| bytes >> 30;
    assert_eq!(gibibytes(MeshLimits::default().memory_bound(3)), 0);
    assert_eq!(gibibytes(MeshLimits::default().memory_bound(30)), 5);
    assert_eq!(gibibytes(ServiceLimits::default().memory_bound()), 3);
}
