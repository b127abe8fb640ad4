//! Power loss: what a replica's disk may hold after it.
//!
//! A killed process loses nothing that it wrote: the system keeps it. So after a kill the log is cut at random, not before its last
//! synced byte. Torn and reordered writes inside of that are the simulator's.

use anyhow::Context as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use varangian_crypto::sha256;
use varangian_storage::Store;

/// Cuts the log of a store whose process is dead. Gives the bytes that are lost.
///
/// # Errors
/// If the store cannot be read or cut.
pub fn cut_power(data: &Path, seed: u64) -> anyhow::Result<u64> {
    let synced = Store::synced_in(data)?;
    let dir = synced.log.parent().unwrap_or(data);
    let entries: Vec<PathBuf> = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .with_context(|| dir.display().to_string())?;
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log") && *path >= synced.log;
    let mut logs: Vec<PathBuf> = entries.into_iter().filter(is_log).collect();
    logs.sort();
    let mut lost = 0;
    for (index, log) in logs.iter().enumerate() {
        let least = if *log == synced.log { synced.bytes } else { 0 };
        let file = File::options().write(true).open(log).with_context(|| log.display().to_string())?;
        let length = file.metadata()?.len();
        let noise = sha256("power loss", &[&seed.to_le_bytes(), &(index as u64).to_le_bytes()]);
        let random = noise.as_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let kept = least + random % (length.saturating_sub(least) + 1);
        file.set_len(kept)?;
        lost += length - kept;
    }
    Ok(lost)
}
