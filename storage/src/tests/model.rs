//! Random sequences against a model in memory.

use proptest::prelude::*;

use super::*;
use crate::{Limit, Prune, Table};

#[derive(Debug, Clone)]
enum Step {
    Put { kind: u8, slot: u64, size: usize, delete: bool, prune: Option<u64> },
    Body { ahead: u64, variant: u64, size: usize },
    Execute { keys: Vec<(u8, Option<u8>)>, variant: u64, given: Option<usize> },
    Prune { behind: u64, budget: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let keys = prop::collection::vec((0..20u8, prop::option::of(any::<u8>())), 0..6);
    prop_oneof![
        3 => (1..4u8, 0..12u64, 0..3000usize, any::<bool>(), prop::option::weighted(0.2, 0..12u64))
            .prop_map(|(kind, slot, size, delete, prune)| Step::Put { kind, slot, size, delete, prune }),
        3 => (1..4u64, 0..2u64, 0..20_000usize).prop_map(|(ahead, variant, size)| Step::Body { ahead, variant, size }),
        5 => (keys, 0..2u64, prop::option::of(0..20_000usize))
            .prop_map(|(keys, variant, given)| Step::Execute { keys, variant, given }),
        1 => (0..4u64, 0..60_000u64).prop_map(|(behind, budget)| Step::Prune { behind, budget }),
        1 => Just(Step::Reopen),
    ]
}

/// What a store should hold.
#[derive(Default)]
struct Model {
    turn: u64,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    bodies: BTreeMap<(u64, Digest), Bytes>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Digest of each executed slot, from slot 1; `None` for a null batch.
    executed: Vec<Option<Digest>>,
}

fn variant_digest(slot: u64, variant: u64) -> Digest {
    digest(slot * 10 + variant)
}

impl Model {
    fn last(&self) -> u64 {
        self.executed.len() as u64
    }

    fn apply(&mut self, store: &Store, step: &Step) {
        match step {
            Step::Put { kind, slot, size, delete, prune } => self.put(store, *kind, *slot, *size, *delete, *prune),
            Step::Body { ahead, variant, size } => {
                let slot = self.last() + ahead;
                let digest = variant_digest(slot, *variant);
                let bytes = noise(slot, *size);
                let batches = vec![(slot, digest, bytes.clone())];
                self.turn += 1;
                assert_eq!(store.commit(Commit { batches, ..Commit::default() }).unwrap(), self.turn);
                self.bodies.entry((slot, digest)).or_insert(bytes);
            }
            Step::Execute { keys, variant, given } => self.execute(store, keys, *variant, *given),
            Step::Prune { behind, budget } => self.prune(store, self.last().saturating_sub(*behind), *budget),
            Step::Reopen => {}
        }
    }

    fn put(&mut self, store: &Store, kind: u8, slot: u64, size: usize, delete: bool, prune: Option<u64>) {
        let key = Key::new(kind, [slot, 1]);
        let value = noise(self.turn, size);
        let mut commit = Commit { prune: prune.map(|slot| Prune { kinds: vec![1, 2], slot }), ..Commit::default() };
        if let Some(last) = prune {
            let pruned = |key: &[u8]| key[0] <= 2 && u64::from_be_bytes(key[1..9].try_into().unwrap()) <= last;
            self.records.retain(|key, _| !pruned(key));
        }
        if delete {
            commit.deletes.push(key);
            self.records.remove(key.as_bytes());
        } else {
            commit.puts.push((key, value.clone()));
            self.records.insert(key.as_bytes().to_vec(), value.to_vec());
        }
        self.turn += 1;
        assert_eq!(store.commit(commit).unwrap(), self.turn);
    }

    fn execute(&mut self, store: &Store, keys: &[(u8, Option<u8>)], variant: u64, given: Option<usize>) {
        let slot = self.last() + 1;
        let digest = variant_digest(slot, variant);
        let body = match (given, self.bodies.contains_key(&(slot, digest))) {
            (Some(size), _) => {
                let bytes = noise(slot, size);
                self.bodies.entry((slot, digest)).or_insert(bytes.clone());
                Body::Given(self.bodies[&(slot, digest)].clone())
            }
            (None, true) => Body::Stored,
            (None, false) => Body::None,
        };
        let mut execution = execution(slot, b"unused", Bytes::new());
        execution.state = keys.iter().map(|(key, value)| (vec![*key], value.map(|value| vec![value; 9]))).collect();
        for (key, value) in &execution.state {
            match value {
                Some(value) => self.state.insert(key.clone(), value.clone()),
                None => self.state.remove(key),
            };
        }
        (execution.batch, execution.body) = (digest, body.clone());
        store.execute(execution).unwrap();
        self.executed.push((body != Body::None).then_some(digest));
    }

    fn prune(&mut self, store: &Store, stable: u64, budget: u64) {
        let before = store.oldest_committed();
        let pruned = store.prune(stable, budget).unwrap();
        let oldest = store.oldest_committed();
        assert_eq!(oldest, before + pruned.slots);
        assert!(oldest <= before.max(stable + 1));
        let executed = &self.executed;
        self.bodies.retain(|(slot, digest), _| *slot > stable || executed[*slot as usize - 1] == Some(*digest));
        let bytes = |slot: u64| {
            let body = self.executed[slot as usize - 1].map_or(0, |digest| self.bodies[&(slot, digest)].len());
            (body + 40 + 49) as u64 // certificate and entry
        };
        let kept: u64 = (oldest..=stable).map(bytes).sum();
        assert!(kept <= budget);
        if pruned.slots > 0 {
            assert!(kept + bytes(oldest - 1) > budget - budget / 8, "no more than needed");
        }
        self.turn = store.synced().unwrap().turn;
    }

    fn check(&self, store: &Store) {
        assert_eq!(records(store), self.records);
        assert_eq!(store.last_executed(), self.last());
        let view = store.view().unwrap();
        let limit = Limit { entries: 1000, bytes: 1 << 20 };
        let state: BTreeMap<_, _> = view.scan_prefix(Table::State, b"", None, limit).unwrap().into_iter().collect();
        assert_eq!(state, self.state);
        assert_eq!(view.slot(), self.last());

        let oldest = store.oldest_committed();
        for ((slot, digest), body) in self.bodies.iter().filter(|((slot, _), _)| *slot >= oldest) {
            assert_eq!(store.batch(*slot, digest).unwrap().as_ref(), Some(body));
        }
        let above: Vec<_> = store.batches_above(self.last()).map(|item| item.unwrap()).collect();
        let expected = self.bodies.range((self.last() + 1, Digest::from_bytes([0; 32]))..);
        assert_eq!(above, expected.map(|((slot, digest), body)| (*slot, *digest, body.clone())).collect::<Vec<_>>());

        let served = store.committed(oldest, u64::MAX).unwrap();
        assert_eq!(served.len() as u64, self.last() + 1 - oldest);
        for (slot, committed) in (oldest..).zip(&served) {
            let digest = self.executed[slot as usize - 1];
            assert_eq!((committed.slot, &committed.certificate), (slot, &noise(slot, 40)));
            assert_eq!(committed.body.as_ref(), digest.map(|digest| &self.bodies[&(slot, digest)]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_holds_what_a_model_holds(steps in prop::collection::vec(step(), 1..60)) {
        let (_home, dir) = create();
        let mut store = Store::open(&dir, &identity(), tiny()).unwrap().0;
        let mut model = Model::default();
        for step in &steps {
            model.apply(&store, step);
            if matches!(step, Step::Reopen) {
                drop(store);
                let opened;
                (store, opened) = Store::open(&dir, &identity(), tiny()).unwrap();
                prop_assert_eq!((opened.turn, opened.mark, opened.torn), (model.turn, model.turn, None));
                model.check(&store);
            }
        }
        model.check(&store);
        store.verify().unwrap();
    }
}
