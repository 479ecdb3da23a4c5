# Everything a contributor types. `make help` lists it. The environments are files to make: they are built when constraints.txt
# changes and left alone otherwise.

PYTHON ?= python3
VENV ?= .venv
CORE_VENV ?= .venv-core
MANIFESTS_VENV ?= .venv-manifests
# More words for pytest, as in: make test TESTS="tests/config -x"
TESTS ?=
# Most tests run side by side, a file in one process. Those that start clusters or servers run in a part of their own, in two
# processes, each of which starts its own. Half of the time they wait: `make --jobs=2 test` runs both parts at once, and the
# first one gives way.
SIDE_BY_SIDE ?= --numprocesses=logical --maxprocesses=4 --dist=loadfile
TWO_AT_ONCE ?= --numprocesses=2 --dist=loadfile
STARTS_SERVERS := ray or servers
# `make constraints UPGRADE=--upgrade` takes the newest versions instead of keeping the pinned ones.
UPGRADE ?=
# More words for pip, as in: make setup PIP_FLAGS=--verbose
PIP_FLAGS ?=

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

BIN := $(VENV)/bin
CHECKS := check-lint check-layout check-types check-imports check-text
CORE_ROOMS := neurons growth models training
# What must not be importable where the core rooms are tested.
NOT_CORE := pydantic ray mlflow optuna torchvision
CACHE = -o cache_dir=.pytest_cache/$(1)
OVERLAYS := $(notdir $(patsubst %/,%,$(wildcard k8s/overlays/*/)))

define REFUSE_OLD_PYTHON
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	found=$$($(PYTHON) --version 2>&1 || true); \
	echo "neurosearch needs Python 3.11 or newer, but $(PYTHON) is: $$found. Name another: make PYTHON=python3.12 ..." >&2; \
	exit 1; }
endef

.PHONY: help setup core-setup manifests-setup quickstart test test-side-by-side test-servers test-again core check check-manifests format reference \
	constraints clean $(CHECKS)

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: setup ## set everything up in .venv and run the main job: a search on real data
	$(BIN)/neurosearch search tune_configs/quickstart.yaml

test: setup ## set everything up in .venv and run all tests
	@$(MAKE) --no-print-directory --keep-going test-side-by-side test-servers

# What failed is kept apart for each part, and a part that none of the chosen tests is in has passed.
test-side-by-side: setup
	nice -n 10 $(BIN)/python -m pytest -m "not ($(STARTS_SERVERS))" $(SIDE_BY_SIDE) $(call CACHE,$@) $(TESTS) || [ $$? -eq 5 ]

test-servers: setup
	$(BIN)/python -m pytest -m "$(STARTS_SERVERS)" $(TWO_AT_ONCE) --durations=25 $(call CACHE,$@) $(TESTS) || [ $$? -eq 5 ]

test-again: setup ## run the tests that failed, one after the other
	for part in test-side-by-side test-servers; do \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures=none $(call CACHE,$$part) $(TESTS) || [ $$? -eq 5 ]; \
	done

core: core-setup ## test the core rooms where only torch and numpy are installed
	$(CORE_VENV)/bin/python .ci/absent.py $(NOT_CORE)
	PYTHONPATH=. HYPOTHESIS_PROFILE=few $(CORE_VENV)/bin/python -m pytest $(SIDE_BY_SIDE) $(addprefix tests/,$(CORE_ROOMS)) $(TESTS)

check: setup ## lint, layout, types, import contracts, and no host or path of a machine in any file
	@$(MAKE) --no-print-directory --keep-going $(CHECKS)

# All of them run, even after one has failed.
check-lint:
	$(BIN)/ruff check .
check-layout:
	$(BIN)/ruff format --check .
check-types:
	$(BIN)/mypy
check-imports:
	$(BIN)/lint-imports
check-text:
	$(BIN)/python .ci/check_text.py

check-manifests: setup manifests-setup ## lint the manifests and the Dockerfile with checkov, hadolint and yamllint
	$(MANIFESTS_VENV)/bin/yamllint --strict k8s .yamllint.yaml .checkov.yaml
	$(MANIFESTS_VENV)/bin/hadolint Dockerfile
	$(MANIFESTS_VENV)/bin/checkov --config-file .checkov.yaml --framework dockerfile --file Dockerfile
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	for overlay in $(OVERLAYS); do \
		$(BIN)/kubectl kustomize "k8s/overlays/$$overlay" >"$$folder/$$overlay.yaml"; \
	done; \
	$(MANIFESTS_VENV)/bin/checkov --config-file .checkov.yaml --framework kubernetes --directory "$$folder"

format: setup ## lay out every file and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: setup ## write the schema and docs/reference anew, after a field or an option has changed
	$(BIN)/neurosearch schema --out neurosearch/config/study.schema.json
	$(BIN)/python .ci/reference.py

constraints: setup ## pin all versions with hashes, in constraints.txt and its siblings
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url $(UPGRADE) --group dev pyproject.toml -o constraints.txt
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --group core -c constraints.txt -o constraints-core.txt
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --group image -c constraints.txt pyproject.toml -o constraints-image.txt
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url $(UPGRADE) --group manifests -o constraints-manifests.txt

clean: ## remove the environments, caches and builds; studies under runs/ stay
	rm -rf .venv .venv-core .venv-manifests build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(VENV)/installed.package ## set up .venv and do nothing else

core-setup: $(CORE_VENV)/installed.constraints

manifests-setup: $(MANIFESTS_VENV)/installed.constraints

$(VENV)/installed.constraints: constraints.txt
	@$(REFUSE_OLD_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --require-hashes -r constraints.txt
	@touch $@

# The package itself is installed again when its metadata (commands, entry points) may have changed.
$(VENV)/installed.package: $(VENV)/installed.constraints pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	@touch $@

$(CORE_VENV)/installed.constraints: constraints-core.txt
	@$(REFUSE_OLD_PYTHON)
	$(PYTHON) -m venv $(CORE_VENV)
	$(CORE_VENV)/bin/python -m pip install --quiet $(PIP_FLAGS) --require-hashes -r constraints-core.txt
	@touch $@

$(MANIFESTS_VENV)/installed.constraints: constraints-manifests.txt
	@$(REFUSE_OLD_PYTHON)
	$(PYTHON) -m venv $(MANIFESTS_VENV)
	$(MANIFESTS_VENV)/bin/python -m pip install --quiet $(PIP_FLAGS) --require-hashes -r constraints-manifests.txt
	@touch $@
