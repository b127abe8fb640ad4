#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disk;
mod model;

use super::*;
use crate::testing::{committee, key};
use disk::{Crash, MemoryDisk};
use varangian_crypto::Parameters;

const WIDTH: u64 = 64;

fn owner() -> Owner {
    Owner { client: key(0).client_key(), chain: committee(Parameters::default()).context().chain_id }
}

fn open(disk: &MemoryDisk) -> Result<(Ledger<MemoryDisk>, usize), JournalError> {
    Ledger::open(disk.process(), owner(), "journal".into(), WIDTH, 100)
}

fn command(sequence: Sequence) -> Command {
    Command::sign(&key(0), committee(Parameters::default()).context(), sequence, &[sequence.to_le_bytes()]).unwrap()
}

/// Takes a number and writes a command down.
fn begin(ledger: &mut Ledger<MemoryDisk>) -> Result<Command, JournalError> {
    let command = command(ledger.take()?);
    ledger.begin(std::slice::from_ref(&command))?;
    Ok(command)
}

#[test]
fn numbers_begin_where_told_and_blocks_grow() {
    let disk = MemoryDisk::default();
    let (mut ledger, left) = open(&disk).unwrap();
    assert_eq!(left, 0);
    let taken: Vec<_> = (0..20).map(|_| ledger.take().unwrap()).collect();
    assert_eq!(taken, (100..120).collect::<Vec<_>>());
    // 1 + 2 + 4 + 4 + ...: a sixteenth of the window at most.
    assert_eq!(ledger.block, 4);
    let (mut second, _) = open(&disk).unwrap();
    assert_eq!(second.take().unwrap(), ledger.end);
}

#[test]
fn two_processes_never_get_one_number() {
    let disk = MemoryDisk::default();
    let (mut one, _) = open(&disk).unwrap();
    let (mut other, _) = open(&disk).unwrap();
    let mut all = std::collections::BTreeSet::new();
    for turn in 0..100 {
        let ledger = if turn % 3 == 0 { &mut one } else { &mut other };
        assert!(all.insert(ledger.take().unwrap()));
    }
}

#[test]
fn a_block_that_others_left_behind_is_given_up() {
    let disk = MemoryDisk::default();
    let (mut slow, _) = open(&disk).unwrap();
    let (mut fast, _) = open(&disk).unwrap();
    // Blocks of 1, 2 and 4: three of the last one are left.
    let last = (0..4).map(|_| slow.take().unwrap()).last().unwrap();
    assert_eq!(slow.end - slow.next, 3);
    slow.refresh().unwrap();
    assert_eq!(slow.peek().unwrap(), last + 1, "nobody is ahead");
    let mut ahead = 0;
    while ahead < last + WIDTH {
        ahead = fast.take().unwrap();
    }
    slow.refresh().unwrap();
    assert!(slow.take().unwrap() > ahead);
}

#[test]
fn what_is_unfinished_is_found_by_the_next_process() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    let commands: Vec<_> = (0..5).map(|_| begin(&mut ledger).unwrap()).collect();
    ledger.finish(commands[1].sequence()).unwrap();
    ledger.finish(commands[3].sequence()).unwrap();
    let last = begin(&mut ledger).unwrap();
    // While the process lives, its commands are its own business.
    assert_eq!(open(&disk).unwrap().1, 0);
    drop(ledger);

    let (mut next, left) = open(&disk).unwrap();
    assert_eq!(left, 4);
    let found = next.adopt().unwrap();
    let expected = [0, 2, 4].map(|place| commands[place].clone()).into_iter().chain([last]);
    let expected: BTreeMap<_, _> = expected.map(|command| (command.sequence(), command.encoded().clone())).collect();
    assert_eq!(found, expected, "the exact bytes");
    // Owned now: nobody else finds them.
    assert_eq!(open(&disk).unwrap().1, 0);
    for sequence in expected.keys() {
        next.finish(*sequence).unwrap();
    }
    next.close().unwrap();
    assert_eq!(disk.process().logs().unwrap(), Vec::<String>::new());
    assert_eq!(open(&disk).unwrap().1, 0);
}

#[test]
fn a_closed_journal_owns_nothing() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    begin(&mut ledger).unwrap();
    ledger.close().unwrap();
    let (mut next, left) = open(&disk).unwrap();
    assert_eq!(left, 1, "while the closed one is still there");
    next.adopt().unwrap();
    next.close().unwrap();
    assert_eq!(open(&disk).unwrap().1, 1);
}

#[test]
fn a_withdrawn_command_is_gone_at_once() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    let command = begin(&mut ledger).unwrap();
    ledger.withdraw(command.sequence()).unwrap();
    drop(ledger);
    assert_eq!(open(&disk).unwrap().1, 0);
}

#[test]
fn a_finish_that_was_not_written_is_asked_again() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    let command = begin(&mut ledger).unwrap();
    ledger.finish(command.sequence()).unwrap();
    drop(ledger);
    assert_eq!(open(&disk).unwrap().1, 1, "the original reply is asked for again: harmless");
}

#[test]
fn a_long_log_gives_way_and_keeps_what_is_unfinished() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    let kept = begin(&mut ledger).unwrap();
    let first_name = ledger.log.as_ref().unwrap().name.clone();
    ledger.log.as_mut().unwrap().length = 0;
    for _ in 0..12 {
        let next = command_of(&mut ledger, 512 << 10);
        ledger.finish(next.sequence()).unwrap();
    }
    assert_ne!(ledger.log.as_ref().unwrap().name, first_name);
    assert_eq!(disk.process().logs().unwrap().len(), 1, "the old one is removed");
    drop(ledger);
    let (mut next, _) = open(&disk).unwrap();
    assert!(next.adopt().unwrap().contains_key(&kept.sequence()));
}

fn command_of(ledger: &mut Ledger<MemoryDisk>, bytes: usize) -> Command {
    let sequence = ledger.take().unwrap();
    let committee = committee(Parameters::default());
    let command = Command::sign(&key(0), committee.context(), sequence, &[vec![0; bytes]]).unwrap();
    ledger.begin(std::slice::from_ref(&command)).unwrap();
    command
}

#[test]
fn after_a_failed_write_nothing_is_written() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    begin(&mut ledger).unwrap();
    ledger.peek().unwrap();
    disk.fail_next_append();
    assert!(matches!(begin(&mut ledger), Err(JournalError::Io { .. })));
    let error = begin(&mut ledger).unwrap_err().to_string();
    assert!(error.contains("an earlier write failed"), "{error}");
}

#[test]
fn damage_is_refused_and_named() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    begin(&mut ledger).unwrap();
    begin(&mut ledger).unwrap();
    drop(ledger);
    let name = disk.process().logs().unwrap().remove(0);
    disk.change(&name, |bytes| bytes[30] ^= 1);
    let error = open(&disk).err().unwrap();
    assert!(matches!(error, JournalError::Damaged { offset: 0, .. }), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
}

#[test]
fn a_torn_tail_is_tolerated() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    let first = begin(&mut ledger).unwrap();
    begin(&mut ledger).unwrap();
    drop(ledger);
    let name = disk.process().logs().unwrap().remove(0);
    disk.change(&name, |bytes| bytes.truncate(bytes.len() - 1));
    let (mut next, left) = open(&disk).unwrap();
    assert_eq!(left, 1);
    assert_eq!(next.adopt().unwrap().into_keys().collect::<Vec<_>>(), [first.sequence()]);
}

#[test]
fn a_reservation_that_is_lost_or_foreign_is_refused() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = open(&disk).unwrap();
    begin(&mut ledger).unwrap();
    drop(ledger);
    let foreign = Owner { client: key(1).client_key(), ..owner() };
    let error = Ledger::open(disk.process(), foreign, "journal".into(), WIDTH, 1).err().unwrap();
    assert!(error.to_string().contains("another client's key"), "{error}");
    disk.change(RESERVATION, |bytes| bytes[40] ^= 1);
    assert!(matches!(open(&disk), Err(JournalError::Reservation { reason: "it is damaged", .. })));
    disk.process().remove(RESERVATION).unwrap();
    assert!(matches!(open(&disk), Err(JournalError::Reservation { reason: "it is missing beside logs", .. })));
}

#[test]
fn the_last_number_is_not_passed() {
    let disk = MemoryDisk::default();
    let (mut ledger, _) = Ledger::open(disk.process(), owner(), "journal".into(), WIDTH, u64::MAX - 1).unwrap();
    assert_eq!(ledger.take().unwrap(), u64::MAX - 1);
    let error = ledger.take().unwrap_err().to_string();
    assert!(error.contains("used up"), "{error}");
}

#[test]
fn a_crash_at_every_step_of_the_first_command() {
    // Counts the steps of one run, then crashes at each of them, with nothing, a part or all of it done.
    let steps = {
        let disk = MemoryDisk::default();
        let (mut ledger, _) = open(&disk).unwrap();
        begin(&mut ledger).unwrap();
        ledger.close().unwrap();
        disk.steps()
    };
    assert!(steps >= 4, "reservation twice, log, append: {steps}");
    for step in 0..steps {
        for done in [0, 1, 50, 100] {
            let disk = MemoryDisk::default();
            disk.crash(Crash { step, done });
            let first = open(&disk).and_then(|(mut ledger, _)| begin(&mut ledger));
            disk.restart();
            let (mut next, left) = open(&disk).unwrap();
            let second = begin(&mut next).unwrap();
            if let Ok(first) = first {
                assert!(second.sequence() > first.sequence(), "step {step}, {done}%");
                assert_eq!(left, 1);
            }
        }
    }
}
