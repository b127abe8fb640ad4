#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::testing::genesis;
use varangian_crypto::Parameters;

const PEERS: &str = r#"
[[replica]]
id = 1
replica = "127.0.0.1:101"
client = "127.0.0.1:201"
[[replica]]
id = 0
client = "127.0.0.1:200"
[[replica]]
id = 2
client = "127.0.0.1:202"
[[replica]]
id = 3
client = "[::1]:203"
"#;

fn load(genesis_text: &str, peers: &str) -> Result<Network, NetworkError> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(GENESIS_FILE), genesis_text).unwrap();
    std::fs::write(directory.path().join(PEERS_FILE), peers).unwrap();
    Network::load(directory.path())
}

#[test]
fn a_network_is_read_in_the_order_of_its_replicas() {
    let genesis = genesis(Parameters::default());
    let network = load(&genesis.to_json_pretty(), PEERS).unwrap();
    assert_eq!(network.genesis(), &genesis);
    assert_eq!(network.committee().context().chain_id, genesis.chain_id());
    let ports: Vec<_> = network.addresses().iter().map(SocketAddr::port).collect();
    assert_eq!(ports, [200, 201, 202, 203]);
    let third = network.replicas().nth(2).unwrap();
    assert_eq!(third, (ReplicaId(2), network.addresses()[2], genesis.replicas()[2].network_key));
}

#[test]
fn what_does_not_fit_is_named() {
    let text = genesis(Parameters::default()).to_json_pretty();
    let refused = |peers: &str| load(&text, peers).unwrap_err().to_string();
    assert!(refused(&PEERS.replace("id = 3", "id = 2")).contains("r2 has two addresses"));
    assert!(refused(&PEERS.replace("id = 3", "id = 4")).contains("r4 has an address"));
    let three = PEERS.rsplit_once("[[replica]]").unwrap().0;
    assert!(refused(three).contains("r3 has no address"), "{}", refused(three));
    let misspelt = refused(&PEERS.replace("client = \"127.0.0.1:200\"", "clients = \"127.0.0.1:200\""));
    assert!(misspelt.contains("peers.toml") && misspelt.contains("clients"), "{misspelt}");
    let broken = load("{", PEERS).unwrap_err().to_string();
    assert!(broken.contains("genesis.json") && broken.contains("line 1"), "{broken}");
    let missing = Network::load("/nonexistent").unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/genesis.json") && missing.contains("--network"), "{missing}");
}
