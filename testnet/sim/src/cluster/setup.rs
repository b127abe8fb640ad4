//! Who takes part: a genesis with small numbers, and keys that come from small numbers, so that every run has the same bytes.

use varangian_consensus::{Command, Config, Sequence};
use varangian_crypto::{Clients, Committee, Genesis, Member, Parameters, ReplicaId, Signer, SigningKey};

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Replicas; at most 64 here.
    pub n: u16,
    /// Clients `a`, `b`, ... that the genesis admits; at most 26.
    pub clients: u8,
    /// The genesis' numbers.
    pub parameters: Parameters,
    /// Whether signatures are a simulation's, cheap and unforgeable within this process, instead of ed25519.
    pub simulated_signatures: bool,
}

impl Default for Options {
    /// Four replicas, three clients, and numbers so small that a test reaches every limit: checkpoints every 4 slots, a window of 8,
    /// 2 slots in the pipeline, a time-out of 1 second.
    fn default() -> Self {
        let parameters = Parameters {
            checkpoint_interval: 4,
            window: 8,
            pipeline_depth: 2,
            max_batch_bytes: 1 << 14,
            max_batch_operations: 64,
            max_command_bytes: 1 << 12,
            client_window: 16,
            armed_commands: 8,
            client_pool_commands: 8,
            pool_bytes: 1 << 16,
            base_timeout_ms: 1000,
            max_timeout_ms: 16_000,
            ..Parameters::default()
        };
        Self { n: 4, clients: 3, parameters, simulated_signatures: false }
    }
}

/// Genesis and everybody's keys: what a colluder with all secrets would hold.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The genesis.
    pub genesis: Genesis,
    /// Its committee.
    pub committee: Committee,
    signers: Vec<Signer>,
    clients: Vec<SigningKey>,
}

impl Setup {
    /// Of these options.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        assert!(options.n <= 64 && options.clients <= 26, "the harness has seeds for 64 replicas and 26 clients");
        let key = |range: u8, number: usize| SigningKey::from_seed([range + u8::try_from(number).expect("small"); 32]);
        let members = (0..options.n)
            .map(|id| Member {
                id: ReplicaId(id),
                name: format!("replica {id}"),
                consensus_key: key(1, id.into()).replica_key(),
                network_key: key(65, id.into()).network_key(),
            })
            .collect();
        let clients: Vec<_> = (0..options.clients).map(|client| key(129, client.into())).collect();
        let admitted = Clients::AllowList(clients.iter().map(SigningKey::client_key).collect());
        let genesis = Genesis::new("harness".into(), options.parameters.clone(), members, admitted)
            .expect("the options make a valid genesis");
        let committee =
            if options.simulated_signatures { Committee::simulated(&genesis) } else { Committee::new(&genesis) };
        let signers = (0..options.n)
            .map(|id| Signer::new(ReplicaId(id), key(1, id.into()), &committee).expect("a member's key"))
            .collect();
        Self { genesis, committee, signers, clients }
    }

    /// The hand of a replica: for forging what a faulty one would sign.
    #[must_use]
    pub fn signer(&self, id: ReplicaId) -> &Signer {
        &self.signers[id.index()]
    }

    /// The key of a client, 0 being `a`.
    #[must_use]
    pub fn client(&self, client: u8) -> &SigningKey {
        &self.clients[usize::from(client)]
    }

    /// A client's signed command with one operation per text.
    #[must_use]
    pub fn command(&self, client: u8, sequence: Sequence, operations: &[&str]) -> Command {
        Command::sign(self.client(client), self.committee.context(), sequence, operations)
            .expect("operations are given")
    }

    /// A replica's configuration.
    #[must_use]
    pub fn config(&self, id: ReplicaId) -> Config {
        Config::new(&self.genesis, &self.committee, id)
    }

    /// The letter of the client with this key, or its key.
    #[must_use]
    pub fn client_name(&self, key: &varangian_crypto::ClientKey) -> String {
        let place = self.clients.iter().position(|client| client.client_key() == *key);
        place
            .and_then(|place| u8::try_from(place).ok())
            .map_or_else(|| key.to_string(), |place| char::from(b'a' + place).into())
    }
}
