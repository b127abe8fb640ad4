//! One test per rule of §4 of the paper (Castro and Liskov, "Practical Byzantine Fault Tolerance", OSDI 1999), by section. Each cites its rule.
//!
//! The rules are tried on production runners in memory (`varangian_sim::cluster`). What a faulty replica would say is signed here with its
//! real key. Numbers: four replicas, `f = 1`, `q = 3`; a checkpoint every 4 slots, a window of 8, 2 slots in the pipeline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod section_4_1_client;
mod section_4_2_normal_case;
mod section_4_3_garbage_collection;
mod section_4_4_view_changes;
mod section_4_5_correctness;
mod support;
