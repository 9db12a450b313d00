# Needs Python 3.11 or newer and make. Everything else goes into .venv and .servers.
.DEFAULT_GOAL := help
.PHONY: help demo demo-server demo-django demo-flask test lint format types layers bench clean packages packages-begin pictures

VENV := .venv
BIN := $(VENV)/bin
# The first interpreter that is new enough. Asked, not only found: version managers leave shims that cannot run.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
STAMP := $(VENV)/.installed
SERVER := .servers/.installed
# Processes that the tests run in: most of their time they wait, for servers and timers.
WORKERS ?= 3
EXAMPLE := example_projects/fastapi_checkout
SOURCES := $(wildcard core integrations tests bench tools example_projects noxfile.py)

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# A real Restate Server, for demo-server and for the tests that talk to one.
$(SERVER):
	@mkdir -p .servers
	@if command -v npm >/dev/null 2>&1; then \
		echo "Installing restate-server 1.7 into .servers"; \
		DO_NOT_TRACK=true npm install --prefix .servers --no-save --no-package-lock --ignore-scripts --no-audit \
			--no-fund --loglevel=error @restatedev/restate-server@1.7 && touch $@; \
	elif [ "$$CI" = true ]; then \
		echo "npm was not found. The tests against a real Restate Server need it, and CI must not leave them out." >&2; \
		exit 1; \
	else \
		echo "Notice: npm was not found, so there is no Restate Server: tests that need one are left out."; \
	fi

# PostgreSQL and Chromium, for the tests of the Django adapter: installed in CI, while style and types are looked at.
packages-begin:
	@sh tools/debian_packages.sh begin

packages: packages-begin
	@sh tools/debian_packages.sh finish

demo: $(STAMP) ## run the example shop, kill it in the middle
	@cd $(EXAMPLE) && $(CURDIR)/$(BIN)/python -m demo

demo-server: $(STAMP) $(SERVER) ## the same on a real Restate Server
	@cd $(EXAMPLE) && $(CURDIR)/$(BIN)/python -m demo --server

demo-flask: $(STAMP) ## run the report app under gunicorn, kill all its workers in the middle
	@cd example_projects/flask_reports && $(CURDIR)/$(BIN)/python -m demo

demo-django: $(STAMP) ## run the Django project under gunicorn, kill it while people sign up and order
	@cd example_projects/django_signup && $(CURDIR)/$(BIN)/python -m demo

lint: $(STAMP) ## style and formatting
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check --quiet $(SOURCES) || { echo "Not formatted: run make format" >&2; exit 1; }

format: $(STAMP) ## rewrite what can be rewritten
	@$(BIN)/ruff check --fix --quiet $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

types: $(STAMP) ## mypy and pyright
	@$(BIN)/mypy
	@$(BIN)/pyright
	@. $(BIN)/activate && for package in durably durably_fastapi durably_flask durably_django; do \
		found=$$(pyright --verifytypes $$package --ignoreexternal) && echo "All public types of $$package are known." \
		|| { echo "$$found" | grep -B 1 error:; exit 1; }; done

layers: $(STAMP) ## who may import whom
	@$(BIN)/lint-imports --no-cache

test: packages-begin lint types layers $(SERVER) packages ## everything that must hold, with coverage by folder
	@DO_NOT_TRACK=true $(BIN)/python -m pytest -p tools.coverage_by_folder --cov --cov-report= -q \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder

pictures: $(STAMP) chromium ## make the pictures of the documentation anew
	@$(BIN)/python -m tests.browser.pictures

bench: $(STAMP) $(SERVER) ## the speed and memory claims, measured beside restate-sdk, DBOS and restate-server
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@DO_NOT_TRACK=true $(BIN)/python -m bench

clean: ## remove everything that make made
	rm -rf $(VENV) .servers .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage reports dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
