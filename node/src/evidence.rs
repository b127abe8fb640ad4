//! Proofs of misbehaviour in a file, for people who have nothing but the genesis.
//!
//! ```text
//! {
//!   "format": "varangian evidence 1",
//!   "chain_id": "…",
//!   "proofs": [
//!     { "accused": 3, "kind": "two commits for one slot", "view": 0, "slot": 7, "proof": "02…" }
//!   ]
//! }
//! ```
//!
//! `proof` is what proves: the canonical bytes of [`Evidence`] in lower-case hexadecimal. What stands beside it is for readers, and must say the
//! same. Proofs are in order and each is there once, so that the same proofs give the same file, byte for byte.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;
use varangian_consensus::Evidence;
use varangian_crypto::{Committee, Digest, Genesis, Verify, decode, encode};

/// What such a file begins with; the number grows with the format.
const FORMAT: &str = "varangian evidence 1";

/// Proofs of misbehaviour on one chain. Read from a file, they are claims until they are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    format: String,
    chain_id: Digest,
    proofs: Vec<Claim>,
}

/// One proof in a file, and what it is said to prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Who is accused.
    pub accused: u16,
    /// Of what.
    pub kind: String,
    /// In which view; zero where that does not matter.
    pub view: u64,
    /// In which slot; zero where that does not matter.
    pub slot: u64,
    proof: String,
}

/// Why a file says nothing at all.
#[derive(Debug, Error)]
pub enum EvidenceFileError {
    /// It is no such file, or not all of it.
    #[error("this is no evidence file, or not a whole one: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another format.
    #[error("its format is `{0}`; this version reads `{FORMAT}`")]
    Format(String),
    /// It is about another chain.
    #[error("it is about chain {found}, and this genesis is that of {wanted}: check with the genesis of that chain")]
    OtherChain {
        /// The file's.
        found: Digest,
        /// The genesis'.
        wanted: Digest,
    },
}

/// Why a proof in a file proves nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidProof {
    /// The bytes are none.
    #[error("its bytes are no proof: {0}")]
    Malformed(String),
    /// The bytes prove something else than what stands beside them.
    #[error("what it says is not what its bytes say: {0}")]
    Mislabelled(String),
    /// A signature or a rule.
    #[error("it proves nothing: {0}")]
    False(String),
}

/// A claim, and what it proves, or why nothing.
pub type Checked<'a> = (&'a Claim, Result<Evidence, InvalidProof>);

impl EvidenceFile {
    /// Of these proofs.
    #[must_use]
    pub fn new(chain_id: Digest, proofs: impl IntoIterator<Item = Evidence>) -> Self {
        let key = |proof: Evidence| {
            let bytes = encode(&proof);
            ((proof.accused(), proof.ordinal(), proof.place(), bytes), proof)
        };
        let proofs: BTreeMap<_, _> = proofs.into_iter().map(key).collect();
        Self { format: FORMAT.to_owned(), chain_id, proofs: proofs.values().map(Claim::new).collect() }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`EvidenceFileError::Malformed`] or [`EvidenceFileError::Format`].
    pub fn from_json(text: &str) -> Result<Self, EvidenceFileError> {
        let file: Self = serde_json::from_str(text)?;
        if file.format != FORMAT {
            return Err(EvidenceFileError::Format(file.format));
        }
        Ok(file)
    }

    /// The file's text.
    ///
    /// # Errors
    /// None that is known: everything in it can be written.
    pub fn to_json(&self) -> Result<String, EvidenceFileError> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Checks every proof, with the genesis alone.
    ///
    /// # Errors
    /// [`EvidenceFileError::OtherChain`]. A proof that proves nothing is told beside its claim.
    pub fn check(&self, genesis: &Genesis) -> Result<Vec<Checked<'_>>, EvidenceFileError> {
        let (found, wanted) = (self.chain_id, genesis.chain_id());
        if found != wanted {
            return Err(EvidenceFileError::OtherChain { found, wanted });
        }
        let committee = Committee::new(genesis);
        Ok(self.proofs.iter().map(|claim| (claim, claim.check(&committee))).collect())
    }
}

impl Claim {
    /// What a proof proves.
    #[must_use]
    pub fn new(proof: &Evidence) -> Self {
        let (view, slot) = proof.place();
        Self {
            accused: proof.accused().0,
            kind: proof.kind().to_owned(),
            view: view.0,
            slot: slot.0,
            proof: hex::encode(encode(proof)),
        }
    }

    fn check(&self, committee: &Committee) -> Result<Evidence, InvalidProof> {
        let bytes = hex::decode(&self.proof).map_err(|error| InvalidProof::Malformed(error.to_string()))?;
        let proof: Evidence = decode(&bytes).map_err(|error| InvalidProof::Malformed(error.to_string()))?;
        let meant = Self::new(&proof);
        if *self != meant {
            let Self { accused, kind, view, slot, .. } = meant;
            return Err(InvalidProof::Mislabelled(format!("r{accused}, {kind}, view {view}, slot {slot}")));
        }
        proof.check(committee).map_err(|error| InvalidProof::False(error.to_string()))?;
        Ok(proof)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use varangian_consensus::{Commit, Conflict, Slot, View};
    use varangian_crypto::{Clients, Member, Parameters, ReplicaId, Signer, SigningKey, sha256};

    fn genesis(name: &str) -> Genesis {
        let member = |id: u8| Member {
            id: ReplicaId(id.into()),
            name: format!("r{id}"),
            consensus_key: SigningKey::from_seed([1 + id; 32]).replica_key(),
            network_key: SigningKey::from_seed([11 + id; 32]).network_key(),
        };
        let members = (0..4).map(member).collect();
        Genesis::new(name.into(), Parameters::default(), members, Clients::Open { maximum: 10 }).unwrap()
    }

    /// Two COMMITs of a replica.
    fn proof(genesis: &Genesis, id: u8) -> Evidence {
        let signer = Signer::new(ReplicaId(id.into()), SigningKey::from_seed([1 + id; 32]), &Committee::new(genesis));
        let signer = signer.unwrap();
        let signed = |what: &[u8]| {
            let digest = sha256("some batch", &[what]);
            signer.sign(Commit { view: View(1), slot: Slot(7), digest }).into_inner()
        };
        Evidence::Commits(Conflict { first: signed(b"one"), second: signed(b"other") })
    }

    /// Whether everything in it is proved.
    fn proves(text: &str, genesis: &Genesis) -> bool {
        let checked = |file: EvidenceFile| file.check(genesis).is_ok_and(|all| all.iter().all(|(_, one)| one.is_ok()));
        EvidenceFile::from_json(text).is_ok_and(checked)
    }

    #[test]
    fn the_same_proofs_give_the_same_file() {
        let genesis = genesis("test");
        let (one, other) = (proof(&genesis, 1), proof(&genesis, 2));
        let file = |proofs: &[&Evidence]| {
            EvidenceFile::new(genesis.chain_id(), proofs.iter().copied().cloned()).to_json().unwrap()
        };
        assert_eq!(file(&[&one, &other]), file(&[&other, &one, &other]));
        let read = EvidenceFile::from_json(&file(&[&one, &other])).unwrap();
        let proved: Vec<_> = read.check(&genesis).unwrap().into_iter().map(|(_, proof)| proof.unwrap()).collect();
        assert_eq!(proved, [one, other]);
    }

    #[test]
    fn no_byte_can_be_changed_and_none_left_away() {
        let genesis = genesis("test");
        let text = EvidenceFile::new(genesis.chain_id(), [proof(&genesis, 3)]).to_json().unwrap();
        assert!(proves(&text, &genesis));
        let content = text.trim_end().len();
        for place in 0..content {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= 1;
            if let Ok(changed) = String::from_utf8(changed) {
                assert!(!proves(&changed, &genesis), "byte {place}: {changed}");
            }
            assert!(!proves(&text[..place], &genesis), "cut at {place}");
        }
        assert!(!proves(&text.replace("proof\": \"02", "proof\": \"0202"), &genesis));
        let shouted = text.replace("a", "A");
        assert!(!proves(&shouted, &genesis), "there is one way to write a proof");
    }

    #[test]
    fn a_proof_of_another_chain_proves_nothing_here() {
        let (genesis, other) = (genesis("test"), genesis("other"));
        let foreign = EvidenceFile::new(other.chain_id(), [proof(&other, 3)]);
        assert!(matches!(foreign.check(&genesis), Err(EvidenceFileError::OtherChain { .. })));
        let relabelled = EvidenceFile::new(genesis.chain_id(), [proof(&other, 3)]);
        let [(_, Err(InvalidProof::False(_)))] = relabelled.check(&genesis).unwrap()[..] else { panic!("it counts") };
    }

    #[test]
    fn two_equal_commits_are_no_proof() {
        let genesis = genesis("test");
        let Evidence::Commits(Conflict { first, .. }) = proof(&genesis, 3) else { unreachable!() };
        let proof = Evidence::Commits(Conflict { second: first.clone(), first });
        let file = EvidenceFile::new(genesis.chain_id(), [proof]);
        assert!(!proves(&file.to_json().unwrap(), &genesis));
    }
}
