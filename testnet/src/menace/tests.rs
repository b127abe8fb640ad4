//! Each malformed thing is malformed in exactly the intended way, by the word of the crates that judge it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use varangian_client::Network;
use varangian_client::protocol::{Request, check_subscription};
use varangian_consensus::{Batch, CommandError, Slot, View};
use varangian_crypto::{
    Clients, Domain, Genesis, KeyError, Member, Parameters, ReplicaId, SigningKey, Verify, VerifyError, message,
    verify_clients,
};
use varangian_net::FrameError;
use varangian_net::frame::Assembler;

use super::bad_signatures::Flaw;
use super::hand::{Author, Behaviour, Hand, Sending, Voice, signature_of};
use super::handshakes::{Begun, Datagram, SMALLEST_INITIAL, is_retry};
use super::huge::Size;
use super::malformed::Malformation;
use super::mixed_order_signatures::Edge;
use super::target::Door;
use super::*;
use crate::load::operations::SplitMix;

fn target_at(ip: Ipv4Addr) -> Target {
    let key = |number: u8| SigningKey::from_seed([number; 32]);
    let member = |id: u16| Member {
        id: ReplicaId(id),
        name: format!("r{id}"),
        consensus_key: key(1 + id as u8).replica_key(),
        network_key: key(11 + id as u8).network_key(),
    };
    let members = (0..4).map(member).collect();
    let genesis = Genesis::new("menaced".into(), Parameters::default(), members, Clients::Open { maximum: 9 }).unwrap();
    let place = |id: u16| (ReplicaId(id), SocketAddr::from((ip, 4000 + id)));
    let network = Network::new(genesis, (0..4).map(place)).unwrap();
    Target::new(network, (0..4).map(|id| SocketAddr::from((ip, 5000 + id))).collect()).unwrap()
}

fn target() -> Target {
    target_at(Ipv4Addr::LOCALHOST)
}

fn hand() -> Hand {
    Hand::new(target(), SplitMix::of(7, 0, 0))
}

fn acts(behaviour: &mut dyn Behaviour, hand: &mut Hand, count: usize) -> Vec<Vec<Sending>> {
    (0..count).map(|_| behaviour.act(hand).unwrap()).collect()
}

fn command(sending: &Sending) -> Command {
    Command::decode(sending.command.clone()).unwrap()
}

#[test]
fn every_row_is_whole() {
    let names: BTreeSet<_> = MENACES.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), MENACES.len());
    let rows: BTreeSet<_> = MENACES.iter().flat_map(|kind| kind.rows).copied().collect();
    assert!(rows.is_superset(&BTreeSet::from([19, 26, 27, 28, 29])), "{rows:?}");
    for kind in &MENACES {
        assert!((1..=kind.most).contains(&kind.rate), "{}", kind.name);
        assert!(kind.client || kind.rows == [19], "{}: an outsider plays row 19", kind.name);
        assert!(!kind.description.is_empty() && !kind.defence.is_empty());
    }
}

#[test]
fn specs_are_read_and_written() {
    for text in [
        "flood",
        "flood,rate=7",
        "gaps@view=2..5",
        "huge@p=0.3,seed=7,rate=2",
        "replay@never",
        "streams@slot=10..,rate=100",
    ] {
        assert_eq!(Spec::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Spec::parse("flood@always,rate=1000").unwrap().to_string(), "flood");
    let error = |text: &str| Spec::parse(text).unwrap_err().to_string();
    assert!(error("flod").contains("did you mean \"flood\""), "{}", error("flod"));
    assert!(error("flood@veiw=2").contains("view=2..5"));
    for rate in ["0", "4001", "-1", "x", "", "99999999999999999999"] {
        assert!(error(&format!("flood,rate={rate}")).contains("from 1 to 4000"), "{rate}");
    }
}

#[test]
fn triggers_strike_by_place_or_by_act() {
    let spec = |text: &str| Spec::parse(text).unwrap();
    let here = Some((View(3), Slot(12)));
    assert!(spec("gaps").strikes(0, None) && spec("gaps").strikes(5, here));
    assert!(!spec("gaps@never").strikes(0, here));
    assert!(spec("gaps@view=3").strikes(0, here) && !spec("gaps@view=4..").strikes(0, here));
    assert!(spec("gaps@slot=10..20").strikes(0, here) && !spec("gaps@slot=13").strikes(0, here));
    assert!(!spec("gaps@view=0..").strikes(0, None), "nothing is in a view that is not known");
    let random = spec("gaps@p=0.3,seed=7");
    let struck: Vec<_> = (0..1000).filter(|act| random.strikes(*act, here)).collect();
    assert!((200..400).contains(&struck.len()), "{}", struck.len());
    assert_eq!(struck, (0..1000).filter(|act| random.strikes(*act, None)).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_this_machine_is_a_target() {
    let elsewhere = target_at(Ipv4Addr::new(192, 0, 2, 1));
    let refused = Menace::start(&elsewhere, Spec::parse("flood").unwrap(), 1).unwrap_err();
    assert!(matches!(refused, MenaceError::NotLocal(_)), "{refused}");
}

/// Nobody listens: each goes on, counts, and ends when it is told to.
#[tokio::test]
async fn every_menace_stops_where_nobody_answers() {
    for kind in &MENACES {
        let spec = Spec::parse(kind.name).unwrap();
        let menace = Menace::start(&target(), spec, 1).unwrap();
        menace.reached(|counters| counters.acts >= 1).await;
        let counters = menace.stop().await;
        assert_eq!((counters.accepted, counters.opened), (0, 0), "{}", kind.name);
    }
}

/// Honest acts are counted apart, and `never` leaves nothing else.
#[tokio::test]
async fn a_menace_that_never_strikes_is_honest() {
    for text in ["flood@never", "connections@never", "gaps@view=0.."] {
        let menace = Menace::start(&target(), Spec::parse(text).unwrap(), 1).unwrap();
        menace.reached(|counters| counters.honest >= 3).await;
        assert_eq!(menace.stop().await.acts, 0, "{text}: of no view is anything known here");
    }
}

#[test]
fn the_same_seed_acts_alike() {
    let frames = |seed| {
        let mut hand = Hand::new(target(), SplitMix::of(seed, 0, 0));
        let all = acts(&mut super::two_faced::TwoFaced::default(), &mut hand, 5);
        all.into_iter().flatten().map(|sending| sending.command).collect::<Vec<_>>()
    };
    assert_eq!(frames(1), frames(1));
    assert_ne!(frames(1), frames(2));
}

#[test]
fn honest_acts_are_valid_and_keep_to_the_menaces_keys() {
    let mut hand = hand();
    let committee = target().network().committee().clone();
    for sequence in 1..5 {
        let honest = command(&hand.honest().unwrap());
        assert_eq!((honest.check(&committee), honest.sequence()), (Ok(()), sequence));
        assert!(keeps_to_its_keys(&honest));
    }
}

#[test]
fn whose_keys_a_command_touches_is_known() {
    let key = SigningKey::from_seed([5; 32]);
    let context = *target().network().committee().context();
    let sign = |actions: &[Action]| {
        let operations: Vec<_> = actions.iter().map(|action| Operation::from(action.clone()).encode()).collect();
        Command::sign(&key, &context, 1, &operations).unwrap()
    };
    let own = Action::put(b"menace/1", "x").unwrap();
    let others = [
        Action::put(b"menace", "x").unwrap(),
        Action::add(b"counter/1", 1).unwrap(),
        Action::scan(b"menace", None, 1).unwrap(),
        Action::delete(b"").unwrap(),
    ];
    assert!(keeps_to_its_keys(&sign(std::slice::from_ref(&own))));
    for other in others {
        assert!(!keeps_to_its_keys(&sign(&[own.clone(), other])));
    }
    assert!(keeps_to_its_keys(&sign(&[own, Action::scan(b"menace/x", None, 1).unwrap()])));
    assert!(keeps_to_its_keys(&Command::sign(&key, &context, 1, &[b""]).unwrap()));
    assert!(!keeps_to_its_keys(&Command::sign(&key, &context, 1, &[b"nonsense"]).unwrap()));
}

/// Well formed, within all limits, on the menaces' keys; and no verifier takes it.
#[test]
fn bad_signatures_are_bad_and_nothing_else_is() {
    let mut hand = hand();
    let committee = target().network().committee().clone();
    for flaw in Flaw::ALL {
        for _ in 0..20 {
            let encoded = super::bad_signatures::build(&mut hand, flaw).unwrap();
            let command = Command::decode(encoded).unwrap();
            assert_eq!(command.check(&committee), Err(VerifyError::BadSignature), "{flaw:?}");
            let item = (command.client(), *command.digest(), *command.signature());
            assert!(verify_clients(committee.context(), &[item]).is_err(), "{flaw:?}: batches say the same");
            assert!(keeps_to_its_keys(&command), "{flaw:?}");
        }
    }
    // What the flaws are made of is good where it belongs.
    let author = hand.author();
    let operation = hand.operation().unwrap();
    let good = author.sign(committee.context(), 1, &[operation]).unwrap();
    assert_eq!(Command::decode(good).unwrap().check(&committee), Ok(()));
}

/// What ZIP 215 accepts is accepted by the one predicate, alone and in a batch; a verifier without the eight refuses it. All else is refused.
#[test]
fn edges_are_where_verifiers_differ() {
    let mut hand = hand();
    let committee = target().network().committee().clone();
    let context = *committee.context();
    for edge in Edge::ALL {
        for _ in 0..20 {
            let (encoded, author) = super::mixed_order_signatures::build(&mut hand, edge).unwrap();
            let naive = naive_verdict(&encoded, &context);
            match Command::decode(encoded.clone()) {
                Ok(command) => {
                    assert_eq!(command.check(&committee).is_ok(), edge.is_accepted(), "{edge:?}");
                    let item = (command.client(), *command.digest(), *command.signature());
                    assert_eq!(verify_clients(&context, &[item, item]).is_ok(), edge.is_accepted(), "{edge:?}");
                    assert!(!naive, "{edge:?}: others refuse it");
                    assert_eq!(command.client(), author.voice.client());
                    assert!(keeps_to_its_keys(&command));
                }
                Err(error) => {
                    assert_eq!(error, CommandError::Key, "{edge:?}");
                    assert!(!edge.is_accepted(), "{edge:?}");
                    let key = varangian_crypto::ClientKey::from_bytes(encoded[..32].try_into().unwrap());
                    let expected = if edge == Edge::SmallKey { KeyError::SmallOrder } else { KeyError::NonCanonical };
                    assert_eq!(key, Err(expected), "{edge:?}");
                }
            }
            if edge.is_accepted() {
                let Voice::Mixed(key) = &*author.voice else { panic!("{edge:?}") };
                let signature =
                    key.sign(Domain::Subscribe, &context, &varangian_client::protocol::subscription(&[3; 32]));
                check_subscription(&context, &key.client_key(), &signature, &[3; 32]).unwrap();
            }
        }
    }
}

/// A signature for a key of small order that whoever admits the key takes for any message.
#[test]
fn small_keys_sign_everything_where_they_are_let() {
    let mut hand = hand();
    for _ in 0..20 {
        let (encoded, _) = super::mixed_order_signatures::build(&mut hand, Edge::SmallKey).unwrap();
        let key: [u8; 32] = encoded[..32].try_into().unwrap();
        let signature = signature_of(&encoded).unwrap();
        let point = |bytes: &[u8]| {
            curve25519_dalek::edwards::CompressedEdwardsY::from_slice(bytes).unwrap().decompress().unwrap()
        };
        assert!(point(&key).is_small_order());
        let s = curve25519_dalek::scalar::Scalar::from_canonical_bytes(signature[32..].try_into().unwrap()).unwrap();
        let left = curve25519_dalek::edwards::EdwardsPoint::mul_base(&s).mul_by_cofactor();
        assert_eq!(left, point(&signature[..32]).mul_by_cofactor());
    }
}

/// What a verifier without cofactor, which also wants canonical points, says.
fn naive_verdict(encoded: &Bytes, context: &varangian_crypto::Context) -> bool {
    let Ok(command) = Command::decode(encoded.clone()) else { return false };
    let key = ed25519_dalek::VerifyingKey::from_bytes(command.client().as_bytes()).unwrap();
    let signature = ed25519_dalek::Signature::from_bytes(command.signature().as_bytes());
    let bytes = message(Domain::Command, context, command.digest().as_bytes());
    ed25519_dalek::Verifier::verify(&key, &bytes, &signature).is_ok()
}

#[test]
fn huge_commands_are_at_the_limits_and_one_above() {
    let (mut hand, committee) = (hand(), target().network().committee().clone());
    let parameters = committee.parameters().clone();
    let author = hand.author();
    for size in Size::ALL {
        let command = Command::decode(super::huge::build(&mut hand, &author, size).unwrap()).unwrap();
        let (bytes, count) = (command.encoded().len(), command.operation_count());
        let (most, many) = (parameters.max_command_bytes as usize, parameters.max_batch_operations);
        let verdict = command.check(&committee);
        match size {
            Size::LargestCommand => assert_eq!((bytes, verdict), (most, Ok(()))),
            Size::TooLargeCommand => assert!(bytes == most + 1 && verdict.is_err()),
            Size::MostOperations => assert!(count == many && verdict.is_ok()),
            Size::TooManyOperations => assert!(count == many + 1 && verdict.is_err() && bytes <= most),
            Size::TooLargeFrame => assert!(bytes > 1 << 20 && verdict.is_err()),
        }
        assert!(keeps_to_its_keys(&command), "{size:?}");
        if verdict.is_ok() {
            Batch::new(vec![command]).unwrap().check(&committee).unwrap();
        }
    }
}

#[test]
fn partial_commands_go_to_one_and_to_each_in_turn() {
    let mut hand = hand();
    hand.primary = ReplicaId(2);
    let all = acts(&mut super::partial::Partial::default(), &mut hand, 8);
    let to: Vec<_> = all.iter().map(|sendings| (sendings.len(), sendings[0].to.unwrap().0)).collect();
    assert_eq!(to, [2, 3, 0, 1, 2, 3, 0, 1].map(|id| (1, id)));
    let numbers: Vec<_> = all.iter().map(|sendings| command(&sendings[0]).sequence()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn gaps_leave_the_window_on_both_sides() {
    let (mut hand, committee) = (hand(), target().network().committee().clone());
    let window = u64::from(committee.parameters().client_window);
    let all = acts(&mut super::gaps::Gaps::default(), &mut hand, 32);
    let commands: Vec<_> = all.iter().map(|sendings| command(&sendings[0])).collect();
    assert!(commands.iter().all(|command| command.check(&committee).is_ok()));
    assert_eq!(commands.iter().map(Command::client).collect::<BTreeSet<_>>().len(), 2);
    let numbers: Vec<_> = commands[..16].iter().map(Command::sequence).collect();
    assert_eq!((numbers[0], numbers[14], numbers[15]), (0, u64::MAX - window, u64::MAX));
    let mut highest = 0;
    let (mut over, mut below, mut holes) = (0, 0, 0);
    for number in &numbers {
        over += u32::from(*number > highest + window);
        holes += u32::from(*number > highest + 1 && *number <= highest + window);
        below += u32::from(*number <= highest.saturating_sub(window));
        highest = highest.max(*number);
    }
    assert!(over >= 4 && below >= 2 && holes >= 2, "{numbers:?}");
}

#[test]
fn replays_are_the_same_bytes_over_both_sets() {
    let mut hand = hand();
    let all: Vec<_> = acts(&mut super::replay::Replay::default(), &mut hand, 200).into_iter().flatten().collect();
    let commands: Vec<_> = all.iter().map(|sending| command(sending).encoded().clone()).collect();
    let distinct: BTreeSet<_> = commands.iter().collect();
    assert_eq!(distinct.len(), 25, "one in eight is new");
    assert_eq!(all.iter().map(|sending| sending.set).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
}

#[test]
fn retries_name_what_has_run_and_listen_for_nothing() {
    let (mut hand, committee) = (hand(), target().network().committee().clone());
    let all: Vec<_> = acts(&mut super::retries::Retries::default(), &mut hand, 5000).into_iter().flatten().collect();
    let commands: Vec<_> = all.iter().map(command).collect();
    let large: Vec<_> = commands.iter().filter(|command| command.operation_count() == 4096).collect();
    assert_eq!(large.iter().map(|command| command.sequence()).collect::<Vec<_>>(), [1, 2]);
    assert!(commands[1..4096].iter().all(|command| command.identity() == commands[0].identity()));
    assert!(commands[1..4096].iter().all(|command| command.encoded().len() < 128));
    assert!(all.iter().all(|sending| sending.voice.is_none() && sending.to.is_none()));
    for command in &commands[..2] {
        assert!(command.check(&committee).is_ok() && keeps_to_its_keys(command));
    }
}

#[test]
fn scans_are_of_large_values_and_of_deleted_keys() {
    let (mut hand, committee) = (hand(), target().network().committee().clone());
    let all = acts(&mut super::scans::Scans::default(), &mut hand, 3);
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [32 + 2 + 1, 1, 1]);
    for (number, sending) in all.iter().flatten().enumerate() {
        let command = command(sending);
        assert_eq!((command.check(&committee), command.sequence()), (Ok(()), number as u64 + 1));
        assert!(keeps_to_its_keys(&command));
        let first = varangian_crypto::decode(&command.operations().next().unwrap()).unwrap();
        let Operation::Single(first) = first else { panic!("{first:?}") };
        match number {
            0..32 => {
                assert!(matches!(first, Action::Put { value, .. } if value.len() == 1 || value.len() == 256 << 10))
            }
            32 => assert!(matches!(first, Action::Put { value, .. } if value.is_empty())),
            33 => assert!(matches!(first, Action::Delete { .. })),
            _ => assert!(matches!(first, Action::Scan { limit: 31 | 1, .. }) && command.operation_count() == 4096),
        }
    }
}

#[test]
fn heavy_commands_fill_a_batch_and_are_of_one_client_each() {
    let (mut hand, committee) = (hand(), target().network().committee().clone());
    let all = acts(&mut super::heavy::Heavy::default(), &mut hand, 4);
    for (round, sendings) in all.iter().enumerate() {
        let commands: Vec<_> = sendings.iter().map(command).collect();
        let clients: BTreeSet<_> = commands.iter().map(Command::client).collect();
        assert_eq!((clients.len(), commands.len()), if round % 2 == 0 { (16, 16) } else { (2, 2) });
        for command in commands {
            assert!(command.check(&committee).is_ok() && keeps_to_its_keys(&command));
            assert!(if round % 2 == 0 {
                command.operation_count() == 4096
            } else {
                command.encoded().len() == 512 << 10
            });
        }
    }
}

#[test]
fn two_faces_share_a_number_and_differ() {
    let (mut hand, committee) = (hand(), target().network().committee().clone());
    let mut split = 0;
    for sendings in acts(&mut super::two_faced::TwoFaced::default(), &mut hand, 20) {
        assert_eq!(sendings.iter().map(|sending| sending.to.unwrap().0).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let commands: Vec<_> = sendings.iter().map(command).collect();
        assert!(commands.iter().all(|command| command.check(&committee).is_ok()));
        assert_eq!(commands.iter().map(Command::identity).collect::<BTreeSet<_>>().len(), 1);
        split += u32::from(commands.iter().map(Command::digest).collect::<BTreeSet<_>>().len() == 2);
    }
    assert!(split > 10, "{split}");
}

#[test]
fn floods_are_valid() {
    let (mut hand, committee) = (hand(), target().network().committee().clone());
    let clients = |flood: &mut super::flood::Flood, hand: &mut Hand| {
        let all: Vec<_> = acts(flood, hand, 300).iter().map(|sendings| command(&sendings[0])).collect();
        assert!(all.iter().all(|command| command.check(&committee).is_ok()));
        assert_eq!(all.iter().map(Command::identity).collect::<BTreeSet<_>>().len(), 300);
        all.iter().map(Command::client).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(clients(&mut super::flood::Flood::one(), &mut hand), 1);
    assert_eq!(clients(&mut super::flood::Flood::many(), &mut hand), 256);
}

/// What stands on the stream comes to a frame that is no request, to one that proves nothing, or to no frame.
#[test]
fn malformed_frames_are_no_requests() {
    let (mut random, committee) = (SplitMix::of(3, 0, 0), target().network().committee().clone());
    for malformation in Malformation::ALL {
        for _ in 0..50 {
            let mut unread = Bytes::from(super::malformed::build(malformation, &mut random, committee.context()));
            let frame = Assembler::new(1 << 20).take(&mut unread);
            let refused = match (malformation, frame) {
                (Malformation::Torn, frame) => matches!(frame, Ok(None) | Err(FrameError::TooLarge { .. })),
                (Malformation::MutatedCommand, Ok(Some(frame))) => match Request::decode(&frame) {
                    Err(_) => true,
                    Ok(Request::Command(command)) => command.check(&committee).is_err(),
                    Ok(_) => false,
                },
                (Malformation::FalseClaim, Ok(Some(frame))) => match Request::decode(&frame).unwrap() {
                    Request::Subscribe { client, signature } => {
                        check_subscription(committee.context(), &client, &signature, &[8; 32]).is_err()
                    }
                    _ => false,
                },
                (_, Ok(Some(frame))) => Request::decode(&frame).is_err(),
                _ => false,
            };
            assert!(refused && unread.is_empty(), "{malformation:?}");
        }
    }
}

#[test]
fn oversized_frames_are_refused_by_their_header() {
    let mut unread = Bytes::from_static(&super::oversized::ANNOUNCED);
    let error = Assembler::new(1 << 30).take(&mut unread).unwrap_err();
    assert_eq!(error, FrameError::TooLarge { length: u32::MAX as usize, limit: 1 << 30 });
}

#[test]
fn handshakes_begin_and_the_rest_is_nothing() {
    let target = target();
    let (address, key) = target.endpoint(ReplicaId(1), Door::Replicas).unwrap();
    for what in Datagram::ALL {
        let mut random = SplitMix::of(9, 0, 0);
        let tls = varangian_net::endpoint::tls_client(None, varangian_net::identity::Role::Replica, &key).unwrap();
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
        let mut begun = Begun::new(&mut random, config, address).unwrap();
        let bytes = super::handshakes::build(what, &mut begun, &mut random).unwrap();
        let version = bytes.get(1..5).map(<[u8]>::to_vec);
        let long = bytes[0] & 0x80 != 0;
        match what {
            Datagram::Initial | Datagram::Retried | Datagram::Broken => {
                assert!(long && bytes.len() >= SMALLEST_INITIAL && version == Some(vec![0, 0, 0, 1]), "{what:?}");
                assert!(!is_retry(&bytes));
            }
            Datagram::UnknownVersion => {
                assert!(long && bytes.len() >= SMALLEST_INITIAL && version == Some(vec![0x1a, 0x2a, 0x3a, 0x4a]));
            }
            Datagram::NoConnection => assert_eq!(bytes[0] & 0xc0, 0x40),
            Datagram::Garbage => {}
        }
    }
}

#[test]
fn authors_with_torsion_speak_like_others() {
    let mut hand = hand();
    let (_, mixed) = super::mixed_order_signatures::build(&mut hand, Edge::MixedBoth).unwrap();
    let mut author: Author = mixed;
    let committee = target().network().committee().clone();
    for sequence in 1..4 {
        let command = Command::decode(hand.command(&mut author).unwrap()).unwrap();
        assert_eq!((command.check(&committee), command.sequence()), (Ok(()), sequence));
    }
}
