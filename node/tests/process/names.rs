//! Large commands travel by name: what a replica says to a peer that keeps to it, and how both get on when a name is not enough.

use super::{World, running, world};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use varangian::peers::{PeerAddress, PeersFile};
use varangian_client::protocol::Request;
use varangian_consensus::wire::LARGE;
use varangian_consensus::{
    Batch, Command, Commit, Encoded, Message, Name, Note, Part, PrePrepare, Prepare, Slot, View, Wire,
};
use varangian_crypto::{Committee, ReplicaId, Signer, SigningKey};
use varangian_net::{ClientConnection, ClientEndpoint, DialLimits, connect};
use varangian_net::{Frame, Lane, Mesh, MeshConfig, MeshEvent, MeshInbox, MeshLimits};

/// Nothing is measured: this only ends a test that waits in vain.
const BOUND: Duration = Duration::from_secs(60);

/// A replica's process, this test as its only peer, and a client of it.
struct Pair {
    /// Its home is there as long as this.
    _world: World,
    /// The replica.
    it: ReplicaId,
    child: Child,
    committee: Committee,
    /// Of all replicas: what they sign proves itself, whoever sends it.
    signers: Vec<Signer>,
    mesh: Mesh,
    inbox: MeshInbox,
    client: ClientConnection,
    /// What it said to have, as far as was heard.
    announced: Vec<Name>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn frame(encoded: Encoded) -> Frame {
    Frame::new(encoded.head, encoded.body)
}

impl Pair {
    /// `it` is the process, `me` the peer. The lower one dials.
    async fn new(it: u16, me: u16) -> Self {
        let world = world("test");
        if it != 0 {
            world.home(it).init(&world.genesis).unwrap();
        }
        let committee = Committee::new(&world.genesis);
        let signer = |id: u16| Signer::new(ReplicaId(id), world.home(id).make_keys().unwrap().0, &committee).unwrap();
        let signers = (0..4).map(signer).collect();
        let (_, network) = world.home(me).make_keys().unwrap();
        let members = world.genesis.replicas().iter().map(|member| (member.id, member.network_key)).collect();
        let (dialled, addresses) = watch::channel(BTreeMap::new());
        let config = MeshConfig {
            me: ReplicaId(me),
            secret: network,
            members,
            addresses,
            bind: local(),
            limits: MeshLimits::default(),
        };
        let (mesh, inbox) = Mesh::start(config).unwrap();
        let here = PeerAddress { id: me, replica: mesh.local_address(), client: local() };
        PeersFile { replica: vec![here] }.store(&world.home(it).peers()).unwrap();
        let (child, listening) = running(world.home(it).root());
        let listening: serde_json::Value = serde_json::from_str(&listening).unwrap();
        let address = |of: &str| listening[of].as_str().unwrap().parse::<SocketAddr>().unwrap();
        let it = ReplicaId(it);
        dialled.send_replace(BTreeMap::from([(it, address("replica_address"))]));
        let endpoint = ClientEndpoint::bind(local(), DialLimits::default()).unwrap();
        let key = world.genesis.replicas()[it.index()].network_key;
        let client = connect(&endpoint, address("client_address"), it, &key).await.unwrap();
        let mut pair =
            Self { _world: world, it, child, committee, signers, mesh, inbox, client, announced: Vec::new() };
        pair.hear(|event| matches!(event, MeshEvent::Connected(_)).then_some(())).await;
        pair
    }

    fn command(&self, sequence: u64, bytes: usize) -> Command {
        let key = SigningKey::from_seed([7; 32]);
        Command::sign(&key, self.committee.context(), sequence, &[vec![1; bytes]]).unwrap()
    }

    /// A client's command for the replica.
    async fn ask(&mut self, command: &Command) {
        self.client.send(frame(Request::Command(command.clone()).encode())).await.unwrap();
    }

    fn say(&self, wire: Wire) {
        let lane = if wire.is_bulk() { Lane::Bulk } else { Lane::Vote };
        self.mesh.send(self.it, lane, frame(wire.encode())).unwrap();
    }

    fn note(&self, note: Note) {
        self.say(Wire::Note(note));
    }

    fn message(&self, message: Message) {
        self.say(Wire::Message(message));
    }

    /// What `found` makes of the next event that it makes something of.
    async fn hear<T>(&mut self, found: impl Fn(MeshEvent) -> Option<T>) -> T {
        let heard = async {
            loop {
                let event = tokio::select! {
                    event = self.inbox.votes.recv() => event,
                    event = self.inbox.bulk.recv() => event,
                };
                if let Some(found) = found(event.expect("the mesh is up")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(BOUND, heard).await.expect("it never came")
    }

    async fn heard<T>(&mut self, found: impl Fn(Wire) -> Option<T>) -> T {
        loop {
            let bytes =
                self.hear(|event| if let MeshEvent::Frame { bytes, .. } = event { Some(bytes) } else { None }).await;
            let wire = Wire::decode(&bytes).unwrap();
            if let Wire::Note(Note::Have(name)) = &wire {
                self.announced.push(*name);
            }
            if let Some(found) = found(wire) {
                return found;
            }
        }
    }

    /// All of these, in whatever order.
    async fn heard_notes(&mut self, expected: &[Note]) {
        let mut missing: Vec<Note> = expected.to_vec();
        while !missing.is_empty() {
            let note = self.heard(|wire| if let Wire::Note(note) = wire { Some(note) } else { None }).await;
            missing.retain(|expected| *expected != note);
        }
    }

    /// It has heeded what was said on the bulk lane so far: one thread reads that, in order.
    async fn heeds_bulk(&mut self, sequence: u64) {
        let name = Name::of(&self.command(sequence, LARGE));
        self.note(Note::Offer(name));
        self.heard_notes(&[Note::Want(name)]).await;
    }

    /// The replica asks for the body of this slot.
    async fn asked_for_the_body(&mut self, slot: u64, batch: &Batch) {
        let question = Message::FetchBatch { slot: Slot(slot), digest: *batch.digest() };
        self.heard(|wire| (wire == Wire::Message(question.clone())).then_some(())).await;
    }

    /// As the primary of view 0.
    fn pre_prepare(&self, slot: u64, batch: &Batch) {
        let statement = PrePrepare { view: View(0), slot: Slot(slot), digest: *batch.digest() };
        self.message(Message::PrePrepare(self.signers[0].sign(statement).into_inner()));
    }

    /// As the backups of view 0.
    fn decide(&self, slot: u64, batch: &Batch) {
        let (view, slot, digest) = (View(0), Slot(slot), *batch.digest());
        for signer in &self.signers[1..] {
            self.message(Message::Prepare(signer.sign(Prepare { view, slot, digest }).into_inner()));
            self.message(Message::Commit(signer.sign(Commit { view, slot, digest }).into_inner()));
        }
    }

    async fn heard_the_body(&mut self, slot: u64, batch: &Batch) {
        let body = Message::Batch { slot: Slot(slot), batch: Arc::new(batch.clone()) };
        self.heard(|wire| (wire == Wire::Message(body.clone())).then_some(())).await;
    }

    /// Waits until it votes for this body; whether it asked for a body before.
    async fn voted_for(&mut self, slot: u64, batch: &Batch) -> bool {
        let mut asked = false;
        loop {
            let (voted, asks) = self
                .heard(|wire| match wire {
                    Wire::Message(Message::Prepare(vote)) if vote.statement.slot == Slot(slot) => {
                        assert_eq!(vote.statement.digest, *batch.digest());
                        Some((true, false))
                    }
                    Wire::Message(Message::FetchBatch { .. }) => Some((false, true)),
                    _ => None,
                })
                .await;
            asked |= asks;
            if voted {
                return asked;
            }
        }
    }
}

fn batch(commands: &[&Command]) -> Batch {
    Batch::new(commands.iter().copied().cloned().collect()).unwrap()
}

fn outline(slot: u64, batch: &Batch, whole: &[&Command]) -> Note {
    let part = |command: &Command| match whole.contains(&command) {
        true => Part::Whole(command.clone()),
        false => Part::Named(Name::of(command)),
    };
    let parts = batch.commands().iter().map(part).collect();
    Note::Outline { slot: Slot(slot), digest: *batch.digest(), parts }
}

/// The replica is a backup, and hands a large command on by its name; a body that names what it does not have it asks for whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_gets_bodies_by_name_and_whole_when_it_must() {
    let mut pair = Pair::new(1, 0).await;
    let (one, two, small) = (pair.command(1, LARGE), pair.command(2, 2 * LARGE), pair.command(3, 10));
    pair.ask(&one).await;
    pair.heard_notes(&[Note::Have(Name::of(&one)), Note::Offer(Name::of(&one))]).await;
    pair.note(Note::Want(Name::of(&one)));
    pair.heard(|wire| (wire == Wire::Message(Message::Command(one.clone()))).then_some(())).await;

    // It has one of both, and not the other. While the body is not pre-prepared, nothing but the outline makes it ask.
    let first = batch(&[&one, &two]);
    pair.note(outline(1, &first, &[]));
    pair.asked_for_the_body(1, &first).await;
    pair.message(Message::Batch { slot: Slot(1), batch: Arc::new(first.clone()) });
    pair.pre_prepare(1, &first);
    pair.voted_for(1, &first).await;

    let four = pair.command(4, LARGE);
    pair.ask(&four).await;
    pair.heard_notes(&[Note::Have(Name::of(&four))]).await;
    let second = batch(&[&small, &four]);
    pair.note(outline(2, &second, &[&small]));
    pair.heeds_bulk(5).await;
    pair.pre_prepare(2, &second);
    assert!(!pair.voted_for(2, &second).await, "a name was enough");
}

/// The replica is the primary: what it is offered and lacks it asks for, and whoever says that it has a command gets bodies that name it.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_asks_for_what_it_is_offered_and_names_what_others_have() {
    let mut pair = Pair::new(0, 1).await;
    let (one, two) = (pair.command(1, LARGE), pair.command(2, LARGE));
    pair.note(Note::Offer(Name::of(&one)));
    pair.heard_notes(&[Note::Want(Name::of(&one))]).await;
    pair.message(Message::Command(one.clone()));
    // Nobody said that it had this one.
    let first = batch(&[&one]);
    pair.heard_the_body(1, &first).await;
    pair.decide(1, &first);

    pair.note(Note::Have(Name::of(&two)));
    // By the time that it answers this it has heard the line before: one thread reads both.
    pair.message(Message::FetchBatch { slot: Slot(1), digest: *first.digest() });
    pair.heard_the_body(1, &first).await;
    pair.ask(&two).await;
    let second = batch(&[&two]);
    pair.heard_notes(&[outline(2, &second, &[])]).await;
    // It said so and has it not.
    pair.message(Message::FetchBatch { slot: Slot(2), digest: *second.digest() });
    pair.heard_the_body(2, &second).await;
}

/// Other bytes under a number that is taken are announced to nobody, neither while it waits nor when it has run.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_pool_does_not_take_is_not_announced() {
    let mut pair = Pair::new(0, 1).await;
    let (one, two) = (pair.command(1, LARGE), pair.command(2, LARGE));
    let [other, another] = [2, 3].map(|times| pair.command(1, times * LARGE));
    pair.ask(&one).await;
    pair.ask(&other).await;
    let first = batch(&[&one]);
    pair.heard_the_body(1, &first).await;
    pair.decide(1, &first);
    pair.heard(|wire| matches!(wire, Wire::Message(Message::Commit(_))).then_some(())).await;
    pair.ask(&another).await;
    pair.ask(&two).await;
    pair.heard_notes(&[Note::Have(Name::of(&two))]).await;
    assert_eq!(pair.announced, [Name::of(&one), Name::of(&two)]);
}
