#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[test]
fn pauses_double_up_to_the_cap_and_start_over_after_success() {
    let (first, cap) = (Duration::from_millis(10), Duration::from_secs(1));
    let mut backoff = Backoff::new(first, cap);
    for _ in 0..2 {
        for exponent in 0..20 {
            let longest = (first * 2_u32.pow(exponent)).min(cap);
            let pause = backoff.next();
            assert!(pause <= longest && pause >= longest / 2, "{pause:?} of {longest:?}");
        }
        backoff.reset();
    }
}

#[test]
fn pauses_differ() {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
    let first = backoff.next();
    assert!((0..64).any(|_| backoff.next() != first));
}
