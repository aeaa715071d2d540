# make demo    hear a synthesised minute of field sounds, then search it by text (AUDIO=path: your own recording)
# make test    lint, types, tests: everything that CI checks
# make setup   the complete development environment in .venv
# make wheelhouse  what a 64-bit Raspberry Pi installs, as wheels (Debian; cross-compiles hnswlib)
# make test-arm64  Earmark from those wheels under the processors of Pi 5, Pi 4 and Zero 2 W, emulated
# make bundle  train and export the default bundle again (needs ../shared)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: demo test setup lint bundle wheelhouse test-arm64 clean

demo: $(VENV)/.slim
	@$(BIN)/earmark demo $(if $(AUDIO),"$(AUDIO)")

test: $(VENV)/.dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone

setup: $(VENV)/.dev $(VENV)/.distill

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bundle: setup
	$(BIN)/python -m training words
	$(BIN)/python -m training captions
	$(BIN)/python -m training features
	$(BIN)/python -m training stream
	$(BIN)/python -m training features --student runs/stream --copies 4 --brief 0.25 --out runs/stream/heard
	$(BIN)/python -m training train --features runs/stream/heard --out runs/stream/train --narrow-weight 1 --window 16
	$(BIN)/python -m training fallback runs/stream/train --student runs/stream --features runs/stream/heard --out runs/stream/head
	$(BIN)/python -m export runs/stream/head edge_runtime/default_bundle --version 1.3.1 --encoder runs/stream \
	  --profiles light
	$(BIN)/python -m benchmarks.calibrate edge_runtime/default_bundle

wheelhouse: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.arm64.wheelhouse --out wheelhouse

# ARGS="--install" installs the Debian packages that are missing; ARGS="--stream-bundle FOLDER" for another CNN14
test-arm64: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.arm64 $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: sudo apt install python3-venv"; exit 2; }

# hnswlib has no wheel for every board: it is compiled where pip finds none
compiler:
	@command -v c++ >/dev/null || command -v g++ >/dev/null || \
	  { echo "A C++ compiler is needed for hnswlib: sudo apt install g++"; exit 2; }
	@$(PYTHON) -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || \
	  { echo "Python's headers are needed for hnswlib: sudo apt install python3-dev"; exit 2; }
.PHONY: compiler

$(VENV)/.slim: pyproject.toml | compiler $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | compiler $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[train,export,dev]'
	@touch $@ $(VENV)/.slim

$(VENV)/.distill: pyproject.toml $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable '.[distill]'
	@touch $@
