# A thin face: installs what the build lacks, then calls cargo. One profile (release), so that RocksDB is compiled once.
SHELL := /bin/bash
CARGO ?= cargo
DENY_VERSION := 0.20.2

.DEFAULT_GOAL := help
.PHONY: help testnet test sim bench mutants build needs lint deny clean-network

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

testnet: build ## build, start 4 replicas with a malicious one, attack, judge (KEEP=1 leaves the network up)
	@"$$($(CARGO) metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release/varangian-testnet" demo $(if $(KEEP),--keep)

build: needs ## the two programs
	$(CARGO) build --release -p varangian
	$(CARGO) build --release -p varangian-testnet

test: needs build lint deny ## everything
	$(CARGO) test --release --workspace

lint: needs ## format and clippy
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings

deny: ## licences, bans and sources of dependencies
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --quiet cargo-deny@$(DENY_VERSION)
	$(CARGO) deny check bans licenses sources

mutants: build ## builds with a bug on purpose each: the demo must say no
	testnet/mutants.sh

sim: ## simulate 2000 seeds of faults and attacks (SEEDS=N for another number)
	$(CARGO) run --release -p varangian-sim --features cli -- --seeds $(or $(SEEDS),2000)

bench: build ## figures of this machine
	@"$$($(CARGO) metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release/varangian-testnet" bench

# RocksDB's bindings are made with libclang, its sources with a C++ compiler.
needs:
	@.ci/needs
