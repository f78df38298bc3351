# The ways in. Each target installs what the machine lacks when it may, and says what it cannot.

.DEFAULT_GOAL := help
.PHONY: help run web check test bench pairs soak

CARGO ?= cargo

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build in release mode and serve on port 8000, data in ./data
	@scripts/setup run
	@scripts/web --optional
	$(CARGO) run --release -- serve

web: ## Build the page that is embedded in the server (needs Node and npm)
	@scripts/web

check: ## Format, lints and types only: the quick look before a commit
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets

test: ## Everything continuous integration runs
	@scripts/test

pairs: ## Try which WebRTC stacks meet through the relay; writes the table of docs/calls.md
	@scripts/setup test
	$(CARGO) build --bin klatsch
	node tests/pairs/pairs.mjs --table target/debug/klatsch

bench: ## Measure; the results are ratios, never a condition
	@scripts/setup run
	@scripts/bench

soak: ## Ten minutes of everything that is bounded, beside a hundred honest clients
	@scripts/setup run
	KLATSCH_SOAK_SECONDS=600 $(CARGO) test --release --test suite soak:: -- --nocapture
