#!/usr/bin/env bash
# Fuzzes each target for so many seconds (60) under libFuzzer, from the kept corpus. Wants cargo-fuzz; works on stable.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
finds=$(mktemp -d)
trap 'rm -rf "$finds"' EXIT
for corpus in testnet/fuzz/corpus/*; do
    target=$(basename "$corpus")
    mkdir -p "$finds/$target"
    echo "== $target"
    cargo fuzz run --fuzz-dir testnet/fuzz/libfuzzer -s none "$target" "$finds/$target" "$corpus" -- \
        -max_total_time="$seconds" -malloc_limit_mb=64 -rss_limit_mb=1024 -print_final_stats=1
done
