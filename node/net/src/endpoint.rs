//! QUIC and TLS settings of each role, and its UDP socket.
//!
//! - TLS 1.3 only, one ALPN per role, no tickets, no resumption, no early data, no server name.
//! - Stateless resets and connection ids come from keys derived from the node's own. A replica that restarts on the
//!   same port recognises the connection ids of its earlier life and answers with a reset that its peers accept, so
//!   they redial within milliseconds. With random keys they would wait out their idle time-out.
//! - A connection does not migrate: it would leave the address whose share it was counted against.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{
    ClientConfig, Endpoint, EndpointConfig, NoneTokenStore, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    congestion,
    crypto::{
        CryptoError, HmacKey,
        rustls::{QuicClientConfig, QuicServerConfig},
    },
};
use quinn_proto::HashedConnectionIdGenerator;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustls::{
    client::{AlwaysResolvesClientRawPublicKeys, Resumption},
    crypto::tls13::OkmBlock,
    server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage},
    version::TLS13,
};
use varangian_crypto::{NetworkKey, ReplicaId};

use crate::{
    error::{Closed, NetError},
    identity::{self, Identity, Role},
    limits::{AdmissionLimits, Congestion, Transport},
    verify::Pinned,
};

/// ALPN of the traffic among replicas. The number rises with every incompatible change of the frames.
pub const ALPN_REPLICA: &[u8] = b"varangian/replica/2";

/// ALPN of the traffic between clients and replicas.
pub const ALPN_CLIENT: &[u8] = b"varangian/client/1";

/// Close code: this process is shutting down, or the caller has no more use for the connection.
pub const CODE_SHUTDOWN: u32 = 0;
/// Close code: the same peer has proved itself on a newer connection.
pub const CODE_REPLACED: u32 = 1;
/// Close code: a frame, a hello or a stream broke the rules.
pub const CODE_RULES: u32 = 2;
/// Close code: the reader does not keep up with its replies.
pub const CODE_SLOW: u32 = 3;
/// Close code: something was begun and not completed in time.
pub const CODE_DEADLINE: u32 = 4;
/// Close code: there is no room for all clients, or for all that they send, and this one was to give way.
pub const CODE_FULL: u32 = 5;

/// Nobody looks at the name; QUIC wants one, and SNI is off.
const SERVER_NAME: &str = "varangian";

/// Label of the exported keying material.
const EXPORTER_LABEL: &[u8] = b"varangian subscribe";

/// A sender keeps a chunk whole until its last byte is acknowledged, so what it holds may exceed the window by one
/// chunk per stream. Chunks are cut to [`crate::frame::CHUNK`] bytes.
const CHUNK_SLACK: u32 = 2 * crate::frame::CHUNK as u32;

/// Streams that the other side may open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub bidirectional: u32,
    pub unidirectional: u32,
}

impl Streams {
    /// Votes and bulk.
    pub(crate) const MESH: Self = Self { bidirectional: 0, unidirectional: 2 };
    /// A client's one stream.
    pub(crate) const SERVICE: Self = Self { bidirectional: 1, unidirectional: 0 };
    /// A node opens nothing towards a client.
    pub(crate) const NONE: Self = Self { bidirectional: 0, unidirectional: 0 };
}

/// Settings of one role's connections.
///
/// With at most two streams per direction of `stream_window` bytes each, a connection's windows hold both: a stream
/// that nobody reads, or whose bytes nobody acknowledges, leaves the other one its whole share.
pub(crate) fn transport(settings: &Transport, streams: Streams) -> Result<TransportConfig, NetError> {
    let window = settings.stream_window;
    let connection_window = 2 * window + CHUNK_SLACK;
    let idle =
        settings.idle_timeout.try_into().map_err(|_| NetError::Limits("idle_timeout must be at most one hour"))?;
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(streams.bidirectional.into())
        .max_concurrent_uni_streams(streams.unidirectional.into())
        .stream_receive_window(window.into())
        .receive_window(connection_window.into())
        .send_window(u64::from(connection_window))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(settings.keep_alive))
        .initial_rtt(settings.initial_rtt);
    let factory: Arc<dyn congestion::ControllerFactory + Send + Sync> = match settings.congestion {
        Congestion::Cubic => Arc::new(congestion::CubicConfig::default()),
        Congestion::Bbr => Arc::new(congestion::BbrConfig::default()),
        Congestion::NewReno => Arc::new(congestion::NewRenoConfig::default()),
    };
    config.congestion_controller_factory(factory);
    Ok(config)
}

/// What a server of `role` answers with. `clients`: the keys it accepts; `None` asks for no key at all.
pub(crate) fn server_config(
    identity: &Identity,
    role: Role,
    clients: Option<Pinned>,
    transport: TransportConfig,
    admission: &AdmissionLimits,
) -> Result<ServerConfig, NetError> {
    let crypto = QuicServerConfig::try_from(tls_server(identity, role, clients)?).map_err(tls)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .migration(false)
        .max_incoming(admission.handshakes)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER * admission.handshakes as u64);
    Ok(config)
}

/// TLS as a server of `role` speaks it: what a stranger's first bytes meet. `clients`: the keys it accepts; `None` asks for no key at all.
///
/// # Errors
/// [`NetError`] if the identity makes no settings.
pub fn tls_server(identity: &Identity, role: Role, clients: Option<Pinned>) -> Result<rustls::ServerConfig, NetError> {
    let builder = rustls::ServerConfig::builder_with_provider(identity::provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?;
    let builder = match clients {
        Some(pinned) => builder.with_client_cert_verifier(Arc::new(pinned)),
        None => builder.with_no_client_auth(),
    };
    let keys = AlwaysResolvesServerRawPublicKeys::new(identity.certified());
    let mut config = builder.with_cert_resolver(Arc::new(keys));
    config.alpn_protocols = vec![alpn(role).to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// Bytes kept for a connection attempt that nobody has looked at yet.
const INCOMING_BUFFER: u64 = 16 << 10;

/// What a dialler of `role` asks for: exactly `expected` on the other side. `identity`: what it proves itself with.
pub(crate) fn client_config(
    identity: Option<&Identity>,
    role: Role,
    expected: &NetworkKey,
    transport: Arc<TransportConfig>,
) -> Result<ClientConfig, NetError> {
    let crypto = QuicClientConfig::try_from(tls_client(identity, role, expected)?).map_err(tls)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport).token_store(Arc::new(NoneTokenStore));
    Ok(config)
}

/// TLS as a dialler of `role` speaks it. `identity`: what it proves itself with; `expected`: the one key that it accepts.
///
/// # Errors
/// [`NetError`] if the identity makes no settings.
pub fn tls_client(
    identity: Option<&Identity>,
    role: Role,
    expected: &NetworkKey,
) -> Result<rustls::ClientConfig, NetError> {
    let builder = rustls::ClientConfig::builder_with_provider(identity::provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::new([expected])));
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity.certified())))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn(role).to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

/// What may wait in the kernel until this process gets to it; the system's `net.core.rmem_max` is the most that it gives. All connections of a role share it: where it is short,
/// a burst of one drops the packets of others, and each waits for its retransmission.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Binds a role's UDP socket and returns the endpoint with the address it got.
///
/// Must be called inside a tokio runtime.
pub(crate) fn bind(
    address: SocketAddr,
    config: EndpointConfig,
    server: Option<ServerConfig>,
) -> Result<(Endpoint, SocketAddr), NetError> {
    let failed = |source| NetError::Bind { address, source };
    let socket = UdpSocket::bind(address).map_err(failed)?;
    set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER).map_err(|error| failed(error.into()))?;
    let actual = socket.local_addr().map_err(failed)?;
    let endpoint = Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).map_err(failed)?;
    Ok((endpoint, actual))
}

/// Least time between two stateless resets. All peers of a restarted replica wait for theirs at once, so the usual
/// 20 ms would make the last of them wait long; the keyed connection ids keep garbage from causing any.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// An endpoint whose peers notice its restart.
pub(crate) fn endpoint_config(identity: &Identity, role: Role) -> Result<EndpointConfig, NetError> {
    let id_key = identity.derive(role, b"connection id")?;
    let mut half = [0; 8];
    half.copy_from_slice(&id_key[..8]);
    let id_key = u64::from_le_bytes(half);
    let mut config = EndpointConfig::new(Arc::new(ResetKey::new(identity, role)?));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    config.min_reset_interval(RESET_INTERVAL);
    Ok(config)
}

/// Begins a connection. Resolves once this side has verified the other; whether the other side accepts *us* shows
/// on first use only.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    config: ClientConfig,
    address: SocketAddr,
) -> Result<quinn::Connection, Closed> {
    let connecting =
        endpoint.connect_with(config, address, SERVER_NAME).map_err(|error| Closed::Transport(error.to_string()))?;
    Ok(connecting.await?)
}

/// 32 bytes that both ends of this connection share and nobody else has; other bytes on every connection and for
/// every replica. A client that signs them proves its key to this connection.
pub(crate) fn exporter(connection: &quinn::Connection, replica: ReplicaId) -> Result<[u8; 32], Closed> {
    let mut out = [0; 32];
    connection
        .export_keying_material(&mut out, EXPORTER_LABEL, &replica.0.to_le_bytes())
        .map_err(|_| Closed::Transport("no keying material can be exported".into()))?;
    Ok(out)
}

/// Ends a connection and says why. A frame that waits to be sent is lost.
pub(crate) fn close(connection: &quinn::Connection, code: u32, reason: &str) {
    connection.close(VarInt::from_u32(code), reason.as_bytes());
}

fn alpn(role: Role) -> &'static [u8] {
    match role {
        Role::Replica => ALPN_REPLICA,
        Role::Client => ALPN_CLIENT,
    }
}

fn tls(error: impl std::fmt::Display) -> NetError {
    NetError::Tls(error.to_string())
}

/// Signs stateless reset tokens: HMAC-SHA-256 with a key derived from the node's own.
struct ResetKey {
    key: OkmBlock,
    hkdf: &'static dyn rustls::crypto::tls13::Hkdf,
}

impl ResetKey {
    fn new(identity: &Identity, role: Role) -> Result<Self, NetError> {
        Ok(Self { key: OkmBlock::new(&identity.derive(role, b"stateless reset")?), hkdf: identity::hkdf()? })
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(self.hkdf.hmac_sign(&self.key, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = self.hkdf.hmac_sign(&self.key, data);
        let expected = expected.as_ref();
        let difference = expected
            .iter()
            .zip(signature)
            .fold(expected.len() ^ signature.len(), |sum, (a, b)| sum | usize::from(a ^ b));
        if difference == 0 { Ok(()) } else { Err(CryptoError) }
    }
}

#[cfg(test)]
mod tests;
