//! What becomes of a disk whose replica is dead.
//!
//! What a test cannot do from outside, such as a write that is torn in the middle, is the simulator's.

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use varangian_crypto::sha256;
use varangian_storage::{Store, Synced};

/// How a disk is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// A bit of the log is flipped, in its synced part.
    Log,
    /// A bit of each high-water mark of votes is flipped.
    Marks,
    /// The end of the log is gone, synced bytes too: votes that were sent.
    LostVotes,
    /// A bit of a table that holds its votes is flipped: a start reads it.
    Sst,
    /// A bit of a table that holds the application's state is flipped: it is read when somebody asks for what is there.
    State,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "a bit of its log is flipped",
            Self::Marks => "its high-water marks are damaged",
            Self::Sst => "a bit of a table of its votes is flipped",
            Self::State => "a bit of a table of its state is flipped",
            Self::LostVotes => "the end of its log is gone, with votes that it has sent",
        })
    }
}

/// Damages a store whose process is dead.
///
/// # Errors
/// If the store cannot be read, or holds too little to be damaged so.
pub fn damage(data: &Path, how: Damage, seed: u64) -> anyhow::Result<()> {
    let synced = Store::synced_in(data)?;
    let name = |path: &Path| path.display().to_string();
    let open = |path: &Path| File::options().read(true).write(true).open(path).with_context(|| name(path));
    match how {
        Damage::Log => {
            if synced.bytes == 0 {
                bail!("{} has no synced byte: let the replica work longer", name(&synced.log));
            }
            flip(&open(&synced.log)?, random(seed, synced.bytes), seed)?;
        }
        Damage::Marks => {
            let file = open(&synced.marks)?;
            for place in Synced::MARKS {
                flip(&file, place.start + random(seed, place.end - place.start), seed)?;
            }
        }
        Damage::LostVotes => {
            if synced.bytes == 0 {
                bail!("{} has no synced byte: let the replica work longer", name(&synced.log));
            }
            open(&synced.log)?.set_len(random(seed, synced.bytes))?;
        }
        Damage::Sst | Damage::State => {
            let of = if how == Damage::Sst { "consensus" } else { "state" };
            let tables = Store::tables_in(data)?.into_iter().filter(|table| table.of == of);
            let Some(table) = tables.max_by_key(|table| table.bytes) else {
                bail!("{} has no table of its {of} yet: a start moves what is in the log into tables", name(data));
            };
            // Entries come first; an index and a summary follow.
            flip(&open(&table.file)?, random(seed, table.bytes / 2), seed)?;
        }
    }
    Ok(())
}

/// Removes everything that a replica has stored.
///
/// # Errors
/// If it cannot be removed.
pub fn wipe(data: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(data).with_context(|| data.display().to_string())
}

/// Numbers among which that of the next log file is: tables that are being written have theirs already, and are not there yet.
const NEXT: u64 = 16;

/// Lets no log file be synced that a running store begins from here on: the next one takes every byte, keeps none, and refuses to sync. Gives the
/// names that it may have, for them to be removed when the process has ended.
///
/// # Errors
/// If it cannot be made.
pub fn lose_syncs(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut newest = 0;
    for dir in ["db", "log"].map(|dir| data.join(dir)) {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            // Tables, logs, manifests and settings are numbered in one row; what is kept of information logs is numbered by the clock.
            let number = name.split(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse().ok());
            newest = newest.max(number.filter(|_| !name.starts_with("LOG")).unwrap_or(0));
        }
    }
    (newest + 1..=newest + NEXT)
        .map(|number| {
            let next = data.join("log").join(format!("{number:06}.log"));
            symlink("/dev/null", &next).with_context(|| next.display().to_string())?;
            Ok(next)
        })
        .collect()
}

/// Keeps a copy of everything that a replica has stored, marks included, in place of an earlier one.
///
/// # Errors
/// If it cannot be read or written.
pub fn save(data: &Path, copy: &Path) -> anyhow::Result<()> {
    if copy.exists() {
        wipe(copy)?;
    }
    copy_tree(data, copy)
}

/// Puts that copy back.
///
/// # Errors
/// If there is none, or a file cannot be written.
pub fn restore(data: &Path, copy: &Path) -> anyhow::Result<()> {
    if !copy.exists() {
        bail!("{} is not there: no disk was saved that could be restored", copy.display());
    }
    wipe(data)?;
    copy_tree(copy, data)
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| from.display().to_string())?;
        }
    }
    Ok(())
}

fn flip(file: &File, at: u64, seed: u64) -> anyhow::Result<()> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 1 << random(seed ^ at, 8);
    file.write_all_at(&byte, at)?;
    file.sync_all()?;
    Ok(())
}

/// A number below `below`, decided by the seed.
fn random(seed: u64, below: u64) -> u64 {
    let noise = sha256("damage", &[&seed.to_le_bytes()]);
    let number = noise.as_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number % below.max(1)
}
