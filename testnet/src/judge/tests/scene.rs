//! Four replicas, the last one malicious; two clients; five slots.

use crate::journal::{Journal, Outcome as Told};
use crate::judge::{Case, Verdict, judge};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use varangian::record;
use varangian_application::kv::{Action, Operation};
use varangian_application::{
    Executed, Executor, KeyValue, Limits, MemoryState, Meta, OperationResult, Outcome, StateChange,
};
use varangian_consensus as consensus;
use varangian_consensus::{
    Batch, Checkpoint, ClientTable, Command, Commit, CommitCertificate, Config, Conflict, Evidence, NULL_BATCH,
    PrePrepare, PreparedCertificate, Record, Slot, StableCheckpoint, View,
};
use varangian_crypto::{
    Clients, Committee, Digest, Genesis, Member, Parameters, QuorumCertificate, ReplicaId, Signer, SigningKey,
    Statement, encode, sha256,
};
use varangian_storage::{Body, Execution, Identity, Options, Store};

/// What a client wrote down of one command.
pub struct Note {
    pub client: usize,
    pub sequence: u64,
    pub sent_ms: u64,
    pub operations: Vec<Vec<u8>>,
    pub end: Option<(u64, Told)>,
}

/// Changes what a replica writes for a slot.
type Tamper = Box<dyn Fn(&Scene, u16, &mut Execution)>;
/// Changes the records that a replica keeps.
type Keep = Box<dyn Fn(&Scene, u16, &mut Vec<Record>)>;

pub struct Scene {
    _dir: TempDir,
    pub case: Case,
    pub committee: Committee,
    pub signers: Vec<Signer>,
    pub clients: Vec<SigningKey>,
    /// The commands of each slot; none is the null batch.
    pub log: Vec<Vec<Command>>,
    pub notes: Vec<Note>,
    /// Who holds which proofs.
    pub evidence: Vec<(u16, Evidence)>,
    /// How many slots of the log each honest replica has executed.
    pub reach: [usize; 3],
    pub tamper: Tamper,
    /// Changes what else a replica keeps.
    pub keep: Keep,
    /// Replicas run what they have run before.
    pub forget: bool,
    /// A replica that has not kept its prepared certificate of a slot.
    pub unkept: Option<(u16, Slot)>,
    /// The checkpoint that replicas hold as stable; `None`: the right one at slot 4.
    pub stable: Option<StableCheckpoint>,
}

pub fn add(key: &str, delta: i64) -> Operation {
    Action::add(key.as_bytes(), delta).unwrap().into()
}

pub fn put(key: &str, value: &str) -> Operation {
    Action::put(key.as_bytes(), value.as_bytes().to_vec()).unwrap().into()
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = |number: u8| SigningKey::from_seed([number; 32]);
        let member = |id: u16| Member {
            id: ReplicaId(id),
            name: format!("r{id}"),
            consensus_key: key(1 + id as u8).replica_key(),
            network_key: key(11 + id as u8).network_key(),
        };
        let clients = vec![key(21), key(22)];
        let parameters = Parameters { checkpoint_interval: 4, window: 8, pipeline_depth: 4, ..Default::default() };
        let admitted = Clients::AllowList(clients.iter().map(SigningKey::client_key).collect());
        let genesis = Genesis::new("judged".into(), parameters, (0..4).map(member).collect(), admitted).unwrap();
        let committee = Committee::new(&genesis);
        let signers = (0..4).map(|id| Signer::new(ReplicaId(id), key(1 + id as u8), &committee).unwrap()).collect();
        let home = |id: u16| (ReplicaId(id), dir.path().join(format!("r{id}")), id < 3);
        let case = Case {
            genesis,
            homes: (0..4).map(home).collect(),
            journals: dir.path().join("journals"),
            expect_accused: BTreeSet::from([ReplicaId(3)]),
            may_accuse: BTreeSet::new(),
            max_gap: Duration::from_millis(30),
            turns: Vec::new(),
            recovers_within: None,
            load: (0, 60),
            seed: 1,
            allow_unresolved: false,
        };
        let mut scene = Self {
            _dir: dir,
            case,
            committee,
            signers,
            clients,
            log: Vec::new(),
            notes: Vec::new(),
            evidence: Vec::new(),
            reach: [5; 3],
            tamper: Box::new(|_, _, _| {}),
            keep: Box::new(|_, _, _| {}),
            forget: false,
            unkept: None,
            stable: None,
        };
        let retried = scene.command(0, 2, &[add("n", 3)]);
        scene.log = vec![
            vec![scene.command(0, 1, &[put("a", "1")]), scene.command(1, 1, &[add("n", 5)])],
            vec![retried.clone()],
            vec![],
            vec![scene.command(1, 2, &[add("m", 1), put("b", "2")]), retried],
            vec![scene.command(0, 3, &[add("n", -1)]), scene.command(1, 3, &[add("m", 10)])],
        ];
        scene.notes = scene.as_told();
        scene.evidence = vec![(0, scene.two_pre_prepares(3)), (1, scene.two_pre_prepares(3))];
        scene
    }

    pub fn command(&self, client: usize, sequence: u64, operations: &[Operation]) -> Command {
        let operations: Vec<_> = operations.iter().map(Operation::encode).collect();
        Command::sign(&self.clients[client], self.committee.context(), sequence, &operations).unwrap()
    }

    /// Signed by these.
    pub fn certificate<S: Statement + Clone>(&self, statement: S, signers: &[u16]) -> QuorumCertificate<S> {
        let sign = |id: &u16| (ReplicaId(*id), self.signers[usize::from(*id)].sign(statement.clone()).signature);
        let signatures = signers.iter().map(sign).collect::<Vec<_>>().try_into().unwrap();
        QuorumCertificate { statement, signatures }
    }

    pub fn decided(&self, slot: u64, digest: Digest, signers: &[u16]) -> CommitCertificate {
        self.certificate(Commit { view: View(0), slot: Slot(slot), digest }, signers)
    }

    /// A proof that a replica equivocated in the view of that number.
    pub fn two_pre_prepares(&self, replica: u16) -> Evidence {
        let signed = |what: &[u8]| {
            let view = View(u64::from(replica));
            let digest = sha256("some batch", &[what]);
            self.signers[usize::from(replica)].sign(PrePrepare { view, slot: Slot(2), digest }).into_inner()
        };
        Evidence::PrePrepares(Conflict { first: signed(b"one"), second: signed(b"other") })
    }

    pub fn note(&mut self, client: usize, sequence: u64) -> &mut Note {
        self.notes.iter_mut().find(|note| (note.client, note.sequence) == (client, sequence)).unwrap()
    }

    pub fn identity(&self, client: usize, sequence: u64) -> consensus::Identity {
        consensus::Identity { client: self.clients[client].client_key(), sequence }
    }

    /// What an honest network does with the log.
    pub fn run(&self) -> Vec<(consensus::Execution, Executed)> {
        let config = Config::new(&self.case.genesis, &self.committee, ReplicaId(0));
        let mut table = ClientTable::new(config.admission, config.client_window, []);
        let meta = Meta { history: self.case.genesis.chain_id(), ..Meta::default() };
        let mut executor = Executor::new(KeyValue, Limits::new(self.committee.parameters()), meta);
        let mut state = MemoryState::default();
        let mut executed = Vec::new();
        for (slot, commands) in (1..).map(Slot).zip(&self.log) {
            let batch = Batch::new(commands.clone()).map(Arc::new);
            let digest = batch.as_ref().map_or(NULL_BATCH, |batch| *batch.digest());
            let turn = |command: &Command| match table.turn(&command.identity()) {
                consensus::Verdict::Duplicate if self.forget => consensus::Verdict::Run { floor: 0 },
                verdict => verdict,
            };
            let verdicts = commands.iter().map(turn).collect();
            let history = executor.meta().history;
            let execution = consensus::Execution {
                slot,
                certificate: self.decided(slot.0, digest, &[0, 1, 2]),
                batch,
                verdicts,
                windows: table.rows(commands.iter().map(Command::client).collect()),
                history: sha256("varangian history 1", &[history.as_bytes(), &slot.0.to_le_bytes(), digest.as_bytes()]),
                checkpoint: slot.0 == 4,
            };
            let outcome = executor.execute(&state, &execution).unwrap();
            state.apply(&outcome.changes);
            executed.push((execution, outcome));
        }
        executed
    }

    /// The notes of clients that were answered truthfully: sent at ten times the slot, answered five milliseconds later.
    pub fn as_told(&self) -> Vec<Note> {
        let mut notes: BTreeMap<(usize, u64), Note> = BTreeMap::new();
        for (execution, executed) in self.run() {
            let commands = execution.batch.iter().flat_map(|batch| batch.commands());
            for (command, reply) in commands.zip(&executed.replies) {
                // What ran before was told before.
                let Some(reply) = reply else { continue };
                let Outcome::Executed(results) = &reply.outcome else { panic!("{reply:?}") };
                let client = self.clients.iter().position(|key| key.client_key() == command.client()).unwrap();
                let (slot, results): (_, Vec<OperationResult>) = (reply.slot.0, results.to_vec());
                notes.entry((client, command.sequence())).or_insert(Note {
                    client,
                    sequence: command.sequence(),
                    sent_ms: slot * 10,
                    operations: command.operations().map(|operation| operation.to_vec()).collect(),
                    end: Some((slot * 10 + 5, Told::Committed { slot, results })),
                });
            }
        }
        notes.into_values().collect()
    }

    pub fn home(&self, replica: u16) -> PathBuf {
        self.case.homes[usize::from(replica)].1.clone()
    }

    pub fn open(&self, replica: u16) -> Store {
        let identity = Identity { chain_id: self.case.genesis.chain_id(), replica: ReplicaId(replica) };
        Store::open(&self.home(replica).join("data"), &identity, Options::default()).unwrap().0
    }

    /// Writes stores and journals.
    pub fn write(&self) {
        for replica in 0..3 {
            self.write_store(replica);
        }
        for (client, key) in self.clients.iter().enumerate() {
            let mut journal = Journal::create(&self.case.journals, &key.client_key()).unwrap();
            for note in self.notes.iter().filter(|note| note.client == client) {
                journal.sent(note.sequence, note.sent_ms, &note.operations).unwrap();
                if let Some((done_ms, outcome)) = &note.end {
                    journal.done(note.sequence, *done_ms, outcome).unwrap();
                }
            }
        }
    }

    fn write_store(&self, replica: u16) {
        let home = self.home(replica);
        std::fs::create_dir(&home).unwrap();
        let identity = Identity { chain_id: self.case.genesis.chain_id(), replica: ReplicaId(replica) };
        Store::create(&home.join("data"), &identity).unwrap();
        let store = self.open(replica);
        let run = self.run();
        let mut records: Vec<_> = self.evidence.iter().filter(|(holder, _)| *holder == replica).collect();
        let mut records: Vec<_> = records.drain(..).map(|(_, proof)| Record::Evidence(proof.clone())).collect();
        if self.reach[usize::from(replica)] >= 4 {
            records.push(Record::Stable(self.stable.clone().unwrap_or_else(|| self.checkpoint(&run, &[0, 1, 2]))));
        }
        let settled = records.iter().any(|record| matches!(record, Record::Stable(_)));
        for (execution, _) in run.iter().filter(|(execution, _)| !settled || execution.slot > Slot(4)) {
            if self.unkept != Some((replica, execution.slot)) {
                records.push(Record::Prepared(self.prepared(execution)));
            }
        }
        (self.keep)(self, replica, &mut records);
        store.commit(record::commit(records)).unwrap();
        for (execution, executed) in run.into_iter().take(self.reach[usize::from(replica)]) {
            let mut write = written(&execution, &executed.changes);
            (self.tamper)(self, replica, &mut write);
            store.execute(write).unwrap();
        }
    }

    /// What every replica had prepared when it said COMMIT for a slot.
    fn prepared(&self, execution: &consensus::Execution) -> PreparedCertificate {
        self.prepared_by(execution.certificate.statement, [1, 2])
    }

    /// A prepared certificate by the view's primary and these backups.
    pub fn prepared_by(&self, Commit { view, slot, digest }: Commit, backups: [u16; 2]) -> PreparedCertificate {
        let pre_prepare = PrePrepare { view, slot, digest };
        let sign = |id: u16| (ReplicaId(id), self.signers[usize::from(id)].sign(pre_prepare.prepare()).signature);
        let primary = self.committee.quorums().primary(view.0);
        let signed = self.signers[primary.index()].sign(pre_prepare).into_inner();
        PreparedCertificate::from_votes(&signed, backups.map(sign).into_iter(), 3).unwrap()
    }

    /// The checkpoint at slot 4.
    pub fn checkpoint(&self, run: &[(consensus::Execution, Executed)], signers: &[u16]) -> StableCheckpoint {
        let (execution, executed) = &run[3];
        let state = executed.state_digest.unwrap();
        self.certificate(Checkpoint { slot: execution.slot, history: execution.history, state }, signers)
    }

    /// Writes everything, and judges it.
    pub fn verdict(&self) -> Verdict {
        self.write();
        judge(&self.case).unwrap().0
    }
}

/// As a replica writes a slot.
fn written(execution: &consensus::Execution, changes: &StateChange) -> Execution {
    let owned = |writes: &[varangian_application::change::Write]| {
        writes.iter().map(|(key, value)| (key.to_vec(), value.as_ref().map(|value| value.to_vec()))).collect()
    };
    Execution {
        slot: execution.slot.0,
        state: owned(&changes.application),
        clients: owned(&changes.clients),
        meta: vec![(b"meta".to_vec(), changes.meta.encode())],
        certificate: encode(&execution.certificate).into(),
        batch: execution.certificate.statement.digest,
        body: execution.batch.as_ref().map_or(Body::None, |batch| Body::Given(batch.encoded().clone())),
    }
}
