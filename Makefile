# `make demo` and `make test` are all that a newcomer needs: each sets up what is missing.
SIZE ?= small
# What .venv is made with, where it is not the first that fits; what runs in it is not told.
PYTHON ?=
unexport PYTHON

.PHONY: help setup check demo benchmark-mini data test test-all test-only lint format clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## make .venv with the pinned stack; does nothing if it is there
	@PYTHON='$(PYTHON)' tools/setup.sh

check: setup ## import everything, run one op, print the versions
	@.venv/bin/python tools/check_stack.py

demo: setup ## pre-train, export, fine-tune, compare: 12 minutes on 2 cores (SIZE=medium: 70)
	@.venv/bin/python tools/demo.py --size $(SIZE)

benchmark-mini: setup ## random init, MoCo v2 and DetCo with three seeds; resumable (SIZE=small: hours on 2 cores)
	@.venv/bin/python tools/benchmark_mini.py --size $(SIZE)

data: setup ## make the embedded detection data in data/embedded
	@.venv/bin/python tools/make_data.py data/embedded

test: setup lint test-only ## lint, types and tests

test-all: setup lint ## the same, and the tests that take minutes each
	.venv/bin/python -m pytest -m ''

test-only: setup
	.venv/bin/python -m pytest

lint: setup ## ruff, mypy, shellcheck
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/shellcheck tools/*.sh .ci/run

format: setup ## let ruff format and sort
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean: ## remove caches of tools; runs, data and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
