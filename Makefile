# Two commands matter: `make serve` and `make test`. Both need Python 3.11 or newer and make; uv is used when it is there.

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

# The interpreter that .venv is made with: python3 if it is new enough, else the first of its siblings that is.
# Another one: make serve PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$p" && break; done)

# A stamp says: what this lock file pins is installed in .venv, and the project with it.
SERVE_STAMP := $(VENV)/.installed-serve
TEST_STAMP := $(VENV)/.installed-test

.DEFAULT_GOAL := help
.PHONY: help serve test crash lint types arch check coverage conformance bench image lock format clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r target text; do \
		printf '  %-11s %s\n' "$$target" "$$text"; done

serve: $(SERVE_STAMP) ## install, migrate and serve config/registry.yaml (ARGS='--help' for options)
	@exec $(BIN)/python -m nexusd serve $(ARGS)

test: $(TEST_STAMP) ## install the test tools and run the whole suite (ARGS='tests/unit -k name' for a part)
	@$(BIN)/python -m pytest $(ARGS)

crash: $(TEST_STAMP) ## kill the server under load, CRASHES times (200) on each database
	@CRASHES=$(or $(CRASHES),200) $(BIN)/python -m pytest --capture=no --numprocesses=2 tests/system/reliability $(ARGS)

check: lint types arch ## everything that is checked without running the server

lint: $(TEST_STAMP) ## ruff, and hadolint where it is installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; fi

types: $(TEST_STAMP) ## mypy, strict
	@$(BIN)/mypy

arch: $(TEST_STAMP) ## who may import whom
	@$(BIN)/lint-imports --no-logo

format: $(TEST_STAMP) ## rewrite the Python files as the formatter wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

coverage: $(TEST_STAMP) ## the suite with branch coverage, child processes included
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

conformance: $(TEST_STAMP) ## the official MCP suite, and the TypeScript clients (npm needed)
	@$(BIN)/python -m pytest -n0 -rs tests/conformance/mcp $(ARGS)

bench: $(TEST_STAMP) ## what a start costs (ARGS=20 for more rounds), and what the engine adds to a run
	@$(BIN)/python -m tests.benchmarks.start $(ARGS)
	@$(BIN)/python -m tests.benchmarks.executor

image: ## build the container image nexusd:latest (PYTHON_IMAGE=… for another base)
	docker build $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) --tag nexusd:latest .

lock: $(TEST_STAMP) ## pin again within the ranges of pyproject.toml (ARGS=--upgrade for the newest)
	@$(BIN)/uv pip compile --quiet $(LOCK_OPTIONS) $(ARGS) --output-file requirements.lock pyproject.toml
	@$(BIN)/uv pip compile --quiet $(LOCK_OPTIONS) $(ARGS) --extra test --constraint requirements.lock \
		--output-file requirements-test.lock pyproject.toml

# Universal, so that one file serves every platform; without a header, which would repeat the caller's command line.
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-header

clean: ## remove .venv and the tools' caches (never a database)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage dist build

$(SERVE_STAMP): requirements.lock pyproject.toml
	@echo 'Installing into $(VENV) …'
	@$(call install,requirements.lock)
	@touch $@

# The test lock holds the run-time one whole, so whoever may test may serve.
$(TEST_STAMP): requirements-test.lock pyproject.toml
	@echo 'Installing into $(VENV), test tools included …'
	@$(call install,requirements-test.lock)
	@touch $@ $(SERVE_STAMP)

NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null

# An environment that works is kept, whatever made it: made again by another interpreter over itself it would be a mixture.
# Byte code is compiled now, or the first start would pay for it.
ifneq ($(UV),)
define install
set -e; \
$(BIN)/python $(NEW_ENOUGH) || $(UV) venv --quiet --clear --python "$(or $(PYTHON),>=3.11)" $(VENV); \
$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes --requirement $(1); \
$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .; \
$(BIN)/python -m compileall -q server
endef
else
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
define install
set -e; \
$(BIN)/python $(NEW_ENOUGH) || { "$(PYTHON)" $(NEW_ENOUGH) && "$(PYTHON)" -m venv --clear $(VENV); } || { \
	echo 'No environment could be made. nexusd needs Python 3.11 or newer with its venv module;' >&2; \
	echo 'install one, or name one: make PYTHON=/path/to/python' >&2; exit 1; }; \
$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
$(PIP_INSTALL) --require-hashes --requirement $(1); \
$(PIP_INSTALL) --no-deps --editable .; \
$(BIN)/python -m compileall -q server
endef
endif
