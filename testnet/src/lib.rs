//! A whole network on one machine, with malicious peers in it, that says by itself whether safety and liveness held.
//!
//! - [`layout`]: what a network looks like on disk: genesis, keys, homes.
//! - [`testnet`]: its processes: start, kill, pause, restart, stop.
//! - [`links`]: what lies between the replicas, if not the bare loopback.
//! - [`replica`]: one replica that misbehaves on purpose.
//! - [`menace`]: malicious clients, and whoever floods the wire without a key.
//! - [`journal`], [`load`]: concurrent signed clients, and what they write down.
//! - [`judge`]: the verdict, from outside: by the replicas' stores and the clients' journals.
//! - [`scenario`]: a network, attacks, faults, a load and what must hold, in one file; [`power`]: what a disk may hold after power loss; [`damage`]: disks
//!   that are not what they were.
//! - [`timeline`], [`report`]: what was seen over time, and what is left of a run for whoever was not there.
//! - [`demo`]: the main show; [`bench`], [`robustness`]: figures; [`memory`]: what processes take of it.
//! - [`up`], [`control`]: a network that stays up, and what can be done to it meanwhile.
//! - [`cli`]: the command line.

pub mod bench;
pub mod catalogue;
pub mod cli;
pub mod control;
pub mod damage;
pub mod demo;
pub mod journal;
pub mod judge;
pub mod layout;
pub mod links;
pub mod load;
pub mod memory;
pub mod menace;
pub mod power;
pub mod programs;
pub mod replica;
pub mod report;
pub mod robustness;
pub mod said;
pub mod scenario;
pub mod signals;
pub mod testnet;
pub mod timeline;
pub mod up;
