#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Cursor;

use rustls::{ClientConnection, PeerIncompatible, ServerConnection, pki_types::ServerName};
use varangian_crypto::SigningKey;

use super::*;

fn identity(seed: u8) -> Identity {
    Identity::new(&SigningKey::from_seed([seed; 32])).unwrap()
}

/// A ClientHello of TLS 1.2 as a well-meaning old client would send it.
fn tls12_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[0x5a; 32]);
    body.push(0); // no session
    body.extend_from_slice(&[0, 2, 0xc0, 0x2b]); // ECDHE-ECDSA with AES-128-GCM
    body.extend_from_slice(&[1, 0]); // no compression
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 0x1d][..], // groups: X25519
        &[0, 11, 0, 2, 1, 0],              // point formats: uncompressed
        &[0, 13, 0, 4, 0, 2, 8, 7],        // signatures: ed25519
    ]
    .concat();
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let mut record = vec![22, 3, 1];
    record.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(&body);
    record
}

#[test]
fn a_server_refuses_tls12() {
    for (role, clients) in [(Role::Replica, Some(Pinned::new([identity(2).key()]))), (Role::Client, None)] {
        let config = tls_server(&identity(1), role, clients).unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let hello = tls12_hello();
        assert_eq!(connection.read_tls(&mut Cursor::new(&hello)).unwrap(), hello.len());
        let refused = connection.process_new_packets().unwrap_err();
        assert!(
            matches!(refused, rustls::Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired)),
            "{refused:?}"
        );
    }
}

#[test]
fn a_client_offers_tls13_alone_and_names_nobody() {
    let config = tls_client(Some(&identity(1)), Role::Replica, identity(2).key()).unwrap();
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    let holds = |needle: &[u8]| hello.windows(needle.len()).any(|window| window == needle);
    assert!(holds(&[0, 43, 0, 3, 2, 3, 4]), "supported_versions is TLS 1.3 and nothing else");
    assert!(holds(ALPN_REPLICA));
    assert!(!holds(ALPN_CLIENT));
    let count = hello.windows(SERVER_NAME.len()).filter(|window| *window == SERVER_NAME.as_bytes()).count();
    assert_eq!(count, 1, "the ALPN; no server name");
}

#[test]
fn there_is_nothing_to_resume() {
    let server = tls_server(&identity(1), Role::Client, None).unwrap();
    assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
    assert!(!server.session_storage.can_cache());
    let client = tls_client(None, Role::Client, identity(1).key()).unwrap();
    assert!(!client.enable_early_data && !client.enable_sni);
}

#[test]
fn reset_tokens_are_the_same_after_a_restart_and_differ_between_roles() {
    let sign = |role| {
        let mut token = [0; 32];
        ResetKey::new(&identity(1), role).unwrap().sign(b"connection id", &mut token);
        token
    };
    assert_eq!(sign(Role::Replica), sign(Role::Replica));
    assert_ne!(sign(Role::Replica), sign(Role::Client));
    let key = ResetKey::new(&identity(1), Role::Replica).unwrap();
    assert!(key.verify(b"connection id", &sign(Role::Replica)).is_ok());
    assert!(key.verify(b"connection id", &sign(Role::Client)).is_err());
    assert!(key.verify(b"connection id", &sign(Role::Replica)[..31]).is_err());
}
