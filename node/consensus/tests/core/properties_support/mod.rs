//! What the property tests share: a committee whose keys come from small numbers, everything it could sign, and one replica with a
//! disk that is always fast.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

pub mod rng;

use std::sync::Arc;
use varangian_consensus::{
    Batch, Checkpoint, Command, Commit, CommitCertificate, Config, Delivery, Effect, Executed, Ignored, Input, Message,
    Millis, NewView, PrePrepare, Prepare, PreparedCertificate, Record, Replica, Slot, StableCheckpoint, View,
    ViewChange,
};
use varangian_crypto::{
    Bounded, Clients, Committee, Digest, Genesis, Member, Parameters, QuorumCertificate, ReplicaId, Signed, Signer,
    SigningKey, Verified, Verify, sha256,
};

/// A genesis with small numbers and everybody's keys.
pub struct World {
    pub genesis: Genesis,
    pub committee: Committee,
    pub signers: Vec<Signer>,
    pub clients: Vec<SigningKey>,
}

/// Numbers so small that tests reach every limit.
pub fn small() -> Parameters {
    Parameters {
        checkpoint_interval: 4,
        window: 8,
        pipeline_depth: 2,
        max_batch_bytes: 1 << 13,
        max_batch_operations: 8,
        max_command_bytes: 1 << 11,
        client_window: 16,
        armed_commands: 4,
        client_pool_commands: 4,
        pool_bytes: 1 << 14,
        base_timeout_ms: 1000,
        max_timeout_ms: 16_000,
        ..Parameters::default()
    }
}

fn key(range: u8, number: u16) -> SigningKey {
    let mut seed = [range; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    SigningKey::from_seed(seed)
}

impl World {
    pub fn new(n: u16) -> Self {
        Self::with(n, small(), 4, None)
    }

    /// `open`: anybody may be a client, up to so many.
    pub fn with(n: u16, parameters: Parameters, clients: u16, open: Option<u32>) -> Self {
        let members = (0..n)
            .map(|id| Member {
                id: ReplicaId(id),
                name: format!("replica {id}"),
                consensus_key: key(1, id).replica_key(),
                network_key: key(2, id).network_key(),
            })
            .collect();
        let clients: Vec<_> = (0..clients).map(|client| key(3, client)).collect();
        let admitted = open.map_or_else(
            || Clients::AllowList(clients.iter().map(SigningKey::client_key).collect()),
            |maximum| Clients::Open { maximum },
        );
        let genesis = Genesis::new("properties".into(), parameters, members, admitted).unwrap();
        let committee = Committee::new(&genesis);
        let signers = (0..n).map(|id| Signer::new(ReplicaId(id), key(1, id), &committee).unwrap()).collect();
        Self { genesis, committee, signers, clients }
    }

    pub fn n(&self) -> u16 {
        self.signers.len() as u16
    }

    pub fn quorum(&self) -> usize {
        self.committee.quorums().quorum()
    }

    pub fn primary(&self, view: u64) -> u16 {
        self.committee.primary(view).0
    }

    pub fn config(&self, id: u16) -> Config {
        Config::new(&self.genesis, &self.committee, ReplicaId(id))
    }

    pub fn signer(&self, id: u16) -> &Signer {
        &self.signers[usize::from(id)]
    }

    pub fn command(&self, client: usize, sequence: u64) -> Verified<Command> {
        self.command_of(client, sequence, &[format!("{client}/{sequence}").as_bytes()])
    }

    pub fn command_of(&self, client: usize, sequence: u64, operations: &[&[u8]]) -> Verified<Command> {
        let command = Command::sign(&self.clients[client], self.committee.context(), sequence, operations).unwrap();
        command.verify(&self.committee).unwrap()
    }

    /// A body of one command.
    pub fn batch(&self, client: usize, sequence: u64) -> Arc<Batch> {
        Arc::new(Batch::new(vec![self.command(client, sequence).into_inner()]).unwrap())
    }

    pub fn pre_prepare(&self, view: u64, slot: u64, digest: Digest) -> Signed<PrePrepare> {
        self.signer(self.primary(view)).sign(PrePrepare { view: View(view), slot: Slot(slot), digest }).into_inner()
    }

    pub fn prepare(&self, signer: u16, view: u64, slot: u64, digest: Digest) -> Signed<Prepare> {
        self.signer(signer).sign(Prepare { view: View(view), slot: Slot(slot), digest }).into_inner()
    }

    pub fn commit(&self, signer: u16, view: u64, slot: u64, digest: Digest) -> Signed<Commit> {
        self.signer(signer).sign(Commit { view: View(view), slot: Slot(slot), digest }).into_inner()
    }

    /// By the backups with the lowest ids.
    pub fn prepared(&self, view: u64, slot: u64, digest: Digest) -> PreparedCertificate {
        let pre_prepare = self.pre_prepare(view, slot, digest);
        let backups = (0..self.n()).filter(|id| *id != self.primary(view)).map(|id| {
            let signed = self.prepare(id, view, slot, digest);
            (signed.signer, signed.signature)
        });
        PreparedCertificate::from_votes(&pre_prepare, backups, self.quorum()).unwrap()
    }

    /// By the given replicas, a quorum of them.
    pub fn committed_by(&self, signers: &[u16], view: u64, slot: u64, digest: Digest) -> CommitCertificate {
        let votes = signers.iter().map(|id| {
            let signed = self.commit(*id, view, slot, digest);
            (signed.signer, signed.signature)
        });
        let statement = Commit { view: View(view), slot: Slot(slot), digest };
        QuorumCertificate::from_votes(statement, votes, self.committee.quorums()).unwrap()
    }

    pub fn committed(&self, view: u64, slot: u64, digest: Digest) -> CommitCertificate {
        let signers: Vec<u16> = (0..self.n()).collect();
        self.committed_by(&signers, view, slot, digest)
    }

    /// By all but this one, whose disk need not know of it.
    pub fn committed_without(&self, id: u16, view: u64, slot: u64, digest: Digest) -> CommitCertificate {
        let signers: Vec<u16> = (0..self.n()).filter(|signer| *signer != id).collect();
        self.committed_by(&signers, view, slot, digest)
    }

    pub fn stable(&self, checkpoint: Checkpoint) -> StableCheckpoint {
        let votes = self.signers.iter().map(|signer| {
            let signed = signer.sign(checkpoint).into_inner();
            (signed.signer, signed.signature)
        });
        QuorumCertificate::from_votes(checkpoint, votes, self.committee.quorums()).unwrap()
    }

    /// A checkpoint of the state that [`Lone`] has after `slot`.
    pub fn checkpoint(&self, slot: u64, history: Digest) -> Checkpoint {
        Checkpoint { slot: Slot(slot), history, state: state_of(&history) }
    }

    pub fn view_change(
        &self,
        signer: u16,
        view: u64,
        stable: Option<StableCheckpoint>,
        prepared: Vec<PreparedCertificate>,
    ) -> Signed<ViewChange> {
        let statement = ViewChange { view: View(view), stable, prepared: Bounded::try_from(prepared).unwrap() };
        self.signer(signer).sign(statement).into_inner()
    }

    /// What an honest primary makes of these view changes.
    pub fn new_view(&self, view: u64, view_changes: Vec<Signed<ViewChange>>) -> Signed<NewView> {
        let statements = view_changes.iter().map(|signed| &signed.statement);
        let order = varangian_consensus::order::new_view_order(statements, self.config(0).window).unwrap();
        let pre_prepares: Vec<_> =
            order.slots.iter().map(|(slot, digest)| self.pre_prepare(view, slot.0, *digest)).collect();
        self.new_view_with(view, view_changes, pre_prepares)
    }

    pub fn new_view_with(
        &self,
        view: u64,
        view_changes: Vec<Signed<ViewChange>>,
        pre_prepares: Vec<Signed<PrePrepare>>,
    ) -> Signed<NewView> {
        let statement = NewView {
            view: View(view),
            view_changes: Bounded::try_from(view_changes).unwrap(),
            pre_prepares: Bounded::try_from(pre_prepares).unwrap(),
        };
        self.signer(self.primary(view)).sign(statement).into_inner()
    }

    /// As it arrives: proved, or not at all.
    pub fn delivery(&self, message: Message) -> Delivery {
        message.verify(&self.committee).unwrap()
    }
}

pub fn digest(number: u64) -> Digest {
    sha256("properties", &[&number.to_le_bytes()])
}

/// The state of the tiny application: it knows the history.
pub fn state_of(history: &Digest) -> Digest {
    sha256("properties state", &[history.as_bytes()])
}

/// One replica whose disk and execution are done at once, and whose own votes come back at once.
pub struct Lone<'a> {
    pub world: &'a World,
    pub replica: Replica,
    pub now: Millis,
    pub id: ReplicaId,
    /// All effects so far, in order.
    pub effects: Vec<Effect>,
    pub executed: Executed,
    /// Whether executions are reported.
    pub executes: bool,
}

impl<'a> Lone<'a> {
    pub fn new(world: &'a World, id: u16) -> Self {
        Self::restart(world, id, Executed::default(), Vec::new())
    }

    pub fn restart(world: &'a World, id: u16, executed: Executed, records: Vec<Record>) -> Self {
        let mut effects = Vec::new();
        let replica = Replica::recover(world.config(id), 0, executed.clone(), records, &mut effects).unwrap();
        replica.invariants();
        let mut lone =
            Self { world, replica, now: 0, id: ReplicaId(id), effects: Vec::new(), executed, executes: true };
        lone.run(effects);
        lone
    }

    /// Everything that was made durable, in order.
    pub fn records(&self) -> Vec<Record> {
        let persisted = self.effects.iter().filter_map(|effect| match effect {
            Effect::Persist(record) => Some(record.clone()),
            _ => None,
        });
        persisted.collect()
    }

    pub fn step(&mut self, input: Input) -> Result<(), Ignored> {
        let mut effects = Vec::new();
        let outcome = self.replica.step(self.now, input, &mut effects);
        self.replica.invariants();
        self.run(effects);
        outcome
    }

    pub fn hear(&mut self, from: u16, message: Message) -> Result<(), Ignored> {
        let delivery = self.world.delivery(message);
        self.step(Input::Message { from: ReplicaId(from), delivery })
    }

    pub fn client(&mut self, command: Verified<Command>) -> Result<(), Ignored> {
        self.step(Input::Command(command))
    }

    /// All peers say that they stand where this replica stands: nobody would be alone in another view.
    pub fn hear_all(&mut self) {
        if self.replica.is_behind() {
            return;
        }
        let status = self.replica.status().lacking_nothing();
        let own = self.id.0;
        for peer in (0..self.world.n()).filter(|peer| *peer != own) {
            // One that spoke a moment ago has been heard.
            self.hear(peer, Message::Status(status.clone())).ok();
        }
    }

    /// The timer of this kind that was set last runs out.
    pub fn fire(&mut self, kind: fn(&varangian_consensus::Timer) -> bool) -> Result<(), Ignored> {
        let set = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::SetTimer(timer, after) if kind(timer) => Some((*timer, *after)),
            _ => None,
        });
        let (timer, after) = set.expect("the timer was set");
        self.now += after;
        if matches!(timer, varangian_consensus::Timer::Command(_)) {
            self.hear_all();
        }
        self.step(Input::Timeout(timer))
    }

    /// Feeds the replica a decided slot, as a peer that has it would.
    pub fn decide(&mut self, from: u16, view: u64, slot: u64, batch: Option<Arc<Batch>>) -> Result<(), Ignored> {
        let digest = batch.as_ref().map_or(varangian_consensus::NULL_BATCH, |batch| *batch.digest());
        let certificate = self.world.committed_without(self.id.0, view, slot, digest);
        self.hear(from, Message::Decided { certificate, batch })
    }

    fn run(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.effects.push(effect.clone());
            match effect {
                Effect::Vote(vote) => {
                    let signer = self.world.signer(self.id.0);
                    let (delivery, _) = sign(signer, vote);
                    // A vote may be overtaken by what its own step went on to do.
                    let _outcome = self.step(Input::Message { from: self.id, delivery });
                }
                Effect::Execute(execution) => {
                    let state = state_of(&execution.history);
                    self.executed.slot = execution.slot;
                    self.executed.history = execution.history;
                    self.executed.certificate = Some(execution.certificate);
                    self.executed.state = execution.checkpoint.then_some(state);
                    for (client, window) in execution.windows {
                        self.executed.windows.retain(|(known, _)| *known != client);
                        self.executed.windows.push((client, window));
                    }
                    if self.executes {
                        let state = self.executed.state;
                        self.step(Input::Executed { slot: execution.slot, state }).unwrap();
                    }
                }
                _ => {}
            }
        }
    }

    /// Effects since the mark, a number of effects.
    pub fn since(&self, mark: usize) -> &[Effect] {
        &self.effects[mark..]
    }

    pub fn sent_to(&self, mark: usize) -> impl Iterator<Item = (ReplicaId, &Message)> {
        self.since(mark).iter().filter_map(|effect| match effect {
            Effect::Send(to, message) => Some((*to, message)),
            _ => None,
        })
    }
}

/// A vote under a replica's own key; the production path.
pub fn sign(signer: &Signer, vote: varangian_consensus::Vote) -> (Delivery, Message) {
    varangian_runner::sign(signer, vote).unwrap()
}
