//! A map of large commands' names that holds so much, and forgets the oldest first.

use std::collections::{BTreeMap, HashMap};
use varangian_consensus::Name;

/// See the module.
#[derive(Debug)]
pub struct Recent<V> {
    limit: usize,
    weight: usize,
    entries: HashMap<Name, Entry<V>>,
    /// By arrival.
    order: BTreeMap<u64, Name>,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry<V> {
    arrival: u64,
    weight: usize,
    value: V,
}

impl<V> Recent<V> {
    /// Its entries together weigh `limit` at most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, weight: 0, entries: HashMap::new(), order: BTreeMap::new(), arrivals: 0 }
    }

    /// Adds one; whether it is news. What was there stays as it was.
    pub fn insert(&mut self, name: Name, weight: usize, value: V) -> bool {
        if self.contains(&name) {
            return false;
        }
        self.arrivals += 1;
        self.entries.insert(name, Entry { arrival: self.arrivals, weight, value });
        self.order.insert(self.arrivals, name);
        self.weight += weight;
        while self.weight > self.limit
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = *oldest;
            self.remove(&oldest);
        }
        true
    }

    /// What is there under this name.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&V> {
        self.entries.get(name).map(|entry| &entry.value)
    }

    /// Whether there is something under this name.
    #[must_use]
    pub fn contains(&self, name: &Name) -> bool {
        self.entries.contains_key(name)
    }

    /// Forgets one; what it was.
    pub fn remove(&mut self, name: &Name) -> Option<V> {
        let entry = self.entries.remove(name)?;
        self.order.remove(&entry.arrival);
        self.weight -= entry.weight;
        Some(entry.value)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use varangian_crypto::{Digest, Signature};

    fn name(number: u8) -> Name {
        Name { digest: Digest::from_bytes([number; 32]), signature: Signature::from_bytes([0; 64]) }
    }

    fn there(recent: &Recent<u8>) -> Vec<u8> {
        (0..=9).filter(|number| recent.contains(&name(*number))).collect()
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut recent = Recent::new(10);
        assert!((1..=3).all(|number| recent.insert(name(number), 3, number)));
        assert!(!recent.insert(name(1), 3, 9), "no news");
        assert_eq!(recent.get(&name(1)), Some(&1));
        assert!(recent.insert(name(4), 2, 4));
        assert_eq!((there(&recent), recent.weight), (vec![2, 3, 4], 8));
        assert!(recent.insert(name(5), 6, 5));
        assert_eq!((there(&recent), recent.weight), (vec![4, 5], 8));
        assert!(recent.insert(name(6), 11, 6), "too much for it");
        assert_eq!((there(&recent), recent.weight, recent.order.len()), (vec![], 0, 0));
    }

    #[test]
    fn what_is_taken_out_leaves_its_room() {
        let mut recent = Recent::new(2);
        for number in 1..=2 {
            recent.insert(name(number), 1, number);
        }
        assert_eq!((recent.remove(&name(1)), recent.remove(&name(1))), (Some(1), None));
        recent.insert(name(3), 1, 3);
        assert_eq!(there(&recent), [2, 3]);
        recent.clear();
        assert_eq!((there(&recent), recent.weight, recent.limit), (vec![], 0, 2));
    }
}
