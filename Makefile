.DEFAULT_GOAL := help
PYTHON ?= python3
export MUSTER_HOME ?= $(CURDIR)/.muster

help: ## this list
	@grep -hE '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

.venv: pyproject.toml ## the environment, with .venv/bin/muster
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch .venv

run: .venv ## set everything up and serve on http://127.0.0.1:8080
	@exec .venv/bin/muster serve --demo

demo: .venv ## drive the running service through the whole story
	@.venv/bin/python -m tests.demo.drive

test: .venv ## set up what the tests need, and run them all
	@tests/need.sh
	@.venv/bin/pytest

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

bench-ledger: .venv ## measure the ledger at 10 million entries (11 GB in build/); BENCH="--entries 1000000" for less
	@.venv/bin/python -m benchmarks.ledger $(BENCH)

.PHONY: help run demo test check fmt bench-ledger
