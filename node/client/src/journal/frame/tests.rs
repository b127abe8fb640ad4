#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::testing::key;
use proptest::prelude::*;

fn owner() -> Owner {
    Owner { client: key(0).client_key(), chain: sha256("test", &[]) }
}

/// A log of three appends, and where each ends.
fn log() -> (Vec<u8>, Vec<usize>, Vec<Record>) {
    let begun = |byte: u8, length: usize| Record::begun(&vec![byte; length].into()).unwrap();
    let appends =
        [vec![begun(1, 20), begun(2, 300)], vec![Record::Finished(7)], vec![begun(3, 50), Record::Finished(8)]];
    let (mut log, mut ends) = (Vec::new(), Vec::new());
    for records in &appends {
        let bytes = frame(&owner(), log.len(), &records.clone().try_into().unwrap());
        log.extend_from_slice(&bytes);
        ends.push(log.len());
    }
    (log, ends, appends.concat())
}

#[test]
fn a_log_comes_back() {
    let (log, _, records) = log();
    assert_eq!(read(&owner(), &log).unwrap(), Contents { records, torn: 0 });
    assert_eq!(read(&owner(), &[]).unwrap(), Contents { records: Vec::new(), torn: 0 });
}

#[test]
fn a_torn_tail_is_dropped_at_every_length() {
    let (log, ends, records) = log();
    let counts = [2, 1, 2];
    for length in 0..log.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        let kept: usize = counts[..whole].iter().sum();
        let start = if whole == 0 { 0 } else { ends[whole - 1] };
        let contents = read(&owner(), &log[..length]).unwrap();
        assert_eq!(contents, Contents { records: records[..kept].to_vec(), torn: length - start }, "cut to {length}");
        // A file may have grown before its bytes arrived.
        let mut zeroes = log[..length].to_vec();
        zeroes.resize(log.len(), 0);
        let contents = read(&owner(), &zeroes).unwrap();
        // Some of the bytes that did not arrive may be zeroes themselves.
        let fewest = if zeroes == log { records.len() } else { kept };
        assert_eq!(contents.records, records[..fewest.max(contents.records.len())], "zeroes from {length}");
        assert!(zeroes == log || contents.records.len() < records.len(), "zeroes from {length}");
    }
}

#[test]
fn damage_before_a_good_frame_is_refused() {
    let (log, ends, records) = log();
    for place in 0..log.len() {
        let mut damaged = log.clone();
        damaged[place] ^= 0x10;
        let frame = ends.iter().filter(|end| **end <= place).count();
        let start = if frame == 0 { 0 } else { ends[frame - 1] };
        match read(&owner(), &damaged) {
            Err(Damaged { offset }) => assert!(frame < 2 && offset == start, "byte {place}: {offset}"),
            // The last frame cannot be told from a torn one.
            Ok(contents) => assert!(frame == 2 && contents.records == records[..3], "byte {place}"),
        }
    }
}

#[test]
fn another_owners_log_is_not_read() {
    let (log, ..) = log();
    let other = Owner { client: key(1).client_key(), ..owner() };
    assert_eq!(read(&other, &log).unwrap().records, []);
    let elsewhere = Owner { chain: sha256("test", &[b"other"]), ..owner() };
    assert_eq!(read(&elsewhere, &log).unwrap().records, []);
}

#[test]
fn a_reservation_comes_back_or_is_refused() {
    let text = reservation(&owner(), 1234);
    assert_eq!(read_reservation(&owner(), text.as_bytes()), Ok(1234));
    for place in 0..text.len() {
        let mut damaged = text.clone().into_bytes();
        damaged[place] ^= 1;
        assert!(read_reservation(&owner(), &damaged).is_err(), "byte {place}");
        assert!(read_reservation(&owner(), &text.as_bytes()[..place]).is_err(), "cut to {place}");
    }
    let other = Owner { client: key(1).client_key(), ..owner() };
    assert_eq!(read_reservation(&other, text.as_bytes()), Err("it belongs to another client's key"));
    let elsewhere = Owner { chain: sha256("test", &[b"other"]), ..owner() };
    assert_eq!(read_reservation(&elsewhere, text.as_bytes()), Err("it belongs to another chain"));
    let later = text.replace("journal 1", "journal 2");
    assert_eq!(read_reservation(&owner(), later.as_bytes()), Err("it was written by another version of this program"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let (mut log, ..) = log();
        log.truncate(cut);
        log.extend_from_slice(&bytes);
        if let Ok(contents) = read(&owner(), &log) {
            prop_assert!(contents.torn <= log.len());
        }
        prop_assert!(read_reservation(&owner(), &bytes).is_err());
    }
}
