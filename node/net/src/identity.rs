//! An ed25519 seed as a raw public key TLS identity (RFC 7250), and the keys derived from it.
//!
//! There are no certificates: both sides present a bare SubjectPublicKeyInfo, and the other side compares it with
//! the key that the genesis lists. Names, dates and authorities play no part.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::{CryptoProvider, ring, tls13::HkdfExpander},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use varangian_crypto::{NetworkKey, SigningKey};

use crate::error::NetError;

/// DER of a SubjectPublicKeyInfo up to the 32 bytes of an ed25519 key (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// DER of a version 1 PKCS#8 private key up to the 32 bytes of an ed25519 seed (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Which endpoint of a node a derived key is for.
///
/// A stateless reset token must not be had from another endpoint (RFC 9000 §21.11), so no two roles share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Traffic among replicas.
    Replica,
    /// Traffic with clients.
    Client,
}

impl Role {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Replica => b"replica",
            Self::Client => b"client",
        }
    }
}

/// What a node proves itself with on the network. Cheap to clone; the seed is not kept outside the TLS library.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    expander: Arc<dyn HkdfExpander>,
    key: NetworkKey,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity of a node's network key.
    ///
    /// # Errors
    /// [`NetError::Tls`] if the TLS library refuses the key.
    pub fn new(secret: &SigningKey) -> Result<Self, NetError> {
        let refuse = |error: rustls::Error| NetError::Tls(error.to_string());
        let seed = secret.to_seed();
        let mut pkcs8 = [0; PKCS8_PREFIX.len() + 32];
        pkcs8[..PKCS8_PREFIX.len()].copy_from_slice(&PKCS8_PREFIX);
        pkcs8[PKCS8_PREFIX.len()..].copy_from_slice(seed.as_slice());
        let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice())).map_err(refuse)?;
        let key = secret.network_key();
        let certified = CertifiedKey::new(vec![spki(&key)], signer);
        Ok(Self {
            certified: Arc::new(certified),
            expander: Arc::from(hkdf()?.extract_from_secret(Some(b"varangian-net"), seed.as_slice())),
            key,
        })
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &NetworkKey {
        &self.key
    }

    /// What TLS presents and signs with.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// 32 bytes for one purpose of one role, the same after every restart.
    pub(crate) fn derive(&self, role: Role, purpose: &[u8]) -> Result<[u8; 32], NetError> {
        let mut out = [0; 32];
        self.expander
            .expand_slice(&[role.label(), b"/", purpose], &mut out)
            .map_err(|_| NetError::Tls("HKDF refuses to give 32 bytes".into()))?;
        Ok(out)
    }
}

/// HKDF and HMAC with SHA-256, as the TLS library has them.
pub(crate) fn hkdf() -> Result<&'static dyn rustls::crypto::tls13::Hkdf, NetError> {
    ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .map(|suite| suite.hkdf_provider)
        .ok_or_else(|| NetError::Tls("TLS_AES_128_GCM_SHA256 is not a TLS 1.3 suite".into()))
}

/// The cryptography of this crate: *ring*, TLS 1.3 suites only.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The SubjectPublicKeyInfo of a key, in the container that the TLS library uses for both kinds of identity.
#[must_use]
pub fn spki(key: &NetworkKey) -> CertificateDer<'static> {
    let mut der = SPKI_PREFIX.to_vec();
    der.extend_from_slice(key.as_bytes());
    CertificateDer::from(der)
}

/// The key in a SubjectPublicKeyInfo, if it is exactly one of ed25519.
#[must_use]
pub fn key_of(certificate: &CertificateDer<'_>) -> Option<NetworkKey> {
    let key = certificate.as_ref().strip_prefix(SPKI_PREFIX.as_slice())?;
    NetworkKey::from_bytes(key.try_into().ok()?).ok()
}

#[cfg(test)]
mod tests;
