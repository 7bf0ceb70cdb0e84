# Nullius. `make help` lists the targets; demo and test do all set-up themselves.
SHELL   := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

MODULES := cmd/nullius proto kit services/ideation services/coder services/executor services/writer services/reviewer gateway templates bench
BIN     := bin
GO      := go

.PHONY: help setup setup-tests build demo run test lint proto check soak bench bench-parts recordings fix format-check generated-check tidy-check

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is needed (apt as root or with sudo), make the Python environment
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh tests

build: ## build every binary into bin/
	@mkdir -p $(BIN)
	@$(GO) build -trimpath -o $(BIN)/ ./cmd/nullius ./gateway/cmd/gateway ./services/ideation/cmd/ideation ./services/coder/cmd/coder \
		./services/executor/cmd/executor ./services/writer/cmd/writer ./services/reviewer/cmd/reviewer

demo: setup ## replay the shipped study: experiments, figures, a paper and its review, without a model
	@mkdir -p $(BIN)
	@$(GO) build -trimpath -o $(BIN)/ ./cmd/nullius
	@$(BIN)/nullius demo

run: build ## build and serve everything on http://127.0.0.1:7700
	@$(BIN)/nullius serve

test: setup-tests ## run all tests, race detector on, each module on its own
	@GORACE=atexit_sleep_ms=0 scripts/each.sh -j 2 "$(MODULES)" $(GO) test -race -shuffle=on -parallel 4 -timeout 15m ./... # without the detector's second at each exit

lint: ## vet and staticcheck, and the imports that style forbids
	@scripts/each.sh "$(MODULES)" $(GO) vet ./...
	@mkdir -p $(BIN) && cd tools/lint && GOWORK=off $(GO) build -o ../../$(BIN)/staticcheck honnef.co/go/tools/cmd/staticcheck
	@scripts/each.sh "$(MODULES)" $(CURDIR)/$(BIN)/staticcheck ./...
	@scripts/imports.sh

$(BIN)/buf: tools/buf/go.mod tools/proto/go.mod
	@mkdir -p $(BIN)
	@cd tools/buf && GOWORK=off $(GO) build -o ../../$(BIN)/buf github.com/bufbuild/buf/cmd/buf
	@cd tools/proto && GOWORK=off $(GO) build -o ../../$(BIN)/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc

proto: $(BIN)/buf ## lint, format and generate the contracts
	@cd proto && export PATH="$(CURDIR)/$(BIN):$$PATH" && buf lint && buf format -w && rm -rf gen && buf generate

generated-check: proto
	@git diff --exit-code --stat -- proto || { echo "proto/gen or .proto files differ from what make proto writes: commit its result"; exit 1; }

format-check:
	@out=$$(gofmt -l $(MODULES)); test -z "$$out" || { echo "not gofmt-ed (make fix mends it):"; echo "$$out"; exit 1; }

check: setup-tests format-check generated-check lint test ## all that CI runs

bench: setup ## measure what Nullius itself costs: one idea closely, then 10 and 100 at once (some minutes; docs/benchmarks.md)
	@mkdir -p $(BIN)
	@$(GO) build -trimpath -o $(BIN)/ ./cmd/nullius
	@cd bench && GOWORK=off $(GO) run . -nullius ../$(BIN)/nullius -runs 3
	@cd bench && GOWORK=off $(GO) run . -nullius ../$(BIN)/nullius -ideas 10,100 -latency 200ms

bench-parts: setup ## measure the model door, literature, edits, the sandbox and the executor, each alone
	@cd bench && for part in door literature edit sandbox executor; do echo "== $$part"; GOWORK=off $(GO) run ./$$part; done

soak: setup-tests ## the long forms of the tests: many seeds, fuzzing
	@NULLIUS_SOAK=1 scripts/each.sh "$(MODULES)" $(GO) test -race -shuffle=on -timeout 180m ./...
	@scripts/fuzz.sh 60s

recordings: setup ## replay the shipped recordings and bring their digests up to date
	@cd cmd/nullius && NULLIUS_RECORDINGS=write GOWORK=off $(GO) test -count=1 -run TestDemo .

fix: ## mend what check finds mechanically
	@gofmt -w $(MODULES)
	@$(MAKE) --no-print-directory proto
