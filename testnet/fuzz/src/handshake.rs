//! The first bytes of a connection, as they come out of QUIC's packets, and the frames that follow.

use bytes::Bytes;
use rustls::quic::{ClientConnection, ServerConnection, Version};
use std::sync::{Arc, LazyLock};
use varangian_crypto::SigningKey;
use varangian_net::Identity;
use varangian_net::endpoint::{tls_client, tls_server};
use varangian_net::frame::{Assembler, HEADER};
use varangian_net::identity::Role;
use varangian_net::verify::Pinned;

/// Bytes of the largest frame here.
const LIMIT: usize = 1 << 12;

/// A replica's identity and a peer's.
static IDENTITIES: LazyLock<[Identity; 2]> =
    LazyLock::new(|| [1, 2].map(|seed| Identity::new(&SigningKey::from_seed([seed; 32])).expect("a valid key")));

fn server(role: Role) -> ServerConnection {
    let [own, peer] = &*IDENTITIES;
    let pinned = (role == Role::Replica).then(|| Pinned::new([peer.key()]));
    let config = tls_server(own, role, pinned).expect("settings");
    ServerConnection::new(Arc::new(config), Version::V1, Vec::new()).expect("settings")
}

/// TLS handshake messages of a stranger to a replica's endpoint for replicas or, by the first bit, for clients. Accepted means answered.
pub fn handshake(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    let role = if first & 1 == 0 { Role::Replica } else { Role::Client };
    let mut server = server(role);
    // In pieces, as streams bring them.
    let piece = 1 + usize::from(first >> 1) * 8;
    for piece in bytes.chunks(piece) {
        if server.read_hs(piece).is_err() {
            return false;
        }
    }
    let mut answer = Vec::new();
    while server.write_hs(&mut answer).is_some() {}
    assert!(server.is_handshaking(), "a handshake ended by one side's first bytes alone");
    !answer.is_empty()
}

/// What a dialler says first.
#[must_use]
pub fn client_hello(role: Role) -> Vec<u8> {
    let [own, peer] = &*IDENTITIES;
    let identity = (role == Role::Replica).then_some(peer);
    let config = tls_client(identity, role, own.key()).expect("settings");
    let name = "varangian".try_into().expect("a name");
    let client = ClientConnection::new(Arc::new(config), Version::V1, name, Vec::new());
    let mut client: ClientConnection = client.expect("settings");
    let mut hello = Vec::new();
    while client.write_hs(&mut hello).is_some() {}
    hello
}

/// Frames on a stream: whatever pieces bytes arrive in, the same frames come out, and none above the limit.
pub fn frames(bytes: &[u8]) -> bool {
    let whole = assemble(bytes, bytes.len().max(1));
    for piece in [1, 3, 7] {
        assert_eq!(assemble(bytes, piece), whole, "other frames in pieces of {piece}");
    }
    let (frames, _) = whole;
    let mut at = 0;
    for frame in &frames {
        assert!(frame.len() <= LIMIT);
        let header = u32::try_from(frame.len()).expect("below the limit").to_le_bytes();
        assert_eq!(bytes[at..at + HEADER], header, "a frame has another length");
        at += HEADER;
        assert_eq!(bytes[at..at + frame.len()], *frame, "a frame has other bytes");
        at += frame.len();
    }
    !frames.is_empty()
}

/// The frames, and whether the stream was refused.
fn assemble(bytes: &[u8], piece: usize) -> (Vec<Bytes>, bool) {
    let (mut assembler, mut frames) = (Assembler::new(LIMIT), Vec::new());
    for piece in bytes.chunks(piece) {
        let mut unread = Bytes::copy_from_slice(piece);
        loop {
            match assembler.take(&mut unread) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
        assert!(unread.is_empty(), "bytes of a frame that is not whole yet were left behind");
    }
    (frames, false)
}
