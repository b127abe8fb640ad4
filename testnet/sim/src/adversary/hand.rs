//! What a behaviour works with: the replica's own key, its peers, the limits of the chain, and when to strike.

use super::trigger::Trigger;
use varangian_consensus::{Delivery, Message, Slot, View, Vote};
use varangian_crypto::{CodecError, Committee, Quorums, ReplicaId, Signed, Signer};
use varangian_runner::{Io, sign};

/// See the module. It signs for this replica alone.
#[derive(Clone, Debug)]
pub struct Hand {
    signer: Signer,
    quorums: Quorums,
    trigger: Trigger,
    batch_bytes: u64,
    batch_operations: u64,
    window: u64,
}

impl Hand {
    /// The hand of the replica that `signer` signs for.
    #[must_use]
    pub fn new(signer: Signer, committee: &Committee, trigger: Trigger) -> Self {
        let parameters = committee.parameters();
        Self {
            signer,
            quorums: committee.quorums(),
            trigger,
            batch_bytes: parameters.max_batch_bytes.into(),
            batch_operations: parameters.max_batch_operations.into(),
            window: parameters.window,
        }
    }

    /// This replica.
    #[must_use]
    pub const fn id(&self) -> ReplicaId {
        self.signer.id()
    }

    /// n, f and q.
    #[must_use]
    pub const fn quorums(&self) -> Quorums {
        self.quorums
    }

    /// Whether the attack is on at this place.
    #[must_use]
    pub fn strikes(&self, view: View, slot: Option<Slot>) -> bool {
        self.trigger.strikes(view, slot)
    }

    /// Whether this replica is the primary of `view`.
    #[must_use]
    pub fn leads(&self, view: View) -> bool {
        self.quorums.primary(view.0) == self.id()
    }

    /// Whether this replica signed it.
    #[must_use]
    pub fn is_own<S>(&self, signed: &Signed<S>) -> bool {
        signed.signer == self.id()
    }

    /// The other replicas in the order of the ring, beginning behind this one.
    pub fn peers(&self) -> impl DoubleEndedIterator<Item = ReplicaId> + ExactSizeIterator + Clone + use<> {
        let (n, own) = (self.quorums.n(), self.id());
        let quorums = self.quorums;
        // `primary` is the arithmetic of the ring: replica `k mod n`.
        (1..n).map(move |step| quorums.primary((own.index() + step) as u64))
    }

    /// The place of a peer among [`Hand::peers`].
    #[must_use]
    pub fn place_of(&self, peer: ReplicaId) -> usize {
        let n = self.quorums.n();
        (peer.index() + n - self.id().index() - 1) % n
    }

    /// Slots above the stable checkpoint that may be voted on.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// Whether honest replicas accept a batch of this size.
    #[must_use]
    pub const fn fits(&self, bytes: u64, operations: u64) -> bool {
        bytes <= self.batch_bytes && operations <= self.batch_operations
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

    /// A vote beside the one that the core cast, to `hearer` alone. The own core never hears of it.
    pub fn lie(&self, io: &mut dyn Io, hearer: ReplicaId, vote: Vote) {
        match self.sign(vote) {
            Ok((_, message)) => io.send(hearer, message),
            // Only a NEW-VIEW can be too long, and an honest replica would not have said it either.
            Err(CodecError::TooLong { .. } | CodecError::Malformed(_)) => {}
        }
    }
}
