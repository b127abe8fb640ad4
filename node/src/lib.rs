//! The replica process: it gives the pure core a disk, a network, clocks and an application.
//!
//! Reading order, which is the way of a message through the process:
//!
//! - [`home`], [`config`], [`peers`]: what is on disk before the first message.
//! - [`process`]: puts the parts together and takes them down again.
//! - [`inbound`]: frames from peers, decoded and verified off the core's thread.
//! - [`shelf`]: large commands, which travel to each replica once.
//! - [`credit`]: what a peer may cost for nothing.
//! - [`proofs`]: signatures that were found good before.
//! - [`desk`]: clients: their commands in, their replies out.
//! - [`core`]: the one thread that the core runs on: inputs, timers, turns.
//! - [`shell`]: the core's [`Io`](varangian_runner::Io): what it asks for goes to the thread that does it.
//! - [`persist`], [`record`]: the storage thread; one synced group commit at a time.
//! - [`evidence`]: proofs of misbehaviour, in a file.
//! - [`fork`]: who made replicas decide differently, by what several disks hold together.
//! - [`execute`]: the execution thread; application, state, replies.
//! - [`repeat`]: replies to what ran before, once more.
//! - [`outbound`]: signing, and reading for peers that are behind.
//! - [`thread`]: what becomes of the process when one of its threads dies.
//! - [`metrics`], [`link_metrics`], [`scrape`], [`event`]: what people and machines see.
//! - [`cli`]: the command line.

pub mod cli;
pub mod config;
pub mod core;
pub mod credit;
pub mod desk;
pub mod event;
pub mod evidence;
pub mod execute;
pub mod fork;
pub mod home;
pub mod inbound;
pub mod link_metrics;
pub mod metrics;
pub mod outbound;
pub mod peers;
pub mod persist;
pub mod process;
pub mod proofs;
pub mod recent;
pub mod record;
pub mod repeat;
pub mod scrape;
pub mod shelf;
pub mod shell;
pub mod thread;
