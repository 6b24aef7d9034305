# `make up` runs Tabard on this machine, `make test` tests it. Both need Python >= 3.11, git and make, and set up
# what they need in .venv. `make help` names the rest.

HOME_DIR ?= .tabard
UP_ARGS ?=
TEST_ARGS ?=
SEEDS ?= 20000
BENCH ?= ingest retention agent intake search tunnel logging command peers
BENCH_ARGS ?=
bin := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up test long check lint types contract docs-test format bench dist lock clean

help: ## name the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name what; do \
		printf '  make %-11s %s\n' "$$name" "$$what"; done

setup: ## make .venv with the command line tool at .venv/bin/tabard
	@sh requirements/install.sh run

setup-dev: ## that, and what tests and checks need
	@sh requirements/install.sh dev

up: setup ## run every role on this machine; herald at http://127.0.0.1:8024; Ctrl-C ends all
	@exec $(bin)/tabard up --home $(HOME_DIR) $(UP_ARGS)

test: setup-dev ## run the tests (TEST_ARGS are handed to pytest)
	@$(bin)/python -m pytest -n 3 $(TEST_ARGS)

long: setup-dev ## run the tests that take minutes: more seeds, long chaos, a million fuzzed frames
	@SEEDS=$(SEEDS) $(bin)/python -m pytest -m long --timeout 3600 $(TEST_ARGS)

check: lint types contract docs-test ## ruff, mypy --strict, the import contract, the tests about the documentation

lint: setup-dev ## ruff: rules and form
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .

types: setup-dev ## mypy --strict over code and tests
	@$(bin)/mypy
	@$(bin)/mypy tests
	@MYPYPATH=docs/examples/orders $(bin)/mypy -p acme_orders

contract: setup-dev ## which floor may import which
	@$(bin)/lint-imports --no-logo

docs-test: setup-dev ## the tests about the documentation and the repository itself
	@$(bin)/python -m pytest -q tests/unit/house

format: setup-dev ## let ruff put the code in order
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

bench: setup ## measure: records a second, delay, CPU and memory (BENCH=agent for one; BENCH_ARGS are handed on)
	@for name in $(BENCH); do $(bin)/tabard bench $$name $(BENCH_ARGS) || exit; done

dist: setup-dev ## build the source distribution and the wheel into dist/
	@rm -rf build dist
	@$(bin)/python -c 'from setuptools import build_meta as b; b.build_sdist("dist"); b.build_wheel("dist")' >dist.log 2>&1 \
		|| { cat dist.log; exit 1; }
	@rm -rf build dist.log && ls dist

lock: ## pin and hash the requirements anew from pyproject.toml (UPGRADE=1 takes the newest)
	@sh requirements/lock.sh

clean: ## remove what was built and cached; keeps .venv and .tabard
	@rm -rf build dist src/tabard.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
