//! What the sections share: batches, forged messages, and what is under way.

use std::sync::Arc;
use varangian_consensus::{
    Batch, Checkpoint, Commit, Message, NewView, PrePrepare, Prepare, PreparedCertificate, Slot, StableCheckpoint,
    View, ViewChange,
};
use varangian_crypto::{Bounded, Digest, QuorumCertificate, ReplicaId, Signed};
use varangian_sim::{Cluster, Options, Packet};

pub fn cluster() -> Cluster {
    Cluster::new(&Options::default())
}

/// A batch of one command.
pub fn batch(cluster: &Cluster, client: u8, sequence: u64) -> Arc<Batch> {
    let command = cluster.setup.command(client, sequence, &["x"]);
    Arc::new(Batch::new(vec![command]).unwrap())
}

pub fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

/// What a replica would sign, honest or not.
pub struct Hand<'a> {
    cluster: &'a Cluster,
    id: u16,
}

pub const fn hand(cluster: &Cluster, id: u16) -> Hand<'_> {
    Hand { cluster, id }
}

impl Hand<'_> {
    fn sign<S: varangian_crypto::Statement>(&self, statement: S) -> Signed<S> {
        self.cluster.setup.signer(ReplicaId(self.id)).sign(statement).into_inner()
    }

    pub fn signed_pre_prepare(&self, view: u64, slot: u64, digest: Digest) -> Signed<PrePrepare> {
        self.sign(PrePrepare { view: View(view), slot: Slot(slot), digest })
    }

    pub fn pre_prepare(&self, view: u64, slot: u64, digest: Digest) -> Message {
        Message::PrePrepare(self.signed_pre_prepare(view, slot, digest))
    }

    pub fn prepare(&self, view: u64, slot: u64, digest: Digest) -> Message {
        Message::Prepare(self.sign(Prepare { view: View(view), slot: Slot(slot), digest }))
    }

    pub fn commit(&self, view: u64, slot: u64, digest: Digest) -> Message {
        Message::Commit(self.sign(Commit { view: View(view), slot: Slot(slot), digest }))
    }

    pub fn checkpoint(&self, checkpoint: Checkpoint) -> Message {
        Message::Checkpoint(self.sign(checkpoint))
    }

    pub fn signed_view_change(
        &self,
        view: u64,
        stable: Option<StableCheckpoint>,
        prepared: Vec<PreparedCertificate>,
    ) -> Signed<ViewChange> {
        self.sign(ViewChange { view: View(view), stable, prepared: Bounded::try_from(prepared).unwrap() })
    }

    pub fn view_change(
        &self,
        view: u64,
        stable: Option<StableCheckpoint>,
        prepared: Vec<PreparedCertificate>,
    ) -> Message {
        Message::ViewChange(Box::new(self.signed_view_change(view, stable, prepared)))
    }

    pub fn new_view(&self, view: u64, view_changes: Vec<Signed<ViewChange>>, order: &[(u64, Digest)]) -> Message {
        let pre_prepares =
            order.iter().map(|(slot, digest)| self.signed_pre_prepare(view, *slot, *digest)).collect::<Vec<_>>();
        Message::NewView(Box::new(self.sign(NewView {
            view: View(view),
            view_changes: Bounded::try_from(view_changes).unwrap(),
            pre_prepares: Bounded::try_from(pre_prepares).unwrap(),
        })))
    }
}

/// A prepared certificate by the primary of its view and these backups.
pub fn prepared(cluster: &Cluster, view: u64, slot: u64, digest: Digest, backups: &[u16]) -> PreparedCertificate {
    let primary = cluster.setup.committee.primary(view).0;
    let prepare = Prepare { view: View(view), slot: Slot(slot), digest };
    let prepares: Vec<_> =
        backups.iter().map(|id| (ReplicaId(*id), hand(cluster, *id).sign(prepare).signature)).collect();
    PreparedCertificate {
        pre_prepare: PrePrepare { view: View(view), slot: Slot(slot), digest },
        primary_signature: hand(cluster, primary).signed_pre_prepare(view, slot, digest).signature,
        prepares: Bounded::try_from(prepares).unwrap(),
    }
}

/// A stable checkpoint's certificate by these replicas.
pub fn stable(cluster: &Cluster, checkpoint: Checkpoint, signers: &[u16]) -> StableCheckpoint {
    let signatures = signers.iter().map(|id| (ReplicaId(*id), hand(cluster, *id).sign(checkpoint).signature));
    QuorumCertificate::from_votes(checkpoint, signatures, cluster.setup.committee.quorums()).unwrap()
}

/// Whether a packet is of a kind.
pub fn is(packet: &Packet, kind: &str) -> bool {
    packet.message.name() == kind
}

/// How many messages of a kind are under way from a replica.
pub fn sent(cluster: &Cluster, from: u16, kind: &str) -> usize {
    cluster.in_flight().filter(|packet| packet.from.0 == from && is(packet, kind)).count()
}

/// Delivers only messages of these kinds, and what comes of them.
pub fn deliver(cluster: &mut Cluster, kinds: &[&str]) {
    loop {
        let place = cluster.in_flight().position(|packet| kinds.contains(&packet.message.name()));
        let Some(place) = place else { return };
        assert!(cluster.deliver_at(place));
    }
}

/// Commands `1..=count` of a client, one slot each, all delivered.
pub fn fill(cluster: &mut Cluster, to: u16, client: u8, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        let command = cluster.setup.command(client, sequence, &["x"]);
        cluster.submit(to, &command).unwrap();
        cluster.deliver_all();
    }
}

/// The messages of a kind under way to a replica.
pub fn under_way(cluster: &Cluster, to: u16, kind: &str) -> Vec<Message> {
    let packets = cluster.in_flight().filter(|packet| packet.to.0 == to && is(packet, kind));
    packets.map(|packet| packet.message.clone()).collect()
}
