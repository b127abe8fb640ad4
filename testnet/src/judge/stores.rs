//! The honest replicas' stores.

use super::JudgeError;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use varangian::home::Home;
use varangian::{execute, record};
use varangian_application::{Meta, Space};
use varangian_consensus::{Commit, Evidence, PrePrepare, Record, Slot, StableCheckpoint};
use varangian_crypto::{Genesis, ReplicaId};
use varangian_storage::{Committed, Identity, Limit, Options, Store, StoreError, Table};

/// Bytes of a log, or of a state, that are read at a time.
const PAGE_BYTES: usize = 4 << 20;

/// What an honest replica has on disk.
pub(super) struct Honest {
    pub(super) id: ReplicaId,
    pub(super) store: Store,
    /// How far its state has come.
    pub(super) meta: Meta,
    /// The proofs that it kept.
    pub(super) evidence: Vec<Evidence>,
    /// Its highest stable checkpoint.
    pub(super) stable: Option<StableCheckpoint>,
    /// What it has prepared above that checkpoint: by slot, the view and batch of its certificate.
    prepared: BTreeMap<Slot, PrePrepare>,
}

impl Honest {
    /// Opens the stores of those that are honest.
    pub(super) fn open_all(homes: &[(ReplicaId, PathBuf, bool)], genesis: &Genesis) -> Result<Vec<Self>, JudgeError> {
        let honest = homes.iter().filter(|(_, _, honest)| *honest);
        honest.map(|(id, home, _)| Self::open(*id, home, genesis)).collect()
    }

    /// Opens the store in a replica's home. Nobody else may have it open.
    pub(super) fn open(id: ReplicaId, home: &Path, genesis: &Genesis) -> Result<Self, JudgeError> {
        let identity = Identity { chain_id: genesis.chain_id(), replica: id };
        let opened = Store::open(&Home::new(home).data(), &identity, Options::default());
        let (store, _) = opened.map_err(|source| match source {
            StoreError::Locked { .. } => JudgeError::Running { replica: id, source },
            source => JudgeError::Store { replica: id, source },
        })?;
        let meta = execute::load_meta(&store, genesis.chain_id());
        let meta = meta.map_err(|source| JudgeError::State { replica: id, source })?;
        let records = record::load(&store).map_err(|source| JudgeError::Record { replica: id, source })?;
        let evidence = record::evidence(&records);
        let mut stable = None;
        let mut prepared = BTreeMap::new();
        for record in records {
            match record {
                Record::Stable(certificate) => stable = Some(certificate),
                Record::Prepared(certificate) => {
                    prepared.insert(certificate.pre_prepare.slot, certificate.pre_prepare);
                }
                _ => {}
            }
        }
        Ok(Self { id, store, meta, evidence, stable, prepared })
    }

    /// Whether its disk covers a COMMIT that it signed: durable before sent. Below its stable checkpoint nothing needs to be kept.
    pub(super) fn covers(&self, commit: &Commit) -> bool {
        let settled = self.stable.as_ref().map_or(Slot::GENESIS, |stable| stable.statement.slot);
        let kept = self.prepared.get(&commit.slot);
        commit.slot <= settled || kept.is_some_and(|kept| kept.view >= commit.view && kept.digest == commit.digest)
    }

    /// Its last executed slot.
    pub(super) const fn last(&self) -> Slot {
        self.meta.slot
    }

    /// What went wrong with its store.
    pub(super) fn failed(&self, source: StoreError) -> JudgeError {
        JudgeError::Store { replica: self.id, source }
    }

    /// The first key of a space, in byte order, at which its state is not `expected`.
    pub(super) fn first_difference(
        &self,
        space: Space,
        expected: &BTreeMap<Bytes, Bytes>,
    ) -> Result<Option<Vec<u8>>, JudgeError> {
        let table = match space {
            Space::Application => Table::State,
            Space::Client => Table::Clients,
        };
        let view = self.store.view().map_err(|source| self.failed(source))?;
        let limit = Limit { entries: usize::MAX, bytes: PAGE_BYTES };
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = view.scan_prefix(table, &[], after.as_deref(), limit).map_err(|source| self.failed(source))?;
            let begin = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = expected.range::<[u8], _>((begin, Bound::Unbounded));
            if page.is_empty() {
                return Ok(rest.next().map(|(key, _)| key.to_vec()));
            }
            for (key, value) in &page {
                match rest.next() {
                    Some((wanted, content)) if wanted == key && content == value => {}
                    Some((wanted, _)) => return Ok(Some(key.as_slice().min(wanted).to_vec())),
                    None => return Ok(Some(key.clone())),
                }
            }
            after = page.into_iter().next_back().map(|(key, _)| key);
        }
    }

    /// The value of a key of the application.
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JudgeError> {
        let view = self.store.view().map_err(|source| self.failed(source))?;
        view.get(Table::State, key).map_err(|source| self.failed(source))
    }
}

/// A replica's log, read in slot order, a page at a time.
pub(super) struct Log<'a> {
    pub(super) of: &'a Honest,
    page: VecDeque<Committed>,
}

impl<'a> Log<'a> {
    pub(super) const fn new(of: &'a Honest) -> Self {
        Self { of, page: VecDeque::new() }
    }

    /// A slot of it; `None` if it was pruned or is not executed yet. Slots are asked for in order.
    pub(super) fn slot(&mut self, slot: Slot) -> Result<Option<Committed>, JudgeError> {
        if self.page.is_empty() {
            let page = self.of.store.committed(slot.0, PAGE_BYTES as u64);
            self.page = page.map_err(|source| self.of.failed(source))?.into();
        }
        Ok(self.page.pop_front_if(|committed| committed.slot == slot.0))
    }
}
