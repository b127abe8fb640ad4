//! A replica's disk: one RocksDB and one high-water mark of votes. Bytes in, bytes out.
//!
//! The crate knows keys, slots and digests, and nothing of the protocol. It makes three promises:
//!
//! 1. When [`Store::commit`] returns `Ok`, every record of the turn is on disk, synced, and so is
//!    the mark that says so. (protocol.md, "What is durable before what is sent")
//! 2. [`Store::execute`] changes application state, client table and last executed slot in one
//!    atomic write, in slot order. A crash leaves an exact prefix of what was written.
//! 3. A store that lost a record at or below the mark does not open. A store that is refused is left as
//!    it was found, so that files that were moved away can be put back. (protocol.md, "Recovery")
//!
//! Every write that fails is final: the store remembers the first failure and refuses all later
//! writes with it. A sync that failed is never tried again, because the kernel may have dropped the
//! pages that it could not write.
//!
//! # On disk
//!
//! ```text
//! <dir>/identity     whose store this is: format, chain id, replica; text, checksummed
//! <dir>/lock         held while a process has the store open
//! <dir>/votes.mark   the high-water mark of votes (see `mark`)
//! <dir>/log/         RocksDB's write-ahead log, apart from the tables so that it can be examined
//! <dir>/db/          RocksDB's tables, manifest and information log
//! ```
//!
//! # Reading order
//!
//! - `error`: what can go wrong, and what to do about it
//! - `identity`: the marker that says whose store a directory is
//! - `layout`: the names of files, and how a file is made durable
//! - `checksum`: CRC-32C, as RocksDB's log and the mark use it
//! - `mark`: the high-water mark of votes
//! - `log`: reads the write-ahead log record by record, without RocksDB
//! - `recovery`: decides before the database opens what is a torn tail and what is a lost vote
//! - `keys`: column families, keys and the values that the store itself keeps
//! - `tuning`: RocksDB's options, each with its reason
//! - `commit`: turns; the only place that syncs
//! - `store`: creating, opening, and the state that a store holds in memory
//! - `execution`: what a slot's execution changes
//! - `history`: committed slots for those who are behind, and pruning
//! - `view`: consistent reads
//! - `verify`: reads everything and reports
//! - `stats`: counters

mod checksum;
mod commit;
mod error;
mod execution;
mod history;
mod identity;
mod keys;
mod layout;
mod log;
mod mark;
mod recovery;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod tuning;
mod verify;
mod view;

pub use commit::{Commit, Prune};
pub use error::{Found, StoreError};
pub use execution::{Body, Execution};
pub use history::{Committed, Pruned};
pub use identity::Identity;
pub use keys::{Key, Table};
pub use mark::Synced;
pub use recovery::TornTail;
pub use stats::Stats;
pub use store::{Opened, Store, TableFile};
pub use tuning::Options;
pub use verify::{Report, TableReport};
pub use view::{Limit, View};
