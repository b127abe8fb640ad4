//! Messages that exist in a search: signed once, verified once, named by a number.

use crate::scenario::Bodies;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use varangian_consensus::{
    Batch, CommitCertificate, Delivery, Message, NewView, PrePrepare, PreparedCertificate, Slot, View, ViewChange,
};
use varangian_crypto::{
    Bounded, Digest, QuorumCertificate, ReplicaId, Signature, SignatureCache, Signed, Statement, Verify,
};
use varangian_sim::{Options, cluster::Setup};

/// The one slot that is looked at.
pub const SLOT: Slot = Slot(1);

/// What a message is, as far as the model must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// §4.2, for this digest.
    PrePrepare(Digest),
    /// §4.2, for this digest.
    Prepare(Digest),
    /// §4.2, for this digest.
    Commit(Digest),
    /// §4.4, with the digest of the prepared certificate that it shows.
    ViewChange(Option<Digest>),
    /// §4.4, with the digest that it carries over.
    NewView(Option<Digest>),
    /// A commit certificate, made by whoever has the COMMITs.
    Certificate(Digest),
    /// A body.
    Batch(Digest),
}

/// One message. Every replica but its signer may get it, any number of times.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who signed it; of a body, who sends it.
    pub signer: ReplicaId,
    /// In which view.
    pub view: View,
    /// What it is.
    pub kind: Kind,
    /// As it travels.
    pub message: Message,
    /// As the core gets it.
    pub delivery: Delivery,
}

/// Good signatures are good for ever, and a search sees the same ones again and again.
#[derive(Debug, Default)]
struct Good(Mutex<BTreeSet<Digest>>);

impl SignatureCache for Good {
    fn knows(&self, proof: &Digest) -> bool {
        self.0.lock().expect("nobody panics with it").contains(proof)
    }

    fn learn(&self, proof: Digest) {
        self.0.lock().expect("nobody panics with it").insert(proof);
    }
}

/// Keys of all, clients' commands, and the names of the batches they make.
#[derive(Debug)]
pub struct Alphabet {
    /// Genesis and keys.
    pub setup: Setup,
    /// `A`, then `B`: one command each.
    pub batches: [Arc<Batch>; 2],
    /// The body of both commands, which is what a new primary proposes of its own; `None` if bodies are messages like others.
    pub third: Option<Delivery>,
    /// Batches all of whose commands were found to be signed by their clients.
    valid: Mutex<BTreeSet<Digest>>,
}

impl Alphabet {
    /// The same keys and commands in every search.
    #[must_use]
    pub fn new(bodies: Bodies) -> Self {
        let mut setup = Setup::new(&Options::default());
        setup.committee = setup.committee.with_cache(Arc::new(Good::default()));
        let batch = |client: u8, text: &str| {
            let batch = Batch::new(vec![setup.command(client, 1, &[text])]).expect("it has a command");
            Arc::new(batch)
        };
        let batches = [batch(0, "put color blue"), batch(1, "put color red")];
        let mut commands: Vec<_> = batches.iter().flat_map(|batch| batch.commands().iter().cloned()).collect();
        commands.sort_by_key(|command| command.identity());
        let third = (bodies == Bodies::Held).then(|| {
            let batch = Arc::new(Batch::new(commands).expect("two commands"));
            let batch = batch.verify(&setup.committee).expect("clients' commands");
            Delivery::Batch { slot: SLOT, batch }
        });
        Self { setup, batches, third, valid: Mutex::default() }
    }

    /// Whether clients signed all that is in a batch.
    pub fn is_valid(&self, batch: &Batch) -> bool {
        let mut valid = self.valid.lock().expect("nobody panics with it");
        if valid.contains(batch.digest()) {
            return true;
        }
        let good = batch.check(&self.setup.committee).is_ok();
        if good {
            valid.insert(*batch.digest());
        }
        good
    }

    /// `replica` signs a statement.
    pub fn sign<S: Statement>(&self, replica: ReplicaId, statement: S) -> Signed<S> {
        self.setup.signer(replica).sign(statement).into_inner()
    }

    /// Proves a message to the core. `None` if it is none that the model delivers: of another slot, hearsay, questions.
    pub fn know(&self, from: ReplicaId, message: Message) -> Option<Known> {
        let (signer, view, kind) = classify(from, &message)?;
        if matches!(kind, Kind::Batch(_)) && self.third.is_some() {
            return None;
        }
        let delivery = message
            .clone()
            .verify(&self.setup.committee)
            .unwrap_or_else(|error| panic!("{from} makes an invalid message: {error}: {message:?}"));
        Some(Known { signer, view, kind, message, delivery })
    }

    /// The message that `known` would be if the replicas had each other's parts: `image[i]` has the part of `i`.
    pub fn permute(&self, known: &Known, image: &[u16; 4]) -> Message {
        let permuted = Permuted { alphabet: self, image };
        match &known.message {
            Message::PrePrepare(signed) => Message::PrePrepare(permuted.sign(signed)),
            Message::Prepare(signed) => Message::Prepare(permuted.sign(signed)),
            Message::Commit(signed) => Message::Commit(permuted.sign(signed)),
            Message::ViewChange(signed) => Message::ViewChange(Box::new(permuted.view_change(signed))),
            Message::NewView(signed) => Message::NewView(Box::new(permuted.new_view(signed))),
            Message::Committed(certificate) => Message::Committed(permuted.certificate(certificate)),
            other => other.clone(),
        }
    }

    /// `A`, `B`, or the beginning of the digest.
    #[must_use]
    pub fn name(&self, digest: &Digest) -> String {
        match self.batches.iter().position(|batch| batch.digest() == digest) {
            Some(0) => "A".into(),
            Some(_) => "B".into(),
            None if *digest == varangian_consensus::NULL_BATCH => "null".into(),
            None => digest.to_string().chars().take(6).collect(),
        }
    }

    /// A message in words.
    #[must_use]
    pub fn describe(&self, known: &Known) -> String {
        let (signer, view) = (known.signer, known.view);
        let name = |digest: &Option<Digest>| digest.as_ref().map_or("nothing".into(), |digest| self.name(digest));
        match &known.kind {
            Kind::PrePrepare(digest) => format!("PRE-PREPARE of {} in view {view} by {signer}", self.name(digest)),
            Kind::Prepare(digest) => format!("PREPARE of {} in view {view} by {signer}", self.name(digest)),
            Kind::Commit(digest) => format!("COMMIT of {} in view {view} by {signer}", self.name(digest)),
            Kind::ViewChange(shown) => format!("VIEW-CHANGE to {view} by {signer} that shows {}", name(shown)),
            Kind::NewView(carried) => format!("NEW-VIEW {view} by {signer} that carries {}", name(carried)),
            Kind::Certificate(digest) => format!("commit certificate of {} in view {view}", self.name(digest)),
            Kind::Batch(digest) => format!("body of {} from {signer}", self.name(digest)),
        }
    }
}

fn classify(from: ReplicaId, message: &Message) -> Option<(ReplicaId, View, Kind)> {
    let (signer, view, slot, kind) = match message {
        Message::PrePrepare(signed) => {
            let PrePrepare { view, slot, digest } = signed.statement;
            (signed.signer, view, slot, Kind::PrePrepare(digest))
        }
        Message::Prepare(signed) => {
            let vote = signed.statement;
            (signed.signer, vote.view, vote.slot, Kind::Prepare(vote.digest))
        }
        Message::Commit(signed) => {
            let vote = signed.statement;
            (signed.signer, vote.view, vote.slot, Kind::Commit(vote.digest))
        }
        Message::ViewChange(signed) => {
            let shown = signed.statement.prepared.first().map(|certificate| certificate.pre_prepare.digest);
            (signed.signer, signed.statement.view, SLOT, Kind::ViewChange(shown))
        }
        Message::NewView(signed) => {
            let carried = signed.statement.pre_prepares.first().map(|signed| signed.statement.digest);
            (signed.signer, signed.statement.view, SLOT, Kind::NewView(carried))
        }
        Message::Committed(certificate) => {
            let vote = certificate.statement;
            (from, vote.view, vote.slot, Kind::Certificate(vote.digest))
        }
        Message::Batch { slot, batch } => (from, View(0), *slot, Kind::Batch(*batch.digest())),
        _ => return None,
    };
    (slot == SLOT).then_some((signer, view, kind))
}

struct Permuted<'a> {
    alphabet: &'a Alphabet,
    image: &'a [u16; 4],
}

impl Permuted<'_> {
    fn id(&self, replica: ReplicaId) -> ReplicaId {
        ReplicaId(self.image[replica.index()])
    }

    fn sign<S: Statement + Clone>(&self, signed: &Signed<S>) -> Signed<S> {
        self.alphabet.sign(self.id(signed.signer), signed.statement.clone())
    }

    fn signatures<S: Statement + Clone>(
        &self,
        statement: &S,
        signatures: &[(ReplicaId, Signature)],
    ) -> Vec<(ReplicaId, Signature)> {
        let sign = |(signer, _): &(ReplicaId, Signature)| {
            let signed = self.alphabet.sign(self.id(*signer), statement.clone());
            (signed.signer, signed.signature)
        };
        let mut permuted: Vec<_> = signatures.iter().map(sign).collect();
        permuted.sort_unstable();
        permuted
    }

    fn prepared(&self, certificate: &PreparedCertificate) -> PreparedCertificate {
        let pre_prepare = certificate.pre_prepare;
        let primary = self.alphabet.setup.committee.primary(pre_prepare.view.0);
        assert_eq!(self.id(primary), primary, "a permutation moves a primary that has proposed");
        let prepares = self.signatures(&pre_prepare.prepare(), &certificate.prepares);
        PreparedCertificate { prepares: Bounded::try_from(prepares).expect("as many"), ..certificate.clone() }
    }

    fn view_change(&self, signed: &Signed<ViewChange>) -> Signed<ViewChange> {
        let prepared: Vec<_> = signed.statement.prepared.iter().map(|certificate| self.prepared(certificate)).collect();
        let prepared = Bounded::try_from(prepared).expect("as many");
        self.alphabet.sign(self.id(signed.signer), ViewChange { prepared, ..signed.statement.clone() })
    }

    fn new_view(&self, signed: &Signed<NewView>) -> Signed<NewView> {
        let shown = signed.statement.view_changes.iter();
        let mut view_changes: Vec<_> = shown.map(|signed| self.view_change(signed)).collect();
        view_changes.sort_by_key(|signed| signed.signer);
        let pre_prepares: Vec<_> = signed.statement.pre_prepares.iter().map(|signed| self.sign(signed)).collect();
        let statement = NewView {
            view: signed.statement.view,
            view_changes: Bounded::try_from(view_changes).expect("as many"),
            pre_prepares: Bounded::try_from(pre_prepares).expect("as many"),
        };
        self.alphabet.sign(self.id(signed.signer), statement)
    }

    fn certificate(&self, certificate: &CommitCertificate) -> CommitCertificate {
        let signatures = self.signatures(&certificate.statement, &certificate.signatures);
        QuorumCertificate {
            statement: certificate.statement,
            signatures: Bounded::try_from(signatures).expect("as many"),
        }
    }
}
