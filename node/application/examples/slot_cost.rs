//! What executing a slot costs, over a state in memory: `cargo run --release -p varangian-application --example slot_cost`.
//!
//! The best of many slots counts, so that a busy machine disturbs little. The digest's share is what it takes to put the
//! slot's net changes into an accumulator, measured on the same entries.

use bytes::Bytes;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use varangian_application::kv::{Action, Operation};
use varangian_application::{Executor, KeyValue, Limits, MemoryState, Meta, Space, StateChange, StateReader};
use varangian_consensus::{Admission, Batch, ClientTable, Command, Commit, CommitCertificate, Execution, View};
use varangian_crypto::{Bounded, Context, Digest, Parameters, SigningKey, StateDigest};

const SLOTS: u64 = 500;
const OPERATIONS: u64 = 64;
const VALUE_BYTES: usize = 512;

fn main() -> Result<(), Box<dyn Error>> {
    println!("best of {SLOTS} slots of {OPERATIONS} puts of {VALUE_BYTES} bytes, microseconds per put");
    println!("{:>8} {:>12} {:>8} {:>8}", "bundle", "keys", "all", "digest");
    for bundle in [1, 8, 64] {
        for (name, keys) in [("fresh", u64::MAX), ("overwritten", OPERATIONS)] {
            let (all, digest) = measure(bundle, keys)?;
            let per_put = |time: Duration| time.as_secs_f64() * 1e6 / OPERATIONS as f64;
            println!("{bundle:>8} {name:>12} {:>8.2} {:>8.2}", per_put(all), per_put(digest));
        }
    }
    Ok(())
}

/// Time of the fastest slot, and of the fastest digest. Slot 1 is left out: nothing is overwritten in it.
fn measure(bundle: u64, keys: u64) -> Result<(Duration, Duration), Box<dyn Error>> {
    let client = SigningKey::from_seed([1; 32]);
    let parameters = Parameters::default();
    let mut table = ClientTable::new(Admission::Open(10), u64::from(parameters.client_window), []);
    let mut executor = Executor::new(KeyValue, Limits::new(&parameters), Meta::default());
    let mut state = MemoryState::default();
    let (mut all, mut digest) = (Duration::MAX, Duration::MAX);
    let mut next = 0;
    for _ in 0..SLOTS {
        let mut commands = Vec::new();
        for _ in 0..OPERATIONS / bundle {
            let sequence = next / bundle + 1;
            let puts = (next..next + bundle).map(|number| put(number % keys, next));
            let operations = puts.collect::<Result<Vec<_>, _>>()?;
            commands.push(Command::sign(
                &client,
                &Context { chain_id: Digest::ZERO, epoch: 0 },
                sequence,
                &operations,
            )?);
            next += bundle;
        }
        let execution = decide(&mut table, executor.meta(), commands);
        let start = Instant::now();
        let executed = executor.execute(&state, &execution)?;
        if executed.slot.0 > 1 {
            all = all.min(start.elapsed());
            digest = digest.min(digest_time(&state, &executed.changes)?);
        }
        state.apply(&executed.changes);
    }
    Ok((all, digest))
}

fn put(key: u64, value: u64) -> Result<Bytes, Box<dyn Error>> {
    let mut bytes = vec![0; VALUE_BYTES];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    Ok(Operation::from(Action::put(&key.to_be_bytes(), bytes)?).encode())
}

fn decide(table: &mut ClientTable, meta: &Meta, commands: Vec<Command>) -> Execution {
    let slot = meta.slot.next();
    let verdicts = commands.iter().map(|command| table.turn(&command.identity())).collect();
    let windows = table.rows(commands.iter().map(Command::client).collect());
    let statement = Commit { view: View(0), slot, digest: Digest::ZERO };
    let certificate = CommitCertificate { statement, signatures: Bounded::new() };
    let batch = Batch::new(commands).map(Arc::new);
    Execution { slot, certificate, batch, verdicts, windows, history: meta.history, checkpoint: false }
}

fn digest_time(state: &MemoryState, changes: &StateChange) -> Result<Duration, Box<dyn Error>> {
    let mut accumulator = StateDigest::new();
    let mut time = Duration::ZERO;
    for space in Space::ALL {
        for (key, new) in changes.writes(space) {
            let old = state.get(space, key)?;
            let start = Instant::now();
            if let Some(old) = &old {
                accumulator.remove(space.namespace(), key, old);
            }
            if let Some(new) = new {
                accumulator.add(space.namespace(), key, new);
            }
            time += start.elapsed();
        }
    }
    Ok(time)
}
