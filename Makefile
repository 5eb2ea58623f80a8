# make demo        train a small network, make it equivariant, print a table, draw a figure
# make figures     the same, with figure and numbers kept where README shows them
# make test        the tests (8 minutes on 2 cores); WORKERS=8 for more cores
# make test-deep   the slow tests, and the laws on many more examples
# make check       format, lint, types, and every example in README, docs and docstrings
# make site        the documentation as web pages, in build/site
# make format      repair format and lint where that can be done
# make benchmarks  measure again what the documentation quotes, but for trained networks
# make clean       forget .venv and every cache
#
# Each makes .venv first, from pinned versions, and is quick the second time.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

# Data sets too large for the package: a folder of that name beside this one, or yours.
SYMMETRIZE_DATA ?= $(realpath ../shared/data)
ifneq ($(SYMMETRIZE_DATA),)
export SYMMETRIZE_DATA
endif

# Each test worker has one core to itself: more threads would only fight over it. One that is done
# takes tests from another, as some take many seconds.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
# The pages that `make check` runs
PAGES := tests/project/test_documentation.py

# Every benchmark answers one question and writes benchmarks/results/NAME.json.
# Those that train networks for an hour are left to be called by name.
QUESTIONS := $(basename $(notdir $(filter-out benchmarks/_% benchmarks/train_%,$(wildcard benchmarks/*.py))))

.PHONY: help demo figures test test-deep check site format benchmarks clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q; s/^# \?//p' Makefile

demo: $(STAMP)
	$(BIN)/python -m symmetrize demo

figures: $(STAMP)
	$(BIN)/python -m symmetrize demo --output docs/figures
	$(BIN)/python scripts/update_readme.py

test: $(STAMP)
	$(PYTEST) --ignore $(PAGES)

test-deep: $(STAMP)
	$(PYTEST) -m "slow or deep"

site: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs build/site

check: $(STAMP) site
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-modules symmetrize backbones equivariance_tests $(PAGES)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmarks: $(STAMP)
	@set -e; for name in $(QUESTIONS); do \
		echo "benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name; done
	$(BIN)/python -m benchmarks._tables

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "symmetrize needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis .mypy_cache .ruff_cache demo_output
