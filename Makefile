.DEFAULT_GOAL := help
PYTHON ?= python3
PIP := .venv/bin/pip --quiet --disable-pip-version-check
JOBS ?= 3
INSTALLED := $(CURDIR)/build/installed
# What a bench starts is the installed Muster; the bench itself is of this folder.
BENCH_PYTHON := PYTHONPATH=$(INSTALLED) .venv/bin/python
# The rooms whose modules are compiled in the wheel, and the service that is made of them.
COMPILED := tests/house/test_compiled.py tests/serving/test_cycle.py tests/serving/test_killed_parts.py \
	tests/serving/test_like_uvicorn.py $(addprefix tests/,access decide ledger observing opa replay service)
export MUSTER_HOME ?= $(CURDIR)/.muster
unexport PYTHONDONTWRITEBYTECODE  # Muster is started a thousand times by the tests: compiled once

help: ## this list
	@grep -hE '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

.venv: pyproject.toml ## the environment, with .venv/bin/muster
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) install --editable '.[dev]'
	@touch .venv

wheel: .venv ## what to install where Muster serves: build/wheel/muster-*.whl, compiled where there is a C compiler
	@rm -rf build/wheel build/lib build/lib.* build/bdist.*
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir build/wheel .

installed: wheel
	@rm -rf build/installed
	@$(PIP) install --no-deps --no-index --target build/installed build/wheel/muster-*.whl

run: .venv ## set everything up and serve on http://127.0.0.1:8080
	@exec .venv/bin/muster serve --demo

demo: .venv ## drive the running service through the whole story
	@.venv/bin/python -m tests.demo.drive

test: .venv ## set up what the tests need, and run them all: JOBS files at a time (3), then what measures time, alone, then what decides, as installed
	@tests/need.sh
	@$(MAKE) --no-print-directory installed
	@.venv/bin/pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not alone"
	@.venv/bin/pytest -q -m alone $$(grep -rlE 'mark\.alone' --include='test_*.py' tests)
	@echo "and what decides and records, once more as the wheel has it" >&2
	@PYTHONPATH=$(INSTALLED):$(CURDIR) .venv/bin/python -P -m pytest -q -n $(JOBS) --dist loadfile --import-mode importlib -m "not alone and not within" $(COMPILED)

check: .venv ## format, lint, types, rules, content
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/muster policy check
	.venv/bin/muster content check

fmt: .venv ## write everything in its one format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
	"$$(.venv/bin/muster opa path)" fmt --write policies

fuzz: .venv ## 100,000 asks of gateways, each a good one changed in one place (ten minutes); FUZZ=2000 for less, SEED=2 for others
	@MUSTER_FUZZ=$(or $(FUZZ),100000) MUSTER_FUZZ_SEED=$(or $(SEED),1) .venv/bin/pytest -q -s tests/adapters/gateway/test_fuzz.py

bench-ledger: .venv ## measure the ledger at 10 million entries (11 GB in build/); BENCH="--entries 1000000" for less
	@.venv/bin/python -m benchmarks.ledger $(BENCH)

bench: installed ## decisions beside OPA alone and Cerbos, on one core (10 minutes); BENCH="--quick" for less, "--write" for docs
	@$(BENCH_PYTHON) -m benchmarks.hot $(BENCH)

bench-scale: installed ## decisions at 10 thousand to 10 million entries, and a million people (15 GB in build/, half an hour)
	@$(BENCH_PYTHON) -m benchmarks.scale $(BENCH)

bench-gateway: installed ## what each gateway takes longer when it asks Muster (installs the gateways; ten minutes)
	@$(BENCH_PYTHON) -m benchmarks.gateway $(BENCH)

soak: installed ## ten minutes at 80 % of capacity, then twice the capacity; BENCH="--minutes 1" for less
	@$(BENCH_PYTHON) -m benchmarks.soak $(BENCH)

bench-profile: installed ## where the microseconds of one decision go; BENCH="--write" for docs
	@$(BENCH_PYTHON) -m benchmarks.profile $(BENCH)

bench-stages: installed ## Python's part of a cold decision, in CPU time: for a busy machine, too
	@PYTHONPATH=$(INSTALLED):$(CURDIR) .venv/bin/python -P -m benchmarks.stages $(BENCH)

.PHONY: help wheel installed run demo test check fmt fuzz bench-ledger bench bench-scale bench-gateway bench-profile bench-stages soak
