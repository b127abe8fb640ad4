//! Proofs in a home, in a file, and in a file that was changed.

use super::{World, running, says, world};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use varangian::record;
use varangian_consensus::{Batch, Commit, Conflict, Evidence, PrePrepare, Record, Slot, View};
use varangian_crypto::{Committee, QuorumCertificate, ReplicaId, Signer, SigningKey, encode, sha256};
use varangian_storage::{Body, Execution, Options, Store};

const KIND: &str = "two pre-prepares for one slot";

/// A replica's home with a proof in its store that another equivocated, and the file that it exports.
struct Case {
    world: World,
    file: PathBuf,
}

fn case(accused: u16) -> Case {
    let world = world("test");
    let committee = Committee::new(&world.genesis);
    let (key, _) = world.home(accused).make_keys().unwrap();
    let signer = Signer::new(ReplicaId(accused), key, &committee).unwrap();
    let signed = |what: &[u8]| {
        let digest = sha256("some batch", &[what]);
        signer.sign(PrePrepare { view: View(accused.into()), slot: Slot(5), digest }).into_inner()
    };
    let proof = Evidence::PrePrepares(Conflict { first: signed(b"one"), second: signed(b"other") });
    world.open(0).commit(record::commit(vec![Record::Evidence(proof)])).unwrap();
    fs::write(world.dir.path().join("genesis.json"), world.genesis.to_json_pretty()).unwrap();
    let file = world.dir.path().join("evidence.json");
    Case { world, file }
}

/// A world in which r1 and r2 have decided slot 1 differently, as r0 and r3 have voted on both sides, and the file for what that proves.
fn forked() -> Case {
    let world = world("test");
    let committee = Committee::new(&world.genesis);
    let signer = |id: u16| Signer::new(ReplicaId(id), world.home(id).make_keys().unwrap().0, &committee).unwrap();
    let signers: Vec<Signer> = (0..4).map(signer).collect();
    for id in [1, 2] {
        world.home(id).init(&world.genesis).unwrap();
        let key = SigningKey::from_seed([9; 32]);
        let command =
            varangian_consensus::Command::sign(&key, committee.context(), id.into(), &[b"operation"]).unwrap();
        let batch = Batch::new(vec![command]).unwrap();
        let statement = Commit { view: View(0), slot: Slot(1), digest: *batch.digest() };
        let sign = |id: u16| (ReplicaId(id), signers[usize::from(id)].sign(statement).signature);
        let mut signatures = [0, id, 3].map(sign);
        signatures.sort_by_key(|(id, _)| *id);
        let certificate = QuorumCertificate { statement, signatures: signatures.to_vec().try_into().unwrap() };
        let execution = Execution {
            slot: 1,
            state: Vec::new(),
            clients: Vec::new(),
            meta: Vec::new(),
            certificate: encode(&certificate).into(),
            batch: statement.digest,
            body: Body::Given(batch.encoded().clone()),
        };
        world.open(id).execute(execution).unwrap();
    }
    fs::write(world.dir.path().join("genesis.json"), world.genesis.to_json_pretty()).unwrap();
    let file = world.dir.path().join("fork.json");
    Case { world, file }
}

impl World {
    fn open(&self, id: u16) -> Store {
        let home = self.home(id);
        Store::open(&home.data(), &home.load().unwrap().store_identity(), Options::default()).unwrap().0
    }

    /// Exit code, and all that it says.
    fn inspect(&self, arguments: &[&dyn AsRef<Path>]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_varangian"));
        command.args(["inspect", "evidence"]).args(arguments.iter().map(|argument| argument.as_ref()));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }
}

impl Case {
    fn export(&self) -> (i32, String) {
        self.world.inspect(&[&"--home", &self.world.home(0).root(), &"--export", &self.file])
    }

    /// Checks the file, changed in this way, with the genesis.
    fn check(&self, change: impl FnOnce(String) -> String) -> (i32, String) {
        assert_eq!(self.export().0, 0);
        fs::write(&self.file, change(fs::read_to_string(&self.file).unwrap())).unwrap();
        self.world.inspect(&[&"--genesis", &self.world.dir.path().join("genesis.json"), &self.file])
    }
}

#[test]
fn proofs_are_listed_exported_and_checked_with_the_genesis_alone() {
    let case = case(2);
    let listed = case.world.inspect(&[&"--home", &case.world.home(0).root()]);
    says(listed, 0, &["r2", KIND, "view 2, slot 5", "proved faulty: r2"]);
    says(case.check(|text| text), 0, &["r2", KIND, "proved faulty: r2"]);
    let genesis = case.world.dir.path().join("genesis.json");
    let (code, said) = case.world.inspect(&[&"--json", &"--genesis", &genesis, &case.file, &case.file]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["valid"], &said["accused"]["2"][KIND]), (0, &true.into(), &2.into()), "{said}");
}

#[test]
fn homes_that_have_decided_differently_convict_together() {
    let Case { world, file } = forked();
    let (one, other) = (world.home(1), world.home(2));
    says(world.inspect(&[&"--home", &one.root()]), 0, &["nobody is proved faulty"]);
    let homes: [&dyn AsRef<Path>; 4] = [&"--home", &one.root(), &"--home", &other.root()];
    let said = world.inspect(&[&homes[..], &[&"--export", &file]].concat());
    let words = ["together, proof 1: r0", "r1 and r2 have decided slot 1 differently", "at least 2", "2 are proved"];
    says(said, 0, &[&words[..], &["proved faulty: r0, r3\n"]].concat());
    let said = world.inspect(&[&"--genesis", &world.dir.path().join("genesis.json"), &file]);
    says(said, 0, &["two commits for one slot", "proved faulty: r0, r3\n"]);
    let (code, said) = world.inspect(&[&homes[..], &[&"--json"]].concat());
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let fork = serde_json::json!({ "slot": 1, "replicas": [1, 2], "needed": 2, "proved": [0, 3] });
    assert_eq!((code, &said["fork"]), (0, &fork), "{said}");
}

#[test]
fn homes_of_two_chains_are_refused() {
    let (case, other) = (forked(), world("other"));
    let said = case.world.inspect(&[&"--home", &case.world.home(1).root(), &"--home", &other.home(0).root()]);
    says(said, 2, &["another chain"]);
}

#[test]
fn evidence_is_not_written_over() {
    let case = case(2);
    fs::write(&case.file, "other evidence").unwrap();
    says(case.export(), 2, &["evidence.json", "exists"]);
    assert_eq!(fs::read_to_string(&case.file).unwrap(), "other evidence");
}

#[test]
fn a_changed_signature_is_named() {
    let said = case(2).check(|text| {
        let end = text.rfind("\"\n").unwrap();
        let other = if text[..end].ends_with('0') { "1" } else { "0" };
        format!("{}{other}{}", &text[..end - 1], &text[end..])
    });
    says(said, 1, &["proof 1: r2", "NOT VALID", "signature", "nobody is proved faulty"]);
}

#[test]
fn another_accused_than_the_bytes_say_is_named() {
    let said = case(2).check(|text| text.replace("\"accused\": 2", "\"accused\": 1"));
    says(said, 1, &["proof 1: r1", "NOT VALID", "r2, two pre-prepares", "nobody is proved faulty"]);
}

#[test]
fn a_file_of_another_chain_is_refused() {
    let (case, other) = (case(2), world("other"));
    assert_eq!(case.export().0, 0);
    let genesis = other.home(0).genesis();
    let said = case.world.inspect(&[&"--genesis", &genesis, &case.file]);
    let chains = [case.world.genesis.chain_id().to_string(), other.genesis.chain_id().to_string()];
    says(said, 2, &["evidence.json", &chains[0], &chains[1]]);
}

#[test]
fn half_a_file_is_refused() {
    says(case(2).check(|text| text[..text.len() / 2].to_owned()), 2, &["evidence.json", "not a whole one", "EOF"]);
}

#[test]
fn a_later_format_is_refused() {
    let said = case(2).check(|text| text.replace("evidence 1", "evidence 2"));
    says(said, 2, &["varangian evidence 2", "varangian evidence 1"]);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let case = case(2);
    let genesis = case.world.dir.path().join("genesis.json");
    says(case.world.inspect(&[&"--genesis", &genesis, &case.file]), 2, &["evidence.json", "No such file"]);
    says(case.world.inspect(&[&"--genesis", &genesis]), 2, &["FILE"]);
    says(case.world.inspect(&[]), 2, &["--home"]);
}

#[test]
fn a_running_replica_is_left_alone() {
    let case = case(2);
    let (mut child, _) = running(case.world.home(0).root());
    says(case.export(), 3, &["process"]);
    assert!(!case.file.exists());
    child.kill().unwrap();
    child.wait().unwrap();
}
