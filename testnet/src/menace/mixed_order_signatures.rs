//! Signatures and keys at the edges of ed25519, which verifiers answer differently: with torsion, of small order, not canonical. Replicas must answer
//! alike, all of them and on every path: what ZIP 215 accepts runs everywhere, everything else is refused everywhere.
//!
//! With `B` the base point, `L` its order and `T` a point of order 8, a signature `(R, S)` of key `A` over `m` is good by ZIP 215 if
//! `8 S B = 8 R + 8 k A` with `k = SHA-512(R, A, m)` and `S < L`. Torsion in `R` or `A` is gone after the eight; a verifier without the eight refuses it
//! (unless `k T` happens to vanish, which the signer here avoids).

use bytes::{Bytes, BytesMut};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};
use varangian_consensus::command::SIGNATURE_AT;
use varangian_crypto::{ClientKey, Context, Digest, Domain, KeyError, Signature, message};

use super::hand::{Author, Behaviour, Hand, Sending, Voice, put, signature_of};
use crate::load::operations::SplitMix;

/// `L`, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// One kind of edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// `A = aB + T`.
    MixedKey,
    /// `R = rB + T`.
    MixedR,
    /// Both.
    MixedBoth,
    /// `R = T`.
    SmallR,
    /// `R` is the neutral point, spelled with `y = p + 1`.
    UnreducedR,
    /// `S + L` for `S`.
    UnreducedS,
    /// A key of small order: a verifier that takes it takes anybody's signature for it.
    SmallKey,
    /// A point of the curve whose `y` is spelled `p + y`.
    UnreducedKey,
}

impl Edge {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::MixedKey,
        Self::MixedR,
        Self::MixedBoth,
        Self::SmallR,
        Self::UnreducedR,
        Self::UnreducedS,
        Self::SmallKey,
        Self::UnreducedKey,
    ];

    #[cfg(test)]
    /// Whether ZIP 215, with this project's rules for keys, accepts it.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::MixedKey | Self::MixedR | Self::MixedBoth | Self::SmallR | Self::UnreducedR)
    }
}

/// How `R` is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nonce {
    /// `rB`.
    Plain,
    /// `rB + T`.
    Mixed,
    /// `T`.
    Small,
    /// The neutral point, not canonical.
    Unreduced,
}

/// A secret scalar with a key and a way of signing that only the eight forgives.
#[derive(Clone, Debug)]
pub struct TorsionKey {
    scalar: Scalar,
    key: ClientKey,
    nonce: Nonce,
}

impl TorsionKey {
    fn new(random: &mut SplitMix, mixed: bool, nonce: Nonce) -> Result<Self, KeyError> {
        let scalar = scalar(random);
        let mut point = EdwardsPoint::mul_base(&scalar);
        if mixed {
            point += EIGHT_TORSION[1];
        }
        Ok(Self { scalar, key: ClientKey::from_bytes(point.compress().to_bytes())?, nonce })
    }

    /// Its public half.
    #[must_use]
    pub const fn client_key(&self) -> ClientKey {
        self.key
    }

    /// Signs a digest, so that a verifier without the eight refuses it.
    #[must_use]
    pub fn sign(&self, domain: Domain, context: &Context, digest: &Digest) -> Signature {
        let message = message(domain, context, digest.as_bytes());
        let mut counter = 0_u64;
        loop {
            let r = hashed(&[self.scalar.as_bytes(), &message, &counter.to_le_bytes()]);
            let (r, point) = match self.nonce {
                Nonce::Plain => (r, EdwardsPoint::mul_base(&r)),
                Nonce::Mixed => (r, EdwardsPoint::mul_base(&r) + EIGHT_TORSION[1]),
                Nonce::Small => (Scalar::ZERO, EIGHT_TORSION[1]),
                Nonce::Unreduced => (Scalar::ZERO, EIGHT_TORSION[0]),
            };
            let encoded = if self.nonce == Nonce::Unreduced { unreduced(1) } else { point.compress().to_bytes() };
            let k = hashed(&[&encoded, self.key.as_bytes(), &message]);
            let s = r + k * self.scalar;
            counter += 1;
            // `k A` keeps its torsion, and `R` with it, but for one `k` in eight; a fixed `R` has no other `k` and needs none.
            let without_eight = EdwardsPoint::mul_base(&s) == point + k * self.point();
            if without_eight && self.nonce != Nonce::Unreduced {
                continue;
            }
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&encoded);
            signature[32..].copy_from_slice(s.as_bytes());
            return Signature::from_bytes(signature);
        }
    }

    fn point(&self) -> EdwardsPoint {
        CompressedEdwardsY(*self.key.as_bytes()).decompress().unwrap_or_default()
    }
}

/// All edges in turn, to all replicas.
#[derive(Debug, Default)]
pub struct MixedOrderSignatures {
    next: usize,
}

impl Behaviour for MixedOrderSignatures {
    fn act(&mut self, hand: &mut Hand) -> anyhow::Result<Vec<Sending>> {
        let edge = Edge::ALL[self.next % Edge::ALL.len()];
        self.next += 1;
        let (encoded, author) = build(hand, edge)?;
        let sending = Sending::command(encoded);
        let sending = match edge {
            // What is no key ends the connection: over the other one, so that the answers to the rest come home.
            Edge::SmallKey | Edge::UnreducedKey => Sending { set: 1, ..sending },
            _ => sending.heard_by(&author),
        };
        Ok(vec![sending])
    }
}

/// A command at this edge, and whose it would be.
pub(super) fn build(hand: &mut Hand, edge: Edge) -> anyhow::Result<(Bytes, Author)> {
    let (mixed, nonce) = match edge {
        Edge::MixedKey => (true, Nonce::Plain),
        Edge::MixedR => (false, Nonce::Mixed),
        Edge::MixedBoth => (true, Nonce::Mixed),
        Edge::SmallR => (false, Nonce::Small),
        Edge::UnreducedR => (false, Nonce::Unreduced),
        Edge::UnreducedS | Edge::SmallKey | Edge::UnreducedKey => (false, Nonce::Plain),
    };
    let author = match (mixed, nonce) {
        (false, Nonce::Plain) => hand.author(),
        _ => Author::new(Voice::Mixed(TorsionKey::new(&mut hand.random, mixed, nonce)?)),
    };
    let operation = hand.operation()?;
    let good = author.sign(&hand.context(), author.next, &[operation])?;
    let mut bytes = BytesMut::from(good.as_ref());
    match edge {
        Edge::UnreducedS => {
            let s: [u8; 32] = signature_of(&good)?[32..].try_into()?;
            put(&mut bytes, SIGNATURE_AT + 32, &add(s, ORDER))?;
        }
        // `R = rB`, `S = r`: then `8 S B = 8 R + 8 k A` for every message, as `8 A` is nothing.
        Edge::SmallKey => {
            let r = scalar(&mut hand.random);
            let torsion = EIGHT_TORSION[hand.random.below(8) as usize];
            put(&mut bytes, 0, torsion.compress().as_bytes())?;
            put(&mut bytes, SIGNATURE_AT, EdwardsPoint::mul_base(&r).compress().as_bytes())?;
            put(&mut bytes, SIGNATURE_AT + 32, r.as_bytes())?;
        }
        Edge::UnreducedKey => put(&mut bytes, 0, &unreduced_point())?,
        _ => {}
    }
    Ok((bytes.freeze(), author))
}

/// `p + y` for a `y` below 19.
const fn unreduced(y: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed + y;
    bytes[31] = 0x7f;
    bytes
}

/// The first point of large order that has such a spelling.
fn unreduced_point() -> [u8; 32] {
    let large = |bytes: &[u8; 32]| CompressedEdwardsY(*bytes).decompress().is_some_and(|point| !point.is_small_order());
    (2..19).map(unreduced).find(large).unwrap_or(unreduced(1))
}

fn scalar(random: &mut SplitMix) -> Scalar {
    hashed(&[&random.bytes(64)])
}

fn hashed(parts: &[&[u8]]) -> Scalar {
    let mut hasher = Sha512::new();
    for part in parts {
        hasher.update(part);
    }
    Scalar::from_bytes_mod_order_wide(&hasher.finalize().into())
}

/// The sum of two numbers, little-endian; both are below `2^255`.
fn add(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let (mut sum, mut carry) = ([0; 32], 0_u16);
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        let digit = u16::from(a) + u16::from(b) + carry;
        (*sum, carry) = ((digit & 0xff) as u8, digit >> 8);
    }
    sum
}
