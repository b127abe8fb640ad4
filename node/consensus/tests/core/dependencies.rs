//! What the core, the runner and the simulator are made of. They stay a pure function of their inputs: no runtime, no sockets, no
//! disk, no clock, no randomness, no order of hashing, no floats.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates, and where they live.
const CRATES: [(&str, &str); 4] = [
    ("varangian-crypto", "crypto"),
    ("varangian-consensus", "node/consensus"),
    ("varangian-runner", "node/runner"),
    ("varangian-sim", "testnet/sim"),
];

/// Beginnings of the names of crates that bring in what does not belong here. (borsh links hashbrown for types that nobody here has: the
/// sources are looked through for those.)
const BANNED: [&str; 18] = [
    "tokio",
    "quinn",
    "rustls",
    "ring",
    "librocksdb-sys",
    "rocksdb",
    "getrandom",
    "rand_chacha",
    "rand_pcg",
    "fastrand",
    "async-",
    "mio",
    "socket2",
    "chrono",
    "instant",
    "web-time",
    "num_cpus",
    "varangian-storage",
];

/// Crates with exactly these names.
const BANNED_EXACTLY: [&str; 3] = ["rand", "time", "libc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Names of all crates that `package` links in a normal build, itself included.
fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn nothing_that_does_not_belong_is_linked() {
    for (package, _) in CRATES {
        let linked = linked(package);
        assert!(linked.contains(package) && linked.len() > 5, "cargo tree listed nothing: {linked:?}");
        let bad = |name: &&String| {
            BANNED.iter().any(|banned| name.starts_with(banned)) || BANNED_EXACTLY.contains(&name.as_str())
        };
        let found: Vec<_> = linked.iter().filter(bad).collect();
        assert!(found.is_empty(), "{package} links {found:?}");
    }
}

/// The list above is able to fail: the node links most of it.
#[test]
fn the_list_names_crates_that_exist() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["tokio", "quinn", "rustls", "rocksdb", "getrandom"] {
        assert!(lock.contains(&format!("name = \"{name}\"")), "{name} is not in the lock file any more");
    }
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The simulator's command line: behind a feature, and apart from everything that a seed decides. It has threads and shows progress.
fn is_command_line(package: &str, file: &Path) -> bool {
    let part = file.strip_prefix(root().join("testnet/sim/src")).unwrap_or(file);
    package == "varangian-sim"
        && (part == Path::new("main.rs") || part == Path::new("cli.rs") || part.starts_with("cli"))
}

/// Words of one line of code, comments apart.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split(|character: char| !character.is_alphanumeric() && character != '_')
}

#[test]
fn no_source_uses_a_clock_hash_order_floats_or_randomness() {
    let banned = ["Instant", "SystemTime", "HashMap", "HashSet", "RandomState", "f32", "f64", "sleep", "thread_rng"];
    for (package, folder) in CRATES {
        let mut files = Vec::new();
        sources(&root().join(folder).join("src"), &mut files);
        files.retain(|file| !is_command_line(package, file));
        assert!(files.len() > 2, "no sources of {package}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let found: Vec<_> = words(line).filter(|word| banned.contains(word)).collect();
                assert!(found.is_empty(), "{}:{}: {found:?}", file.display(), number + 1);
            }
        }
    }
}

#[test]
fn crypto_and_core_need_no_standard_library() {
    for (package, folder) in &CRATES[..2] {
        let path = root().join(folder).join("src/lib.rs");
        let lib = fs::read_to_string(&path).unwrap();
        assert!(lib.lines().any(|line| line.trim() == "#![no_std]"), "{package} is not no_std");
        let with_std: Vec<_> = lib.lines().collect();
        for (at, line) in with_std.iter().enumerate() {
            if line.trim() == "extern crate std;" {
                assert_eq!(with_std[at - 1].trim(), "#[cfg(test)]", "{package} takes in std outside of its tests");
            }
        }
    }
}
