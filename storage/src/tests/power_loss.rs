//! Every end that a power loss can give the log, and every end that it cannot.

use std::fs;
use std::io::Write;

use super::*;
use crate::layout::Layout;
use crate::log::scan;
use crate::mark::{Mark, MarkFile};
use crate::{Found, Opened, StoreError};

/// A closed store with one log file, and what it holds after each record of that file.
struct Written {
    home: TempDir,
    dir: PathBuf,
    log: PathBuf,
    steps: Vec<Step>,
}

/// The store after one record of the log.
#[derive(Debug, Clone)]
struct Step {
    /// Where the record ends.
    end: u64,
    turn: u64,
    executed: u64,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The mark on disk then.
    mark: Vec<u8>,
}

/// Turns and executions by turns; one turn spans several blocks of the log.
fn written() -> Written {
    let (home, dir) = create();
    let store = open(&dir);
    let log = store.synced().unwrap().log;
    let mut steps = Vec::new();
    let mut step = |store: &Store| {
        let end = fs::metadata(&log).unwrap().len();
        let mark = fs::read(dir.join("votes.mark")).unwrap();
        let turn = Store::synced_in(&dir).unwrap().turn;
        steps.push(Step { end, turn, executed: store.last_executed(), records: records(store), mark });
    };
    step(&store);
    for number in 1..=4 {
        let size = if number == 3 { 80_000 } else { 50 };
        store.commit(put(Key::new(1, [number]), &noise(number, size))).unwrap();
        step(&store);
        store.execute(execution(number, b"key", noise(number, 100))).unwrap();
        step(&store);
    }
    drop(store);
    let written = Written { home, dir, log, steps };
    let ends: Vec<u64> = written.steps.iter().skip(1).map(|step| step.end).collect();
    assert_eq!(ends, record_ends(&written.log), "one record in the log for each write");
    written
}

fn record_ends(log: &Path) -> Vec<u64> {
    let mut ends = Vec::new();
    scan(log, |end| ends.push(end)).unwrap();
    ends
}

impl Written {
    /// The last step that a log cut at `length` still holds.
    fn before(&self, length: u64) -> &Step {
        self.steps.iter().rev().find(|step| step.end <= length).unwrap()
    }

    /// A copy of the store with another mark.
    fn copy(&self, mark: &Step) -> (TempDir, PathBuf, PathBuf) {
        let (home, dir) = copy(&self.dir);
        fs::write(dir.join("votes.mark"), &mark.mark).unwrap();
        let log = dir.join(self.log.strip_prefix(&self.dir).unwrap());
        (home, dir, log)
    }
}

fn assert_stands_at(store: &Store, opened: &Opened, step: &Step) {
    assert_eq!((opened.turn, opened.last_executed), (step.turn, step.executed));
    assert_eq!(records(store), step.records);
    let view = store.view().unwrap();
    let value = view.get(crate::Table::State, b"key").unwrap();
    assert_eq!(value, (step.executed > 0).then(|| step.executed.to_be_bytes().to_vec()));
    assert_eq!(store.committed(1, u64::MAX).unwrap().len() as u64, step.executed);
    // It goes on from there, whole.
    assert_eq!(store.commit(Commit::default()).unwrap(), step.turn + 1);
    store.verify().unwrap();
}

fn assert_lost(dir: &Path, mark: u64) -> Found {
    let before = contents(dir);
    match refused(dir) {
        StoreError::LostVotes { mark: turn, found } => {
            assert_eq!(turn, mark);
            assert_eq!(contents(dir), before, "a refused store is left as it was");
            found
        }
        error => panic!("{error}"),
    }
}

/// Cut at every record, a little before and a little after it, with the mark at the first turn, in the middle and at the last:
/// above the mark a whole prefix opens, below it nothing does.
#[test]
fn a_log_cut_anywhere_is_a_prefix_or_is_refused() {
    let written = written();
    let full = written.steps.last().unwrap().end;
    let mut cuts: Vec<u64> = Vec::new();
    for step in &written.steps {
        cuts.extend([-8, -1, 0, 1, 9].iter().filter_map(|offset| step.end.checked_add_signed(*offset)));
    }
    cuts.push(40_000); // inside the turn of several blocks
    cuts.retain(|cut| *cut <= full);
    let (mut opens, mut refusals) = (0, 0);
    for mark in [&written.steps[0], &written.steps[1], &written.steps[3], &written.steps[7]] {
        for cut in &cuts {
            let (_home, dir, log) = written.copy(mark);
            fs::File::options().write(true).open(&log).unwrap().set_len(*cut).unwrap();
            if *cut < mark.end {
                let found = assert_lost(&dir, mark.turn);
                assert!(matches!(found, Found::DamagedLog { file, .. } if file == log));
                refusals += 1;
                continue;
            }
            let step = written.before(*cut);
            let (store, opened) = Store::open(&dir, &identity(), Options::default()).unwrap();
            assert_eq!(opened.mark, mark.turn);
            let torn = opened.torn.as_ref().map(|torn| (torn.offset, torn.bytes));
            assert_eq!(torn, (*cut > step.end).then(|| (step.end, cut - step.end)));
            assert_stands_at(&store, &opened, step);
            opens += 1;
        }
    }
    assert!(opens > 30 && refusals > 30, "{opens} opened, {refusals} refused");
}

/// A byte flipped in the header or the body of any record. RocksDB alone would take some of them for the end of the log.
#[test]
fn a_flipped_byte_is_refused_below_the_mark_and_ends_the_log_above_it() {
    let written = written();
    let mark = &written.steps[3];
    for (index, step) in written.steps.iter().enumerate().skip(1) {
        let start = written.steps[index - 1].end;
        for at in [start, start + 4, start + 5, start + 6, (start + step.end) / 2, step.end - 1] {
            let (_home, dir, log) = written.copy(mark);
            flip(&log, at as usize);
            if start < mark.end {
                let found = assert_lost(&dir, mark.turn);
                assert_eq!(found, Found::DamagedLog { file: log, offset: start });
                continue;
            }
            let (store, opened) = Store::open(&dir, &identity(), Options::default()).unwrap();
            let full = written.steps.last().unwrap().end;
            assert_eq!(opened.torn.as_ref().map(|torn| torn.bytes), Some(full - start));
            assert_stands_at(&store, &opened, &written.steps[index - 1]);
        }
    }
}

/// Zeroes, which some file systems leave at the end of a file, and rubbish.
#[test]
fn what_follows_the_last_record_is_cut_off_and_reported() {
    let written = written();
    let last = written.steps.last().unwrap();
    for tail in [vec![0; 5], vec![0; 70_000], noise(1, 100).to_vec(), vec![0xff; 40_000]] {
        let (_home, dir, log) = written.copy(last);
        fs::File::options().append(true).open(&log).unwrap().write_all(&tail).unwrap();
        let (store, opened) = Store::open(&dir, &identity(), Options::default()).unwrap();
        let torn = opened.torn.clone().unwrap();
        assert_eq!((torn.file, torn.offset, torn.bytes), (log, last.end, tail.len() as u64));
        assert_stands_at(&store, &opened, last);
        drop(store);
        assert_eq!(Store::open(&dir, &identity(), Options::default()).unwrap().1.torn, None, "once");
    }
}

#[test]
fn a_deleted_log_is_lost_votes() {
    let written = written();
    let (_home, dir, log) = written.copy(written.steps.last().unwrap());
    fs::rename(&log, dir.join("aside")).unwrap();
    assert_eq!(assert_lost(&dir, 4), Found::Turn(0));
    // Refusing changed nothing, so putting the file back repairs it.
    fs::rename(dir.join("aside"), &log).unwrap();
    let (store, opened) = Store::open(&dir, &identity(), Options::default()).unwrap();
    assert_stands_at(&store, &opened, written.steps.last().unwrap());
}

/// Splits a log in two at a record's end, as if a new file had been begun there. The records before it lie in the first block.
fn split(log: &Path, at: u64, later: &Path) {
    let bytes = fs::read(log).unwrap();
    assert!(bytes.len() <= 32 * 1024, "records are moved whole only within a block");
    fs::write(log, &bytes[..at as usize]).unwrap();
    fs::write(later, &bytes[at as usize..]).unwrap();
}

/// A store whose log has one block: four turns, an execution after each.
fn one_block() -> (TempDir, PathBuf, PathBuf, Vec<u64>) {
    let (home, dir) = create();
    let store = open(&dir);
    let log = store.synced().unwrap().log;
    for number in 1..=4 {
        store.commit(put(Key::new(1, [number]), &noise(number, 50))).unwrap();
        store.execute(execution(number, b"key", noise(number, 100))).unwrap();
    }
    drop(store);
    let ends = record_ends(&log);
    assert_eq!(ends.len(), 8);
    (home, dir, log, ends)
}

fn set_mark(dir: &Path, mark: Mark) {
    let layout = Layout::new(dir);
    fs::remove_file(layout.mark()).unwrap();
    MarkFile::create(&layout).unwrap();
    MarkFile::open(&layout).unwrap().advance(mark).unwrap();
}

/// An unsynced end of one file is lost while the next file, unsynced too, survives: replaying it would leave a hole.
#[test]
fn a_torn_file_takes_the_later_ones_with_it() {
    let (_home, dir, log, ends) = one_block();
    let number: u64 = log.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let later = Layout::new(&dir).log_file(number + 1);
    split(&log, ends[4], &later);
    let later_bytes = fs::metadata(&later).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(ends[4] - 2).unwrap();

    set_mark(&dir, Mark { turn: 2, log: number, length: ends[2] });
    let (copied, synced) = copy(&dir);
    let (store, opened) = Store::open(&dir, &identity(), Options::default()).unwrap();
    assert_eq!((opened.turn, opened.last_executed), (2, 2));
    let torn = opened.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes), (ends[3], ends[4] - 2 - ends[3] + later_bytes));
    store.verify().unwrap();

    // The same files with a mark in the later one: the earlier one must have been whole.
    set_mark(&synced, Mark { turn: 4, log: number + 1, length: 10 });
    assert!(matches!(assert_lost(&synced, 4), Found::DamagedLog { .. }));
    drop(copied);
}

/// Two whole files are one log.
#[test]
fn whole_files_are_replayed_one_after_the_other() {
    let (_home, dir, log, ends) = one_block();
    let number: u64 = log.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let later = Layout::new(&dir).log_file(number + 1);
    split(&log, ends[4], &later);
    set_mark(&dir, Mark { turn: 4, log: number + 1, length: ends[6] - ends[4] });
    let opened = Store::open(&dir, &identity(), Options::default()).unwrap().1;
    assert_eq!((opened.turn, opened.last_executed, opened.torn), (4, 4, None));
}

/// A record cut out of the middle leaves a log that reads well. Only the chains know.
#[test]
fn a_hole_between_whole_records_is_noticed() {
    let (_home, dir, log, ends) = one_block();
    let bytes = fs::read(&log).unwrap();
    let without = |record: usize| {
        let (start, end) = (ends[record - 1] as usize, ends[record] as usize);
        [&bytes[..start], &bytes[end..]].concat()
    };
    set_mark(&dir, Mark { turn: 4, log: 1, length: 0 });

    fs::write(&log, without(2)).unwrap();
    assert_eq!(assert_lost(&dir, 4), Found::HoleAfter(1));

    fs::write(&log, without(3)).unwrap();
    let before = contents(&dir);
    match refused(&dir) {
        StoreError::Corrupt { detail, .. } => assert_eq!(detail, "the execution of slot 2 is missing"),
        error => panic!("{error}"),
    }
    assert_eq!(contents(&dir), before);

    fs::write(&log, &bytes).unwrap();
    open(&dir);
}

/// Fragments that do not make a record: an end without a beginning, and a beginning without an end.
#[test]
fn a_record_with_a_part_missing_ends_the_log() {
    let written = written();
    let (_home, _dir, other, _ends) = one_block();
    let bytes = fs::read(&written.log).unwrap();
    // The third turn begins in the first block and ends in the third.
    let before = written.steps[4].end;
    assert!(before < 32 * 1024 && written.steps[5].end > 64 * 1024);
    let log = written.home.path().join("fragments");
    let scanned = |parts: &[&[u8]]| {
        fs::write(&log, parts.concat()).unwrap();
        scan(&log, |_| {}).unwrap().whole
    };
    let (first, rest) = bytes.split_at(32 * 1024);
    assert_eq!(scanned(&[first, rest]), bytes.len() as u64);
    assert_eq!(scanned(&[rest]), 0);
    assert_eq!(scanned(&[first, &fs::read(other).unwrap()]), before);
    assert_eq!(scanned(&[first]), before);
}
