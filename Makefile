# `make demo` and `make test` are all that a newcomer needs: each sets up what is missing.
SIZE ?= small
# What .venv is made with, where it is not the first that fits; what runs in it is not told.
PYTHON ?=
unexport PYTHON
# Three workers with one thread each for two cores, since some tests wait; who has nothing left takes tests from others.
PYTEST = OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 3 --dist worksteal

.PHONY: dist help setup check demo benchmark-mini data test test-all test-gpu test-exhaustive test-only lint format clean
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

test-all: setup lint ## the same, and the tests that take half a minute or more: what CI runs
	$(PYTEST) -m 'not exhaustive'

test-gpu: setup ## on a machine with one GPU or two: what shows that all is well on them, in ten minutes
	.venv/bin/python -m pytest -m gpu

test-exhaustive: setup ## the tutorial as written, every detector at full size, eight ranks, two machines, twenty kills: by hand
	$(PYTEST) -m exhaustive

test-only: setup
	$(PYTEST)

lint: setup ## ruff, mypy, shellcheck
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/shellcheck tools/*.sh .ci/run

format: setup ## let ruff format and sort
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The time in every file is the commit's; setuptools leaves the clock in source distributions, so they are packed anew.
dist: EPOCH = $(shell git log -1 --format=%ct)
dist: setup ## a wheel and a source distribution in dist/, the same bytes from the same commit
	rm -rf dist build
	SOURCE_DATE_EPOCH=$(EPOCH) .venv/bin/python -m build --no-isolation
	cd dist && packed=$$(ls *.tar.gz) && tar xzf $$packed && \
	tar --sort=name --format=gnu --mtime=@$(EPOCH) --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX -c $${packed%.tar.gz} \
	| gzip -n >$$packed && rm -r $${packed%.tar.gz}

clean: ## remove caches of tools; runs, data and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
