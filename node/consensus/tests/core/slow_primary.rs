//! A backup and its slow, unfair or honest primaries: when it gives them up although no time-out runs out, and when it does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{Lone, World, small};
use std::collections::BTreeMap;
use std::sync::Arc;
use varangian_consensus::message::Status;
use varangian_consensus::{Batch, Message, Phase, Slot, View};
use varangian_crypto::{Bounded, Parameters};

/// Of four replicas; the last to lead.
const BACKUP: u16 = 3;
/// A time-out is 1000 ms, so a window is 125 ms: a wait of this is long.
const LONG: u64 = 300;

struct Court<'a> {
    lone: Lone<'a>,
    slot: u64,
    /// What others say they have executed, where it is not what this one has.
    others: BTreeMap<u16, u64>,
}

impl<'a> Court<'a> {
    fn new(world: &'a World) -> Self {
        Self { lone: Lone::new(world, BACKUP), slot: 0, others: BTreeMap::new() }
    }

    fn view(&self) -> u64 {
        self.lone.replica.view().0
    }

    fn is_given_up(&self) -> bool {
        self.lone.replica.phase() == Phase::Changing
    }

    /// The backup gets a command of this client, which is ordered after `wait`; then nothing for `idle`.
    fn order(&mut self, client: usize, wait: u64, idle: u64) {
        self.order_of(client, 1, wait, idle);
    }

    /// A command of so many operations.
    fn order_of(&mut self, client: usize, operations: usize, wait: u64, idle: u64) {
        self.slot += 1;
        let (world, slot) = (self.lone.world, self.slot);
        self.hear_others(slot - 1);
        let command = world.command_of(client, slot, &vec![&b"x"[..]; operations]);
        let batch = Batch::new(vec![command.clone().into_inner()]).unwrap();
        let _armed = self.lone.client(command);
        self.lone.now += wait;
        self.hear_others(slot - 1);
        let _decided = self.lone.decide(0, self.view(), slot, Some(Arc::new(batch)));
        self.lone.now += idle;
    }

    /// Commands one after the other until the primary is given up, `most` at most: how many that were.
    fn until_given_up(&mut self, most: u64, wait: u64, idle: u64) -> Option<u64> {
        for count in 1..=most {
            self.order(0, wait, idle);
            if self.is_given_up() {
                return Some(count);
            }
        }
        None
    }

    /// The next view begins.
    fn next_view(&mut self) {
        let (world, view) = (self.lone.world, self.view());
        let view_changes = (0..3).map(|signer| world.view_change(signer, view, None, Vec::new())).collect();
        let new_view = world.new_view(view, view_changes);
        self.lone.hear(world.primary(view), Message::NewView(Box::new(new_view))).unwrap();
        assert!(!self.is_given_up());
    }

    /// They are all there.
    fn hear_others(&mut self, executed: u64) {
        for peer in 0..BACKUP {
            let executed = self.others.get(&peer).copied().unwrap_or(executed);
            self.hear_executed(peer, executed);
        }
    }

    fn hear_executed(&mut self, from: u16, slot: u64) {
        let status = Status {
            view: View(self.view()),
            active: true,
            stable: Slot(0),
            executed: Slot(slot),
            slots: Bounded::default(),
            view_changes: Bounded::default(),
        };
        let _answered = self.lone.hear(from, Message::Status(status));
    }
}

#[test]
fn one_who_is_slow_from_the_first_slot_is_given_up_after_sixteen_windows() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    // One command is one window here.
    assert_eq!(court.until_given_up(50, LONG, 0), Some(16));
    assert_eq!(court.view(), 1);
}

#[test]
fn what_is_no_longer_than_an_eighth_of_the_time_out_is_nobodys_fault_at_first() {
    let world = World::new(4);
    assert_eq!(Court::new(&world).until_given_up(100, 120, 0), None);
}

#[test]
fn one_who_was_fast_is_held_to_it() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    assert_eq!(court.until_given_up(400, 5, 0), None);
    let windows = court.until_given_up(200, 60, 0).unwrap() * 60 / 125;
    assert!((16..=28).contains(&windows), "{windows} windows");
}

/// Nothing below a thirty-second of the time-out, whatever is normal.
#[test]
fn tiny_waits_never_count() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    assert_eq!(court.until_given_up(400, 1, 0), None);
    assert_eq!(court.until_given_up(400, 30, 0), None);
}

#[test]
fn falling_load_deposes_nobody() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    assert_eq!(court.until_given_up(400, 20, 0), None);
    assert_eq!(court.until_given_up(100, 20, 80), None);
    assert_eq!(court.until_given_up(50, 20, 5000), None);
}

/// Fewer of them, as each fills a batch: in what they take of batches the primary orders more than ever.
#[test]
fn heavier_commands_depose_nobody() {
    let parameters = Parameters { max_batch_operations: 64, ..small() };
    let world = World::with(4, parameters, 4, None);
    let mut court = Court::new(&world);
    assert_eq!(court.until_given_up(400, 5, 0), None);
    for command in 0..200 {
        court.order_of(0, 64, 60, 0);
        assert!(!court.is_given_up(), "after {command} commands");
    }
    // Then as many as ever would be: what was shown of batches is no excuse.
    let windows = court.until_given_up(400, 60, 0).unwrap() * 60 / 125;
    assert!((16..=28).contains(&windows), "{windows} windows");
}

/// Every third window in debt, the others in full: it cannot be spread so that it does not show.
#[test]
fn who_is_slow_now_and_then_is_given_up_too() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    assert_eq!(court.until_given_up(100, 5, 0), None);
    let mut rounds = 0;
    while !court.is_given_up() {
        rounds += 1;
        assert!(rounds < 150, "it is never given up");
        court.order(0, LONG, 0);
        assert!(court.is_given_up() || court.until_given_up(50, 5, 0).is_none());
    }
    assert!(rounds > 16, "{rounds}");
}

#[test]
fn where_everybody_is_slow_the_second_reign_lasts() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    court.until_given_up(50, LONG, 0).unwrap();
    court.next_view();
    assert_eq!(court.until_given_up(200, LONG, 0), None);
    assert_eq!(court.view(), 1);
}

#[test]
fn after_a_shortfall_the_next_proof_is_twice_as_long() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    court.until_given_up(50, LONG, 0).unwrap();
    court.next_view();
    assert_eq!(court.until_given_up(600, 5, 0), None);
    let windows = court.until_given_up(100, LONG + LONG / 2, 0).unwrap();
    assert!((16..=24).contains(&windows), "{windows} windows");
}

/// Another primary has led, and this one serves as much; but one client waits for as long as may be, while more than fair turns allow are served before it.
#[test]
fn one_who_starves_a_client_is_given_up_however_much_it_orders() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    court.until_given_up(50, LONG, 0).unwrap();
    court.next_view();
    let mut victims = 0;
    while !court.is_given_up() {
        victims += 1;
        assert!(victims < 10, "it is never given up");
        let starved = world.command(1, 1000 + victims);
        court.lone.client(starved.clone()).unwrap();
        assert!(court.until_given_up(360, 5, 0).is_none_or(|_| victims > 1), "too soon");
        if !court.is_given_up() {
            court.slot += 1;
            let batch = Batch::new(vec![starved.into_inner()]).unwrap();
            court.lone.decide(0, court.view(), court.slot, Some(Arc::new(batch))).unwrap();
        }
    }
    assert!(court.lone.now < 20_000);
}

#[test]
fn one_who_is_behind_others_blames_nobody() {
    let world = World::new(4);
    for (peers, given_up) in [(&[0_u16][..], true), (&[0, 2], false)] {
        let mut court = Court::new(&world);
        for _ in 0..40 {
            if court.is_given_up() {
                break;
            }
            for peer in peers {
                court.others.insert(*peer, court.slot + 2);
            }
            court.order(0, LONG, 0);
        }
        assert_eq!(court.is_given_up(), given_up, "{peers:?}");
    }
}

/// Nothing to do is no shortfall, and neither is having stood still.
#[test]
fn idle_times_are_not_judged() {
    let world = World::new(4);
    let mut court = Court::new(&world);
    assert_eq!(court.until_given_up(40, 700, 3000), None);
}
