# The verbs of the project. Every one sets up what it needs first.
PYTHON ?= python3
RUN = .venv/bin/python
# Processes that share the tests: one for each core, four at most; 0: none but pytest's own. Each takes up to 2 GB.
WORKERS ?= logical
SHARED = -n $(WORKERS) --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-all test-gpu check docs screenshots bench bench-all fuzz clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## make .venv with the tested versions
	@PYTHON=$(PYTHON) scripts/setup

demo: setup ## generate, judge, mark, record, verify: a worked run (SEED=7 for another)
	@$(RUN) -m cli demo $(if $(SEED),--seed $(SEED)) $(if $(OUT),--out $(OUT))

serve: setup ## the HTTP service on 127.0.0.1:8000
	@$(RUN) -m cli serve

test: setup ## all tests but the slow ones, on all cores (WORKERS=0: on one)
	@$(RUN) -m pytest $(SHARED)

test-all: setup ## all tests, the exhaustive ones too
	@$(RUN) -m pytest $(SHARED) -m "not gpu"

test-gpu: setup ## tests that need CUDA
	@$(RUN) -m pytest -m gpu

check: ## formatting, lint, types, known weaknesses of dependencies
	@PYTHON=$(PYTHON) scripts/setup dev
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@scripts/audit-dependencies $(RUN)

docs: setup ## the documentation as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build

screenshots: setup ## pictures of every page of the console, in build/screenshots
	@$(RUN) -m tests.console.screenshots build/screenshots

bench: setup ## speed beside peers from the package index (gigabytes, once; then a quarter of an hour), into docs/benchmarks.md
	@$(RUN) -m benchmarks.peers --raw benchmarks/peers/measured.json --page docs/benchmarks.md
	@if [ -e /dev/nvidia0 ]; then $(RUN) benchmarks/gpu.py; fi

bench-all: setup ## every script of figures (hours; some need the corpora that GENGUARD_DATA names)
	@for script in benchmarks/*.py; do echo "== $$script"; $(RUN) $$script || exit 1; done
	@for step in measure check plan page; do $(RUN) -m benchmarks.capacity $$step || exit 1; done

fuzz: setup ## readers of proofs, notes, policies and queries, half a minute each (SECONDS=600)
	@PYTHON=$(PYTHON) scripts/setup fuzz
	@$(RUN) tests/fuzz/fuzz.py $(if $(SECONDS),--seconds $(SECONDS))

clean: ## remove the environment and the demo's outputs
	rm -rf .venv demo-out build *.egg-info
