#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::testing::{genesis, key, members};
use crate::*;

const OPEN: Clients = Clients::Open { maximum: 10 };

/// A genesis of four with these parameters.
fn with(change: impl FnOnce(&mut Parameters)) -> Result<Genesis, GenesisError> {
    let mut parameters = Parameters::default();
    change(&mut parameters);
    Genesis::new("test".to_string(), parameters, members(4), OPEN)
}

fn of(replicas: Vec<Member>, clients: Clients) -> Result<Genesis, GenesisError> {
    Genesis::new("test".to_string(), Parameters::default(), replicas, clients)
}

#[test]
fn json_survives_and_defaults_are_filled_in() {
    let genesis = genesis("test", 4);
    let json = genesis.to_json_pretty();
    assert_eq!(Genesis::from_json(&json), Ok(genesis.clone()));
    let start = json.find("\"parameters\"").unwrap();
    let end = json.find("\"replicas\"").unwrap();
    let without = [&json[..start], &json[end..]].concat();
    assert_eq!(Genesis::from_json(&without), Ok(genesis.clone()));
    let one = [&json[..start], "\"parameters\": { \"window\": 384 },", &json[end..]].concat();
    let other = Genesis::from_json(&one).unwrap();
    assert_eq!(other.parameters().window, 384);
    assert_eq!(other.parameters().pipeline_depth, 16);
    assert_ne!(other.chain_id(), genesis.chain_id());
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    let json = genesis("test", 4).to_json_pretty();
    for known in ["\"name\"", "\"window\"", "\"consensus_key\"", "\"allow_list\""] {
        assert!(json.contains(known));
        let wrong = json.replacen(known, &known.replacen('"', "\"x", 1), 1);
        let error = Genesis::from_json(&wrong).unwrap_err();
        assert!(matches!(&error, GenesisError::Json(text) if text.contains("unknown")), "{known}: {error}");
    }
    let open = json_of_open().replace("\"maximum\": 10", "\"maximum\": 10, \"minimum\": 1");
    assert!(matches!(Genesis::from_json(&open), Err(GenesisError::Json(_))));
}

fn json_of_open() -> String {
    of(members(4), OPEN).unwrap().to_json_pretty()
}

#[test]
fn both_ways_to_admit_clients_have_a_json_form() {
    let open = json_of_open();
    assert!(open.contains("\"open\"") && open.contains("\"maximum\": 10"), "{open}");
    assert_eq!(Genesis::from_json(&open).unwrap().clients(), &OPEN);
    let listed = genesis("test", 4).to_json_pretty();
    assert!(listed.contains("\"allow_list\""), "{listed}");
}

#[test]
fn a_key_that_is_none_is_refused_with_its_reason() {
    let good = genesis("test", 4);
    let key = good.replicas()[2].consensus_key.to_string();
    let wrong = good.to_json_pretty().replace(&key, &"00".repeat(32));
    let error = Genesis::from_json(&wrong).unwrap_err();
    assert!(error.to_string().contains("small order"), "{error}");
}

#[test]
fn the_chain_id_covers_every_part() {
    let base = of(members(4), OPEN).unwrap();
    let mut renamed = members(4);
    renamed[0].name = "another".to_string();
    let mut rekeyed = members(4);
    rekeyed[3].network_key = key(99).network_key();
    let others = [
        Genesis::new("other".to_string(), Parameters::default(), members(4), OPEN),
        with(|parameters| parameters.base_timeout_ms += 1),
        of(renamed, OPEN),
        of(rekeyed, OPEN),
        of(members(5), OPEN),
        of(members(4), Clients::Open { maximum: 11 }),
        of(members(4), Clients::AllowList(vec![key(201).client_key()])),
    ];
    let mut ids: Vec<_> = others.into_iter().map(|other| other.unwrap().chain_id()).collect();
    ids.push(base.chain_id());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

#[test]
fn the_order_of_an_allow_list_does_not_matter() {
    let keys = [201, 202, 203].map(|number| key(number).client_key());
    let forth = of(members(4), Clients::AllowList(keys.to_vec())).unwrap();
    let back = of(members(4), Clients::AllowList(keys.into_iter().rev().collect())).unwrap();
    assert_eq!(forth, back);
    assert_eq!(forth.chain_id(), back.chain_id());
}

#[test]
fn canonical_bytes_hold_the_allow_list_sorted() {
    let good = genesis("test", 4);
    let bytes = encode(&good);
    assert_eq!(decode::<Genesis>(&bytes), Ok(good));
    let mut swapped = bytes.clone();
    let keys = bytes.len() - 64;
    swapped[keys..].rotate_left(32);
    assert!(matches!(decode::<Genesis>(&swapped), Err(CodecError::Malformed(text)) if text.contains("sorted")));
}

#[test]
fn replicas_are_four_to_the_limit() {
    let refused = |found| GenesisError::Replicas { found, minimum: 4, maximum: MAX_REPLICAS };
    assert_eq!(of(members(3), OPEN), Err(refused(3)));
    assert_eq!(of(vec![], OPEN), Err(refused(0)));
    assert!(of(members(4), OPEN).is_ok());
    let many = vec![members(1)[0].clone(); MAX_REPLICAS + 1];
    assert_eq!(of(many, OPEN), Err(refused(MAX_REPLICAS + 1)));
}

#[test]
fn ids_are_places() {
    let mut swapped = members(4);
    swapped.swap(1, 2);
    assert_eq!(of(swapped, OPEN), Err(GenesisError::ReplicaOrder { expected: 1, found: 2 }));
}

#[test]
fn no_key_and_no_name_stands_twice() {
    let refused = |change: fn(&mut Vec<Member>)| {
        let mut replicas = members(4);
        change(&mut replicas);
        of(replicas, OPEN).unwrap_err()
    };
    let pair = |first, second| GenesisError::DuplicateKey { first, second };
    assert_eq!(refused(|all| all[2].consensus_key = all[0].consensus_key), pair(0, 2));
    assert_eq!(refused(|all| all[3].network_key = all[1].network_key), pair(1, 3));
    assert_eq!(refused(|all| all[3].network_key = key(4).network_key()), pair(3, 3));
    assert_eq!(refused(|all| all[3].network_key = key(1).network_key()), pair(0, 3));
    let name = GenesisError::DuplicateName { first: 1, second: 2 };
    assert_eq!(refused(|all| all[2].name = all[1].name.clone()), name);
    let twice = vec![key(201).client_key(); 2];
    let error = of(members(4), Clients::AllowList(twice.clone())).unwrap_err();
    assert_eq!(error, GenesisError::DuplicateClient { key: twice[0].to_string() });
}

#[test]
fn names_are_short_and_printable() {
    let longest = "x".repeat(64);
    for (name, good) in
        [("", false), ("x", true), (&longest, true), (&"x".repeat(65), false), ("a\nb", false), ("Þórr", true)]
    {
        let chain = Genesis::new(name.to_string(), Parameters::default(), members(4), OPEN);
        assert_eq!(chain.is_ok(), good, "{name:?}");
        let mut replicas = members(4);
        replicas[1].name = name.to_string();
        assert_eq!(of(replicas, OPEN).is_ok(), good, "{name:?}");
    }
}

#[test]
fn clients_are_at_most_max_clients() {
    let refused = |found| GenesisError::TooManyClients { found, maximum: 10_000 };
    assert!(of(members(4), Clients::Open { maximum: 10_000 }).is_ok());
    assert_eq!(of(members(4), Clients::Open { maximum: 10_001 }), Err(refused(10_001)));
    let keys = [201, 202].map(|number| key(number).client_key()).to_vec();
    let mut parameters = Parameters { max_clients: 2, ..Parameters::default() };
    let make = |parameters: &Parameters| {
        Genesis::new("test".to_string(), parameters.clone(), members(4), Clients::AllowList(keys.clone()))
    };
    assert!(make(&parameters).is_ok());
    parameters.max_clients = 1;
    assert_eq!(make(&parameters), Err(GenesisError::TooManyClients { found: 2, maximum: 1 }));
}

/// Each number at the edges of its own range.
#[test]
fn numbers_out_of_range_are_refused_by_name() {
    type Set = fn(&mut Parameters, u64);
    let cases: [(&str, Set, u64, u64); 14] = [
        ("checkpoint_interval", |p, v| p.checkpoint_interval = v, 1, 1 << 20),
        ("window", |p, v| p.window = v, 2, 1 << 21),
        ("pipeline_depth", |p, v| p.pipeline_depth = v, 1, 256),
        ("max_batch_bytes", |p, v| p.max_batch_bytes = v as u32, 1024, 1 << 30),
        ("max_batch_operations", |p, v| p.max_batch_operations = v as u32, 1, u64::from(u32::MAX)),
        ("max_command_bytes", |p, v| p.max_command_bytes = v as u32, 512, 1 << 30),
        ("client_window", |p, v| p.client_window = v as u32, 1, 4096),
        ("max_result_bytes", |p, v| p.max_result_bytes = v as u32, 32, 1 << 24),
        ("max_clients", |p, v| p.max_clients = v as u32, 1, u64::from(u32::MAX)),
        ("armed_commands", |p, v| p.armed_commands = v as u32, 1, 1 << 16),
        ("client_pool_commands", |p, v| p.client_pool_commands = v as u32, 1, 256),
        ("base_timeout_ms", |p, v| p.base_timeout_ms = v, 10, 86_400_000),
        ("max_timeout_ms", |p, v| p.max_timeout_ms = v, 10, 86_400_000),
        ("max_frame_bytes", |p, v| p.max_frame_bytes = v as u32, 1 << 14, 1 << 30),
    ];
    for (name, set, minimum, maximum) in cases {
        let above = (maximum < u64::from(u32::MAX)).then_some(maximum + 1);
        for value in [Some(minimum - 1), above].into_iter().flatten() {
            // A window below its least has no room for any pipeline either: the window is named first.
            let error = with(|parameters| set(parameters, value)).unwrap_err();
            assert_eq!(error, GenesisError::Range { name, value, minimum, maximum });
        }
        for value in [minimum, maximum] {
            let result = with(|parameters| set(parameters, value));
            let wrong = matches!(&result, Err(GenesisError::Range { name: found, .. }) if *found == name);
            assert!(!wrong, "{name} = {value}: {result:?}");
        }
    }
}

#[test]
fn numbers_that_do_not_fit_each_other_are_refused() {
    for interval in [129, 256, 100] {
        let refused = GenesisError::WindowAndInterval { window: 256, interval };
        assert_eq!(with(|p| p.checkpoint_interval = interval), Err(refused));
    }
    assert!(with(|p| p.checkpoint_interval = 64).is_ok());
    let timeouts = GenesisError::Timeouts { base: 16_001, maximum: 16_000 };
    assert_eq!(with(|p| p.base_timeout_ms = 16_001), Err(timeouts));
    assert!(with(|p| p.base_timeout_ms = 16_000).is_ok());
    let frame = u64::from(Parameters::default().max_frame_bytes);
    let batch = frame - 4096 + 1;
    let refused = GenesisError::BatchExceedsFrame { batch, overhead: 4096, frame };
    assert_eq!(with(|p| p.max_batch_bytes = batch as u32), Err(refused));
    assert!(with(|p| p.max_batch_bytes = (batch - 1) as u32).is_ok());
    let command = (1 << 20) + 1;
    let refused = GenesisError::CommandExceedsBatch { command, batch: 1 << 20 };
    assert_eq!(with(|p| p.max_command_bytes = command as u32), Err(refused));
    let refused = GenesisError::PoolBelowBatch { pool: (1 << 20) - 1, batch: 1 << 20 };
    assert_eq!(with(|p| p.pool_bytes = (1 << 20) - 1), Err(refused));
}

#[test]
fn the_largest_new_view_must_fit_a_frame() {
    let parameters = Parameters::default();
    // q = 3: 3 view changes, 256 slots, 3 votes of 66 bytes and 112 more; 120 bytes for each slot of O.
    let needed = 3 * 256 * (3 * 66 + 112) + 256 * 120 + 4096;
    assert_eq!(parameters.new_view_bytes(Quorums::new(4).unwrap()), needed);
    let with_frame = |frame: u64| {
        with(|p| {
            p.max_frame_bytes = frame as u32;
            p.max_batch_bytes = 1024;
            p.max_command_bytes = 1024;
        })
    };
    assert!(with_frame(needed).is_ok());
    let refused = GenesisError::NewViewExceedsFrame { replicas: 4, window: 256, needed, frame: needed - 1 };
    assert_eq!(with_frame(needed - 1), Err(refused));
    // At n = 31 the defaults still fit, at the largest committee they do not.
    let frame = u64::from(parameters.max_frame_bytes);
    assert!(parameters.new_view_bytes(Quorums::new(31).unwrap()) <= frame);
    assert!(parameters.new_view_bytes(Quorums::new(128).unwrap()) > frame);
}

#[test]
fn sizes_saturate_instead_of_wrapping() {
    let parameters =
        Parameters { window: u64::MAX, client_window: u32::MAX, max_result_bytes: u32::MAX, ..Parameters::default() };
    assert_eq!(parameters.new_view_bytes(Quorums::new(4).unwrap()), u64::MAX);
    assert_eq!(parameters.reply_memory_bytes(u64::MAX), u64::MAX);
    // Here only the product of all three overflows.
    let wide = Parameters { window: u64::MAX / 930 + 1, ..parameters };
    assert_eq!(wide.new_view_bytes(Quorums::new(4).unwrap()), u64::MAX);
}

#[test]
fn remembered_replies_must_fit_their_store() {
    let open = |maximum| Clients::Open { maximum };
    let defaults = of(members(4), open(10_000)).unwrap();
    assert_eq!(defaults.reply_memory_bytes(), 256 * 4096 * 10_000);
    let make = |store| {
        let parameters = Parameters { max_reply_store_bytes: store, ..Parameters::default() };
        Genesis::new("test".to_string(), parameters, members(4), open(100))
    };
    let needed = 256 * 4096 * 100;
    assert!(make(needed).is_ok());
    let refused =
        GenesisError::RepliesExceedStore { clients: 100, window: 256, result: 4096, needed, store: needed - 1 };
    assert_eq!(make(needed - 1), Err(refused.clone()));
    let text = refused.to_string();
    for number in ["100", "256", "4096", "104857600", "104857599"] {
        assert!(text.contains(number), "{text}");
    }
}
