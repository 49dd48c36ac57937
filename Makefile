# `make demo` and `make test` do everything on a machine with Python 3.11, venv and make.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
DATA   ?=
KEEP   ?=
COMPILE = $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11

.PHONY: demo test test-mriqc check images docs lock clean

demo: $(VENV)/.demo-ready          ## the main job, end to end, on the sandbox
	@$(BIN)/winxnat demo $(if $(DATA),--data "$(DATA)") $(if $(KEEP),--keep)

test: check $(VENV)/.dev-ready     ## checks and the whole test suite
	@$(BIN)/pytest -n auto

test-mriqc: $(VENV)/.dev-ready     ## build MRIQC with stand-ins and compare it with winqc (hours, 3 GB)
	@$(BIN)/winxnat image build mriqc $(if $(BASE_IMAGE),--base-image "$(BASE_IMAGE)")
	@$(BIN)/python tests/benchmarks/bench_mriqc.py

check: $(VENV)/.dev-ready          ## format, lint, types, layers, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m commands.generate --check
	@$(BIN)/python -m containers.check_identity.criteria_page --check

images: $(VENV)/.dev-ready         ## build all container images (needs Docker)
	@$(BIN)/winxnat image build --all

docs: $(VENV)/.dev-ready           ## regenerate what is made from the definitions
	@$(BIN)/python -m commands.generate
	@$(BIN)/python -m containers.check_identity.criteria_page

lock: $(VENV)/.uv-ready            ## renew the pinned requirements
	@$(COMPILE) --extra demo pyproject.toml -o requirements/demo.lock
	@$(COMPILE) --extra dev pyproject.toml -o requirements/dev.lock
	@$(COMPILE) containers/base/requirements.in -o containers/base/requirements.lock
	@set -e; for folder in $(patsubst %/requirements.in,%,$(filter-out containers/base/%,$(wildcard containers/*/requirements.in))); do \
	  $(COMPILE) -c containers/base/requirements.lock $$folder/requirements.in -o $$folder/requirements.lock; \
	done
	@$(COMPILE) --override containers/mriqc/substituted/overrides.txt containers/mriqc/substituted/requirements.in -o containers/mriqc/substituted/requirements.lock

clean:
	rm -rf $(VENV) demo-output

$(VENV)/.uv-ready:
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@touch $@

$(VENV)/.demo-ready: pyproject.toml requirements/demo.lock | $(VENV)/.uv-ready
	@echo "Setting up $(VENV) (first time only) ..."
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/demo.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

$(VENV)/.dev-ready: pyproject.toml requirements/dev.lock | $(VENV)/.uv-ready
	@echo "Setting up $(VENV) for development (first time only) ..."
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@ $(VENV)/.demo-ready
