# One word per task. `make` alone lists them.

GO       ?= go
GOFLAGS  += -trimpath
LONG     := OTTLA_TEST=long
# The linter is a tool of the module in tools/. It is built once.
LINT     := .peers/bin/golangci-lint
# The version of a build or release. CHANGELOG.md lists the changes.
VERSION  ?= 0.1.0
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
# The time of the commit in seconds. All timestamps of a release have this value.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DATE     := $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r $(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ)
STAMP    := -X ottla/internal/cli.version=$(VERSION) -X ottla/internal/cli.commit=$(COMMIT) -X ottla/internal/cli.date=$(DATE)

.DEFAULT_GOAL := help
.PHONY: help build serve test test-long unit race vet lint tidy interop peers powerloss bench bench-kafka bench-groups fuzz golden golden-data generate docs dist dist-check clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./ottla, static and stripped
	CGO_ENABLED=0 $(GO) build $(GOFLAGS) -ldflags '-s -w $(STAMP)' -o ottla ./cmd/ottla

serve: ## run a node on 127.0.0.1:9092 with its data in ./ottla-data
	$(GO) run ./cmd/ottla serve

test: vet lint race interop ## all checks that every change must pass; installs what it needs (about 15 minutes)

test-long: ## the long form of the tests: complete matrices, more seeds, some fuzzing (at most 25 minutes)
	$(LONG) $(GO) test -count=1 -timeout 25m ./...
	scripts/fuzz.sh 5s ./internal/storage ./internal/record ./internal/raft ./internal/protocol ./internal/server
	OTTLA_TEST=long $(MAKE) interop

unit: ## only the Go tests; the fastest check
	$(GO) test ./...

race: ## the Go tests with the race detector
	$(GO) test -race -timeout 15m ./...

vet: ## go vet for Linux, macOS and Windows, and with the simulation's build tag
	GOOS=linux $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	$(GO) vet -tags sim ./...
	cd interop && $(GO) vet ./...
	cd bench && $(GO) vet ./...
	cd tools/dist && $(GO) vet ./...

$(LINT): tools/go.mod
	@mkdir -p $(@D)
	cd tools && $(GO) build -o ../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

lint: $(LINT) ## golangci-lint over all modules
	$(LINT) run ./...
	cd interop && ../$(LINT) run --config ../.golangci.yml ./...
	cd bench && ../$(LINT) run --config ../.golangci.yml ./...
	cd tools/dist && ../../$(LINT) run --config ../../.golangci.yml ./...

tidy: ## check the laws of the repository: rooms, levels, sizes
	$(GO) test -count=1 ./internal/tidy

peers: ## install the other clients and Apache Kafka, which the tests use
	scripts/peers.sh

interop: peers ## tests with other clients and Apache Kafka, and of kill -9, power loss, full disk, overload
	cd interop && $(GO) test -count=1 -timeout 20m ./...
	cd bench && $(GO) test -count=1 ./...
	cd tools/dist && $(GO) test -count=1 ./...

powerloss: peers ## 20 power losses under load (as root on Linux), and a check that the test can fail
	cd interop && OTTLA_POWERLOSS=$(or $(CYCLES),20) $(GO) test -v -count=1 -timeout 20m -run TestPowerLoss ./crash

bench: ## micro-benchmarks, and start time, memory and size of the real binary
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-kafka: peers ## compare Ottla with Apache Kafka and the machine's floor; options: BENCH='-cases e2e -rounds 5'
	cd bench && $(GO) run . $(BENCH)

bench-groups: peers ## compare group coordinators with Apache Kafka's: commits, rebalances, heartbeats (3 minutes)
	cd interop && OTTLA_BENCH=groups $(GO) test -count=1 -run TestBench -timeout 10m ./groupbench -v

fuzz: ## run every fuzz target for FUZZTIME (default 1m)
	scripts/fuzz.sh $(or $(FUZZTIME),1m)

golden: ## rewrite the golden files after an intended change; review the diff
	$(GO) test -count=1 $$(grep -rl '"ottla/internal/story"' --include='*_test.go' ./internal | xargs -n1 dirname | sort -u) -args -rewrite

golden-data: ## write golden data folders, NAME=version; existing ones are never overwritten
	$(GO) test -count=1 -run '^TestGolden$$' ./internal/storage ./internal/broker -args -golden $(NAME)

generate: ## regenerate code and docs/configuration.md
	$(GO) generate ./...
	$(GO) run ./cmd/ottla config docs > docs/configuration.md

dist: ## build a release in dist/: static binaries, SBOMs, deb, rpm, checksums
	cd tools/dist && $(GO) run . -root ../.. -out ../../dist -version $(VERSION) -commit $(COMMIT) -epoch $(SOURCE_DATE_EPOCH)

dist-check: dist ## build the committed release again in another folder; its checksums must be the same
	rm -rf dist/again && git clone -q . dist/again
	cd dist/again/tools/dist && $(GO) run . -root ../.. -out ../../dist -version $(VERSION) -commit $(COMMIT) -epoch $(SOURCE_DATE_EPOCH)
	cmp dist/SHA256SUMS dist/again/dist/SHA256SUMS
	rm -rf dist/again

clean: ## remove build outputs
	rm -rf ottla dist .peers
