#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: BenchArgs,
}

fn parse(words: &str) -> Result<BenchArgs, clap::Error> {
    Line::try_parse_from(std::iter::once("bench").chain(words.split_whitespace())).map(|line| line.args)
}

#[test]
fn the_default_run_signs_each_operation_then_bundles_in_a_closed_loop() {
    let loads = parse("").unwrap().loads();
    assert_eq!(loads.iter().map(|load| load.bundle).collect::<Vec<_>>(), [1, 64]);
    for load in loads {
        assert_eq!((load.value_bytes, load.rate, load.mix), (512, None, Mix::puts()));
    }
}

#[test]
fn options_reach_the_load() {
    let args = parse(
        "--bundle 8 --bundle 32 --clients 3 --in-flight 2 --value-bytes 9 --warmup 0 --seed 7 --open --rate 250.5",
    )
    .unwrap();
    let loads = args.loads();
    assert_eq!(loads.iter().map(|load| load.bundle).collect::<Vec<_>>(), [8, 32]);
    let expected = Load {
        clients: 3,
        in_flight: 2,
        bundle: 8,
        value_bytes: 9,
        rate: Some(250.5),
        mix: Mix::puts(),
        seed: 7,
        warmup: Duration::ZERO,
        ..Load::default()
    };
    assert_eq!(loads[0], expected);
}

#[test]
fn a_rate_alone_means_an_open_loop() {
    assert_eq!(parse("--rate 100").unwrap().rate(), Some(100.0));
    assert_eq!(parse("--closed").unwrap().rate(), None);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for words in [
        "--open",
        "--closed --open --rate 5",
        "--closed --rate 5",
        "--duration 0",
        "--network a --replicas 4",
        "--network a --dir b",
        "--replicas 0",
    ] {
        assert!(parse(words).is_err(), "{words}");
    }
}

#[tokio::test]
async fn a_network_that_does_not_run_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let args = parse(&format!("--network {}", directory.path().display())).unwrap();
    let error = args.target().await.err().unwrap().to_string();
    assert!(error.contains("no network runs in") && error.contains("varangian-testnet up"), "{error}");
}
