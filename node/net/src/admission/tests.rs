#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::bucket::Rate;

const WIDE: AdmissionLimits = AdmissionLimits {
    connections: 1000,
    per_address: 1000,
    handshakes: 1000,
    handshakes_per_address: 1000,
    handshake_rate: Rate { burst: 1000, per_second: 1 },
    retry_above: 1000,
    handshake_deadline: Duration::from_secs(1),
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn judge(gate: &Arc<Gate>, from: &str, validated: bool) -> Verdict {
    gate.judge(address(from), validated, Instant::now())
}

fn ticket(gate: &Arc<Gate>, from: &str) -> Ticket {
    match judge(gate, from, false) {
        Verdict::Admit(ticket) => ticket,
        Verdict::Retry => panic!("retry"),
        Verdict::Refuse | Verdict::Full => panic!("refused"),
    }
}

fn is_refused(gate: &Arc<Gate>, from: &str) -> bool {
    matches!(judge(gate, from, true), Verdict::Refuse | Verdict::Full)
}

#[test]
fn connections_are_bounded_and_come_back() {
    let gate = Gate::new(AdmissionLimits { connections: 2, ..WIDE });
    let first = ticket(&gate, "10.0.0.1");
    let _second = ticket(&gate, "10.0.0.2");
    assert!(is_refused(&gate, "10.0.0.3"));
    drop(first);
    let _third = ticket(&gate, "10.0.0.3");
    assert_eq!(gate.stats().connections, 2);
}

#[test]
fn handshakes_are_bounded_apart_from_connections() {
    let gate = Gate::new(AdmissionLimits { handshakes: 1, ..WIDE });
    let mut first = ticket(&gate, "10.0.0.1");
    assert!(is_refused(&gate, "10.0.0.2"));
    first.established();
    first.established();
    let _second = ticket(&gate, "10.0.0.2");
    drop(first);
    assert_eq!((gate.stats().connections, gate.stats().handshakes), (1, 1));
}

/// As many as it likes to begin and never continue: there is room for others, and for itself once one has come through.
#[test]
fn one_address_cannot_hold_all_handshakes() {
    let gate = Gate::new(AdmissionLimits { handshakes: 4, handshakes_per_address: 2, ..WIDE });
    let mut begun: Vec<_> = Vec::new();
    for _ in 0..9 {
        if let Verdict::Admit(ticket) = judge(&gate, "10.0.0.1", true) {
            begun.push(ticket);
        }
    }
    assert_eq!(begun.len(), 2);
    let _other = ticket(&gate, "10.0.0.2");
    begun[0].established();
    assert!(matches!(judge(&gate, "10.0.0.1", false), Verdict::Retry), "half of its share is in use");
    let _third = match judge(&gate, "10.0.0.1", true) {
        Verdict::Admit(ticket) => ticket,
        _ => panic!("its place is free again"),
    };
    drop(begun);
    assert_eq!(gate.stats().handshakes, 2);
    assert!(matches!(judge(&gate, "10.0.0.1", true), Verdict::Admit(_)), "what was dropped counts no more");
}

#[test]
fn one_address_has_its_share_and_no_more() {
    let gate = Gate::new(AdmissionLimits { per_address: 2, ..WIDE });
    let held = [
        ticket(&gate, "10.0.0.1"),
        match judge(&gate, "10.0.0.1", true) {
            Verdict::Admit(ticket) => ticket,
            _ => panic!("a validated address may use its whole share"),
        },
    ];
    assert!(is_refused(&gate, "10.0.0.1"));
    assert!(is_refused(&gate, "::ffff:10.0.0.1"), "the same address in IPv6 clothes");
    let _other = ticket(&gate, "10.0.0.2");
    drop(held);
    let _again = ticket(&gate, "10.0.0.1");
    assert_eq!(gate.lock().addresses.len(), 2, "only addresses with connections are kept");
}

#[test]
fn a_network_of_ipv6_addresses_is_one() {
    let gate = Gate::new(AdmissionLimits { per_address: 1, ..WIDE });
    let _held = match judge(&gate, "2001:db8::1", true) {
        Verdict::Admit(ticket) => ticket,
        _ => panic!("the first one is admitted"),
    };
    assert!(is_refused(&gate, "2001:db8::2"));
    assert!(!is_refused(&gate, "2001:db8:0:1::1"));
}

#[test]
fn under_load_strangers_prove_their_address() {
    let gate = Gate::new(AdmissionLimits { retry_above: 1, ..WIDE });
    let _held = ticket(&gate, "10.0.0.1");
    assert!(matches!(judge(&gate, "10.0.0.2", false), Verdict::Retry));
    assert!(matches!(judge(&gate, "10.0.0.2", true), Verdict::Admit(_)));
}

#[test]
fn a_forged_address_cannot_use_up_the_share_of_its_owner() {
    let gate = Gate::new(AdmissionLimits { per_address: 4, ..WIDE });
    let forged = [ticket(&gate, "10.0.0.1"), ticket(&gate, "10.0.0.1")];
    assert!(matches!(judge(&gate, "10.0.0.1", false), Verdict::Retry), "forgeries get no further");
    assert!(matches!(judge(&gate, "10.0.0.1", true), Verdict::Admit(_)), "the owner does");
    drop(forged);
    let stats = gate.stats();
    assert_eq!((stats.connections, stats.admitted, stats.retried), (0, 3, 1));
}

#[test]
fn all_places_taken_is_said_to_whoever_proves_its_address() {
    let gate = Gate::new(AdmissionLimits { connections: 1, ..WIDE });
    let _held = ticket(&gate, "10.0.0.1");
    assert!(matches!(judge(&gate, "10.0.0.2", false), Verdict::Retry));
    assert!(matches!(judge(&gate, "10.0.0.2", true), Verdict::Full));
    assert_eq!(gate.stats().refused, 1);
}

/// Handshakes that come through at once hold no place: they are bounded by how fast they follow each other.
#[test]
fn one_address_begins_so_many_handshakes_a_second() {
    let gate = Gate::new(AdmissionLimits { handshake_rate: Rate { burst: 4, per_second: 2 }, ..WIDE });
    let begin = |from: &str, validated, now| match gate.judge(address(from), validated, now) {
        Verdict::Admit(mut ticket) => {
            ticket.established();
            "admitted"
        }
        Verdict::Retry => "retry",
        Verdict::Refuse | Verdict::Full => "refused",
    };
    let now = Instant::now();
    let begun: Vec<_> = (0..4).map(|_| begin("10.0.0.1", false, now)).collect();
    assert_eq!(begun, ["admitted", "admitted", "admitted", "retry"], "forgeries use up half of it");
    assert_eq!([(); 3].map(|()| begin("10.0.0.1", true, now)), ["admitted", "refused", "refused"]);
    assert_eq!(begin("10.0.0.2", false, now), "admitted");
    let later = now + Duration::from_secs(1);
    assert_eq!([(); 3].map(|()| begin("10.0.0.1", true, later)), ["admitted", "admitted", "refused"]);
}

/// What an address has used up is remembered after its last connection has gone, and no longer than it counts.
#[test]
fn addresses_are_forgotten_in_time() {
    let gate = Gate::new(AdmissionLimits { handshake_rate: Rate { burst: 4, per_second: 2 }, ..WIDE });
    let now = Instant::now();
    for number in 0..1000 {
        let from = IpAddr::from([10, 0, (number / 250) as u8, (number % 250) as u8]);
        drop(gate.judge(from, true, now + Duration::from_millis(10 * number)));
    }
    let known = gate.lock().addresses.len();
    assert!((50..=250).contains(&known), "{known}: half a second's worth, and twice that before it is looked");
}
