//! Decides, before the database opens, what is a torn tail and what is a lost vote.
//!
//! Below the high-water mark the log must be whole: what is gone there may have been sent. Above it
//! nothing was acknowledged, so the first unreadable record ends the log: it and all that follows, in
//! this file and in later ones, is cut off and reported. What follows must go too, or a later file
//! would be replayed over the hole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Found, StoreError};
use crate::layout::{Layout, sync_dir};
use crate::log::{Extent, scan};
use crate::mark::Mark;

/// The end of the log that a crash left unfinished, and that was cut off. Nothing of it was synced, so
/// nothing of it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The log file that was cut.
    pub file: PathBuf,
    /// The length that it has now, in bytes.
    pub offset: u64,
    /// How many bytes went, those of later log files included.
    pub bytes: u64,
}

/// Checks the log files against the mark. Changes nothing. Returns the torn tail, if there is one.
///
/// # Errors
/// [`StoreError::LostVotes`] if a file is shorter than its synced length, or unreadable below it.
pub(crate) fn examine(layout: &Layout, mark: Mark) -> Result<Option<TornTail>, StoreError> {
    let logs = layout.logs()?;
    for (index, (number, path)) in logs.iter().enumerate() {
        let extent = scan(path, |_| {}).map_err(StoreError::io("reading", path))?;
        if extent.whole < synced_length(*number, extent, mark) {
            let found = Found::DamagedLog { file: path.clone(), offset: extent.whole };
            return Err(StoreError::LostVotes { mark: mark.turn, found });
        }
        if extent.whole < extent.length {
            let mut bytes = extent.length - extent.whole;
            for (_, later) in &logs[index + 1..] {
                bytes += fs::metadata(later).map_err(StoreError::io("reading", later))?.len();
            }
            return Ok(Some(TornTail { file: path.clone(), offset: extent.whole, bytes }));
        }
    }
    Ok(None)
}

/// How much of a log file must be readable: all of one older than the mark's, for a synced write
/// syncs the files before it as well; nothing of a newer one.
fn synced_length(number: u64, extent: Extent, mark: Mark) -> u64 {
    match number.cmp(&mark.log) {
        std::cmp::Ordering::Less => extent.length,
        std::cmp::Ordering::Equal => mark.length,
        std::cmp::Ordering::Greater => 0,
    }
}

/// Cuts a torn tail off. Later files go first, so that a crash in between leaves no hole.
pub(crate) fn cut(layout: &Layout, tail: &TornTail) -> Result<(), StoreError> {
    let logs = layout.logs()?;
    for (_, later) in logs.iter().rev().take_while(|(_, path)| *path != tail.file) {
        fs::remove_file(later).map_err(StoreError::io("removing", later))?;
    }
    sync_dir(&layout.log())?;
    truncate(&tail.file, tail.offset).map_err(StoreError::io("cutting", &tail.file))
}

fn truncate(path: &Path, length: u64) -> std::io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}
