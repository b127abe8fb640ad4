//! What the tests of this crate share: keys, meshes, and peers made of bare QUIC that break the rules.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    ConfigBuilder, SignatureScheme,
    client::{ResolvesClientCert, WantsClientCert},
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::watch;
use varangian_crypto::{NetworkKey, ReplicaId, SigningKey};
use varangian_net::{
    AdmissionLimits, Inbox, Mesh, MeshConfig, MeshEvent, MeshInbox, MeshLimits, endpoint::ALPN_REPLICA, identity,
    verify::Pinned,
};

pub const R0: ReplicaId = ReplicaId(0);
pub const R1: ReplicaId = ReplicaId(1);
pub const R2: ReplicaId = ReplicaId(2);

/// A self-signed X.509 certificate of an ed25519 key, and the seed of that key.
pub const X509: &str = "3082013a3081eda003020102021435a5e6aee474f698d07c89f9542ace7ec9869c7f300506032b657030123110300e06035504030c077265706c6963613020170d3236313132323135313730335a180f32313236313032393135313730335a30123110300e06035504030c077265706c696361302a300506032b6570032100df35f29010c2c97020050886925c6674b13bcf60336401d5530c3195e25bee3ea3533051301d0603551d0e04160414267a71ac8d703171337ec586dd6a848930e28ed4301f0603551d23041830168014267a71ac8d703171337ec586dd6a848930e28ed4300f0603551d130101ff040530030101ff300506032b6570034100489de98c0f6f88e843c31bd207702150f7a7d0e9ac31f04b951920f81bd30a79aac13e1960973d082bc48e7a083899ac458d7bcafab4d5d0adf9d7967b4c3f02";
pub const X509_SEED: &str = "3cfa249427a20e017a7b7c46cec289eaa9d7d3114c3280749537c29625b5655c";

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub fn x509_secret() -> SigningKey {
    SigningKey::from_seed(unhex(X509_SEED).try_into().unwrap())
}

/// Longer than any test takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ends a test that waits for an event that does not come. No test is about time.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("the awaited event did not come")
}

/// Yields until something holds that has no event of its own.
pub async fn until(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub fn secret(id: ReplicaId) -> SigningKey {
    SigningKey::from_seed([id.0 as u8 + 1; 32])
}

pub fn key(id: ReplicaId) -> NetworkKey {
    secret(id).network_key()
}

pub fn members(count: u16) -> Vec<(ReplicaId, NetworkKey)> {
    (0..count).map(|id| (ReplicaId(id), key(ReplicaId(id)))).collect()
}

pub fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub type Book = watch::Sender<BTreeMap<ReplicaId, SocketAddr>>;

pub fn book(entries: impl IntoIterator<Item = (ReplicaId, SocketAddr)>) -> Book {
    watch::Sender::new(entries.into_iter().collect())
}

pub fn config(me: ReplicaId, count: u16, book: &Book) -> MeshConfig {
    MeshConfig {
        me,
        secret: secret(me),
        members: members(count),
        addresses: book.subscribe(),
        bind: local(),
        limits: MeshLimits {
            admission: AdmissionLimits { handshake_deadline: PATIENCE, ..MeshLimits::default().admission },
            ..MeshLimits::default()
        },
    }
}

pub fn mesh(me: ReplicaId, count: u16, book: &Book) -> (Mesh, MeshInbox) {
    Mesh::start(config(me, count, book)).unwrap()
}

/// r0 and r1, connected.
pub async fn pair() -> ((Mesh, MeshInbox), (Mesh, MeshInbox)) {
    let (high, mut high_inbox) = mesh(R1, 2, &book([]));
    let (low, mut low_inbox) = mesh(R0, 2, &book([(R1, high.local_address())]));
    assert_eq!(event(&mut low_inbox.votes).await, MeshEvent::Connected(R1));
    assert_eq!(event(&mut high_inbox.votes).await, MeshEvent::Connected(R0));
    ((low, low_inbox), (high, high_inbox))
}

pub async fn event<T>(inbox: &mut Inbox<T>) -> T {
    within(inbox.recv()).await.expect("the queue has ended")
}

// --- Peers of bare QUIC ---------------------------------------------------------------------------------------

/// What a bare peer presents and signs with: the two need not belong together.
#[derive(Debug)]
pub struct Guise {
    certified: Arc<CertifiedKey>,
    raw: bool,
}

impl Guise {
    fn new(certificate: CertificateDer<'static>, signer: &SigningKey, raw: bool) -> Arc<Self> {
        let mut pkcs8 = unhex("302e020100300506032b657004220420");
        pkcs8.extend_from_slice(signer.to_seed().as_slice());
        let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8)).unwrap();
        Arc::new(Self { certified: Arc::new(CertifiedKey::new(vec![certificate], signer)), raw })
    }

    pub fn honest(secret: &SigningKey) -> Arc<Self> {
        Self::new(identity::spki(&secret.network_key()), secret, true)
    }

    /// Presents one key and signs with another.
    pub fn impostor(presented: &NetworkKey, signer: &SigningKey) -> Arc<Self> {
        Self::new(identity::spki(presented), signer, true)
    }

    /// A certificate instead of a key. It holds the right key and the signature is right as well.
    pub fn x509() -> Arc<Self> {
        Self::new(CertificateDer::from(unhex(X509)), &x509_secret(), false)
    }
}

impl ResolvesClientCert for Guise {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certified))
    }

    fn only_raw_public_keys(&self) -> bool {
        self.raw
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Guise {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certified))
    }

    fn only_raw_public_keys(&self) -> bool {
        self.raw
    }
}

pub const WINDOW: u32 = 256 << 10;

/// Generous where the other side is to be the one that limits.
pub fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(100)));
    transport.send_window(1 << 30).stream_receive_window(WINDOW.into()).receive_window((1_u32 << 30).into());
    Arc::new(transport)
}

pub fn bare_client(guise: &Arc<Guise>, expected: &NetworkKey, alpn: &[u8]) -> ClientConfig {
    let keys = Arc::clone(guise) as Arc<dyn ResolvesClientCert>;
    bare_config(bare_tls(expected).with_client_cert_resolver(keys), alpn)
}

/// A client without a key, as real clients are.
pub fn bare_anonymous(expected: &NetworkKey, alpn: &[u8]) -> ClientConfig {
    bare_config(bare_tls(expected).with_no_client_auth(), alpn)
}

fn bare_tls(expected: &NetworkKey) -> ConfigBuilder<rustls::ClientConfig, WantsClientCert> {
    rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::new([expected])))
}

fn bare_config(mut tls: rustls::ClientConfig, alpn: &[u8]) -> ClientConfig {
    tls.alpn_protocols = vec![alpn.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    config
}

/// A server that wants a client key of `clients`, or none.
pub fn bare_server(guise: &Arc<Guise>, clients: &[NetworkKey], alpn: &[u8]) -> Endpoint {
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let builder = if clients.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_verifier(Arc::new(Pinned::new(clients)))
    };
    let mut tls = builder.with_cert_resolver(Arc::clone(guise) as Arc<dyn ResolvesServerCert>);
    tls.alpn_protocols = vec![alpn.to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    Endpoint::server(config, local()).unwrap()
}

/// A bare replica that dials a mesh.
pub struct Bare {
    pub endpoint: Endpoint,
    pub connection: Connection,
}

impl Bare {
    /// The handshake of `me` with the mesh of `to`; no hello yet.
    pub async fn dial(me: ReplicaId, to: ReplicaId, address: SocketAddr) -> Self {
        let endpoint = Endpoint::client(local()).unwrap();
        let config = bare_client(&Guise::honest(&secret(me)), &key(to), ALPN_REPLICA);
        let connection = within(endpoint.connect_with(config, address, "x").unwrap()).await.unwrap();
        Self { endpoint, connection }
    }

    /// Says hello and hears one; returns both vote streams.
    pub async fn greet(&self, me: ReplicaId, to: ReplicaId) -> (SendStream, RecvStream) {
        let mut votes_out = self.connection.open_uni().await.unwrap();
        votes_out.write_all(&framed(&hello(me, to))).await.unwrap();
        let mut votes_in = within(self.connection.accept_uni()).await.unwrap();
        assert_eq!(read_frame(&mut votes_in).await, hello(to, me));
        (votes_out, votes_in)
    }
}

pub fn hello(from: ReplicaId, to: ReplicaId) -> Vec<u8> {
    [from.0.to_le_bytes(), to.0.to_le_bytes()].concat()
}

pub fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

pub async fn read_frame(stream: &mut RecvStream) -> Vec<u8> {
    within(async {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await.unwrap();
        let mut body = vec![0; u32::from_le_bytes(header) as usize];
        stream.read_exact(&mut body).await.unwrap();
        body
    })
    .await
}

/// Whether TLS failed on the other side: an alert (RFC 9001 §4.8).
pub fn is_tls_refusal(error: &ConnectionError) -> bool {
    let code = match error {
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        ConnectionError::TransportError(error) => u64::from(error.code),
        _ => return false,
    };
    (0x100..0x200).contains(&code)
}

/// The code with which the other side closed the connection.
pub async fn close_code(connection: &Connection) -> u64 {
    match within(connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("not closed by the application: {other}"),
    }
}

pub fn vote(from: ReplicaId, bytes: &[u8]) -> MeshEvent {
    MeshEvent::Frame { from, lane: varangian_net::Lane::Vote, bytes: Bytes::copy_from_slice(bytes) }
}

pub fn bulk(from: ReplicaId, bytes: &[u8]) -> MeshEvent {
    MeshEvent::Frame { from, lane: varangian_net::Lane::Bulk, bytes: Bytes::copy_from_slice(bytes) }
}
