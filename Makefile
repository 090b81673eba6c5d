# `make` alone says what there is.

.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCAL := $(BIN)/python -m lib.local
PARALLEL := --numprocesses 4 --dist worksteal

##@ Start here

demo: $(READY)  ## See it work: deliver three AI results, and show all that happens
	@$(LOCAL) demo

dev: $(READY)  ## Work on it: the function on port 3000, anew at each change, and a console on port 3001
	@$(LOCAL) dev $(ARGS)

parts: $(READY)  ## Install what is missing of PgBouncer, Chromium and Node.js
	@$(LOCAL) parts

test: $(READY)  ## Run all tests, and demand that they reach every line and branch (ARGS=tests/function: these alone)
ifdef ARGS
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)
	@cat .local/skipped
else
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(PARALLEL)
	@$(BIN)/coverage combine --quiet
	@if [ -s .local/skipped ]; then cat .local/skipped; else $(BIN)/coverage report; fi
endif

check: $(READY)  ## Lint, check formatting and types, check the workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/oxlint --deny-warnings lib/local/console
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github

##@ Your database and deployment

schema: $(READY)  ## Apply sql/schema.sql to DATABASE_URL_UNPOOLED, or DATABASE_URL (ARGS=--check: only compare)
	@$(LOCAL) schema $(ARGS)

send: $(READY)  ## Deliver one signed AI result to make dev, or to URL (ARGS="--preset chat --expect-row")
	@$(LOCAL) send "$(URL)" $(ARGS)

status: $(READY)  ## Say how a deployment is doing, from its DATABASE_URL (ARGS=--json)
	@$(LOCAL) status $(ARGS)

build: $(READY)  ## Build what would be deployed, with the real Vercel CLI, and say what it is
	@$(LOCAL) build

preview: $(READY)  ## Deploy BRANCH with a Neon branch of its own
	@$(LOCAL) preview --branch "$$BRANCH"

cleanup: $(READY)  ## Delete the Neon branch of the preview of BRANCH
	@$(LOCAL) preview --branch "$$BRANCH" --delete

production: $(READY)  ## Check the schema, deploy, and deliver one AI result through it
	@$(LOCAL) production

##@ Try it hard, and measure it

chaos: $(READY)  ## Break everything while AI results are delivered, and count (ARGS="--seed 1 --seconds 60")
	@$(LOCAL) chaos $(ARGS)

fuzz: $(READY)  ## Feed the function mangled deliveries, guided by coverage (ARGS="--seconds 600")
	@$(LOCAL) fuzz $(ARGS)

mutants: $(READY)  ## Put each small mistake into the function, and list what no test notices (ARGS="pure --sample 20")
	@$(LOCAL) mutants $(ARGS)

soak: $(READY)  ## Deliver 50,000 AI results to one instance, and watch its memory
	@$(LOCAL) soak $(ARGS)

bench: $(READY)  ## Measure against the same job stripped bare (ARGS="--rounds 5 --against REVISION --json")
	@$(LOCAL) bench $(ARGS)

bench-scale: $(READY)  ## Measure 1, 2, 4 and 8 instances before one PgBouncer
	@$(LOCAL) bench-scale $(ARGS)

##@ Keep it

pins: $(READY)  ## Pin the newest versions, and what they need, in requirements.txt
	@printf 'psycopg[binary]\npsycopg-pool\nrequests\n' | $(BIN)/uv pip compile - --quiet --no-strip-extras \
		--python-version 3.12 --python-platform linux --no-header --no-annotate --upgrade --output-file requirements.txt

screenshots: $(READY)  ## Take the README's pictures of the console anew
	@$(LOCAL) screenshots

clean:  ## Remove what the others made
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .local

help:  ## Say what there is to make
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
		{ echo "Python 3.12 or later is needed: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "This Python makes no virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing what the tests and stand-ins need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.PHONY: demo dev parts test check schema send status build preview cleanup production chaos fuzz mutants soak bench bench-scale pins screenshots clean help
