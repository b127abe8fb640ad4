//! Keys and signatures: ed25519, one predicate per kind of key.
//!
//! **Public keys.** A key is refused when it is parsed or decoded if its bytes are no point of the curve, a point of small order (anybody signs for it),
//! or not the canonical encoding of their point (`y >= 2^255 - 19`; two spellings would be two identities with one key). The remaining
//! non-canonical encodings, `x = 0` with the sign bit set, belong to points of small order. A *mixed-order* key (a good point plus one of small order) is
//! accepted: only its owner can build a signature for it, telling it apart costs a scalar multiplication, and each predicate below answers
//! the same about it on every replica.
//!
//! **Replicas** ([`ReplicaKey`]): `verify_strict` of ed25519-dalek. Cofactorless: `R` is computed again and compared as bytes, so `S >= L`, a
//! non-canonical `R`, and (checked apart) an `R` of small order are refused. Never a batch, so there is one path.
//!
//! **Clients** ([`ClientKey`]): ZIP 215 by ed25519-zebra. Cofactored: `[8][S]B = [8]R + [8][k]A` with `S < L`; any `R` on the curve. It is the rule under which
//! checking one by one and checking as a batch answer the same, so no client can craft a signature that only some replicas accept and
//! use it to depose an honest primary. See [`crate::client_signature`].
//!
//! **Network keys** ([`NetworkKey`]) are checked by TLS; they are keys here only to be validated and compared.

use core::str::FromStr;

use borsh::io::{Error, ErrorKind, Read};
use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer as _, VerifyingKey};
use zeroize::{Zeroize, Zeroizing};

use crate::hexadecimal::{hexadecimal, parse};
use crate::{Context, KeyError, VerifyError, simulation};

/// Refuses what the module's documentation refuses; the decompressed key otherwise.
fn validate(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyError> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotOnCurve)?;
    if key.is_weak() {
        return Err(KeyError::SmallOrder);
    }
    if !is_reduced(bytes) {
        return Err(KeyError::NonCanonical);
    }
    Ok(key)
}

/// Whether the `y` of an encoding (little-endian, the top bit is the sign of `x`) is below `2^255 - 19`.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let top_is_full = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|&byte| byte == 0xff);
    !(top_is_full && bytes[0] >= 0xed)
}

macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
        pub struct $name([u8; 32]);

        impl $name {
            /// A key of these bytes.
            ///
            /// # Errors
            /// [`KeyError`] if they are no point, one of small order, or not canonical.
            pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
                validate(&bytes)?;
                Ok(Self(bytes))
            }

            /// The canonical encoding.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = KeyError;

            fn from_str(text: &str) -> Result<Self, KeyError> {
                Self::from_bytes(parse(text)?)
            }
        }

        impl BorshDeserialize for $name {
            fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
                let bytes = <[u8; 32]>::deserialize_reader(reader)?;
                Self::from_bytes(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, alloc::string::ToString::to_string(&error)))
            }
        }

        hexadecimal!($name);
    };
}

public_key! {
    /// The key by which a replica signs its statements.
    ReplicaKey
}
public_key! {
    /// The key by which a process proves itself in a TLS handshake.
    NetworkKey
}
public_key! {
    /// The key that is a client.
    ClientKey
}

/// A replica's key, decompressed once for many checks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReplicaVerifier(VerifyingKey);

impl ReplicaVerifier {
    pub(crate) fn new(key: &ReplicaKey) -> Result<Self, KeyError> {
        validate(&key.0).map(Self)
    }

    /// The one predicate for replicas.
    pub(crate) fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), VerifyError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).map_err(|_| VerifyError::BadSignature)
    }
}

/// An ed25519 signature: any 64 bytes; whether they are one is for the predicates to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes: `R`, then `S`.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl FromStr for Signature {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text).map(Self)
    }
}

hexadecimal!(Signature);

/// A secret key. Wiped when dropped, never printed; equal and hashed by its public half.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte seed, which comes from the operating system's randomness.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self(key)
    }

    /// The seed, to be written to a key file or handed to TLS; wiped when dropped.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public_bytes(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The public half of a replica's key. A generated key is a multiple of the base point: it needs no validation.
    #[must_use]
    pub fn replica_key(&self) -> ReplicaKey {
        ReplicaKey(self.public_bytes())
    }

    /// The public half of a network key.
    #[must_use]
    pub fn network_key(&self) -> NetworkKey {
        NetworkKey(self.public_bytes())
    }

    /// The public half of a client's key.
    #[must_use]
    pub fn client_key(&self) -> ClientKey {
        ClientKey(self.public_bytes())
    }

    /// Signs bytes that [`crate::message`] built for this chain and epoch; nothing else may be signed.
    pub(crate) fn sign_in(&self, context: &Context, message: &[u8]) -> Signature {
        if simulation::is_simulated(context) {
            simulation::sign(&self.public_bytes(), message)
        } else {
            self.sign(message)
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SigningKey(secret of {})", self.replica_key())
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.public_bytes() == other.public_bytes()
    }
}

impl Eq for SigningKey {}

impl core::hash::Hash for SigningKey {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.public_bytes().hash(state);
    }
}

#[cfg(test)]
mod tests;
