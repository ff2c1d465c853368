# make help lists the targets. Everything that is downloaded or built once and kept lies in PROBEKEEPER_CACHE.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export PROBEKEEPER_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/probekeeper
comma := ,
CARGO ?= cargo
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(PROBEKEEPER_CACHE)/tools/$(CARGO_DENY_VERSION)/bin/cargo-deny

CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(PROBEKEEPER_CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
FUZZ_TARGETS := review patch policy exec lint fix
FUZZ_SECONDS ?= 60

# Prints what follows, so that a long run can be read from its output.
step = @printf '\n==> %s\n' "$(1)"

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | sort | while IFS=$$'\t' read -r t d; do printf 'make %-14s %s\n' "$$t" "$$d"; done

.PHONY: demo
demo: need-cargo ## a real cluster, helm install, kubectl apply of good and bad manifests, the answers, and the Pods that come of it
	@scripts/demo.sh

.PHONY: test
test: lint controlplane test-rust test-node ## everything that CI runs

.PHONY: lint
lint: format clippy deny ## format, clippy, and dependencies' licences, sources and bans

.PHONY: format
format: need-cargo
	$(call step,format: cargo fmt --check)
	@$(CARGO) fmt --check

.PHONY: clippy
clippy: need-cargo
	$(call step,clippy: all targets$(comma) warnings are errors)
	@$(CARGO) clippy --locked --all-targets --all-features -- -D warnings

.PHONY: deny
deny: $(CARGO_DENY)
	$(call step,dependencies: bans$(comma) licences and sources)
	@$(CARGO_DENY) --all-features check --hide-inclusion-graph bans licenses sources

.PHONY: test-rust
test-rust: need-cargo controlplane
	$(call step,unit tests)
	@$(CARGO) test --locked --all-features --no-fail-fast --lib --bins
	$(call step,integration tests: fixtures$(comma) properties$(comma) command line$(comma) server$(comma) control plane$(comma) generated docs)
	@$(CARGO) test --locked --all-features --no-fail-fast --test '*'
	$(call step,documentation examples)
	@$(CARGO) test --locked --all-features --doc

.PHONY: controlplane
controlplane: ## etcd, kube-apiserver, kubectl and the rest into target/controlplane/bin, built once
	$(call step,control plane binaries)
	@tests/controlplane/build.sh

# In CI wherever a node can be had; elsewhere one line says what is missing, or how to run it.
.PHONY: test-node
test-node:
	$(call step,a real node)
	@if [ -z "$${CI:-}" ]; then tests/node/packages.sh && echo "make node-test runs its tests" || true; \
	elif tests/node/packages.sh --install; then $(MAKE) --no-print-directory node-test; fi

.PHONY: node-test
node-test: need-cargo ## helm install on a real node (kubelet, containerd), and all that can befall it; needs root, installs its Debian packages
	$(call step,node: packages)
	@tests/node/packages.sh --install
	@$(MAKE) --no-print-directory controlplane image
	$(call step,node tests)
	@$(CARGO) test --locked --all-features --no-fail-fast --test node -- --ignored --test-threads=1 --nocapture

.PHONY: image
image: need-cargo ## the container image as target/image/probekeeper.tar, from local files alone
	$(call step,image)
	@scripts/image.sh

.PHONY: docs
docs: need-cargo ## writes the generated pages anew
	@UPDATE=1 $(CARGO) test --locked --test docs

.PHONY: bench
bench: need-cargo ## reading and judging by themselves (with counts of instructions, if valgrind is there), then the webhook beside a server that does nothing
	$(call step,reading)
	@$(CARGO) bench --locked --bench decode
	$(call step,judging)
	@$(CARGO) bench --locked --bench evaluate
	$(call step,the webhook beside a server that does nothing)
	@$(CARGO) bench --locked --bench serve

.PHONY: bench-peers
bench-peers: need-cargo controlplane ## inside a real API server: the webhook beside one that does nothing and beside a ValidatingAdmissionPolicy
	@$(CARGO) bench --locked --bench serve -- --peers

SOAK_MINUTES ?= 60
SOAK_RATE ?= 200

.PHONY: soak
soak: need-cargo ## mixed traffic for SOAK_MINUTES (60) at SOAK_RATE (200 a second), with changes of policy and certificate
	@$(CARGO) bench --locked --bench serve -- --soak $(SOAK_MINUTES) --rate $(SOAK_RATE)

.PHONY: fuzz
fuzz: need-cargo $(CARGO_FUZZ) ## every fuzz target for FUZZ_SECONDS (60); finds lie in fuzz/artifacts
	@fuzz/seed.sh
	@cp Cargo.lock fuzz/Cargo.lock
	$(call step,fuzz targets: built in 5 to 10 minutes$(comma) once)
	@PATH="$(dir $(CARGO_FUZZ)):$$PATH" $(CARGO) fuzz build --sanitizer none
	@for target in $(FUZZ_TARGETS); do \
		printf '\n==> fuzz %s for %s s\n' "$$target" "$(FUZZ_SECONDS)"; \
		PATH="$(dir $(CARGO_FUZZ)):$$PATH" $(CARGO) fuzz run --sanitizer none "$$target" -- \
			-dict=fuzz/words.dict -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=120 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1; \
	done

.PHONY: clean
clean: ## removes what was built here; the cache folder stays
	@rm -rf target/controlplane
	@$(CARGO) clean
	@echo "kept: $(PROBEKEEPER_CACHE) (control plane binaries, tools)"

$(CARGO_DENY): | need-cargo
	$(call step,cargo-deny $(CARGO_DENY_VERSION): installed once$(comma) 3 to 6 minutes)
	@CARGO_TARGET_DIR=$(PROBEKEEPER_CACHE)/tools/build $(CARGO) install --locked --root $(PROBEKEEPER_CACHE)/tools/$(CARGO_DENY_VERSION) cargo-deny@$(CARGO_DENY_VERSION)
	@rm -rf $(PROBEKEEPER_CACHE)/tools/build

$(CARGO_FUZZ): | need-cargo
	$(call step,cargo-fuzz $(CARGO_FUZZ_VERSION): installed once)
	@CARGO_TARGET_DIR=$(PROBEKEEPER_CACHE)/tools/build-fuzz $(CARGO) install --locked --root $(PROBEKEEPER_CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION) cargo-fuzz@$(CARGO_FUZZ_VERSION)
	@rm -rf $(PROBEKEEPER_CACHE)/tools/build-fuzz

.PHONY: need-cargo
need-cargo:
	@command -v $(CARGO) > /dev/null || { echo "probekeeper: cargo (Rust 1.95 or later) is missing: see https://rustup.rs" >&2; exit 1; }
