//! Four replicas that are none: real client servers with real keys on loopback, one shared application, and answers by script.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use varangian_application::{Executor, KeyValue, Limits, MemoryState, Meta, OperationResult, Outcome, Reply};
use varangian_client::protocol::{NotTaken, ReplicaStatus, Request, Response, check_subscription};
use varangian_client::{Network, Options};
use varangian_consensus::{Admission, Batch, ClientTable, Command, Commit, Execution, Identity, Slot, Verdict, View};
use varangian_crypto::{
    ClientKey, Clients, Committee, Digest, Genesis, Member, Parameters, QuorumCertificate, ReplicaId, SigningKey,
    encode,
};
use varangian_net::{ClientEvent, ClientServer, ConnectionId, Inbox, ServiceConfig, ServiceLimits};

/// What a replica does with commands and replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Orders what it gets as primary, answers with what was executed.
    Honest,
    /// Takes everything, says nothing.
    Silent,
    /// Answers at once, with a result that nobody computed; the same of all liars with the same number.
    Liar(u8),
    /// Answers as a liar does, many times over, then as an honest one.
    Chatterer(u8),
    /// Says every reply five times.
    Repeater,
    /// Does not take the first so many commands.
    Busy(usize),
    /// Takes none, for this reason.
    Refuses(NotTaken),
    /// Says that it executed another command of this number.
    OtherCommand,
}

/// What a test waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A connection is there.
    Opened(ReplicaId),
    /// A client proved its key.
    Subscribed(ReplicaId, ClientKey),
    /// A command came in.
    Command(ReplicaId, Identity, Digest),
}

/// Per connection of one replica, who listens on it.
type Subscriptions = BTreeMap<ConnectionId, BTreeSet<ClientKey>>;

/// The shared application and everything that a script may change.
pub struct World {
    pub behaviours: Vec<Behaviour>,
    pub view: u64,
    /// Whether commands are executed at all.
    pub ordering: bool,
    /// Backups that have a command order it themselves, as after a view change.
    pub backups_order: bool,
    table: ClientTable,
    executor: Executor<KeyValue>,
    state: MemoryState,
    /// How often each command ran.
    pub executions: BTreeMap<Identity, usize>,
    replies: BTreeMap<Identity, Reply>,
    routes: BTreeMap<ReplicaId, Subscriptions>,
}

pub struct Replicas {
    pub genesis: Genesis,
    pub addresses: Vec<SocketAddr>,
    pub world: Arc<Mutex<World>>,
    servers: Vec<Arc<ClientServer>>,
    seen: mpsc::UnboundedReceiver<Seen>,
    _tasks: JoinSet<()>,
}

pub fn client_key(number: u8) -> SigningKey {
    SigningKey::from_seed([100 + number; 32])
}

fn seed(kind: u8, id: u16) -> SigningKey {
    let mut seed = [kind; 32];
    seed[0] = u8::try_from(id).unwrap();
    SigningKey::from_seed(seed)
}

fn network_seed(id: u16) -> SigningKey {
    seed(2, id)
}

/// `n` replicas; clients 0 to 7 are admitted.
pub fn genesis(n: u16, parameters: Parameters) -> Genesis {
    let member = |id| Member {
        id: ReplicaId(id),
        name: format!("replica {id}"),
        consensus_key: seed(1, id).replica_key(),
        network_key: network_seed(id).network_key(),
    };
    let clients = (0..8).map(|number| client_key(number).client_key()).collect();
    Genesis::new("test".into(), parameters, (0..n).map(member).collect(), Clients::AllowList(clients)).unwrap()
}

/// Time-outs so short that a test need not wait, and a deadline so long that no machine is too slow.
pub fn options() -> Options {
    Options {
        deadline: Duration::from_secs(60),
        fan_out_after: Some(Duration::from_millis(50)),
        witnessed_one_in: 0,
        retransmit_cap: Duration::from_millis(100),
        busy_pause: Duration::from_millis(1),
        redial_first: Duration::from_millis(5),
        redial_cap: Duration::from_millis(50),
        ..Options::default()
    }
}

impl Replicas {
    pub async fn start(behaviours: Vec<Behaviour>) -> Self {
        Self::start_with(behaviours, Parameters::default()).await
    }

    pub async fn start_with(behaviours: Vec<Behaviour>, parameters: Parameters) -> Self {
        let genesis = genesis(u16::try_from(behaviours.len()).unwrap(), parameters);
        let ids: Vec<_> = genesis.quorums().replicas().collect();
        let Clients::AllowList(keys) = genesis.clients() else { unreachable!("see `genesis`") };
        let width = u64::from(genesis.parameters().client_window);
        let world = Arc::new(Mutex::new(World {
            behaviours,
            view: 0,
            ordering: true,
            backups_order: false,
            table: ClientTable::new(Admission::List(keys.iter().copied().collect()), width, []),
            executor: Executor::new(KeyValue, Limits::new(genesis.parameters()), Meta::default()),
            state: MemoryState::default(),
            executions: BTreeMap::new(),
            replies: BTreeMap::new(),
            routes: ids.iter().map(|id| (*id, BTreeMap::new())).collect(),
        }));
        let (sender, seen) = mpsc::unbounded_channel();
        let mut started = Vec::new();
        for id in &ids {
            let config = ServiceConfig {
                me: *id,
                secret: network_seed(id.0),
                bind: "127.0.0.1:0".parse().unwrap(),
                limits: ServiceLimits::default(),
            };
            let (server, inbox) = ClientServer::start(config).unwrap();
            started.push((*id, Arc::new(server), inbox));
        }
        let servers: Vec<_> = started.iter().map(|(_, server, _)| Arc::clone(server)).collect();
        let mut tasks = JoinSet::new();
        for (id, _, inbox) in started {
            let clerk = Clerk {
                id,
                committee: Committee::new(&genesis),
                servers: servers.clone(),
                world: Arc::clone(&world),
                seen: sender.clone(),
            };
            tasks.spawn(clerk.run(inbox));
        }
        let addresses = servers.iter().map(|server| server.local_address()).collect();
        Self { genesis, addresses, world, servers, seen, _tasks: tasks }
    }

    pub fn network(&self) -> Network {
        let ids = self.genesis.quorums().replicas();
        Network::new(self.genesis.clone(), ids.zip(self.addresses.iter().copied())).unwrap()
    }

    /// A network directory as `up` leaves it, with one client `default`.
    pub fn write_network(&self, directory: &Path) {
        std::fs::write(directory.join("genesis.json"), self.genesis.to_json_pretty()).unwrap();
        let one = |(id, address): (usize, &SocketAddr)| {
            format!("[[replica]]\nid = {id}\nreplica = \"127.0.0.1:1\"\nclient = \"{address}\"\n")
        };
        let peers: String = self.addresses.iter().enumerate().map(one).collect();
        std::fs::write(directory.join("peers.toml"), peers).unwrap();
        varangian_client::identity::store(directory.join("clients/default/key"), &client_key(0)).unwrap();
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub fn behave(&self, replica: usize, behaviour: Behaviour) {
        self.world().behaviours[replica] = behaviour;
    }

    /// Waits for the next event that `wanted` picks.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&Seen) -> Option<T>) -> T {
        loop {
            let seen = self.seen.recv().await.expect("the replicas live");
            if let Some(found) = wanted(&seen) {
                return found;
            }
        }
    }

    /// Waits until `replica` gets a command, and names it.
    pub async fn command_at(&mut self, replica: u16) -> (Identity, Digest) {
        self.until(|seen| match seen {
            Seen::Command(id, identity, digest) if id.0 == replica => Some((*identity, *digest)),
            _ => None,
        })
        .await
    }

    /// Everything seen so far.
    pub fn drain(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }

    /// Breaks every connection of a replica.
    pub fn disconnect(&self, replica: usize) {
        let connections: Vec<_> =
            self.world().routes[&ReplicaId(u16::try_from(replica).unwrap())].keys().copied().collect();
        for connection in connections {
            self.servers[replica].disconnect(connection);
        }
    }
}

struct Clerk {
    id: ReplicaId,
    committee: Committee,
    servers: Vec<Arc<ClientServer>>,
    world: Arc<Mutex<World>>,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Clerk {
    async fn run(self, mut inbox: Inbox<ClientEvent>) {
        let mut exporters = BTreeMap::new();
        while let Some(event) = inbox.recv().await {
            match event {
                ClientEvent::Opened(connection, exporter) => {
                    exporters.insert(connection, exporter);
                    self.routes().insert(connection, BTreeSet::new());
                    self.saw(Seen::Opened(self.id));
                }
                ClientEvent::Closed(connection) => {
                    self.routes().remove(&connection);
                }
                ClientEvent::Frame(connection, frame) => match Request::decode(&frame).unwrap() {
                    Request::Subscribe { client, signature } => {
                        let exporter = &exporters[&connection];
                        check_subscription(self.committee.context(), &client, &signature, exporter).unwrap();
                        self.routes().get_mut(&connection).unwrap().insert(client);
                        self.answer(self.id, connection, &Response::Subscribed { client });
                        self.saw(Seen::Subscribed(self.id, client));
                    }
                    Request::Status => self.answer(self.id, connection, &Response::Status(self.status())),
                    Request::Command(command) => self.command(connection, &command),
                },
            }
        }
    }

    fn command(&self, connection: ConnectionId, command: &Command) {
        let identity = command.identity();
        let Identity { client, sequence } = identity;
        let refuse = |reason| self.answer(self.id, connection, &Response::NotTaken { client, sequence, reason });
        let mut world = self.world.lock().unwrap();
        let behaviour = world.behaviours[self.id.index()].clone();
        match behaviour {
            Behaviour::Refuses(reason) => refuse(reason),
            Behaviour::Busy(left) if left > 0 => {
                world.behaviours[self.id.index()] = Behaviour::Busy(left - 1);
                refuse(NotTaken::Busy);
            }
            Behaviour::Liar(number) | Behaviour::Chatterer(number) => {
                let lies = if matches!(behaviour, Behaviour::Liar(_)) { 1 } else { 20 };
                for lie in 0..lies {
                    let result = OperationResult::Done(vec![number, lie].try_into().unwrap());
                    let outcome = Outcome::Executed(vec![result].try_into().unwrap());
                    let reply = Reply { client, sequence, command: *command.digest(), slot: Slot(1), outcome };
                    self.send(&world, self.id, reply);
                }
            }
            Behaviour::OtherCommand => {
                let outcome = Outcome::Executed(Vec::new().try_into().unwrap());
                let reply = Reply { client, sequence, command: Digest::ZERO, slot: Slot(9), outcome };
                self.send(&world, self.id, reply);
            }
            _ => {}
        }
        let leads = self.committee.primary(world.view) == self.id;
        let orders = matches!(behaviour, Behaviour::Honest | Behaviour::Repeater | Behaviour::Busy(0));
        if world.ordering && orders && (leads || world.backups_order) {
            let reply = world.execute(command);
            for server in self.committee.quorums().replicas() {
                match &world.behaviours[server.index()] {
                    Behaviour::Honest | Behaviour::Busy(_) | Behaviour::Chatterer(_) => {
                        self.send(&world, server, reply.clone())
                    }
                    Behaviour::Repeater => (0..5).for_each(|_| self.send(&world, server, reply.clone())),
                    _ => {}
                }
            }
        }
        drop(world);
        self.saw(Seen::Command(self.id, identity, *command.digest()));
    }

    fn send(&self, world: &World, from: ReplicaId, reply: Reply) {
        let client = reply.client;
        let response = Response::Reply { reply, view: world.view };
        for (connection, clients) in &world.routes[&from] {
            if clients.contains(&client) {
                self.answer(from, *connection, &response);
            }
        }
    }

    /// A connection that has just gone is no mistake of a replica.
    fn answer(&self, from: ReplicaId, connection: ConnectionId, response: &Response) {
        drop(self.servers[from.index()].reply(connection, encode(response)));
    }

    fn status(&self) -> ReplicaStatus {
        let view = self.world.lock().unwrap().view;
        ReplicaStatus {
            replica: self.id.0,
            view,
            active: true,
            primary: self.committee.primary(view).0,
            executed: 0,
            history: Digest::ZERO,
            stable: 0,
            behind: false,
            waiting: 0,
            connected: 3,
            accused: Vec::new(),
            stopped: None,
        }
    }

    fn saw(&self, seen: Seen) {
        // The test may be over.
        drop(self.seen.send(seen));
    }

    fn routes(&self) -> impl std::ops::DerefMut<Target = Subscriptions> + '_ {
        Routes { guard: self.world.lock().unwrap(), id: self.id }
    }
}

struct Routes<'a> {
    guard: MutexGuard<'a, World>,
    id: ReplicaId,
}

impl std::ops::Deref for Routes<'_> {
    type Target = Subscriptions;

    fn deref(&self) -> &Self::Target {
        &self.guard.routes[&self.id]
    }
}

impl std::ops::DerefMut for Routes<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.guard.routes.get_mut(&self.id).unwrap()
    }
}

impl World {
    /// The real client table and the real store: exactly-once is theirs.
    fn execute(&mut self, command: &Command) -> Reply {
        let identity = command.identity();
        let verdict = self.table.turn(&identity);
        if let Verdict::Run { .. } = verdict {
            *self.executions.entry(identity).or_default() += 1;
        }
        if verdict == Verdict::Duplicate {
            return self.replies[&identity].clone();
        }
        let slot = self.executor.meta().slot.next();
        let statement = Commit { view: View(0), slot, digest: Digest::ZERO };
        let execution = Execution {
            slot,
            certificate: QuorumCertificate { statement, signatures: Default::default() },
            batch: Some(Arc::new(Batch::new(vec![command.clone()]).unwrap())),
            verdicts: vec![verdict],
            windows: self.table.rows(vec![identity.client]),
            history: Digest::ZERO,
            checkpoint: false,
        };
        let executed = self.executor.execute(&self.state, &execution).unwrap();
        self.state.apply(&executed.changes);
        let reply = executed.replies[0].clone().expect("no duplicate");
        self.replies.insert(identity, reply.clone());
        reply
    }
}
