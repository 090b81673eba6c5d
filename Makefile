# `make` alone says what there is.

.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:  ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## See it work: deliver three AI results, and show all that happens
	@$(BIN)/python -m lib.local demo

dev: $(READY)  ## Work on it: the function on port 3000, anew at each change, and a console on port 3001
	@$(BIN)/python -m lib.local dev $(ARGS)

test: $(READY)  ## Run all tests, and demand that they reach every line and branch
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --numprocesses 4 --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: $(READY)  ## Lint, check formatting and types, check the workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github

build: $(READY)  ## Build what would be deployed, with the real Vercel CLI, and say what it is
	@$(BIN)/python -m lib.local build

preview: $(READY)  ## Deploy BRANCH with a Neon branch of its own
	@$(BIN)/python -m lib.local preview --branch "$$BRANCH"

cleanup: $(READY)  ## Delete the Neon branch of the preview of BRANCH
	@$(BIN)/python -m lib.local preview --branch "$$BRANCH" --delete

production: $(READY)  ## Check the schema, deploy, and deliver one AI result through it
	@$(BIN)/python -m lib.local production

send: $(READY)  ## Deliver one signed AI result to URL (ARGS="--preset chat --expect-row")
	@$(BIN)/python -m lib.local send "$(URL)" $(ARGS)

status: $(READY)  ## Say how a deployment is doing, from its DATABASE_URL (ARGS=--json)
	@$(BIN)/python -m lib.local status $(ARGS)

pins: $(READY)  ## Pin the newest versions, and what they need, in requirements.txt
	@printf 'psycopg[binary]\npsycopg-pool\nrequests\n' | $(BIN)/uv pip compile - --quiet --no-strip-extras \
		--python-version 3.12 --python-platform linux --no-header --no-annotate --upgrade --output-file requirements.txt

chaos: $(READY)  ## Break everything while AI results are delivered, and count (ARGS="--seed 1 --seconds 60")
	@$(BIN)/python -m lib.local chaos $(ARGS)

fuzz: $(READY)  ## Feed the function mangled deliveries, guided by coverage (ARGS="--seconds 600")
	@$(BIN)/python -m lib.local fuzz $(ARGS)

bench: $(READY)  ## Measure against the same job stripped bare (ARGS="--rounds 5 --against REVISION --json")
	@$(BIN)/python -m lib.local bench $(ARGS)

bench-scale: $(READY)  ## Measure 1, 2, 4 and 8 instances before one PgBouncer
	@$(BIN)/python -m lib.local bench-scale $(ARGS)

soak: $(READY)  ## Deliver 50,000 AI results to one instance, and watch its memory
	@$(BIN)/python -m lib.local soak $(ARGS)

schema: $(READY)  ## Apply sql/schema.sql to DATABASE_URL_UNPOOLED, or DATABASE_URL (ARGS=--check: only compare)
	@$(BIN)/python -m lib.local schema $(ARGS)

screenshots: $(READY)  ## Take the README's pictures of the console anew (needs chromium)
	@$(BIN)/python -m lib.local screenshots

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

.PHONY: help demo dev test check build preview cleanup production send status pins chaos fuzz bench bench-scale soak schema screenshots clean
