//! A primary does not order ahead of what it executes: what waits, waits where turns are fair.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{Lone, World, small};
use std::sync::Arc;
use varangian_consensus::{Batch, Effect, Input, Message, Record, Slot};
use varangian_crypto::Parameters;

/// Operations that fill a batch of [`small`].
const FULL: usize = 8;

fn world() -> World {
    World::with(4, Parameters { pipeline_depth: 6, ..small() }, 8, None)
}

struct Primary<'a>(Lone<'a>);

impl<'a> Primary<'a> {
    /// Each of so many clients asks it for a full batch, and it executes when it is told to.
    fn of_full_batches(world: &'a World, clients: usize) -> Self {
        let mut primary = Self(Lone::new(world, 0));
        primary.0.executes = false;
        for client in 0..clients {
            primary.order(client, FULL);
        }
        primary
    }

    fn order(&mut self, client: usize, operations: usize) {
        self.0.client(self.0.world.command_of(client, 1, &vec![&b"x"[..]; operations])).unwrap();
    }

    /// Operations of each batch that it has proposed, in order.
    fn proposed(&self) -> Vec<u64> {
        self.batches().iter().map(|batch| batch.operation_count()).collect()
    }

    fn batches(&self) -> Vec<Arc<Batch>> {
        let batch = |effect: &Effect| match effect {
            Effect::Persist(Record::Batch { batch, .. }) => Some(batch.clone()),
            _ => None,
        };
        self.0.effects.iter().filter_map(batch).collect()
    }

    fn decide(&mut self, slot: u64) {
        let batch = self.batches()[slot as usize - 1].clone();
        self.0.decide(1, 0, slot, Some(batch)).unwrap();
    }

    /// A backup's PREPARE for the first slot.
    fn prepares(&mut self, backup: u16) {
        let digest = *self.batches()[0].digest();
        self.0.hear(backup, Message::Prepare(self.0.world.prepare(backup, 0, 1, digest))).unwrap();
    }

    fn executes(&mut self, slot: u64) {
        self.0.step(Input::Executed { slot: Slot(slot), state: None }).unwrap();
    }
}

#[test]
fn a_full_batch_waits_for_the_execution_of_the_one_before_and_a_small_one_does_not() {
    let world = world();
    let mut primary = Primary::of_full_batches(&world, 3);
    assert_eq!(primary.proposed(), [8]);
    // That it is ordered is not enough.
    primary.decide(1);
    assert_eq!(primary.proposed(), [8]);
    // Of those who wait, whoever asks for little is first.
    primary.order(3, 1);
    assert_eq!(primary.proposed(), [8, 1]);
    // But who was passed over once is next, whoever comes.
    primary.order(4, 1);
    assert_eq!(primary.proposed(), [8, 1]);
    primary.executes(1);
    assert_eq!(primary.proposed(), [8, 1, 8, 1]);
}

/// What backups watch is due within `T`: no execution, however long, holds ordering up for longer than a part of it.
#[test]
fn a_full_batch_waits_for_a_sixteenth_of_the_time_out_at_most() {
    let world = world();
    let mut primary = Primary::of_full_batches(&world, 3);
    primary.0.now += small().base_timeout_ms / 16 - 1;
    primary.prepares(1);
    assert_eq!(primary.proposed(), [8]);
    primary.0.now += 1;
    primary.prepares(2);
    assert_eq!(primary.proposed(), [8, 8]);
}

/// Where agreement takes as long as several executions, as many batches are on their way as are executed meanwhile.
#[test]
fn agreement_that_takes_long_is_no_reason_to_be_idle() {
    let world = world();
    let mut primary = Primary::of_full_batches(&world, 6);
    // Agreement takes 40 ms, and execution 20 ms.
    primary.0.now += 40;
    primary.decide(1);
    assert_eq!(primary.proposed(), [8]);
    primary.0.now += 20;
    primary.executes(1);
    assert_eq!(primary.proposed(), [8; 4]);
}
