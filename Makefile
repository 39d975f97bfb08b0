# What a person does here. `make help` lists it.

PYTHON ?= python3
VENV := .cache/venv
BIN := $(VENV)/bin
STORE ?= sqlite
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test soak check format bench neo4j clean

help:  ## this list
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/demo.done  ## the whole path on real data, three sites and a server; STORE=neo4j on the real Neo4j
	@$(BIN)/python examples/digits/demo.py --store $(STORE)

test: $(VENV)/dev.done  ## every test, on the real Neo4j (needs Java 17 and Maven; says so if they are missing)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not soak" -n $(JOBS) --dist loadfile $(ARGS)

soak: $(VENV)/dev.done  ## the long tests: minutes of random faults and crashes
	$(BIN)/python -m pytest -m soak $(ARGS)

check: $(VENV)/dev.done  ## format, lint and types, without the tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

bench: $(VENV)/dev.done  ## measure, each figure beside its limit; writes docs/benchmarks.md
	$(BIN)/python bench/run.py $(ARGS)

neo4j:  ## a real Neo4j without Docker, with its Browser; Ctrl-C stops it
	@$(PYTHON) docker/neo4j-local/launch.py

clean:  ## remove what the other targets made
	rm -rf .cache demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An environment of its own. Each stamp is made again when the dependencies change.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("cmf needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Say make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@echo "making an environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: pyproject.toml | $(VENV)/bin/python
	@echo "installing cmf and what the example needs …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server,example]'
	@touch $@

$(VENV)/dev.done: pyproject.toml | $(VENV)/bin/python
	@echo "installing cmf and what its tests need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
