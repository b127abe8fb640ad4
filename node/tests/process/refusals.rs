//! What `varangian` says when it cannot start or check, and the exit code that says it to machines.

use super::{refused, running, says, start, world};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use varangian_client::identity;

#[test]
fn a_missing_home_is_named() {
    says(refused(Path::new("/nowhere/r0"), &[]), 1, &["/nowhere/r0", "varangian init"]);
}

#[test]
fn a_missing_store_is_not_made_up() {
    let world = world("test");
    fs::remove_dir_all(world.home(0).data()).unwrap();
    says(world.refused(&[]), 3, &["data", "init"]);
}

#[test]
fn a_foreign_store_is_refused() {
    let (world, other) = (world("test"), world("other"));
    fs::remove_dir_all(world.home(0).data()).unwrap();
    fs::rename(other.home(0).data(), world.home(0).data()).unwrap();
    says(world.refused(&[]), 3, &["chain"]);
}

#[test]
fn a_store_in_use_is_refused_and_its_user_goes_on() {
    let world = world("test");
    let (mut child, _) = running(world.home(0).root());
    says(world.refused(&[]), 3, &["process"]);
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_key_that_the_genesis_does_not_list_is_refused() {
    let world = world("test");
    fs::remove_file(world.home(0).consensus_key()).unwrap();
    identity::create(world.home(0).consensus_key()).unwrap();
    says(world.refused(&[]), 1, &["consensus.key", "not any replica's"]);
}

#[test]
fn another_network_key_is_refused() {
    let world = world("test");
    fs::remove_file(world.home(0).network_key()).unwrap();
    identity::create(world.home(0).network_key()).unwrap();
    says(world.refused(&[]), 1, &["network.key", "r0"]);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = world("test");
    fs::set_permissions(world.home(0).network_key(), fs::Permissions::from_mode(0o644)).unwrap();
    says(world.refused(&[]), 1, &["network.key", "chmod 600"]);
}

#[test]
fn a_broken_genesis_is_refused_with_its_place() {
    let world = world("test");
    fs::write(world.home(0).genesis(), "{ \"name\": \"x\" }").unwrap();
    says(world.refused(&[]), 1, &["genesis.json", "missing field"]);
}

#[test]
fn another_genesis_is_not_written_over() {
    let (world, other) = (world("test"), world("other"));
    let said = world.home(0).init(&other.genesis).unwrap_err().to_string();
    assert!(said.contains("another genesis"), "{said}");
}

#[test]
fn busy_ports_are_named() {
    let world = world("test");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap().to_string();
    for key in ["replica_address", "client_address"] {
        says(world.refused(&[&format!("network.{key}={address}")]), 1, &[&address, "cannot bind"]);
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    says(world.refused(&[&format!("network.metrics_address={address}")]), 1, &[&address, "cannot bind"]);
}

#[test]
fn unknown_settings_are_refused_with_the_nearest() {
    let world = world("test");
    says(world.refused(&["log.levle=debug"]), 2, &["log.levle", "log.level"]);
    fs::write(world.home(0).config(), "[storage]\nretain_byte = 1\n").unwrap();
    says(world.refused(&[]), 2, &["storage.retain_byte", "config.toml", "storage.retain_bytes"]);
    fs::write(world.home(0).config(), "").unwrap();
    says(world.refused(&["log.level=varangian=loud"]), 2, &["log.level"]);
}

#[test]
fn a_replica_stops_in_order_when_asked() {
    let world = world("test");
    let mut child = start(world.home(0).root(), &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("listening"));
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(lines.next().unwrap().unwrap().contains("\"event\":\"stopped\""));
    assert!(child.wait().unwrap().success());
}
