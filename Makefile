# Thin: all work is done by `nr` and pytest. `make setup` makes .venv; the stamp makes a second call instant.
PYTHON ?= python3.11
# PyTorch's index. CPU build where there is no NVIDIA driver; `make TORCH_INDEX= setup` takes PyPI's CUDA build.
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null 2>&1 || echo https://download.pytorch.org/whl/cpu)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test test-fast test-kill lint docs docs-serve up down
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@missing=""; \
	command -v $(PYTHON) >/dev/null || missing="$$missing python3.11"; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing="$$missing python3.11-venv"; \
	$(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || missing="$$missing python3.11-dev"; \
	command -v g++ >/dev/null || missing="$$missing g++"; \
	if [ -n "$$missing" ]; then echo "missing; install with: sudo apt-get install -y$$missing"; exit 1; fi
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-deps -c constraints.txt torch $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pipelines.text.identify
	@touch $@

demo: setup
	$(BIN)/python -m flows.demo

# Two at a time: much of a test of flows is waiting for a server. `--dist loadfile` keeps a file's tests together, with the
# fixtures that they share; the files are taken in the order of tests/conftest.py, those that take longest first.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
test: setup
	$(PYTEST)

# What needs neither a server nor a browser and is soon done.
test-fast: setup
	$(PYTEST) -m "not server and not browser and not slow"

# Everybody killed in every stage, and twelve times at random: some twenty minutes.
test-kill: setup
	NR_KILL_ALL=1 NR_KILLS=12 $(BIN)/pytest -s tests/flows/maintenance/test_kill.py

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy

# The site, in site/; a link that leads nowhere fails it. The variable: a notice of mkdocs-material's on its successor.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q -d site

docs-serve: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

up: setup
	$(BIN)/nr up

down: setup
	$(BIN)/nr down
