# Needs Python 3.11 or newer and make. Everything else goes into .venv and .servers.
.DEFAULT_GOAL := help
.PHONY: help demo demo-server test lint format types layers bench clean chromium chromium-begin pictures

VENV := .venv
BIN := $(VENV)/bin
# The first interpreter that is new enough. Asked, not only found: version managers leave shims that cannot run.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
STAMP := $(VENV)/.installed
SERVER := .servers/.installed
# Processes that the tests run in: most of their time they wait, for servers and timers.
WORKERS ?= 2
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

# Debian's Chromium, for the tests of Django's admin pages. CI fetches it in the background, while style and types are
# looked at: that takes as long.
chromium-begin:
	@mkdir -p .servers && rm -f .servers/chromium.*
	@if [ "$$CI" = true ] && ! command -v chromium >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then \
		echo "Installing Chromium with apt-get, in the background"; \
		as=; [ "$$(id -u)" = 0 ] || as=sudo; export DEBIAN_FRONTEND=noninteractive; : >.servers/chromium.log; \
		( $$as apt-get update -q && $$as apt-get install -y -q --no-install-recommends chromium; \
			echo $$? >.servers/chromium.code ) >>.servers/chromium.log 2>&1 </dev/null & \
	fi

chromium: chromium-begin
	@if [ -f .servers/chromium.log ]; then \
		while [ ! -f .servers/chromium.code ]; do sleep 1; done; \
		[ "$$(cat .servers/chromium.code)" = 0 ] || { cat .servers/chromium.log >&2; \
			echo "Chromium could not be installed. The tests of the admin pages need it." >&2; exit 1; }; \
	elif ! command -v chromium >/dev/null 2>&1 && [ -z "$$DURABLY_CHROMIUM" ]; then \
		if [ "$$CI" = true ]; then echo "Chromium was not found, and CI must not leave its tests out." >&2; exit 1; fi; \
		echo "Notice: Chromium was not found: tests of the admin pages in a browser are left out."; \
	fi

demo: $(STAMP) ## run the example shop, kill it in the middle
	@cd $(EXAMPLE) && $(CURDIR)/$(BIN)/python -m demo

demo-server: $(STAMP) $(SERVER) ## the same on a real Restate Server
	@cd $(EXAMPLE) && $(CURDIR)/$(BIN)/python -m demo --server

lint: $(STAMP) ## style and formatting
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check --quiet $(SOURCES) || { echo "Not formatted: run make format" >&2; exit 1; }

format: $(STAMP) ## rewrite what can be rewritten
	@$(BIN)/ruff check --fix --quiet $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

types: $(STAMP) ## mypy and pyright
	@$(BIN)/mypy
	@$(BIN)/pyright
	@. $(BIN)/activate && for package in durably durably_fastapi; do \
		found=$$(pyright --verifytypes $$package --ignoreexternal) && echo "All public types of $$package are known." \
		|| { echo "$$found" | grep -B 1 error:; exit 1; }; done

layers: $(STAMP) ## who may import whom
	@$(BIN)/lint-imports --no-cache

test: chromium-begin lint types layers $(SERVER) chromium ## everything that must hold, with coverage by folder
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
