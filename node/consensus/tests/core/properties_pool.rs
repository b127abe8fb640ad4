//! The pool against a model that counts everything anew each time, and its fairness.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::properties_support::{Lone, World, small};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use varangian_consensus::pool::{Pool, Role, Source};
use varangian_consensus::{Batch, Command, Config, Identity, Ignored, Message};
use varangian_crypto::{Parameters, ReplicaId, Verify};

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(4));
/// Commands of different sizes, signed once: by client and sequence.
static COMMANDS: LazyLock<Vec<Vec<Command>>> = LazyLock::new(|| {
    let one = |client: usize, sequence: u64| {
        let size = (sequence * 97 + client as u64 * 31) % 900;
        let body = vec![7; size as usize];
        let operations: Vec<&[u8]> = vec![&body; 1 + (sequence % 2) as usize];
        WORLD.command_of(client, sequence, &operations).into_inner()
    };
    (0..4).map(|client| (1..=12).map(|sequence| one(client, sequence)).collect()).collect()
});

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Waiting,
    Armed(u64),
    Ready,
    Proposed,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Insert { client: usize, sequence: usize, source: u16 },
    Remove { client: usize, sequence: usize },
    RemoveOld { client: usize, floor: u64 },
    Propose { client: usize, sequence: usize },
    Restart(bool),
    Arm,
    Extend,
    Take,
}

fn event() -> impl Strategy<Value = Event> {
    let which = (0..4_usize, 0..12_usize);
    prop_oneof![
        8 => (which.clone(), 0..5_u16).prop_map(|((client, sequence), source)| Event::Insert { client, sequence, source }),
        3 => which.clone().prop_map(|(client, sequence)| Event::Remove { client, sequence }),
        1 => (0..4_usize, 0..13_u64).prop_map(|(client, floor)| Event::RemoveOld { client, floor }),
        1 => which.prop_map(|(client, sequence)| Event::Propose { client, sequence }),
        1 => any::<bool>().prop_map(Event::Restart),
        3 => Just(Event::Arm),
        1 => Just(Event::Extend),
        2 => Just(Event::Take),
    ]
}

const fn source(number: u16) -> Source {
    if number == 0 { Source::Client } else { Source::Backup(ReplicaId(number - 1)) }
}

#[derive(Default)]
struct Model {
    held: BTreeMap<Identity, (Command, Source, Stage)>,
    primary: bool,
    now: u64,
}

impl Model {
    fn bytes(&self, wanted: impl Fn(&Stage) -> bool) -> usize {
        self.held.values().filter(|(_, _, stage)| wanted(stage)).map(|(command, ..)| command.encoded().len()).sum()
    }

    fn count(&self, wanted: impl Fn(&Stage) -> bool) -> usize {
        self.held.values().filter(|(_, _, stage)| wanted(stage)).count()
    }

    fn insert(&mut self, command: &Command, source: Source, config: &Config) -> Result<(), Ignored> {
        let identity = command.identity();
        if self.held.contains_key(&identity) {
            return Err(Ignored::Duplicate);
        }
        let same = |client: &Identity, other: Source| match source {
            Source::Client => other == source && client.client == identity.client,
            Source::Backup(_) => other == source,
        };
        let share = self.held.iter().filter(|(client, (_, other, _))| same(client, *other)).count();
        let limit = if source == Source::Client { config.pool_commands } else { config.armed };
        let clients = self.held.values().filter(|(_, source, _)| *source == Source::Client);
        let bytes: usize = clients.map(|(command, ..)| command.encoded().len()).sum();
        let crowded = source == Source::Client && bytes + command.encoded().len() > config.pool_bytes;
        if share >= limit || (crowded && share > 0) {
            return Err(Ignored::Busy);
        }
        let stage = if self.primary { Stage::Ready } else { Stage::Waiting };
        self.held.insert(identity, (command.clone(), source, stage));
        Ok(())
    }

    fn stage(&mut self, identity: &Identity, stage: Stage) {
        self.held.get_mut(identity).unwrap().2 = stage;
    }
}

/// Every count of the pool, by asking with limits that are just reached and just not.
fn check(pool: &Pool, model: &Model, config: &Config) {
    assert_eq!((pool.len(), pool.is_empty()), (model.held.len(), model.held.is_empty()));
    assert_eq!(pool.bytes(), model.bytes(|_| true));
    let armed = |stage: &Stage| matches!(stage, Stage::Armed(_));
    assert_eq!(pool.armed(), model.count(armed));
    assert!(pool.armed() <= config.armed, "more armed than A");
    let deadlines = model.held.iter().filter_map(|(identity, (.., stage))| match stage {
        Stage::Armed(deadline) => Some((*deadline, *identity)),
        _ => None,
    });
    assert_eq!(pool.earliest(), deadlines.min());
    let ready = |stage: &Stage| *stage == Stage::Ready;
    assert_eq!(pool.has_ready(), model.count(ready) > 0);
    let operations: u64 = model
        .held
        .values()
        .filter(|(.., stage)| ready(stage))
        .map(|(command, ..)| u64::from(command.operation_count()))
        .sum();
    let fills = |batch_bytes: usize, batch_operations: u64| {
        pool.fills_a_batch(&Config { batch_bytes, batch_operations, ..config.clone() })
    };
    let bytes = model.bytes(ready);
    assert!(fills(bytes, u64::MAX) && !fills(bytes + 1, u64::MAX), "bytes that are ready");
    assert!(fills(usize::MAX, operations) && !fills(usize::MAX, operations + 1), "operations that are ready");
    assert!(pool.bytes() <= config.pool_bytes + 8 * config.batch_bytes, "bytes beyond every share");
}

fn run(pool: &mut Pool, model: &mut Model, event: Event, config: &Config) {
    let role = if model.primary { Role::Primary } else { Role::Backup };
    match event {
        Event::Insert { client, sequence, source: number } => {
            let command = &COMMANDS[client][sequence];
            let outcome = pool.insert(command.clone(), source(number), role, config);
            assert_eq!(outcome, model.insert(command, source(number), config));
        }
        Event::Remove { client, sequence } => {
            let identity = COMMANDS[client][sequence].identity();
            pool.remove(&identity);
            model.held.remove(&identity);
        }
        Event::RemoveOld { client, floor } => {
            let key = COMMANDS[client][0].client();
            pool.remove_old(key, floor);
            model.held.retain(|identity, _| identity.client != key || identity.sequence > floor);
        }
        Event::Propose { client, sequence } => {
            let identity = COMMANDS[client][sequence].identity();
            pool.mark_proposed(&identity);
            if model.held.get(&identity).is_some_and(|(.., stage)| *stage == Stage::Ready) {
                model.stage(&identity, Stage::Proposed);
            }
        }
        Event::Restart(primary) => {
            model.primary = primary;
            pool.restart(if primary { Role::Primary } else { Role::Backup });
            for (.., stage) in model.held.values_mut() {
                *stage = if primary { Stage::Ready } else { Stage::Waiting };
            }
        }
        Event::Arm => {
            model.now += 1;
            let may = model.count(|stage| matches!(stage, Stage::Armed(_))) < config.armed
                && model.count(|stage| *stage == Stage::Waiting) > 0;
            let armed = pool.arm(model.now, config);
            assert_eq!(armed.is_some(), may);
            if let Some(command) = armed {
                let identity = command.identity();
                assert_eq!(model.held[&identity].2, Stage::Waiting);
                assert!(pool.is_armed(&(model.now, identity)));
                // Each client's lowest first.
                let lowest = model
                    .held
                    .iter()
                    .find(|(other, (.., stage))| other.client == identity.client && *stage == Stage::Waiting);
                assert_eq!(lowest.map(|(other, _)| *other), Some(identity));
                let now = model.now;
                model.stage(&identity, Stage::Armed(now));
            }
        }
        Event::Extend => {
            model.now += 100;
            let now = model.now;
            pool.extend(now);
            for (.., stage) in model.held.values_mut().filter(|(.., stage)| matches!(stage, Stage::Armed(_))) {
                *stage = Stage::Armed(now);
            }
        }
        Event::Take => {
            let taken = pool.take_batch(config);
            assert_eq!(taken.is_empty(), model.count(|stage| *stage == Stage::Ready) == 0);
            for command in &taken {
                assert_eq!(model.held[&command.identity()].2, Stage::Ready);
                model.stage(&command.identity(), Stage::Proposed);
            }
            if let Some(batch) = Batch::new(taken) {
                batch.check(&WORLD.committee).expect("every batch that a pool gives is valid");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_equals_the_model(events in prop::collection::vec(event(), 1..150)) {
        let config = Config { pool_bytes: 6000, ..WORLD.config(1) };
        let (mut pool, mut model) = (Pool::default(), Model::default());
        for event in events {
            run(&mut pool, &mut model, event, &config);
            check(&pool, &model, &config);
        }
        // Out of whatever stage, nothing of anything is left behind.
        for identity in model.held.keys().copied().collect::<Vec<_>>() {
            pool.remove(&identity);
            model.held.remove(&identity);
            check(&pool, &model, &config);
        }
        for (client, commands) in COMMANDS.iter().enumerate() {
            let outcome = pool.insert(commands[0].clone(), Source::Client, Role::Backup, &config);
            prop_assert_eq!(outcome, Ok(()), "client {}'s share is free again", client);
        }
    }

    /// Sources in turn, and each source's clients in turn, by what their commands take of a batch: of any two with something left, neither gets more than
    /// one command ahead of the other, however large.
    #[test]
    fn a_primary_serves_sources_and_clients_in_turn(counts in prop::collection::vec(0..6_usize, 16)) {
        let config = Config { pool_commands: 64, armed: 64, batch_operations: 3, pool_bytes: 1 << 20, ..WORLD.config(0) };
        let cost = |command: &Command| config.share_of_batch(command.encoded().len(), command.operation_count().into());
        let largest = COMMANDS.iter().flatten().map(cost).max().unwrap();
        let mut pool = Pool::default();
        let mut left: BTreeMap<Source, BTreeMap<usize, usize>> = BTreeMap::new();
        let mut origin = BTreeMap::new();
        for (place, count) in counts.iter().enumerate() {
            let (client, number) = (place % 4, (place / 4) as u16);
            for _ in 0..*count {
                // Each identity comes by one source only.
                let Some(command) = COMMANDS[client].iter().find(|command| !origin.contains_key(&command.identity())) else { continue };
                pool.insert(command.clone(), source(number), Role::Primary, &config).unwrap();
                origin.insert(command.identity(), (source(number), client));
                *left.entry(source(number)).or_default().entry(client).or_default() += 1;
            }
        }
        let mut served: BTreeMap<Source, BTreeMap<usize, u64>> = BTreeMap::new();
        while pool.has_ready() {
            for command in pool.take_batch(&config) {
                let (from, client) = origin[&command.identity()];
                *served.entry(from).or_default().entry(client).or_default() += cost(&command);
                *left.get_mut(&from).unwrap().get_mut(&client).unwrap() -= 1;
                let total = |source: &Source| served.get(source).map_or(0, |clients| clients.values().sum::<u64>());
                let waiting: Vec<_> = left.iter().filter(|(_, clients)| clients.values().any(|count| *count > 0)).map(|(source, _)| source).collect();
                for one in &waiting {
                    for other in &waiting {
                        prop_assert!(total(one) <= total(other) + largest, "{:?} before {:?}", one, other);
                    }
                }
                let of = |client: &usize| served.get(&from).and_then(|clients| clients.get(client)).copied().unwrap_or(0);
                let clients: Vec<_> = left[&from].iter().filter(|(_, count)| **count > 0).map(|(client, _)| client).collect();
                for one in &clients {
                    for other in &clients {
                        prop_assert!(of(one) <= of(other) + largest, "client {} before {}", one, other);
                    }
                }
            }
        }
        prop_assert!(left.values().all(|clients| clients.values().all(|count| *count == 0)));
    }

    /// The same for what a backup arms.
    #[test]
    fn a_backup_arms_clients_in_turn(counts in prop::collection::vec(0..8_usize, 4)) {
        let config = Config { pool_commands: 64, armed: 1000, pool_bytes: 1 << 20, ..WORLD.config(1) };
        let mut pool = Pool::default();
        for (client, count) in counts.iter().enumerate() {
            for command in &COMMANDS[client][..*count] {
                pool.insert(command.clone(), Source::Client, Role::Backup, &config).unwrap();
            }
        }
        let mut served = [0_usize; 4];
        while let Some(command) = pool.arm(1, &config) {
            let client = COMMANDS.iter().position(|commands| commands[0].client() == command.client()).unwrap();
            served[client] += 1;
            for one in 0..4 {
                for other in 0..4 {
                    prop_assert!(served[other] >= counts[other] || served[one] <= served[other] + 1);
                }
            }
        }
        prop_assert_eq!(served.to_vec(), counts);
    }
}

/// A flood of one client, or one backup, takes nobody else's place, and is told so.
#[test]
fn a_flood_takes_nobody_elses_place() {
    let config = WORLD.config(0);
    let mut pool = Pool::default();
    let busy = COMMANDS[0].iter().map(|command| pool.insert(command.clone(), Source::Client, Role::Primary, &config));
    let busy = busy.filter(|outcome| *outcome == Err(Ignored::Busy)).count();
    assert_eq!(busy, COMMANDS[0].len() - config.pool_commands);
    for client in 1..4 {
        pool.insert(COMMANDS[client][0].clone(), Source::Client, Role::Primary, &config).unwrap();
    }
    for number in 1..4 {
        pool.insert(COMMANDS[number][1].clone(), Source::Backup(ReplicaId(number as u16)), Role::Primary, &config)
            .unwrap();
    }
}

/// When all bytes are used each client and backup may still have one command there.
#[test]
fn everybody_has_one_place_in_a_crowded_pool() {
    let world = World::with(4, Parameters { pool_bytes: 1 << 13, ..small() }, 4, None);
    let config = world.config(0);
    let mut pool = Pool::default();
    let body = vec![7; 1800];
    for sequence in 1..=4 {
        let command = world.command_of(0, sequence, &[&body]).into_inner();
        pool.insert(command, Source::Client, Role::Primary, &config).unwrap();
    }
    for client in 1..4 {
        let one = world.command_of(client, 1, &[&body]).into_inner();
        pool.insert(one, Source::Client, Role::Primary, &config).unwrap();
        let two = world.command_of(client, 2, &[&body]).into_inner();
        assert_eq!(pool.insert(two, Source::Client, Role::Primary, &config), Err(Ignored::Busy));
    }
    assert!(pool.bytes() > config.pool_bytes);
}

/// protocol.md: "the primary keeps `A` places per backup", whatever clients have filled: or load alone deposes an honest primary.
#[test]
fn a_crowded_primary_keeps_a_places_per_backup() {
    let parameters = Parameters { pool_bytes: 1 << 13, ..small() };
    let world = World::with(4, parameters, 4, None);
    let mut primary = Lone::new(&world, 0);
    let body = vec![7; 1800];
    for client in 0..3 {
        for sequence in 1..=4 {
            // Busy, at the end.
            primary.client(world.command_of(client, sequence, &[&body])).ok();
        }
    }
    assert!(primary.replica.pool().bytes() > 1 << 12);
    for sequence in 1..=world.config(0).armed as u64 {
        let command = world.command_of(3, sequence, &[&body]).into_inner();
        assert_eq!(primary.hear(2, Message::Command(command)), Ok(()), "place {sequence} of the backup");
    }
}

/// An honest client's one command among those of a client that fills its share, each of whole batches: it is in the next batch, or in the one after.
#[test]
fn a_flooding_client_holds_another_up_for_one_batch_at_most() {
    let config = Config { batch_operations: 8, pool_commands: 16, pool_bytes: 1 << 20, ..WORLD.config(0) };
    for (operations, served_before) in [(1, 0), (1, 5), (3, 2), (8, 0), (8, 3)] {
        for honest in [0, 1] {
            let mut pool = Pool::default();
            let flood = |sequence: u64| {
                let operations: Vec<&[u8]> = vec![b"x"; operations];
                WORLD.command_of(1 - honest, sequence, &operations).into_inner()
            };
            for sequence in 1..=16 {
                pool.insert(flood(sequence), Source::Client, Role::Primary, &config).unwrap();
            }
            assert_eq!(pool.insert(flood(17), Source::Client, Role::Primary, &config), Err(Ignored::Busy));
            for _ in 0..served_before {
                pool.take_batch(&Config { batch_operations: operations as u64, ..config.clone() });
            }
            let single = WORLD.command_of(honest, 1, &[b"y"]).into_inner();
            pool.insert(single.clone(), Source::Client, Role::Primary, &config).unwrap();
            let batches = [pool.take_batch(&config), pool.take_batch(&config)];
            assert!(
                batches.iter().any(|batch| batch.contains(&single)),
                "{operations} operations, {served_before} served"
            );
        }
    }
}

/// A client whose commands are 8 operations each gets no more operations than one with single ones, whether its commands wait together or one by one.
#[test]
fn large_commands_buy_no_larger_share() {
    let config = Config { batch_operations: 8, pool_commands: 64, pool_bytes: 1 << 20, ..WORLD.config(0) };
    for one_by_one in [false, true] {
        let mut pool = Pool::default();
        let large = |sequence: u64| WORLD.command_of(0, sequence, &[&b"x"[..]; 8]).into_inner();
        for sequence in 1..=48 {
            let single = WORLD.command_of(1, sequence, &[b"y"]).into_inner();
            pool.insert(single, Source::Client, Role::Primary, &config).unwrap();
        }
        let (mut next, mut shares) = (1, [0_u32; 2]);
        for _ in 0..8 {
            for _ in 0..if one_by_one { 1 } else { 4 } {
                if pool
                    .insert(
                        large(next),
                        Source::Client,
                        Role::Primary,
                        &Config { pool_commands: if one_by_one { 1 } else { 64 }, ..config.clone() },
                    )
                    .is_ok()
                {
                    next += 1;
                }
            }
            for command in pool.take_batch(&config) {
                let client = usize::from(command.client() != WORLD.clients[0].client_key());
                shares[client] += command.operation_count();
                pool.remove(&command.identity());
            }
        }
        assert!(shares[0] <= shares[1] + 8 && shares[1] <= shares[0] + 16, "{shares:?}, one by one: {one_by_one}");
    }
}
