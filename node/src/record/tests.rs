#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use varangian_consensus::{
    Alarm, Checkpoint, Command, Conflict, Evidence, NewView, NewViewDraft, PreparedCertificate, View, ViewChange,
};
use varangian_crypto::{
    Bounded, Clients, Committee, Digest, Genesis, Member, Parameters, QuorumCertificate, ReplicaId, Signer, SigningKey,
    Statement,
};
use varangian_storage::{Identity, Options};

struct World {
    committee: Committee,
    signers: Vec<Signer>,
    dir: tempfile::TempDir,
    identity: Identity,
}

fn world() -> World {
    let consensus = |id: u16| SigningKey::from_seed([id as u8 + 1; 32]);
    let member = |id: u16| Member {
        id: ReplicaId(id),
        name: format!("r{id}"),
        consensus_key: consensus(id).replica_key(),
        network_key: SigningKey::from_seed([id as u8 + 101; 32]).network_key(),
    };
    let members = (0..4).map(member).collect();
    let genesis = Genesis::new("test".into(), Parameters::default(), members, Clients::Open { maximum: 10 }).unwrap();
    let committee = Committee::new(&genesis);
    let signers = (0..4).map(|id| Signer::new(ReplicaId(id), consensus(id), &committee).unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity { chain_id: genesis.chain_id(), replica: ReplicaId(0) };
    Store::create(&dir.path().join("data"), &identity).unwrap();
    World { committee, signers, dir, identity }
}

impl World {
    fn open(&self) -> Store {
        Store::open(&self.dir.path().join("data"), &self.identity, Options::default()).unwrap().0
    }

    fn certificate<S: Statement + Clone>(&self, statement: &S) -> QuorumCertificate<S> {
        let votes = self.signers.iter().map(|signer| {
            let signed = signer.sign(statement.clone()).into_inner();
            (signed.signer, signed.signature)
        });
        QuorumCertificate::from_votes(statement.clone(), votes.collect::<Vec<_>>(), self.committee.quorums()).unwrap()
    }

    fn prepared(&self, view: u64, slot: u64) -> PreparedCertificate {
        let vote = vote(view, slot);
        let primary = &self.signers[(view % 4) as usize];
        let backups = self.signers.iter().filter(|signer| signer.id() != primary.id()).map(|signer| {
            let signed = signer.sign(vote.prepare()).into_inner();
            (signed.signer, signed.signature)
        });
        PreparedCertificate::from_votes(&primary.sign(vote).into_inner(), backups, 3).unwrap()
    }

    fn view_change(&self, id: usize, view: u64) -> Signed<ViewChange> {
        let statement = ViewChange {
            view: View(view),
            stable: None,
            prepared: Bounded::try_from(vec![self.prepared(0, 3)]).unwrap(),
        };
        self.signers[id].sign(statement).into_inner()
    }
}

fn vote(view: u64, slot: u64) -> PrePrepare {
    PrePrepare { view: View(view), slot: Slot(slot), digest: Digest::from_bytes([slot as u8; 32]) }
}

fn batch(world: &World, sequence: u64) -> Arc<Batch> {
    let key = SigningKey::from_seed([77; 32]);
    let command = Command::sign(&key, world.committee.context(), sequence, &[b"operation"]).unwrap();
    Arc::new(Batch::new(vec![command]).unwrap())
}

fn sorted(mut records: Vec<Record>) -> Vec<String> {
    let mut text: Vec<String> = records.drain(..).map(|record| format!("{record:?}")).collect();
    text.sort();
    text
}

#[test]
fn every_kind_of_record_comes_back_after_a_restart() {
    let world = world();
    let draft = NewViewDraft {
        view: View(1),
        view_changes: (0..3).map(|id| world.view_change(id, 1)).collect(),
        order: vec![vote(1, 1)],
    };
    let new_view = NewView {
        view: View(1),
        view_changes: Bounded::try_from(draft.view_changes.clone()).unwrap(),
        pre_prepares: Bounded::try_from(vec![world.signers[1].sign(vote(1, 1)).into_inner()]).unwrap(),
    };
    let conflict = Conflict {
        first: world.signers[1].sign(vote(1, 2)).into_inner(),
        second: world.signers[1].sign(PrePrepare { digest: Digest::ZERO, ..vote(1, 2) }).into_inner(),
    };
    let records = vec![
        Record::Batch { slot: Slot(5), batch: batch(&world, 1) },
        Record::Proposed(vote(0, 4)),
        Record::Accepted(world.signers[1].sign(vote(1, 3)).into_inner()),
        Record::Prepared(world.prepared(1, 3)),
        Record::ViewChange(Box::new(world.view_change(0, 2).statement)),
        Record::Drafted(Box::new(draft)),
        Record::NewView(Box::new(world.signers[1].sign(new_view).into_inner())),
        Record::Checkpoint(Checkpoint { slot: Slot(128), history: Digest::ZERO, state: Digest::ZERO }),
        Record::Evidence(Evidence::PrePrepares(conflict)),
        Record::Stopped(Alarm::TooManyFaults { slot: Slot(3), view: View(1) }),
    ];
    let store = world.open();
    store.commit(commit(records.clone())).unwrap();
    drop(store);
    let back = load(&world.open()).unwrap();
    assert_eq!(evidence(&back).len(), 1);
    assert_eq!(sorted(back), sorted(records));
}

#[test]
fn later_views_replace_earlier_votes_and_a_stable_checkpoint_prunes_what_it_settles() {
    let world = world();
    let store = world.open();
    let turn = |records: Vec<Record>| store.commit(commit(records)).unwrap();
    turn(vec![Record::Proposed(vote(0, 3)), Record::Prepared(world.prepared(0, 3)), Record::Proposed(vote(0, 130))]);
    turn(vec![
        Record::Accepted(world.signers[1].sign(vote(1, 3)).into_inner()),
        Record::Prepared(world.prepared(1, 3)),
    ]);
    assert_eq!(
        sorted(load(&store).unwrap()),
        sorted(vec![
            Record::Accepted(world.signers[1].sign(vote(1, 3)).into_inner()),
            Record::Prepared(world.prepared(1, 3)),
            Record::Proposed(vote(0, 130)),
        ])
    );
    let checkpoint = Checkpoint { slot: Slot(128), history: Digest::ZERO, state: Digest::ZERO };
    let stable = Record::Stable(world.certificate(&checkpoint));
    assert_eq!(settled(&[Record::Checkpoint(checkpoint), stable.clone()]), Some(Slot(128)));
    assert_eq!(settled(&[Record::Checkpoint(checkpoint)]), None);
    turn(vec![Record::Checkpoint(checkpoint)]);
    turn(vec![stable.clone()]);
    assert_eq!(sorted(load(&store).unwrap()), sorted(vec![stable, Record::Proposed(vote(0, 130))]));
}

#[test]
fn new_views_are_kept_for_a_horizon() {
    let world = world();
    let store = world.open();
    let accepted = |view: u64| {
        let statement = NewView { view: View(view), view_changes: Bounded::new(), pre_prepares: Bounded::new() };
        Record::NewView(Box::new(world.signers[0].sign(statement).into_inner()))
    };
    for view in [1, 2, NEW_VIEWS_KEPT, NEW_VIEWS_KEPT + 1] {
        store.commit(commit(vec![accepted(view)])).unwrap();
    }
    let kept = sorted(load(&store).unwrap());
    assert_eq!(kept, sorted(vec![accepted(2), accepted(NEW_VIEWS_KEPT), accepted(NEW_VIEWS_KEPT + 1)]));
}

#[test]
fn a_damaged_record_is_named_and_refused() {
    let world = world();
    let store = world.open();
    let put = |kind: u8, value: &'static [u8]| {
        store
            .commit(Commit { puts: vec![(Key::new(kind, [9]), Bytes::from_static(value))], ..Commit::default() })
            .unwrap();
    };
    put(PREPARED, b"rubbish");
    assert!(matches!(load(&store), Err(RecordError::Damaged { kind: PREPARED, .. })));
    store.commit(Commit { deletes: vec![Key::new(PREPARED, [9])], ..Commit::default() }).unwrap();
    put(99, b"");
    assert!(matches!(load(&store), Err(RecordError::Kind(99))));
}
