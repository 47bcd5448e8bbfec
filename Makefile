# What there is to do here. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
PROGRAMS := ingest insights alerts agent cli ml infra
UPGRADE ?=
STACK ?= dev
PYPI := https://pypi.org
DATA ?= ../shared/data
WINDOWS := .local/windows

.DEFAULT_GOAL := help
PAGES := services/insights/pages
VENDOR := $(PAGES)/static/vendor

.PHONY: help setup assets up check format test test-unit test-nightly bench model screenshots openapi settings grafana lock sbom audit preview deploy rollback clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready $(VENDOR)/ready ## make .venv with everything pinned (once, and after a change of requirements/)

.venv/ready: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# No script of a package runs, and the lock says what each package has to be, not where it comes from.
$(VENDOR)/ready: $(PAGES)/package-lock.json
	@if command -v npm > /dev/null; then \
	  npm ci --prefix $(PAGES) --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel error \
	  && mkdir -p $(VENDOR) && cp $(PAGES)/node_modules/htmx.org/dist/htmx.min.js \
	    $(PAGES)/node_modules/uplot/dist/uPlot.iife.min.js $(PAGES)/node_modules/uplot/dist/uPlot.min.css $(VENDOR)/ \
	  && touch $@; \
	else echo "npm is not here: the pages can be read, but have no charts and do not renew themselves"; fi

assets: $(VENDOR)/ready ## copy what pages load from npm: htmx, uPlot

up: setup ## start everything on this machine; Ctrl-C ends it
	@$(BIN)/iops up

check: setup ## lint, types, who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: setup ## run every test this machine can run; skipped ones say why
	$(BIN)/pytest

test-unit: setup ## run the unit layer: no network, 50 s on two cores
	$(BIN)/pytest --numprocesses auto --quiet tests/unit iops services ml bench cli --doctest-modules

test-nightly: setup ## crash and fault the alerts at random for 10,000 steps
	IOPS_NIGHTLY=yes $(BIN)/pytest --quiet -s tests/unit/test_alerts_at_random.py

bench: setup ## measure: from POST to mail, what ingest takes, beside Prometheus, and scoring (5 minutes)
	$(BIN)/python -m bench e2e
	$(BIN)/python -m bench ingest
	$(BIN)/python -m bench peers
	$(BIN)/python -m bench score

model: setup $(WINDOWS)/windows.parquet ## make the model that ships: make model DATA=../shared/data (10 minutes)
	$(BIN)/python -m ml train --data $(DATA) --windows $(WINDOWS)
	$(BIN)/python -m tests.margins

$(WINDOWS)/windows.parquet: | setup
	$(BIN)/python -m ml simulate $(WINDOWS) --windows 20000 --seed 11

screenshots: setup ## write docs/screenshots from a demonstration (3 minutes; needs Chromium)
	$(BIN)/python -m tests.browser.screenshots

openapi: setup ## write docs/openapi from the services
	$(BIN)/python -m tests.openapi

settings: setup ## write docs/settings.md from the programs' settings
	$(BIN)/python -m tests.settings

grafana: setup ## write Grafana's dashboards
	$(BIN)/python -m local.grafana

# One resolution for all: dev holds everything, the programs' files are parts of it.
# An existing pin stays; `make lock UPGRADE=--upgrade` takes the newest.
lock: setup ## pin requirements/*.txt with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header $(UPGRADE) --group dev -o requirements/dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header $(UPGRADE) --group ministack -o requirements/ministack.txt pyproject.toml
	for program in $(PROGRAMS); do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header $(UPGRADE) --group $$program -c requirements/dev.txt -o requirements/$$program.txt pyproject.toml || exit 1; \
	done

sbom: setup ## write .local/sbom: what each program is made of, as CycloneDX
	$(BIN)/python -m tests.sbom

audit: setup ## ask the registry for known vulnerabilities of the pins; fails only where it names one
	@$(BIN)/python -m tests.vulnerabilities --registry $(PYPI)

preview: setup ## say what is missing, then what `make deploy` would change: make preview STACK=prod
	@$(BIN)/python -m cli.deploy preview --stack $(STACK)

deploy: setup ## build, push, pulumi up, then prove it from POST to mail: make deploy STACK=prod
	@$(BIN)/python -m cli.deploy deploy --stack $(STACK)

rollback: setup ## run the images before these: make rollback STACK=prod
	@$(BIN)/python -m cli.deploy rollback --stack $(STACK)

clean: ## remove what make and the programs made (the local table and mails too)
	rm -rf $(VENDOR) $(PAGES)/node_modules .venv .local .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
