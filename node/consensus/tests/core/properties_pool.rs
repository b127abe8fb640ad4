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

fn cost(command: &Command, config: &Config) -> u64 {
    config.share_of_batch(command.encoded().len(), command.operation_count().into())
}

fn has_room((count, sum): (usize, u64), command: &Command, config: &Config) -> bool {
    count == 0 || (count < config.armed && sum + cost(command, config) <= 1 << 20)
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

    /// Of how many commands a backup waits for the order, and what these take of a batch.
    fn dues(&self, config: &Config, wanted: impl Fn(Source, Stage) -> bool) -> (usize, u64) {
        let wanted = self.held.values().filter(|(_, source, stage)| wanted(*source, *stage));
        wanted.fold((0, 0), |(count, sum), (command, ..)| (count + 1, sum + cost(command, config)))
    }

    fn insert(&mut self, command: &Command, source: Source, config: &Config) -> Result<(), Ignored> {
        let identity = command.identity();
        if let Some((_, held, stage)) = self.held.get(&identity) {
            let is_open = matches!(stage, Stage::Waiting | Stage::Ready);
            if source == Source::Client || *held != Source::Client || !is_open {
                return Err(Ignored::Duplicate);
            }
        }
        let clients = self.held.iter().filter(|(_, (_, source, _))| *source == Source::Client);
        let room: usize = clients.clone().map(|(_, (command, ..))| command.encoded().len() + 512).sum();
        let share = clients.filter(|(other, _)| other.client == identity.client).count();
        let crowded = room + command.encoded().len() + 512 > config.pool_bytes;
        let dues = self.dues(config, |other, stage| other == source && stage != Stage::Proposed);
        let busy = match source {
            Source::Client => share >= config.pool_commands || (crowded && share > 0),
            Source::Backup(_) => !has_room(dues, command, config),
        };
        if busy {
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
    let (count, sum) = model.dues(config, |_, stage| matches!(stage, Stage::Armed(_)));
    assert!(count <= 1 || sum <= 1 << 20, "more armed than a batch holds");
    let deadlines = model.held.iter().filter_map(|(identity, (.., stage))| match stage {
        Stage::Armed(deadline) => Some((*deadline, *identity)),
        _ => None,
    });
    assert_eq!(pool.earliest(), deadlines.min());
    let ready = |stage: &Stage| *stage == Stage::Ready;
    assert_eq!(pool.next_cost().is_some(), model.count(ready) > 0);
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
            // What was handed to this replica is for it to propose, or nothing.
            model.held.retain(|_, (_, source, _)| primary || *source == Source::Client);
            for (.., stage) in model.held.values_mut() {
                *stage = if primary { Stage::Ready } else { Stage::Waiting };
            }
        }
        Event::Arm => {
            model.now += 1;
            let dues = model.dues(config, |_, stage| matches!(stage, Stage::Armed(_)));
            let waiting: Vec<_> = model
                .held
                .values()
                .filter(|(.., stage)| *stage == Stage::Waiting)
                .map(|(command, ..)| command)
                .collect();
            let armed = pool.arm(model.now, config);
            let (any, all) = (
                waiting.iter().any(|command| has_room(dues, command, config)),
                waiting.iter().all(|command| has_room(dues, command, config)),
            );
            assert!(armed.as_ref().is_none_or(|command| has_room(dues, command, config)));
            assert!(if armed.is_some() { any } else { !all || waiting.is_empty() });
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

    /// Sources in turn, and clients of its own in turn, by what their commands take of a batch: of any two with something left, neither gets more than
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
                // Each identity comes by one source only, and each backup has room for one batch.
                let Some(command) = COMMANDS[client].iter().find(|command| !origin.contains_key(&command.identity())) else { continue };
                if pool.insert(command.clone(), source(number), Role::Primary, &config).is_err() {
                    continue;
                }
                origin.insert(command.identity(), (source(number), client));
                *left.entry(source(number)).or_default().entry(client).or_default() += 1;
            }
        }
        let mut served: BTreeMap<Source, BTreeMap<usize, u64>> = BTreeMap::new();
        while pool.next_cost().is_some() {
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
                // What a backup hands on has been through its turns there.
                if from != Source::Client {
                    continue;
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

    /// The same for what a backup arms: places, and room in a batch, whichever they take more of.
    #[test]
    fn a_backup_arms_clients_in_turn(counts in prop::collection::vec(0..8_usize, 4)) {
        let config = Config { pool_commands: 64, pool_bytes: 1 << 20, ..WORLD.config(1) };
        let cost = |command: &Command| cost(command, &config).max((1 << 20) / config.armed as u64);
        let largest = COMMANDS.iter().flatten().map(cost).max().unwrap();
        let mut pool = Pool::default();
        for (client, count) in counts.iter().enumerate() {
            for command in &COMMANDS[client][..*count] {
                pool.insert(command.clone(), Source::Client, Role::Backup, &config).unwrap();
            }
        }
        let (mut served, mut left) = ([0_u64; 4], counts);
        while let Some(command) = pool.arm(1, &config) {
            pool.remove(&command.identity());
            let client = COMMANDS.iter().position(|commands| commands[0].client() == command.client()).unwrap();
            served[client] += cost(&command);
            left[client] -= 1;
            for one in 0..4 {
                for other in 0..4 {
                    prop_assert!(left[other] == 0 || served[one] <= served[other] + largest);
                }
            }
        }
        prop_assert_eq!(left, [0; 4]);
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
    for sequence in 1..=3 {
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

/// A backup has places for what one batch holds, but it hands on more as soon as that is ordered: none of it passes what it handed on before. Otherwise clients that
/// ask a backup for little, again and again, would keep a command that it watches from its turn, and depose an honest primary.
#[test]
fn nothing_passes_what_a_backup_has_handed_on() {
    let config = Config { batch_operations: 8, pool_commands: 64, armed: 64, pool_bytes: 1 << 20, ..WORLD.config(0) };
    let backup = Source::Backup(ReplicaId(2));
    // Also not a lower number of the same client.
    for others in [&[1, 2][..], &[0]] {
        let mut pool = Pool::default();
        let watched = WORLD.command_of(0, 100, &[&b"x"[..]; 4]).into_inner();
        pool.insert(watched.clone(), backup, Role::Primary, &config).unwrap();
        let mut orders = 0;
        loop {
            for number in 0..4 {
                let (client, sequence) = (others[number % others.len()], 1 + 4 * orders + number as u64);
                let light = WORLD.command_of(client, sequence, &[b"y"]).into_inner();
                pool.insert(light, backup, Role::Primary, &config).unwrap();
            }
            for sequence in 0..8 {
                let own = WORLD.command_of(3, 1 + 8 * orders + sequence, &[b"z"]).into_inner();
                pool.insert(own, Source::Client, Role::Primary, &config).unwrap();
            }
            orders += 1;
            if pool.take_batch(&config).contains(&watched) {
                break;
            }
            assert!(orders < 2, "still waiting");
        }
    }
}

/// Whoever asks for little does not wait for those who ask for whole batches, however many they are; and these have every second batch.
#[test]
fn small_commands_pass_heavy_ones_once() {
    let config = Config { batch_operations: 8, pool_bytes: 1 << 20, ..WORLD.config(0) };
    // Clients have just been served when the backup's turn comes.
    for (source, turns) in [(Source::Client, [1, 8, 2, 8]), (Source::Backup(ReplicaId(2)), [8, 2, 8, 2])] {
        let mut pool = Pool::default();
        for client in 0..3 {
            let heavy = WORLD.command_of(client, 1, &[&b"x"[..]; 8]).into_inner();
            pool.insert(heavy, if client == 0 { source } else { Source::Client }, Role::Primary, &config).unwrap();
        }
        assert_eq!(pool.take_batch(&config).len(), 1);
        for sequence in 1..=4 {
            let light = WORLD.command_of(3, sequence, &[b"y"]).into_inner();
            pool.insert(light, Source::Client, Role::Primary, &config).unwrap();
            let operations: u32 = pool.take_batch(&config).iter().map(Command::operation_count).sum();
            assert_eq!(operations, turns[sequence as usize - 1], "{source:?}, {sequence}");
        }
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

/// The commands that this replica hands to r0, since a mark.
fn handed_on(lone: &Lone<'_>, mark: usize) -> Vec<Identity> {
    let sent = lone.sent_to(mark).filter(|(to, _)| *to == ReplicaId(0));
    sent.filter_map(
        |(_, message)| if let Message::Command(command) = message { Some(command.identity()) } else { None },
    )
    .collect()
}

/// Or a few clients make more than a primary can order in a time-out due at once, and honest ones are deposed for it.
#[test]
fn what_a_backup_arms_fits_one_batch() {
    let mut backup = Lone::new(&WORLD, 1);
    for (operations, at_once) in [(8, 1), (4, 2), (5, 1), (1, 4)] {
        let base = backup.executed.slot.0;
        let commands: Vec<_> =
            (1..=4).map(|sequence| WORLD.command_of(0, base + sequence, &vec![&b"x"[..]; operations])).collect();
        let mark = backup.effects.len();
        for command in &commands {
            backup.client(command.clone()).unwrap();
        }
        assert_eq!(handed_on(&backup, mark).len(), at_once, "commands of {operations} operations");
        for (slot, command) in (base + 1..).zip(&commands) {
            let batch = Batch::new(vec![command.clone().into_inner()]).unwrap();
            backup.decide(0, 0, slot, Some(std::sync::Arc::new(batch))).unwrap();
        }
        assert_eq!(handed_on(&backup, mark).len(), commands.len(), "each has its turn");
    }
}

/// A command that fills a batch never fits behind another; the next batch is its own, however many small ones come.
#[test]
fn small_commands_keep_no_large_one_waiting() {
    let config = Config { batch_operations: 8, pool_commands: 64, pool_bytes: 1 << 20, ..WORLD.config(0) };
    // Large ones by a backup, by another client, and by a client whose key comes first.
    for (from, large, small) in [(1, 0, 1), (0, 0, 1), (0, 1, 0)] {
        let mut pool = Pool::default();
        let insert = |pool: &mut Pool, client: usize, sequence: u64, operations: usize, from: u16| {
            let command = WORLD.command_of(client, sequence, &vec![&b"x"[..]; operations]).into_inner();
            pool.insert(command.clone(), source(from), Role::Primary, &config).unwrap();
            command.identity()
        };
        let mut sequence = 0;
        for number in 1..=4 {
            let wanted = insert(&mut pool, large, number, 8, from);
            let batches = (1..).find(|_| {
                for _ in 0..2 {
                    sequence += 1;
                    insert(&mut pool, small, sequence, 1, 0);
                }
                let batch = pool.take_batch(&config);
                for command in &batch {
                    pool.remove(&command.identity());
                }
                batch.iter().any(|command| command.identity() == wanted)
            });
            assert!(batches.unwrap() <= 3, "the {number}. large command of source {from}: {batches:?} batches");
        }
    }
}

/// protocol.md: backups that have armed a command speak for it beside its client, with turns of their own; nor may what one of them speaks for be more than a batch.
#[test]
fn a_backup_speaks_for_what_the_primary_has_from_clients() {
    let config = Config { batch_operations: 8, pool_commands: 16, pool_bytes: 1 << 20, ..WORLD.config(0) };
    let mut pool = Pool::default();
    let command = |client: usize, sequence: u64| WORLD.command_of(client, sequence, &[&b"x"[..]; 8]).into_inner();
    for client in 0..4 {
        for sequence in 1..=16 {
            pool.insert(command(client, sequence), Source::Client, Role::Primary, &config).unwrap();
        }
    }
    let (spoken, other) = (command(3, 16), command(2, 16));
    pool.insert(spoken.clone(), source(2), Role::Primary, &config).unwrap();
    let busy = pool.insert(other.clone(), source(2), Role::Primary, &config);
    assert_eq!(busy, Err(Ignored::Busy), "a second batch of the same backup");
    assert_eq!(pool.insert(spoken.clone(), source(3), Role::Primary, &config), Err(Ignored::Duplicate));
    pool.insert(other, source(3), Role::Primary, &config).unwrap();
    let batches: Vec<_> = (0..4).flat_map(|_| pool.take_batch(&config)).collect();
    assert!(batches.contains(&spoken));
    assert_eq!(pool.len(), 64);
    // Its client's place is free again.
    pool.insert(command(3, 17), Source::Client, Role::Primary, &config).unwrap();
}

/// Where a backup executes first, what it hands on next finds its places free: the primary has proposed whatever was executed.
#[test]
fn what_is_proposed_takes_no_place_of_its_backup() {
    let mut primary = Lone::new(&WORLD, 0);
    let mut hand_on = |sequence: u64| {
        let command = WORLD.command_of(0, sequence, &[&b"x"[..]; 4]).into_inner();
        primary.hear(2, Message::Command(command))
    };
    // The first is proposed alone, two fill a batch, and then the pipeline is full.
    for sequence in 1..=5 {
        assert_eq!(hand_on(sequence), Ok(()), "command {sequence}");
    }
    assert_eq!(hand_on(6), Err(Ignored::Busy), "a batch waits");
}

/// Not only the oldest: a primary may have been too busy for all of them.
#[test]
fn all_that_waits_is_handed_on_again() {
    let mut backup = Lone::new(&WORLD, 1);
    for sequence in 1..=4 {
        backup.client(WORLD.command(0, sequence)).unwrap();
    }
    let mark = backup.effects.len();
    backup.fire(|timer| matches!(timer, varangian_consensus::Timer::Status(_))).unwrap();
    assert_eq!(handed_on(&backup, mark).len(), 4);
}

/// A command is more than its bytes: ten thousand keys with tiny ones must not cost several times what the pool may hold.
#[test]
fn tiny_commands_take_their_true_room() {
    let world = World::with(4, Parameters { pool_bytes: 1 << 13, ..small() }, 30, None);
    let mut pool = Pool::default();
    let admitted =
        (1..=4).flat_map(|sequence| (0..30).map(move |client| (client, sequence))).filter(|(client, sequence)| {
            let command = world.command_of(*client, *sequence, &[b""]).into_inner();
            pool.insert(command, Source::Client, Role::Backup, &world.config(1)).is_ok()
        });
    // One of each, and no more.
    assert_eq!(admitted.count(), 30);
}
