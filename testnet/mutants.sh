#!/usr/bin/env bash
# Shows that the demo can fail: runs it with a bug on purpose in the honest replicas, and expects a verdict that says no every time.
set -uo pipefail
cd "$(dirname "$0")/.."
target=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
cargo build --release --quiet -p varangian --features seeded-bugs || exit 1
mkdir -p "$target/mutants"
export VARANGIAN_BINARY=$target/mutants/varangian
cp "$target/release/varangian" "$VARANGIAN_BINARY"
cargo build --release --quiet -p varangian || exit 1
failed=0
for bug in weak-quorum prepared-not-persisted no-dedup; do
    echo "== $bug"
    network=$(mktemp -d)/network
    VARANGIAN_SEEDED_BUG=$bug "$target/release/varangian-testnet" demo --network "$network" "$@" | tee "$network.out"
    if [ "${PIPESTATUS[0]}" -ne 0 ] && grep -qE '^(SAFETY|LIVENESS|EVIDENCE) FAIL' "$network.out"; then
        echo "== $bug: noticed"
    else
        echo "== $bug: NOT noticed"
        failed=1
    fi
    rm -rf "$(dirname "$network")"
done
exit $failed
