# `make` alone says what there is.

.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:  ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## See it work: deliver three AI results, and show all that happens
	@$(BIN)/python -m lib.local demo

test: $(READY)  ## Run all tests, and demand that they reach every line and branch
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: $(READY)  ## Lint, check the formatting, check the types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

build: $(READY)  ## Build what would be deployed, with the real Vercel CLI, and say what it is
	@$(BIN)/python -m lib.local build

chaos: $(READY)  ## Break everything while AI results are delivered, and count (ARGS="--seed 1 --seconds 60")
	@$(BIN)/python -m lib.local chaos $(ARGS)

fuzz: $(READY)  ## Feed the function mangled deliveries, guided by coverage (ARGS="--seconds 600")
	@$(BIN)/python -m lib.local fuzz $(ARGS)

soak: $(READY)  ## Deliver 50,000 AI results to one instance, and watch its memory
	@$(BIN)/python -m lib.local soak $(ARGS)

schema: $(READY)  ## Apply sql/schema.sql to DATABASE_URL_UNPOOLED, or DATABASE_URL
	@$(BIN)/python -m lib.local schema

clean:  ## Remove what the others made
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .local

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
		{ echo "Python 3.12 or later is needed: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "This Python makes no virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing what the tests and stand-ins need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.PHONY: help demo test check build chaos fuzz soak schema clean
