//! What a behaviour works with: the replica's own key, its peers, the limits of the chain, and when to strike.

use super::saying::place;
use super::trigger::Trigger;
use varangian_consensus::{Delivery, Message, Slot, View, Vote};
use varangian_crypto::{CodecError, Committee, Digest, Quorums, ReplicaId, Signed, Signer, Statement, sha256};
use varangian_runner::{Io, sign};

/// See the module. It signs for this replica alone.
#[derive(Clone, Debug)]
pub struct Hand {
    signer: Signer,
    committee: Committee,
    trigger: Trigger,
    view: View,
}

impl Hand {
    /// The hand of the replica that `signer` signs for.
    #[must_use]
    pub fn new(signer: Signer, committee: &Committee, trigger: Trigger) -> Self {
        Self { signer, committee: committee.clone(), trigger, view: View(0) }
    }

    /// The core casts this vote: what it says from now on belongs to that view.
    pub(super) fn enters(&mut self, vote: &Vote) {
        if !matches!(vote, Vote::Checkpoint(_)) {
            self.view = place(vote).0;
        }
    }

    /// The view of the core's last vote, for what belongs to no other.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// The public keys and parameters.
    #[must_use]
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }

    /// This replica.
    #[must_use]
    pub const fn id(&self) -> ReplicaId {
        self.signer.id()
    }

    /// n, f and q.
    #[must_use]
    pub const fn quorums(&self) -> Quorums {
        self.committee.quorums()
    }

    /// Whether the attack is on at this place.
    #[must_use]
    pub fn strikes(&self, view: View, slot: Option<Slot>) -> bool {
        self.trigger.strikes(view, slot)
    }

    /// Whether this replica is the primary of `view`.
    #[must_use]
    pub fn leads(&self, view: View) -> bool {
        self.quorums().primary(view.0) == self.id()
    }

    /// Whether this replica signed it.
    #[must_use]
    pub fn is_own<S>(&self, signed: &Signed<S>) -> bool {
        signed.signer == self.id()
    }

    /// The other replicas in the order of the ring, beginning behind this one.
    pub fn peers(&self) -> impl DoubleEndedIterator<Item = ReplicaId> + ExactSizeIterator + Clone + use<> {
        let (quorums, own) = (self.quorums(), self.id());
        let n = quorums.n();
        // `primary` is the arithmetic of the ring: replica `k mod n`.
        (1..n).map(move |step| quorums.primary((own.index() + step) as u64))
    }

    /// The place of a peer among [`Hand::peers`].
    #[must_use]
    pub fn place_of(&self, peer: ReplicaId) -> usize {
        let n = self.quorums().n();
        (peer.index() + n - self.id().index() - 1) % n
    }

    /// Slots above the stable checkpoint that may be voted on.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.committee.parameters().window
    }

    /// Whether honest replicas accept a batch of this size.
    #[must_use]
    pub const fn fits(&self, bytes: u64, operations: u64) -> bool {
        let parameters = self.committee.parameters();
        bytes <= parameters.max_batch_bytes as u64 && operations <= parameters.max_batch_operations as u64
    }

    /// Signs any statement at all, true or not.
    #[must_use]
    pub fn signed<S: Statement>(&self, statement: S) -> Signed<S> {
        self.signer.sign(statement).into_inner()
    }

    /// The same for a chain that is not this one, always the same.
    #[must_use]
    pub fn signed_abroad<S: Statement>(&self, statement: S) -> Signed<S> {
        self.signer.sign_abroad(another(&self.committee.context().chain_id), statement)
    }

    /// Signs a vote: as the own core gets it, and as peers do.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] as [`sign()`] has it.
    pub fn sign(&self, vote: Vote) -> Result<(Delivery, Message), CodecError> {
        sign(&self.signer, vote)
    }

    /// What an honest replica does with its vote, but only `hearers` get it: the own core counts it all the same.
    pub fn tell(&self, io: &mut dyn Io, vote: Vote, hearers: impl IntoIterator<Item = ReplicaId>) {
        match self.sign(vote.clone()) {
            Ok((delivery, message)) => {
                io.deliver(delivery);
                for hearer in hearers {
                    io.send(hearer, message.clone());
                }
            }
            // It cannot be signed: the shell underneath finds the same and says so in its own way.
            Err(CodecError::TooLong { .. } | CodecError::Malformed(_)) => io.vote(vote),
        }
    }

    /// A vote beside the one that the core cast, to `hearers` alone; signed once. The own core never hears of it.
    pub fn lie(&self, io: &mut dyn Io, hearers: impl IntoIterator<Item = ReplicaId>, vote: Vote) {
        match self.sign(vote) {
            Ok((_, message)) => {
                for hearer in hearers {
                    io.send(hearer, message.clone());
                }
            }
            // Only a NEW-VIEW can be too long, and an honest replica would not have said it either.
            Err(CodecError::TooLong { .. } | CodecError::Malformed(_)) => {}
        }
    }
}

/// A digest beside this one: the same for the same digest, so that after a restart it is the same lie.
pub(super) fn another(digest: &Digest) -> Digest {
    sha256("varangian double vote", &[digest.as_bytes()])
}
