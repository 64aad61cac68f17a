# Each target does all its own set-up in .venv, with exact versions from constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(PYTHON) -m venv $(VENV) && \
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check \
	-c constraints.txt --editable
# In CI the same tests run under coverage, which `make coverage` then reports.
PYTEST := $(if $(CI),coverage run -m pytest,pytest)

SOAK_SECONDS ?= 1800

.PHONY: demo test soak lint coverage bench constraints clean

demo: $(VENV)/demo.stamp            ## watch a real SDK being served
	@place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT && IMDSD_RUNTIME_DIR=$$place \
		$(BIN)/imdsd demo --listen 127.0.0.1:0 -- $(abspath $(BIN))/python examples/tour.py

test: $(VENV)/test.stamp            ## pass the tests
	$(BIN)/$(firstword $(PYTEST)) $(wordlist 2,9,$(PYTEST))

soak: $(VENV)/test.stamp            ## half an hour of faults, and ninety days on the test clock
	$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS)

lint: $(VENV)/dev.stamp             ## style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(VENV)/test.stamp        ## report what `make test CI=true` covered
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/test.stamp           ## measure, and print the tables of docs/performance.md
	$(BIN)/python -m benchmarks

constraints: $(VENV)/dev.stamp      ## take the newest versions that fit pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --all-extras --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV) build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/%.stamp: pyproject.toml constraints.txt
	$(INSTALL) '.[$*]'
	@touch $@
