//! What becomes of a disk whose replica is dead.
//!
//! What a test cannot do from outside, such as a sync that fails once or a write that is torn in the middle, is the simulator's.

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
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
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "a bit of its log is flipped",
            Self::Marks => "its high-water marks are damaged",
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
