//! Practical Byzantine fault tolerance (Castro and Liskov, OSDI 1999, with signatures) as a pure state machine.
//!
//! One [`Replica`] takes an [`Input`] and gives [`Effect`]s; it has no clock, no disk, no sockets, no randomness. Beside the paper it
//! has batches, a pipelined window, durable votes, catch-up by commit certificates, and exactly-once clients.
//!
//! Reading order, with the paper's sections:
//!
//! - [`types`]: views, slots, sequences.
//! - [`vote`]: what replicas sign, and certificates (§4.2 to §4.4).
//! - [`command`], [`batch`]: what is agreed on (§4.1).
//! - [`message`]: what travels, and what of it is proved.
//! - [`effect`]: what goes in, what comes out, and in which order it must happen.
//! - [`replica`]: the state and its one door.
//! - `normal`: pre-prepare, prepare, commit, execute (§4.2); `bodies`: the batches that votes name.
//! - `checkpoint`: stable checkpoints and the window (§4.3).
//! - [`order`], `view_change`: what a new view carries over, and how it comes about (§4.4).
//! - `pacing`: time-outs; `reign`: slow and unfair primaries; `exchange`: nothing lost once is lost for good; `recovery`: restarts.
//! - [`client_table`]: exactly-once; [`pool`]: commands that wait, `places`: bounded, `turns`: fairly; [`tally`]: votes by sender; [`evidence`]: proofs of misbehaviour.
//! - [`config`]: the genesis' numbers; `invariants`: what is true after every step.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod batch;
pub mod client_table;
pub mod command;
pub mod config;
pub mod effect;
pub mod evidence;
pub mod message;
pub mod order;
pub mod pool;
pub mod replica;
pub mod tally;
pub mod types;
pub mod vote;
pub mod wire;

mod backlog;
mod bodies;
mod checkpoint;
mod exchange;
mod invariants;
mod normal;
mod pacing;
mod peers;
mod places;
mod recovery;
mod reign;
mod turns;
mod view_change;

pub use batch::{Batch, BatchError, NULL_BATCH};
pub use client_table::{ClientTable, ClientWindow, Outcome, Verdict};
pub use command::{Command, CommandError, Identity};
pub use config::{Admission, Config};
pub use effect::{Alarm, Effect, Executed, Execution, Ignored, Input, NewViewDraft, Record, Timer, Vote};
pub use evidence::{Conflict, Evidence};
pub use message::{Delivery, Encoded, Glance, Message, MessageError, Progress, Status};
pub use recovery::RecoverError;
pub use replica::{Phase, Replica};
pub use types::{Millis, Sequence, Slot, View};
pub use vote::{
    Checkpoint, Commit, CommitCertificate, NewView, PrePrepare, Prepare, PreparedCertificate, StableCheckpoint,
    ViewChange,
};
pub use wire::{Name, Note, Part, Wire};
