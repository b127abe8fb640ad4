//! Values by number, and numbers by number: what a search looks up some millions of times a second.

use dashmap::DashMap;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// Each distinct value once. Equal is equal in everything: a hash finds, it never decides.
#[derive(Debug)]
pub struct Table<T> {
    numbers: Mutex<HashMap<Arc<T>, u32>>,
    values: RwLock<Vec<Arc<T>>>,
}

impl<T: Eq + Hash> Default for Table<T> {
    fn default() -> Self {
        Self { numbers: Mutex::new(HashMap::new()), values: RwLock::new(Vec::new()) }
    }
}

impl<T: Eq + Hash> Table<T> {
    /// The number of a value.
    pub fn number(&self, value: T) -> u32 {
        self.number_then(value, |_| {})
    }

    /// The same, and does something with a new number before anybody else can know it.
    pub fn number_then(&self, value: T, then: impl FnOnce(u32)) -> u32 {
        let mut numbers = self.numbers.lock().expect("nobody panics with it");
        if let Some(number) = numbers.get(&value) {
            return *number;
        }
        let mut values = self.values.write().expect("nobody panics with it");
        let number = u32::try_from(values.len()).expect("fewer than 2^32");
        let value = Arc::new(value);
        values.push(value.clone());
        numbers.insert(value, number);
        then(number);
        number
    }

    /// The value of a number that was given.
    pub fn get(&self, number: u32) -> Arc<T> {
        self.values.read().expect("nobody panics with it")[number as usize].clone()
    }

    /// Values so far.
    pub fn count(&self) -> usize {
        self.values.read().expect("nobody panics with it").len()
    }
}

/// A map of pairs of numbers.
pub type Pairs<V> = DashMap<(u32, u32), V, BuildHasherDefault<Mix>>;

/// A hasher for small numbers: they are not chosen by an adversary.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        let mixed = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Numbers of one [`Table`] to numbers of another, filled in as they become known.
#[derive(Debug)]
pub struct Row(Vec<OnceLock<Box<[AtomicU32]>>>);

const CHUNK: usize = 1 << 12;
const CHUNKS: usize = 1 << 14;

impl Default for Row {
    fn default() -> Self {
        Self((0..CHUNKS).map(|_| OnceLock::new()).collect())
    }
}

impl Row {
    /// What is known of a number.
    pub fn get(&self, number: u32) -> Option<u32> {
        let chunk = self.0.get(number as usize / CHUNK)?.get()?;
        chunk[number as usize % CHUNK].load(Ordering::Acquire).checked_sub(1)
    }

    /// Remembers. Above some 67 million numbers it does not.
    pub fn set(&self, number: u32, value: u32) {
        let Some(chunk) = self.0.get(number as usize / CHUNK) else { return };
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU32::new(0)).collect());
        chunk[number as usize % CHUNK].store(value + 1, Ordering::Release);
    }
}
