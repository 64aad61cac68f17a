# Each target does all its own set-up in .venv. What is fetched has a version and one of the hashes
# of requirements/, or is refused; nothing is built but the project, by a backend that came likewise.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
LOCKED := --require-hashes --only-binary=:all: --requirement
BUILT := --no-index --no-deps --no-build-isolation --editable
# In CI the same tests run under coverage, which `make coverage` then reports.
PYTEST := $(BIN)/python -m $(if $(CI),coverage run -m )pytest
# Most tests wait for a daemon; a file's tests share what it started.
WORKERS ?= 2

SOAK_SECONDS ?= 1800

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Who is compared with the daemon, and who asks: a program, and Debian's package with it.
MEASURED := nginx:nginx-light cc:gcc taskset:util-linux node:nodejs npm:npm

.PHONY: demo test soak fuzz mutants lint coverage bench fleet dist audit lock clean

demo: $(VENV)/demo.stamp            ## watch a real SDK being served
	@place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT && IMDSD_RUNTIME_DIR=$$place \
		$(BIN)/imdsd demo --listen 127.0.0.1:0 -- $(abspath $(BIN))/python examples/tour.py

test: $(VENV)/test.stamp            ## pass the tests
	$(PYTEST) --numprocesses $(WORKERS) --dist loadfile

soak: $(VENV)/test.stamp            ## half an hour of faults, and ninety days on the test clock
	$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS)

fuzz: $(VENV)/test.stamp            ## half a million cases, and the table of docs/reliability.md
	$(BIN)/python -m tests.fuzz

mutants: $(VENV)/dev.stamp          ## break what matters on purpose, and see that a test notices
	$(BIN)/python -m tests.mutation

lint: $(VENV)/dev.stamp             ## style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(VENV)/test.stamp        ## report what `make test CI=true` covered
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/test.stamp           ## measure, and print the tables of docs/performance.md
	@missing=; [ -e /usr/include/stdio.h ] || missing=libc6-dev; \
	for each in $(MEASURED); do \
		command -v "$${each%:*}" >/dev/null || missing="$$missing $${each#*:}"; \
	done; \
	[ -z "$$missing" ] || { $(SUDO) apt-get update -q && \
		$(SUDO) apt-get install -qy --no-install-recommends $$missing; }
	$(BIN)/python -m benchmarks

fleet: $(VENV)/dev.stamp            ## simulate fleets; write docs/fleet.json, tables and plots
	$(BIN)/python -m benchmarks.fleet

dist: $(VENV)/test.stamp            ## build wheel, sdist and the bill of what an install brings
	rm -rf dist
	$(BIN)/python -m supply.dist dist

audit: $(VENV)/test.stamp           ## ask an advisory service about everything that is locked
	$(BIN)/python -m supply.audit $(AUDIT)

lock: $(VENV)/test.stamp            ## lock what pyproject.toml and package.json ask for
	$(BIN)/python -m supply.lock $(if $(UPGRADE),--upgrade)
	npm --prefix tests/integration/node install --package-lock-only --ignore-scripts

clean:
	rm -rf $(VENV) build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/%.stamp: pyproject.toml $(wildcard requirements/*.txt)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(LOCKED) requirements/$*.txt
	$(INSTALL) $(BUILT) .
	@touch $@
