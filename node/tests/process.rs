//! The program from outside: homes, exit codes, what it says, and what its peers hear of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "process/evidence.rs"]
mod evidence;
#[path = "process/names.rs"]
mod names;
#[path = "process/refusals.rs"]
mod refusals;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use varangian::home::Home;
use varangian_crypto::{Clients, Genesis, Member, Parameters, ReplicaId};

struct World {
    dir: tempfile::TempDir,
    genesis: Genesis,
}

/// Homes of four replicas; only the first is complete.
fn world(name: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    let member = |id: u16| {
        let (consensus, network) = Home::new(dir.path().join(format!("r{id}"))).make_keys().unwrap();
        Member {
            id: ReplicaId(id),
            name: format!("r{id}"),
            consensus_key: consensus.replica_key(),
            network_key: network.network_key(),
        }
    };
    let members = (0..4).map(member).collect();
    let genesis = Genesis::new(name.into(), Parameters::default(), members, Clients::Open { maximum: 10 }).unwrap();
    let world = World { dir, genesis };
    world.home(0).init(&world.genesis).unwrap();
    world
}

impl World {
    fn home(&self, id: u16) -> Home {
        Home::new(self.dir.path().join(format!("r{id}")))
    }

    /// Starts replica 0 and expects it to end: exit code and what it says.
    fn refused(&self, settings: &[&str]) -> (i32, String) {
        refused(self.home(0).root(), settings)
    }
}

fn start(home: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_varangian"));
    command.args(["start", "--json", "--home"]).arg(home).args(settings.iter().flat_map(|setting| ["--set", setting]));
    command
}

fn refused(home: &Path, settings: &[&str]) -> (i32, String) {
    let output = start(home, settings).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

/// Starts it and waits until it says that it listens, and where.
fn running(home: &Path) -> (Child, String) {
    let mut child = start(home, &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"event\":\"listening\""), "{line}");
    (child, line)
}

#[track_caller]
fn says(found: (i32, String), code: i32, words: &[&str]) {
    assert_eq!(found.0, code, "{}", found.1);
    for word in words {
        assert!(found.1.contains(word), "`{word}` is not in: {}", found.1);
    }
}
