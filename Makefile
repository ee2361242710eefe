# make demo and make test are all that a newcomer needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# What pip installs for the torch backend; a CPU build is enough for all tests.
TORCH ?= torch>=2.6
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
RUNS := runs

.PHONY: help demo test test-slow bench lint types docs clean

help:
	@echo "make demo       install, simulate Figure 1 in spikes, and show where its figures are"
	@echo "make test       install what tests need, and run them"
	@echo "make test-slow  the longest tests"
	@echo "make bench      print every bound on time and accuracy with what is measured here"
	@echo "make lint       ruff and import-linter"
	@echo "make types      pyright"
	@echo "make clean      remove .venv, runs and caches"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("neuromirror needs Python 3.11 or later; set PYTHON=…") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/base: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet "$(TORCH)" --editable '.[dev]'
	@touch $@ $(VENV)/base

demo: $(VENV)/base
	$(BIN)/neuromirror run figure1

# One thread a worker: more than there are cores would wait for each other.
test: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q

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
	rm -rf $(VENV) $(RUNS) build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
