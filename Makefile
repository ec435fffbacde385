# Two commands do everything on a fresh machine: `make run` (the main job) and `make test`.
# Every target can be repeated: what is there and up to date is left alone.

VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
# torch's build: cpu, cu126 (drivers before 580, cards before Turing) or default. Empty: what fits the driver
TORCH ?=
# Engines beside torch to install: onnxruntime, openvino or both, with a comma between
ENGINES ?=
# Extra arguments for pip. Where they are given, they alone say where torch comes from
PIP_ARGS ?=
# A value as one word of the shell, whatever is in it
quoted = '$(subst ','\'',$(1))'
# Time limit of the GPU campaign; where it was too short, the same command goes on
MINUTES ?= 25
# Checkpoints to archive: a folder or a hub id. Empty: what the archive was built from before, and
# full-size architectures with random weights the first time or for 'random'.
BERT ?=
RESNET50 ?=
EMBEDDINGS ?=
# Engines that the archives shall serve with, beside torch; empty: those they were built for. PRECISION=int8: for
# onnxruntime in 8-bit whole numbers too; ACCEPT_PARITY=1: even where an engine differs from torch too much
ENGINE ?=
PRECISION ?=
ACCEPT_PARITY ?=
# Where the host's own Python has all that is needed, and nothing can be installed: PY=python3 SETUP=
SETUP ?= setup
# Options for the sweep, e.g. ARGS='--model resnet50 --workers 1'
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup engines mar run gpu-campaign serve stop test test-fast test-wide chaos mutants lint format bench bench-servers lock audit clean

help: ## Show the targets
	@echo "make run     the main job: set up, archive, sweep workers x batch size, print the table"
	@echo "make test    what each part does, tried with the real thing (about 4 minutes)"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.ready $(if $(ENGINES),engines) ## Build .venv with everything pinned, a Java runtime included (ENGINES=)

engines: $(VENV)/.ready
	@wanted="$$($(PY) scripts/engines.py $(call quoted,$(ENGINES)))" || exit 1; \
		$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c requirements.lock $$wanted
	@echo "setup: $(ENGINES) installed"

# Another TORCH= than the one that .venv was built with builds it anew
ifneq ($(TORCH),)
ifneq ($(TORCH),$(shell cat $(VENV)/.torch 2>/dev/null))
ANOTHER_TORCH := another-torch
endif
endif
.PHONY: another-torch
another-torch:

$(VENV)/.ready: requirements.lock scripts/torchserve.py $(ANOTHER_TORCH)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "setup: building $(VENV) (about a minute with a warm package cache; torch is large)"
	@$(PYTHON) -m venv $(VENV) || { echo "setup: python3 has no venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@index="$(if $(PIP_ARGS),,$$($(PY) scripts/torch_build.py $(TORCH)))" || exit 1; \
		$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) $$index -r requirements.lock
	@$(PY) scripts/torchserve.py --install
	@echo "$(TORCH)" > $(VENV)/.torch
	@touch $@
	@echo "setup: ready"

mar: $(SETUP) ## Build model_store/*.mar (BERT=, RESNET50=, EMBEDDINGS=: folder, hub id or 'random'; ENGINE=)
	@$(PY) -m handlers.archive $(if $(BERT),--bert $(call quoted,$(BERT))) $(if $(RESNET50),--resnet50 $(call quoted,$(RESNET50))) \
		$(if $(EMBEDDINGS),--embeddings $(call quoted,$(EMBEDDINGS))) $(if $(ENGINE),--engine $(call quoted,$(ENGINE))) \
		$(if $(PRECISION),$(if $(filter int8,$(PRECISION)),--int8,$(error PRECISION: archives are built for int8 beside fp32: give that or nothing))) $(if $(ACCEPT_PARITY),--accept-parity)

run: mar ## The main job: sweep BERT over workers x batch size (ARGS=: options of mps.run)
	@$(PY) -m mps.run $(ARGS)

gpu-campaign: mar ## BERT and ResNet50 on a GPU without and with MPS, for 25 minutes (MINUTES=, ARGS=)
	@$(PY) -m mps.doctor
	@$(PY) -m mps.series plans/gpu --out results/gpu-campaign --keep-compute-mode --minutes $(MINUTES) $(ARGS)

serve: mar ## Serve the models on 127.0.0.1:8080 (torchserve --start)
	@$(VENV)/bin/torchserve --start

stop: ## Stop what `make serve` started
	@$(VENV)/bin/torchserve --stop

# Four at a time on two cores, as some wait more than they work. The folder within is named since what its
# conftest.py makes has to be there before the four begin.
IN_FOURS = -q -n 4 --dist loadgroup --no-loadscope-reorder tests tests/integration
test: setup ## What each part does, tried with the real thing: a real TorchServe, archive, daemon, load
	@$(PY) -m pytest $(IN_FOURS) -m "not wide"

test-wide: setup ## The other tests: other servers and engines, Ray, kills, attacks, every variant (17 minutes)
	@$(PY) -m pytest $(IN_FOURS) -m wide

test-fast: setup ## The tests that take no server and little time
	@$(PY) -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder --ignore tests/integration \
		-m "not thorough and not wide" --hypothesis-profile few-examples

mutants: setup ## Do the tests notice mistakes in the pure modules? An hour; ARGS='--sample 100' for a look
	@$(PY) -m tests.mutants $(ARGS)

lint: setup ## ruff, mypy --strict, and who may import whom
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: setup ## Let ruff format and fix
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

KILLS ?= 100
SEED ?= 1
chaos: setup ## Kill programs at random moments, and count what is lost (KILLS=, SEED=, ARGS=; as root)
	@$(PY) -m tests.chaos --kills $(KILLS) --seed $(SEED) $(ARGS)

bench: setup ## Every ratio that the README claims, in half an hour on an idle machine (needs nginx and wrk)
	@$(PY) -m benchmarks $(ARGS)

bench-servers: setup ## The same model behind TorchServe, Triton, LitServe and BentoML (mps.servers add makes them)
	@$(PY) -m benchmarks.servers $(ARGS)

lock: ## Write requirements.lock anew from pyproject.toml
	@$(PYTHON) scripts/lock.py > requirements.lock.new && mv requirements.lock.new requirements.lock

audit: ## Ask whether a package of requirements.lock has a known vulnerability (pip-audit; needs the network)
	@$(PYTHON) scripts/audit.py

clean: ## Remove the venv and built archives (results stay)
	@rm -rf $(VENV) model_store/*.mar .mypy_cache .ruff_cache .pytest_cache
