//! Reads RocksDB's write-ahead log record by record, without RocksDB.
//!
//! RocksDB's recovery drops a bad end of *any* log file silently, and takes a flipped length near
//! the end for a bad end. This reader says where the readable part of a file ends, so that `recovery`
//! can hold that against the high-water mark before RocksDB touches anything.
//!
//! A log is a row of 32 KiB blocks. A block holds fragments, `crc u32 | length u16 | type u8 | bytes`
//! (little-endian, CRC-32C over type and bytes, masked); fewer than seven bytes at its end are padding. A
//! record is one whole fragment, or a first one, middle ones and a last one.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::checksum::{crc32c, masked};

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;

const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// How much of a log file can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The end of the last record before the first that is torn or damaged, in bytes.
    pub(crate) whole: u64,
    /// The length of the file, in bytes.
    pub(crate) length: u64,
}

/// Reads a log file, and calls `on_record` with the offset of each whole record's end.
pub(crate) fn scan(path: &Path, mut on_record: impl FnMut(u64)) -> io::Result<Extent> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut block = Vec::with_capacity(BLOCK);
    let (mut start, mut whole, mut fragmented) = (0, 0, false);
    loop {
        block.clear();
        let read = Read::by_ref(&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
        let mut at = 0;
        while block.len() - at >= HEADER {
            let Some((kind, end)) = fragment(&block, at) else { return Ok(Extent { whole, length }) };
            if matches!(kind, MIDDLE | LAST) != fragmented {
                return Ok(Extent { whole, length });
            }
            fragmented = matches!(kind, FIRST | MIDDLE);
            at = end;
            if !fragmented {
                whole = start + at as u64;
                on_record(whole);
            }
        }
        start += read as u64;
        if read < BLOCK {
            return Ok(Extent { whole, length });
        }
    }
}

/// The type and the end of the fragment at `at`, if it is whole and its checksum holds. Zeroes, which
/// a file system may leave at the end of a file after a power loss, are no fragment.
fn fragment(block: &[u8], at: usize) -> Option<(u8, usize)> {
    let header = block.get(at..at + HEADER)?;
    let crc = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let end = at + HEADER + usize::from(u16::from_le_bytes([header[4], header[5]]));
    let kind = header[6];
    let covered = block.get(at + HEADER - 1..end)?;
    (kind != 0 && masked(crc32c(covered)) == crc).then_some((kind, end))
}
