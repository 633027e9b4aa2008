# Everything that is done with this tree. `make` alone says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
BIN := $(CURDIR)/.bin
FUZZTIME ?= 10s

# Tools, built from source with the versions given, into .bin. NAME@VERSION is the stamp of one.
LINT := $(BIN)/golangci-lint@v2.15.0
BUF := $(BIN)/buf@v1.75.0
PROTOC_GEN_GO := $(BIN)/protoc-gen-go@v1.36.12
PROTOC_GEN_CONNECT := $(BIN)/protoc-gen-connect-go@v1.21.1
# The objects of the XDP programs depend on the compiler: the committed ones are those of Debian 12's.
CLANG_VERSION := 14

# command:package (of Debian), or file:package, of what the targets use besides Go, git and make
DEMO_NEEDS := ip:iproute2 ping:iputils-ping
TEST_NEEDS := $(DEMO_NEEDS) ethtool:ethtool iperf3:iperf3 tcpdump:tcpdump gcc:gcc vtysh:frr bird:bird2 \
  rdisc6:ndisc6 tracepath:iputils-tracepath traceroute:traceroute mtr:mtr-tiny nmap:nmap busybox:busybox \
  netstat:net-tools pgrep:procps
GENERATE_NEEDS := clang:clang
ARM64_NEEDS := qemu-aarch64:qemu-user
BENCH_NEEDS := dpdk-testpmd:dpdk-dev gcc:gcc pkg-config:pkg-config /usr/include/dpdk/rte_eal.h:libdpdk-dev \
  /usr/share/dpdk/examples/l3fwd/main.c:dpdk-doc
# packages of the control side, which many goroutines enter: tested with the race detector too
RACE := ./ctl/... ./nstable/... ./fib ./cmd/... ./internal/netns ./internal/lab

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the router into .bin/router
	CGO_ENABLED=0 $(GO) build -o $(BIN)/router ./cmd/router

.PHONY: demo
demo: root demo-deps ## two tenants with the same addresses in a lab of its own, in under a minute; KEEP=1 leaves it up
	@$(GO) run ./internal/demo $(if $(filter-out 0 no,$(KEEP)),-keep)

.PHONY: demo-remove
demo-remove: root ## remove what `make demo KEEP=1` has left
	@$(GO) run ./internal/demo -remove

.PHONY: test
test: root deps vet ## vet, unit and end-to-end tests with real AF_XDP, race detector on the control side
	$(GO) test -timeout 20m -parallel 4 ./...
	$(MAKE) race

.PHONY: vet
vet:
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./fib/...

.PHONY: race
race: root deps ## the race detector's part of `make test`
	$(GO) test -race -timeout 10m $(RACE)

.PHONY: test-arm64
test-arm64: arm64-deps ## the FIB's tests on arm64, by emulation
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64 -short -timeout 10m ./fib/...

.PHONY: bench
bench: root demo-deps ## packets per second of this router, the Linux kernel and DPDK between veths, in turns; BENCH_ARGS=-list
	@$(GO) run ./perf/bench $(BENCH_ARGS)

.PHONY: bench-deps
bench-deps: NEEDS := $(BENCH_NEEDS)
bench-deps: install-needs ## installs DPDK's testpmd and builds its l3fwd, to measure them too
	@perf/dpdk/build-l3fwd $(BIN)/dpdk-l3fwd $(BIN)/dpdk-memsource.so

.PHONY: bench-fib
bench-fib: ## the FIB beside gaissmai/bart and, where libdpdk-dev is installed, DPDK: a table, a CSV, plots; BENCH_ARGS=-quick
	@tags=; if pkg-config --exists libdpdk 2>/dev/null; then tags=dpdk; fi; \
	CGO_CFLAGS_ALLOW='.*' CGO_LDFLAGS_ALLOW='.*' \
	  $(GO) run -tags "$$tags" ./perf/fibbench -out $(BIN)/bench-fib $(BENCH_ARGS)

.PHONY: soak
soak: ## ten minutes of changes of full tables under readers that judge every answer
	$(GO) test -timeout 20m -run '^TestSoak$$' -v ./fib/poptrie -soak 10m

.PHONY: bench-feed
bench-feed: root ## a million routes that come from Linux, and by FPM
	$(GO) test -run '^$$' -bench 'FullTable|FPM' ./ctl/feed

.PHONY: bench-pipeline
bench-pipeline: root ## the pipeline in memory: packets per second of one core, cycles by node, DPDK beside it; BENCH_ARGS=-quick
	@$(GO) run ./perf/pipeline $(BENCH_ARGS)

.PHONY: bench-transmit
bench-transmit: root ## transmit alone: ns of CPU time a packet, by what a sender can choose; BENCH_ARGS=-quick
	@$(GO) run ./perf/txbench $(BENCH_ARGS)

.PHONY: bench-full
bench-full: root ## everything measured, about an hour: results and report.html in .bin/bench; BENCH_ARGS='-quick' or '-docs docs'
	@$(GO) run ./perf/full -out $(BIN)/bench $(BENCH_ARGS)

.PHONY: report
report: ## docs/performance.md and .bin/bench/report.html from the results in .bin/bench
	$(GO) run ./perf/report -docs docs -html $(BIN)/bench/report.html $(BIN)/bench/*.json

.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME (10s)
	@for pkg in $$($(GO) list ./...); do \
	  for test in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$test"; $(GO) test -run '^$$' -fuzz "^$$test\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$pkg; \
	  done; \
	done

.PHONY: reference
reference: SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))
reference: COUNT := $(or $(COUNT),100000)
reference: root ## COUNT (100000) random packets of each family, and mutations, through the router and the kernel; SEED=
	@echo "make reference SEED=$(SEED) COUNT=$(COUNT)"
	$(GO) test -timeout 60m -run '^TestReference$$' -v ./internal/e2e -reference.seed $(SEED) -reference.count $(COUNT)

.PHONY: lint
lint: $(LINT) ## golangci-lint with .golangci.yml
	$(BIN)/golangci-lint run ./...

.PHONY: generate
generate: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_CONNECT) ## the API's code and the XDP programs' objects; needs clang and libbpf-dev
	@command -v clang >/dev/null || { echo "make generate: clang is missing: apt-get install clang libbpf-dev" >&2; exit 1; }
	PATH="$(BIN):$$PATH" $(GO) generate ./...

# Hashes of all that `make generate` writes.
GENERATED = find . -path ./.bin -prune -o \( -name '*.pb.go' -o -name '*.connect.go' -o -name '*_bpfe[lb].*' \) -print0 | \
  sort -z | xargs -0 sha256sum

.PHONY: check-generated
check-generated: ## fail if generated files are not what `make generate` makes; only with the clang they are made with
	@if ! clang --version 2>/dev/null | grep -q 'version $(CLANG_VERSION)\.'; then \
	  echo "check-generated: not checked: clang $(CLANG_VERSION) is not at hand"; exit 0; \
	fi; \
	before=$$($(GENERATED)); $(MAKE) generate; after=$$($(GENERATED)); \
	diff <(echo "$$before") <(echo "$$after") >&2 || { echo "check-generated: commit what make generate has changed" >&2; exit 1; }; \
	echo "check-generated: up to date"

.PHONY: deps
deps: NEEDS := $(TEST_NEEDS)
deps: install-needs

.PHONY: demo-deps
demo-deps: NEEDS := $(DEMO_NEEDS)
demo-deps: install-needs

.PHONY: arm64-deps
arm64-deps: NEEDS := $(ARM64_NEEDS)
arm64-deps: install-needs

# Installs what of NEEDS is missing, and only that. gcc without the C library's headers is of no use to the race detector.
.PHONY: install-needs
install-needs:
	@missing=(); \
	for need in $(NEEDS); do command -v $${need%%:*} >/dev/null || [ -e $${need%%:*} ] || missing+=($${need#*:}); done; \
	case " $(NEEDS) " in *" gcc:gcc "*) [ -e /usr/include/stdio.h ] || missing+=(libc6-dev) ;; esac; \
	[ $${#missing[@]} -gt 0 ] || exit 0; \
	command -v apt-get >/dev/null || { echo "missing, and no apt-get to install them: $${missing[*]}" >&2; exit 1; }; \
	[ $$(id -u) = 0 ] || { echo "missing: $${missing[*]}: run as root, or apt-get install them" >&2; exit 1; }; \
	echo "installing $${missing[*]}"; \
	log=$$(mktemp); \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get -q update && apt-get -q -y --no-install-recommends install "$${missing[@]}"; } >"$$log" 2>&1 || \
	  { cat "$$log" >&2; echo "could not install $${missing[*]}" >&2; exit 1; }; \
	rm -f "$$log"

.PHONY: root
root:
	@[ $$(id -u) = 0 ] || { echo "needs root: Linux namespaces, veths and AF_XDP sockets are made (try sudo -E make ...)" >&2; exit 1; }

.PHONY: clean
clean: ## remove what was built, tools included
	rm -rf $(BIN)

# $(call tool,package path): builds it into .bin; the target's name holds the version.
define tool
	@mkdir -p $(BIN) && rm -f $(BIN)/$(firstword $(subst @, ,$(@F)))@*
	GOBIN=$(BIN) $(GO) install $(1)@$(lastword $(subst @, ,$(@F)))
	@touch $@
endef

$(LINT):
	$(call tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
$(BUF):
	$(call tool,github.com/bufbuild/buf/cmd/buf)
$(PROTOC_GEN_GO):
	$(call tool,google.golang.org/protobuf/cmd/protoc-gen-go)
$(PROTOC_GEN_CONNECT):
	$(call tool,connectrpc.com/connect/cmd/protoc-gen-connect-go)
