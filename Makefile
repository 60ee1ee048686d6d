# Thin: all work is done by `nr` and pytest. `make setup` makes .venv; the stamp makes a second call instant.
# The newest of these that runs here; make PYTHON=python3.11 takes another.
PYTHON ?= $(or $(shell for each in python3.13 python3.12 python3.11; do $$each -c "" 2>/dev/null && echo $$each && break; done),python3.11)
# PyTorch's index. CPU build where there is no NVIDIA driver; `make TORCH_INDEX= setup` takes PyPI's CUDA build.
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null 2>&1 || echo https://download.pytorch.org/whl/cpu)
# Where it is set, each of a test run's hundreds of processes compiles our modules anew.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test test-fast test-kill lint audit docs docs-serve up down results-check evidence evidence-real leaderboard
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@missing=""; \
	command -v $(PYTHON) >/dev/null || missing="$$missing $(notdir $(PYTHON))"; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing="$$missing $(notdir $(PYTHON))-venv"; \
	$(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || missing="$$missing $(notdir $(PYTHON))-dev"; \
	command -v g++ >/dev/null || missing="$$missing g++"; \
	if [ -n "$$missing" ]; then echo "missing; install with: sudo apt-get install -y$$missing"; exit 1; fi
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-deps -c constraints.txt torch $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pipelines.text.identify
	@touch $@

demo: setup
	$(BIN)/python -m flows.demo

# Three at a time on two cores: much of a test of flows is waiting for a server. `--dist loadfile` keeps a file's tests
# together, with the fixtures that they share; tests/conftest.py says which files each worker takes.
PYTEST := $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
test: setup
	$(PYTEST)

# What needs neither a server nor a browser and is soon done.
test-fast: setup
	$(PYTEST) -m "not server and not browser and not slow"

# Everybody killed in every stage, and twelve times at random: some twenty minutes.
test-kill: setup
	NR_KILL_ALL=1 NR_KILLS=12 $(BIN)/pytest -s tests/flows/maintenance/test_kill.py

# One row of docs/results.md from scratch, held against what stands there: minutes on two cores.
results-check: setup
	$(BIN)/python -m flows.results_check

# Debian's packages as WARC files, the input of `evidence` and `leaderboard`. Needs Debian, and `apt-get update` before.
DEBIAN ?= debian
PACKAGES := libreoffice-help-hu libreoffice-help-en-us gimp-help-en debian-handbook kicad-doc-en anarchism
WARCS := $(PACKAGES:%=$(DEBIAN)/%.warc.gz)
$(DEBIAN)/%.warc.gz: | setup
	$(BIN)/python examples/debian_docs_to_warc.py --out $(DEBIAN) $*

# All methods on a fresh base, then some on saturated ones: days on two cores. The same command goes on from what is there;
# `nr plan` says first what stands and the minutes of the rest, the log the seconds of each run.
EVIDENCE := libreoffice-fronts saturation-1 saturation-4 saturation-16
evidence: setup $(WARCS)
	set -e; for study in $(EVIDENCE); do config="configs/evidence/$$study.yaml --set data_root=$(DEBIAN)"; \
	$(BIN)/nr refresh $$config; $(BIN)/nr plan $$config; $(BIN)/nr sweep $$config; done

# A real model, SmolLM2, learns Hungarian; DATA holds the texts that the config names. Its log shows the time left.
evidence-real: setup
	test -n "$(DATA)" || { echo "say where the texts are: make evidence-real DATA=FOLDER"; exit 1; }
	$(BIN)/nr run configs/smollm2-hungarian.yaml --set data_root=$(DATA) $(if $(MODEL),--set base.model=$(MODEL))

# What is under `methods` of configs/leaderboard.yaml, ranked as docs/leaderboard.md says.
leaderboard: setup $(WARCS)
	$(BIN)/nr run configs/leaderboard.yaml --set data_root=$(DEBIAN)
	$(BIN)/nr sql --workspace workspace-leaderboard "SELECT name, seed, learning, forgetting, seconds / 60 AS minutes, \
	forgetting <= .005 AND seconds <= 1800 AS counts FROM learning_vs_forgetting ORDER BY counts DESC, learning DESC"

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy

# Known holes in what a user installs, by PyPI's advisories.
audit:
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install -q pip-audit; }
	.venv-audit/bin/pip-audit --strict -r requirements.lock --disable-pip --require-hashes --progress-spinner off

# The site, in site/; a link that leads nowhere fails it. The variable: a notice of mkdocs-material's on its successor.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q -d site

docs-serve: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

up: setup
	$(BIN)/nr up

down: setup
	$(BIN)/nr down
