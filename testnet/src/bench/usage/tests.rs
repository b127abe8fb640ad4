#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[test]
fn processor_time_is_user_and_kernel_time_whatever_the_name() {
    let stat = "42 (a (name) b) S 1 42 42 0 -1 4194560 9 10 11 12 250 31 7 8 20 0 3 0 999 1 2";
    assert_eq!(cpu(stat), Some(Duration::from_millis(2810)));
    assert_eq!(cpu("42 name S 1"), None);
    assert_eq!(cpu("42 (name) S 1 2 3"), None);
}

#[test]
fn written_bytes_are_not_those_that_were_cancelled() {
    let io = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
    assert_eq!(written(io), Some(4096));
    assert_eq!(written("rchar: 1\n"), None);
}

#[test]
fn this_process_has_books_and_one_that_is_gone_has_none() {
    let own = std::process::id();
    let once = Usage::of(&[own]).unwrap();
    let twice = Usage::of(&[own, own]).unwrap();
    assert!(twice.cpu >= once.cpu * 2 && twice.written >= once.written * 2, "{once:?}, then {twice:?}");
    // Linux gives no process a number above 2^22.
    let error = Usage::of(&[own, (1 << 22) + 1]).unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
}

#[test]
fn costs_between_two_moments() {
    let usage = |ms, written| Usage { cpu: Duration::from_millis(ms), written };
    assert_eq!(usage(50, 700) - usage(20, 300), usage(30, 400));
}
