# Everything starts here: `make run`, `make test`, `make check`, `make bench`, `make docs`.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' 2>/dev/null && echo python3.12 || (command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && echo python3.11) || echo python3)
VENV := .venv
BIN := $(VENV)/bin
# What an operator has: the requirements of the product alone. The suite's bring libraries that others load when they are there.
PRODUCT := $(VENV)/product
WORKERS ?= auto

.PHONY: run test quick soak check bench docs conformance clients lock clean help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/ -/'

run: $(VENV)/.run  ## start the gateway on :8000 (PORT=… for another), nothing else needed
	@$(BIN)/python -m gatewayz serve

test: $(VENV)/.test  ## the whole suite, with real PostgreSQL and Redis servers that it brings itself
	@$(BIN)/python -m pytest tests -n $(WORKERS) --dist loadfile --require-servers

quick: $(VENV)/.test  ## the part of the suite that takes seconds
	@$(BIN)/python -m pytest tests/unit tests/dialects -n $(WORKERS) --dist loadfile -m 'not slow'

soak: $(VENV)/.test  ## the journeys of money many times over: hundreds of kills and outages, most of an hour
	@GATEWAYZ_SOAK=1 $(BIN)/python -m pytest tests/journeys/money tests/store/test_money_machine.py -n $(WORKERS) --dist loadfile --require-servers

check: $(VENV)/.test  ## linters, types, import contract, size limits
	@$(BIN)/ruff check src tests scripts bench clients
	@$(BIN)/ruff format --check src tests scripts bench clients
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy
	@$(BIN)/python scripts/check_sizes.py

bench: $(VENV)/.test  ## compare with the floor and with peers that are installed; writes docs/performance.md
	@$(MAKE) --no-print-directory VENV=$(PRODUCT) $(PRODUCT)/.run
	@$(BIN)/python bench/run.py

docs: $(VENV)/.test  ## write docs/reference from the running code
	@$(BIN)/python scripts/build_reference.py

conformance: $(VENV)/.test  ## try every pairing of client and provider; writes docs/reference/conformance.md
	@$(BIN)/python scripts/build_conformance.py

clients: $(VENV)/.test  ## drive real clients, installed from their registries; ONLY="aider llm" for some, BEHIND=gemini
	@$(BIN)/python -m clients.run $(ONLY) $(if $(BEHIND),--behind $(BEHIND))

lock:  ## maintainers: pin requirements/*.in again (needs uv)
	@for name in run test; do uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --python-version 3.11 requirements/$$name.in -o requirements/$$name.lock -q; done

clean:  ## remove the environment and the development database
	rm -rf $(VENV) .gatewayz

# A machine without ensurepip (Debian's python3 without python3-venv) may still have a pip of its own.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "gatewayz needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install -q pip; } || { rm -rf $(VENV); \
	  echo "Cannot make a virtual environment: install python3-venv (Debian: apt-get install python3-venv)."; exit 1; }

$(VENV)/.run: $(VENV)/pyvenv.cfg requirements/run.lock pyproject.toml
	@test -f $(VENV)/.test || { echo "installing requirements (once) …"; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: --no-compile -r requirements/run.lock; }
	@$(BIN)/python scripts/link_package.py
	@touch $@

$(VENV)/.test: $(VENV)/pyvenv.cfg requirements/test.lock pyproject.toml
	@echo "installing requirements of the suite (once) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/test.lock
	@$(BIN)/python scripts/link_package.py
	@touch $@
