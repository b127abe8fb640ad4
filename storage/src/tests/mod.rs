//! Tests of the whole store, on real files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;
mod execution;
mod model;
mod power_loss;
mod process;
mod refusal;
mod turns;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use bytes::Bytes;
use tempfile::TempDir;
use varangian_crypto::{Digest, ReplicaId};

use crate::{Body, Commit, Execution, Identity, Key, Options, Store, StoreError};

/// A child that begins has all open files until it is another program, locks of other tests' stores among them: no store is opened meanwhile.
pub(crate) static BEGINNING: RwLock<()> = RwLock::new(());

fn identity() -> Identity {
    Identity { chain_id: Digest::from_bytes([7; 32]), replica: ReplicaId(3) }
}

/// Small enough that memory is flushed and tables are compacted within a test.
fn tiny() -> Options {
    Options { memtable_bytes: 64 * 1024, table_bytes: 64 * 1024, ..Options::default() }
}

/// A new store that is not open yet.
fn create() -> (TempDir, PathBuf) {
    let home = TempDir::new().unwrap();
    let dir = home.path().join("data");
    Store::create(&dir, &identity()).unwrap();
    (home, dir)
}

fn open(dir: &Path) -> Store {
    Store::open(dir, &identity(), Options::default()).unwrap().0
}

fn refused(dir: &Path) -> StoreError {
    Store::open(dir, &identity(), Options::default()).unwrap_err()
}

fn digest(number: u64) -> Digest {
    let mut bytes = [0xd1; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Digest::from_bytes(bytes)
}

/// Bytes that do not compress, different for each seed.
fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn put(key: Key, value: &[u8]) -> Commit {
    Commit { puts: vec![(key, Bytes::copy_from_slice(value))], ..Commit::default() }
}

fn body(slot: u64, bytes: Bytes) -> Commit {
    Commit { batches: vec![(slot, digest(slot), bytes)], ..Commit::default() }
}

/// The execution of a slot with a body of its own, setting `state[key] = slot`.
fn execution(slot: u64, key: &[u8], given: Bytes) -> Execution {
    let value = slot.to_be_bytes().to_vec();
    Execution {
        slot,
        state: vec![(key.to_vec(), Some(value.clone()))],
        clients: vec![(b"client".to_vec(), Some(value.clone()))],
        meta: vec![(b"slot".to_vec(), value)],
        certificate: noise(slot, 40),
        batch: digest(slot),
        body: Body::Given(given),
    }
}

fn records(store: &Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pair = |item: Result<(Bytes, Bytes), StoreError>| item.map(|(key, value)| (key.into(), value.into()));
    store.records().map(pair).collect::<Result<_, _>>().unwrap()
}

/// Copies a store, which must be closed, to a new place.
fn copy(dir: &Path) -> (TempDir, PathBuf) {
    let home = TempDir::new().unwrap();
    let to = home.path().join("data");
    for (path, bytes) in contents(dir) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    (home, to)
}

/// Every file of a store but RocksDB's information log, by its path inside the store.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(dir).unwrap().to_path_buf();
            if path.is_dir() {
                dirs.push(path);
            } else if !path.file_name().unwrap().to_str().unwrap().starts_with("LOG") {
                files.insert(inside, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Files of a store whose name ends so, by number.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    contents(dir).into_keys().filter(|path| path.to_str().unwrap().ends_with(end)).map(|path| dir.join(path)).collect()
}

/// Flips one bit of one byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}
