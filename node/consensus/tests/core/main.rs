//! The core by itself and in memory: properties, schedules, transcripts, bounds, formats. The rules of the paper are `paper`'s.
//!
//! One program, because each would link all of it again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backlog;
mod bounds;
mod catching_up;
mod dependencies;
mod formats;
mod order_oracle;
mod properties_clients;
mod properties_codec;
mod properties_failed_step;
mod properties_pool;
mod properties_recovery;
mod properties_support;
mod properties_tally;
mod schedules;
mod schedules_bugs;
mod schedules_campaign;
mod schedules_loss;
mod schedules_power;
mod schedules_single;
mod slow_primary;
mod transcripts;
