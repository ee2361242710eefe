# make demo and make test are all that a newcomer needs.
# Any Python from 3.11 on: the first of these that runs and can make a virtual environment. A name may be there and run
# nothing, as pyenv's are.
ifeq ($(origin PYTHON),undefined)
USABLE := -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
PYTHON := $(shell for name in python3.11 python3.12 python3.13 python3.14 python3.15 python3 python; do \
	if "$$name" $(USABLE) >/dev/null 2>&1; then echo "$$name"; break; fi; done)
else
CHOSEN := yes
endif
# What pip installs for the torch backend; a CPU build is enough for all tests.
TORCH ?= torch>=2.6
JOBS ?= 2
# One for each Python: make test PYTHON=python3.13 VENV=.venv-3.13
VENV ?= .venv
BIN := $(VENV)/bin
RUNS := runs
RUN_TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q

.PHONY: help demo test test-spiking test-slow bench lint types docs clean python

help:
	@echo "make demo         install, simulate Figure 1 in spikes, and show where its figures are"
	@echo "make test         install what tests need, and run them"
	@echo "make test-spiking the scenarios of spiking cells alone, which depend on the version of Brian2"
	@echo "make test-slow    the longest tests"
	@echo "make bench        print every bound on time and accuracy with what is measured here"
	@echo "make lint         ruff and import-linter"
	@echo "make types        pyright"
	@echo "make clean        remove .venv, runs and caches"
	@echo "Each takes PYTHON=python3.13 VENV=.venv-3.13 for another Python than $(or $(PYTHON),the first that is found)."

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python from 3.11 on was found that can make a virtual environment (module venv)." \
		"Install one, or name it: make demo PYTHON=/path/to/python3" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"$(PYTHON): no Python from 3.11 on. Name another: make demo PYTHON=/path/to/python3" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

# An environment of another Python than the one that is named would be used without a word.
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
python: | $(BIN)/python
	@test -z "$(CHOSEN)" || test "`"$(PYTHON)" -c '$(VERSION)'`" = "`$(BIN)/python -c '$(VERSION)'`" || { echo \
		"$(VENV) is of Python `$(BIN)/python -c '$(VERSION)'`, and $(PYTHON) is another. Add VENV=.venv-other." >&2; exit 2; }

$(VENV)/base: pyproject.toml | python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | python
	$(BIN)/python -m pip install --quiet "$(TORCH)" --editable '.[dev]'
	@touch $@ $(VENV)/base

demo: $(VENV)/base
	$(BIN)/neuromirror run figure1

# One thread a worker: more than there are cores would wait for each other.
test: $(VENV)/dev
	$(RUN_TESTS)

test-spiking: $(VENV)/dev
	$(RUN_TESTS) -m "spiking and not slow"

test-slow: $(VENV)/dev
	$(BIN)/python -m pytest -q -m slow

bench: $(VENV)/dev
	$(BIN)/python -m experiments.bench

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/dev
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) .venv-* $(RUNS) build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
