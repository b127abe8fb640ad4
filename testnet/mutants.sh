#!/usr/bin/env bash
# Shows that the demo can fail: runs it with each bug on purpose in the honest replicas, and expects it to say no every time.
set -uo pipefail
cd "$(dirname "$0")/.."
target=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
programs=$target/mutants
mkdir -p "$programs"
failed=0
for mutant in weak-quorum forgotten-persist no-dedup; do
    echo "== $mutant"
    cargo build --release --quiet -p varangian --features "mutant-$mutant" || exit 1
    cp "$target/release/varangian" "$programs/varangian-$mutant"
    network=$(mktemp -d)/network
    if VARANGIAN_BINARY=$programs/varangian-$mutant "$target/release/varangian-testnet" demo --network "$network" "$@"; then
        echo "== $mutant: NOT noticed"
        failed=1
    else
        echo "== $mutant: noticed"
    fi
    rm -rf "$(dirname "$network")"
done
cargo build --release --quiet -p varangian
exit $failed
