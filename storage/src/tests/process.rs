//! A second process: the lock, and a kill in mid-write.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::StoreError;
use crate::layout::Layout;

const DIR: &str = "VARANGIAN_TEST_STORE";

/// Runs in the second process: commits without end and prints each turn once it is durable.
#[test]
#[ignore = "runs in the process that `a_killed_process_loses_no_turn_that_it_printed` starts"]
fn writer() {
    let dir = PathBuf::from(std::env::var_os(DIR).expect("started by the other test"));
    let store = Store::open(&dir, &identity(), tiny()).unwrap().0;
    let first = store.last_executed() + 1;
    for slot in first.. {
        let turn = store.commit(put(Key::new(1, [slot]), &noise(slot, 5000))).unwrap();
        println!("durable {turn}");
        store.execute(execution(slot, b"key", noise(slot, 5000))).unwrap();
    }
}

/// Kills the process when the test ends, however it ends.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(dir: &Path) -> (Writer, impl Iterator<Item = u64> + use<>) {
    let alone = super::BEGINNING.write().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::process::writer", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(alone);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let turns = lines.filter_map(|line| line.unwrap().split("durable ").nth(1)?.parse().ok());
    (Writer(child), turns)
}

/// What a power loss may do on top of a kill: cut the log anywhere at or above its last synced length, and any later file anywhere.
fn cut_power(dir: &Path, seed: u64) {
    let synced = Store::synced_in(dir).unwrap();
    let logs = Layout::new(dir).logs().unwrap();
    for (index, (_, log)) in logs.iter().enumerate().filter(|(_, (_, log))| *log >= synced.log) {
        let least = if *log == synced.log { synced.bytes } else { 0 };
        let file = std::fs::File::options().write(true).open(log).unwrap();
        let length = file.metadata().unwrap().len();
        let random = noise(seed + index as u64, 8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        file.set_len(least + random % (length - least + 1)).unwrap();
    }
}

#[test]
fn a_killed_process_loses_no_turn_that_it_printed() {
    let (_home, dir) = create();
    let mut printed = 0;
    for round in 1..=8 {
        let (writer, mut turns) = start(&dir);
        printed = turns.nth(30).unwrap();
        assert!(matches!(refused(&dir), StoreError::Locked { .. }));
        drop(writer); // kill -9
        printed = turns.last().unwrap_or(printed);
        if round % 2 == 0 {
            cut_power(&dir, printed);
        }

        let (store, opened) = Store::open(&dir, &identity(), tiny()).unwrap();
        assert!(opened.turn >= printed && opened.turn - opened.mark <= 1, "printed {printed}, {opened:?}");
        // Each kill so far may have hit between a turn and its execution, and the slot was written again.
        let slots = printed - round;
        assert!(
            opened.last_executed >= slots && records(&store).len() as u64 >= slots,
            "printed {printed}, {opened:?}"
        );
        store.verify().unwrap();
    }
    assert!(printed > 200);
}
