# Every path here is relative: make splits words at spaces, and a checkout may have one in its path.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

BIN := .venv/bin
TESTS ?= tests
PYTEST_ARGS ?=
SEEDS ?= 200
FIRST ?= 0
IMAGE ?= penstock:0.1.0
IMAGE_ARGS ?=
# A file stays on one worker, so that what a module starts is started once.
PARALLEL ?= --numprocesses=auto --maxprocesses=4 --dist=loadfile
# Beside others: a folder with the driver that runs every engine (load-tests/README.md).
PEERS_DIR ?=
PEERS_ENGINE ?= penstock
PEERS_OUT ?= load-tests/peers/results.jsonl
PEERS_ARGS ?=
WORKLOADS ?= W1 W2 W3 W4 W5b W5w W5s MEM
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

.PHONY: help venv demo up down test test-dagger agent-quality sim chaos soak check lint types generate ratchet bench bench-peers lock build image clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | \
		awk -F'\t' '{ printf "  make %-13s %s\n", $$1, $$2 }'

venv: ## make .venv what the lock file says (nothing to do: nothing done)
	@test -n "$(PYTHON)" || { echo "Penstock needs Python 3.11 or newer on PATH"; exit 1; }
	@"$(PYTHON)" .ci/environment.py

demo: venv ## run the whole story once: trigger, scan, gate, notification, replay
	@$(BIN)/penstock demo

up: venv ## start the stack, leave it up, print what to try
	@$(BIN)/penstock up --detach

down: venv ## stop the stack that `make up` started
	@$(BIN)/penstock down

test: venv ## all tests with branch coverage (TESTS=tests/unit PYTEST_ARGS=-x for a part)
ifeq ($(TESTS),tests)
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=json:coverage.json --cov-report= $(PYTEST_ARGS)
	@$(BIN)/python -m penstock_testkit.coverage_gate coverage.json
else
	@$(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)
endif

test-dagger: venv ## what needs a Dagger engine (_EXPERIMENTAL_DAGGER_RUNNER_HOST)
	@$(BIN)/python -m pytest -m dagger --timeout=600 $(PYTEST_ARGS) tests

agent-quality: venv ## what the agents find, beside the tools they stand on (CORPUS=folder for another suite)
	@$(BIN)/python -W ignore -m tests.quality $(if $(CORPUS),"$(CORPUS)")

sim: venv ## many simulated worlds (SEEDS=200 FIRST=0), or one told at length (SEED=17 VERBOSE=1)
	@$(BIN)/python -m penstock_testkit.sim $(if $(SEED),--seed $(SEED) $(if $(VERBOSE),--verbose),\
		--seeds $(SEEDS) --first $(FIRST))

chaos: venv ## a real stack under load while everything befalls it (MINUTES=2 SEED=n)
	@$(BIN)/python -m penstock_testkit.chaos --minutes $(or $(MINUTES),2) $(if $(SEED),--seed $(SEED))

soak: venv ## a real stack at 70 % of its capacity: memory, queues, completion (MINUTES=60)
	@$(BIN)/python load-tests/soak.py --minutes $(or $(MINUTES),60)

check: lint types ## everything CI runs: lint, types, import direction, generated files, tests
	@$(BIN)/python -m penstock_testkit.generate --check
	@$(MAKE) --no-print-directory test

lint: venv ## ruff and import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --cache-dir .cache/import_linter

types: venv ## basedpyright
	@$(BIN)/basedpyright --pythonpath $(BIN)/python

generate: venv ## write every generated file again
	@$(BIN)/python -m penstock_testkit.generate

ratchet: venv ## raise the coverage marks to what the last `make test` reached
	@$(BIN)/python -m penstock_testkit.coverage_gate coverage.json --raise

bench: venv ## steps per second through the inline adapter, and the latency of a warm stack
	@$(BIN)/python load-tests/bench.py

bench-peers: venv ## the workloads that other engines ran (PEERS_DIR=folder of their driver WORKLOADS="W1 W2")
	@test -f "$(PEERS_DIR)/bench.py" -a -f "$(PEERS_DIR)/common.py" || \
		{ echo "PEERS_DIR has to be a folder with bench.py and common.py (load-tests/README.md)"; exit 1; }
	@for workload in $(WORKLOADS); do \
		PYTHONPATH=load-tests/peers $(BIN)/python -B "$(PEERS_DIR)/bench.py" "$$workload" \
			--engine "$(PEERS_ENGINE)" --out "$(PEERS_OUT)" $(PEERS_ARGS) || exit 1; \
	done

lock: venv ## resolve the dependencies again within their bounds
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url \
		--no-header --no-annotate pyproject.toml --extra agents --extra dagger \
		-o requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url \
		--no-header --no-annotate pyproject.toml --extra agents --extra dagger --extra dev \
		-c requirements.lock -o requirements-dev.lock

build: venv ## build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --wheel-dir dist .

image: ## build the container image of the services (IMAGE=penstock:0.1.0 IMAGE_ARGS=--build-arg=...)
	@docker build --file deploy/images/Dockerfile --tag "$(IMAGE)" $(IMAGE_ARGS) .

clean: ## remove the environment, caches and builds (never .penstock, which holds your data)
	@rm -rf .venv .venv.lock .cache .pytest_cache .ruff_cache .hypothesis .coverage* coverage.json build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
