//! Valid bytes for each target: real traffic of a simulated cluster, and what it does not come to by itself.

use crate::decoders::SETUP;
use crate::handshake::client_hello;
use crate::mutate::Random;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use varangian_application::{OperationResult, Outcome, Reply};
use varangian_client::protocol::{NotTaken, ReplicaStatus, Request, Response};
use varangian_consensus::evidence::Conflict;
use varangian_consensus::{Batch, Encoded, Evidence, Message, Name, NewViewDraft, Note, Part, Prepare, Slot, View};
use varangian_crypto::{ReplicaId, encode, sha256};
use varangian_net::identity::Role;
use varangian_sim::adversary::Attack;
use varangian_sim::{Cluster, Loss, Options, TimerKind};

/// Messages of each kind that are kept.
const EACH: usize = 3;

/// What a cluster says through load, a crash, a view change, checkpoints and a restart; `attack` is what replica 3 does meanwhile.
fn traffic(attack: Option<&str>) -> (Vec<Message>, Vec<Evidence>) {
    let kept: Rc<RefCell<BTreeMap<&'static str, Vec<Message>>>> = Rc::default();
    let keep = kept.clone();
    let mut cluster = Cluster::new(&Options::default());
    if let Some(attack) = attack {
        cluster.corrupt(1, &Attack::parse(attack).expect("a known attack"));
    }
    cluster.add_rule(move |packet| {
        let mut kept = keep.borrow_mut();
        let kind = kept.entry(packet.message.name()).or_default();
        if kind.len() < EACH && !kind.contains(&packet.message) {
            kind.push(packet.message.clone());
        }
        None
    });
    let submit = |cluster: &mut Cluster, sequence: u64| {
        let command =
            cluster.setup.command((sequence % 3) as u8, sequence, &["one", "two"][..1 + sequence as usize % 2]);
        for id in 0..4 {
            if cluster.is_up(id) {
                // One that was answered is answered again.
                cluster.submit(id, &command).ok();
            }
        }
    };
    for sequence in 1..4 {
        submit(&mut cluster, sequence);
        cluster.run_for(500);
    }
    // Prepared and not committed, so that the view change carries something.
    let rule = cluster.drop_when(|packet| matches!(packet.message, Message::Commit(_)));
    submit(&mut cluster, 4);
    cluster.deliver_all();
    cluster.crash(0, Loss::POWER);
    cluster.remove_rule(rule);
    for id in 1..4 {
        cluster.fire_timer(id, TimerKind::Command);
    }
    for sequence in 5..12 {
        submit(&mut cluster, sequence);
        cluster.run_for(2000);
    }
    cluster.restart(0);
    cluster.run_for(5000);
    let messages = kept.borrow().values().flatten().cloned().collect();
    (messages, (0..4).flat_map(|id| cluster.evidence(id).to_vec()).collect())
}

fn whole(Encoded { head, body }: Encoded) -> Vec<u8> {
    [head.as_ref(), body.as_ref()].concat()
}

fn with_kind<T: borsh::BorshSerialize>(kind: u8, value: &T) -> Vec<u8> {
    [&[kind][..], &encode(value)].concat()
}

fn bodies(messages: &[Message]) -> impl Iterator<Item = &Batch> {
    messages.iter().filter_map(|message| if let Message::Batch { batch, .. } = message { Some(&**batch) } else { None })
}

/// For `message`.
#[must_use]
pub fn messages() -> Vec<Vec<u8>> {
    let (mut messages, _) = traffic(None);
    messages.push(Message::Pruned { oldest: Slot(7) });
    messages.push(Message::FetchBatch { slot: Slot(3), digest: sha256("seed", &[]) });
    messages.push(Message::FetchDecided { from: Slot(1), to: Slot(u64::MAX) });
    let commands: Vec<_> = bodies(&messages).flat_map(|batch| batch.commands().to_vec()).take(2).collect();
    let names: Vec<_> = commands.iter().map(Name::of).collect();
    let parts = names.iter().copied().map(Part::Named).chain(commands.into_iter().map(Part::Whole)).collect();
    let outline = Note::Outline { slot: Slot(3), digest: sha256("seed", &[]), parts };
    let notes = names.into_iter().flat_map(|name| [Note::Have(name), Note::Offer(name), Note::Want(name)]);
    let notes = notes.chain([outline]).map(|note| whole(note.encode()));
    messages.iter().map(|message| whole(message.encode())).chain(notes).collect()
}

/// For `statement`.
#[must_use]
pub fn statements() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for message in traffic(None).0 {
        match message {
            Message::PrePrepare(signed) => seeds.push(with_kind(0, &signed)),
            Message::Prepare(signed) => seeds.push(with_kind(1, &signed)),
            Message::Commit(signed) => seeds.push(with_kind(2, &signed)),
            Message::Checkpoint(signed) => seeds.push(with_kind(3, &signed)),
            Message::ViewChange(signed) => {
                seeds.push(with_kind(4, signed.as_ref()));
                seeds.extend(signed.statement.prepared.iter().map(|certificate| with_kind(6, certificate)));
            }
            Message::NewView(signed) => {
                seeds.push(with_kind(5, signed.as_ref()));
                let draft = NewViewDraft {
                    view: signed.statement.view,
                    view_changes: signed.statement.view_changes.to_vec(),
                    order: signed.statement.pre_prepares.iter().map(|signed| signed.statement).collect(),
                };
                seeds.push(with_kind(9, &draft));
            }
            Message::Committed(certificate) => seeds.push(with_kind(7, &certificate)),
            Message::Stable(certificate) => seeds.push(with_kind(8, &certificate)),
            Message::Status(status) => seeds.push(with_kind(11, &status)),
            _ => {}
        }
    }
    // A client's window: its floor, and bits.
    seeds.push(with_kind(10, &(3_u64, vec![5_u64, u64::MAX])));
    seeds
}

/// For `command`.
#[must_use]
pub fn commands() -> Vec<Vec<u8>> {
    let texts: [&[&str]; 4] = [&["add"], &["", ""], &["one", "two", "three"], &["x"; 60]];
    texts.iter().map(|operations| SETUP.command(0, 9, operations).encoded().to_vec()).collect()
}

/// For `batch`.
#[must_use]
pub fn batches() -> Vec<Vec<u8>> {
    let commands = |count: u64| (1..=count).map(|sequence| SETUP.command((sequence % 3) as u8, sequence, &["add"]));
    let batch = |count| Batch::new(commands(count).collect()).expect("it has commands").encoded().to_vec();
    vec![batch(1), batch(2), batch(9)]
}

/// For `evidence`.
#[must_use]
pub fn evidence() -> Vec<Vec<u8>> {
    let mut evidence = Vec::new();
    for attack in ["equivocate", "double-vote"] {
        evidence.extend(traffic(Some(attack)).1.into_iter().take(EACH));
    }
    let vote = |text: &'static str| {
        let digest = sha256(text, &[]);
        SETUP.signer(ReplicaId(1)).sign(Prepare { view: View(0), slot: Slot(1), digest }).into_inner()
    };
    evidence.push(Evidence::Prepares(Conflict { first: vote("one"), second: vote("two") }));
    evidence.iter().map(encode).collect()
}

/// For `genesis`.
#[must_use]
pub fn genesis() -> Vec<Vec<u8>> {
    vec![encode(&SETUP.genesis), encode(&larger())]
}

/// For `genesis_json`.
#[must_use]
pub fn genesis_json() -> Vec<Vec<u8>> {
    vec![SETUP.genesis.to_json_pretty().into_bytes(), larger().to_json_pretty().into_bytes()]
}

fn larger() -> varangian_crypto::Genesis {
    varangian_sim::cluster::Setup::new(&Options { n: 7, clients: 1, ..Options::default() }).genesis
}

/// For `request`.
#[must_use]
pub fn requests() -> Vec<Vec<u8>> {
    let subscribe = Request::subscribe(SETUP.client(0), SETUP.committee.context(), &[7; 32]);
    let requests = [subscribe, Request::Command(SETUP.command(1, 3, &["add"])), Request::Status];
    requests.iter().map(|request| [request.encode().head.as_ref(), request.encode().body.as_ref()].concat()).collect()
}

/// For `response`.
#[must_use]
pub fn responses() -> Vec<Vec<u8>> {
    let client = SETUP.client(0).client_key();
    let done = OperationResult::Done((&b"blue"[..]).try_into().expect("short"));
    let results = vec![done, OperationResult::ApplicationFault, OperationResult::TooLarge { size: 1 << 20 }];
    let executed = Outcome::Executed(results.try_into().expect("a few"));
    let command = sha256("seed", &[]);
    let reply =
        |outcome| Response::Reply { reply: Reply { client, sequence: 4, command, slot: Slot(9), outcome }, view: 2 };
    let status = ReplicaStatus {
        replica: 1,
        view: 2,
        active: true,
        primary: 2,
        executed: 812,
        history: command,
        stable: 768,
        behind: false,
        waiting: 3,
        connected: 3,
        accused: vec![(3, 17)],
        stopped: Some("why".into()),
    };
    let responses = [
        Response::Subscribed { client },
        reply(executed),
        reply(Outcome::TooOld),
        reply(Outcome::Refused),
        Response::NotTaken { client, sequence: 4, reason: NotTaken::Busy },
        Response::Status(status),
    ];
    responses.iter().map(encode).collect()
}

/// For `frames`.
#[must_use]
pub fn frames() -> Vec<Vec<u8>> {
    let frame = |body: &[u8]| [&u32::try_from(body.len()).expect("short").to_le_bytes()[..], body].concat();
    // A hello, a vote, nothing, a few of them.
    let (hello, vote) = (frame(&[1, 0, 2, 0]), frame(&commands()[0]));
    vec![hello.clone(), vote.clone(), frame(&[]), [hello, frame(&[]), vote, frame(&[9; 4096])].concat()]
}

/// For `handshake`.
#[must_use]
pub fn handshakes() -> Vec<Vec<u8>> {
    let hellos = [(0, Role::Replica), (1, Role::Client), (0x40, Role::Replica)];
    hellos.into_iter().map(|(first, role)| [&[first][..], &client_hello(role)].concat()).collect()
}

/// For `cluster`.
#[must_use]
pub fn schedules() -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let schedule = |faulty: u8| {
        // A command to all, so that there is something to agree on, then anything.
        let mut bytes = vec![faulty, 10, 0x0f];
        bytes.extend((0..120).map(|_| random.draw().to_le_bytes()[0]));
        bytes
    };
    (0..22).chain([0xff, 0xfe]).map(schedule).collect()
}
