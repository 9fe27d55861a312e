# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv first, once.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help setup demo test test-all lint types clean

help:
	@echo "make demo      the whole job on the embedded model: train, ask, judge, choose, report (minutes)"
	@echo "make test      lint, types and all tests but the slow and GPU ones"
	@echo "make test-all  the slow tests as well (STANCE_REFERENCE_DATA names real tokenizer files, if you have them)"
	@echo "make setup     only create .venv"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt tools/setup.sh
	@PYTHON=$(PYTHON) tools/setup.sh && touch $@

demo: $(INSTALLED)
	@$(BIN)/stance demo

test: $(INSTALLED) lint types
	@$(BIN)/pytest -n 2

test-all: $(INSTALLED) lint types
	@$(BIN)/pytest -n 2 -m "not gpu"

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED)
	@$(BIN)/mypy

clean:
	rm -rf .venv demo_run .mypy_cache .pytest_cache .ruff_cache .hypothesis
