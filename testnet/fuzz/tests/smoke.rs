//! Each target on the kept corpus and on a few thousand mutations of it, without a fuzzer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use varangian_fuzz::mutate::{Random, mutate};
use varangian_fuzz::{TARGETS, target};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[track_caller]
fn smoke(name: &str, mutations: usize) {
    let (target, corpus) = (target(name), corpus(name));
    let accepted = corpus.iter().filter(|bytes| (target.run)(bytes)).count();
    assert!(accepted > 0, "{name} accepts nothing of its corpus of {}", corpus.len());
    let (mut random, mut refused) = (Random(corpus.len() as u64), 0);
    for _ in 0..mutations {
        let seed = &corpus[random.below(corpus.len())];
        let other = &corpus[random.below(corpus.len())];
        refused += usize::from(!(target.run)(&mutate(seed, other, &mut random)));
    }
    assert!(refused < mutations, "{name} refuses every mutation: they are too wild to show anything");
}

macro_rules! smoke {
    ($($name:ident $mutations:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            smoke(stringify!($name), $mutations);
        })*

        #[test]
        fn every_target_has_its_test_and_its_program() {
            let tested = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|target| target.name).eq(tested), "{tested:?}");
            let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer");
            let manifest = fs::read_to_string(programs.join("Cargo.toml")).unwrap();
            for name in tested {
                let program = fs::read_to_string(programs.join(format!("fuzz_targets/{name}.rs"))).unwrap();
                assert!(program.contains(&format!("\"{name}\"")) && manifest.contains(&format!("\"{name}\"")), "{name}");
            }
        }
    };
}

smoke! {
    message 5000,
    statement 5000,
    command 5000,
    batch 5000,
    evidence 3000,
    genesis 3000,
    genesis_json 3000,
    request 5000,
    response 5000,
    frames 5000,
    handshake 500,
    cluster 60,
}

/// Seeds are what their target is for; a format that changes must say so here, and its corpus must be written anew.
#[test]
fn every_seed_is_accepted() {
    for target in TARGETS {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            assert!((target.run)(seed), "{} refuses its seed {number}", target.name);
        }
    }
}
