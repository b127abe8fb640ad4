//! Limits, pages and attempts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::limits::{ACCESS_BYTES, Halt, KEY_BYTES, Limit, Limits, SCAN_ENTRIES, VALUE_BYTES, Work};
use crate::memory::MemoryState;
use crate::testing::{limits, state_of};

/// What ended `body` under a budget.
fn ended(state: &MemoryState, budget: Work, body: impl Fn(&mut StateView) -> Result<(), Halted>) -> Option<Limit> {
    let meter = Meter::new(limits(), budget);
    let mut overlay = Overlay::default();
    let result = body(&mut StateView::new(state, &mut overlay, &meter));
    let halt = meter.into_halt();
    assert_eq!(result.is_err(), halt.is_some(), "the view says Halted exactly when it has ended the operation");
    match halt {
        None => None,
        Some(Halt::Limit(limit)) => Some(limit),
        Some(Halt::State(error)) => panic!("{error}"),
    }
}

const PLENTY: Work = Work { read_bytes: u64::MAX, written_bytes: u64::MAX, entries: u64::MAX };

#[test]
fn each_limit_ends_the_operation_one_past_it() {
    let state = state_of([(&b"a"[..], &b"12345"[..]), (b"b", b""), (b"c", b"")]);
    let no_limit = |body: fn(&mut StateView) -> Result<(), Halted>| assert_eq!(ended(&state, PLENTY, body), None);
    let limit = |budget, body: fn(&mut StateView) -> Result<(), Halted>| ended(&state, budget, body);

    no_limit(|view| view.put(&[1; KEY_BYTES], vec![0; VALUE_BYTES]));
    assert_eq!(limit(PLENTY, |view| view.put(&[1; KEY_BYTES + 1], "")), Some(Limit::KeyBytes));
    assert_eq!(limit(PLENTY, |view| view.delete(&[1; KEY_BYTES + 1])), Some(Limit::KeyBytes));
    assert_eq!(limit(PLENTY, |view| view.get(&[1; KEY_BYTES + 1]).map(drop)), Some(Limit::KeyBytes));
    assert_eq!(limit(PLENTY, |view| view.scan(&[1; KEY_BYTES + 1], None, 1, 1).map(drop)), Some(Limit::KeyBytes));
    assert_eq!(limit(PLENTY, |view| view.scan(b"", Some(&[1; KEY_BYTES + 1]), 1, 1).map(drop)), Some(Limit::KeyBytes));
    assert_eq!(limit(PLENTY, |view| view.put(b"", vec![0; VALUE_BYTES + 1])), Some(Limit::ValueBytes));

    let read = |bytes| Work { read_bytes: bytes, ..PLENTY };
    assert_eq!(limit(read(ACCESS_BYTES + 6), |view| view.get(b"a").map(drop)), None);
    assert_eq!(limit(read(ACCESS_BYTES + 5), |view| view.get(b"a").map(drop)), Some(Limit::ReadBytes));
    let write = |bytes| Work { written_bytes: bytes, ..PLENTY };
    assert_eq!(limit(write(ACCESS_BYTES + 3), |view| view.put(b"a", "12")), None);
    assert_eq!(limit(write(ACCESS_BYTES + 2), |view| view.put(b"a", "12")), Some(Limit::WrittenBytes));
    assert_eq!(limit(write(ACCESS_BYTES - 1), |view| view.delete(b"")), Some(Limit::WrittenBytes));

    let pass = |entries| Work { entries: SCAN_ENTRIES + entries, ..PLENTY };
    assert_eq!(limit(pass(3), |view| view.scan(b"", None, 10, 1000).map(drop)), None);
    assert_eq!(limit(pass(2), |view| view.scan(b"", None, 10, 1000).map(drop)), Some(Limit::Entries));
    // What this slot deleted is passed too, or a scan over many deletions would cost nothing.
    let over_deleted = |view: &mut StateView| {
        view.delete(b"a")?;
        view.delete(b"b")?;
        view.scan(b"", None, 10, 1000).map(drop)
    };
    assert_eq!(limit(pass(3), over_deleted), None);
    assert_eq!(limit(pass(2), over_deleted), Some(Limit::Entries));
}

#[test]
fn an_operation_that_was_ended_can_do_nothing_more() {
    let state = state_of([]);
    let meter = Meter::new(limits(), PLENTY);
    let mut overlay = Overlay::default();
    let mut view = StateView::new(&state, &mut overlay, &meter);
    view.put(b"before", "1").unwrap();
    let halted = view.put(b"", vec![0; VALUE_BYTES + 1]).unwrap_err();
    assert_eq!(view.put(b"k", "v"), Err(halted));
    assert_eq!(view.delete(b"before"), Err(halted));
    assert_eq!(view.get(b"before"), Err(halted));
    assert_eq!(view.scan(b"", None, 1, 1), Err(halted));
    assert_eq!(view.put(&[0; KEY_BYTES + 1], ""), Err(halted));
    assert!(matches!(meter.into_halt(), Some(Halt::Limit(Limit::ValueBytes))), "the first reason stays");
    assert_eq!(overlay.into_writes()[0].len(), 1);
}

#[test]
fn a_page_stops_at_its_count_and_its_bytes_and_says_whether_more_follows() {
    let state = state_of([(&b"a1"[..], &b"xx"[..]), (b"a2", b"xx"), (b"a3", b"xx"), (b"b", b"x")]);
    let meter = Meter::new(limits(), PLENTY);
    let overlay = Overlay::default();
    let snapshot = StateSnapshot::new(&state, &overlay, &meter);
    let keys = |after: Option<&[u8]>, limit, bytes| {
        let page = snapshot.scan(b"a", after, limit, bytes).unwrap();
        (page.entries.iter().map(|(key, _)| str::from_utf8(key).unwrap().to_owned()).collect::<Vec<_>>(), page.more)
    };
    let expect = |keys: &[&str], more| (keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>(), more);
    assert_eq!(keys(None, 10, 100), expect(&["a1", "a2", "a3"], false));
    assert_eq!(keys(None, 3, 100), expect(&["a1", "a2", "a3"], false));
    assert_eq!(keys(None, 2, 100), expect(&["a1", "a2"], true));
    assert_eq!(keys(None, 10, 8), expect(&["a1", "a2"], true));
    assert_eq!(keys(None, 10, 7), expect(&["a1"], true));
    assert_eq!(keys(None, 10, 0), expect(&["a1"], true), "one entry always, or a scan never gets past a large one");
    assert_eq!(keys(Some(b"a2"), 10, 100), expect(&["a3"], false));
    assert_eq!(keys(Some(b"a3"), 10, 100), expect(&[], false));
    assert_eq!(keys(None, 0, 100), expect(&[], true));
}

#[test]
fn a_failed_attempt_takes_back_its_own_writes_alone() {
    let state = state_of([(&b"old"[..], &b"1"[..])]);
    let meter = Meter::new(limits(), PLENTY);
    let mut overlay = Overlay::default();
    let mut view = StateView::new(&state, &mut overlay, &meter);
    view.put(b"before", "1").unwrap();
    let outer: Result<(), &str> = view.attempt(|view| {
        view.put(b"outer", "1").unwrap();
        let inner: Result<(), &str> = view.attempt(|view| {
            view.put(b"inner", "1").unwrap();
            view.put(b"outer", "2").unwrap();
            view.delete(b"old").unwrap();
            Err("inner")
        });
        assert_eq!(inner, Err("inner"));
        assert_eq!(view.get(b"outer").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(view.get(b"old").unwrap().as_deref(), Some(&b"1"[..]));
        view.attempt(|view| view.put(b"kept", "1")).unwrap();
        Ok(())
    });
    assert_eq!(outer, Ok(()));
    let keys: Vec<_> = view.scan(b"", None, 10, 100).unwrap().entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b"before"[..], b"kept", b"old", b"outer"]);
}

#[test]
fn the_limits_leave_room_for_the_largest_legal_command() {
    let parameters = varangian_crypto::Parameters::default();
    let limits = Limits::new(&parameters);
    // The smallest write of a key-value operation takes six bytes of its command and is charged for its key and the access.
    let writes = u64::from(parameters.max_command_bytes) / 6;
    assert!(writes * (ACCESS_BYTES + 1) <= limits.command(1).written_bytes);
    assert!(limits.command(1).read_bytes >= 2 * (VALUE_BYTES + KEY_BYTES) as u64);
}
