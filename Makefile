# vloop: what people and CI call. `make help` lists the targets.
# Node 24 comes with `npm ci`, so the machine's own Node only has to run npm.

SHELL := /bin/bash
BIN := node_modules/.bin
VITEST := $(BIN)/vitest run
# First in the path: tools that start with `env node` get Node 24, whatever the machine's own is.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo fs-tests test check unit property conformance kernel guest
.PHONY: bench bench-guest bench-seed bench-growth bench-micro bench-start build docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

demo: node_modules/.installed ## boot a guest on a vloop disk and watch it format, write and verify
	qemu-examples/demo.sh

fs-tests: node_modules/.installed ## file-system test suites on vloop disks (FS_TESTS_ARGS=--help)
	$(BIN)/node qemu-examples/fs-tests.ts $(FS_TESTS_ARGS)

test: check ## everything: checks, then all five parts of the tests
	$(VITEST)

check: node_modules/.installed ## types, lint, format, and the micro-benchmark's short form
	$(BIN)/tsc --noEmit
	$(BIN)/tsc -p tsconfig.page.json
	$(BIN)/biome check --error-on-warnings .
	$(BIN)/node test/bench/micro.ts --fast

unit property conformance kernel guest: node_modules/.installed ## one part of the tests
	$(VITEST) --project $@

bench: node_modules/.installed ## vloop against qemu-storage-daemon and the host's own limit
	$(BIN)/node test/bench/main.ts $(BENCH_ARGS)

bench-guest: node_modules/.installed ## the same inside a virtual machine, beside QEMU's own disk
	$(BIN)/node test/bench/guest-bench.ts $(BENCH_ARGS)

bench-seed: node_modules/.installed ## the loop driver's table of 2015, repeated: buffered against direct AIO
	$(BIN)/node test/bench/seed.ts $(BENCH_ARGS)

bench-growth: node_modules/.installed ## what a request costs as depth, queues, segments, regions, images, disks grow
	$(BIN)/node test/bench/growth.ts $(BENCH_ARGS)

bench-micro: node_modules/.installed ## what a chain, an SQE, a completion, a turn cost, against the figures kept
	$(BIN)/node test/bench/micro.ts $(BENCH_ARGS)

bench-start: node_modules/.installed ## from the command to a listening socket, cold and warm
	$(BIN)/node test/bench/start-time.ts

build: node_modules/.installed ## dist/ for the published package
	$(BIN)/tsc -p tsconfig.build.json

docs: node_modules/.installed ## regenerate protocol/README.md and the tables of README.md
	$(BIN)/node test/support/write-docs.ts

clean: ## remove what npm and the build made here
	rm -rf node_modules dist
